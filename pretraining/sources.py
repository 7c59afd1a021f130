"""Where recordings to pretrain on come from: corpora of the one schema, and plain folders of audio files."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from xser.corpora import cache, load_corpus
from xser.corpora.cache import cache_root
from xser.pretraining.arguments import TowerDataArguments
from xser.pretraining.items import Source
from xser.pretraining.pieces import Pieces, Recording, write_pieces
from xser.pretraining.screening import Rules
from xser.training.sampler import stable_hash

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")
OTHER_FILE, LEFT_OUT_SPEAKER = "file of another kind", "speaker left out"


@dataclass
class TowerData:
    """A source's pieces, those to train on and those held out (indices), and its weight in training."""

    name: str
    weight: float
    pieces: Pieces
    train: np.ndarray
    held_out: np.ndarray
    left_out: dict[str, int]

    def report(self) -> dict:
        """What environment.json says of it."""
        hours = {
            part: round(self.pieces.seconds[getattr(self, part)].sum() / 3600, 3) for part in ("train", "held_out")
        }
        counts = {"pieces": len(self.pieces), "recordings_cut": self.pieces.num_cut, "hours": hours}
        return {**counts, "left_out": self.left_out, "examples": self.pieces.examples}


def load_sources(arguments: TowerDataArguments, seed: int) -> list[TowerData]:
    """Prepare every source, and hold recordings out.

    Raises:
        ValueError: a source that is empty, a speaker that does not exist, or an error of `load_corpus`.
        FileNotFoundError: no such folder or corpus.
    """
    rules = arguments.rules
    root = cache_root(arguments.cache_dir) / "tower"
    return [_load(source, rules, root, arguments.held_out, seed) for source in arguments.sources]


def _load(source: Source, rules: Rules, root: Path, share: float, seed: int) -> TowerData:
    if source.folder is not None:
        stamp, recordings, left_out = _folder_recordings(source)
    else:
        stamp, recordings, left_out = _corpus_recordings(source)
    pieces = write_pieces(root, source.name, stamp, recordings, rules, source.speeds)
    left_out = dict(left_out + Counter(pieces.left_out))
    if not len(pieces):
        raise ValueError(f"{source.name} has nothing to train on; left out: {left_out or 'nothing, it is empty'}")
    train, held_out = hold_out(pieces, share, seed)
    if not len(train):
        raise ValueError(f"{source.name} has one recording, which is held out: set held_out to 0, or give more")
    return TowerData(source.name, source.weight, pieces, train, held_out, left_out)


def hold_out(pieces: Pieces, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pieces to train on, and of those held out: whole recordings, chosen by a hash of their number."""
    recordings = np.unique(pieces.recordings)
    order = sorted(recordings.tolist(), key=lambda number: stable_hash(seed, "held out", number))
    chosen = order[: int(np.ceil(share * len(order)))]
    is_held_out = np.isin(pieces.recordings, chosen)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _folder_recordings(source: Source) -> tuple[object, list[Recording], Counter]:
    """All audio files below a folder, by name."""
    folder = Path(source.folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"data names the folder {folder}, which does not exist")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    audio = [path for path in files if path.suffix.lower() in SUFFIXES]
    left_out = Counter({OTHER_FILE: len(files) - len(audio)}) if len(files) > len(audio) else Counter()
    audio = _evenly(audio, source.limit)
    names = [path.relative_to(folder).as_posix() for path in audio]
    stamp = [(str(folder.absolute()), name, *cache.stamp(path)) for name, path in zip(names, audio, strict=True)]
    return stamp, [Recording(name, path) for name, path in zip(names, audio, strict=True)], left_out


def _evenly(items: list, limit: int | None) -> list:
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def _corpus_recordings(source: Source) -> tuple[object, Iterator[Recording], Counter]:
    """Rows of a corpus, without the speakers that are left out."""
    corpus = load_corpus(source.corpus, split=source.split, **(source.options or {}))
    if isinstance(corpus, datasets.DatasetDict):
        if "train" not in corpus:
            raise ValueError(f"{source.corpus} has splits {sorted(corpus)}, and none is 'train': give split")
        corpus = corpus["train"]
    left_out = Counter()
    if source.leave_out_speakers:
        corpus, number = _without_speakers(corpus, source)
        left_out[LEFT_OUT_SPEAKER] = number
    if source.limit is not None:
        corpus = corpus.select(_evenly(list(range(len(corpus))), source.limit))
    rows = corpus.select_columns(["id", "audio"])
    return (source.corpus, rows._fingerprint), (Recording(row["id"], row["audio"]) for row in rows), left_out


def _without_speakers(corpus: datasets.Dataset, source: Source) -> tuple[datasets.Dataset, int]:
    speakers = corpus["speaker"][:]
    if number := sum(speaker is None for speaker in speakers):
        raise ValueError(f"{source.name}: leave_out_speakers is given, but {number} rows do not say who speaks")
    unknown = sorted(set(source.leave_out_speakers) - set(speakers))
    if unknown:
        known = sorted({str(speaker) for speaker in speakers})
        raise ValueError(f"{source.name}: leave_out_speakers names {unknown}; its speakers are {known[:20]}")
    kept = [index for index, speaker in enumerate(speakers) if speaker not in source.leave_out_speakers]
    return corpus.select(kept), len(corpus) - len(kept)
