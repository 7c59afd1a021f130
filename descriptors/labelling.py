"""The labels of a corpus's rows, from their measurements and one calibration."""

from collections.abc import Iterable
from dataclasses import dataclass

from xser.calibration_xser import Calibration, Reference
from xser.corpora.schema import LEVELS
from xser.descriptors.measuring import Measured
from xser.levels_xser import Label, label
from xser.prosody_xser import Prosody

EMPHASIS = "emphasis"


@dataclass(frozen=True)
class Row:
    """What is known of a row, its recording left out.

    Attributes:
        descriptors: the labels that it has already.
        measured: None where its recording cannot be read.
        unread: why it cannot.
    """

    id: str
    split: str
    speaker: str | None
    gender: str | None
    emotion: str | None
    corpus: str | None
    descriptors: dict
    measured: Measured | None
    unread: str | None = None

    @classmethod
    def of(cls, known: dict, split: str, measured: Measured | str) -> "Row":
        """From a row of the one schema, and what `measure_rows` found."""
        names = ("id", "speaker", "gender", "emotion", "corpus", "descriptors")
        found = (None, measured) if isinstance(measured, str) else (measured, None)
        return cls(**{name: known[name] for name in names}, split=split, measured=found[0], unread=found[1])


def label_rows(
    rows: Iterable[Row], calibration: Calibration, margin: float = 1.0, speakers: dict[str, Reference] | None = None
) -> list[dict[str, Label]]:
    """Labels of each row by slot: those of `levels_xser.LEVELS`, and the emphasis where it was asked for.

    Args:
        margin: as of `label`.
        speakers: what is usual for those whom the calibration does not know, where it is known.

    Returns:
        One a row; nothing where the recording cannot be read.
    """
    return [_labels(row, calibration, margin, (speakers or {}).get(row.speaker, row.speaker)) for row in rows]


def references_of_strangers(rows: Iterable[Row], calibration: Calibration) -> dict[str, Reference]:
    """Speakers whom the calibration does not know → what is usual for them, by their own recordings.

    Those with too few recordings are left out: as for anyone else, the gender stands in.
    """
    recordings: dict[str, list[Prosody]] = {}
    for row in rows:
        if row.measured and row.speaker is not None and row.speaker not in calibration.speakers:
            recordings.setdefault(row.speaker, []).append(row.measured.prosody)
    references = {}
    for speaker, prosodies in recordings.items():
        try:
            references[speaker] = calibration.reference_of(prosodies)
        except ValueError:  # too few
            continue
    return references


def new_descriptors(row: Row, labels: dict[str, Label], overwrite: bool) -> dict:
    """The column `descriptors` of a row; labels that are there already stay, unless `overwrite`."""
    told = {slot: labels[slot].level for slot in LEVELS if slot in labels}
    if EMPHASIS in labels:
        told[EMPHASIS] = row.measured.emphasis
    if overwrite:
        return {**row.descriptors, **told}
    return {slot: told.get(slot) if old is None else old for slot, old in row.descriptors.items()}


def _labels(row: Row, calibration: Calibration, margin: float, speaker: Reference | str | None) -> dict[str, Label]:
    if row.measured is None:
        return {}
    labels = label(row.measured.prosody, calibration, speaker, row.gender, margin=margin)
    words, reason = row.measured.emphasis, row.measured.no_emphasis
    if words is not None or reason is not None:
        level = None if words is None else " ".join(words) or "none"
        labels[EMPHASIS] = Label(
            level, value=None, unit="words", quantity=None, confidence=None, reason=reason, basis=None
        )
    return labels
