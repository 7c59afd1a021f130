"""The words of the espeak corpus: six topics, each with content words of its own, in templates that all share.

A topic can be heard from two to four words of a sentence. A sentence belongs to one part of the corpus for good, by
a hash of its text: no sentence of the test parts is ever in training.
"""

import zlib
from itertools import chain

import numpy as np

TOPICS = {
    "office": {
        "person": ["boss", "clerk", "manager", "lawyer", "driver", "banker"],
        "verb": ["blamed", "cancelled", "refused", "ignored", "delayed", "rejected"],
        "adjective": ["wrong", "useless", "rude", "broken", "unpaid", "bossy"],
        "thing": ["contract", "meeting", "invoice", "printer", "report", "promise", "salary", "ticket"],
        "place": ["office", "lobby", "garage", "factory", "elevator", "courtroom"],
    },
    "party": {
        "person": ["bride", "dancer", "singer", "cousin", "champion", "guest"],
        "verb": ["celebrated", "enjoyed", "loved", "shared", "won", "danced"],
        "adjective": ["golden", "lovely", "sunny", "funny", "colourful", "perfect"],
        "thing": ["cake", "song", "wedding", "holiday", "medal", "balloon", "picnic", "festival"],
        "place": ["beach", "ballroom", "garden", "theatre", "island", "playground"],
    },
    "hospital": {
        "person": ["widow", "orphan", "patient", "nurse", "grandfather", "soldier"],
        "verb": ["lost", "missed", "buried", "mourned", "forgot", "abandoned"],
        "adjective": ["lonely", "empty", "faded", "tired", "fragile", "grey"],
        "thing": ["grave", "illness", "funeral", "goodbye", "memory", "coffin", "bandage", "photograph"],
        "place": ["hospital", "cemetery", "chapel", "ward", "shelter", "orphanage"],
    },
    "kitchen": {
        "person": ["cook", "gardener", "baker", "farmer", "waiter", "plumber"],
        "verb": ["washed", "cleaned", "sliced", "boiled", "folded", "stored"],
        "adjective": ["round", "wooden", "plain", "flat", "square", "purple"],
        "thing": ["potato", "spoon", "kettle", "towel", "basket", "carpet", "bottle", "onion"],
        "place": ["kitchen", "pantry", "cupboard", "market", "cellar", "bathroom"],
    },
    "storm": {
        "person": ["stranger", "hunter", "thief", "guard", "sailor", "climber"],
        "verb": ["escaped", "avoided", "warned", "followed", "attacked", "trapped"],
        "adjective": ["dark", "dangerous", "poisonous", "deadly", "frozen", "strange"],
        "thing": ["shadow", "snake", "wolf", "knife", "ghost", "spider", "scream", "monster"],
        "place": ["forest", "cave", "tunnel", "swamp", "dungeon", "cliff"],
    },
    "museum": {
        "person": ["magician", "inventor", "pilot", "scientist", "prince", "painter"],
        "verb": ["discovered", "unlocked", "revealed", "invented", "noticed", "found"],
        "adjective": ["secret", "magic", "ancient", "sudden", "giant", "invisible"],
        "thing": ["parcel", "treasure", "diamond", "dinosaur", "robot", "comet", "puzzle", "rocket"],
        "place": ["museum", "castle", "planet", "pyramid", "airport", "laboratory"],
    },
}
TEMPLATES = (
    "the {person} {verb} the {thing}",
    "my {person} {verb} this {adjective} {thing}",
    "our {adjective} {person} {verb} that {thing} today",
    "they {verb} the {thing} near the {place}",
    "we never {verb} any {thing} in this {place}",
    "the {thing} in the {place} is {adjective}",
    "this {place} has one more {adjective} {thing}",
    "yesterday the {person} {verb} our {adjective} {thing} again",
    "somebody {verb} your {adjective} {thing} at the {place}",
    "that {person} was always near the {place}",
    "every {person} wants this {thing} for the {place}",
    "look at the {adjective} {thing} of the {person}",
)
CONTENT_WORDS = {word: topic for topic, slots in TOPICS.items() for word in chain(*slots.values())}
VOCABULARY = sorted({*CONTENT_WORDS, *(word for line in TEMPLATES for word in line.split() if "{" not in word)})

_PARTS = ("test", "test", "validation", *("train",) * 7)  # of every ten sentences


def part_of(text: str) -> str:
    """The part of the corpus that a sentence belongs to: train, validation or test."""
    return _PARTS[zlib.crc32(text.encode()) % len(_PARTS)]


def draw_sentence(rng: np.random.Generator, topic: str, part: str) -> str:
    """Draw one of a topic's sentences that belongs to `part`."""
    while True:
        template = TEMPLATES[rng.integers(len(TEMPLATES))]
        text = template.format(**{slot: words[rng.integers(len(words))] for slot, words in TOPICS[topic].items()})
        if part_of(text) == part:
            return text


def topic_of(text: str) -> str:
    """The topic that the content words of a sentence tell.

    Raises:
        ValueError: it has no content word, or words of two topics.
    """
    topics = {CONTENT_WORDS[word] for word in text.split() if word in CONTENT_WORDS}
    if len(topics) != 1:
        raise ValueError(
            f"sentence {text!r} has words of {sorted(topics) or 'no topic'}; one of {list(TOPICS)} expected"
        )
    return topics.pop()
