"""What is usual for a speaker: made from a few recordings, kept in a file, and said where it plainly does not fit."""

import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL, make_wave
from safetensors.numpy import save_file

from xser import profile_xser
from xser.audio_xser import SAMPLE_RATE, AudioError
from xser.calibration_xser import Calibration, Reference
from xser.modeling_xser import XSERForEmotionDescription
from xser.pipeline_xser import XSERPipeline
from xser.profile_xser import FAR_PITCH, FAR_STATES, RecordingStates, SpeakerProfile, make_profile
from xser.prosody_xser import measure
from xser.voice_frames_xser import NUM_FEATURES, prosody_frames, usual_of

LAYERS, WIDTH = 3, 4
MEASURED = np.arange(5.0)


def recording(seed: int, frames: int, pitch: float | None = 90.0, level: float | None = -20.0):
    """(T, L+1, H) states, and what a profile takes from them."""
    states = np.random.default_rng(seed).normal(seed, 1 + seed, (frames, LAYERS, WIDTH))
    return states, RecordingStates(states.mean(0), (states**2).mean(0), pitch, level, MEASURED + seed, frames / 50)


@pytest.fixture(scope="module")
def pair(tiny_backbone_folders):
    """A model that hears references, and its processor; not to be changed."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, speaker_reference=True, emphasis=False
    )


@pytest.fixture
def paths(tmp_path):
    """Three recordings of one voice."""
    paths = [tmp_path / f"voice-{index}.wav" for index in range(3)]
    for index, path in enumerate(paths):
        soundfile.write(path, make_wave(0.5 + 0.2 * index, seed=index), SAMPLE_RATE)
    return paths


def assert_equal(left: SpeakerProfile, right: SpeakerProfile):
    assert left.mean.dtype == right.mean.dtype == np.float32
    for name in ("mean", "deviation", "measures"):
        assert np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True)
    for name in ("pitch", "level", "num_recordings", "seconds", "usual"):
        assert getattr(left, name) == getattr(right, name), name


# ---------------------------------------------------------------- what it holds


def test_each_recording_counts_alike_however_long():
    given = [recording(0, 50, 80.0, -30.0), recording(1, 200, 95.0, -20.0), recording(2, 10, 84.0, -24.0)]
    profile = SpeakerProfile.of([taken for _, taken in given])
    weighted = [np.repeat(states, 1000 // len(states), 0) for states, _ in given]
    together = np.concatenate(weighted)  # every recording as long as the others
    np.testing.assert_allclose(profile.mean, together.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(profile.deviation, together.std(0), rtol=1e-5)
    assert (profile.pitch, profile.level, profile.num_recordings) == (84.0, -24.0, 3)
    assert profile.seconds == pytest.approx(260 / 50)
    assert np.array_equal(profile.states, np.stack([profile.mean, profile.deviation]))


def test_without_a_speakers_own_deviation_measures_are_around_their_median():
    recordings = [recording(seed, 20)[1] for seed in range(4)]
    rows = np.stack([each.measures for each in recordings])
    rows[3] += 100.0  # one shout moves the mean, and not the median
    rows[0, 0], rows[:, 1] = np.nan, np.nan
    recordings = [replace(each, measures=row) for each, row in zip(recordings, rows, strict=True)]
    around_mean, around_median = (SpeakerProfile.of(recordings, speaker_std=std).measures for std in (True, False))
    np.testing.assert_allclose(around_median[0, 2:], np.median(rows[:, 2:], 0), rtol=1e-5)
    np.testing.assert_allclose(around_mean[0, 2:], rows[:, 2:].mean(0), rtol=1e-5)
    assert around_median[0, 0] == pytest.approx(np.median(rows[1:, 0])) and np.isnan(around_median[:, 1]).all()
    np.testing.assert_array_equal(around_median[1], around_mean[1])


def test_recordings_whose_pitch_or_level_is_not_known_do_not_count_there():
    taken = [recording(0, 9, None, -30.0)[1], recording(1, 9, 95.0, None)[1], recording(2, 9, None, None)[1]]
    profile = SpeakerProfile.of(taken)
    assert (profile.pitch, profile.level) == (95.0, -30.0)
    nothing = SpeakerProfile.of([replace(each, pitch=None, level=None) for each in taken])
    assert nothing.pitch is None and nothing.level is None
    assert nothing.warning(0.0, 60.0) is None


def test_a_state_that_never_changes_has_a_small_deviation_and_not_zero():
    still = RecordingStates(np.ones((LAYERS, WIDTH)), np.ones((LAYERS, WIDTH)), None, None, MEASURED, 1.0)
    assert (SpeakerProfile.of([still] * 3).deviation == np.float32(1e-3)).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_recordings_are_refused_with_their_number(count):
    with pytest.raises(ValueError, match=f"at least 3 recordings; {count} were given"):
        SpeakerProfile.of([recording(0, 9)[1]] * count)


def test_speakers_count_alike_in_what_is_usual_for_everyone():
    few = SpeakerProfile.of([recording(seed, 9, 80.0, -30.0)[1] for seed in range(3)])
    many = SpeakerProfile.of([recording(seed, 9, 90.0, None)[1] for seed in range(3, 12)])
    everyone = SpeakerProfile.of_everyone([few, many])
    np.testing.assert_allclose(everyone.mean, (few.mean + many.mean) / 2, rtol=1e-6)
    np.testing.assert_allclose(everyone.deviation, (few.deviation + many.deviation) / 2, rtol=1e-6)
    assert (everyone.pitch, everyone.level, everyone.num_recordings) == (85.0, -30.0, 12)
    np.testing.assert_allclose(everyone.measures, (few.measures + many.measures) / 2)
    np.testing.assert_allclose(few.measures, [MEASURED + 1, np.full(5, np.std([0, 1, 2]))], rtol=1e-6)


def test_a_recording_is_taken_by_the_means_of_its_states_and_of_their_squares():
    states = np.random.default_rng(0).normal(1, 2, (6, LAYERS, WIDTH)).astype(np.float16)
    frames = np.zeros((25, NUM_FEATURES), np.float32)
    frames[:10] = (1, 84, 0.9, -20, 1)
    taken = RecordingStates.of(states, frames, MEASURED, 1.5)
    exact = states.astype(np.float64)
    np.testing.assert_allclose(taken.mean, exact.mean(0), atol=1e-6)
    np.testing.assert_allclose(taken.square, (exact**2).mean(0), atol=1e-5)
    assert (taken.pitch, taken.level, taken.seconds) == (84.0, pytest.approx(-20.0), 1.5)


def test_all_states_of_a_recording_are_those_of_every_layer_without_padding(pair, paths):
    model, processor = pair
    inputs = processor(paths[:2], task="asr")
    lengths = [processor.num_frames(int(count)) for count in inputs["input_values_mask"].sum(-1)]
    expected, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
    for row, length in enumerate(lengths):
        found = model.model.all_states(
            inputs["input_values"][row : row + 1], inputs["input_values_mask"][row : row + 1]
        )
        assert found.shape[:2] == (length, len(expected))
        for layer, states in enumerate(expected):
            torch.testing.assert_close(found[:, layer], states[row, :length], atol=1e-5, rtol=1e-4)


def test_a_profile_of_another_tower_is_refused(pair, paths):
    model, processor = pair
    profile = model.profile(paths, processor)
    other = replace(profile, mean=profile.mean[1:], deviation=profile.deviation[1:])
    with pytest.raises(
        ValueError, match=r"the reference holds \(layers, width\) .*: make the profile with this model"
    ):
        model.explain(paths[:1], processor, reference=other)


def test_a_reference_of_a_pipeline_is_measured_once(pair, paths, monkeypatch):
    model, processor = pair
    made = []
    profile = model.profile
    monkeypatch.setattr(model, "profile", lambda *arguments: made.append(1) or profile(*arguments))
    explain = XSERPipeline(model=model, processor=processor, reference=iter(paths))
    answers = [explain(str(paths[0])) for _ in range(2)]
    assert answers[0] == answers[1] and answers[0]["speaker_reference"]["recordings"] == len(paths)
    assert made == [1]


def test_a_reference_that_judges_nothing_is_refused_by_verify(pair, paths):
    model, processor = pair
    profile = replace(model.profile(paths, processor), usual=None)
    with pytest.raises(ValueError, match="tells nothing that levels could be judged by"):
        XSERPipeline(model=model, processor=processor)(str(paths[0]), reference=profile, verify=True)


# ---------------------------------------------------------------- its file


@pytest.mark.parametrize("usual", [None, Reference({"pitch": 90.0, "rate": 4.25}, {"pitch": 0.5, "rate": 0.1})])
def test_a_profile_is_loaded_as_it_was_saved(tmp_path, usual):
    profile = SpeakerProfile.of([recording(seed, 9, None, -20.0 - seed / 3)[1] for seed in range(3)], usual)
    profile.save(tmp_path / "anna.safetensors")
    assert_equal(SpeakerProfile.load(str(tmp_path / "anna.safetensors")), profile)
    assert os.listdir(tmp_path) == ["anna.safetensors"]


def test_saving_that_fails_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    old, new = (SpeakerProfile.of([recording(seed, 9)[1]] * 3) for seed in (1, 2))
    old.save(tmp_path / "anna.safetensors")

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(profile_xser, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        new.save(tmp_path / "anna.safetensors")
    assert os.listdir(tmp_path) == ["anna.safetensors"]
    assert_equal(SpeakerProfile.load(tmp_path / "anna.safetensors"), old)


def test_a_file_that_is_no_profile_is_refused_by_name(tmp_path):
    (tmp_path / "text.safetensors").write_text("not a profile")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"mean": np.zeros(3)}, tmp_path / "weights.safetensors", {"format": "pt"})
    save_file({"mean": np.zeros(3)}, tmp_path / "bare.safetensors")
    for name in ("text", "empty", "weights", "bare"):
        with pytest.raises(ValueError, match=f"{name}.safetensors is no speaker profile"):
            SpeakerProfile.load(tmp_path / f"{name}.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"speaker profile .*nobody.safetensors does not exist"):
        SpeakerProfile.load(tmp_path / "nobody.safetensors")


# ---------------------------------------------------------------- from recordings


def test_a_profile_of_recordings_is_what_the_tower_makes_of_each_alone(pair, paths):
    model, processor = pair
    profile = model.profile(paths, processor)
    means, squares, pitches, levels = [], [], [], []
    for path in paths:
        wave = processor.load(path)
        inputs = processor([(wave, SAMPLE_RATE)], task="asr")
        states, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
        states = torch.stack(states)[:, 0].double().numpy()  # (L+1, T, H)
        means.append(states.mean(1))
        squares.append((states**2).mean(1))
        pitch, level = usual_of(prosody_frames(measure(wave)))
        pitches.append(pitch)
        levels.append(level)
    mean = np.mean(means, 0)
    np.testing.assert_allclose(profile.mean, mean, atol=1e-5)
    np.testing.assert_allclose(profile.deviation, np.sqrt(np.mean(squares, 0) - mean**2), atol=1e-4)
    assert (profile.pitch, profile.level) == (np.median(pitches), np.median(levels))
    assert (profile.num_recordings, profile.seconds) == (3, pytest.approx(0.5 + 0.7 + 0.9))
    assert profile.usual == Calibration.default().reference_of(measure(processor.load(path)) for path in paths)


def test_the_order_and_the_form_of_recordings_change_nothing(pair, paths):
    model, processor = pair
    profile = make_profile(model, processor, paths)
    mixed = [paths[2].read_bytes(), {"path": str(paths[1]), "bytes": None}, (processor.load(paths[0]), SAMPLE_RATE)]
    other = make_profile(model, processor, iter(mixed))
    np.testing.assert_allclose(other.states, profile.states, atol=1e-6)
    assert (other.pitch, other.level) == (profile.pitch, profile.level)


def test_a_single_recording_in_place_of_a_list_is_refused_as_too_few(pair, paths):
    model, processor = pair
    for single in (str(paths[0]), paths[0].read_bytes(), (processor.load(paths[0]), SAMPLE_RATE)):
        with pytest.raises(ValueError, match="at least 3 recordings; 1 were given"):
            model.profile(single, processor)


def test_two_recordings_are_refused(pair, paths):
    model, processor = pair
    with pytest.raises(ValueError, match="at least 3 recordings; 2 were given"):
        model.profile(paths[:2], processor)


@pytest.mark.parametrize(
    ("wave", "rate", "reason"),
    [
        (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE, "is silent"),
        (make_wave(0.05), SAMPLE_RATE, r"lasts 0\.05 s, which is too short"),
        (make_wave(2.0)[::2], 8_000, "has 8000 Hz"),
    ],
    ids=["silent", "too short", "8 kHz"],
)
def test_a_recording_that_cannot_be_a_reference_is_named(pair, paths, tmp_path, wave, rate, reason):
    model, processor = pair
    soundfile.write(tmp_path / "bad.wav", wave, rate)
    with pytest.raises(ValueError, match=rf"reference .*bad\.wav {reason}"):
        model.profile([*paths, tmp_path / "bad.wav"], processor)


def test_a_rate_of_8_khz_is_seen_in_every_form(pair, paths, tmp_path):
    model, processor = pair
    wave = make_wave(2.0)[::2]
    soundfile.write(tmp_path / "low.wav", wave, 8_000)
    forms = [
        (wave, 8_000),
        {"array": wave, "sampling_rate": 8_000},
        {"raw": wave, "sampling_rate": 8_000},
        (tmp_path / "low.wav").read_bytes(),
        {"bytes": (tmp_path / "low.wav").read_bytes(), "path": None},
        {"bytes": None, "path": str(tmp_path / "low.wav")},
    ]
    for form in forms:
        with pytest.raises(ValueError, match="has 8000 Hz"):
            model.profile([*paths, form], processor)


@pytest.mark.parametrize(
    "bad",
    [
        "none.wav",
        b"RIFF of no use",
        make_wave(0.5),
        {"array": make_wave(0.5)},
        {"bytes": None, "path": None},
    ],
    ids=["missing", "no audio", "no rate", "dict without rate", "empty dict"],
)
def test_what_is_no_recording_is_an_audio_error_as_elsewhere(pair, paths, bad):
    model, processor = pair
    with pytest.raises(AudioError):
        processor.load(bad)
    with pytest.raises(AudioError):
        model.profile([*paths, bad], processor)


def test_a_profile_is_the_same_in_the_midst_of_training(tiny_backbone_folders, paths):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, speaker_reference=True, freeze_audio_tower=False
    )
    expected = model.eval().profile(paths, processor)
    found = model.train().profile(paths, processor)
    assert model.training
    np.testing.assert_allclose(found.states, expected.states, atol=1e-6)


def test_a_model_in_bfloat16_makes_profiles_and_hears_them(tiny_backbone_folders, paths):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, speaker_reference=True
    )
    exact = model.profile(paths, processor)
    rounded = model.to(torch.bfloat16).profile(paths, processor)
    np.testing.assert_allclose(rounded.mean, exact.mean, atol=0.1)
    [answer] = model.explain([paths[0]], processor, transcript=False, slots=["emotion"], reference=rounded)
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------- where it does not fit


def profile_of(pitch: float | None) -> SpeakerProfile:
    return SpeakerProfile.of([recording(seed, 9, pitch)[1] for seed in range(3)])


def test_a_recording_far_off_in_pitch_is_said_to_be_of_another_person():
    for pitch in (90.0 + FAR_PITCH + 0.1, 90.0 - FAR_PITCH - 0.1):
        warning = profile_of(90.0).warning(0.0, pitch)
        assert "another person" in warning
        assert f"{2 ** (90 / 12):.0f} Hz" in warning and f"{2 ** (pitch / 12):.0f} Hz" in warning


def test_a_recording_far_off_in_its_states_is_said_to_be_of_another_person_or_microphone():
    warning = profile_of(90.0).warning(FAR_STATES + 0.01, 90.0)
    assert "another microphone" in warning and f"{FAR_STATES + 0.01:.2f}" in warning
    assert "another microphone" in profile_of(None).warning(FAR_STATES + 0.01, 90.0)
    assert "another microphone" in profile_of(90.0).warning(FAR_STATES + 0.01, None)


def test_a_recording_near_by_is_no_reason_for_a_warning():
    for pitch in (90.0 + FAR_PITCH - 0.1, 90.0 - FAR_PITCH + 0.1, 90.0, None):
        assert profile_of(90.0).warning(FAR_STATES - 0.01, pitch) is None


def test_an_answer_warns_of_a_reference_that_does_not_fit(pair, paths):
    model, processor = pair
    profile = model.profile(paths, processor)

    def warning(reference):
        options = {"slots": ["emotion"], "transcript": False}
        return model.explain([paths[0]], processor, reference=reference, **options)[0]["speaker_reference"]["warning"]

    assert warning(profile) is None
    assert "its pitch is" in warning(replace(profile, pitch=profile.pitch + 20))
    assert "another microphone" in warning(replace(profile, mean=profile.mean + 2 * profile.deviation))


def test_the_distance_is_that_of_the_mean_states_in_deviations(pair, paths):
    model, processor = pair
    profile = model.profile(paths, processor)
    batch = processor(paths, reference=profile)
    found = model.hear(**{key: value for key, value in batch.items() if key != "attention_mask"})
    for row, path in enumerate(paths):
        inputs = processor([path], task="asr")
        states, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
        means = torch.stack(states)[:, 0].mean(1).numpy()
        expected = np.sqrt((((means - profile.mean) / profile.deviation) ** 2).mean())
        assert float(found["descriptors"].distance[row]) == pytest.approx(expected, abs=1e-3)
