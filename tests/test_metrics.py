"""Metrics as modules that `evaluate.load` takes by path, and from counts: equal to the libraries on random cases."""

import math
from pathlib import Path

import evaluate
import jiwer
import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

import xser
from xser.evaluation import counts
from xser.evaluation.edits import count_character_edits, count_word_edits
from xser.training.metrics import metric

METRICS = Path(xser.__file__).parent / "evaluation" / "metrics"
random_cases = settings(max_examples=1000, deadline=None, derandomize=True)

labels = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcd")), min_size=1, max_size=30)
words = st.lists(st.sampled_from(["we", "won", "the", "game", "was"]), max_size=8).map(" ".join)
texts = st.lists(st.tuples(words, words.filter(bool)), min_size=1, max_size=5)
seeds = st.integers(0, 2**32 - 1)


def compute(name, predictions, references):
    return metric(name).compute(predictions=predictions, references=references)


def directly(name):
    """The metric's own computation, without the table that `evaluate` writes of every case."""
    return metric(name)._compute


def each_alone(texts):
    """The only reference of its utterance."""
    return [[text] for text in texts]


def probabilities(seed):
    """Random scores of 2 to 5 classes, some of them tied, and classes."""
    rng = np.random.default_rng(seed)
    scores = rng.random((rng.integers(1, 40), rng.integers(2, 6))) ** rng.integers(1, 6) + 1e-6
    if seed % 2:
        scores = np.ceil(scores * 4)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores, rng.integers(scores.shape[1], size=len(scores))


@pytest.mark.parametrize("name", sorted(path.name for path in METRICS.iterdir() if path.is_dir()))
def test_every_metric_loads_by_path_and_says_what_it_takes(name):
    loaded = evaluate.load(str(METRICS / name))
    assert set(loaded.features) == {"predictions", "references"}
    assert "Returns:" in loaded.inputs_description and "n (`int`)" in loaded.inputs_description
    with pytest.raises(ValueError, match=r" 0 references"):
        loaded.compute(predictions=[], references=[])


@random_cases
@given(labels)
def test_figures_of_labels_equal_scikit_learn(pairs):
    guess, truth = (list(side) for side in zip(*pairs, strict=True))
    classes = sorted(set(truth))
    sums = counts.confusion_columns(guess, truth, classes).sum(axis=0)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        truth, guess, labels=classes, zero_division=0.0
    )
    weights = [truth.count(label) for label in classes]
    assert counts.recalls(sums) == pytest.approx(recall)
    assert counts.precisions(sums) == pytest.approx(precision)
    assert counts.f1(sums) == pytest.approx(f1)
    assert counts.unweighted_accuracy(sums) == pytest.approx(recall.mean())
    assert counts.weighted_accuracy(sums) == pytest.approx(reference.accuracy_score(truth, guess))
    assert counts.macro_f1(sums) == pytest.approx(f1.mean())
    assert counts.weighted_f1(sums) == pytest.approx(np.average(f1, weights=weights))
    assert directly("unweighted_accuracy")(guess, truth)["unweighted_accuracy"] == pytest.approx(recall.mean())


@settings(random_cases, max_examples=100)  # the module is scikit-learn
@given(labels)
def test_the_modules_of_labels_equal_the_figures_from_counts(pairs):
    guess, truth = (list(side) for side in zip(*pairs, strict=True))
    classes = sorted(set(truth))
    sums = counts.confusion_columns(guess, truth, classes).sum(axis=0)
    found = directly("f1_by_class")(guess, truth)
    assert found["macro_f1"] == pytest.approx(counts.macro_f1(sums))
    assert found["weighted_f1"] == pytest.approx(counts.weighted_f1(sums))
    assert [found["classes"][label]["f1"] for label in classes] == pytest.approx(counts.f1(sums))
    assert np.sum(found["confusion"]["counts"]) == found["n"] == len(truth)
    assert directly("weighted_accuracy")(guess, truth)["weighted_accuracy"] == pytest.approx(
        counts.weighted_accuracy(sums)
    )


@random_cases
@given(texts)
def test_error_rates_equal_jiwer(pairs):
    heard, said = (list(side) for side in zip(*pairs, strict=True))
    wer, cer = jiwer.wer(said, heard), jiwer.cer(said, heard)
    assert directly("word_error_rate")(heard, said)["word_error_rate"] == pytest.approx(wer)
    assert directly("character_error_rate")(heard, said)["character_error_rate"] == pytest.approx(cer)
    assert counts.share(count_word_edits(heard, said).sum(axis=0)) == pytest.approx(wer)
    assert counts.share(count_character_edits(heard, said).sum(axis=0)) == pytest.approx(cer)


@random_cases
@given(texts)
def test_bleu_equals_sacrebleu(pairs):
    heard, said = (list(side) for side in zip(*pairs, strict=True))
    assert directly("bleu")(heard, each_alone(said))["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(heard, [said]).score
    )


@random_cases
@given(texts)
def test_rouge_l_equals_rouge_score_on_ascii(pairs):
    heard, said = (list(side) for side in zip(*pairs, strict=True))
    scorer = RougeScorer(["rougeL"])
    expected = np.mean([scorer.score(want, got)["rougeL"].fmeasure for got, want in pairs])
    assert directly("rouge_l")(heard, each_alone(said))["rouge_l"] == pytest.approx(expected)


CAPTION_WORDS = ["the", "a", "voice", "sounds", "high", "low", "loud", "quiet", "very", "and", "says", "sad", "angry"]


def random_captions(seed):
    """Captions of 1 to 8 utterances, each with one to four references; some are empty, some are right."""
    rng = np.random.default_rng(seed)

    def caption(least=0):
        return " ".join(rng.choice(CAPTION_WORDS, rng.integers(least, 14)))

    references = [[caption() for _ in range(rng.integers(1, 5))] for _ in range(rng.integers(1, 9))]
    references[0][0] = caption(1)  # the reference implementation refuses nothing but empty ones
    return [each[0] if rng.random() < 0.2 else caption() for each in references], references


def test_cider_equals_the_reference_implementation():
    package = pytest.importorskip("pycocoevalcap.cider.cider", reason="pycocoevalcap is of the extra dev")
    for seed in range(1000):
        predictions, references = random_captions(seed)
        places = range(len(references))
        expected, of_each = package.Cider().compute_score(
            dict(zip(places, references, strict=True)), {place: [predictions[place]] for place in places}
        )
        found = directly("cider")(predictions, references)
        assert found["cider"] == pytest.approx(expected, abs=1e-9, rel=0)
        assert found["scores"] == pytest.approx(of_each, abs=1e-9, rel=0)


def test_cider_of_equal_captions_is_ten_and_of_others_nothing():
    captions = ["a low and sad voice", "he shouts out loud"]
    assert compute("cider", captions, captions)["cider"] == pytest.approx(10)
    assert compute("cider", captions[::-1], captions)["cider"] == 0


def test_cider_of_one_utterance_alone_is_nothing_since_no_word_is_rare():
    assert compute("cider", ["a low and sad voice"], ["a low and sad voice"])["cider"] == 0


def test_signs_and_case_are_no_words_of_cider_unless_words_are_given():
    predictions, references = ["A LOW voice.", "he shouts"], ["a low voice", "she whispers"]
    split = metric("cider").compute(predictions=predictions, references=references)
    given = metric("cider").compute(predictions=predictions, references=references, tokenize=False)
    assert split["scores"][0] > 5 > given["scores"][0] == 0
    assert "lower case" in split["variant"] and "as given" in given["variant"]


def test_an_utterance_without_a_reference_has_no_cider():
    with pytest.raises(ValueError, match="such as number 1"):
        compute("cider", ["a", "b"], [["a"], []])


@pytest.mark.parametrize(("name", "figure"), [("bleu", "bleu"), ("meteor", "meteor"), ("rouge_l", "rouge_l")])
def test_the_best_of_several_references_counts(name, figure):
    predictions = ["the voice of a sad man", "she speaks fast and loud"]
    others = ["it is quiet here today", "nobody says a word then"]
    of_one = compute(name, predictions, predictions)[figure]
    assert compute(name, predictions, [[a, b] for a, b in zip(others, predictions, strict=True)])[
        figure
    ] == pytest.approx(of_one)
    assert compute(name, predictions, [[others[0], predictions[0]], [predictions[1]]])[figure] == pytest.approx(of_one)


@random_cases
@given(seeds)
def test_brier_score_equals_scikit_learn(seed):
    scores, truth = probabilities(seed)
    classes = np.arange(scores.shape[1])
    expected = reference.brier_score_loss(truth, scores, labels=classes, scale_by_half=False)
    by_hand = np.square(scores - np.eye(len(classes))[truth]).sum(axis=1).mean()
    assert by_hand == pytest.approx(expected)
    assert directly("brier_score")(scores, truth)["brier_score"] == pytest.approx(expected)


@random_cases
@given(seeds)
def test_calibration_error_equals_that_of_the_bins_of_scikit_learn(seed):
    scores, truth = probabilities(seed)
    confidence, hits = scores.max(axis=1), scores.argmax(axis=1) == truth
    accuracy, mean_confidence = calibration_curve(hits, confidence, n_bins=15)
    sizes = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence))
    expected = np.average(np.abs(accuracy - mean_confidence), weights=sizes[sizes > 0])
    sums = counts.calibration_columns(confidence, hits).sum(axis=0)
    assert counts.expected_calibration_error(sums) == pytest.approx(expected)
    found = directly("expected_calibration_error")(scores, truth)
    assert found["expected_calibration_error"] == pytest.approx(expected)


@random_cases
@given(seeds)
def test_risk_is_that_of_the_most_confident_in_any_order_of_ties(seed):
    scores, truth = probabilities(seed)
    confidence, wrong = scores.max(axis=1), scores.argmax(axis=1) != truth
    expected = []
    for answered in range(1, len(truth) + 1):
        least = np.sort(confidence)[-answered]
        above, tied = confidence > least, confidence == least
        errors = wrong[above].sum() + wrong[tied].mean() * (answered - above.sum())
        expected.append(errors / answered)
    assert counts.risk_coverage(confidence, ~wrong) == pytest.approx(expected)
    found = directly("risk_coverage")(scores, truth)
    assert found["aurc"] == pytest.approx(np.mean(expected))
    assert found["risk"][-1] == pytest.approx(wrong.mean()) and found["coverage"][-1] == 1
    assert found["risk"][9] == pytest.approx(expected[math.ceil(len(truth) / 2) - 1])


def test_ua_is_the_mean_recall_of_the_classes_in_the_references():
    truth = ["sad", "sad", "sad", "angry"]
    found = compute("unweighted_accuracy", ["sad", "sad", "happy", "sad"], truth)
    assert found == {"unweighted_accuracy": pytest.approx((2 / 3 + 0) / 2), "n": 4}
    assert compute("weighted_accuracy", ["sad", "sad", "happy", "sad"], truth) == {"weighted_accuracy": 0.5, "n": 4}


def test_a_label_that_no_reference_holds_is_a_miss_and_no_class():
    found = compute("f1_by_class", ["sad", "none", "angry"], ["sad", "sad", "angry"])
    assert found["classes"]["sad"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["confusion"] == {
        "references": ["angry", "sad"],
        "predictions": ["angry", "sad", "none"],
        "counts": [[1, 0, 0], [0, 1, 1]],
    }


def test_wer_is_over_the_words_of_the_whole_corpus():
    found = compute("word_error_rate", ["a b", "", "x  y"], ["a c d e", "f", "x y"])
    assert found == {"word_error_rate": pytest.approx((3 + 1) / 7), "words": 7, "n": 3}


@pytest.mark.parametrize(("name", "rate"), [("word_error_rate", 2 / 1), ("character_error_rate", 3 / 1)])
def test_what_is_heard_where_nothing_was_said_is_inserted(name, rate):
    assert compute(name, ["a b", "c"], ["", "c"])[name] == pytest.approx(rate)


@pytest.mark.parametrize("name", ["word_error_rate", "character_error_rate"])
def test_an_error_rate_of_no_word_is_refused(name):
    with pytest.raises(ValueError, match="without a word"):
        compute(name, ["", ""], ["", " "])


def test_descriptors_count_where_the_reference_holds_them():
    found = compute(
        "descriptor_accuracy",
        [["pitch: high", "tone: flat"], ["pitch: low"], [], ["pitch: low"]],
        [["pitch: high"], ["pitch: high", "tone: flat"], [], ["pitch: low"]],
    )
    assert found["descriptors"]["pitch"] == {
        "accuracy": pytest.approx(2 / 3),
        "macro_f1": pytest.approx((2 / 3 + 2 / 3) / 2),
        "n": 3,
    }
    assert found["descriptors"]["tone"] == {"accuracy": 0, "macro_f1": 0, "n": 1}
    assert (found["exact_match"], found["n"]) == (pytest.approx(2 / 3), 3)


def test_a_descriptor_without_a_level_is_refused():
    with pytest.raises(ValueError, match="'slot: level'"):
        compute("descriptor_accuracy", [["high"]], [["pitch: high"]])


def test_emphasis_is_counted_word_by_word():
    found = compute("emphasis_f1", [["won", "won"], ["the"], []], [["won"], ["game"], []])
    assert found == {
        "emphasis_f1": pytest.approx(2 * 1 / 5),
        "precision": pytest.approx(1 / 3),
        "recall": 1 / 2,
        "words": 2,
        "n": 3,
    }
    assert compute("emphasis_f1", [[]], [[]])["emphasis_f1"] is None


def test_meteor_matches_stems_but_no_synonyms():
    same = compute("meteor", ["a dog barked"], ["a dog barks"])
    assert same["meteor"] == pytest.approx(1 - 0.5 * (1 / 3) ** 3) and same["n"] == 1
    assert compute("meteor", ["a large dog"], ["a big dog"])["meteor"] < same["meteor"]
    assert compute("meteor", ["", "x"], ["a", "y"])["meteor"] == 0


def test_rouge_l_keeps_letters_of_any_script():
    assert compute("rouge_l", ["żółw śpi"], ["Żółw, śpi!"])["rouge_l"] == 1


def test_bleu_names_its_variant():
    found = compute("bleu", ["we won the game"], ["we won the game"])
    assert (
        found["bleu"] == pytest.approx(100) and "tok:13a" in found["signature"] and "smooth:exp" in found["signature"]
    )


@pytest.mark.parametrize("name", ["expected_calibration_error", "brier_score", "risk_coverage"])
@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [([[0.9, 0.3]], [0], "sum to 1"), ([[1.2, -0.2]], [0], "negative"), ([[0.5, 0.5]], [2], "indices of the 2")],
)
def test_scores_that_are_no_probabilities_are_refused(name, scores, truth, message):
    with pytest.raises(ValueError, match=message):
        compute(name, scores, truth)
