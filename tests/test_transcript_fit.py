"""A transcript is held against the syllables in the signal: what cannot be what is said tells no speed."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from test_descriptors_annotate import TEST, TRAIN, save
from test_levels import DEFAULT, make_prosody, reference
from test_verification import DESCRIPTORS, voice

from xser.audio_xser import load_audio
from xser.calibration_xser import why_not
from xser.descriptors.annotate import annotate
from xser.levels_xser import LEVELS, check, label
from xser.prosody_xser import measure
from xser.rate_xser import usual_syllables, with_text_rate
from xser.verification_xser import Verifier

SENTENCE = "we never cancelled any meeting in this office"  # 14 syllables: 3 s of it are 4.7 a second
KOKORO = Path(__file__).parents[2] / "shared" / "data" / "kokoro"
SLOTS = {**DESCRIPTORS, "speed": LEVELS["speed"]}


def spoken(**changes):
    """Three seconds of 12 nuclei."""
    return make_prosody(rate=4.0, rate_error=0.58, **changes)


def test_a_transcript_that_fits_has_its_rate():
    found = with_text_rate(spoken(), SENTENCE, "en")
    assert found.text_fits is True and why_not(found, "text_rate") is None
    assert found.text_rate == pytest.approx(usual_syllables(SENTENCE, "en").value / 3)


@pytest.mark.parametrize("text", [SENTENCE * 4, SENTENCE * 14, "no", "a"], ids=["x4", "60 a second", "no", "a"])
def test_a_transcript_that_cannot_be_what_is_said_tells_no_speed(text):
    found = with_text_rate(spoken(), text, "en")
    assert found.text_fits is False
    speed = label(found, DEFAULT, reference(120))["speed"]
    assert (speed.level, speed.confidence, speed.reason) == (None, None, "transcript does not fit")
    for claim in LEVELS["speed"]:
        verdict = check({"speed": claim}, found, DEFAULT, reference(120))["speed"]
        assert verdict.verdict == "can't tell"
        assert f"the transcript has {found.text_rate:.1f} syllables a second of speech, the recording 4.0" in (
            verdict.reason
        )


def test_between_fit_and_misfit_the_error_grows_with_the_distance():
    texts = [" ".join(["banana"] * times) for times in (5, 8, 9, 10)]  # 12 nuclei
    found = [with_text_rate(spoken(), text, "en") for text in texts]
    assert [of.text_fits for of in found] == [True] * 4
    shares = [of.text_rate_error / of.text_rate for of in found]
    assert shares[3] > shares[2] and shares[3] > 2 * shares[0]
    assert label(found[-1], DEFAULT)["speed"].level is None


@pytest.mark.parametrize("text", ["", "…?!", "3 1 4", "مرحبا", "  ", "नमस्ते"])
def test_a_text_whose_spelling_tells_nothing_leaves_the_signals_rate(text):
    found = with_text_rate(spoken(), text, "en")
    assert found.text_rate is found.text_fits is None
    assert label(found, DEFAULT, reference(120))["speed"].quantity == "rate"


def test_with_nothing_in_the_signal_to_hold_it_against_a_transcript_tells_no_speed():
    found = with_text_rate(spoken(), SENTENCE, "en")
    silent = with_text_rate(make_prosody(rate=None, rate_error=None), SENTENCE, "en")
    assert why_not(found, "text_rate") is None and why_not(silent, "text_rate") == "not measured"


def test_without_a_language_a_text_is_about_as_long():
    for language, text in (("en", SENTENCE), ("pl", "dzisiejszy pociąg do wrocławia odjeżdża wieczorem")):
        known, unknown = usual_syllables(text, language), usual_syllables(text)
        assert unknown.value == pytest.approx(known.value, rel=0.15)
        assert unknown.error / unknown.value > known.error / known.value


def test_verification_measures_the_speed_by_the_users_transcript_where_it_fits():
    wave = voice(120, seconds=2.4)  # 12 syllables
    verifier = Verifier(None, SLOTS)
    fits = verifier.verify({"speed": "fast", "pitch": "high"}, wave, transcript="banana " * 4, language="en")
    assert fits["speed"]["quantity"] == "text_rate" and "by the signal" not in fits["speed"]["reason"]
    signal = verifier.verify({"speed": "fast", "pitch": "high"}, wave)
    assert signal["speed"]["quantity"] == "rate" and "by the signal" not in signal["speed"]["reason"]
    for text, why in (
        ("banana " * 40, "the transcript has "),
        ("…", "the spelling of the transcript tells no rate"),
        ("", "the spelling of the transcript tells no rate"),
    ):
        other = verifier.verify({"speed": "fast", "pitch": "high"}, wave, transcript=text)
        assert other["speed"] | {"reason": None} == signal["speed"] | {"reason": None}
        assert f"; by the signal, since {why}" in other["speed"]["reason"]
        assert other["pitch"] == signal["pitch"]


def test_a_transcript_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="transcript is True; it must be text"):
        Verifier(None, SLOTS).verify({"speed": "fast"}, voice(120), transcript=True)


def test_what_is_usual_by_transcripts_may_not_be_known():
    reference_by_signal = [(voice(hertz, seconds=2.4), 16_000) for hertz in (98.0, 100.0, 102.0)]
    verdict = Verifier(None, SLOTS, reference_by_signal).verify({"speed": "fast"}, voice(120), "banana banana", "en")
    assert verdict["speed"]["basis"] == "speaker" and verdict["speed"]["quantity"] == "rate"
    assert verdict["speed"]["reason"].endswith("what is usual by transcripts is known less well for this speaker")


def test_annotation_counts_the_rows_whose_transcript_does_not_fit(tmp_path):
    shuffled = [{**TEST[0], "text": "na " * 80}, *TEST[1:]]
    report = annotate(save(tmp_path / "toy", train=TRAIN, test=shuffled), workers=1)
    assert report["not_told"]["speed"]["transcript does not fit"] == 1
    assert report["transcripts_that_do_not_fit"] == [TEST[0]["id"]]


@pytest.mark.skipif(not KOKORO.is_dir(), reason="the natural synthetic recordings are not beside this checkout")
def test_right_transcripts_of_real_voices_are_accepted_and_others_are_not():
    with (KOKORO / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(itertools.islice(csv.DictReader(file), 0, None, 24))
    measured = [(measure(load_audio(KOKORO / row["file_name"])), row["text"]) for row in rows]
    right = [with_text_rate(of, text, "en").text_fits for of, text in measured]
    longer = [with_text_rate(of, " ".join([text] * 4), "en").text_fits for of, text in measured]
    assert np.mean(right) >= 0.97 and np.mean(longer) <= 0.03
