"""Protocols: how a corpus is divided into folds, and one command that runs them all."""
