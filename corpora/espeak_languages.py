"""The espeak-languages corpus: unlabelled speech of many languages and voices, for towers to hear.

Digits are read in every language that eSpeak NG has, so no text of any is needed: an utterance says a few numbers, in
a voice, pitch, pace, loudness and liveliness drawn at random. It has no emotion, no levels, and no transcript, which
nobody wrote down in words. No voice is one of those that the espeak corpus keeps unseen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from xser.corpora import espeak_synthesis
from xser.corpora.cache import digest
from xser.corpora.espeak_recording import SpokenAudio, recorded
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

VERSION = 1  # of what can be heard: raise it with every change
DEFAULT_SIZE = 6_000
LANGUAGES = (
    *("af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cmn", "cs", "cy", "da", "de", "el", "en-us", "es", "et"),
    *("eu", "fa", "fi", "fr", "ga", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ka", "kk", "ko", "ku"),
    *("lt", "lv", "mk", "ml", "mr", "ms", "nb", "ne", "nl", "pa", "pl", "pt", "pt-br", "ro", "ru", "sk", "sl", "sq"),
    *("sr", "sv", "sw", "ta", "te", "tr", "tt", "uk", "ur", "uz", "vi", "yue"),
)
VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "Alex", "Andy", "Annie", "Denis", "Diogo"),
    *("Gene", "Hugo", "Jacky", "Lee", "Marco", "Michael", "Mike", "Reed", "Alicia", "Andrea", "adam", "anika"),
    *("antonio", "belinda", "benjamin", "caleb", "david", "ed", "edward", "grandpa", "gustave", "ian", "iven", "john"),
    *("linda", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "sandro"),
    *("shelby", "steph", "travis", "victor", "zac"),
)
NUMBERS = (2, 5)  # in an utterance, at least and at most
DIGITS = (1, 4)  # of a number
RATE = (110, 300)  # words a minute
PITCH, PITCH_RANGE = (15, 85), (20, 80)  # eSpeak NG's parameters, 50 being the voice's own
RMS_DBFS, NOISE_DBFS = (-38.0, -22.0), -68.0
EDGE_SECONDS = (0.05, 0.3)


@dataclass(frozen=True)
class Utterance:
    """What is to be spoken: everything but the sound."""

    id: str
    language: str
    variant: str
    numbers: str
    rate: int
    pitch: int
    pitch_range: int
    dbfs: float
    edges: tuple[float, float]
    noise_seed: int

    @property
    def voice(self) -> str:
        return f"{self.language}+{self.variant}"


def draw(seed: int, index: int) -> Utterance:
    """Draw an utterance; languages take turns."""
    rng = np.random.default_rng((seed, index))
    lengths = rng.integers(DIGITS[0], DIGITS[1] + 1, rng.integers(NUMBERS[0], NUMBERS[1] + 1))
    return Utterance(
        id=f"espeak-languages-{seed}-{index:06d}",
        language=LANGUAGES[index % len(LANGUAGES)],
        variant=str(rng.choice(VARIANTS)),
        numbers=", ".join(str(rng.integers(10 ** (length - 1), 10**length)) for length in lengths),
        rate=int(rng.integers(*RATE)),
        pitch=int(rng.integers(*PITCH)),
        pitch_range=int(rng.integers(*PITCH_RANGE)),
        dbfs=float(rng.uniform(*RMS_DBFS)),
        edges=tuple(rng.uniform(*EDGE_SECONDS, 2)),
        noise_seed=int(rng.integers(2**32)),
    )


def render(utterance: Utterance) -> np.ndarray:
    """Speak an utterance: float32 (S,) at 16 kHz."""
    raw = espeak_synthesis.speak(
        utterance.numbers, utterance.voice, utterance.rate, utterance.pitch, utterance.pitch_range
    )
    wave = recorded(raw, utterance.dbfs, NOISE_DBFS, utterance.edges, utterance.noise_seed)
    return np.clip(wave, -1, 1)


def find(source: None = None, seed: int = 0, size: int = DEFAULT_SIZE) -> Found:
    """Rows of the corpus, whose recordings are synthesised when they are asked for.

    Args:
        source: nothing; the corpus needs none.
        seed: another seed, another corpus.
        size: utterances; the first of a larger corpus are the same.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"size is {size}: give at least 1")
    return Found(list(_rows(seed, size)))


def _rows(seed: int, size: int) -> Iterator[dict]:
    drawn = LANGUAGES, VARIANTS, NUMBERS, DIGITS, RATE, PITCH, PITCH_RANGE, RMS_DBFS, EDGE_SECONDS
    recipe = digest(VERSION, espeak_synthesis.library_version(), seed, *drawn, NOISE_DBFS)
    for utterance in (draw(seed, index) for index in range(size)):
        yield make_row(
            id=utterance.id,
            audio=SpokenAudio(f"{recipe}/{utterance.id}.flac", partial(render, utterance)),
            speaker=utterance.voice,
            language=utterance.language,
            corpus="espeak-languages",
            split="train",
        )


CORPUS = Corpus(
    name="espeak-languages",
    find=find,
    options={
        "seed": "another seed, another corpus; 0 by default",
        "size": f"utterances; {DEFAULT_SIZE} by default",
    },
    licence="none is needed: it is synthesised on this machine",
)
