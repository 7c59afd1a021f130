"""Two systems over the same utterances."""

import itertools

import numpy as np
import pytest
from scipy import stats

from xser.evaluation.intervals import Bootstrap
from xser.evaluation.predictions import PredictionError
from xser.evaluation.significance import (
    compare,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_t,
    randomisation,
    resolvable_difference,
)

CLASSES = np.array([0, 1, 2] * 20)
LABELS = np.array(["angry", "happy", "sad"])


def system(hits, speakers=None, classes=CLASSES, **changed):
    """Predictions that are right where `hits` says so."""
    return [
        {
            "id": f"u{i}",
            "emotion": LABELS[label] if hit else LABELS[label - 1],
            "reference": {
                "emotion": LABELS[label],
                "text": None,
                "speaker": speakers[i] if speakers else None,
                "descriptors": {},
                **changed,
            },
        }
        for i, (hit, label) in enumerate(zip(hits, classes, strict=True))
    ]


def draw(rate, seed, count=60):
    return np.random.default_rng(seed).random(count) < rate


def mean_recall_difference(hits, other, classes):
    return np.mean([hits[classes == c].mean() - other[classes == c].mean() for c in np.unique(classes)])


def test_mcnemar_is_the_binomial_test_of_what_one_alone_has_right_with_half_of_what_was_seen():
    exact, seen = stats.binomtest(2, 11).pvalue, stats.binom.pmf(2, 11, 0.5)
    assert mcnemar(9, 2) == mcnemar(2, 9) == pytest.approx(exact - seen)
    assert mcnemar(0, 0) == 1 and mcnemar(4, 4) == pytest.approx(1) and mcnemar(1, 0) == pytest.approx(0.5)


def test_few_units_are_shuffled_in_every_way():
    classes, units = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 0, 1, 2, 3])
    hits, other = np.array([1, 1, 1, 0, 1, 1, 0, 1], dtype=bool), np.array([0, 0, 1, 0, 0, 1, 1, 0], dtype=bool)
    observed = abs(mean_recall_difference(hits, other, classes))
    as_far = []
    for swap in itertools.product([False, True], repeat=4):
        swapped = np.array(swap)[units]
        one, two = np.where(swapped, other, hits), np.where(swapped, hits, other)
        as_far.append(abs(mean_recall_difference(one, two, classes)) >= observed - 1e-9)
    assert randomisation(units, hits, other, classes, 1000, 0) == pytest.approx(np.mean(as_far))


def test_drawn_shufflings_come_near_all_of_them():
    hits, other = draw(0.8, 1, 18), draw(0.5, 2, 18)
    classes, units = CLASSES[:18], np.arange(18)
    exact = randomisation(units, hits, other, classes, 2**18, 0)
    assert randomisation(units, hits, other, classes, 20_000, 0) == pytest.approx(exact, abs=0.015)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.02]) == [0.02]


def test_a_better_system_is_found_by_every_test():
    found = compare({"first": system(draw(0.5, 1)), "other": system(draw(0.95, 2))}, 2000)[0]
    assert (found.name, found.against, found.n, found.of) == ("other", "first", 60, "utterances")
    assert max(found.p.values()) < 0.01 and 0 < found.low < found.difference < found.high
    assert found.difference == pytest.approx(mean_recall_difference(draw(0.95, 2), draw(0.5, 1), CLASSES))
    assert found.wa_difference == pytest.approx((found.only_this - found.only_other) / 60)


def test_the_order_of_the_files_does_not_matter():
    first, other = system(draw(0.6, 1)), system(draw(0.8, 2))
    assert compare({"a": first, "b": other[::-1]}, 500) == compare({"a": first, "b": other}, 500)


def test_a_system_against_itself_does_not_differ():
    found = compare({"a": system(draw(0.6, 1)), "b": system(draw(0.6, 1))}, 500)[0]
    assert found.difference == 0 and found.low is None and set(found.p.values()) == {1.0}


def test_several_systems_pay_for_their_number():
    systems = {
        name: system(draw(rate, seed)) for seed, (name, rate) in enumerate({"a": 0.5, "b": 0.7, "c": 0.9}.items())
    }
    for test in ("mcnemar", "bootstrap", "randomisation"):
        found = compare(systems, 1000)
        assert [c.p_holm[test] for c in found] == pytest.approx(holm([c.p[test] for c in found]))


def test_a_difference_from_one_speaker_alone_is_no_evidence():
    speakers = [f"s{i // 6}" for i in range(60)]
    base, better = draw(0.5, 3), draw(0.5, 3)
    base[:12], better[:12] = False, True  # two speakers of ten make all the difference
    of_speakers = compare({"a": system(base, speakers), "b": system(better, speakers)}, 2000)[0]
    of_utterances = compare({"a": system(base), "b": system(better)}, 2000)[0]
    assert of_speakers.of == "speakers" and of_speakers.p["randomisation"] >= 0.5 > of_utterances.p["randomisation"]
    assert of_speakers.p["bootstrap"] > 0.05 > 0.01 > of_utterances.p["bootstrap"]


def transcribed(words, speakers=None, said="one two three four"):
    """Predictions with so many words of the transcript right; `None` is no transcript."""
    of = system([True] * len(words), speakers, CLASSES[: len(words)], text=said)
    texts = [None if n is None else " ".join(said.split()[:n]) for n in words]
    return [{**prediction, "transcript": text} for prediction, text in zip(of, texts, strict=True)]


def test_word_error_rates_are_compared_over_all_words():
    rng = np.random.default_rng(0)
    right, other = rng.integers(3, 5, 60), rng.integers(1, 4, 60)
    speakers = [f"s{i // 6}" for i in range(60)]
    words = compare({"a": transcribed(other, speakers), "b": transcribed(right, speakers)}, 2000)[0].words
    assert (words.n, words.of) == (60, "speakers")
    assert words.wer == pytest.approx(1 - right.sum() / 240) and words.wer_against == pytest.approx(
        1 - other.sum() / 240
    )
    assert words.difference == pytest.approx((other.sum() - right.sum()) / 240)
    assert words.low < words.difference < words.high < 0
    by_speaker = (other - right).reshape(10, 6).sum(axis=1) / 24  # of equal length: the interval is that of their mean
    arm = stats.t.ppf(0.975, 9) * by_speaker.std(ddof=1) / np.sqrt(10)
    assert words.high - words.difference == pytest.approx(arm, rel=0.05)


def test_a_missing_transcript_is_an_empty_one_and_a_system_without_any_has_no_word_errors():
    full, without = transcribed([4] * 12), transcribed([None] * 12)
    half = transcribed([4, None] * 6)
    assert compare({"a": full, "b": half}, 100)[0].words.difference == 0.5
    assert compare({"a": full, "b": without}, 100)[0].words is None
    assert compare({"a": without, "b": full}, 100)[0].words is None
    assert compare({"a": transcribed([0] * 12, said=""), "b": transcribed([0] * 12, said="")}, 100)[0].words is None


def test_utterances_without_known_words_do_not_count_as_errors():
    known, of_other = transcribed([4, 3] * 6), transcribed([4, 4] * 6)
    for index in range(0, 12, 4):
        for of in (known, of_other):
            of[index]["reference"] = {**of[index]["reference"], "text": None}
    words = compare({"a": of_other, "b": known}, 100)[0].words
    assert (words.n, words.wer, words.wer_against) == (9, pytest.approx(6 / 36), 0.0)


def test_too_few_speakers_are_said_to_be_so():
    speakers = [f"s{i % 5}" for i in range(60)]
    found = compare({"a": system(draw(0.5, 1), speakers), "b": system(draw(0.9, 2), speakers)}, 500)[0]
    assert found.of == "utterances of these speakers alone"


def test_a_constant_difference_is_certain():
    classes, hits = np.array([0] * 10), np.ones(10, dtype=bool)
    p, interval = paired_bootstrap(Bootstrap([None] * 10, 100), hits, ~hits, classes)
    assert (p, interval) == (0.0, None)


def test_no_answer_is_wrong():
    silent = [{**prediction, "emotion": None} for prediction in system(draw(0.5, 1))]
    assert compare({"a": system(draw(0.9, 1)), "b": silent}, 200)[0].ua == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (system(draw(0.5, 1))[:-2], r"b and a are over different utterances: 2 are missing \['u58', 'u59'\] and 0"),
        (
            [{**p, "id": p["id"] + "x"} for p in system(draw(0.5, 1))],
            r"60 are missing .* and 60 are in b alone \['u0x'",
        ),
        (system(draw(0.5, 1), classes=CLASSES[::-1]), r"b: 40 references have another 'emotion' \(u0, u2,"),
        (system(draw(0.5, 1), text="no"), r"b: 60 references have another 'text'"),
    ],
)
def test_systems_over_different_data_are_refused(other, message):
    with pytest.raises(PredictionError, match=message):
        compare({"a": system(draw(0.5, 1)), "b": other}, 100)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="two or more"):
        compare({"a": system(draw(0.5, 1))})
    unlabelled = system(draw(0.5, 1), emotion=None)
    with pytest.raises(PredictionError, match="none of 60 references has an emotion"):
        compare({"a": unlabelled, "b": unlabelled})


def test_the_t_test_is_that_of_scipy_and_one_tailed():
    scores, other = np.random.default_rng(1).random((2, 40))
    expected = stats.ttest_rel(scores, other, alternative="greater").pvalue
    assert paired_t(scores, other) == pytest.approx(expected)
    assert paired_t(other, scores) == pytest.approx(1 - expected)


@pytest.mark.parametrize(("scores", "p"), [([1, 1], 0.0), ([0, 0], 1.0), ([-1, -1], 1.0)])
def test_the_t_test_of_a_constant_difference_is_certain(scores, p):
    assert paired_t(np.array(scores), np.zeros(2)) == p


def test_a_comparison_tells_the_t_test_of_its_direction_and_what_could_be_resolved():
    better, worse = draw(0.9, 2), draw(0.5, 1)
    found = compare({"first": system(worse), "other": system(better)}, 500)[0]
    assert found.p_t == pytest.approx(stats.ttest_rel(1.0 * better, 1.0 * worse, alternative="greater").pvalue)
    assert found.resolvable == resolvable_difference(60, float(np.mean(better != worse)))
    assert compare({"first": system(better), "other": system(worse)}, 500)[0].p_t > 0.99
    same = compare({"first": system(better), "other": system(better)}, 500)[0]
    assert (same.p_t, same.resolvable) == (1.0, None)


@pytest.mark.parametrize(("n", "discordance"), [(200, 0.3), (1000, 0.1), (1241, 0.5)])
def test_the_resolvable_difference_is_found_in_four_of_five_simulated_comparisons(n, discordance):
    difference = resolvable_difference(n, discordance)
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    drawn = np.random.default_rng(0).multinomial(n, shares, 4000)
    found = [mcnemar(int(this), int(other)) < 0.05 for this, other, _ in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.025)  # three standard errors, and what counts are too coarse for


def test_one_tail_resolves_less_and_follows_the_paired_t_test():
    difference = resolvable_difference(800, 0.2, tails=1)
    assert difference < resolvable_difference(800, 0.2)
    shares = [(0.2 + difference) / 2, (0.2 - difference) / 2, 0.8]
    found = []
    for this, other, same in np.random.default_rng(0).multinomial(800, shares, 2000):
        found.append(paired_t(np.repeat([1, -1, 0], [this, other, same]), np.zeros(800)) < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_the_prior_of_the_resolvable_difference_follows_from_n_alone():
    of_sizes = [resolvable_difference(n) for n in (5531, 2610, 1241)]
    assert of_sizes == pytest.approx([0.0266, 0.0387, 0.0562], abs=5e-4)


@pytest.mark.parametrize(("n", "discordance"), [(3, 0.5), (100, 0.0), (10, 0.05)])
def test_what_nothing_can_resolve_has_no_resolvable_difference(n, discordance):
    assert resolvable_difference(n, discordance) is None
