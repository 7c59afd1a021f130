"""Captions against those of the data: BLEU@4, METEOR, ROUGE-L, CIDEr and, where Java is at hand, SPICE.

A caption says the same as the tags in many wordings, so these figures reward the wording of the references too: they
stand beside the accuracy of the tags, not in its place.
"""

from collections.abc import Mapping, Sequence

from xser.evaluation.spice import spice
from xser.grammar_xser import EMPHASIS, EmotionDescription
from xser.training.metrics import metric

CAPTION = "caption"
OWN, OF_TAGS = "of the system", "a sentence of the tags"


def caption_figures(predictions: Sequence[Mapping]) -> dict | None:
    """How near the captions of predictions are to those of their references; `None` where no reference has one.

    Args:
        predictions: as `read_predictions` gives them. Their `caption` is compared; where no prediction has one, the
            sentence that its tags make. The reference's `caption` is a text, or a list of several.

    Returns:
        bleu: from 0 to 100; cider: from 0 to 10; meteor, rouge_l, spice: from 0 to 1; `None` where not known.
        captions: what was compared, "of the system" or "a sentence of the tags".
        variants: of each figure how it is computed, where there are several ways.
        n: utterances; without: how many of them have no caption, which counts as an empty one.
        gaps: figure → why it is not known.
    """
    rows = [prediction for prediction in predictions if captions_of(prediction["reference"])]
    if not rows:
        return None
    own = any(row.get(CAPTION) is not None for row in rows)
    given = [(row.get(CAPTION) if own else sentence_of_tags(row)) or "" for row in rows]
    wanted = [captions_of(row["reference"]) for row in rows]
    found = {
        name: metric(name).compute(predictions=given, references=wanted)
        for name in ("bleu", "meteor", "rouge_l", "cider")
    }
    spice_value, gap = spice(given, wanted)
    return {
        **{name: found[name][name] for name in found},
        "spice": spice_value,
        "captions": OWN if own else OF_TAGS,
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


def sentence_of_tags(prediction: Mapping) -> str | None:
    """What the tags of a prediction come to as a sentence; `None` where it has none."""
    levels = {
        slot: level
        for slot, level in (prediction.get("descriptors") or {}).items()
        if level is not None and slot != EMPHASIS
    }
    words = prediction.get("emphasis")
    if not levels and words is None and prediction.get("emotion") is None:
        return None
    return EmotionDescription(levels, None if words is None else tuple(words), prediction["emotion"]).to_sentence()
