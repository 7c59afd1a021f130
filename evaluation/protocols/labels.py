"""Which emotions a protocol tells apart, and which rows have one of them."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xser.corpora.schema import EMOTIONS
from xser.evaluation.protocols.table import Protocol


@dataclass(frozen=True)
class Labelled:
    """Rows with the labels of a protocol.

    Attributes:
        rows: of the corpus, then of the corpus that is tested on, if it is another; copies, their emotions mapped.
        kept: indices of rows whose emotion is one of `classes`.
        classes: emotions that are told apart.
        left_out: reason → number of the other rows.
        relabelled: "excited → happy" → number of rows.
    """

    rows: list[dict]
    kept: list[int]
    classes: tuple[str, ...]
    left_out: dict[str, int]
    relabelled: dict[str, int]


def choose_labels(
    protocol: Protocol,
    rows: Sequence[dict],
    test_rows: Sequence[dict] = (),
    emotion_map: Mapping[str, str | None] | None = None,
) -> Labelled:
    """Map the emotions and leave out, and count, rows without one that is compared.

    Args:
        protocol: gives the classes, and a map of its own.
        rows, test_rows: of the corpus, and of another that is tested on.
        emotion_map: label → another, or `None` to leave its rows out; wins over that of the protocol.

    Raises:
        ValueError: the map names a label that no row has, or one that is none of the schema's; fewer than two emotions
            are left, or none of the protocol's.
    """
    corpora = [[dict(row) for row in corpus] for corpus in (rows, test_rows)]
    mapping = {**protocol.emotion_map, **_checked_map(emotion_map or {}, corpora)}
    relabelled, left_out, reasons = Counter(), Counter(), []
    for row in corpora[0] + corpora[1]:
        label = row["emotion"]
        row["emotion"] = mapping.get(label, label)
        reasons.append(_reason(label, row["emotion"]))
        if reasons[-1] is None and row["emotion"] != label:
            relabelled[f"{label} → {row['emotion']}"] += 1
    together, kept = corpora[0] + corpora[1], []
    known = [{row["emotion"] for row in corpus} - {None} for corpus in corpora]
    classes = _classes(protocol, *known)
    for index, row in enumerate(together):
        if reasons[index] is None and row["emotion"] not in classes:
            reasons[index] = f"{row['emotion']}: none of the emotions that are compared"
        if reasons[index] is None:
            kept.append(index)
        else:
            corpus = "" if not test_rows else "trained on, " if index < len(rows) else "tested on, "
            left_out[corpus + reasons[index]] += 1
    return Labelled(together, kept, classes, dict(sorted(left_out.items())), dict(relabelled))


def _checked_map(mapping: Mapping, corpora: list[list[dict]]) -> dict[str, str | None]:
    held = sorted({row["emotion"] for rows in corpora for row in rows} - {None})
    for label, emotion in mapping.items():
        if label not in held:
            near = difflib.get_close_matches(str(label), held, n=1, cutoff=0)
            raise ValueError(f"emotion_map names {label!r}, which no row has; there are {held}, the nearest is {near}")
        allowed = list(dict.fromkeys([*EMOTIONS, *held]))
        if emotion is not None and emotion not in allowed:
            raise ValueError(f"emotion_map maps {label!r} to {emotion!r}; give null or one of {allowed}")
    return dict(mapping)


def _reason(label: str | None, emotion: str | None) -> str | None:
    """Why a row is left out, as far as the map goes."""
    if label is None:
        return "no emotion"
    return f"{label}: left out by the protocol or emotion_map" if emotion is None else None


def _classes(protocol: Protocol, known: set[str], known_to_test: set[str]) -> tuple[str, ...]:
    across = protocol.by == "corpus"
    common = known & known_to_test if across else known
    if protocol.classes is not None:
        if not common & set(protocol.classes):
            raise ValueError(f"{protocol.name} is about {list(protocol.classes)}; the rows have {sorted(common)}")
        return protocol.classes
    if len(common) < 2:
        what = f"{sorted(common) or 'no emotion'} is left to tell apart, and two at least are needed"
        if across:
            what = (
                f"{sorted(known)} in the one corpus, {sorted(known_to_test)} in the other: {what}; see --emotion_map"
            )
        raise ValueError(f"{protocol.name}: {what}")
    return tuple(sorted(common, key=lambda name: (name not in EMOTIONS, [*EMOTIONS, name].index(name), name)))
