"""UA and WER as modules that `evaluate.load` takes by path, and the interval of the UA."""

from pathlib import Path

import evaluate
import numpy as np
import pytest

import xser
from xser.evaluation.intervals import MIN_SPEAKERS, unweighted_accuracy_interval

METRICS = Path(xser.__file__).parent / "evaluation" / "metrics"


def compute(name, predictions, references):
    metric = evaluate.load(str(METRICS / name))
    return metric.compute(predictions=predictions, references=references)[name]


def test_ua_is_the_mean_recall_of_the_classes_in_the_references():
    references = ["sad", "sad", "sad", "angry"]
    assert compute("unweighted_accuracy", ["sad", "sad", "happy", "sad"], references) == pytest.approx((2 / 3 + 0) / 2)
    assert compute("unweighted_accuracy", ["sad", "calm", "sad", "angry"], references) == pytest.approx(
        (2 / 3 + 1) / 2
    )


def test_wer_is_over_the_words_of_the_whole_corpus():
    assert compute("word_error_rate", ["a b", "", "x y"], ["a c d e", "f", "x y"]) == pytest.approx((3 + 1) / 7)


def test_wer_counts_words_where_nothing_was_said():
    assert compute("word_error_rate", ["a b", "c"], ["", "c"]) == pytest.approx(2 / 1)


@pytest.mark.parametrize("references", [[], ["", " "]])
def test_wer_of_no_word_is_refused(references):
    with pytest.raises(ValueError, match="without a word"):
        compute("word_error_rate", [""] * len(references), references)


def test_ua_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 references"):
        compute("unweighted_accuracy", [], [])


def test_interval_over_utterances_is_the_binomial_one():
    hits = [True] * 80 + [False] * 20
    low, high, unit = unweighted_accuracy_interval(hits, ["sad"] * 100, [None] * 100)
    width = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert unit == "utterances"
    assert (low, high) == (pytest.approx(0.8 - width, abs=0.015), pytest.approx(0.8 + width, abs=0.015))


def test_interval_over_speakers_is_wider_where_speakers_differ():
    hits = [speaker % 2 == 0 for speaker in range(20) for _ in range(50)]
    speakers = [f"s{speaker}" for speaker in range(20) for _ in range(50)]
    low, high, unit = unweighted_accuracy_interval(hits, ["sad"] * 1000, speakers)
    width = 1.96 * np.sqrt(0.25 / 20)
    assert unit == "speakers"
    assert (low, high) == (pytest.approx(0.5 - width, abs=0.04), pytest.approx(0.5 + width, abs=0.04))


def test_interval_over_few_speakers_resamples_their_utterances_too():
    hits, speakers = [True, False] * 20, ["a"] * 20 + ["b"] * 20  # both at 0.5: speakers alone would vary by nothing
    low, high, unit = unweighted_accuracy_interval(hits, ["sad"] * 40, speakers)
    assert len(set(speakers)) < MIN_SPEAKERS and unit == "speakers and their utterances"
    assert low < 0.4 and high > 0.6


def test_interval_is_seeded():
    rng = np.random.default_rng(1)
    hits, classes = (rng.random(60) < 0.7).tolist(), rng.choice(["sad", "angry", "calm"], 60).tolist()
    speakers = rng.choice([f"s{i}" for i in range(12)], 60).tolist()
    first, second, other = (unweighted_accuracy_interval(hits, classes, speakers, seed=seed) for seed in (0, 0, 1))
    assert first == second != other


@pytest.mark.parametrize(("hits", "level", "message"), [([], 0.95, "0 utterances"), ([True], 95, "level is 95")])
def test_interval_refuses_what_it_cannot_use(hits, level, message):
    with pytest.raises(ValueError, match=message):
        unweighted_accuracy_interval(hits, ["sad"] * len(hits), [None] * len(hits), level)
