"""YAML files of options, one on top of another: `base: other.yaml`.

The base is read first, the file's own keys win. A mapping joins the base's by key, one level deep: of `{beta: 0.1}`
over `{beta: 0.01, latent_size: 256}` the latent size stays, and a key that is null leaves the base's out. An empty
mapping (`descriptors: {}`) takes the place of the base's as a whole, and so do lists, numbers, text and null.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

BASE = "base"
PACKAGE, CONFIGS = Path(__file__).parent.parent, "configs"


class Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as it is in JSON and in Python."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that is most like this one."""
    return difflib.get_close_matches(str(name), list(known), n=1, cutoff=0)[0]


def read_yaml(path: str | Path, base: str | Path | None = None) -> dict:
    """The options of a YAML file over those of its base, without the key `base`.

    Args:
        path: `configs/…` that is not there is this package's own.
        base: a file to read in place of the one that `path` names, from where the process runs.

    Raises:
        ValueError: names the file and what is wrong with it: it is no mapping, repeats a key, or is its own base.
        FileNotFoundError: there is none; names the nearest one beside it, and the file whose base it is.
    """
    return _resolved(_found(Path(path)), None if base is None else Path(base), ())


def merged(base: dict, own: dict) -> dict:
    """`own` over `base`, mappings by key one level deep."""
    options = {**base, **own}
    for key, value in own.items():
        if isinstance(value, dict) and value and isinstance(base.get(key), dict):
            both = {**base[key], **value}
            options[key] = {name: each for name, each in both.items() if each is not None or name not in base[key]}
    return options


def _resolved(path: Path, base: Path | None, above: tuple[Path, ...]) -> dict:
    """The options of a file over those of its base; `above` are the files whose base it is, the first one first."""
    own = _read(path)
    named = own.pop(BASE, None)
    if named is not None and (not isinstance(named, str) or not named):
        raise ValueError(f"{path}: {BASE} is {named!r}; it must be the path of a YAML file, from this file's folder")
    if base is None and named is None:
        return own
    chain = (*above, path)
    try:
        below = _found(base if base is not None else path.parent / named)
    except OSError as error:
        raise FileNotFoundError(f"{path}: its {BASE} {str(base or named)!r} cannot be read: {error}") from error
    if below.resolve() in [each.resolve() for each in chain]:
        cycle = " → ".join(map(str, (*chain, below)))
        raise ValueError(f"{path}: {BASE} leads back to where it came from: {cycle}")
    return merged(_resolved(below, None, chain), own)


def _found(path: Path) -> Path:
    """Where a file lies; `configs/…` that is not there is this package's own."""
    if path.parts[:1] == (CONFIGS,) and not path.exists() and (PACKAGE / path).is_file():
        path = PACKAGE / path
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a YAML file of options, such as {path / 'config.yaml'}")
    if not path.is_file():
        beside = sorted(str(each) for each in path.parent.glob("*.yaml"))
        close = f"; the nearest is {nearest(path, beside)}" if beside else ": give a YAML file of options"
        raise FileNotFoundError(f"{path} does not exist{close}")
    return path


def _read(path: Path) -> dict:
    """One file, as it is."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8, as YAML is: {error}") from error
    try:
        node = yaml.compose(text, Loader=Loader)
        config = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, not {type(config).__name__}")
    keys = [key.value for key, _ in node.value]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{path} gives {repeated} more than once")
    return config
