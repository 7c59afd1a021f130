"""The systems to compare with: each learns what it can hear or read, and none learns from what it tests on."""

import io

import numpy as np
import pytest
import soundfile

from xser.audio_xser import SAMPLE_RATE
from xser.corpora.cache import write_dataset
from xser.corpora.schema import make_row
from xser.evaluation.baselines import SYSTEMS, egemaps, main, predict, transcripts

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


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Lengths of the signals that openSMILE was given, in any order; what it says of one is its length."""
    opensmile = pytest.importorskip("opensmile", reason="eGeMAPS need pip install xser[baselines]")
    pandas = pytest.importorskip("pandas")
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    lengths = []

    def process_signal(self, signal, rate):
        lengths.append(len(signal))
        return pandas.DataFrame([[len(signal), np.nan]], dtype=np.float32)

    monkeypatch.setattr(opensmile.Smile, "process_signal", process_signal)
    return lengths


@pytest.fixture
def recorded(tmp_path):
    """Makes rows of recordings of so many samples, as files or as bytes."""

    def make(*lengths: int, inside: bool = False, corpora: tuple = ("toy",)):
        rows = []
        for index, length in enumerate(lengths):
            audio = {"bytes": wav(length), "path": None}
            if not inside:
                path = tmp_path / f"{index}.wav"
                path.write_bytes(audio["bytes"])
                audio = {"bytes": None, "path": str(path)}
            rows.append(make_row(id=str(index), audio=audio, corpus=corpora[index % len(corpora)], duration=1.0))
        return write_dataset(tmp_path / "recorded.arrow", rows)

    return make


def wav(length: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(length, 0.1, np.float32), SAMPLE_RATE, format="WAV")
    return file.getvalue()


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


def test_egemaps_are_88_finite_numbers_of_every_recording(recorded, tmp_path, monkeypatch):
    pytest.importorskip("opensmile", reason="eGeMAPS need pip install xser[baselines]")
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    rows = recorded(SAMPLE_RATE, SAMPLE_RATE // 2)
    values = egemaps(rows)
    assert values.shape == (2, 88) and np.isfinite(values).all()
    assert np.array_equal(egemaps(rows), values)


@pytest.mark.parametrize("inside", [False, True], ids=["files", "bytes"])
def test_another_selection_of_the_same_recordings_is_not_computed_again(heard, recorded, inside):
    rows = recorded(1000, 2000, 3000, 4000, inside=inside)
    assert egemaps(rows.select([0, 1, 2]))[:, 0].tolist() == [1000, 2000, 3000]
    heard.clear()
    assert egemaps(rows.select([2, 0])).tolist() == [[3000, 0], [1000, 0]]
    assert heard == []
    assert egemaps(rows)[:, 0].tolist() == [1000, 2000, 3000, 4000]
    assert heard == [4000]


def test_egemaps_of_another_opensmile_are_computed_again(heard, recorded, monkeypatch):
    rows = recorded(1000)
    egemaps(rows)
    monkeypatch.setattr("opensmile.__version__", "99.0")
    egemaps(rows)
    assert heard == [1000, 1000]
