"""Files and rows of corpora, for tests: recordings, many names of one tiny file, counts."""

import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
import soundfile

from xser.corpora import make_row
from xser.corpora.source import Corpus, Found

RATE = 16_000


def noise(seed: int, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    """16-bit samples, so that every lossless format holds the same."""
    return (np.random.default_rng(seed).standard_normal(int(seconds * rate)) * 2000).astype(np.int16)


def encoded(samples: np.ndarray, kind: str = "WAV", rate: int = RATE, subtype: str | None = None) -> bytes:
    """A file that holds these samples."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def plant(root: Path, names: Iterable[str], content: bytes = b"RIFF") -> Path:
    """One tiny file under many names, as hard links; gives the root."""
    root.mkdir(parents=True, exist_ok=True)
    seed = root / ".seed"
    seed.write_bytes(content)
    made = set()
    for name in names:
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        os.link(seed, path)
    seed.unlink()
    return root


def by(rows: list[dict], column: str) -> dict:
    """Value of a column → number of rows."""
    return dict(Counter(row[column] for row in rows))


def known(row: dict) -> dict:
    """What a row says, but for its recording and descriptors."""
    return {name: value for name, value in row.items() if value is not None and name not in ("audio", "descriptors")}


def left_out(report: dict) -> dict[str, str]:
    """File → reason, of a report."""
    return {one["file"]: one["reason"] for one in report["left_out"]}


def all_rows(folder: Path) -> list[dict]:
    """Rows of all splits of a prepared folder."""
    return [row for part in datasets.load_from_disk(str(folder)).values() for row in part]


class Toy:
    """A corpus whose files are named SPEAKER_EMOTION_NUMBER.wav; speakers are folds. It counts what it reads."""

    def __init__(self, root: Path):
        self.root, self.read_paths, self.splits = root, [], {}
        self.corpus = Corpus("toy", self.find, licence="none at all", read=self.read)
        root.mkdir()

    def fill(self) -> "Toy":
        """Three speakers with four recordings each."""
        for speaker in ("a", "b", "c"):
            for number, emotion in enumerate(["happy", "sad", "happy", "neutral"]):
                self.add(f"{speaker}_{emotion}_{number}.wav")
        return self

    def add(self, name: str, data: bytes | None = None) -> None:
        """A recording; distinct noise if not given."""
        (self.root / name).write_bytes(encoded(noise(len(list(self.root.iterdir())))) if data is None else data)

    def find(self, source: Path) -> Found:
        rows = []
        for path in sorted(source.glob("*.wav")):
            speaker, emotion, _ = path.stem.split("_")
            known = {"speaker": speaker, "emotion": emotion, "fold": speaker, "session": f"s-{speaker}"}
            audio = {"bytes": None, "path": str(path)}
            rows.append(make_row(id=path.stem, audio=audio, corpus="toy", split=self.splits.get(path.stem), **known))
        return Found(rows, {"extra.txt": "it is no recording"})

    def read(self, path: Path) -> bytes:
        self.read_paths.append(path.name)
        return path.read_bytes()
