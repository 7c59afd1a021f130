"""`pipeline("audio-emotion-explain")`: one recording, many, and bad ones among them."""

import io
import logging
import types

import datasets
import numpy as np
import pytest
import soundfile
from conftest import make_wave

from xser.audio_xser import SAMPLE_RATE, AudioError
from xser.pipeline_xser import ANSWER_KEYS, XSERPipeline

TASK = "audio-emotion-explain"


@pytest.fixture
def explain(tiny_pair):
    model, processor = tiny_pair
    return XSERPipeline(model=model, processor=processor, task=TASK, device="cpu")


def wav_bytes(wave) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def assert_same(left: dict, right: dict):
    assert left.keys() == right.keys()
    for key in left:
        assert left[key] == (pytest.approx(right[key], abs=1e-5) if key == "scores" else right[key])


def test_one_recording_gives_the_dict(explain):
    answer = explain((make_wave(0.6), SAMPLE_RATE))
    assert tuple(answer) == ANSWER_KEYS
    schema = explain.processor.schema
    assert answer["status"] == "ok"
    assert list(answer["scores"]) == list(schema.emotions)
    assert sum(answer["scores"].values()) == pytest.approx(1)
    assert answer["emotion"] == max(answer["scores"], key=answer["scores"].get)
    assert {slot: level in schema.descriptors[slot] for slot, level in answer["descriptors"].items()} == dict.fromkeys(
        schema.descriptors, True
    )
    assert isinstance(answer["emphasis"], list)
    assert isinstance(answer["transcript"], str)
    assert answer["explanation"].startswith(f"Sounds {answer['emotion']} (")


def test_every_form_of_input_gives_the_same_answers(explain, tmp_path):
    waves = [make_wave(0.4 + 0.2 * i, seed=i) for i in range(3)]
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for path, wave in zip(paths, waves, strict=True):
        path.write_bytes(wav_bytes(wave))
    expected = [explain(str(path)) for path in paths]
    column = datasets.Dataset.from_dict({"audio": [str(path) for path in paths]}).cast_column(
        "audio", datasets.Audio(decode=False)
    )["audio"]
    forms = [
        paths,
        [path.read_bytes() for path in paths],
        [(wave, SAMPLE_RATE) for wave in waves],
        [{"array": wave, "sampling_rate": SAMPLE_RATE} for wave in waves],
        [{"bytes": path.read_bytes(), "path": None} for path in paths],
        column,
    ]
    for form in forms:
        answers = explain(form)
        assert isinstance(answers, list)
        for answer, alone in zip(answers, expected, strict=True):
            assert_same(answer, alone)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batch_size_does_not_change_the_answers(explain, waves, batch_size):
    alone = [explain(wave) for wave in waves]
    for answer, expected in zip(explain(waves, batch_size=batch_size), alone, strict=True):
        assert_same(answer, expected)


def test_generator_is_read_a_batch_at_a_time(explain, waves):
    taken = []

    def source():
        for index, wave in enumerate(waves):
            taken.append(index)
            yield wave

    answers = explain(source(), batch_size=2)
    assert isinstance(answers, types.GeneratorType)
    assert taken == []
    assert next(answers)["status"] == "ok"
    assert taken == [0, 1]
    assert len(list(answers)) == 7


def test_bad_recordings_cost_no_others_and_are_counted(explain, waves, caplog, tmp_path):
    broken = np.full(8_000, np.nan, np.float32)
    inputs = [waves[0], tmp_path / "none.wav", waves[1], (broken, SAMPLE_RATE), b"", waves[2]]
    logging.getLogger("transformers").propagate = True
    with caplog.at_level(logging.WARNING):
        answers = explain(inputs, batch_size=2)
    assert [answer["status"] for answer in answers] == ["ok", "error", "ok", "error", "error", "ok"]
    for index, message in {1: "none.wav does not exist", 3: "8000 samples that are NaN", 4: "0 bytes"}.items():
        assert message in answers[index]["error"]
        assert {key: answers[index][key] for key in ANSWER_KEYS} == dict.fromkeys(ANSWER_KEYS) | {"status": "error"}
    for index, wave in {0: waves[0], 2: waves[1], 5: waves[2]}.items():
        assert_same(answers[index], explain(wave))
    assert "3 of 6 recordings could not be used" in caplog.text
    caplog.clear()
    streamed = list(explain(iter(inputs)))
    assert [answer["status"] for answer in streamed] == [answer["status"] for answer in answers]
    assert caplog.text.count("3 of 6 recordings could not be used") == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.wav", "none.wav does not exist"),
        (b"RIFF of no use", "not audio"),
        ((np.zeros(31 * SAMPLE_RATE, np.float32), SAMPLE_RATE), "lasts 31.00 s; the limit .* is 30 s"),
        (np.zeros(16_000, np.float32), "array, rate"),
    ],
)
def test_single_bad_recording_raises(explain, source, message):
    with pytest.raises(AudioError, match=message):
        explain(source)


def test_silence_and_ten_milliseconds_are_no_errors(explain, waves):
    silence, click = (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE), (make_wave(0.01), SAMPLE_RATE)
    for source, status in ((silence, "no_speech"), (click, "too_short")):
        assert explain(source) == dict.fromkeys(ANSWER_KEYS) | {"status": status}
    assert [answer["status"] for answer in explain([silence, waves[0], click])] == ["no_speech", "ok", "too_short"]
    assert explain([]) == []


def test_options_hold_for_a_call_or_for_the_pipeline(explain, tiny_pair, waves):
    answer = explain(waves[0], slots=["emotion", "pitch"], transcript=False)
    assert list(answer["descriptors"]) == ["pitch"]
    assert answer["emphasis"] is answer["transcript"] is None
    model, processor = tiny_pair
    lasting = XSERPipeline(
        model=model, processor=processor, task=TASK, device="cpu", slots=["pitch", "emotion"], transcript=False
    )
    assert_same(lasting(waves[0]), answer)
    assert lasting(waves[0], transcript=True)["transcript"] is not None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"slots": ["gender"]}, ValueError, "gender"),
        ({"max_new_tokens": 5}, TypeError, "max_new_tokens"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
    ],
)
def test_wrong_options_are_refused_at_once(explain, waves, options, error, message):
    with pytest.raises(error, match=message):
        explain(iter(waves), **options)


def test_whole_data_set_and_non_recordings_are_refused(explain):
    with pytest.raises(TypeError, match="one column"):
        explain(datasets.Dataset.from_dict({"audio": ["a.wav"]}))
    with pytest.raises(TypeError, match="float"):
        explain(1.5)
