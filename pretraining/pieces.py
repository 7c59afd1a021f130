"""Recordings decoded once: pieces of at most some seconds, 16 kHz, 16 bits, in one file that is mapped into memory.

A training step can then take its pieces at no cost. An hour is 115 MB.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from tqdm import tqdm

from xser.audio_xser import SAMPLE_RATE, AudioError, at_speed
from xser.corpora.cache import digest, written_beside
from xser.corpora.parallel import map_in_order
from xser.pretraining.screening import UNREADABLE, Rules, cut, read_parts, why_left_out

logger = logging.getLogger(__name__)
VERSION = 1  # of what is kept
LOUDEST = 32_767
EXAMPLES = 10  # names that are noted for each reason


@dataclass
class Recording:
    """One recording of a source: its name there, and a path or a `datasets.Audio(decode=False)` value."""

    id: str
    audio: object


@dataclass
class Prepared:
    """What became of one recording: its pieces' ids and samples, and why it, or pieces of it, were left out."""

    pieces: list[tuple[str, np.ndarray]]
    left_out: list[tuple[str, str]]  # reason, what
    was_cut: bool = False


def prepare_recording(recording: Recording, rules: Rules, speeds: tuple[float, ...]) -> Prepared:
    """Decode, cut and judge one recording; then resample what is kept to each speed.

    At another speed pitch, formants and tempo change together, which makes another voice of it. So these are pieces
    like any others, with targets of their own, and not a perturbation under which targets stay.
    """
    try:
        waves = [piece for part in read_parts(recording.audio) for piece in cut(part, rules.max_seconds)]
    except (AudioError, soundfile.SoundFileError, OSError) as error:
        return Prepared([], [(UNREADABLE, f"{recording.id}: {error}")])
    prepared = Prepared([], [], len(waves) > 1)
    for number, wave in enumerate(waves):
        name = recording.id if len(waves) == 1 else f"{recording.id}#{number}"
        reason = why_left_out(wave, rules)
        if reason is not None:
            prepared.left_out.append((reason, name))
            continue
        for speed in speeds:
            same = speed == 1
            changed = at_speed(wave, speed)
            if len(changed) >= rules.min_seconds * SAMPLE_RATE:
                prepared.pieces.append((name if same else f"{name}@{speed:g}", changed))
    return prepared


class Pieces:
    """Pieces of a source, as `write_pieces` left them.

    Args:
        folder: holds samples.i16 and index.json.

    Attributes: `ids`, `recordings` (of which recording each is, a number), `lengths` in samples, `left_out`
    (reason → number), `examples` (reason → names), `num_cut` recordings that were cut, `digest`.
    """

    def __init__(self, folder: Path):
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.digest = folder.name
        self.ids: list[str] = index["ids"]
        self.recordings = np.array(index["recordings"], dtype=np.int64)
        self.lengths = np.array(index["lengths"], dtype=np.int64)
        self.peaks = np.array(index["peaks"], dtype=np.float32)
        self.left_out: dict[str, int] = index["left_out"]
        self.examples: dict[str, list[str]] = index["examples"]
        self.num_cut: int = index["num_cut"]
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.path = folder / "samples.i16"
        self.samples = np.memmap(self.path, dtype="<i2", mode="r") if len(self.ids) else np.zeros(0, np.int16)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seconds(self) -> np.ndarray:
        """(N,) length of each piece."""
        return self.lengths / SAMPLE_RATE

    def wave(self, index: int) -> np.ndarray:
        """(S,) float32 at 16 kHz."""
        samples = np.asarray(self.samples[self.offsets[index] : self.offsets[index + 1]])
        return samples * np.float32(self.peaks[index] / LOUDEST)


def write_pieces(
    root: Path, name: str, stamp: object, recordings: Iterable[Recording], rules: Rules, speeds: tuple[float, ...]
) -> Pieces:
    """Prepare all recordings of a source, once: what is on disk already is opened.

    Args:
        root: folder of the cache.
        name: what progress is called.
        stamp: JSON-able; changes whenever the recordings do.
    """
    folder = root / digest("pieces", VERSION, stamp, asdict(rules), speeds)
    if not (folder / "index.json").is_file():
        with written_beside(folder, keep_others=True) as beside:
            beside.mkdir()
            with (beside / "samples.i16").open("wb") as file:
                index = _write(file, name, recordings, rules, speeds)
            (beside / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    pieces = Pieces(folder)
    hours = pieces.seconds.sum() / 3600
    logger.info("%s: %d pieces, %.2f h; left out: %s", name, len(pieces), hours, pieces.left_out or "none")
    return pieces


def _write(
    file: BinaryIO, name: str, recordings: Iterable[Recording], rules: Rules, speeds: tuple[float, ...]
) -> dict:
    """Append all samples to `file`; each piece as loud as 16 bits allow, its peak in the index."""
    ids, numbers, lengths, peaks, num_cut = [], [], [], [], 0
    left_out, examples = Counter(), {}
    prepared = map_in_order(lambda recording: prepare_recording(recording, rules, speeds), recordings)
    for number, each in enumerate(tqdm(prepared, desc=f"preparing {name}", unit="recording", disable=None)):
        num_cut += each.was_cut
        for reason, what in each.left_out:
            left_out[reason] += 1
            if len(examples.setdefault(reason, [])) < EXAMPLES:
                examples[reason].append(what)
        for piece_id, wave in each.pieces:
            peak = float(np.abs(wave).max())
            file.write(np.rint(wave * (LOUDEST / peak)).astype("<i2").tobytes())
            ids.append(piece_id)
            numbers.append(number)
            lengths.append(len(wave))
            peaks.append(peak)
    return {
        "ids": ids,
        "recordings": numbers,
        "lengths": lengths,
        "peaks": peaks,
        "left_out": dict(left_out),
        "examples": examples,
        "num_cut": num_cut,
    }
