"""An answer's levels are held against the recording, relative to the speaker where there is a reference."""

import numpy as np
import pytest
from conftest import SMALL

from xser.audio_xser import SAMPLE_RATE, AudioError
from xser.calibration_xser import Calibration
from xser.modeling_xser import XSERForEmotionDescription
from xser.pipeline_xser import ANSWER_KEYS, XSERPipeline
from xser.verification_xser import NOT_MEASURABLE, Verifier

DESCRIPTORS = {"pitch": ("low", "normal", "high"), "volume": ("quiet", "normal", "loud"), "breath": ("calm", "short")}
KEYS = {"claim", "verdict", "value", "unit", "quantity", "cuts", "reason", "basis"}


def voice(hertz: float, seconds: float = 1.2, amplitude: float = 0.1) -> np.ndarray:
    """Five syllables a second of a hum with twelve harmonics and a little noise, (S,)."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * n * hertz * times) / n for n in range(1, 13))
    hum *= 0.55 - 0.45 * np.cos(2 * np.pi * 5 * times)
    noise = np.random.default_rng(0).standard_normal(len(times)) * 1e-3
    quiet = np.zeros(SAMPLE_RATE // 4)
    return (amplitude * np.concatenate([quiet, hum, quiet]) + np.pad(noise, len(quiet), mode="wrap")).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def reference():
    return [(voice(hertz), SAMPLE_RATE) for hertz in (98.0, 100.0, 102.0)]


@pytest.fixture
def explain(tiny_pair):
    model, processor = tiny_pair
    return XSERPipeline(model=model, processor=processor, task="audio-emotion-explain", device="cpu")


@pytest.mark.parametrize(
    ("hertz", "amplitude", "pitch", "volume"), [(150, 0.3, "high", "loud"), (75, 0.03, "low", "quiet")]
)
def test_claims_are_judged_relative_to_the_reference(reference, hertz, amplitude, pitch, volume):
    verifier = Verifier(None, DESCRIPTORS, reference)
    wave = voice(hertz, amplitude=amplitude)
    for slot, true in (("pitch", pitch), ("volume", volume)):
        for level in DESCRIPTORS[slot]:
            verdict = verifier.verify({slot: level}, wave)[slot]
            assert set(verdict) == KEYS
            assert verdict["claim"] == level and verdict["basis"] == "speaker"
            assert verdict["verdict"] == ("agree" if level == true else "contradict")
    assert verifier.verify({"pitch": pitch}, wave)["pitch"]["value"] == pytest.approx(hertz, rel=0.01)


def melody(extent: float) -> np.ndarray:
    """(S,) of a hum about 120 Hz whose pitch swings by so many semitones in all, twice a second."""
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 * 2 ** (extent / 24 * np.sin(2 * np.pi * 2 * times))) / SAMPLE_RATE
    quiet = np.zeros(SAMPLE_RATE // 4)
    noise = np.random.default_rng(0).standard_normal(len(times) + 2 * len(quiet)) * 1e-4
    hum = sum(np.sin(n * phase) / n for n in range(1, 13)) * 0.05
    return (np.concatenate([quiet, hum, quiet]) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def melodies():
    return [(melody(extent), SAMPLE_RATE) for extent in (5.8, 6.0, 6.2)]


@pytest.mark.parametrize(("extent", "true"), [(1.0, "flat"), (6.0, "normal"), (12.0, "expressive")])
def test_a_range_is_judged_relative_to_that_of_the_reference(melodies, extent, true):
    levels = ("flat", "normal", "expressive")
    verifier = Verifier(None, {"range": levels}, melodies)
    for level in levels:
        verdict = verifier.verify({"range": level}, melody(extent))["range"]
        assert verdict["verdict"] == ("agree" if level == true else "contradict")
        assert (verdict["unit"], verdict["quantity"], verdict["basis"]) == ("semitones", "pitch_spread", "speaker")
        assert verdict["value"] == pytest.approx(0.951 * extent, abs=0.3)  # of a sine, 10th to 90th percentile
        assert f"{verdict['value']:.1f} semitones, where {level} " in verdict["reason"]


def test_a_model_with_a_slot_for_the_range_answers_verifies_and_says_it(tiny_backbone_folders, melodies):
    descriptors = {"pitch": ["low", "normal", "high"], "range": ["flat", "normal", "expressive"]}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **{**SMALL, "descriptors": descriptors, "voice_activity": False}
    )
    explain = XSERPipeline(model=model, processor=processor, task="audio-emotion-explain", device="cpu")
    answer = explain((melody(12.0), SAMPLE_RATE), verify=True, reference=melodies)
    claim, verdict = answer["descriptors"]["range"], answer["verification"]["range"]
    assert claim in descriptors["range"] and f"{claim} range" in answer["explanation"]
    assert verdict["verdict"] == ("agree" if claim == "expressive" else "contradict")
    assert set(verdict) == KEYS and set(answer["verification"]) == {"pitch", "range"}


def test_volume_needs_a_reference():
    reason = Verifier(None, DESCRIPTORS).verify({"volume": "loud"}, voice(150))["volume"]["reason"]
    assert reason.startswith("no reference: ")


def test_what_nothing_measures_cannot_be_told(reference):
    verdicts = Verifier(None, DESCRIPTORS, reference).verify({"breath": "short", "pitch": "high"}, voice(150))
    assert list(verdicts) == ["breath", "pitch"]
    assert verdicts["breath"]["verdict"] == "can't tell" and verdicts["breath"]["reason"] == NOT_MEASURABLE


def test_a_reference_that_was_measured_before_serves_as_well(reference):
    measured = Verifier(None, DESCRIPTORS, reference).reference
    again = Verifier(Calibration.default().to_dict(), DESCRIPTORS, measured)
    claims, wave = {"pitch": "high", "volume": "quiet"}, voice(150)
    assert again.verify(claims, wave) == Verifier(None, DESCRIPTORS, reference).verify(claims, wave)


def test_a_reference_that_tells_nothing_is_refused(reference, tmp_path):
    with pytest.raises(ValueError, match="at least 3 recordings"):
        Verifier(None, DESCRIPTORS, reference[:2])
    with pytest.raises(ValueError, match="at least 3 recordings"):
        Verifier(None, DESCRIPTORS, reference[0])
    with pytest.raises(AudioError, match=r"none\.wav"):
        Verifier(None, DESCRIPTORS, [*reference, tmp_path / "none.wav"])
    with pytest.raises(ValueError, match="unknown keys"):
        Verifier({**Calibration.default().to_dict(), "cut": 3}, DESCRIPTORS)


def test_pipeline_verifies_where_it_is_asked_to(explain, reference):
    wave, silence = (voice(150), SAMPLE_RATE), (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    answers = explain([wave, silence, b""], verify=True, reference=reference)
    assert [set(answer) - {"error"} for answer in answers] == [{*ANSWER_KEYS, "verification"}] * 3
    assert [answer["verification"] for answer in answers[1:]] == [None, None]
    claims, verdicts = answers[0]["descriptors"], answers[0]["verification"]
    assert {slot: of["claim"] for slot, of in verdicts.items()} == claims
    assert verdicts["pitch"]["verdict"] == ("agree" if claims["pitch"] == "high" else "contradict")
    assert "verification" not in explain(wave)
    assert explain(wave, slots=["emotion"], verify=True)["verification"] == {}


def test_options_to_verify_by_hold_for_the_pipeline_and_need_verify(tiny_pair, explain, reference):
    model, processor = tiny_pair
    options = {"verify": True, "gender": "male"}
    lasting = XSERPipeline(model=model, processor=processor, task="audio-emotion-explain", device="cpu", **options)
    wave = (voice(150), SAMPLE_RATE)
    assert lasting(wave)["verification"]["pitch"]["basis"] == "gender"
    assert lasting(wave, reference=reference)["verification"]["pitch"]["basis"] == "speaker"
    for options in ({"reference": reference}, {"gender": "female"}):
        with pytest.raises(ValueError, match="verify=True"):
            explain(wave, **options)


def test_cuts_of_the_training_data_travel_with_the_processor(explain, tmp_path):
    processor = explain.processor
    calibration = Calibration.default().to_dict()
    calibration["genders"]["male"]["medians"]["pitch"] = 12 * np.log2(400.0)
    processor.calibration = calibration
    try:
        processor.save_pretrained(tmp_path)
        verdict = explain((voice(150), SAMPLE_RATE), verify=True, gender="male")["verification"]["pitch"]
    finally:
        processor.calibration = None
    assert verdict["verdict"] == ("agree" if verdict["claim"] == "low" else "contradict")
    loaded = type(processor).from_pretrained(tmp_path)
    assert Calibration.from_dict(loaded.calibration) == Calibration.from_dict(calibration)
