"""What `annotate` says of a corpus: a table of every measurement and label, and a report that counts them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xser.calibration_xser import Calibration
from xser.corpora.cache import written_beside
from xser.corpora.schema import FEATURES
from xser.descriptors.labelling import EMPHASIS, Row
from xser.levels_xser import Label
from xser.measured_slots_xser import RELATIVE_SLOTS

QUANTITIES = (  # columns of descriptors.parquet, as in `Prosody`
    "pitch_hz", "loudness", "rate", "text_rate", "pitch_range", "pitch_spread", "jitter", "shimmer", "hnr_db",
    "snr_db", "pauses", "speech_seconds",
)  # fmt: skip
COMPARED = RELATIVE_SLOTS  # whose dependence on the emotion is reported
_OF_LABEL = ("level", "value", "unit", "quantity", "confidence", "reason", "basis")
_TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "split", "slot", "level")),
        ("value", pa.float32()),
        ("unit", pa.string()),
        ("quantity", pa.string()),
        ("confidence", pa.float32()),
        *((name, pa.string()) for name in ("reason", "basis")),
        *((name, pa.int32() if name == "pauses" else pa.float32()) for name in QUANTITIES),
    ]
)


def write_table(path: Path, rows: list[Row], labels: list[dict[str, Label]]) -> None:
    """descriptors.parquet: a line for each recording that can be read and slot."""
    lines = []
    for row, told in zip(rows, labels, strict=True):
        for slot, of in told.items():
            line = {"id": row.id, "split": row.split, "slot": slot}
            line |= {name: getattr(of, name) for name in _OF_LABEL}
            lines.append(line | {name: getattr(row.measured.prosody, name) for name in QUANTITIES})
    with written_beside(path) as beside:
        pq.write_table(pa.Table.from_pylist(lines, schema=_TABLE), beside)


def make_report(
    rows: list[Row], labels: list[dict[str, Label]], calibration: Calibration, margin: float, overwrite: bool
) -> dict:
    """descriptors.json: JSON-able counts, by slot, and what the emotion explains.

    Args:
        labels: one a row, as of `label_rows`.
        calibration, margin: what they were told by.
        overwrite: whether labels that were there already are replaced.
    """
    slots = list(dict.fromkeys(slot for told in labels for slot in told))
    told = {slot: [of[slot] for of in labels if slot in of] for slot in slots}
    return {
        "n": len(rows),
        "unread": [{"id": row.id, "reason": row.unread} for row in rows if row.measured is None],
        "margin": margin,
        "calibration": {
            name: getattr(calibration, name)
            for name in ("corpus", "split", "num_utterances", "num_speakers", "relative_to")
        },
        "levels": {
            slot: _counts(of.level for of in told[slot] if of.level is not None) for slot in slots if slot != EMPHASIS
        },
        "told": {slot: sum(of.level is not None for of in told[slot]) for slot in slots},
        "not_told": {slot: _counts(of.reason for of in told[slot] if of.level is None) for slot in slots},
        "transcripts_that_do_not_fit": [
            row.id for row in rows if row.measured and row.measured.prosody.text_fits is False
        ],
        "basis": {slot: _counts(of.basis for of in told[slot] if of.basis is not None) for slot in slots},
        "quantity": {slot: _counts(of.quantity for of in told[slot]) for slot in slots if slot != EMPHASIS},
        "labels_kept": {
            slot: 0 if overwrite else sum(row.descriptors.get(slot) is not None for row in rows)
            for slot in dict.fromkeys([*FEATURES["descriptors"], *(slot for row in rows for slot in row.descriptors)])
        },
        "eta_squared_of_emotion": {slot: _dependence(slot, rows, labels) for slot in COMPARED},
    }


def eta_squared(values: Iterable[float], groups: Iterable[str]) -> float | None:
    """Share of the variance of values that lies between groups; None for fewer than two groups, or no variance."""
    values, groups = np.asarray(list(values), np.float64), np.asarray(list(groups))
    names = np.unique(groups)
    total = float(np.square(values - values.mean()).sum()) if len(values) else 0.0
    if len(names) < 2 or total == 0:
        return None
    parts = [values[groups == name] for name in names]
    return float(sum(len(part) * (part.mean() - values.mean()) ** 2 for part in parts) / total)


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _dependence(slot: str, rows: list[Row], labels: list[dict[str, Label]]) -> dict[str, float | int | None]:
    """How much of a quantity the emotion explains: of the value, and of its distance from what is usual.

    Where a slot is told from several quantities, of the one that most rows have.
    """
    placed = [
        (row, told[slot])
        for row, told in zip(rows, labels, strict=True)
        if row.emotion is not None and slot in told and told[slot].offset is not None
    ]
    quantities = Counter(of.quantity for _, of in placed)
    quantity = max(quantities, key=quantities.get, default=None)
    known = [
        (getattr(row.measured.prosody, quantity), of.offset, row.emotion)
        for row, of in placed
        if of.quantity == quantity
    ]
    values, offsets, emotions = zip(*known, strict=True) if known else ((), (), ())
    return {
        "n": len(known),
        "quantity": quantity,
        "value": eta_squared(values, emotions),
        "relative_to_reference": eta_squared(offsets, emotions),
    }
