"""The systems to compare with: each learns what it can hear or read, and none learns from what it tests on."""

import numpy as np
import pytest

from xser.corpora.cache import write_dataset
from xser.corpora.schema import make_row
from xser.evaluation.baselines import SYSTEMS, main, predict, transcripts

TOPICS = {"happy": "we won the game again", "sad": "they lost their home"}


@pytest.fixture
def corpus(tmp_path):
    """Makes rows whose emotion is told by their words, two thirds of them happy."""

    def make(count: int, seed: int = 0, **changes):
        rng = np.random.default_rng(seed)
        rows = []
        for index in range(count):
            emotion = "sad" if index % 3 == 0 else "happy"
            values = {
                "id": f"{seed}-{index}",
                "audio": {"bytes": b"unheard", "path": None},
                "text": f"{TOPICS[emotion]} {rng.integers(100)}",
                "emotion": emotion,
                "speaker": f"s{seed}{index % 6}",
                "corpus": "toy",
                "duration": 1.0,
            }
            rows.append(make_row(**{**values, **changes}))
        return write_dataset(tmp_path / f"{seed}.arrow", rows)

    return make


def test_majority_says_the_most_frequent_emotion(corpus):
    assert set(predict("majority", corpus(30), corpus(12, seed=1))) == {"happy"}


def test_text_learns_what_words_tell(corpus):
    test = corpus(12, seed=1)
    assert predict("text", corpus(60), test).tolist() == test["emotion"][:]


def test_speakers_that_are_not_known_need_no_folds_of_their_own(corpus):
    test = corpus(12, seed=1)
    assert predict("text", corpus(60, speaker=None), test).tolist() == test["emotion"][:]


def test_a_missing_transcript_and_an_unknown_system_are_named(corpus):
    with pytest.raises(ValueError, match="1 have none, such as \\['0-0'\\]"):
        transcripts(corpus(1, text=None))
    with pytest.raises(ValueError, match="'best'; it must be one of"):
        predict("best", None, None)
    assert {"majority", "text", "egemaps-svm", "tower-linear"} <= set(SYSTEMS)


def test_the_command_refuses_a_corpus_without_emotions(tmp_path):
    with pytest.raises((ValueError, OSError), match="nowhere"):
        main(["--corpus", str(tmp_path / "nowhere"), "--systems", "majority", "--output", str(tmp_path / "out")])
