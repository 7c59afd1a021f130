"""Hearing voices relative to their speakers: in the pipeline by a few recordings, in evaluation by the data set's."""

import io
import json

import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL, make_wave
from transformers import HfArgumentParser

from xser.audio_xser import SAMPLE_RATE
from xser.calibration_xser import Reference
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.eval import EvalArguments, evaluate
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.references import parse_reference, speaker_profiles, told_reference
from xser.modeling_xser import XSERForEmotionDescription, XSERModel
from xser.pipeline_xser import ANSWER_KEYS, XSERPipeline
from xser.profile_xser import make_profile

PROSODY = {"prosody": {"size": 5, "latent_size": 3, "hidden_size": 8}}
TASK = "audio-emotion-explain"


@pytest.fixture(scope="module")
def pair(tiny_backbone_folders):
    """A model that hears references, and its processor; not to be changed."""
    torch.manual_seed(0)
    options = {"speaker_reference": True, "aux_streams": PROSODY, "summary_tokens": True, "emphasis": False}
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, **options)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Shared by the tests of this file, and gone with them."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path_factory.getbasetemp() / "references"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four recordings of one voice."""
    folder = tmp_path_factory.mktemp("voice")
    for index in range(4):
        soundfile.write(folder / f"{index}.wav", make_wave(0.5 + 0.15 * index, seed=index), SAMPLE_RATE)
    return [str(folder / f"{index}.wav") for index in range(4)]


@pytest.fixture(scope="module")
def profile(pair, files):
    return make_profile(*pair, files[:3])


def pipeline_of(pair, **options):
    model, processor = pair
    return XSERPipeline(model=model, processor=processor, task=TASK, device="cpu", transcript=False, **options)


@pytest.fixture
def explain(pair):
    return pipeline_of(pair)


# ---------------------------------------------------------------- pipeline


def test_recordings_a_profile_and_its_file_give_the_same_answer(explain, files, profile, tmp_path):
    profile.save(tmp_path / "saved.safetensors")
    without = explain(files[3])
    forms = [files[:3], profile, str(tmp_path / "saved.safetensors"), tmp_path / "saved.safetensors"]
    answers = [explain(files[3], reference=form) for form in forms]
    assert all(answer == answers[0] for answer in answers)
    about = answers[0]["speaker_reference"]
    assert about["recordings"] == 3 and about["seconds"] == pytest.approx(0.5 + 0.65 + 0.8)
    assert about["warning"] is None
    assert tuple(without) == ANSWER_KEYS and answers[0]["scores"] != without["scores"]


def test_a_reference_may_be_set_for_the_whole_pipeline(pair, explain, files, profile):
    lasting = pipeline_of(pair, reference=profile)
    assert lasting(files[3]) == explain(files[3], reference=profile)
    assert "speaker_reference" not in lasting(files[3], reference=None)
    assert [answer["speaker_reference"]["recordings"] for answer in lasting(files[:2])] == [3, 3]


def test_a_recording_of_another_voice_is_answered_with_a_warning(explain, profile):
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    shrill = sum(np.sin(2 * np.pi * 520 * k * time) / k for k in range(1, 6)).astype(np.float32) * 0.1
    answer = explain((shrill, SAMPLE_RATE), reference=profile)
    assert answer["status"] == "ok" and "another person" in answer["speaker_reference"]["warning"]


def test_verification_judges_by_the_profile(explain, files, profile):
    answer = explain(files[3], reference=profile, verify=True)
    assert answer["speaker_reference"]["recordings"] == 3
    assert set(answer["verification"]) == set(answer["descriptors"])
    assert answer["verification"] == explain(files[3], reference=files[:3], verify=True)["verification"]
    bases = {verdict["basis"] for verdict in answer["verification"].values()}
    assert any("speaker" in basis for basis in bases if basis), bases
    alone = explain(files[3], verify=True)
    assert "speaker_reference" not in alone and alone["verification"] != answer["verification"]


def test_measurements_alone_are_for_verification(explain, files, profile):
    assert isinstance(profile.usual, Reference)
    answer = explain(files[3], reference=profile.usual, verify=True)
    assert "speaker_reference" not in answer
    by_profile = explain(files[3], reference=profile, verify=True)
    assert answer["scores"] == explain(files[3])["scores"] != by_profile["scores"]


def test_measurements_alone_are_refused_where_nothing_uses_them(explain, files, profile):
    with pytest.raises(ValueError, match="verify"):
        explain(files[3], reference=profile.usual)


def test_a_model_that_hears_none_uses_a_reference_for_verification_alone(tiny_pair, files, profile, tmp_path):
    explain = pipeline_of(tiny_pair)
    profile.save(tmp_path / "saved.safetensors")
    for reference in (files[:3], profile, tmp_path / "saved.safetensors", profile.usual):
        with pytest.raises(ValueError, match="verify=True alone"):
            explain(files[3], reference=reference)
        answer = explain(files[3], reference=reference, verify=True)
        assert "speaker_reference" not in answer and answer["verification"]
    expected = explain(files[3], reference=files[:3], verify=True)["verification"]
    assert explain(files[3], reference=profile, verify=True)["verification"] == expected


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("none.safetensors", FileNotFoundError, r"speaker profile none\.safetensors does not exist"),
        ("none.wav", ValueError, r"none\.wav does not exist"),
        ([], ValueError, "at least 3 recordings; 0 were given"),
    ],
)
def test_a_reference_that_is_none_is_refused(explain, files, reference, error, message):
    with pytest.raises(error, match=message):
        explain(files[3], reference=reference)


def test_two_recordings_and_a_single_one_are_too_few(explain, files):
    for reference, count in ((files[:2], 2), (files[0], 1)):
        with pytest.raises(ValueError, match=f"at least 3 recordings; {count} were given"):
            explain(files[3], reference=reference)


def test_answers_of_a_batch_have_the_same_keys_with_a_reference(explain, files, profile, tmp_path):
    silence = (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    answers = explain([files[3], silence, tmp_path / "none.wav"], reference=profile)
    assert [answer["status"] for answer in answers] == ["ok", "no_speech", "error"]
    spoken, silent, broken = (set(answer) - {"error"} for answer in answers)
    assert silent == spoken
    assert broken == spoken


# ---------------------------------------------------------------- evaluation


def flac(wave) -> dict:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, SAMPLE_RATE, format="FLAC")
    return {"bytes": buffer.getvalue(), "path": None}


def make_rows(speakers: str) -> list[dict]:
    """A recording for each letter, its speaker; `-` for none."""
    return [
        make_row(
            id=f"r{index}",
            audio=flac(make_wave(0.4 + 0.06 * index, seed=index)),
            emotion=["angry", "sad", "happy"][index % 3],
            descriptors={"pitch": "high"},
            speaker=None if speaker == "-" else speaker,
            corpus="mine",
            duration=0.4 + 0.06 * index,
        )
        for index, speaker in enumerate(speakers)
    ]


@pytest.fixture
def dataset(tmp_path):
    """Five recordings of a, three of b, two of c, one of nobody known."""
    return write_dataset(tmp_path / "rows.arrow", make_rows("abcabcabaa-"))


@pytest.mark.parametrize(
    ("value", "count"), [("all", None), ("3", 3), (3, 3), ("30", 30)], ids=["all", "3", "whole 3", "30"]
)
def test_a_reference_is_all_recordings_or_at_least_three(value, count):
    assert parse_reference(value) == count
    assert told_reference(value) == (
        f"{'all' if count is None else count} of the speaker's recordings that are evaluated, without labels"
    )


@pytest.mark.parametrize("value", ["2", 2, 0, "-3", "some", "", "3.5", None, True])
def test_another_reference_is_refused_with_what_it_may_be(value):
    with pytest.raises(ValueError, match=r"reference is .*; it must be 'all' .* at least 3"):
        parse_reference(value)


def test_no_reference_is_told_as_none():
    assert told_reference(None) == "none"


def of(pair, dataset, indices):
    return make_profile(*pair, [dataset["audio"][index] for index in indices])


def test_all_is_of_every_recording_of_the_speaker(pair, dataset):
    profiles = speaker_profiles(*pair, dataset, "all")
    expected = {"a": of(pair, dataset, (0, 3, 6, 8, 9)), "b": of(pair, dataset, (1, 4, 7))}
    for row in dataset:
        found = profiles.get(row["id"])
        if row["speaker"] not in expected:  # two recordings, or nobody known
            assert found is None
            continue
        np.testing.assert_allclose(found.states, expected[row["speaker"]].states, atol=5e-3)
        assert found.pitch == expected[row["speaker"]].pitch


def test_a_number_is_of_so_many_others_and_always_the_same(pair, dataset):
    profiles = speaker_profiles(*pair, dataset, 3)
    again = speaker_profiles(*pair, dataset, "3")
    is_known = {row["id"]: row["speaker"] == "a" for row in dataset}  # b has but two beside the recording
    assert {identity: profiles.get(identity) is not None for identity in is_known} == is_known
    means = {row["id"]: of_one for row, of_one in zip(dataset, _means(pair, dataset), strict=True)}
    ids = [identity for identity, known in is_known.items() if known]
    for identity in ids:
        profile = profiles[identity]
        assert profile.num_recordings == 3
        assert np.array_equal(profile.states, again[identity].states)
        others = [means[other] for other in ids if other != identity]
        triples = [
            np.mean([others[i] for i in (a, b, c)], 0) for a, b, c in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
        ]
        assert min(np.abs(profile.mean - triple).max() for triple in triples) < 5e-3
        alone = [np.mean([means[identity], others[i], others[j]], 0) for i in range(4) for j in range(i)]
        assert min(np.abs(profile.mean - triple).max() for triple in alone) > 5e-3  # none holds the recording itself


def _means(pair, dataset) -> list[np.ndarray]:
    model, processor = pair
    means = []
    for audio in dataset["audio"]:
        inputs = processor([audio], task="asr")
        states, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
        means.append(torch.stack(states)[:, 0].mean(1).numpy())
    return means


def test_a_number_beyond_the_speakers_recordings_gives_none(pair, dataset):
    assert set(speaker_profiles(*pair, dataset, 5).values()) == {None}


def test_a_model_that_hears_none_is_refused(tiny_pair, dataset):
    with pytest.raises(ValueError, match="--reference is given, but the model takes none"):
        evaluate_model(*tiny_pair, dataset, reference="all", progress=False)


def test_answers_of_an_evaluation_are_those_with_the_speakers_profiles(pair, dataset):
    model, processor = pair
    results, predictions = evaluate_model(model, processor, dataset, batch_size=4, progress=False, reference="all")
    profiles = speaker_profiles(model, processor, dataset, "all")
    assert results["n"] == len(dataset) and results["speaker_reference"] == told_reference("all")
    for row, prediction in zip(dataset, predictions, strict=True):
        [alone] = model.explain(
            [row["audio"]], processor, slots=results["slots"], transcript=False, reference=profiles.get(row["id"])
        )
        assert prediction["scores"] == pytest.approx(alone["scores"], abs=1e-4)
    plain, unheard = evaluate_model(model, processor, dataset, batch_size=4, progress=False)
    assert plain["speaker_reference"] == "none"
    assert predictions[0]["scores"] != unheard[0]["scores"]
    assert predictions[2]["scores"] == pytest.approx(unheard[2]["scores"], abs=1e-5)  # of c, who has but two


def test_a_row_of_an_evaluation_keeps_what_it_is_compared_with(pair, dataset):
    """`reference` of a prediction is the row's truth; that of an answer tells of the speaker's recordings."""
    _, predictions = evaluate_model(*pair, dataset, batch_size=4, progress=False, reference="all")
    for row, prediction in zip(dataset, predictions, strict=True):
        assert prediction["reference"]["emotion"] == row["emotion"]


@pytest.mark.parametrize(
    "bad",
    [{"bytes": b"not a recording", "path": None}, {"bytes": None, "path": "missing.wav"}, flac(make_wave(0.01))],
    ids=["no audio", "missing", "shorter than a frame"],
)
def test_a_bad_row_costs_no_others_with_a_reference_either(pair, tmp_path, bad):
    values = make_rows("aaaaa")
    values[1]["audio"] = bad
    rows = write_dataset(tmp_path / "bad.arrow", values)
    without, _ = evaluate_model(*pair, rows, progress=False)
    with_it, _ = evaluate_model(*pair, rows, progress=False, reference="all")
    assert with_it["n"] == without["n"]
    assert [row["id"] for row in with_it["left_out"]] == [row["id"] for row in without["left_out"]]


def test_silent_rows_do_not_count_as_what_is_usual(pair, tmp_path):
    values = make_rows("aaaa")
    values[3]["audio"] = flac(np.zeros(SAMPLE_RATE, np.float32))
    rows = write_dataset(tmp_path / "silent.arrow", values)
    expected = of(pair, rows, (0, 1, 2))
    np.testing.assert_allclose(speaker_profiles(*pair, rows, "all")["r0"].states, expected.states, atol=5e-3)


# ---------------------------------------------------------------- eval.py


@pytest.fixture(scope="module")
def model_folder(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in pair:
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def run(dataset, tmp_path):
    """eval.py in this process; gives what it wrote."""
    dataset.save_to_disk(str(tmp_path / "data"))

    def run(model, *options) -> dict:
        output = tmp_path / "results.json"
        words = ["--model", str(model), "--corpus", str(tmp_path / "data"), "--split", "all", "--output", str(output)]
        [arguments] = HfArgumentParser(EvalArguments).parse_args_into_dataclasses([*words, *options])
        evaluate(arguments)
        return json.loads(output.read_text())

    return run


def test_eval_py_tells_what_voices_were_heard_relative_to(run, model_folder):
    for value in ("all", "3"):
        results = run(model_folder, "--reference", value)
        assert results["reference"] == value and results["n"] == 11
        assert results["speaker_reference"] == told_reference(value)
    assert run(model_folder)["speaker_reference"] == "none"


def test_eval_py_takes_a_reference_in_bfloat16_too(run, model_folder):
    assert run(model_folder, "--reference", "all", "--dtype", "bfloat16")["n"] == 11


def test_several_references_are_evaluated_in_one_pass_as_each_alone(run, model_folder, tmp_path, monkeypatch):
    alone = {value: run(model_folder, "--reference", value, "--verify") for value in ("none", "all", "3")}
    passes, encode_audio = [], XSERModel.encode_audio

    def counted(self, input_values, input_values_mask):
        passes.append(len(input_values))
        return encode_audio(self, input_values, input_values_mask)

    monkeypatch.setattr(XSERModel, "encode_audio", counted)
    files = ["--output", str(tmp_path / "r-{reference}.json"), "--predictions", str(tmp_path / "p-{reference}.jsonl")]
    run(model_folder, "--verify", *files, "--reference", *alone)
    assert sum(passes) == 11, "profiles are made of what is cached"
    for value, expected in alone.items():
        found = json.loads((tmp_path / f"r-{value}.json").read_text())
        varies = {"command", "wall_seconds"}
        assert {k: v for k, v in found.items() if k not in varies} == {
            k: v for k, v in expected.items() if k not in varies
        }
        assert len((tmp_path / f"p-{value}.jsonl").read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--reference", "all", "3"],
            r"--output is '.*json' for 2 references: put \{reference\} into its name",
        ),
        (["--reference", "all", "all"], "names one twice"),
        (["--reference", "none", "two", "--output", "{reference}"], "reference is 'two'"),
    ],
)
def test_several_references_need_files_of_their_own(run, model_folder, options, message):
    with pytest.raises(ValueError, match=message):
        run(model_folder, *options)


@pytest.mark.parametrize("value", ["2", "some"])
def test_eval_py_refuses_another_reference(run, model_folder, value, tmp_path):
    with pytest.raises(ValueError, match=f"reference is '{value}'"):
        run(model_folder, "--reference", value)
    assert not (tmp_path / "results.json").exists()


def test_eval_py_refuses_a_reference_for_a_model_that_hears_none(run, tiny_pair, tmp_path):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "deaf")
    with pytest.raises(ValueError, match="its speaker_reference is false"):
        run(tmp_path / "deaf", "--reference", "all")
