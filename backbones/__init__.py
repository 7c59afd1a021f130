"""`xser backbones`: the two pretrained models that xser-base stands on, as ordinary transformers folders."""
