"""The benchmark on nEMO: what each part of a pooled answer said by itself, and the tables over folds."""

import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_wave
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from xser.evaluation.predictions import write_predictions
from xser.training.arguments import parse_config
from xser.training.options import read_yaml

ROOT = Path(__file__).parents[1]
EMOTIONS = ("sad", "angry", "happy")


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def benchmark():
    return load("nemo")


@pytest.fixture
def beside(benchmark, monkeypatch):
    """Loads a benchmark that takes from this one."""
    monkeypatch.setitem(sys.modules, "nemo", benchmark)
    return load


def opinion(rng) -> dict[str, float]:
    return dict(zip(EMOTIONS, rng.dirichlet(np.ones(3)).tolist(), strict=True))


def pooled(opinions) -> dict[str, float]:
    means = {emotion: np.prod([each[emotion] for each in opinions]) ** (1 / len(opinions)) for emotion in EMOTIONS}
    return {emotion: mean / sum(means.values()) for emotion, mean in means.items()}


def answer(rng, truth: str, sure: str | None = None) -> dict:
    votes = {"descriptors": opinion(rng), "measures": opinion(rng)}
    if sure is not None:
        votes["measures"] = {emotion: 0.98 if emotion == sure else 0.01 for emotion in EMOTIONS}
    spoken = opinion(rng)
    scores = pooled([*votes.values(), spoken])
    reference = {"emotion": truth, "speaker": "a", "descriptors": {}}
    known = {"id": str(rng.integers(10**9)), "reference": reference, "status": "ok", "transcript": None}
    return known | {"emotion": max(scores, key=scores.get), "scores": scores, "votes": votes, "spoken": spoken}


def test_the_language_models_scores_are_what_the_heads_leave_of_the_answer(benchmark):
    given = answer(np.random.default_rng(0), "sad")
    found = benchmark.members_of(given)
    assert list(found) == ["descriptors", "measures", "language model", "all of them"]
    assert found["language model"] == pytest.approx(given["spoken"], rel=1e-9)
    assert found["all of them"] == given["scores"] and found["measures"] == given["votes"]["measures"]


def test_each_member_is_scored_alone_in_every_fold(benchmark):
    rng = np.random.default_rng(1)
    truths = EMOTIONS * 4
    folds = {
        "A": [answer(rng, truth, sure=truth) for truth in truths],
        "B": [answer(rng, truth, sure="sad") for truth in truths],
    }
    predictions = {"XSER": folds, "XSER with reference": folds}
    rows = benchmark.members_table(benchmark.systems_of(["none", "all"], has_probe=False), predictions)
    assert {row[0] for row in rows} == {benchmark.NONE, benchmark.ALL} and len(rows) == 2 * 4
    alone = {row[1]: row[2:] for row in rows if row[0] == benchmark.NONE}
    assert alone["measures"] == ("0.667", "1.000", "0.333")  # right in A, always the same in B


def test_each_reference_has_its_row_and_what_it_is_held_against(benchmark):
    classic = benchmark.systems_of(["none", "all", "30"], has_probe=False)
    assert [*classic] == [
        *("eGeMAPS + SVM", "XSER", "XSER, ensemble weights fitted"),
        *("eGeMAPS + SVM, by speaker", "XSER with reference", "XSER with reference, ensemble weights fitted"),
        *("XSER, reference of 30", "XSER, reference of 30, ensemble weights fitted"),
    ]
    assert classic["XSER"].against == "eGeMAPS + SVM" and classic["XSER, reference of 30"].against is None
    probed = benchmark.systems_of(["30", "none"], has_probe=True)
    assert [*probed] == [
        *("logistic regression, 30", "XSER, reference of 30", "XSER, reference of 30, ensemble weights fitted"),
        *("logistic regression, none", "XSER", "XSER, ensemble weights fitted"),
    ]
    assert probed["XSER, reference of 30"].against == "logistic regression, 30"
    assert probed["XSER, reference of 30"].shown == "30 of the speaker's, without labels"


def test_the_probes_predictions_stand_in_the_order_of_the_answers(benchmark, tmp_path):
    rng = np.random.default_rng(3)
    folds = {"A": [answer(rng, "sad"), answer(rng, "angry")], "B": [answer(rng, "sad")]}
    every = [each for fold in folds.values() for each in fold]
    guesses = [{**{k: each[k] for k in ("id", "reference", "status")}, "emotion": "angry"} for each in every[::-1]]
    write_predictions(tmp_path / "none.jsonl", guesses)
    found = benchmark.probe_predictions(tmp_path, "none", folds)
    assert {fold: [each["id"] for each in found[fold]] for fold in found} == {
        fold: [each["id"] for each in folds[fold]] for fold in folds
    }
    relabelled = [{**each, "reference": {**each["reference"], "descriptors": {"pitch": "low"}}} for each in guesses]
    write_predictions(tmp_path / "none.jsonl", relabelled)
    found = benchmark.probe_predictions(tmp_path, "none", folds)
    assert [each["reference"] for each in found["A"]] == [each["reference"] for each in folds["A"]]
    other = {**guesses[0], "reference": {**guesses[0]["reference"], "emotion": "bored"}}
    write_predictions(tmp_path / "none.jsonl", [other, *guesses[1:]])
    with pytest.raises(ValueError, match=rf"none.jsonl has '{other['id']}' as 'bored', and XSER's data as 'sad'"):
        benchmark.probe_predictions(tmp_path, "none", folds)
    write_predictions(tmp_path / "none.jsonl", guesses[1:])
    with pytest.raises(ValueError, match=rf"none.jsonl has no prediction of '{every[-1]['id']}'"):
        benchmark.probe_predictions(tmp_path, "none", folds)


def test_claims_are_counted_over_all_folds_and_by_slot(benchmark):
    rng = np.random.default_rng(4)
    judged = [
        {"pitch": {"verdict": "agree"}, "speed": {"verdict": "contradict"}},
        {"pitch": {"verdict": "contradict"}, "speed": {"verdict": "can't tell"}},
        {"pitch": {"verdict": "agree"}, "speed": {"verdict": "can't tell"}},
    ]
    answers = [{**answer(rng, "sad"), "verification": each} for each in judged]
    systems = benchmark.systems_of(["none", "30"], has_probe=False)
    predictions = {"XSER": {"A": answers[:2], "B": answers[2:]}, "XSER, reference of 30": {"A": [answer(rng, "sad")]}}
    [row] = benchmark.claims_table(systems, predictions, resamples=50)
    named = dict(zip(benchmark.CLAIM_COLUMNS, row, strict=True))
    assert (named["system"], named["claims"]) == ("XSER", "6")
    assert named["contradicted"].startswith("0.500 (") and named["decided"].startswith("0.667 (")
    assert named["contradicted by slot"] == "pitch 0.333, speed 1.000"


def test_ensemble_weights_are_fitted_on_other_folds_alone(benchmark):
    rng = np.random.default_rng(2)
    folds = {fold: [answer(rng, truth, sure=truth) for truth in EMOTIONS * 20] for fold in "AB"}
    folds["C"] = [answer(rng, truth, sure="sad") for truth in EMOTIONS * 20]
    fitted, weights = benchmark.fit_ensembles(folds)
    assert [each["emotion"] for each in fitted["C"]] == ["sad"] * 60, "measures were right in A and B"
    assert set(weights["C"]) == {"descriptors", "measures", "language_model"}
    assert weights["C"]["measures"] > 5 * max(weights["C"]["descriptors"], weights["C"]["language_model"])
    assert weights["A"]["measures"] < weights["C"]["measures"], "in C they were not"
    assert [each["reference"] for each in fitted["C"]] == [each["reference"] for each in folds["C"]]


def test_a_recording_without_speech_is_wrong_for_every_member_and_fits_nothing(benchmark):
    rng = np.random.default_rng(5)
    folds = {fold: [answer(rng, truth, sure=truth) for truth in EMOTIONS * 20] for fold in "AB"}
    expected = benchmark.fit_ensembles(folds)[1]
    silent = {**answer(rng, "sad"), "status": "no_speech", "emotion": None, "scores": None}
    del silent["votes"]
    folds["A"] = [silent, *folds["A"]]
    fitted, weights = benchmark.fit_ensembles(folds)
    assert weights == expected and fitted["A"][0] == silent and len(fitted["A"]) == 61
    rows = benchmark.members_table(benchmark.systems_of(["none"], has_probe=False), {"XSER": folds})
    alone = {row[1]: row[3:] for row in rows}
    assert alone["measures"] == (f"{(2 + 20 / 21) / 3:.3f}", "1.000")


def test_a_weighted_pool_gives_the_scores_that_the_model_would(benchmark):
    members = {
        "measures": {"sad": 0.6, "angry": 0.4},
        "language model": {"sad": 0.1, "angry": 0.9},
        "all of them": {},
    }
    members["all of them"] = dict.fromkeys(("sad", "angry"), 0.5)
    scores = benchmark.pool(members, {"measures": 1.0, "language_model": 0.1})
    ratio = (0.6 / 0.4) * (0.1 / 0.9) ** 0.1
    assert scores == pytest.approx({"sad": ratio / (1 + ratio), "angry": 1 / (1 + ratio)}, rel=1e-4)
    assert scores["sad"] > 0.5 > benchmark.pool(members, {"measures": 1.0, "language_model": 0.3})["sad"]


def test_an_option_can_name_the_speaker_left_out(benchmark, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "run", lambda command, log: asked.append(command))
    options = ["--audio_model", "towers/{fold}/final", "--stages", '{"describe": {}}']
    benchmark.train_fold("data", "WR0", tmp_path / "WR0", "config.yaml", 0.33, options)
    assert asked[0][-4:] == ["--audio_model", "towers/WR0/final", "--stages", '{"describe": {}}']
    assert "{test_fold: WR0, validation_fold: none, new_texts: 0.33}" in asked[0]
    (tmp_path / "WR0" / "run").mkdir()
    (tmp_path / "WR0" / "run" / "results.json").write_text("{}")
    benchmark.train_fold("data", "WR0", tmp_path / "WR0", "config.yaml", 0.33, options)
    assert len(asked) == 1, "what is done is not done again"


@pytest.mark.parametrize("slots", [[], ["pitch", "emotion"]])
def test_a_fold_asks_in_one_pass_for_references_that_are_missing_and_slots_that_are_named(
    benchmark, tmp_path, monkeypatch, slots
):
    asked = []
    monkeypatch.setattr(benchmark, "run", lambda command, log: asked.append(command))
    given = ("data", tmp_path, "config.yaml", None, [], ["none", "30"], True, slots, "WR0")
    benchmark.test_fold(*given)
    (tmp_path / "WR0" / "XSER-none.jsonl").touch()
    benchmark.test_fold(*given)
    (tmp_path / "WR0" / "XSER-30.jsonl").touch()
    benchmark.test_fold(*given)
    *_, first, _, second, training = asked
    assert len(asked) == 5 and training[0].endswith("train.py")
    for command, references in ((first, ["none", "30"]), (second, ["30"])):
        place = command.index("--reference") + 1
        assert command[0].endswith("eval.py") and "--verify" in command
        assert command[place : place + len(references)] == references
        assert command[place + len(references) :] == (["--verify", "--slots", *slots] if slots else ["--verify"])
    assert first[first.index("--predictions") + 1] == str(tmp_path / "WR0" / "XSER-{reference}.jsonl")
    assert second[second.index("--predictions") + 1] == str(tmp_path / "WR0" / "XSER-30.jsonl")


def test_folds_run_side_by_side_and_what_fails_in_one_is_told(benchmark, tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    torch.set_num_threads(2)
    running, most, shared = set(), [], []

    def fold(name: str) -> None:
        running.add(name)
        time.sleep(0.05)
        most.append(len(running))
        benchmark.run(["-c", "import os; print(os.environ['OMP_NUM_THREADS'])"], tmp_path / name)
        shared.append(((tmp_path / name).read_text().strip(), torch.get_num_threads()))
        running.discard(name)
        if name == "c":
            raise ValueError("no such fold: c")

    try:
        benchmark.each_fold(fold, ["a", "b"], 2)
        assert max(most) == 2 and set(shared) == {("1", 1)}
        assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("7", 2)
        with pytest.raises(ValueError, match="no such fold: c"):
            benchmark.each_fold(fold, ["d", "e", "c"], 2)
    finally:
        torch.set_num_threads(threads)


def test_each_part_that_is_taken_away_is_away_and_nothing_else_changes(beside):
    path = str(ROOT / "configs" / "xser-nemo.yaml")
    found = beside("nemo_parts").variants(read_yaml(path))
    models, trainings = {}, {}
    for name, options in found.items():
        models[name], _, trainings[name] = parse_config([path, "--data", "somewhere", *options])
    whole, training = models["nothing"], trainings["nothing"]
    assert models["auxiliary streams"].aux_streams == {} and set(whole.aux_streams) == {"prosody", "measures"}
    assert models["whole recordings"].recording_states is False and whole.recording_states is True
    spectrum = {
        name: {key: size for key, size in each.items() if key != "size"} for name, each in whole.aux_streams.items()
    }
    found = models["the spectrum among the measures"].aux_streams
    assert [found["measures"].pop("size"), found["prosody"].pop("size")] == [41, 5] and found == spectrum
    plain = models["information bottlenecks"]
    blocks = [plain.content_bottleneck, plain.descriptor_bottleneck, *plain.aux_streams.values()]
    assert [block["variational"] for block in blocks] == [False] * 4
    assert {**plain.descriptor_bottleneck, "variational": True} == {**whole.descriptor_bottleneck, "variational": True}
    assert training.tasks == ["asr", "describe"] and trainings["transcription"].tasks == ["describe"]
    alone = trainings["speeds, swapped voices"]
    assert alone.speeds == [1.0] and alone.swap_probability == 0 and training.swap_probability > 0
    assert models["transcription"] == models["speeds, swapped voices"] == whole
    assert {each.max_steps for each in trainings.values()} == {training.max_steps}


def test_statistics_of_a_tower_are_those_of_its_layers_and_an_untrained_one_is_another(beside, tmp_path, monkeypatch):
    towers = beside("nemo_towers")
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_conv_pos_embedding_groups": 2}
    config = HubertConfig(
        num_hidden_layers=1, conv_dim=[8], conv_kernel=[400], conv_stride=[160], feat_extract_norm="layer", **sizes
    )
    HubertModel(config).eval().save_pretrained(tmp_path / "tower")
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    tower = HubertModel.from_pretrained(tmp_path / "tower").eval()
    wave = make_wave(0.5, seed=1)
    monkeypatch.setattr(towers, "load_audio", lambda audio: wave)
    monkeypatch.setattr(towers, "computed_once", lambda kind, rows, function, desc: [function(row) for row in rows])
    found = towers.tower_statistics([{}, {}], tower, extractor)
    inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        states = tower(inputs.input_values, output_hidden_states=True).hidden_states
    expected = torch.stack(
        [torch.cat([each.mean(1) for each in states]), torch.cat([each.std(1, correction=0) for each in states])]
    )
    np.testing.assert_allclose(found, np.tile(expected.reshape(1, -1).numpy(), (2, 1)), rtol=1e-5)
    other = towers.untrained(tmp_path / "tower").eval()
    assert other.config.hidden_size == 8
    weights = (each.encoder.layers[0].attention.k_proj.weight for each in (tower, other))
    assert not torch.equal(*weights)


def test_a_tower_that_tells_the_emotion_is_right_about_strangers(beside):
    towers = beside("nemo_towers")
    rng = np.random.default_rng(0)
    rows = {"emotion": list(EMOTIONS) * 20, "fold": ["A"] * 30 + ["B"] * 30}
    told = np.array([EMOTIONS.index(each) for each in rows["emotion"]])[:, None] + rng.normal(0, 0.1, (60, 2))
    assert towers.unweighted_accuracy(told, rows, "B") == 1
    assert towers.unweighted_accuracy(rng.normal(size=(60, 2)), rows, "B") < 0.6


def loaded_probe(beside, monkeypatch):
    monkeypatch.setitem(sys.modules, "nemo_towers", beside("nemo_towers"))
    return beside("nemo_probe")


def probe_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two layers, of which the second predicts emotions; speakers differ by an offset."""
    rng = np.random.default_rng(5)
    speakers, emotions = np.repeat(list("ABCD"), 30), np.array(EMOTIONS * 40)
    offsets = dict(zip("ABCD", rng.normal(0, 5, (4, 6)), strict=True))
    signal = np.eye(6)[[EMOTIONS.index(emotion) for emotion in emotions]]
    informative = signal + np.stack([offsets[speaker] for speaker in speakers]) + rng.normal(0, 0.1, (120, 6))
    return np.stack([rng.normal(0, 1, (120, 6)), informative], 1), speakers, emotions


def test_the_probe_chooses_its_layer_on_development_speakers(beside, monkeypatch):
    probe = loaded_probe(beside, monkeypatch)
    values, speakers, emotions = probe_data()
    rng = np.random.default_rng(6)
    values[:, 0] = values[:, 1] + rng.normal(0, 0.5, values[:, 1].shape)  # worse for all but the speaker left out
    values[speakers == "A", 1] = rng.normal(0, 1, (30, 6))
    assert probe.LayerChoice(values, speakers, emotions, 0).best("A") == 1


@pytest.mark.parametrize("count", [0, 29])
def test_the_probes_features_are_relative_to_other_recordings_of_the_speaker(beside, monkeypatch, count):
    probe = loaded_probe(beside, monkeypatch)
    values, speakers, _ = probe_data()
    values, known = values[:, 1], speakers != "A"
    found = probe.relative(values, speakers, known, count)
    deviation = np.mean([values[speakers == each].std(0) for each in "BCD"], 0)
    assert found[known] == pytest.approx(
        np.concatenate([values[speakers == each] - values[speakers == each].mean(0) for each in "BCD"]) / deviation
    )
    louder = values.copy()
    louder[0] += 100
    moved = probe.relative(louder, speakers, known, count)
    if count:  # a recording is no part of its own reference
        assert moved[0] == pytest.approx(found[0] + 100 / deviation)
    else:
        assert moved[0] == pytest.approx(found[0] + 100 * (1 - 1 / 30) / deviation)
