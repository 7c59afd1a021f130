"""Descriptors of a voice: measured, calibrated to levels, said as a sentence, and claims about them checked."""
