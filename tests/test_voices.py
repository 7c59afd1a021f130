"""Voices of a data set: each recording is heard once, profiles leave it out, and a run trains with both or neither."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import SMALL, make_wave
from safetensors.torch import load_file
from training_corpus import make_audiofolder

from xser.audio_xser import SAMPLE_RATE, at_speed, load_audio, loudness_dbfs
from xser.calibration_xser import Calibration
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor
from xser.profile_xser import RecordingStates, SpeakerProfile, make_profile
from xser.prosody_xser import measure
from xser.train import main
from xser.training.arguments import parse_config
from xser.training.collator import XSERCollator
from xser.training.reference_levels import with_levels_of
from xser.training.voices import BEYOND, MIN_SHARE, MOST_RECORDINGS, UNKNOWN_MEASURES, Voices
from xser.voice_frames_xser import (
    LEVEL,
    LEVEL_SPAN,
    NUM_FEATURES,
    PITCH,
    PITCH_SPAN,
    SPEECH,
    STRENGTH,
    VOICED,
    prosody_frames,
    relative_frames,
    usual_of,
)
from xser.voice_measures_xser import CONTOUR, FARTHEST, NUM_MEASURES, usual_measures, voice_measures

ROOT = Path(__file__).parents[1]
STREAMS = {
    "prosody": {"size": NUM_FEATURES, "latent_size": 3, "hidden_size": 8},
    "measures": {"size": NUM_MEASURES, "latent_size": 3, "hidden_size": 8, "frame_stack": 1},
}
NUM = 9


def build(folders, **options):
    torch.manual_seed(0)
    options = {"speaker_reference": True, "aux_streams": STREAMS, **options}
    return XSERForEmotionDescription.from_backbones(*map(str, folders), **SMALL, **options)


@pytest.fixture(scope="module")
def pair(tiny_backbone_folders):
    """A model that hears references and prosody, and its processor; not to be changed."""
    return build(tiny_backbone_folders)


def flac(wave) -> dict:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, SAMPLE_RATE, format="FLAC")
    return {"bytes": buffer.getvalue(), "path": None}


def make_rows(path: Path, speakers: str = "aaaaabbb-", first: int = 0, corpus: str = "mine"):
    """A recording for each letter, its speaker; `-` for none."""
    rows = [
        make_row(
            id=f"r{index}",
            audio=flac(make_wave(0.3 + 0.17 * (index * 5 % NUM), seed=index + first)),
            text="we won",
            emotion="sad",
            descriptors={"pitch": "high", "emphasis": []},
            speaker=None if speaker == "-" else speaker,
            corpus=corpus,
            duration=0.3 + 0.17 * (index * 5 % NUM),
        )
        for index, speaker in enumerate(speakers)
    ]
    return write_dataset(path, rows)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Five recordings of a, three of b, one of nobody known."""
    return make_rows(tmp_path_factory.mktemp("rows") / "rows.arrow")


@pytest.fixture(scope="module")
def kept_in(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(kept_in, monkeypatch):
    """Shared by the tests of this file, and gone with them."""
    monkeypatch.setenv("XSER_CACHE", str(kept_in))


@pytest.fixture(scope="module")
def voices(pair, rows, kept_in):
    """All heard at two speeds; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XSER_CACHE", str(kept_in))
        return Voices().hear(*pair, rows, (1.0, 1.25), keep_states=True)


def states_of(model, processor, wave) -> np.ndarray:
    """(T, L+1, H) of a recording alone."""
    inputs = processor([(wave, SAMPLE_RATE)], task="asr")
    hidden_states, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
    return torch.stack(hidden_states, 2)[0].numpy()


# ---------------------------------------------------------------- prosody as frames


def test_frames_of_prosody_are_what_was_measured_in_fours():
    prosody = measure(make_wave(0.83))
    frames = prosody_frames(prosody)
    assert frames.shape == (-(-len(prosody.f0) // 4), NUM_FEATURES) and frames.dtype == np.float32
    for index in range(len(prosody.f0) // 4):
        part = slice(4 * index, 4 * index + 4)
        voiced = ~np.isnan(prosody.f0[part])
        assert frames[index, VOICED] == voiced.mean()
        pitch = 12 * np.log2(prosody.f0[part][voiced]).mean() if voiced.any() else 0
        assert frames[index, PITCH] == pytest.approx(pitch, abs=1e-3)
        assert frames[index, STRENGTH] == pytest.approx(prosody.strength[part].mean(), abs=1e-5)
        assert frames[index, LEVEL] == pytest.approx(prosody.level[part].mean(), abs=1e-3)
        assert frames[index, SPEECH] == prosody.speech[part].mean()


@pytest.mark.parametrize("samples", [0, 40, 300])
def test_next_to_nothing_makes_one_silent_frame(samples):
    frames = prosody_frames(measure(np.zeros(samples, np.float32)))
    assert frames.shape == (1, NUM_FEATURES) and np.isfinite(frames).all()
    assert frames[0, VOICED] == frames[0, SPEECH] == frames[0, PITCH] == 0
    assert usual_of(frames) == (None, None)


def test_what_is_usual_is_of_voiced_frames_and_of_speech():
    frames = np.zeros((5, NUM_FEATURES), np.float32)
    frames[:3, VOICED], frames[:3, PITCH] = 1, (80, 90, 84)
    frames[:2, SPEECH], frames[:, LEVEL] = 1, (-20, -20, -90, -90, -90)
    assert usual_of(frames) == (84.0, pytest.approx(-20.0))


def test_relative_frames_are_in_spans_from_what_is_usual():
    frames = np.zeros((2, NUM_FEATURES), np.float32)
    frames[0] = (1, 86, 0.9, -15, 1)
    frames[1] = (0, 0, 0.1, -60, 0)
    found = relative_frames(frames, 82.0, -25.0)
    np.testing.assert_allclose(found[0], (1, 4 / PITCH_SPAN, 0.9, 10 / LEVEL_SPAN, 1), rtol=1e-6)
    np.testing.assert_allclose(found[1], (0, 0, 0.1, -35 / LEVEL_SPAN, 0), rtol=1e-6)  # no pitch: as usual
    assert frames[0, PITCH] == 86  # what was given is as it was


def test_frames_at_a_speed_are_higher_and_fewer(voices, rows):
    frames = voices.frames_of("r4")
    assert np.array_equal(frames, prosody_frames(measure(load_audio(rows["audio"][4]))))
    for speed in (0.8, 1.25, 2.0):
        changed = voices.frames_of("r4", speed)
        assert len(changed) == round(len(frames) / speed)
        source = frames[np.minimum((np.arange(len(changed)) * speed).astype(int), len(frames) - 1)]
        voiced = source[:, VOICED] > 0
        assert voiced.any()
        np.testing.assert_allclose(changed[voiced, PITCH], source[voiced, PITCH] + 12 * np.log2(speed), rtol=1e-6)
        assert np.array_equal(changed[~voiced], source[~voiced])
        others = [VOICED, STRENGTH, LEVEL, SPEECH]
        assert np.array_equal(changed[:, others], source[:, others])
    assert np.array_equal(voices.frames_of("r4"), frames)


def test_a_recording_played_faster_is_measured_as_its_frames_say(voices, rows):
    wave = load_audio(rows["audio"][7])
    measured = prosody_frames(measure(at_speed(wave, 1.25)))
    told = voices.frames_of("r7", 1.25)
    assert abs(len(measured) - len(told)) <= 1
    assert usual_of(told)[0] == pytest.approx(usual_of(measured)[0], abs=0.3)
    assert usual_of(told)[1] == pytest.approx(usual_of(measured)[1], abs=0.5)


# ---------------------------------------------------------------- heard once


def test_states_are_those_of_each_recording_alone(pair, voices, rows):
    for row in rows:
        wave = load_audio(row["audio"])
        for speed in (1.0, 1.25):
            expected = states_of(*pair, at_speed(wave, speed))
            heard = voices.heard[row["id"], speed]
            assert heard.dtype == np.float16
            np.testing.assert_allclose(heard, expected, atol=5e-3)
            taken = voices.states[row["id"], speed]
            np.testing.assert_allclose(taken.mean, expected.mean(0), atol=5e-3)
            np.testing.assert_allclose(taken.square, (expected**2).mean(0), atol=2e-2)
        assert voices.loudness[row["id"]] == pytest.approx(loudness_dbfs(wave), abs=1e-4)


def test_recordings_of_other_lengths_at_the_same_time_change_no_states(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("xser.corpora.parallel.os.cpu_count", lambda: 2)
    model, processor = pair
    lengths = (0.9, 0.3)
    rows = write_dataset(
        tmp_path / "rows.arrow",
        [
            make_row(id=f"r{i}", audio=flac(make_wave(lengths[i % 2], seed=i)), speaker="a", duration=lengths[i % 2])
            for i in range(4)
        ],
    )
    expected = [states_of(model, processor, load_audio(row["audio"])) for row in rows]

    def slow(module, inputs, output):  # the norm that follows is told a length before, and a long one takes long
        time.sleep(0.2 if inputs[0].shape[-1] > 10_000 else 0.02)

    hook = model.model.audio_tower.feature_extractor.conv_layers[0].conv.register_forward_hook(slow)
    try:
        heard = Voices.hear_states(model, processor, rows, 1.0)
    finally:
        hook.remove()
    for found, alone in zip(heard, expected, strict=True):
        np.testing.assert_allclose(found, alone, atol=5e-3)


def test_a_recording_is_heard_once_whichever_rows_and_process_ask(tiny_backbone_folders, pair, rows, voices):
    model, processor = build(tiny_backbone_folders)  # the same weights, another object

    def never(*args):
        raise AssertionError("was computed again")

    model.model.encode_audio = never
    again = Voices().hear(model, processor, rows.select([3, 1]), (1.25,), keep_states=True)
    for identity in ("r3", "r1"):
        assert np.array_equal(again.heard[identity, 1.25], voices.heard[identity, 1.25])
        assert np.array_equal(again.frames[identity], voices.frames[identity])
        assert again.loudness[identity] == voices.loudness[identity]
    assert dict(again.of_speaker) == {"a": ["r3", "r1"]}


def test_streams_mix_the_states_that_are_named_and_no_others_are_kept(tiny_backbone_folders, rows, voices, tmp_path):
    model, processor = build(tiny_backbone_folders, mixed_layers=[0, 2])
    some = Voices().hear(model, processor, rows.select([0, 1, 2]), keep_states=True)
    assert np.array_equal(some.heard["r0", 1.0], voices.heard["r0", 1.0][:, [0, 2]])
    assert len(model.model.content.layer_mix.scores) == len(model.model.descriptors.usual_mean) == 2
    profile = some.profile(["r0", "r1", "r2"])
    assert np.array_equal(profile.states, voices.profile(["r0", "r1", "r2"]).states[:, [0, 2]])
    model.save_pretrained(tmp_path)
    again = XSERForEmotionDescription.from_pretrained(tmp_path).eval()
    inputs = processor([rows[0]["audio"]], task="describe", reference=[profile])
    with torch.no_grad():
        torch.testing.assert_close(again(**inputs).logits, model.eval()(**inputs).logits)
        states, mask = again.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
    np.testing.assert_allclose(torch.stack(states, 2)[0, mask[0]], some.heard["r0", 1.0], atol=1e-2)


@pytest.mark.parametrize("layers", [[], [3], [-1, 0], [1, 1], [2, 0], ["a"], [True]])
def test_layers_that_the_tower_does_not_have_are_refused(tiny_backbone_folders, layers):
    with pytest.raises(ValueError, match=r"mixed_layers is .* from 0 to 2, upwards"):
        build(tiny_backbone_folders, mixed_layers=layers)


def test_another_tower_hears_for_itself(tiny_backbone_folders, rows, voices):
    model, processor = build(tiny_backbone_folders)
    with torch.no_grad():
        model.model.audio_tower.encoder.layers[0].final_layer_norm.weight.mul_(2)
    other = Voices().hear(model, processor, rows.select([0]), keep_states=True)
    assert not np.array_equal(other.heard["r0", 1.0], voices.heard["r0", 1.0])


def test_a_tower_in_bfloat16_is_heard(tiny_backbone_folders, rows, voices):
    model, processor = build(tiny_backbone_folders)
    rounded = Voices().hear(model.to(torch.bfloat16), processor, rows.select([0]))
    np.testing.assert_allclose(rounded.states["r0", 1.0].mean, voices.states["r0", 1.0].mean, atol=0.1)


def test_a_model_that_needs_nothing_hears_nothing(tiny_backbone_folders, rows, monkeypatch):
    model, processor = build(tiny_backbone_folders, speaker_reference=False, aux_streams={})
    monkeypatch.setattr("xser.training.voices.computed_once", lambda *args: pytest.fail("was computed"))
    assert Voices().hear(model, processor, rows, (1.0, 1.25)) == Voices()


def test_prosody_alone_needs_no_tower(tiny_backbone_folders, rows, voices):
    model, processor = build(tiny_backbone_folders, speaker_reference=False)
    model.model.encode_audio = lambda *args: pytest.fail("was heard")
    measured = Voices().hear(model, processor, rows, (1.0, 1.25))
    assert measured.states == {} and measured.heard == {}
    assert {key: len(frames) for key, frames in measured.frames.items()} == {
        key: len(frames) for key, frames in voices.frames.items()
    }


def test_equal_ids_of_two_corpora_are_never_taken_for_each_other(pair, rows, tmp_path):
    """Ids are unique within a corpus, and `asr_data` is another one: they are told apart, or refused by name."""
    model, processor = pair
    other = make_rows(tmp_path / "other.arrow", "cc", first=50, corpus="theirs")
    both = Voices().hear(model, processor, rows.select([0, 1]), keep_states=True)
    try:
        both.hear(model, processor, other, keep_states=True)
    except ValueError as error:
        assert "r0" in str(error)
        return
    collator = XSERCollator(processor, voices=both)
    for source in (rows, other):
        row = {**source[0], "task": "asr", "noise_seed": 0}
        found = collator([row])["asr"]["tower_states"][0].numpy()
        expected = states_of(model, processor, load_audio(row["audio"]))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=5e-3)


# ---------------------------------------------------------------- profiles


def test_a_profile_of_a_data_set_is_that_of_its_recordings(pair, voices, rows):
    model, processor = pair
    expected = make_profile(model, processor, [rows["audio"][index] for index in range(5)])
    found = voices.profile([f"r{index}" for index in range(5)])
    np.testing.assert_allclose(found.states, expected.states, atol=5e-3)
    assert (found.pitch, found.level) == (expected.pitch, expected.level)
    np.testing.assert_allclose(found.measures, expected.measures, rtol=1e-5)
    assert found.num_recordings == 5 and found.seconds == pytest.approx(expected.seconds, abs=0.2)


def test_measures_are_those_of_the_speed_that_is_heard(voices, rows):
    wave = at_speed(load_audio(rows["audio"][4]), 1.25)
    np.testing.assert_array_equal(voices.measures["r4", 1.25], voice_measures(measure(wave), wave))
    assert voices.measures["r4", 1.0][0] < voices.measures["r4", 1.25][0] - 1  # semitones


def numbered(count: int) -> Voices:
    """Recordings of one speaker, whose means are powers of two, so that a profile tells of what it was made."""
    taken = Voices()
    for index in range(count):
        mean = np.full((1, 1), 2.0**index)
        taken.states[f"r{index}", 1.0] = RecordingStates(mean, mean**2, None, None, UNKNOWN_MEASURES, 1.0)
        taken.of_speaker["a"].append(f"r{index}")
    return taken


def made_of(profile: SpeakerProfile) -> set[int]:
    total = round(float(profile.mean[0, 0]) * profile.num_recordings)
    return {index for index in range(20) if total >> index & 1}


def test_a_drawn_profile_never_holds_the_recording_itself_and_comes_in_all_sizes():
    taken, sizes, drawn = numbered(8), set(), set()
    for seed in range(200):
        profile = taken.draw("r2", "a", 1.0, np.random.default_rng(seed))
        members = made_of(profile)
        assert len(members) == profile.num_recordings and 2 not in members and members <= set(range(8))
        sizes.add(len(members))
        drawn |= members
    assert sizes == {3, 4, 5, 6, 7} and drawn == set(range(8)) - {2}


def test_a_drawn_profile_is_of_thirty_recordings_at_most():
    taken = Voices()
    for index in range(60):
        taken.states[f"r{index}", 1.0] = RecordingStates(
            np.ones((1, 1)), np.ones((1, 1)), None, None, UNKNOWN_MEASURES, 1.0
        )
        taken.of_speaker["a"].append(f"r{index}")
    sizes = {taken.draw("r0", "a", 1.0, np.random.default_rng(seed)).num_recordings for seed in range(300)}
    assert min(sizes) == 3 and max(sizes) == MOST_RECORDINGS == 30


@pytest.mark.parametrize(("count", "known"), [(1, False), (3, False), (4, True)])
def test_a_speaker_of_fewer_than_four_recordings_has_no_profile_to_draw(count, known):
    assert (numbered(count).draw("r0", "a", 1.0, np.random.default_rng(0)) is not None) == known


def test_a_speaker_who_is_not_known_has_no_profile(voices):
    assert voices.draw("r8", None, 1.0, np.random.default_rng(0)) is None
    assert voices.draw("r8", "nobody", 1.0, np.random.default_rng(0)) is None
    assert dict(voices.of_speaker) == {"a": [f"r{i}" for i in range(5)], "b": ["r5", "r6", "r7"]}


def test_a_profile_is_of_the_speed_that_is_heard(voices):
    draws = [voices.draw("r0", "a", speed, np.random.default_rng(3)) for speed in (1.0, 1.25)]
    assert draws[1].pitch - draws[0].pitch == pytest.approx(12 * np.log2(1.25), abs=1e-4)
    assert draws[1].seconds < draws[0].seconds and not np.allclose(draws[0].mean, draws[1].mean)


def test_everyone_counts_alike(voices):
    everyone = voices.everyone()
    parts = [voices.profile([f"r{i}" for i in ids]) for ids in (range(5), range(5, 8))]
    np.testing.assert_allclose(everyone.states, (parts[0].states + parts[1].states) / 2, rtol=1e-5, atol=1e-6)
    assert everyone.pitch == pytest.approx((parts[0].pitch + parts[1].pitch) / 2)


def test_what_is_usual_is_known_where_no_recording_is_played_as_it_is(pair, rows, voices):
    everyone = Voices().hear(*pair, rows, (1.25,)).everyone()
    assert np.isfinite(everyone.states).all() and everyone.num_recordings == voices.everyone().num_recordings


@pytest.mark.parametrize("speakers", ["----", "aabb"])
def test_without_a_speaker_of_three_recordings_nothing_is_usual(pair, tmp_path, speakers):
    taken = Voices().hear(*pair, make_rows(tmp_path / "rows.arrow", speakers))
    with pytest.raises(ValueError, match="no speaker of the training data has 3 recordings"):
        taken.everyone()


def test_a_swapped_voice_is_another_between_two_speakers_and_keeps_what_was_said(voices):
    everyone, speakers = voices.known
    first, second = speakers
    for seed in range(20):
        own = voices.draw("r0", "a", 1.0, np.random.default_rng(seed))
        swapped = voices.swap("r0", "a", 1.0, np.random.default_rng(seed))
        # the mean of its own speaker becomes that of the other, relative to everyone
        other = (own.mean - swapped.mean) / swapped.deviation * everyone.deviation + everyone.mean
        way = first.mean - second.mean
        share = ((other - second.mean) * way).sum() / (way**2).sum()
        assert -BEYOND - 1e-3 <= share <= 1 + BEYOND + 1e-3
        np.testing.assert_allclose(other, second.mean + share * way, atol=1e-3)
        # and what lies a deviation from the one, a deviation from the other
        spread = own.deviation / swapped.deviation * everyone.deviation
        line = share * first.deviation + (1 - share) * second.deviation
        np.testing.assert_allclose(spread, np.maximum(line, MIN_SHARE * everyone.deviation), rtol=1e-3)
        # measured voices likewise
        with np.errstate(invalid="ignore"):
            other = (own.measures[0] - swapped.measures[0]) / swapped.measures[1] * everyone.measures[1]
        line = share * first.measures + (1 - share) * second.measures
        moves = np.isfinite(other) & (everyone.measures[1] > 0.01)
        assert moves.sum() > 20
        np.testing.assert_allclose((other + everyone.measures[0])[moves], line[0][moves], rtol=1e-3, atol=2e-3)
        usual = own.pitch - swapped.pitch + everyone.pitch
        assert usual == pytest.approx(second.pitch + share * (first.pitch - second.pitch), abs=1e-2)
    assert voices.swap("r8", None, 1.0, np.random.default_rng(0)) is None


def test_the_spread_of_recordings_is_in_the_deviations_that_states_are_divided_by(voices):
    own, population = voices.usual_spread(), replace(voices, speaker_std=False).usual_spread()
    everyone, profiles = voices.known
    means = [np.stack([voices.states[name, 1.0].mean for name in ids]).std(0) for ids in voices.profiled]
    np.testing.assert_allclose(population[0], np.mean(means, 0) / everyone.deviation, rtol=1e-3, atol=1e-3)
    expected = np.mean([mean / profile.deviation for mean, profile in zip(means, profiles, strict=True)], 0)
    np.testing.assert_allclose(own[0], expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(own, population)


def test_a_voice_is_measured_once_for_streams_reference_and_verification(pair, monkeypatch):
    model, processor = pair
    waves = [(make_wave(0.6 + 0.1 * index, seed=index), SAMPLE_RATE) for index in range(5)]
    profile, measured = model.profile(waves[2:], processor), []
    expected = model.explain(waves[:2], processor, verify=True, reference=profile, transcript=False)

    def counted(wave):
        measured.append(len(wave))
        return measure(wave)

    monkeypatch.setattr("xser.encoded_xser.measure", counted)
    for module in ("voice_inputs_xser", "verification_xser"):
        monkeypatch.setattr(f"xser.{module}.measure", None)  # would fail if it was called
    answers = model.explain(waves[:2], processor, verify=True, reference=profile, transcript=False)
    assert answers == expected and answers[0]["verification"] and answers[0]["speaker_reference"]
    assert measured == [len(wave) for wave, _ in waves[:2]]


def test_without_a_speakers_own_deviation_a_swapped_voice_is_moved_and_not_stretched(voices):
    moved = replace(voices, speaker_std=False)
    everyone, (first, second) = moved.known
    for seed in range(5):
        own = moved.draw("r0", "a", 1.0, np.random.default_rng(seed))
        swapped = moved.swap("r0", "a", 1.0, np.random.default_rng(seed))
        other = own.mean - swapped.mean + everyone.mean
        way = first.mean - second.mean
        share = ((other - second.mean) * way).sum() / (way**2).sum()
        np.testing.assert_allclose(other, second.mean + share * way, atol=1e-3)
        np.testing.assert_array_equal(swapped.deviation, everyone.deviation)
        line = share * first.measures[0] + (1 - share) * second.measures[0]
        measured = own.measures[0] - swapped.measures[0] + everyone.measures[0]
        np.testing.assert_allclose(measured, line, rtol=1e-3, atol=2e-3)


def test_without_a_speakers_own_deviation_features_are_in_those_of_the_training_data(tiny_backbone_folders, tmp_path):
    wave, usual = make_wave(0.9, seed=3), np.stack([np.zeros(NUM_MEASURES), np.full(NUM_MEASURES, 2.0)])
    row = voice_measures(measure(wave), wave)
    mean = np.nan_to_num(row) - 3.0
    found = {}
    for deviation in (0.5, 4.0):
        own = np.stack([mean, np.full(NUM_MEASURES, deviation)])
        for speaker_std in (True, False):
            model, processor = build(tiny_backbone_folders, speaker_std=speaker_std)
            states = np.ones((2, model.config.num_states, model.config.audio_config.hidden_size), np.float32)
            profile = SpeakerProfile(*states, 80.0, -30.0, own, 30, 60.0)
            processor.usual_measures = usual.tolist()
            inputs = processor([(wave, SAMPLE_RATE)], task="describe", reference=profile)
            found[deviation, speaker_std] = inputs
    known, contour = np.isfinite(row), np.clip(row[CONTOUR] / 2, -FARTHEST, FARTHEST)
    known[CONTOUR] = False
    assert np.isfinite(contour).all() and contour.any()
    for deviation in (0.5, 4.0):
        inputs = found[deviation, False]
        np.testing.assert_allclose(inputs["aux_measures"][0, 0, CONTOUR].numpy(), contour, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(inputs["aux_measures"][0, 0].numpy()[known], 1.5, rtol=1e-4)
        assert inputs["reference"][0, 0].isfinite().all() and inputs["reference"][0, 1].isnan().all()
        assert inputs["loudness"].item() == pytest.approx(loudness_dbfs(wave) + 30.0 - 25.0, abs=0.5)
    assert not torch.equal(found[0.5, True]["aux_measures"], found[4.0, True]["aux_measures"])
    assert found[0.5, True]["reference"].isfinite().all()


def test_levels_relative_to_a_speaker_are_asked_where_the_speaker_is_known(pair, rows, voices):
    _, processor = pair
    levels = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising"}
    row = {**rows[0], "task": "describe", "noise_seed": 1, "emotion": "sad", "descriptors": levels}
    for chances, asked in (
        ({"reference_probability": 1.0}, 4),
        ({"swap_probability": 1.0}, 1),
        ({}, 1),
    ):
        batch = XSERCollator(processor, voices=voices, **chances)([row])["describe"]
        assert int((batch["level_labels"] >= 0).sum()) == asked, chances
    without_voices = XSERCollator(processor)([row])["describe"]
    assert int((without_voices["level_labels"] >= 0).sum()) == 4  # evaluation asks for all that is known


# ---------------------------------------------------------------- batches


def task_rows(rows, task="describe"):
    return [{**row, "task": task, "noise_seed": 1000 + index} for index, row in enumerate(rows)]


@pytest.mark.parametrize("task", ["asr", "describe"])
def test_a_batch_of_states_is_that_of_the_recordings(pair, rows, voices, task):
    model, processor = pair
    without_states = replace(voices, heard={}, loudness={})
    options = {"reference_probability": 1.0, "speeds": (1.0, 1.25)}
    heard = XSERCollator(processor, voices=voices, **options)(task_rows(rows, task))[task]
    played = XSERCollator(processor, voices=without_states, **options)(task_rows(rows, task))[task]
    assert "input_values" not in heard and "tower_states" not in played
    for name in ("input_ids", "labels", "noise_seed"):
        assert torch.equal(heard[name], played[name]), name
    torch.testing.assert_close(heard["loudness"], played["loudness"], rtol=0, atol=0.5)
    same = torch.full_like(heard["loudness"], -20.0)
    model.train()
    try:
        losses = [model(**{**batch, "loudness": same}).loss for batch in (heard, played)]
    finally:
        model.eval()
    torch.testing.assert_close(*losses, rtol=1e-2, atol=1e-2)


def test_a_profile_is_heard_as_often_as_asked_and_by_descriptions_alone(pair, rows, voices):
    _, processor = pair
    seeds = [{**rows[index % 5], "task": "describe", "noise_seed": seed} for index, seed in enumerate(range(400))]
    collator = XSERCollator(processor, voices=voices, reference_probability=0.3)
    given = [collator.profile(row, 1.0, np.random.default_rng([row["noise_seed"], 1])) for row in seeds]
    assert abs(sum(profile is not None for profile in given) / 400 - 0.3) < 0.08
    assert all(profile.is_speaker for profile in given if profile is not None)
    always = XSERCollator(processor, voices=voices, reference_probability=1.0)
    assert all(always.profile(row, 1.0, np.random.default_rng(0)) is not None for row in seeds[:5])
    assert always.profile({**seeds[0], "task": "asr"}, 1.0, np.random.default_rng(0)) is None
    swapped = XSERCollator(processor, voices=voices, swap_probability=1.0)
    assert swapped.profile(seeds[0], 1.0, np.random.default_rng(0)).is_speaker is False
    batch = always(task_rows(rows))["describe"]
    unknown = batch["reference"].isnan().flatten(1).all(1).tolist()
    assert unknown == [False] * 5 + [True] * 4  # three of b are two beside the recording itself
    assert "reference" not in always(task_rows(rows, "asr"))["asr"]
    assert "reference" not in XSERCollator(processor, voices=voices)(task_rows(rows))["describe"]


def test_speed_and_profile_are_a_function_of_the_seed(pair, rows, voices):
    _, processor = pair
    collator = XSERCollator(processor, voices=voices, reference_probability=0.5, speeds=(1.0, 1.25))
    together = collator(task_rows(rows))["describe"]
    for index, row in enumerate(task_rows(rows)):
        alone = collator([row])["describe"]
        length = int(alone["tower_mask"].sum())
        assert int(together["tower_mask"][index].sum()) == length
        assert torch.equal(together["tower_states"][index, :length], alone["tower_states"][0, :length])
        if "reference" in alone:
            assert torch.equal(together["reference"][index], alone["reference"][0])
        else:
            assert together["reference"][index].isnan().all()
    lengths = [len(voices.heard[row["id"], 1.0]) for row in rows]
    is_faster = [int(n) < length for n, length in zip(together["tower_mask"].sum(-1), lengths, strict=True)]
    assert 0 < sum(is_faster) < NUM


# ---------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def overrides(tiny_backbone_folders, tmp_path_factory):
    """The recipe for nEMO with tiny backbones, tones for data and a few steps."""
    root = tmp_path_factory.mktemp("tones")
    audio, text = map(str, tiny_backbone_folders)
    config = yaml.safe_load((ROOT / "configs" / "xser-nemo.yaml").read_text())
    return config | {
        "audio_model": audio,
        "audio_layers": 2,
        "text_model": text,
        "data": str(make_audiofolder(root / "tones")),
        "corpus_options": {"cache_dir": str(root / "cache")},
        "test_speakers": ["s0"],
        "stages": None,
        "reference_probability": 0.5,
        "speeds": [0.9, 1.0],
        "max_steps": 3,
        "warmup_steps": 0,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_steps": 3,
        "eval_limit": 3,
        "eval_max_new_tokens": 3,
        "report_to": "none",
        "disable_tqdm": True,
    }


@pytest.fixture
def write(tmp_path, overrides):
    def write(**changes) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**overrides, "output_dir": str(tmp_path / "run"), **changes}))
        return str(path)

    return write


def losses(run: Path, step: int) -> list[float]:
    state = json.loads((run / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return [log["loss"] for log in state["log_history"] if "loss" in log]


@pytest.fixture(scope="module")
def finished(overrides, tmp_path_factory, kept_in):
    """A finished run of three steps; (folder, metrics)."""
    root = tmp_path_factory.mktemp("finished")
    (root / "config.yaml").write_text(yaml.safe_dump({**overrides, "output_dir": str(root / "run")}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XSER_CACHE", str(kept_in))
        metrics = main([str(root / "config.yaml")])
    return root / "run", metrics


def test_a_final_model_answers_with_and_without_a_reference(finished):
    run, metrics = finished
    assert metrics["eval_describe_n"] == 3
    assert {"eval_describe_aux_kl", "eval_describe_emotion_loss"} <= set(metrics)
    model = XSERForEmotionDescription.from_pretrained(run / "final")
    processor = XSERProcessor.from_pretrained(run / "final")
    saved = load_file(run / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16} and model.dtype == torch.float32
    assert processor.usual_pitch is not None
    stream = model.model.descriptors
    assert stream.usual_mean.abs().sum() > 0 and not (stream.usual_deviation == 1).all()
    recordings = [(make_wave(0.5, seed=index), SAMPLE_RATE) for index in range(3)]
    profile = model.profile(recordings, processor)
    [without] = model.explain(recordings[:1], processor)
    [with_it] = model.explain(recordings[:1], processor, reference=profile)
    assert without["status"] == with_it["status"] == "ok" and "speaker_reference" not in without
    assert with_it["speaker_reference"]["recordings"] == 3 and with_it["scores"] != without["scores"]


def test_what_is_usual_is_of_the_speakers_who_are_trained_on(finished, overrides):
    run, _ = finished
    model = XSERForEmotionDescription.from_pretrained(run / "checkpoint-3", dtype=torch.float32)
    processor = XSERProcessor.from_pretrained(run / "checkpoint-3")
    processor.voice_activity = False  # the recordings are tones
    profiles = [
        model.profile([Path(overrides["data"]) / f"{index}.wav" for index in range(first, 24, 3)], processor)
        for first in (1, 2)  # s1 and s2; s0 is held out
    ]
    stream, expected = model.model.descriptors, SpeakerProfile.of_everyone(profiles)
    np.testing.assert_allclose(stream.usual_mean.numpy(), expected.mean, atol=5e-3)
    np.testing.assert_allclose(stream.usual_deviation.numpy(), expected.deviation, atol=5e-3)
    assert processor.usual_pitch == pytest.approx(expected.pitch, abs=1e-3)
    np.testing.assert_allclose(np.array(processor.usual_measures, float), expected.measures, rtol=1e-3, atol=1e-4)


def test_what_is_usual_of_whole_recordings_is_the_spread_within_a_speaker(voices, pair, rows):
    model, processor = pair
    found = []
    for ids in (range(5), range(5, 8)):  # a and b; nobody known has one recording
        states = [states_of(model, processor, load_audio(rows["audio"][index])) for index in ids]
        profile = voices.profile([f"r{index}" for index in ids])
        relative = [(each - profile.mean) / profile.deviation for each in states]
        means, deviations = (np.stack([how(each, axis=0) for each in relative]) for how in (np.mean, np.std))
        found.append([means.std(0), deviations.mean(0), deviations.std(0)])
    np.testing.assert_allclose(voices.usual_spread(), np.mean(found, 0), atol=5e-3)


def test_training_learns_what_is_usual_of_whole_recordings(write, tmp_path):
    main([write(recording_states=True, final_evaluation=False, max_steps=1)])
    stream = XSERForEmotionDescription.from_pretrained(tmp_path / "run" / "final").model.descriptors
    usual = stream.recording.usual.float()
    assert (usual > 0).all() and usual[0].mean() < 0.9 and not torch.equal(usual, torch.ones_like(usual))


def test_without_references_what_is_usual_of_measures_is_so_over_all_recordings(write, overrides, tmp_path):
    main(
        [
            write(
                speaker_reference=False,
                recording_states=False,
                reference_probability=0,
                final_evaluation=False,
                max_steps=1,
            )
        ]
    )
    processor = XSERProcessor.from_pretrained(tmp_path / "run" / "final")
    paths = [Path(overrides["data"]) / f"{index}.wav" for index in range(24) if index % 3]  # s0 is held out
    waves = [load_audio(path) for path in paths]
    rows = np.stack([voice_measures(measure(wave), wave) for wave in waves])
    np.testing.assert_allclose(np.array(processor.usual_measures, float), usual_measures(rows), rtol=1e-4, atol=1e-5)


def test_a_run_that_is_resumed_goes_on_as_if_it_had_not_stopped(write, tmp_path):
    one = {"max_steps": 5, "lr_scheduler_type": "constant", "save_steps": 3, "final_evaluation": False}
    main([write(**one)])
    straight = losses(tmp_path / "run", 5)
    resumed = tmp_path / "resumed"
    main([write(**one), "--output_dir", str(resumed), "--max_steps", "3"])
    main([write(**one), "--output_dir", str(resumed), "--resume_from_checkpoint", "true"])
    assert len(straight) == 5 and losses(resumed, 5) == pytest.approx(straight, abs=1e-5)


def test_a_run_may_hear_its_recordings_anew_at_every_step(finished, write, tmp_path):
    run, _ = finished
    main([write(keep_states=False, final_evaluation=False)])
    assert losses(tmp_path / "run", 3) == pytest.approx(losses(run, 3), rel=0.02)


@pytest.mark.parametrize("dry", [[], ["--dry_run"]])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_audio_tower": False}, "keep_states is true, but freeze_audio_tower is false"),
        (
            {"reference_levels": True, "speaker_reference": False, "recording_states": False},
            "reference_levels is true, but speaker_reference is false",
        ),
        (
            {"soft_labels": True, "emotion_weight": 0, "emotion_votes": False},
            "soft_labels is true, but emotion_weight",
        ),
    ],
)
def test_an_option_of_a_part_that_the_model_lacks_is_refused_before_anything_is_encoded(write, options, message, dry):
    with pytest.raises(ValueError, match=message):
        main([write(**options), *dry])


@pytest.fixture
def own_cuts(overrides):
    """Cuts of the data, gone with the test."""
    cuts = replace(Calibration.default(), cuts={**Calibration.default().cuts, "pitch": (-0.01, 0.02)})
    path = Path(overrides["data"]) / "calibration.json"
    cuts.save(path)
    yield cuts
    path.unlink()


def test_a_run_measures_levels_relative_to_its_references_by_the_cuts_of_its_data(write, own_cuts, monkeypatch):
    seen = []
    spied = "xser.training.collator.with_levels_of"
    monkeypatch.setattr(spied, lambda *given: seen.append(given) or with_levels_of(*given))
    main([write(reference_levels=True, reference_probability=1, final_evaluation=False, max_steps=2)])
    assert seen and all(given[2].cuts == own_cuts.cuts and given[3].medians for given in seen)


def test_a_run_whose_speeds_leave_out_the_recordings_own(write):
    main([write(speeds=[0.9, 1.1], max_steps=1, final_evaluation=False)])


def test_a_run_without_speakers_is_told_to_name_them(write, tmp_path):
    data = make_audiofolder(tmp_path / "unnamed")
    table = (data / "metadata.csv").read_text().splitlines()
    (data / "metadata.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in table) + "\n")
    with pytest.raises(ValueError, match="speaker_reference is on, but no speaker"):
        main([write(data=str(data), test_speakers=None)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speeds": [1.0, 2.5]}, r"speeds is \[1.0, 2.5\]; it must hold numbers from 0.5 to 2"),
        ({"speeds": [0.4]}, r"speeds is \[0.4\]"),
        ({"reference_probability": 1.5}, "reference_probability is 1.5; it must be from 0 to 1"),
        ({"reference_probability": -0.1}, "reference_probability is -0.1"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(write, options, message):
    with pytest.raises(ValueError, match=message):
        parse_config([write(**options)])
