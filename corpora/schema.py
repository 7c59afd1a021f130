"""The one schema of all corpora. What a corpus does not know is `None`, never made up."""

import datasets

EMOTIONS = (
    "angry", "happy", "sad", "neutral", "fearful", "surprised", "disgusted", "bored", "calm", "excited", "frustrated",
)  # fmt: skip
LEVELS = {
    "pitch": ("low", "normal", "high"),
    "volume": ("quiet", "normal", "loud"),
    "speed": ("slow", "normal", "fast"),
    "tone": ("falling", "flat", "rising", "falling-rising", "rising-falling"),
}

_TEXT = datasets.Value("string")
FEATURES = datasets.Features(
    {
        "id": _TEXT,
        "audio": datasets.Audio(decode=False),  # {"bytes", "path"}: one of the two is None; decoded by xser.audio_xser
        "text": _TEXT,
        "emotion": _TEXT,
        "descriptors": {**dict.fromkeys(LEVELS, _TEXT), "emphasis": datasets.List(_TEXT)},  # []: no word is emphasised
        "speaker": _TEXT,
        "gender": _TEXT,
        "age": datasets.Value("int32"),  # years
        "language": _TEXT,
        "corpus": _TEXT,
        "session": _TEXT,
        "fold": _TEXT,
        "split": _TEXT,
        "duration": datasets.Value("float32"),  # seconds
    }
)


def make_row(**known) -> dict:
    """A row of `FEATURES` from what is known; all else is `None`.

    Raises:
        ValueError: a name that is no column, or no descriptor.
    """
    descriptors = known.pop("descriptors", None) or {}
    for name, allowed in ((known, FEATURES), (descriptors, FEATURES["descriptors"])):
        unknown = sorted(set(name) - set(allowed))
        if unknown:
            raise ValueError(f"{unknown} are no columns of the schema; it has {list(allowed)}")
    row = {name: known.get(name) for name in FEATURES}
    row["descriptors"] = {name: descriptors.get(name) for name in FEATURES["descriptors"]}
    return row
