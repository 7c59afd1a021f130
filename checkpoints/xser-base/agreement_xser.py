"""A processor and a model that meet: they agree by name, or are refused.

What a model learnt is an index among its labels, and a prompt asks in the model's order; a processor may have been
made with the same labels in another order, or with others.
"""

import copy

SAME = (  # fields of both that must be equal
    "frame_stack", "emphasis", "disentangled", "ctc_unit", "summary_tokens", "speaker_reference",
    "speaker_std", "transcript", "slot_order", "age_cuts", "answer", "system_prompt", "asr_descriptors",
    "content_token_id", "descriptor_token_id", "zero_token_id", "aux_token_ids",
)  # fmt: skip
STREAM_FIELDS = ("size", "frame_stack")  # of an auxiliary stream, those that its inputs depend on


class AgreementMixin:
    """Agreement of `XSERProcessor` with a model's config."""

    def for_model(self, config) -> "AgreementMixin":
        """This processor, its labels and streams in the order of `config`; itself where they are.

        Args:
            config: the `XSERConfig` of the model that is to answer or to learn.

        Raises:
            ValueError: the labels are not the same, or another field is not; both are named.
        """
        for name, own, wanted in self._named_fields(config):
            if own != wanted:
                raise ValueError(
                    f"the processor's {name} is {own}, the model's {wanted}: use the processor that was made with the "
                    "model, or XSERProcessor.from_config"
                )
        streams = {name: self.aux_streams[name] for name in config.aux_streams}
        if _orders(self) == _orders(config):
            return self
        twin = copy.copy(self)
        twin.emotions = list(config.emotions)
        twin.descriptors = {slot: list(levels) for slot, levels in config.descriptors.items()}
        twin.aux_streams = streams
        twin.schema = config.schema
        twin._prompts = {}  # they name the slots in order
        return twin

    def _named_fields(self, config):
        """(name, own value, the model's) of all that must be the same; labels in any order."""
        for name in ("emotions", "descriptors"):
            yield name, _unordered(getattr(self, name)), _unordered(getattr(config, name))
        for name, wanted in config.tower.frames.options.items():
            yield name, getattr(self, name), wanted
        yield "aux_streams", _stream_fields(self.aux_streams), _stream_fields(config.aux_streams)
        for name in SAME:
            yield name, getattr(self, name), getattr(config, name)


def matching_processor(processor, config):
    """`processor.for_model(config)`, where `processor` is one.

    Raises:
        ValueError: it is something else, or does not agree.
    """
    # by name: the class may have been loaded twice, from the package and from a model's folder
    if not any(each.__name__ == "XSERProcessor" for each in type(processor).__mro__):
        raise ValueError(f"processor is of type {type(processor).__name__}; give the model's XSERProcessor")
    return processor.for_model(config)


def _orders(one) -> list:
    """All that has an order, of a processor or a config."""
    levels = [(slot, list(each)) for slot, each in one.descriptors.items()]
    return [list(one.emotions), levels, list(one.aux_streams), one.schema, one.schema.slots]


def _unordered(labels):
    return {slot: sorted(levels) for slot, levels in labels.items()} if isinstance(labels, dict) else sorted(labels)


def _stream_fields(streams: dict) -> dict:
    return {name: {field: options[field] for field in STREAM_FIELDS} for name, options in streams.items()}


__all__ = ["AgreementMixin", "matching_processor"]
