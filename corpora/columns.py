"""Which columns of a table are which columns of the schema, where its own names say otherwise:

    load_corpus("captions", columns={"caption": "text_description", "text": "original_text"})

A column that is named so goes before one that has the schema's name. With such a mapping, columns that neither it nor
the schema names are not read; without one, they are an error.
"""

import logging
from collections.abc import Iterable, Mapping

from xser.corpora.cells import ALIASES, COLUMN_OF, nearest, shown
from xser.corpora.metadata import NESTED

logger = logging.getLogger(__name__)

TARGETS = tuple(name for name in ALIASES if name != "duration")


def check_columns(columns: object, recording: tuple[str, ...]) -> dict[str, str]:
    """A mapping from columns of the schema to columns of a table, checked; the recording is under `recording[0]`.

    Args:
        columns: column of the schema, or `descriptors.NAME` → column of the table; None for no mapping.
        recording: names that the column of recordings may have.

    Raises:
        ValueError: no such mapping, or a name that is no column of the schema, with the nearest one.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping) or not all(isinstance(part, str) for pair in columns.items() for part in pair):
        example = '{"caption": "text_description"}'
        raise ValueError(f"columns is {columns!r}: map columns of the schema to columns of the table, as in {example}")
    checked: dict[str, str] = {}
    for target, source in columns.items():
        known = [recording[0], *TARGETS, f"{NESTED}.NAME"]
        if target not in (*TARGETS, *recording) and not (target.startswith(f"{NESTED}.") and target != f"{NESTED}."):
            near = nearest(target, [*known, *COLUMN_OF])
            raise ValueError(f"columns names {target!r}, which is no column of the schema{near}; name one of {known}")
        name = recording[0] if target in recording else target
        if name in checked:
            raise ValueError(f"columns names the recording twice: keep one of {[*recording]}")
        checked[name] = source
    return checked


def check_sources(where: object, columns: Mapping[str, str], header: Iterable[str]) -> None:
    """Raise `ValueError` where a table lacks a column that a mapping names; says which is nearest."""
    header = list(header)
    for target, source in columns.items():
        if source not in header:
            near = nearest(source, header)
            raise ValueError(
                f"{where}: columns[{target!r}] is {source!r}, which does not exist{near}; there are {shown(header)}"
            )


class Renaming:
    """Gives the columns of a table the names of the schema.

    Args:
        columns: of `check_columns`; without any, nothing is renamed.
        recording: names that the column of recordings may have.
        wanted: columns that are read as they are named, such as descriptors that are asked for.
    """

    def __init__(self, columns: Mapping[str, str], recording: tuple[str, ...], wanted: Iterable[str] = ()):
        self.columns, self.recording, self.wanted = columns, recording, frozenset(wanted)

    def __call__(self, values: Mapping[str, object]) -> dict[str, object]:
        """The values of a row by their new names."""
        if not self.columns:
            return dict(values)
        given = {target: values[source] for target, source in self.columns.items() if source in values}
        return given | {name: value for name, value in values.items() if self._is_kept(name)}

    def header(self, where: object, names: Iterable[str]) -> list[str]:
        """The new names of all columns; those that are not read are named in a warning."""
        names = list(names)
        if not self.columns:
            return names
        unread = [name for name in names if not self._is_kept(name) and name not in self.columns.values()]
        if unread:
            logger.warning("%s: columns %s are not read: columns does not name them", where, shown(unread))
        return [*self.columns, *filter(self._is_kept, names)]

    def _is_kept(self, name: str) -> bool:
        """Whether a column that is not renamed is read under its own name."""
        if name in self.columns.values():
            return False
        if name in self.wanted or name.startswith(f"{NESTED}."):
            return name not in self.columns
        target = self.recording[0] if name in self.recording else COLUMN_OF.get(name)
        return target is not None and target not in self.columns
