"""XSER: explainable speech emotion recognition (arXiv 2505.23236).

Importing the package registers its classes, so that `AutoModel`, `AutoProcessor` and `pipeline` know them. The command
line registers them when it first uses one: `xser --help` needs no torch.
"""

import sys
from importlib import import_module
from pathlib import PurePath

_HOMES = {  # public name → the module that defines it
    "AudioError": "audio_xser",
    "EmotionDescription": "grammar_xser",
    "LabelSchema": "grammar_xser",
    "XSERConfig": "configuration_xser",
    "XSERForEmotionDescription": "modeling_xser",
    "XSERModel": "modeling_xser",
    "XSEROutput": "modeling_xser",
    "XSERPipeline": "pipeline_xser",
    "XSERProcessor": "processing_xser",
}
_COMMAND_LINE = ("xser", "xser.exe", "-m")  # sys.argv[0] of `xser` and, while packages are imported, of `python -m`

__all__ = list(_HOMES)


def register() -> None:
    """Import the public names and make them known to transformers; again is no harm."""
    if "XSERConfig" in globals():
        return
    from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor
    from transformers.pipelines import PIPELINE_REGISTRY

    names = globals()
    names |= {name: getattr(import_module(f"{__name__}.{module}"), name) for name, module in _HOMES.items()}
    AutoConfig.register("xser", names["XSERConfig"])
    AutoModel.register(names["XSERConfig"], names["XSERForEmotionDescription"])
    AutoModelForMultimodalLM.register(names["XSERConfig"], names["XSERForEmotionDescription"])
    AutoProcessor.register(names["XSERConfig"], names["XSERProcessor"])
    PIPELINE_REGISTRY.register_pipeline(
        "audio-emotion-explain",
        pipeline_class=names["XSERPipeline"],
        pt_model=AutoModelForMultimodalLM,
        type="multimodal",
    )


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    register()
    return globals()[name]


if PurePath(sys.argv[0] if sys.argv else "").name not in _COMMAND_LINE:
    register()
