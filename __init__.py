"""XSER: explainable speech emotion recognition (arXiv 2505.23236).

Importing the package registers its classes, so that `AutoModel`, `AutoProcessor` and `pipeline` know them.
"""

from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from xser.audio_xser import AudioError
from xser.configuration_xser import XSERConfig
from xser.grammar_xser import EmotionDescription, LabelSchema
from xser.modeling_xser import XSERForEmotionDescription, XSERModel, XSEROutput
from xser.pipeline_xser import XSERPipeline
from xser.processing_xser import XSERProcessor

AutoConfig.register("xser", XSERConfig)
AutoModel.register(XSERConfig, XSERForEmotionDescription)
AutoModelForMultimodalLM.register(XSERConfig, XSERForEmotionDescription)
AutoProcessor.register(XSERConfig, XSERProcessor)
PIPELINE_REGISTRY.register_pipeline(
    "audio-emotion-explain", pipeline_class=XSERPipeline, pt_model=AutoModelForMultimodalLM, type="multimodal"
)

__all__ = [
    "AudioError",
    "EmotionDescription",
    "LabelSchema",
    "XSERConfig",
    "XSERForEmotionDescription",
    "XSERModel",
    "XSEROutput",
    "XSERPipeline",
    "XSERProcessor",
]
