"""YAML as a card or a record holds it: a key that comes twice is a mistake, not a choice."""

import datetime
import re

import yaml

from xser.publishing.problems import PublishError

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (dict, list)):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a mapping", key_node.start_mark
                )
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} comes twice, again in line {line}: keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(text: str, where: str) -> object:
    """The value of a YAML text.

    Raises:
        PublishError: it is not YAML, or a key comes twice, at any depth.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, such as 2026-13-01
        raise PublishError(f"{where} is not YAML: {_in_a_line(error)}") from error


def front_matter(text: str, where: str) -> dict:
    """The metadata that a card begins with; empty where it has none.

    Raises:
        PublishError: it is not YAML, has a key twice, or is no mapping.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        if re.match(r"\s*---[ \t]*\r?\n", text):
            raise PublishError(f"{where}: its metadata begins with --- and does not end: end it with a line ---")
        return {}
    metadata = load(found[1], f"{where}: its metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise PublishError(f"{where}: its metadata is a {type(metadata).__name__}; it must be lines of key: value")
    return metadata


def plain(value: object) -> object:
    """The value as JSON has it: dates as text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, (datetime.date, datetime.datetime)) else value


def _in_a_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error)
    return said if mark is None or "line" in said else f"{said}, line {mark.line + 1}"
