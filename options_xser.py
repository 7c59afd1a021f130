"""Options of calls, checked: an unknown name is refused with the nearest, a value with what would be right."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Set, Sized
from numbers import Integral

NOT_LISTS = (str, bytes, bytearray, memoryview, Mapping, Set)  # though they have a length and can be walked through
GENDER_SPELLINGS = {"female": ("f", "fem", "woman"), "male": ("m", "masc", "man")}


class UnknownOption(TypeError, ValueError):
    """An option that does not exist: a `TypeError` as Python has it, and a user's mistake as any other."""


def refuse_unknown(
    where: str, names: Iterable[str], known: Collection[str], listed: Iterable[str] | None = None
) -> None:
    """Raise `UnknownOption` where `names` holds one that is not `known`; it is named with the nearest.

    Args:
        where: whose options they are.
        listed: those that the message lists; all that are known by default.
    """
    unknown = [f"{name!r}{nearest(name, known)}" for name in names if name not in known]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        listed = ", ".join(known if listed is None else listed) or "none"
        raise UnknownOption(f"{where}: unknown option{plural} {', '.join(unknown)}; there are: {listed}")


def nearest(name: object, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where one of `known` is spelled like `name`, else nothing."""
    spelled = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(str(name).casefold(), spelled, n=1)
    return f" (did you mean {spelled[found[0]]!r}?)" if found else ""


def known_options_only(function: Callable) -> Callable:
    """Make `function` refuse keyword arguments that it does not have as `refuse_unknown` does."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    where = function.__qualname__.removesuffix(".__call__")

    @functools.wraps(function)
    def checked(*args, **options):
        refuse_unknown(where, options, known)
        return function(*args, **options)

    return checked


def check_flag(name: str, value: object) -> bool:
    """`value` where it is True or False; nothing else is taken for one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be True or False")
    return value


def check_batch_size(value: object) -> int:
    """`value` as an int where it is a whole number of at least 1, else `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"batch_size is {value!r}; it must be a whole number, at least 1")
    return int(value)


def known_gender(gender: object, known: Collection[str]) -> str:
    """Which of the `known` genders is meant, in whatever case or usual spelling; `ValueError` with the nearest."""
    spelled = {}
    for name in known:
        groups = [(usual, *others) for usual, others in GENDER_SPELLINGS.items()]
        same = next((group for group in groups if name.casefold() in group), ())
        spelled |= dict.fromkeys((name.casefold(), *same), name)
    if isinstance(gender, str) and gender.strip().casefold() in spelled:
        return spelled[gender.strip().casefold()]
    wanted = f"one of {list(known)}" if known else "left out, for the calibration knows no genders"
    raise ValueError(f"gender is {gender!r}{nearest(gender, known)}; it must be {wanted}")


def is_list(value: object) -> bool:
    """Whether `value` is a list, or a column of a table: many values in an order, and how many is known."""
    return isinstance(value, Sized) and isinstance(value, Iterable) and not isinstance(value, NOT_LISTS)


def one_for_each(name: str, values: Iterable, count: int) -> list:
    """`values` as a list with one for each recording, or `ValueError` with both numbers."""
    values = list(values)
    if len(values) != count:
        raise ValueError(
            f"{name} holds {len(values)} entries for {count} recordings: give one for each, in their order"
        )
    return values


__all__ = [
    "UnknownOption",
    "check_batch_size",
    "check_flag",
    "is_list",
    "known_gender",
    "known_options_only",
    "nearest",
    "one_for_each",
    "refuse_unknown",
]
