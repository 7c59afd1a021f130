"""Utterances in groups: by what is known of who speaks, and of the recording.

Speaker, gender and language are facts of a prediction's reference. Length is the reference's duration, cut at the
terciles of the file. The signal-to-noise ratio is no fact of a prediction: `read_snr` takes it from what
`xser annotate` measured.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xser.evaluation.predictions import PredictionError

FACTS = ("gender", "speaker", "language")
LENGTH, SNR = "length", "snr"
ATTRIBUTES = (*FACTS, LENGTH, SNR)
SNR_CUTS = (10.0, 20.0, 30.0)  # dB
MAX_SPREAD = 0.01  # dB, between two lines about one recording: more is no rounding


@dataclass(frozen=True)
class Grouping:
    """Utterances by one attribute.

    Attributes:
        attribute: one of `ATTRIBUTES`.
        groups: indices of each group's utterances, by its name; no group is empty.
        unknown: utterances that nothing is known of, and that are in no group.
        gap: why there are no groups; `None` where there are.
    """

    attribute: str
    groups: dict[str, list[int]]
    unknown: int
    gap: str | None = None


def group_by(attribute: str, predictions: Sequence[dict], snr_db: Mapping[str, float] | None = None) -> Grouping:
    """The groups that predictions fall into.

    Args:
        attribute: one of `ATTRIBUTES`.
        predictions: as `read_predictions` gives them.
        snr_db: signal-to-noise ratio of utterances, by id; for `snr` alone.

    Raises:
        PredictionError: a reference holds a value of the attribute that is not of its kind.
        ValueError: there is no such attribute.
    """
    if attribute not in ATTRIBUTES:
        raise ValueError(f"attribute is {attribute!r}; it must be one of {list(ATTRIBUTES)}")
    if attribute == SNR and snr_db is None:
        return Grouping(SNR, {}, len(predictions), "predictions hold no SNR: give it with --noise")
    if attribute in FACTS:
        values = [_text(prediction, attribute) for prediction in predictions]
        named = sorted(set(values) - {None})
        groups = {name: [i for i, value in enumerate(values) if value == name] for name in named}
    else:
        if attribute == LENGTH:
            values, unit = [_seconds(prediction) for prediction in predictions], "s"
            known = [value for value in values if value is not None]
            cuts = sorted({round(float(cut), 2) for cut in np.quantile(known, [1 / 3, 2 / 3])}) if known else []
        else:
            values, unit, cuts = [snr_db.get(prediction["id"]) for prediction in predictions], "dB", SNR_CUTS
        groups = _cut(values, cuts, unit)
    unknown = values.count(None)
    gap = None if groups else f"none of {len(predictions)} utterances has a known {attribute}"
    return Grouping(attribute, groups, unknown, gap)


def read_snr(path: str | Path) -> dict[str, float]:
    """Signal-to-noise ratio in dB of each utterance that has one, by its id.

    Args:
        path: a `descriptors.parquet` that `annotate` wrote, with the columns `id` and `snr_db`, or JSON: an object
            with a number, or null, for each id.

    Raises:
        ValueError: the file is neither, lacks a column, or tells two ratios of one utterance.
        OSError: it cannot be read.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".json"):
        raise ValueError(f"{path} must be a descriptors.parquet that annotate wrote, or JSON: {{id: dB}}")
    pairs = _parquet_pairs(path) if path.suffix == ".parquet" else _json_pairs(path)
    snr_db: dict[str, float] = {}
    for id, value in pairs:
        if value is None or not math.isfinite(value):
            continue
        if abs(snr_db.setdefault(id, value) - value) > MAX_SPREAD:
            raise ValueError(f"{path} tells {snr_db[id]:.2f} and {value:.2f} dB of {id}; give one figure of each")
    return snr_db


def _parquet_pairs(path: Path) -> list[tuple[str, float | None]]:
    try:
        columns = pq.read_schema(path).names
        if not {"id", "snr_db"} <= set(columns):
            raise ValueError(f"{path} has the columns {columns}; 'id' and 'snr_db' must be there")
        table = pq.read_table(path, columns=["id", "snr_db"])
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not Parquet: {error}") from error
    return list(zip(table["id"].to_pylist(), table["snr_db"].to_pylist(), strict=True))


def _json_pairs(path: Path) -> list[tuple[str, float | None]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {values!r:.80}; it must be an object with a number of dB for each id")
    for id, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"{path}: {id} is {value!r:.80}; it must be a number of dB, or null")
    return list(values.items())


def _text(prediction: dict, fact: str) -> str | None:
    value = prediction["reference"].get(fact)
    if value is not None and not isinstance(value, str):
        raise PredictionError(
            f"{prediction['id']}: {fact} of the reference is {value!r:.80}; it must be a text or null"
        )
    return value or None


def _seconds(prediction: dict) -> float | None:
    value = prediction["reference"].get("duration")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise PredictionError(f"{prediction['id']}: duration of the reference is {value!r:.80}; it must be seconds")
    return float(value)


def _cut(values: Sequence[float | None], cuts: Sequence[float], unit: str) -> dict[str, list[int]]:
    """Groups between cuts, in their order; one that lies on a cut belongs above it."""
    text = [f"{cut:g}" for cut in cuts]
    names = [
        f"below {text[0]} {unit}",
        *(f"{low} to {high} {unit}" for low, high in pairwise(text)),
        f"{text[-1]} {unit} and more",
    ] if text else []  # fmt: skip
    groups: dict[str, list[int]] = {name: [] for name in names}
    for index, value in enumerate(values):
        if value is not None:
            groups[names[int(np.searchsorted(cuts, value, side="right"))]].append(index)
    return {name: rows for name, rows in groups.items() if rows}
