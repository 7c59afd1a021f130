"""XSER: explainable speech emotion recognition (arXiv 2505.23236)."""

from xser.configuration_xser import XSERConfig
from xser.grammar_xser import EmotionDescription, LabelSchema

__all__ = ["EmotionDescription", "LabelSchema", "XSERConfig"]
