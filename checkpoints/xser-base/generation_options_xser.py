"""Options of `generate` for a recogniser, checked before the first recording: their names, and Whisper's language."""

from collections.abc import Mapping
from inspect import signature

from transformers import GenerationConfig, PreTrainedModel
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from .checks_xser import hint
from .options_xser import refuse_unknown

WHISPER_OPTIONS = ("language", "task")


def check_generation(name: str, model: PreTrainedModel, options: Mapping) -> dict:
    """The options as a dict.

    Args:
        name: of the recogniser, in messages.
        model: what generates.

    Raises:
        ValueError: there is no such option, or this Whisper does not know the language or the task.
    """
    known = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    known |= set(signature(model.generate).parameters) - {"self", "kwargs"}
    refuse_unknown(options, known, f"transcriber {name}")
    if model.config.model_type == "whisper":
        _check_whisper(name, model.generation_config, options)
    return dict(options)


def _check_whisper(name: str, config: GenerationConfig, options: Mapping) -> None:
    asked = {option: options[option] for option in WHISPER_OPTIONS if options.get(option) is not None}
    if asked and not getattr(config, "is_multilingual", True):
        raise ValueError(f"transcriber {name} is English alone and takes no {' and no '.join(asked)}: leave it out")
    languages = [token.strip("<|>") for token in getattr(config, "lang_to_id", {})]
    known = {"language": languages, "task": list(getattr(config, "task_to_id", {}))}
    for option, value in asked.items():
        if not isinstance(value, str) or _code(value) not in known[option]:
            spelled = [*known[option], *(n for n, code in TO_LANGUAGE_CODE.items() if code in known[option])]
            raise ValueError(
                f"{option} of transcriber {name} is {value!r}{hint(value, spelled)}; it must be one of {known[option]}"
            )


def _code(value: str) -> str:
    """`en` for `English` and `<|en|>`; a task as it is."""
    bare = value.strip("<|>")
    return TO_LANGUAGE_CODE.get(bare.lower(), bare)


__all__ = ["check_generation"]
