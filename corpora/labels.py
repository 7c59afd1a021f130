"""One spelling for each label: known spellings become the usual name, all others stay as the corpus has them.

    emotion_label("ANG") == emotion_label("Anger") == "angry"    emotion_label("joyful") == "joyful"
    gender_label("F") == "female"                                split_label("dev") == "validation"

`Labels` does it for all rows of a corpus and remembers what it changed, so that a report can say so.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xser.checks_xser import GENDER_SPELLINGS
from xser.corpora.schema import EMOTIONS, FEATURES
from xser.grammar_xser import EMOTION, EMPHASIS, check_name

EMOTION_SPELLINGS = {
    "angry": ("anger", "ang"),
    "happy": ("happiness", "joy", "hap"),
    "sad": ("sadness",),
    "neutral": ("neu",),
    "fearful": ("fear", "fea"),
    "surprised": ("surprise", "sur"),
    "disgusted": ("disgust", "dis"),
    "bored": ("boredom", "bor"),
    "calm": ("calmness", "cal"),
    "excited": ("excitement", "exc"),
    "frustrated": ("frustration", "fru"),
}
SPLIT_SPELLINGS = {
    "train": ("training", "trn"),
    "validation": ("valid", "val", "development", "devel", "dev", "evaluation", "eval"),
    "test": ("testing", "tst"),
}
EVALUATION, EVAL = ("evaluation", "eval"), "eval"  # beside a `dev` these are the test: see `Labels.settle`
EMPTY = ("nan", "null", "n/a", "na", "<na>", "?", "-")  # as tools write an empty cell
NOT_KNOWN = (*EMPTY, "none", "unknown")  # of an emotion or a gender
DECADES = (
    "under ten", "teens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties",
)  # fmt: skip


def emotion_label(text: str) -> str:
    """The usual name of an emotion whose spelling is known, whatever its case; any other label, its underscores as
    spaces.

    Raises:
        ValueError: it cannot stand in an answer: see `grammar_xser.check_name`.
    """
    return _usual(text, _EMOTIONS) or check_name("emotion", _spaced(text))


def gender_label(text: str) -> str:
    """`female` or `male` for their spellings, whatever their case; any other as it is."""
    return _usual(text, _GENDERS) or _single(text)


def split_label(text: str) -> str:
    """`train`, `validation` or `test` for their spellings, whatever their case; any other as it is."""
    return _usual(text, _SPLITS) or _single(text)


def level_label(slot: str, text: str) -> str:
    """The level of a corpus's own descriptor, its underscores as spaces; genders as `gender_label` has them.

    Raises:
        ValueError: it cannot stand in an answer.
    """
    text = gender_label(text) if slot == "gender" else text
    return check_name(f"level of {slot}", _spaced(text))


def slot_name(column: str) -> str:
    """The name of a descriptor that a column becomes: `speaking_style` is asked for as `speaking style`.

    Raises:
        ValueError: it cannot stand in an answer.
    """
    if _spaced(column) in (EMOTION, EMPHASIS):
        raise ValueError(f"descriptor {column!r} has a place of its own in an answer: name it otherwise")
    return check_name("descriptor", _spaced(column))


def age_label(years: int) -> str:
    """Years of age as a level, which has no digits: 31 is `thirties`."""
    return DECADES[years // 10] if years < 100 else "over a hundred"


@dataclass
class Labels:
    """The labels of one corpus: each is brought to one spelling as rows are read, and `settle` compares them all.

    Args:
        emotion_map: labels of the corpus → emotions, or None for "not known"; goes before the known spellings. A label
            that it names in this very case comes first, then one in another.
        levels: own descriptor → the levels that it may have, or None for any.

    Attributes:
        became: column → label as written → label as kept, None for not known.
    """

    emotion_map: Mapping[object, str | None] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    became: dict[str, dict[str, str | None]] = field(default_factory=dict, init=False)

    def __post_init__(self):
        emotions: dict[str, str | None] = {}
        for label, emotion in self.emotion_map.items():
            try:
                emotions[_single(str(label))] = None if emotion is None else emotion_label(emotion)
            except ValueError as error:
                raise ValueError(f"emotion_map[{label!r}]: {error}; or give None for not known") from error
        self.emotion_map = {label.casefold(): emotion for label, emotion in emotions.items()} | emotions

    def emotion(self, written: str) -> str | None:
        """The emotion that a label stands for; `ValueError` where it cannot stand in an answer."""
        if written in self.became.get("emotion", ()):
            return self.became["emotion"][written]
        for name in (_single(written), _single(written).casefold()):
            if name in self.emotion_map:
                return self._note("emotion", written, self.emotion_map[name])
        if _single(written).lower() in NOT_KNOWN:
            return self._note("emotion", written, None)
        try:
            return self._note("emotion", written, emotion_label(written))
        except ValueError as error:
            raise ValueError(f"{error}; or name it in emotion_map, as in {{{written!r}: 'angry'}}") from error

    def gender(self, written: str) -> str | None:
        """The gender that a label stands for."""
        unknown = _single(written).lower() in NOT_KNOWN
        return self._note("gender", written, None if unknown else gender_label(written))

    def split(self, written: str) -> str:
        """The split that a label stands for; `settle` says what `eval` is."""
        return self._note("split", written, EVAL if _single(written).lower() in EVALUATION else split_label(written))

    def level(self, slot: str, written: str) -> str | None:
        """The level of a descriptor; `ValueError` where it is none of those that it may have."""
        allowed, unknown = self.levels[slot], NOT_KNOWN if slot in ("gender", "age") else EMPTY
        same = _plain(gender_label(written) if slot == "gender" else written)
        level = next((name for name in allowed or () if _plain(name) == same), None)
        if level is None and _single(written).lower() not in unknown:
            if allowed is not None:
                raise ValueError(f"{slot} {written!r} is not one of {list(allowed)}")
            level = level_label(slot, written)
        return self._note(slot, written, level)

    def age(self, years: int) -> str:
        """The level of an age in years, where ages are a descriptor."""
        level, allowed = age_label(years), self.levels["age"]
        if allowed is not None and level not in allowed:
            raise ValueError(f"age {years} is {level!r}, which is not one of {list(allowed)}")
        return self._note("age", str(years), level)

    def settle(self, rows: Iterable[dict]) -> dict[str, dict[str, str | None]]:
        """Bring labels that differ by case alone to one spelling, in place; what became of which label, by column.

        Of several spellings the one with the fewest capitals stays. Where some rows are of `dev` or `val` and others
        of `eval`, the latter are `test`, or stay `eval` where there is a `test` as well.
        """
        final = {column: _one_case(became.values()) for column, became in self.became.items()}
        if "split" in final:
            others = set(final["split"].values())
            if "validation" in others:
                final["split"][EVAL] = EVAL if "test" in others else "test"
            else:
                final["split"][EVAL] = "validation"
        for row in rows:
            for column in final.keys() & {"emotion", "gender", "split"}:
                row[column] = final[column].get(row[column], row[column])
            if row.get("ratings") and "emotion" in final:
                row["ratings"] = [final["emotion"].get(label, label) for label in row["ratings"]]
            levels = row["descriptors"]
            for slot in final.keys() & levels.keys():
                levels[slot] = final[slot].get(levels[slot], levels[slot])
        for column, became in self.became.items():
            self.became[column] = {written: final[column][kept] for written, kept in became.items()}
        changed = {c: {w: kept for w, kept in became.items() if w != kept} for c, became in self.became.items()}
        return {column: became for column, became in changed.items() if became}

    def _note(self, column: str, written: str, kept: str | None) -> str | None:
        self.became.setdefault(column, {})[written] = kept
        return kept


def stated(became: Mapping[str, Mapping[str, str | None]], most: int = 8) -> str:
    """What became of which label, as one line: `emotion: ANG → angry, Sad → sad; split: dev → validation`."""
    parts = []
    for column, labels in became.items():
        pairs = [f"{written} → {'not known' if kept is None else kept}" for written, kept in sorted(labels.items())]
        more = f" and {len(pairs) - most} more" if len(pairs) > most else ""
        parts.append(f"{column}: {', '.join(pairs[:most])}{more}")
    return "; ".join(parts)


def own_emotions(rows: Iterable[Mapping]) -> dict[str, int]:
    """Emotions of a corpus that are none of the usual ones → rows."""
    counts = Counter(row["emotion"] for row in rows)
    return {label: counts[label] for label in sorted(counts.keys() - {None, *EMOTIONS})}


def own_descriptors(rows: Iterable[Mapping]) -> dict[str, dict[str, int]]:
    """Descriptors of a corpus that are none of the usual ones → level → rows; the rest have no level."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for slot in row["descriptors"].keys() - FEATURES["descriptors"].keys():
            level = row["descriptors"][slot]
            counts.setdefault(slot, Counter()).update([] if level is None else [level])
    return {slot: dict(sorted(counts[slot].items())) for slot in sorted(counts)}


def own_stated(emotions: Mapping[str, int], descriptors: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a corpus has of its own, in sentences; an emotion that is nearly a usual one is asked about."""
    said = []
    if emotions:
        said.append(
            f"emotions of its own: {', '.join(f'{label}{_asked(label)} {n:,}' for label, n in emotions.items())}"
        )
    for slot, levels in descriptors.items():
        counts = ", ".join(f"{level} {n:,}" for level, n in levels.items())
        said.append(f"descriptor of its own: {slot} ({counts or 'no level is known'})")
    return said


def _asked(label: str) -> str:
    near = difflib.get_close_matches(label.lower(), EMOTIONS, n=1, cutoff=0.8)
    return f" (is it {near[0]}?)" if near else ""


def _spellings(known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {spelling: name for name, others in known.items() for spelling in (name, *others)}


_EMOTIONS, _GENDERS, _SPLITS = map(_spellings, (EMOTION_SPELLINGS, GENDER_SPELLINGS, SPLIT_SPELLINGS))


def _usual(text: str, spellings: Mapping[str, str]) -> str | None:
    if not isinstance(text, str):
        raise ValueError(f"label {text!r} is not text")
    return spellings.get(_single(text).lower())


def _single(text: str) -> str:
    return " ".join(text.split())


def _spaced(text: str) -> str:
    return _single(text.replace("_", " "))


def _plain(text: str) -> str:
    """Without what two spellings of a level may differ by."""
    return _spaced(text).replace("-", " ").casefold()


def _one_case(labels: Iterable[str | None]) -> dict[str | None, str | None]:
    """Label → the spelling of it that stays."""
    groups: dict[str, Counter[str]] = {}
    for label in labels:
        if label is not None:
            groups.setdefault(label.casefold(), Counter())[label] += 1
    best = {key: min(group, key=lambda name: (sum(map(str.isupper, name)), name)) for key, group in groups.items()}
    return {None: None} | {name: best[key] for key, group in groups.items() for name in group}
