"""Pretraining of a HuBERT tower by its own objective: masked prediction of clusters of sounds."""
