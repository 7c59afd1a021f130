"""Corpora in one schema: `load_corpus("espeak")`, or the path of a folder of recordings."""

from xser.corpora.loading import load_corpus
from xser.corpora.schema import FEATURES, make_row

__all__ = ["FEATURES", "load_corpus", "make_row"]
