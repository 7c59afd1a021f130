"""Which utterances each fold of a protocol trains, develops and tests on; no recording is opened.

All parts hold only utterances with an emotion. What is left out is counted, and what a fold lacks is named.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xser.corpora.cache import digest
from xser.corpora.folds import Splitting, split_of_speakers
from xser.evaluation.protocols.labels import choose_labels
from xser.evaluation.protocols.table import Protocol

PARTS = ("train", "validation", "test")
OFFICIAL, CROSS = "official", "cross"  # the one fold of protocols that have no others
DEVELOPMENT_SHARE = 0.1  # of the corpus that a cross-corpus model is trained on, by whole speakers
SHOWN = 5


@dataclass
class Fold:
    """One fold.

    Attributes:
        name: what is left out.
        parts: "train", "validation", "test" → indices of rows; empty where there are none.
        development: what is for development, such as the name of a session; `None` without any.
        gaps: what the fold lacks.
    """

    name: str
    parts: dict[str, list[int]]
    development: str | None = None
    gaps: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """All folds of a protocol on a corpus.

    Attributes:
        protocol: the protocol.
        rows, kept, classes, left_out, relabelled: as `protocol_labels.Labelled` has them.
        groups: index of a row → the name that it is left out by; `None` for protocols by split or corpus.
        folds: those that are run.
        missing: fold that a complete corpus has → why it is not there.
        notes: what a reader of the figures should know.
    """

    protocol: Protocol
    rows: list[dict]
    kept: list[int]
    classes: tuple[str, ...]
    left_out: dict[str, int]
    relabelled: dict[str, int]
    groups: dict[int, str] | None = None
    folds: list[Fold] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def digest(self) -> str:
        """Stands for the utterances of every part, their emotions and speakers."""
        told = ("id", "emotion", "speaker")
        parts = {
            f"{fold.name}/{part}": [[self.rows[index][name] for name in told] for index in indices]
            for fold in self.folds
            for part, indices in fold.parts.items()
        }
        return digest(parts, self.classes)

    def counts(self, fold: Fold) -> dict[str, dict]:
        """Of each part that is not empty: n, its speakers, and the number of utterances of each class."""
        counted = {}
        for part, indices in fold.parts.items():
            if indices:
                emotions = Counter(self.rows[index]["emotion"] for index in indices)
                speakers = {self.rows[index]["speaker"] for index in indices} - {None}
                counted[part] = {
                    "n": len(indices),
                    "speakers": sorted(speakers),
                    "emotions": {name: emotions[name] for name in self.classes},
                }
        return counted


def make_plan(
    protocol: Protocol,
    rows: Sequence[dict],
    test_rows: Sequence[dict] | None = None,
    emotion_map: Mapping[str, str | None] | None = None,
) -> Plan:
    """Divide a corpus as a protocol says.

    Args:
        protocol: one of `PROTOCOLS`.
        rows: of `read_rows`.
        test_rows: the same of the corpus to test on, for a protocol by corpus alone.
        emotion_map: label → another, or `None` to leave its rows out; over that of the protocol.

    Raises:
        ValueError: a map of labels that are not there or to none of the schema's; rows lack what is to be divided by;
            parts share speakers, unless the protocol says so; two corpora have fewer than two emotions in common;
            nothing is left to train or to test on; utterances to test on have one id.
    """
    if (test_rows is not None) != (protocol.by == "corpus"):
        needs = "needs" if protocol.by == "corpus" else "has no use for"
        raise ValueError(f"{protocol.name} {needs} --test_corpus, another corpus, which is tested on whole")
    labelled = choose_labels(protocol, rows, test_rows or (), emotion_map or {})
    plan = Plan(protocol, **vars(labelled))
    if protocol.by == "corpus":
        plan.folds = [_cross_fold(plan, len(rows))]
    elif protocol.by == "split":
        plan.folds = [_official_fold(plan)]
    else:
        _leave_out_each(plan)
    _refuse_repeated(plan)
    for fold in plan.folds:
        _check_speakers(plan, fold)
        _name_gaps(plan, fold)
    return plan


def _leave_out_each(plan: Plan) -> None:
    """One fold a group, as `corpora.folds` divides them."""
    by, name = plan.protocol.by, plan.protocol.name
    lacking = sum(plan.rows[index][by] is None for index in plan.kept)
    if lacking:
        raise ValueError(f"{name} leaves out one {by} at a time, and {lacking} of {len(plan.kept)} rows have no {by}")
    plan.groups = {index: plan.rows[index][by] for index in plan.kept}
    groups = [plan.groups[index] for index in plan.kept]
    names = sorted(set(groups), key=natural)
    partners = _partners(plan) if by == "speaker" else {}
    for group in names:
        if plan.protocol.only is None or group in plan.protocol.only:
            splits, _ = Splitting(group, partners.get(group)).by_fold(groups)
            parts = {part: [i for i, split in zip(plan.kept, splits, strict=True) if split == part] for part in PARTS}
            held = sorted({plan.groups[index] for index in parts["validation"]})
            plan.folds.append(Fold(group, parts, held[0] if held else None))
    for expected in plan.protocol.expected:
        if expected not in names:
            plan.missing[expected] = f"the corpus has no utterance of {by} {expected}, only of {names}"
    if not plan.folds:
        raise ValueError(f"{name}: {'; '.join(plan.missing.values())}")


def _partners(plan: Plan) -> dict[str, str]:
    """Speaker → the other speaker of the session, where every session has two speakers and no speaker several."""
    speakers, sessions = defaultdict(set), defaultdict(set)
    for index in plan.kept:
        row = plan.rows[index]
        speakers[row["session"]].add(row["speaker"])
        sessions[row["speaker"]].add(row["session"])
    if any(len(s) != 2 for s in speakers.values()) or any(len(s) != 1 for s in sessions.values()) or None in speakers:
        return {}
    if len(speakers) < 2:  # the partner would be all that there is to train on
        return {}
    return {a: b for pair in speakers.values() for a, b in (sorted(pair), sorted(pair, reverse=True))}


def _official_fold(plan: Plan) -> Fold:
    splits = {plan.rows[index]["split"] for index in plan.kept}
    lacking = [part for part in PARTS if part not in splits]
    if lacking:
        raise ValueError(
            f"{plan.protocol.name} is on official parts, and {lacking} are not there: the rows have "
            f"{sorted(splits - {None}) or 'no splits'}"
        )
    parts = {part: [index for index in plan.kept if plan.rows[index]["split"] == part] for part in PARTS}
    return Fold(OFFICIAL, parts, "official validation part")


def _cross_fold(plan: Plan, num_train: int) -> Fold:
    """Development is of the corpus that is trained on: whole speakers, or its own validation part without speakers."""
    source = [index for index in plan.kept if index < num_train]
    speakers = [plan.rows[index]["speaker"] for index in source]
    if None not in speakers and len(set(speakers)) > 1:
        splits = split_of_speakers(speakers, validation_fraction=DEVELOPMENT_SHARE)
        said = f"whole speakers, at least {DEVELOPMENT_SHARE:.0%} of the utterances"
    else:
        splits = ["validation" if plan.rows[i]["split"] == "validation" else "train" for i in source]
        said = "the validation part of the corpus that is trained on"
    parts = {part: [i for i, split in zip(source, splits, strict=True) if split == part] for part in PARTS}
    parts["test"] = [index for index in plan.kept if index >= num_train]
    return Fold(CROSS, parts, said if parts["validation"] else None)


def _refuse_repeated(plan: Plan) -> None:
    tested = Counter(plan.rows[index]["id"] for fold in plan.folds for index in fold.parts["test"])
    repeated = [name for name, times in tested.items() if times > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} ids are tested on several times, such as {repeated[:SHOWN]}: make them unique"
        )


def _check_speakers(plan: Plan, fold: Fold) -> None:
    """Refuse parts that share speakers; where the protocol says that they do, say how many."""
    of_part = {part: {(plan.rows[i]["corpus"], plan.rows[i]["speaker"]) for i in fold.parts[part]} for part in PARTS}
    unknown = sum(plan.rows[i]["speaker"] is None for part in PARTS for i in fold.parts[part])
    if unknown:
        fold.gaps.append(f"{unknown} utterances have no speaker: that parts share none cannot be told of them")
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        shared = sorted(name for _, name in of_part[first] & of_part[second] if name is not None)
        if not shared:
            continue
        named = ", ".join(shared[:SHOWN]) + (", …" if len(shared) > SHOWN else "")
        said = f"{first} and {second} share {len(shared)} speakers ({named})"
        if plan.protocol.shares_speakers is None:
            raise ValueError(
                f"{plan.protocol.name}, fold {fold.name}: {said}; figures would not be speaker-independent: take "
                "loso-speaker, or a corpus whose parts share none"
            )
        plan.notes.append(f"not speaker-independent: {said}; {plan.protocol.shares_speakers}")


def _name_gaps(plan: Plan, fold: Fold) -> None:
    counted = plan.counts(fold)
    for part, what in (("train", "to train on"), ("validation", "for development"), ("test", "to test on")):
        if part not in counted and part != "validation":
            raise ValueError(f"{plan.protocol.name}, fold {fold.name}: nothing is left {what}: {plan.left_out}")
        if part not in counted:
            fold.gaps.append(f"nothing {what}")
            continue
        absent = [name for name, n in counted[part]["emotions"].items() if not n]
        if absent:
            fold.gaps.append(f"no utterance of {', '.join(absent)} {what}")
    test = counted["test"]
    if len(test["speakers"]) == 1 and plan.protocol.by != "speaker":
        fold.gaps.append(f"one speaker only ({test['speakers'][0]}): nothing can be told about others")
    published = plan.protocol.published.get(fold.name)
    if published not in (None, test["n"]):
        plan.notes.append(f"fold {fold.name} has {test['n']:,} utterances to test on; published are {published:,}")


def natural(name: str) -> list:
    """Sorts "9" before "10"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
