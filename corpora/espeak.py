"""The espeak corpus: English speech with known emotion cues, synthesised on first use, with a known best accuracy.

What is said how often stands in `espeak_table`, the words in `espeak_sentences`, the speakers in `espeak_voices`. Here
an utterance is drawn, spoken, and stored. It depends on (seed, split, index) alone, so the first N of a split are the
same whatever its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
from tqdm.auto import tqdm

from xser.corpora import espeak_sentences, espeak_synthesis, espeak_table, espeak_voices
from xser.corpora.cache import cache_root, digest, open_dataset, write_dataset
from xser.corpora.espeak_recording import SpokenAudio, recorded
from xser.corpora.espeak_sentences import draw_sentence
from xser.corpora.espeak_table import EMOTIONS, LEVELS, PROSODY, bayes_emotion, ceiling, probabilities
from xser.corpora.espeak_voices import SEEN, UNSEEN, Voice
from xser.corpora.parallel import map_in_order
from xser.corpora.recording import hear
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

__all__ = ["CORPUS", "DEFAULT_SIZES", "bayes_emotion", "ceiling", "find", "load_espeak"]

VERSION = 1  # of what this module makes of a drawn utterance: raise it with every change that can be heard
DEFAULT_SIZES = {"train": 24_000, "validation": 600, "test": 1_500, "test_unseen": 600, "adapt": 600}
# split → part of the sentences, voices
SPLITS = {
    "train": ("train", SEEN),
    "validation": ("validation", SEEN),
    "test": ("test", SEEN),
    "test_unseen": ("test", UNSEEN),
    "adapt": ("train", UNSEEN),
}

WORDS_A_MINUTE = 140  # fast, in the fastest voice, stays below 26 characters a second; slow above the least, 80
RMS_DBFS = -38.0  # leaves the loudest voice its peaks
PITCH = {"low": 0.78, "normal": 1.0, "high": 1.28}
VOLUME = {"quiet": -9.0, "normal": 0.0, "loud": 9.0}  # dB
SPEED = {"slow": 0.78, "normal": 1.0, "fast": 1.34}
TONE = {"falling": 0.82, "flat": 1.05, "rising": 1.28}  # pitch of the last word; 1.05 undoes its natural fall
PITCH_RANGE = 12  # of eSpeak NG's 50: its own intonation would hide the tone
EMPHASIS_PITCH, EMPHASIS_VOLUME = 1.22, 150  # eSpeak NG's volume is 50 elsewhere
NO_EMPHASIS = 0.4  # probability
JITTER = {"pitch": 0.02, "speed": 0.03, "volume": 0.8}  # uniform: ± a share, a share, dB
EDGE_SECONDS = (0.05, 0.15)
NOISE_DBFS = -68.0

# What eSpeak NG's pitch parameter makes of a voice's pitch at PITCH_RANGE, measured over voices
_PITCH_PARAMETERS, _PITCH_FACTORS = (0, 15, 30, 50, 75, 95, 100), (0.62, 0.71, 0.81, 1.0, 1.32, 1.67, 1.76)


@dataclass(frozen=True)
class Utterance:
    """What is to be spoken: everything but the sound."""

    id: str
    text: str
    emotion: str
    levels: dict[str, str]
    emphasis: int | None  # index of a word
    voice: Voice
    pitch: float  # the jitter: a factor
    speed: float  # a factor
    volume: float  # dB
    edges: tuple[float, float]  # seconds before and after the speech
    noise_seed: int


def draw(seed: int, split: str, index: int) -> Utterance:
    """Draw an utterance from the table; every six in a row hold each emotion once."""
    part, voices = SPLITS[split]
    key = (seed, list(SPLITS).index(split))
    block, place = divmod(index, len(EMOTIONS))
    emotion_index = np.random.default_rng((*key, 0, block)).permutation(len(EMOTIONS))[place]
    rng = np.random.default_rng((*key, 1, index))
    levels = {cue: LEVELS[cue][rng.choice(len(LEVELS[cue]), p=probabilities(cue)[emotion_index])] for cue in LEVELS}
    text = draw_sentence(rng, levels.pop("topic"), part)
    content = [i for i, word in enumerate(text.split()[:-1]) if word in espeak_sentences.CONTENT_WORDS]
    return Utterance(
        id=f"espeak-{seed}-{split}-{index:06d}",
        text=text,
        emotion=EMOTIONS[emotion_index],
        levels=levels,
        emphasis=None if rng.random() < NO_EMPHASIS else int(rng.choice(content)),
        voice=voices[rng.integers(len(voices))],
        pitch=1 + rng.uniform(-1, 1) * JITTER["pitch"],
        speed=1 + rng.uniform(-1, 1) * JITTER["speed"],
        volume=rng.uniform(-1, 1) * JITTER["volume"],
        edges=tuple(rng.uniform(*EDGE_SECONDS, 2)),
        noise_seed=int(rng.integers(2**32)),
    )


def render(utterance: Utterance) -> np.ndarray:
    """Speak an utterance: float32 (S,) at 16 kHz, speech between two edges of near-silence."""
    voice, levels = utterance.voice, utterance.levels
    pitch = voice.pitch * PITCH[levels["pitch"]] * utterance.pitch
    words = utterance.text.split()
    if utterance.emphasis is not None:
        words[utterance.emphasis] = _prosody(
            words[utterance.emphasis], f'pitch="{_pitch_parameter(pitch * EMPHASIS_PITCH)}" volume="{EMPHASIS_VOLUME}"'
        )
    words[-1] = _prosody(words[-1], f'pitch="{_pitch_parameter(pitch * TONE[levels["tone"]])}"')
    raw = espeak_synthesis.speak(
        " ".join(words),
        voice.name,
        rate=round(WORDS_A_MINUTE * voice.speed * SPEED[levels["speed"]] * utterance.speed),
        pitch=_pitch_parameter(pitch),
        pitch_range=PITCH_RANGE,
    )
    dbfs = RMS_DBFS + voice.loudness + VOLUME[levels["volume"]] + utterance.volume
    wave = recorded(raw, dbfs, NOISE_DBFS, utterance.edges, utterance.noise_seed)
    assert np.abs(wave).max() < 1, f"{utterance.id} clips: RMS_DBFS is too high for {voice.name}"
    return wave


def find(source: None = None, seed: int = 0, sizes: dict[str, int] | None = None, split: str | None = None) -> Found:
    """Rows of the corpus, whose recordings are synthesised when they are asked for.

    Args:
        source: nothing; the corpus needs none.
        seed: another seed, another corpus.
        sizes: utterances a split, over `DEFAULT_SIZES`.
        split: only this one.

    Raises:
        ValueError: an unknown split, or a size below 1.
    """
    sizes = _checked_sizes(sizes, split)
    return Found([row for name in ([split] if split else sizes) for row in _rows(seed, name, sizes[name])])


def load_espeak(
    split: str | None = None,
    limit: int | None = None,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    sizes: dict[str, int] | None = None,
) -> datasets.Dataset | datasets.DatasetDict:
    """The corpus, or one split of it; what is not on disk yet is synthesised, 100 utterances a second.

    Args:
        split: one of train, validation, test, test_unseen, adapt; all of them if not given.
        limit: only the first so many utterances of each split.
        cache_dir: where it is kept; else $XSER_CACHE, else ~/.cache/xser.
        seed, sizes: see `find`.

    Raises:
        ValueError: an unknown split, or a size or limit below 1.
        ImportError: `espeakng-loader` is not installed and something has to be synthesised.
    """
    sizes = _checked_sizes(sizes, split)
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")
    if split is None:
        return datasets.DatasetDict({name: load_espeak(name, limit, cache_dir, seed, sizes) for name in sizes})
    folder = cache_root(cache_dir) / "espeak" / _recipe(seed)
    wanted = min(sizes[split], limit or sizes[split])
    for path in folder.glob(f"{split}-*.arrow"):  # a larger one serves too: its first utterances are the same
        if int(path.stem.rpartition("-")[2]) >= wanted:
            return open_dataset(path).select(range(wanted))
    spoken = tqdm(map_in_order(_spoken, _rows(seed, split, wanted)), f"espeak {split}", wanted, unit="utt")
    return write_dataset(folder / f"{split}-{wanted}.arrow", spoken)


def _checked_sizes(sizes: dict[str, int] | None, split: str | None) -> dict[str, int]:
    """Utterances of each split; `ValueError` where a name or number cannot be."""
    sizes = {**DEFAULT_SIZES, **(sizes or {})}
    for name in [split] if split is not None else sizes:
        if name not in SPLITS:
            raise ValueError(f"espeak has no split {name!r}; it has {list(SPLITS)}")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"sizes[{name!r}] is {size}: give at least 1")
    return sizes


def _rows(seed: int, split: str, size: int) -> Iterator[dict]:
    """Rows of the first utterances of a split, not spoken yet."""
    recipe = _recipe(seed)
    for utterance in (draw(seed, split, index) for index in range(size)):
        words = utterance.text.split()
        emphasis = [] if utterance.emphasis is None else [words[utterance.emphasis]]
        yield make_row(
            id=utterance.id,
            audio=SpokenAudio(f"{recipe}/{utterance.id}.flac", partial(render, utterance)),
            text=utterance.text,
            emotion=utterance.emotion,
            descriptors={**{cue: utterance.levels[cue] for cue in PROSODY}, "emphasis": emphasis},
            speaker=utterance.voice.name,
            gender=utterance.voice.gender,
            language="en",
            corpus="espeak",
            split=split,
        )


def _spoken(row: dict) -> dict:
    """A row with its recording and duration."""
    data = row["audio"]["bytes"]
    return {**row, "audio": {"bytes": data, "path": None}, "duration": hear(data).seconds}


def _recipe(seed: int) -> str:
    """Stands for everything that the sound depends on."""
    constants = [PITCH, VOLUME, SPEED, TONE, JITTER, WORDS_A_MINUTE, RMS_DBFS, PITCH_RANGE, EDGE_SECONDS, NOISE_DBFS]
    emphasis = [EMPHASIS_PITCH, EMPHASIS_VOLUME, NO_EMPHASIS, _PITCH_PARAMETERS, _PITCH_FACTORS]
    words = [espeak_sentences.TOPICS, espeak_sentences.TEMPLATES]
    voices = [repr(voice) for voice in (*espeak_voices.SEEN, *espeak_voices.UNSEEN)]
    library = espeak_synthesis.library_version()
    return digest(VERSION, library, seed, constants, emphasis, words, voices, espeak_table.TABLE)


def _prosody(word: str, attributes: str) -> str:
    return f"<prosody {attributes}>{word}</prosody>"


def _pitch_parameter(factor: float) -> int:
    """eSpeak NG's pitch parameter for a factor on the voice's pitch."""
    return round(float(np.interp(factor, _PITCH_FACTORS, _PITCH_PARAMETERS)))


CORPUS = Corpus(
    name="espeak",
    find=find,
    options={
        "seed": "another seed, another corpus; 0 by default",
        "sizes": "utterances of splits, as in '{\"train\": 6000}'",
        "split": f"only this one of {', '.join(SPLITS)}",
    },
    licence="none is needed: it is synthesised on this machine",
    makes_levels=True,
)
