"""What two corpora share: figures on the one flatter a model that was trained on the same recordings or speakers."""

from collections import Counter
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from xser.corpora.catalogue import SHARED_BY_DESIGN
from xser.corpora.parallel import map_in_order
from xser.corpora.recording import hear, read_recording


@dataclass(frozen=True)
class SharedAudio:
    """The same samples twice: ids and splits of both."""

    a: str
    b: str
    split_a: str | None
    split_b: str | None


@dataclass(frozen=True)
class SharedSpeaker:
    """A speaker of one corpus in both; rows of each."""

    corpus: str
    speaker: str
    n_a: int
    n_b: int


@dataclass
class Leaks:
    """What two data sets share; true where there is anything but speakers whom a corpus shares by design (MELD).

    Args:
        audio: recordings with the same rate and the same samples, to 16 bits, whatever their formats.
        speakers: speakers of the same corpus by the same name.
        unread: id → why its recording could not be compared.
    """

    audio: list[SharedAudio] = field(default_factory=list)
    speakers: list[SharedSpeaker] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.audio or any(speaker.corpus not in SHARED_BY_DESIGN for speaker in self.speakers))

    def by_design(self) -> dict[str, str]:
        """Corpora whose own splits share speakers, of which some are shared here → why they do."""
        return {s.corpus: SHARED_BY_DESIGN[s.corpus] for s in self.speakers if s.corpus in SHARED_BY_DESIGN}

    def rows(self) -> list[tuple[str, str, str]]:
        """What is shared, where in a, where in b: for a table."""
        speakers = [(f"speaker {s.speaker} ({s.corpus})", f"{s.n_a:,} rows", f"{s.n_b:,} rows") for s in self.speakers]
        return speakers + [("recording", _place(s.a, s.split_a), _place(s.b, s.split_b)) for s in self.audio]


def find_leaks(a: Iterable[dict], b: Iterable[dict], workers: int | None = None) -> Leaks:
    """Compare all rows of two data sets.

    Args:
        a, b: rows of the one schema: `Dataset`s, or streams; only fingerprints are kept of each row.
        workers: threads; as many as there are cores if not given.
    """
    leaks = Leaks()
    rows_a, speakers_a = _fingerprints(a, leaks, workers, "a")
    rows_b, speakers_b = _fingerprints(b, leaks, workers, "b")
    for fingerprint in rows_a.keys() & rows_b.keys():
        leaks.audio += [
            SharedAudio(id_a, id_b, split_a, split_b)
            for id_a, split_a in rows_a[fingerprint]
            for id_b, split_b in rows_b[fingerprint]
        ]
    leaks.audio.sort(key=lambda shared: (shared.a, shared.b))
    for corpus, speaker in sorted(speakers_a.keys() & speakers_b.keys()):
        counts = speakers_a[corpus, speaker], speakers_b[corpus, speaker]
        leaks.speakers.append(SharedSpeaker(corpus, speaker, *counts))
    return leaks


def _fingerprints(
    rows: Iterable[dict], leaks: Leaks, workers: int | None, name: str
) -> tuple[dict[str, list[tuple[str, str | None]]], Counter[tuple[str, str]]]:
    """Fingerprint → id and split of its rows; corpus and speaker → number of rows."""
    places: dict[str, list[tuple[str, str | None]]] = {}
    speakers: Counter[tuple[str, str]] = Counter()
    heard = map_in_order(_listen, rows, workers)
    total = len(rows) if isinstance(rows, Sized) else None
    for row, fingerprint, reason in tqdm(heard, desc=f"listening to {name}", total=total, unit="file"):
        if row["corpus"] is not None and row["speaker"] is not None:
            speakers[row["corpus"], row["speaker"]] += 1
        if fingerprint is None:
            leaks.unread[row["id"]] = reason
        else:
            places.setdefault(fingerprint, []).append((row["id"], row["split"]))
    return places, speakers


def _listen(row: dict) -> tuple[dict, str | None, str | None]:
    """A row without its audio, and its fingerprint or why there is none."""
    known = {name: row[name] for name in ("id", "split", "corpus", "speaker")}
    data = row["audio"]["bytes"]
    try:
        return known, hear(read_recording(Path(row["audio"]["path"])) if data is None else data).fingerprint, None
    except (ValueError, OSError) as error:
        return known, None, str(error)


def _place(row_id: str, split: str | None) -> str:
    return f"{row_id} ({split})" if split else row_id
