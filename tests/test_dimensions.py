"""Valence, arousal and dominance by a regression head, and emotions trained on the raters' distribution: exact losses,
answers, options that contradict each other, and the figures of both."""

import json
import math

import numpy as np
import pytest
import torch
import yaml
from conftest import SMALL
from training_corpus import make_audiofolder

from xser import EmotionDescription, XSERConfig, XSERForEmotionDescription, XSERProcessor, train
from xser.corpora import load_corpus, make_row
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.predictions import reference_of
from xser.evaluation.ratings import score_dimensions, score_ratings
from xser.evaluation.report import figure_rows
from xser.evaluation.scoring import score
from xser.losses_xser import EMOTION_SMOOTHING, dimension_loss, emotion_loss
from xser.training.collator import XSERCollator
from xser.training.metrics import metric

NAMES = ["valence", "arousal"]
HEADS = {**SMALL, "summary_tokens": True, "dimensions": NAMES, "dimension_weight": 0.5, "emotion_weight": 0.7}
NAN = math.nan


def build(folders, **options):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, folders), **{**HEADS, **options})


def row_of(wave, seed: int = 0, **known) -> dict:
    levels = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "flat", "emphasis": []}
    row = make_row(id=f"r{seed}", audio=None, text=None, **{"emotion": "sad", "descriptors": levels, **known})
    return {**row, "audio": wave, "task": "describe", "noise_seed": seed}


# ---------------------------------------------------------------- losses


def test_the_loss_of_dimensions_is_a_mean_over_what_is_known_of_an_utterance_first():
    predicted = [torch.tensor([[0.5, 0.0], [0.2, 0.9], [0.1, 0.1]]), torch.zeros(3, 2)]
    labels = torch.tensor([[1.0, 0.4], [NAN, 0.4], [NAN, NAN]])
    first = (0.5**2 + 0.4**2) / 2 + 0.5**2 + 0
    second = (1.0 + 0.4**2) / 2 + 0.4**2 + 0
    assert dimension_loss(predicted, labels).item() == pytest.approx((first + second) / 3)
    assert dimension_loss(predicted, torch.full((3, 2), NAN)) == 0


def test_unknown_dimensions_give_no_gradient():
    predicted = torch.full((2, 2), 0.5, requires_grad=True)
    dimension_loss([predicted], torch.tensor([[NAN, 1.0], [NAN, NAN]])).backward()
    assert predicted.grad.tolist() == [[0.0, pytest.approx(-0.5)], [0.0, 0.0]]


def test_soft_labels_stand_for_the_hard_one_where_there_are_any():
    logits, labels = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0]]), torch.tensor([0, 2])
    soft = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.0, 0.0]])
    log_probs = logits.log_softmax(-1)
    hard = emotion_loss([logits[1:]], labels[1:])
    expected = (-(soft[0] * log_probs[0]).sum() + hard) / 2
    torch.testing.assert_close(emotion_loss([logits], labels, soft_emotion_labels=soft), expected)
    smooth = EMOTION_SMOOTHING / 3
    by_hand = -((1 - EMOTION_SMOOTHING + smooth) * log_probs[1, 2] + smooth * log_probs[1, :2].sum())
    torch.testing.assert_close(hard, by_hand)
    unknown = torch.tensor([-100, -100])  # raters may disagree on a row of which no emotion is agreed
    torch.testing.assert_close(
        emotion_loss([logits], unknown, soft_emotion_labels=soft), -(soft[0] * log_probs[0]).sum() / 2
    )


def test_the_loss_holds_both_terms_by_their_weights(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders)
    model.eval()
    rows = [row_of(waves[0], valence=1.0, arousal=0.25), row_of(waves[1], 1, valence=0.0), row_of(waves[2], 2)]
    batch = XSERCollator(processor, dimensions=tuple(NAMES))(rows)["describe"]
    torch.testing.assert_close(
        batch["dimension_labels"], torch.tensor([[1.0, 0.25], [0.0, NAN], [NAN, NAN]]), equal_nan=True
    )
    output = model(**batch)
    audio = {name: batch[name] for name in ("input_ids", "input_values", "input_values_mask", "loudness")}
    predicted = model.dimension_head(model.hear(**audio))
    assert list(predicted) == ["descriptors"] and predicted["descriptors"].shape == (3, 2)
    assert bool(((predicted["descriptors"] > 0) & (predicted["descriptors"] < 1)).all())
    expected = dimension_loss([predicted["descriptors"]], batch["dimension_labels"])
    torch.testing.assert_close(output.dimension_loss, expected)
    others = output.lm_loss + 1e-2 * output.descriptor_kl + 0.5 * output.level_loss + 0.7 * output.emotion_loss
    torch.testing.assert_close(output.loss, others + 0.5 * output.dimension_loss)
    heads = model(**batch, heads_only=True)
    torch.testing.assert_close(heads.dimension_loss, output.dimension_loss)


def test_the_dimensions_of_an_utterance_do_not_depend_on_its_batch(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders)
    model.eval()
    rows = [row_of(waves[0], valence=1.0), row_of(waves[1], 1, valence=0.0)]
    collate = XSERCollator(processor, dimensions=tuple(NAMES))
    both = model(**collate(rows)["describe"]).dimension_loss
    alone = [model(**collate([row])["describe"]).dimension_loss for row in rows]
    torch.testing.assert_close(both, sum(alone) / 2, rtol=1e-4, atol=1e-5)


def test_every_weight_of_the_head_is_trained(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders)
    batch = XSERCollator(processor, dimensions=tuple(NAMES))([row_of(waves[0], valence=1.0, arousal=0.0)])["describe"]
    model.train()(**batch).loss.backward()
    head = dict(model.dimension_head.named_parameters())
    assert head and all(parameter.grad.abs().sum() > 0 for parameter in head.values())


# ---------------------------------------------------------------- collator


def test_the_collator_makes_distributions_of_ratings_where_they_are_asked_for(tiny_pair, waves):
    _, processor = tiny_pair
    emotions = processor.emotions
    ratings = ["sad", "sad", "angry", "contempt", "angry", "sad"]  # contempt is no emotion of the model
    rows = [row_of(waves[0], ratings=ratings), row_of(waves[1], 1, ratings=["contempt"]), row_of(waves[2], 2)]
    soft = XSERCollator(processor, soft_labels=True)(rows)["describe"]["soft_emotion_labels"]
    known = {emotions.index("sad"): 0.6, emotions.index("angry"): 0.4}
    assert soft.shape == (3, len(emotions)) and soft[1:].tolist() == [[0.0] * len(emotions)] * 2
    assert {index: pytest.approx(value) for index, value in known.items()} == {
        index: value for index, value in enumerate(soft[0].tolist()) if value
    }
    assert "soft_emotion_labels" not in XSERCollator(processor)(rows)["describe"]


def test_batches_of_other_tasks_and_models_have_none_of_these_labels(tiny_pair, waves):
    _, processor = tiny_pair
    collate = XSERCollator(processor, dimensions=tuple(NAMES), soft_labels=True)
    batch = collate([{**row_of(waves[0]), "text": "we won", "task": "asr"}])["asr"]
    assert not {"dimension_labels", "soft_emotion_labels"} & set(batch)
    assert "dimension_labels" not in XSERCollator(processor)([row_of(waves[0])])["describe"]


def test_soft_labels_train_the_heads(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders)
    model.eval()
    rows = [row_of(waves[0], ratings=["sad", "angry"])]
    batch = XSERCollator(processor, soft_labels=True)(rows)["describe"]
    audio = {name: batch[name] for name in ("input_ids", "input_values", "input_values_mask", "loudness")}
    log_probs = model.emotion_head(model.hear(**audio))["descriptors"].log_softmax(-1)[0]
    wanted = -(log_probs[processor.emotions.index("sad")] + log_probs[processor.emotions.index("angry")]) / 2
    torch.testing.assert_close(model(**batch).emotion_loss, wanted)


# ---------------------------------------------------------------- answers


def test_explain_gives_the_dimensions_and_a_saved_model_the_same(tiny_backbone_folders, waves, tmp_path):
    model, processor = build(tiny_backbone_folders)
    model.eval()
    answers = model.explain([waves[0], (np.zeros(16_000, np.float32), 16_000)], processor)
    assert list(answers[0]["dimensions"]) == NAMES and answers[1]["dimensions"] is None
    assert all(0 < value < 1 for value in answers[0]["dimensions"].values())
    json.dumps(answers)
    model.save_pretrained(tmp_path)
    again = XSERForEmotionDescription.from_pretrained(tmp_path).eval().explain([waves[0]], processor)
    assert again[0]["dimensions"] == pytest.approx(answers[0]["dimensions"], abs=1e-5)


def test_a_model_without_the_head_says_nothing_of_dimensions(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, dimensions=None, dimension_weight=0.0)
    assert model.dimension_head is None and model.config.dimensions == []
    assert "dimensions" not in model.explain([waves[0]], processor)[0]


def test_the_answer_is_the_mean_of_what_the_streams_predict(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, aux_streams={"face": {"size": 3, "latent_size": 2}})
    model.eval()
    face = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    (answer,) = model.explain([waves[0]], processor, aux={"face": [face]})
    batch = processor([waves[0]], task="describe", aux={"face": [face]})
    batch.pop("attention_mask")
    with torch.no_grad():
        predicted = model.dimension_head(model.hear(**batch))
    assert list(predicted) == ["descriptors", "face"]
    assert answer["dimensions"]["valence"] == pytest.approx(
        float((predicted["descriptors"][0, 0] + predicted["face"][0, 0]) / 2), abs=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": ["valence"]}, "dimension_weight is 0.0; it must be above 0 where dimensions are given"),
        ({"dimension_weight": 1.0}, "dimension_weight is 1.0; it must be 0 where dimensions are not given"),
        (
            {"dimensions": ["a", "a"], "dimension_weight": 1.0},
            r"dimensions is \['a', 'a'\]; it must be different names",
        ),
        ({"dimensions": [3], "dimension_weight": 1.0}, r"dimensions is \[3\]; it must be different names"),
        ({"dimensions": "valence", "dimension_weight": 1.0}, "dimensions is 'valence'; it must be of type"),
        ({"dimensions": ["valence"], "dimension_weight": -1.0}, "dimension_weight is -1.0; it must be 0 or more"),
        (
            {"dimensions": ["valence"], "dimension_weight": 1.0, "summary_tokens": False},
            "0 where summary_tokens is false",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        XSERConfig(**{"summary_tokens": True, **options})


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("seed", range(20))
def test_concordance_correlation_is_its_formula(seed):
    rng = np.random.default_rng(seed)
    given, wanted = rng.random((2, int(rng.integers(2, 50))))
    given = 0.3 * wanted + 0.5 * given
    (vx, cov), (_, vy) = np.cov(given, wanted, ddof=0)
    expected = 2 * cov / (vx + vy + (given.mean() - wanted.mean()) ** 2)
    got = metric("concordance_correlation").compute(predictions=given.tolist(), references=wanted.tolist())
    assert got["concordance_correlation"] == pytest.approx(expected, abs=1e-12) and got["n"] == len(given)


def test_concordance_correlation_is_1_for_the_same_and_less_for_a_shift():
    values = [0.1, 0.4, 0.9]
    of = metric("concordance_correlation")
    assert of.compute(predictions=values, references=values)["concordance_correlation"] == pytest.approx(1)
    shifted = [value + 0.2 for value in values]
    assert of.compute(predictions=shifted, references=values)["concordance_correlation"] < 0.9
    assert of.compute(predictions=[0.5] * 3, references=values)["concordance_correlation"] == 0


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        ([0.5], [0.5], "at least 2"),
        ([0.5, 0.5], [0.5, 0.5], "are all the same"),
        ([NAN, 0.5], [0.1, 0.5], "finite"),
    ],
)
def test_concordance_correlation_of_nothing_is_refused(given, wanted, message):
    with pytest.raises(ValueError, match=message):
        metric("concordance_correlation").compute(predictions=given, references=wanted)


def prediction(row_id: str, **known) -> dict:
    answer = {name: known.pop(name, None) for name in ("dimensions", "scores")}
    row = make_row(id=row_id, emotion="sad", **known)
    parts = {"status": "ok", "emotion": "sad", "descriptors": {}, "emphasis": None, "transcript": None}
    return {"id": row_id, "reference": reference_of(row), **parts, **answer}


def test_dimensions_are_scored_where_both_sides_have_them():
    predictions = [
        prediction("a", valence=0.2, arousal=0.5, dimensions={"valence": 0.3, "arousal": 0.5}),
        prediction("b", valence=0.8, dimensions={"valence": 0.6, "arousal": 0.1}),
        prediction("c", dimensions={"valence": 0.6, "arousal": 0.1}),
        prediction("d", valence=0.8),
    ]
    scores = score_dimensions(predictions)
    wanted = metric("concordance_correlation").compute(predictions=[0.3, 0.6], references=[0.2, 0.8])
    assert scores == {
        "valence": {"ccc": wanted["concordance_correlation"], "n": 2},
        "arousal": {"ccc": None, "n": 1},
    }
    assert score_dimensions(predictions[2:]) is None


def test_ratings_are_scored_over_the_emotions_of_the_scores():
    scores = {"sad": 0.5, "angry": 0.25, "happy": 0.25}
    predictions = [
        prediction("a", ratings=["sad", "angry", "contempt"], scores=scores),
        prediction("b", ratings=["contempt"], scores=scores),
        prediction("c", scores=scores),
        prediction("d", ratings=["sad"]),
    ]
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.25, 0.25])
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = [np.nansum(each * np.log(each / m)) for each in (p, q)]
    assert score_ratings(predictions) == {
        "cross_entropy": pytest.approx(-(0.5 * math.log(0.5) + 0.5 * math.log(0.25))),
        "jensen_shannon": pytest.approx(sum(kl) / 2),
        "n": 1,
    }
    assert score_ratings(predictions[1:]) is None


def test_equal_distributions_diverge_by_nothing_and_disjoint_ones_by_log_2():
    same = score_ratings([prediction("a", ratings=["sad", "angry"], scores={"sad": 0.5, "angry": 0.5})])
    assert same["jensen_shannon"] == pytest.approx(0) and same["cross_entropy"] == pytest.approx(math.log(2))
    other = score_ratings([prediction("a", ratings=["sad"], scores={"sad": 0.0, "angry": 1.0})])
    assert other["jensen_shannon"] == pytest.approx(math.log(2)) and math.isfinite(other["cross_entropy"])


def test_the_report_shows_these_figures():
    predictions = [prediction(str(n), valence=n / 4, dimensions={"valence": n / 4}, ratings=["sad"],
                              scores={"sad": 0.5, "angry": 0.5}) for n in range(4)]  # fmt: skip
    extra = {"dimensions": score_dimensions(predictions), "ratings": score_ratings(predictions)}
    rows = figure_rows({**score(predictions), **extra})
    assert ("valence, CCC", "1.000", "4") in rows
    assert ("raters, cross-entropy in nats", "0.693", "4") in rows
    assert ("raters, Jensen-Shannon divergence in nats", "0.216", "4") in rows
    assert len(figure_rows(score(predictions))) == len(rows) - 3


def test_a_reference_has_ratings_and_dimensions_only_where_they_are_known():
    known = reference_of(make_row(id="a", valence=0.25, ratings=["sad"]))
    assert (known["valence"], known["ratings"]) == (0.25, ["sad"]) and "arousal" not in known
    assert EmotionDescription({}, None, "sad").emotion == "sad" and "valence" not in reference_of(make_row(id="a"))


# ---------------------------------------------------------------- a run, from a table to figures


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Tones whose table has valence and raters' labels."""
    folder = make_audiofolder(tmp_path_factory.mktemp("data") / "tones")
    header, *lines = (folder / "metadata.csv").read_text().splitlines()
    rated = [f"{line},{index % 5},{'angry;sad' if index % 2 else ''}" for index, line in enumerate(lines)]
    (folder / "metadata.csv").write_text("\n".join([f"{header},valence,ratings", *rated]) + "\n")
    return folder


@pytest.fixture
def config(tones, tiny_backbone_folders, tmp_path, monkeypatch):
    """A function that writes the options of a run of three steps."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    audio, text = map(str, tiny_backbone_folders)
    options = {
        "audio_model": audio, "text_model": text, "data": str(tones), "corpus_options": {"dimension_range": [0, 4]},
        "output_dir": str(tmp_path / "run"), "max_steps": 3, "test_speakers": ["s0"], "learning_rate": 0.01,
        "per_device_train_batch_size": 4, "logging_steps": 1, "summary_tokens": True, "emotion_weight": 1,
        "dimensions": ["valence"], "dimension_weight": 1, "soft_labels": True, "use_cpu": True, "report_to": "none",
        "disable_tqdm": True, "final_evaluation": False,
    }  # fmt: skip

    def write(**changes) -> list[str]:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(options | changes))
        return [str(tmp_path / "config.yaml")]

    return write


def test_a_run_trains_both_heads_and_evaluation_scores_them(config, tones, tmp_path, monkeypatch):
    train.main(config())
    state = json.loads((tmp_path / "run/checkpoint-3/trainer_state.json").read_text())
    losses = [log["describe/dimension_loss"] for log in state["log_history"] if "describe/dimension_loss" in log]
    assert losses and all(0 < loss < 1 for loss in losses)
    model = XSERForEmotionDescription.from_pretrained(tmp_path / "run/final").eval()
    processor = XSERProcessor.from_pretrained(tmp_path / "run/final")
    assert model.config.dimensions == ["valence"]
    rows = load_corpus(tones, dimension_range=[0, 4])
    monkeypatch.setattr(processor, "voice_activity", False)
    results, predictions = evaluate_model(model, processor, rows, limit=8, progress=False)
    assert results["dimensions"]["valence"]["n"] == 8 and -1 <= results["dimensions"]["valence"]["ccc"] <= 1
    rated = sum(bool(one["reference"].get("ratings")) for one in predictions)
    assert results["ratings"]["n"] == rated > 0


def test_soft_labels_without_a_head_are_refused_before_training(config):
    with pytest.raises(ValueError, match="soft_labels is true, but emotion_weight is 0"):
        train.main(config(emotion_weight=None))
