"""Values of options, checked: what is not right is refused with what would be."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Set, Sized
from numbers import Integral

from .options_xser import nearest, refuse_unknown

LOOKS_ALIKE = 0.6  # of spellings, from which on one may be a slip for the other
NOT_LISTS = (str, bytes, bytearray, memoryview, Mapping, Set)  # though they have a length and can be walked through
GENDER_SPELLINGS = {"female": ("f", "fem", "w", "woman", "women"), "male": ("m", "masc", "man", "men")}


def known_options_only(function: Callable) -> Callable:
    """Make `function` refuse keyword arguments that it does not have as `refuse_unknown` does."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    where = function.__qualname__.removesuffix(".__call__")

    @functools.wraps(function)
    def checked(*args, **options):
        refuse_unknown(options, known, where)
        return function(*args, **options)

    return checked


def hint(name: object, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where one of `known` is spelled like `name`, else nothing."""
    spelled = {each.casefold(): each for each in known}
    found = nearest(str(name).casefold(), spelled, LOOKS_ALIKE)
    return "" if found is None else f" (did you mean {spelled[found]!r}?)"


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


def spelled_gender(gender: str) -> str:
    """`female` or `male` where it is a spelling of either, else as it is, without case."""
    bare = gender.strip().casefold()
    return next((name for name, others in GENDER_SPELLINGS.items() if bare in others), bare)


def known_gender(gender: object, known: Collection[str]) -> str:
    """Which of the `known` genders is meant, in whatever case or usual spelling; `ValueError` with the nearest."""
    spelled = {spelled_gender(name): name for name in known}
    if isinstance(gender, str) and spelled_gender(gender) in spelled:
        return spelled[spelled_gender(gender)]
    wanted = f"one of {list(known)}" if known else "left out, for the calibration knows no genders"
    raise ValueError(f"gender is {gender!r}{hint(gender, known)}; it must be {wanted}")


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
    "GENDER_SPELLINGS",
    "check_batch_size",
    "check_flag",
    "hint",
    "is_list",
    "known_gender",
    "known_options_only",
    "one_for_each",
    "spelled_gender",
]
