"""A recording's measured voice as one row: what it holds, what is usual, and how it is told relative to that."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_wave

from xser import XSERConfig, XSERForEmotionDescription
from xser.prosody_xser import measure
from xser.voice_inputs_xser import MEASURED
from xser.voice_measures_xser import (
    FARTHEST,
    LEVEL,
    MEASURES,
    NAMES,
    NUM_MEASURES,
    PROSODIC_NAMES,
    SHRINKAGE,
    SIZES,
    relative_measures,
    usual_measures,
    voice_measures,
)

STREAM = {MEASURES: {"size": NUM_MEASURES, "latent_size": 3, "hidden_size": 8, "frame_stack": 1}}


WAVE = make_wave(1.2, seed=3)


@pytest.fixture(scope="module")
def prosody():
    return measure(WAVE)


def measures_of(wave) -> np.ndarray:
    return voice_measures(measure(wave), wave)


def values(prosody, wave=WAVE) -> dict[str, float]:
    return dict(zip(NAMES, voice_measures(prosody, wave).tolist(), strict=True))


def test_a_row_holds_statistics_of_the_curves_and_the_quantities_of_the_descriptors(prosody):
    found = values(prosody)
    pitch, level = 12 * np.log2(prosody.f0[~np.isnan(prosody.f0)]), prosody.level[prosody.speech]
    for name, curve in (("pitch", pitch), ("level", level)):
        assert found[f"{name}_mean"] == pytest.approx(curve.mean(), abs=1e-4)
        assert found[f"{name}_deviation"] == pytest.approx(curve.std(), abs=1e-4)
        assert found[f"{name}_p20"] == pytest.approx(np.percentile(curve, 20) - curve.mean(), abs=1e-4)
        assert found[f"{name}_step"] == pytest.approx(np.abs(np.diff(curve)).mean(), abs=1e-4)
        assert found[f"{name}_end"] == pytest.approx(np.array_split(curve, 3)[2].mean() - curve.mean(), abs=1e-4)
    assert found["voiced_share"] == pytest.approx(len(pitch) / len(prosody.f0))
    assert found["log_seconds"] == pytest.approx(np.log(1.2), abs=1e-3)
    assert found["hnr_db"] == pytest.approx(prosody.hnr_db)
    assert [found[f"contour_{point}"] for point in range(5)] == pytest.approx(prosody.contour, abs=1e-4)


def test_what_cannot_be_told_is_not_a_number(prosody):
    found = values(replace(prosody, rate=None, contour=None))
    assert np.isnan(found["rate"]) and np.isnan(found["contour_0"]) and not np.isnan(found["pitch_mean"])
    assert np.isnan(measures_of(np.zeros(0, np.float32))).sum() >= NUM_MEASURES - 1
    silence = np.zeros(16_000, np.float32)
    silent = values(measure(silence), silence)
    assert np.isnan(silent["pitch_mean"]) and np.isnan(silent["level_mean"]) and silent["voiced_share"] == 0


def test_prosodic_measures_are_the_first_and_the_same_without_the_rest(prosody):
    every = voice_measures(prosody, WAVE)
    np.testing.assert_array_equal(voice_measures(prosody, None), every[: SIZES[0]])
    assert len(every) == NUM_MEASURES and tuple(NAMES[: SIZES[0]]) == PROSODIC_NAMES


def test_the_last_measures_are_the_quantities_that_levels_are_cut_from(prosody):
    found = values(prosody)
    assert [*found][SIZES[1] :] == ["pitch_median", "loudness", "pitch_spread"]
    assert found["pitch_median"] == pytest.approx(12 * np.log2(prosody.pitch_hz), abs=1e-4)
    assert found["loudness"] == pytest.approx(prosody.loudness, abs=1e-4)
    assert found["pitch_spread"] == pytest.approx(prosody.pitch_spread, abs=1e-4)
    unknown = values(replace(prosody, pitch=None, loudness=None, pitch_spread=None))
    assert all(np.isnan(unknown[name]) for name in ("pitch_median", "loudness", "pitch_spread"))
    assert unknown["pitch_mean"] == found["pitch_mean"]


def test_what_is_usual_counts_what_is_known():
    rows = np.array([[1.0, np.nan, 2.0], [3.0, 5.0, 2.0], [8.0, np.nan, 2.0]])
    usual = usual_measures(np.concatenate([rows, np.full((3, 1), np.nan)], 1))
    np.testing.assert_allclose(usual[0], [4.0, 5.0, 2.0, np.nan])
    np.testing.assert_allclose(usual[1], [rows[:, 0].std(), 0.0, 0.0, np.nan], rtol=1e-6)


def test_a_row_is_told_in_deviations_and_few_recordings_lean_on_the_usual_ones():
    usual, own, row = np.zeros((2, NUM_MEASURES)), np.full((2, NUM_MEASURES), np.nan), np.zeros(NUM_MEASURES)
    usual[:, :2], own[:, 0], row[:2] = [[10.0, 0.0], [2.0, 1.0]], [14.0, 0.0], [12.0, 0.5]
    np.testing.assert_allclose(relative_measures(row, usual, None, 0)[:3], [1.0, 0.5, 0.0])
    shrunk = 2 * np.sqrt(SHRINKAGE / (3 + SHRINKAGE))
    np.testing.assert_allclose(relative_measures(row, usual, own, 3)[:2], [-2 / shrunk, 0.5], rtol=1e-6)
    own[1, 0] = 0.5
    np.testing.assert_allclose(relative_measures(row, usual, own, 10**9)[:2], [-4.0, 0.5], rtol=1e-4)


def test_level_and_spectrum_of_a_voice_that_nobody_knows_are_usual():
    usual, row = np.stack([np.zeros(NUM_MEASURES), np.ones(NUM_MEASURES)]), np.full(NUM_MEASURES, 2.0)
    known, unknown = (relative_measures(row, usual, usual, 9, knows_speaker) for knows_speaker in (True, False))
    assert (known == 2).all()
    is_usual = unknown == 0
    assert is_usual[LEVEL] and is_usual[len(PROSODIC_NAMES) :].all() and is_usual.sum() == 1 + NUM_MEASURES - SIZES[0]
    assert (unknown[~is_usual] == 2).all()


def test_what_cannot_be_told_is_usual_and_nothing_is_farther_than_six_deviations():
    usual, row = np.zeros((2, NUM_MEASURES)), np.zeros(NUM_MEASURES)
    usual[:, :4], row[:4] = [[0.0, 0.0, np.nan, 0.0], [1.0, 1.0, np.nan, 0.0]], [np.nan, 100.0, 3.0, 3.0]
    found = relative_measures(row, usual, None, 0)
    assert found[:4].tolist() == [0.0, FARTHEST, 0.0, 0.0]


def test_the_processor_measures_the_stream_relative_to_the_reference(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), emphasis=False, speaker_reference=True, aux_streams=STREAM
    )
    profile = model.profile(waves[3:8], processor)
    rows = np.stack([measures_of(wave) for wave, _ in waves[3:8]])
    np.testing.assert_allclose(profile.measures, usual_measures(rows), rtol=1e-5)
    processor.usual_measures = usual_measures(rows * 1.1).tolist()
    row = measures_of(waves[0][0])
    batch = processor(waves[:2], reference=[None, profile])
    usual = np.array(processor.usual_measures)
    assert batch["aux_measures"].shape == (2, 1, NUM_MEASURES) and batch["aux_measures_mask"].all()
    np.testing.assert_allclose(batch["aux_measures"][0, 0], relative_measures(row, usual, None, 0, False), atol=1e-6)
    other = relative_measures(measures_of(waves[1][0]), usual, profile.measures, 5)
    np.testing.assert_allclose(batch["aux_measures"][1, 0], other, atol=1e-6)


@pytest.mark.parametrize("size", SIZES[:-1])
def test_a_stream_of_the_first_measures_is_told_these_alone(tiny_backbone_folders, waves, size):
    short = {MEASURES: {**STREAM[MEASURES], "size": size}}
    made = [
        XSERForEmotionDescription.from_backbones(
            *map(str, tiny_backbone_folders), emphasis=False, speaker_reference=True, aux_streams=streams
        )
        for streams in (short, STREAM)
    ]
    profile = made[0][0].profile(waves[3:8], made[0][1])
    usual = usual_measures(np.stack([measures_of(wave) for wave, _ in waves[3:8]]) * 1.1)
    made[0][1].usual_measures, made[1][1].usual_measures = usual[:, :size].tolist(), usual.tolist()
    first, every = (processor(waves[:2], reference=profile)["aux_measures"] for _, processor in made)
    assert first.shape[-1] == size < every.shape[-1] == NUM_MEASURES
    np.testing.assert_array_equal(first, every[..., :size])


def test_a_profile_of_fewer_measures_than_the_model_hears_is_refused(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), emphasis=False, speaker_reference=True, aux_streams=STREAM
    )
    profile = model.profile(waves[3:8], processor)
    profile = replace(profile, measures=profile.measures[:, : SIZES[0]])
    with pytest.raises(ValueError, match=f"knows {SIZES[0]} measures, and this model hears {NUM_MEASURES}"):
        processor(waves[:1], reference=profile)


@pytest.mark.parametrize("shape", [(NUM_MEASURES,), (1, 3), (0, NUM_MEASURES)])
def test_measures_of_another_shape_are_refused(tiny_backbone_folders, waves, shape):
    _, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), aux_streams=STREAM)
    with pytest.raises(ValueError, match=rf"aux\['measures'\] holds features of shape {re.escape(str(shape))}"):
        processor(waves[:1], aux={"measures": [np.zeros(shape)]})


@pytest.mark.parametrize("name", list(MEASURED))
def test_a_stream_that_is_measured_has_the_size_of_what_is_measured(tiny_backbone_folders, name):
    message = (
        rf"aux_streams\['{name}'\]\['size'\] is 3; what is measured for it has {' or '.join(map(str, MEASURED[name]))}"
    )
    with pytest.raises(ValueError, match=message):
        XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), aux_streams={name: {"size": 3}})


def test_a_config_keeps_the_stream(tmp_path):
    XSERConfig(aux_streams=STREAM).save_pretrained(tmp_path)
    assert XSERConfig.from_pretrained(tmp_path).aux_streams[MEASURES]["size"] == NUM_MEASURES
