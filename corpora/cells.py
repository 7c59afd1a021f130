"""A row of the schema from the values of a user's table; what a column does not take is an error that says so."""

import difflib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath

from xser.corpora.labels import EMPTY, Labels, level_label, slot_name
from xser.corpora.metadata import NESTED, is_missing
from xser.corpora.schema import DIMENSIONS, LEVELS, make_row, unit_interval
from xser.grammar_xser import quote

ALIASES = {  # column of the schema → names that it may have in a table
    "id": ("id",),
    "text": ("text", "transcription", "sentence"),
    "caption": ("caption", "description", "text_description"),
    "emotion": ("emotion", "label"),
    **{slot: (slot,) for slot in LEVELS},
    "emphasis": ("emphasis",),  # words separated by spaces, or a list; "none" for no word
    "valence": ("valence",),  # numbers on the scale `dimension_range`
    "arousal": ("arousal", "activation"),
    "dominance": ("dominance",),
    "ratings": ("ratings", "votes", "rater_labels"),  # emotions separated by "," or ";", or a list
    "speaker": ("speaker", "speaker_id"),
    "gender": ("gender",),
    "age": ("age",),  # years; words are levels of a descriptor
    "language": ("language",),
    "session": ("session",),
    "fold": ("fold",),
    "split": ("split",),
    "corpus": ("corpus",),  # else the folder's name
    "duration": ("duration",),  # read from the recording all the same
}
COLUMN_OF = {alias: column for column, aliases in ALIASES.items() for alias in aliases}
EMPHASIS, RATINGS, AGE = "emphasis", "ratings", "age"
UNIT_RANGE = (0.0, 1.0)
MAX_YEARS = 150
MAX_CHARACTERS = 300  # of what is not text: a label, a name
_WITHOUT_LEVELS = ("emotion", EMPHASIS, "id", "text", "caption", RATINGS, "duration")
_LONG = ("text", "caption")
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85]+")

Asked = Mapping[str, Iterable[str] | None] | Iterable[str] | None


def asked_levels(descriptors: Asked) -> dict[str, tuple[str, ...] | None]:
    """Columns that are asked for as descriptors → the levels that they may have, None for any.

    Raises:
        ValueError: it is neither a list of columns nor a map from columns to levels, or names what is no descriptor.
    """
    if isinstance(descriptors, str) or not isinstance(descriptors, Mapping | list | tuple | None):
        example = "['arousal'], or {'arousal': ['low', 'high']}"
        raise ValueError(f"descriptors is {descriptors!r}: give columns, as in {example}")
    asked = dict(descriptors) if isinstance(descriptors, Mapping) else dict.fromkeys(descriptors or ())
    found: dict[str, tuple[str, ...] | None] = {}
    for column, levels in asked.items():
        if not isinstance(column, str) or column in (*_WITHOUT_LEVELS, NESTED):
            raise ValueError(f"descriptors names {column!r}, which has no levels; name columns such as 'arousal'")
        slot_name(column)
        if levels is not None:
            if isinstance(levels, str) or not all(isinstance(level, str) for level in levels) or len(set(levels)) < 2:
                raise ValueError(f"descriptors[{column!r}] is {levels!r}: give at least two different levels, or None")
            levels = tuple(level_label(slot_name(column), level) for level in levels)
        found[column] = levels
    return found


class Cells:
    """Reads the records of one corpus into rows.

    Args:
        emotion_map: see `Labels`.
        descriptors: columns that are descriptors of the corpus's own: a list, or a map to the levels they may have.
            Columns named `descriptors.NAME` are such in any case.
        dimension_range: the lowest and the highest value of the scale of valence, arousal and dominance.

    Attributes:
        labels: what became of which label.
    """

    def __init__(
        self,
        emotion_map: Mapping | None = None,
        descriptors: Asked = None,
        dimension_range: Sequence[float] | None = None,
    ):
        if not isinstance(emotion_map, Mapping | None):
            raise ValueError(f"emotion_map is {emotion_map!r}: give a map, as in {{'W': 'angry', 'L': None}}")
        self.dimension_range = _checked_range(dimension_range)
        self.asked = asked_levels(descriptors)
        levels = {slot_name(column): allowed or LEVELS.get(column) for column, allowed in self.asked.items()}
        self.labels = Labels(emotion_map or {}, {**LEVELS, **levels})
        self._meanings: dict[str, tuple[str | None, str | None]] = {}

    def check_header(self, where: str, header: list[str], audio: tuple[str, ...], ignored: tuple[str, ...]) -> None:
        """Check the columns of a table.

        Args:
            audio: names that the column of recordings may have.
            ignored: columns that are known, and not read.

        Raises:
            ValueError: a column that is not known, with the nearest name; two for one; one that is asked for and not
                there.
        """
        self.check_asked(where, header)
        known = [*audio, *COLUMN_OF, *ignored]
        for name in header:
            column, slot = (name, None) if name in audio else self._meaning(where, name)
            if column is None and slot is None and name not in ignored:
                raise ValueError(
                    f"{where}: column {short(name)} is not known{nearest(name, known)}; known are {known}. As a "
                    f"descriptor of its own, ask for it: descriptors=[{short(name)}]; else take it out"
                )
        self.check_repeats(where, [name for name in header if name not in audio])
        if len(recordings := [name for name in header if name in audio]) > 1:
            raise ValueError(f"{where}: more than one column for {audio[0]}: keep one of {recordings}")

    def check_asked(self, where: str, names: Iterable[str]) -> None:
        """Raise `ValueError` where a column that is asked for as a descriptor is not there."""
        for column in self.asked:
            if not {column, f"{NESTED}.{column}"} & {*names}:
                near = nearest(column, names)
                raise ValueError(
                    f"{where}: there is no column {column!r} for descriptors{near}; there are {shown(names)}"
                )

    def check_repeats(self, where: str, names: Iterable[str], kind: str = "column") -> None:
        """Raise `ValueError` where two columns say the same."""
        found: dict[str, str] = {}
        for name in names:
            column, slot = self._meaning(where, name)
            for target in filter(None, (column, slot and f"{NESTED}.{slot}")):
                if found.setdefault(target, name) != name:
                    both = [found[target], name]
                    raise ValueError(f"{where}: more than one {kind} for {column or slot}: keep one of {shown(both)}")

    def row(self, where: str, values: Mapping[str, object], **more) -> dict:
        """A row of the schema; values that are missing are not known.

        Args:
            where: for errors: which file, and which line or row.
            values: column, as it is named in the table → value; columns that are not known are passed over.
            more: columns that need no check.

        Raises:
            ValueError: a value that its column does not take.
        """
        known, levels = dict(more), {}
        for name, value in values.items():
            if is_missing(value):
                continue
            column, slot = self._meaning(where, name)
            if column == AGE and slot is None and _is_age_in_words(value):
                slot = AGE
                self.labels.levels.setdefault(AGE, None)
            if slot == EMPHASIS:
                levels[slot] = named(where, _emphasis, value)
            elif slot is not None:
                levels[slot] = named(where, self._level, slot, value)
            if column == AGE:
                known[column] = _years(value) if slot == AGE else whole_years(where, value)
            elif column in DIMENSIONS:
                known[column] = named(where, self._dimension, column, value)
            elif column == RATINGS:
                known[column] = named(where, self._ratings, value)
            elif column is not None and column != "duration":
                known[column] = named(where, self._text_or_label, column, value)
        return make_row(self._own_slots, **known, descriptors=levels)

    def settle(self, rows: list[dict]) -> dict[str, dict[str, str | None]]:
        """Bring all rows, in place, to the same descriptors and to one spelling a label; see `Labels.settle`."""
        for row in rows:
            row["descriptors"] |= {slot: None for slot in self._own_slots if slot not in row["descriptors"]}
        return self.labels.settle(rows)

    @property
    def _own_slots(self) -> list[str]:
        return [slot for slot in self.labels.levels if slot not in LEVELS]

    def _meaning(self, where: str, name: str) -> tuple[str | None, str | None]:
        """Column of the schema, and descriptor, that a column of a table is; None where it is none."""
        if name not in self._meanings:
            self._meanings[name] = self._new_meaning(where, name)
        return self._meanings[name]

    def _new_meaning(self, where: str, name: str) -> tuple[str | None, str | None]:
        nested, _, slot = name.partition(".")
        if nested == NESTED and slot:
            if slot not in (*LEVELS, EMPHASIS):
                slot = named(f"{where}: column {short(name)}", slot_name, slot)
                self.labels.levels.setdefault(slot, None)
            return None, slot
        column = COLUMN_OF.get(name)
        if column in (*LEVELS, EMPHASIS):
            return None, column
        slot = slot_name(name) if name in self.asked else None
        return (None if slot and column in DIMENSIONS else column), slot

    def _dimension(self, name: str, value: object) -> float:
        """A rating from 0 to 1."""
        low, high = self.dimension_range
        number = None if isinstance(value, bool) else _number(value)
        if number is None:
            asked = f"; if its values are levels, ask for a descriptor: descriptors=[{name!r}]"
            raise ValueError(f"{name} {short(value)} is not a number from {low:g} to {high:g}{asked}")
        rating = unit_interval(number, low, high)
        if rating is None:
            raise ValueError(
                f"{name} {short(value)} is not within {low:g} to {high:g}; its scale is dimension_range, as in [1, 7]"
            )
        return rating

    def _ratings(self, value: object) -> list[str] | None:
        """The emotions that raters gave; those that are not known are left out, None where none is left."""
        if isinstance(value, str) and not value.strip().startswith("["):
            value = [label for label in re.split(r"[,;]", value) if label.strip()]
        if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
            raise ValueError(f"ratings {short(value)} are neither emotions separated by ',' or ';' nor a list of them")
        emotions = [self.labels.emotion(_text(RATINGS, label, numbers=False)) for label in value if label.strip()]
        return [emotion for emotion in emotions if emotion is not None] or None

    def _level(self, slot: str, value: object) -> str | None:
        if slot == "age" and (years := _years(value)) is not None:
            return self.labels.age(years)
        written = _text(slot, value, numbers=True)
        try:
            return self.labels.level(slot, written)
        except ValueError as error:
            if any(map(str.isdigit, written)) and self.labels.levels[slot] is None:
                raise ValueError(f"{error}; give levels as words, such as low, mid and high") from error
            raise

    def _text_or_label(self, column: str, value: object) -> str | None:
        written = _text(column, value, numbers=column not in _LONG)
        label = {"emotion": self.labels.emotion, "gender": self.labels.gender, "split": self.labels.split}.get(column)
        return written if label is None else label(written)


def ids_of(files: list[str], ids: list[str | None]) -> list[str]:
    """The id of each row: its own, else its file's path without the suffix, or with it where files differ by that.

    Args:
        files: paths of recordings within their folder, with forward slashes.
        ids: those that the table gives.
    """
    stems = [PurePath(file).with_suffix("").as_posix() if PurePath(file).name else file for file in files]
    by_name = {(stem, file) for stem, file, own in zip(stems, files, ids, strict=True) if own is None}
    several = Counter(stem for stem, _ in by_name)
    names = [file if several[stem] > 1 else stem for stem, file in zip(stems, files, strict=True)]
    return [name if own is None else own for name, own in zip(names, ids, strict=True)]


def whole_years(where: str, value: object) -> int:
    """An age as text or number; `ValueError`, that begins with `where`, for what is no age of a person."""
    years = _years(value)
    if years is None:
        raise ValueError(f"{where}: age {short(value)} is not a whole number of years")
    return years


def check_options(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ValueError` for an option that is not known, with the nearest name."""
    known = list(known)
    for name in given:
        if name not in known:
            raise ValueError(f"{what} has no option {name!r}{nearest(name, known)}; it has {known}")


def check_characters(name: str, text: str) -> None:
    """Raise `ValueError` where a text or path holds control characters, or what is no character by itself."""
    if text.isprintable():
        return
    for place, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs"):
            at = f"U+{ord(character):04X} at {place + 1}"
            raise ValueError(f"{name} {short(text)} holds the control character {at}: take it out")


def _years(value: object) -> int | None:
    years = -1.0 if isinstance(value, bool) else _number(value)
    return int(years) if years is not None and 0 <= years < MAX_YEARS and years.is_integer() else None


def _is_age_in_words(value: object) -> bool:
    """Whether an age is a level, such as "elderly", rather than years, or a mistake in them, such as "31 y"."""
    if not isinstance(value, str) or value.strip().lower() in EMPTY:
        return False
    return any(map(str.isalpha, value)) and not any(map(str.isdigit, value))


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def _checked_range(given: object) -> tuple[float, float]:
    """The scale of valence, arousal and dominance: its lowest and its highest value."""
    if given is None:
        return UNIT_RANGE
    numbers = [_number(end) for end in given] if isinstance(given, list | tuple) else []
    if len(numbers) != 2 or None in numbers or not -math.inf < numbers[0] < numbers[1] < math.inf:
        raise ValueError(f"dimension_range is {given!r}: give the lowest and the highest value, as in [1, 7]")
    return numbers[0], numbers[1]


def _text(name: str, value: object, numbers: bool) -> str:
    """A value as text on one line; identifiers may be numbers, and whole ones that a gap has made floats, too."""
    if isinstance(value, float) and value.is_integer() and numbers:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and numbers:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} {short(value)} is not text: write it as text, or leave it empty")
    text = _BREAKS.sub(" ", value).strip()
    if name not in _LONG and len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} {short(text)} has {len(text)} characters: give at most {MAX_CHARACTERS}")
    check_characters(name, text)
    return text


def _emphasis(value: object) -> list[str]:
    if isinstance(value, str):
        if value.strip().startswith("["):
            raise ValueError(f"emphasis {short(value)} is a list written as text: give words separated by spaces")
        words = [] if value.strip().lower() == "none" else value.split()
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        words = [word.strip() for word in value]
    else:
        raise ValueError(f"emphasis {short(value)} is neither words nor a list of words")
    for word in words:
        quote(word)  # what it refuses cannot stand in an answer
    return words


def named(where: str, function: Callable, *arguments):
    """What a function gives; its `ValueError` says where."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names what comes nearest, or nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(names: Iterable[str], most: int = 40) -> str:
    """Names of columns, as a list that is not too long."""
    names = [name if len(name) <= MAX_CHARACTERS else f"{name[:MAX_CHARACTERS]}…" for name in names]
    return str(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def short(value: object, most: int = 60) -> str:
    """A value as an error shows it."""
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}…"
