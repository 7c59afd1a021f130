"""Captions against those of the data: BLEU@4, METEOR, ROUGE-L, CIDEr and, where Java is at hand, SPICE.

A caption says the same as the tags in many wordings, so these figures reward the wording of the references too: they
stand beside the accuracy of the tags, not in its place.
"""

import zlib
from collections.abc import Mapping, Sequence

import datasets

from xser.captions_xser import CaptionForm
from xser.corpora.schema import EMOTIONS, LEVELS
from xser.evaluation.spice import spice
from xser.grammar_xser import EMPHASIS, GENDER, GENDERS, EmotionDescription, LabelSchema, one_line
from xser.training.metrics import metric

CAPTION = "caption"
OF_DATA, OF_LABELS = "of the data", "worded from the labels"
OWN, OF_TAGS = "of the system", "worded from its tags"
SOURCE = "caption_from"  # key of a prediction and of a reference whose caption was worded here


def caption_figures(predictions: Sequence[Mapping]) -> dict | None:
    """How near the captions of predictions are to those of their references; `None` where no reference has one.

    Args:
        predictions: as `read_predictions` gives them: `caption`, and a reference whose `caption` is a text, or a list
            of several.

    Returns:
        bleu: from 0 to 100; cider: from 0 to 10; meteor, rouge_l, spice: from 0 to 1; `None` where not known.
        captions: what was compared, "of the system" or "worded from its tags"; references: "of the data" or "worded
            from the labels".
        variants: of each figure how it is computed, where there are several ways.
        n: utterances; without: how many of them have no caption, which counts as an empty one.
        gaps: figure → why it is not known.
    """
    rows = [prediction for prediction in predictions if captions_of(prediction["reference"])]
    if not rows:
        return None
    given = [row.get(CAPTION) or "" for row in rows]
    if not any(given):
        return None
    wanted = [captions_of(row["reference"]) for row in rows]
    found = {
        name: metric(name).compute(predictions=given, references=wanted)
        for name in ("bleu", "meteor", "rouge_l", "cider")
    }
    spice_value, gap = spice(given, wanted)
    return {
        **{name: found[name][name] for name in found},
        "spice": spice_value,
        "captions": OF_TAGS if any(row.get(SOURCE) for row in rows) else OWN,
        "references": OF_LABELS if any(row["reference"].get(SOURCE) for row in rows) else OF_DATA,
        "variants": {
            "bleu": found["bleu"]["signature"],
            "meteor": found["meteor"]["matching"],
            "cider": found["cider"]["variant"],
        },
        "n": len(rows),
        "without": sum(not text for text in given),
        "gaps": {} if gap is None else {"spice": gap},
    }


def captions_of(reference: Mapping) -> list[str]:
    """The captions of a reference, none, one or several."""
    known = reference.get(CAPTION)
    return [known] if isinstance(known, str) else list(known or [])


def with_caption(reference: Mapping, other: Mapping) -> dict:
    """A reference with the caption that was worded for another of the same utterance, where it has none itself."""
    if captions_of(reference) or other.get(SOURCE) is None:
        return dict(reference)
    return {**reference, CAPTION: other[CAPTION], SOURCE: other[SOURCE]}


class Captioner:
    """Words labels as captions: of references where the data have no captions, of answers where a model gives tags.

    What is known of an utterance is worded from the labels of the data, whatever of them a model knows, in one of many
    ways that hangs on the utterance's id alone: so all systems are held against the same captions, which vary as those
    of a corpus do. Tags of a model are worded canonically.

    Args:
        dataset: rows of the one schema.
        schema: the labels of the model.

    Attributes:
        gap: why nothing is worded, where labels cannot stand in a caption.
    """

    def __init__(self, dataset: datasets.Dataset, schema: LabelSchema):
        self.schema, self.gap = schema, None
        has_captions = CAPTION in dataset.column_names and any(dataset[CAPTION])
        try:
            self.form = CaptionForm(schema)
            self.data_form = None if has_captions else CaptionForm(schema_of(dataset))
        except ValueError as error:
            self.form = self.data_form = None
            self.gap = str(error)

    def add(self, prediction: dict, row: Mapping) -> dict:
        """The prediction with a caption, and with a reference that has one."""
        reference = prediction["reference"]
        if self.data_form is not None:
            known = self.data_form.schema.describe(row)
            worded = self.data_form.to_text(known, wording_of(row["id"])) if known.slots else None
            reference = {**reference, CAPTION: worded, SOURCE: OF_LABELS}
        if prediction.get(CAPTION) is None and self.form is not None and captions_of(reference):
            said = self._said(prediction)
            prediction = {**prediction, CAPTION: self.form.to_text(said) if said.slots else None, SOURCE: OF_TAGS}
        return {**prediction, "reference": reference}

    def _said(self, prediction: Mapping) -> EmotionDescription:
        words = prediction["emphasis"]
        return EmotionDescription(
            {slot: level for slot, level in (prediction["descriptors"] or {}).items() if level is not None},
            None if words is None else tuple(words),
            prediction["emotion"],
            one_line(prediction["transcript"] or "") or None if self.schema.transcript else None,
        )


def schema_of(dataset: datasets.Dataset) -> LabelSchema:
    """All labels of a data set: the standard ones, and those that its rows hold."""
    emotions = sorted({*EMOTIONS, *dataset["emotion"]} - {None})
    held = [row or {} for row in dataset["descriptors"]]
    slots = dict.fromkeys([*LEVELS, *(slot for row in held for slot in row if slot != EMPHASIS)])
    levels = {
        slot: list(dict.fromkeys([*LEVELS.get(slot, ()), *sorted({row.get(slot) for row in held} - {None})]))
        for slot in slots
    }
    genders = {gender.casefold() for gender in dataset[GENDER] if gender is not None}
    if genders and GENDER not in levels and genders <= {name for names in GENDERS for name in names}:
        levels = {GENDER: [names[0] for names in GENDERS]} | levels
    return LabelSchema(emotions, {slot: known for slot, known in levels.items() if len(known) > 1})


def wording_of(identity: str) -> int:
    """The wording that an utterance without a caption is described in; never 0, the canonical one."""
    return 1 + zlib.crc32(identity.encode())
