"""The probability table of the espeak corpus, and what can be known from it: exactly, without any audio.

An emotion is drawn uniformly; given the emotion, each cue is drawn on its own:

    P(emotion, topic, volume, speed, pitch, tone) = 1/6 P(topic|e) P(volume|e) P(speed|e) P(pitch|e) P(tone|e)

Words tell three pairs of emotions apart (angry and sad, happy and surprised, neutral and fearful share topics) and
prosody three others (angry and happy, sad and neutral, fearful and surprised sound alike): neither is enough.
Speaker, emphasised word and sentence within a topic do not depend on the emotion, so they tell nothing of it.
"""

import numpy as np

from xser.corpora.espeak_sentences import TOPICS, topic_of

EMOTIONS = ("angry", "happy", "sad", "neutral", "fearful", "surprised")
PROSODY = ("pitch", "volume", "speed", "tone")
LEVELS = {
    "topic": tuple(TOPICS),
    "pitch": ("low", "normal", "high"),
    "volume": ("quiet", "normal", "loud"),
    "speed": ("slow", "normal", "fast"),
    "tone": ("falling", "flat", "rising"),
}
# P(level | emotion) in percent, a row an emotion, in the order of LEVELS
TABLE = {
    "topic": {
        "angry": (60, 3, 28, 3, 3, 3),
        "happy": (3, 60, 3, 3, 3, 28),
        "sad": (28, 3, 60, 3, 3, 3),
        "neutral": (3, 3, 3, 60, 28, 3),
        "fearful": (3, 3, 3, 28, 60, 3),
        "surprised": (3, 28, 3, 3, 3, 60),
    },
    "pitch": {
        "angry": (40, 45, 15),
        "happy": (10, 40, 50),
        "sad": (55, 40, 5),
        "neutral": (45, 50, 5),
        "fearful": (10, 35, 55),
        "surprised": (10, 30, 60),
    },
    "volume": {
        "angry": (5, 10, 85),
        "happy": (5, 15, 80),
        "sad": (80, 15, 5),
        "neutral": (55, 40, 5),
        "fearful": (65, 30, 5),
        "surprised": (40, 55, 5),
    },
    "speed": {
        "angry": (5, 10, 85),
        "happy": (10, 75, 15),
        "sad": (85, 10, 5),
        "neutral": (75, 20, 5),
        "fearful": (5, 10, 85),
        "surprised": (5, 25, 70),
    },
    "tone": {
        "angry": (60, 30, 10),
        "happy": (10, 50, 40),
        "sad": (60, 35, 5),
        "neutral": (45, 50, 5),
        "fearful": (10, 40, 50),
        "surprised": (10, 30, 60),
    },
}


def probabilities(cue: str) -> np.ndarray:
    """P(level | emotion) of a cue, float64 (emotions, levels)."""
    return np.array([TABLE[cue][emotion] for emotion in EMOTIONS]) / 100


def ceiling_of(cues: tuple[str, ...]) -> float:
    """The highest UA that hearing `cues` allows: every combination of levels, its likeliest emotion."""
    joint = np.full((len(EMOTIONS), 1), 1 / len(EMOTIONS))
    for cue in cues:
        joint = (joint[:, :, None] * probabilities(cue)[:, None, :]).reshape(len(EMOTIONS), -1)
    return float(joint.max(axis=0).sum())  # the prior is uniform, so this accuracy is the mean of the recalls


def ceiling() -> dict[str, float]:
    """Exact population ceilings of UA: `ua` with all that can be heard, then by parts."""
    return {
        "ua": ceiling_of(("topic", *PROSODY)),
        "words": ceiling_of(("topic",)),
        "prosody": ceiling_of(PROSODY),
        **{cue: ceiling_of((cue,)) for cue in PROSODY},
    }


def bayes_emotion(row: dict) -> str:
    """The likeliest emotion of a row, from the words of its text and its levels of pitch, volume, speed and tone."""
    levels = {"topic": topic_of(row["text"]), **{cue: row["descriptors"][cue] for cue in PROSODY}}
    likelihood = np.prod([probabilities(cue)[:, LEVELS[cue].index(level)] for cue, level in levels.items()], axis=0)
    return EMOTIONS[int(likelihood.argmax())]
