"""What was computed from a recording, kept on disk: whichever rows ask for it, it is computed once."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from xser.corpora import cache
from xser.corpora.cache import cache_root, digest, written_beside
from xser.corpora.parallel import map_in_order
from xser.corpora.processes import open_processes

MANY = 500  # recordings, from which on processes are worth their start


def computed_once(
    kind: str,
    rows: Dataset,
    function: Callable[[dict], np.ndarray],
    desc: str,
    dtype: type = np.float32,
    in_processes: bool = False,
) -> list[np.ndarray]:
    """`function` of the audio of each row, in order.

    Kept in a file for each corpus; so is what came before an error or an interruption.

    Args:
        kind: names the function, with all that its values depend on; files of it lie in the cache.
        rows: of the one schema.
        function: of a row's `audio` to (N, D) numbers, D being always the same.
        desc: of the progress bar, which counts what is not known yet.
        dtype: that the numbers are kept in.
        in_processes: `function` is Python and small arrays, for which threads would wait for each other: where there
            are many recordings, processes share them, and `function` must pickle.
    """
    [values] = computed_together((kind,), rows, _Alone(function), desc, dtype, in_processes)
    return values


def computed_together(
    kinds: Sequence[str],
    rows: Dataset,
    function: Callable[[dict], Sequence[np.ndarray]],
    desc: str,
    dtype: type = np.float32,
    in_processes: bool = False,
) -> list[list[np.ndarray]]:
    """As `computed_once`, of several kinds that `function` computes together: for each kind, the values in order."""
    names = [
        "".join(c if c.isalnum() or c in "._-" else "-" for c in corpus or "recordings") for corpus in rows["corpus"]
    ]
    keys = list(zip(names, map_in_order(stamp, rows["audio"]), strict=True))
    places = {(name, kind): cache_root() / "kept" / f"{name}-{kind}.npz" for name in set(names) for kind in kinds}
    known = {of: _read(place) for of, place in places.items()}
    missing = {
        (name, key): index
        for index, (name, key) in enumerate(keys)
        if any(key not in known[name, kind] for kind in kinds)
    }
    if missing:
        pool = open_processes(None) if in_processes and len(missing) >= MANY else nullcontext(map_in_order)
        try:
            with pool as mapping:
                values = mapping(function, rows.select(list(missing.values()))["audio"])
                bar = tqdm(values, total=len(missing), desc=desc, unit="file")
                for (name, key), found in zip(missing, bar, strict=True):
                    for kind, value in zip(kinds, found, strict=True):
                        known[name, kind][key] = np.asarray(value, dtype=dtype)
        finally:
            for of in {(name, kind) for name, _ in missing for kind in kinds}:
                _write(places[of], known[of])
    return [[known[name, kind][key] for name, key in keys] for kind in kinds]


class _Alone:
    """A function of one kind as one of several; a class, so that it pickles."""

    def __init__(self, function: Callable[[dict], np.ndarray]):
        self.function = function

    def __call__(self, audio: dict) -> tuple[np.ndarray]:
        return (self.function(audio),)


def stamp(audio: dict) -> str:
    """Stands for a recording: its bytes, or its place and the stamp of its file."""
    if audio["bytes"] is not None:
        return digest(hashlib.sha256(audio["bytes"]).hexdigest())
    if not audio["path"] or not os.path.isfile(audio["path"]):
        return digest(audio["path"])  # `load_audio` will say what is wrong with it
    return digest(os.path.abspath(audio["path"]), cache.stamp(audio["path"]))


def content(audio: dict) -> str | None:
    """Stands for the bytes of a recording, wherever they lie; None where there are none."""
    if audio["bytes"] is not None:
        return hashlib.sha256(audio["bytes"]).hexdigest()
    if not audio["path"] or not os.path.isfile(audio["path"]):
        return None
    return hashlib.sha256(Path(audio["path"]).read_bytes()).hexdigest()


def _read(place: Path) -> dict[str, np.ndarray]:
    """Stamp of a recording → its values, as `_write` left them."""
    if not place.is_file():
        return {}
    with np.load(place, allow_pickle=False) as kept:
        return dict(zip(kept["stamps"].tolist(), np.split(kept["values"], kept["ends"][:-1]), strict=True))


def _write(place: Path, values: dict[str, np.ndarray]) -> None:
    """Write values, together with those that another process has written in the meantime."""
    values = _read(place) | values
    if values:
        rows = list(values.values())
        with written_beside(place) as beside, beside.open("wb") as file:
            np.savez(
                file,
                stamps=np.array(list(values)),
                values=np.concatenate(rows),
                ends=np.cumsum([len(row) for row in rows]),
            )
