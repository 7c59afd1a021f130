"""From a checkpoint to other labels: tower, streams and language model go on, heads keep what they know by name."""

from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from xser.configuration_xser import XSERConfig
from xser.modeling_xser import XSERForEmotionDescription
from xser.streams_xser import XSEREmotionHead, XSERLevelHead
from xser.training.arguments import RELABELLED

WHOLE = ["audio tower", "streams", "language model"]


@dataclass
class Relabelled:
    """What of a checkpoint is kept, what is new, and what goes."""

    kept: list[str] = field(default_factory=lambda: list(WHOLE))
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[str]]:
        return asdict(self)

    def __str__(self) -> str:
        parts = ((name, ", ".join(getattr(self, name)) or "nothing") for name in ("kept", "new", "dropped"))
        return "; ".join(f"{name}: {what}" for name, what in parts)

    def _note(self, kind: str, before: list[str], after: list[str]) -> None:
        self.kept += [f"{kind} {label}" for label in after if label in before]
        self.new += [f"{kind} {label}" for label in after if label not in before]
        self.dropped += [f"{kind} {label}" for label in before if label not in after]


def relabelled_config(config: XSERConfig, labels: dict) -> XSERConfig:
    """The config with other labels; without descriptors there is no head for them.

    Raises:
        ValueError: labels that are not allowed.
    """
    if labels.get("descriptors") == {}:
        labels = {**labels, "level_weight": 0.0, "level_streams": None, "level_ensemble": False}
    if labels:  # an order, and cuts, of other slots than the new ones hold no longer
        labels = {"slot_order": None, "age_cuts": None, **labels}
    return XSERConfig.from_dict({**config.to_dict(), **labels})


def relabel(model: XSERForEmotionDescription, wanted: XSERConfig) -> Relabelled:
    """Give a model the labels of another config, in place.

    An output of a head that stands for a label of the same name keeps its weights, whatever its place; the other
    outputs are new.
    """
    old, config, found = XSERConfig.from_dict(model.config.to_dict()), model.config, Relabelled()
    for name in (*RELABELLED, "level_weight", "level_streams", "level_ensemble"):
        setattr(config, name, getattr(wanted, name))
    found._note("emotion", old.emotions, config.emotions)
    found._note("slot", list(old.descriptors), list(config.descriptors))
    for slot, levels in config.descriptors.items():
        if slot in old.descriptors:
            found._note(f"level of {slot}", old.descriptors[slot], levels)
    for slot in ("transcript", "emphasis"):
        if getattr(old, slot) != getattr(config, slot):
            (found.new if getattr(config, slot) else found.dropped).append(f"slot {slot}")
    if model.emotion_head is not None:
        head = _initialised(model, XSEREmotionHead(config))
        for stream, classifier in head.classifiers.items():
            _keep(classifier, model.emotion_head.classifiers[stream], config.emotions, old.emotions)
        model.emotion_head = head
    if model.level_head is not None:
        model.level_head = _level_head(model, old, config) if config.level_weight > 0 else None
    return found


def _level_head(model: XSERForEmotionDescription, old: XSERConfig, config: XSERConfig) -> XSERLevelHead:
    before, slots = model.level_head, list(old.descriptors)
    head = _initialised(model, XSERLevelHead(config))
    for stream, attention in head.attention.items():
        _copy_rows(attention, before.attention[stream], list(config.descriptors), slots)
        for classifier, (slot, levels) in zip(head.classifiers[stream], config.descriptors.items(), strict=True):
            if slot in slots:
                _keep(classifier, before.classifiers[stream][slots.index(slot)], levels, old.descriptors[slot])
    return head


def _initialised(model: XSERForEmotionDescription, head: nn.Module) -> nn.Module:
    """New weights, where those of the model are."""
    head.apply(model._init_weights)
    return head.to(next(model.model.content.parameters()).device)


@torch.no_grad()
def _keep(classifier: nn.Sequential, before: nn.Sequential, labels: list[str], old_labels: list[str]) -> None:
    """All layers of a classifier, and of the last one the outputs that stand for a label of the same name."""
    for layer, old in zip(classifier[:-1], before[:-1], strict=True):
        layer.load_state_dict(old.state_dict())
    _copy_rows(classifier[-1], before[-1], labels, old_labels)


@torch.no_grad()
def _copy_rows(layer: nn.Linear, before: nn.Linear, labels: list[str], old_labels: list[str]) -> None:
    for row, label in enumerate(labels):
        if label in old_labels:
            layer.weight[row] = before.weight[old_labels.index(label)].to(layer.weight.dtype)
            layer.bias[row] = before.bias[old_labels.index(label)].to(layer.bias.dtype)
