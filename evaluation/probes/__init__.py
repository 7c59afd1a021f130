"""Probes: what can be read from each stream of a model."""
