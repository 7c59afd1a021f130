"""Levels are relative to who speaks, abstain where they must, and claims are judged by the same cuts."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xser.calibration_xser import Calibration, Reference
from xser.configuration_xser import DEFAULT_DESCRIPTORS
from xser.corpora.schema import LEVELS as SCHEMA_LEVELS
from xser.levels_xser import LEVELS, TONE_CUT, Label, check, label
from xser.prosody_xser import Prosody

DEFAULT = Calibration.default()
MOVEMENTS = {
    "falling": (1.0, 0.5, 0.0, -2.0, -4.0),
    "flat": (0.3, 0.0, -0.1, 0.0, -0.2),
    "rising": (-2.0, -1.0, 0.0, 2.0, 4.0),
    "falling-rising": (0.0, -2.0, -4.0, -1.0, 1.0),
    "rising-falling": (0.0, 3.0, 5.0, 2.0, -1.0),
}


def semitones(hertz):
    return 12 * math.log2(hertz)


def make_prosody(hertz=120.0, **changes):
    """Three clear seconds of speech, measured well."""
    values = {
        "duration": 3.5,
        "speech_seconds": 3.0,
        "voiced_seconds": 2.0,
        "f0": np.full(350, np.nan),
        "strength": np.zeros(350),
        "level": np.full(350, -60.0),
        "speech": np.zeros(350, bool),
        "snr_db": 30.0,
        "pitch": semitones(hertz),
        "pitch_error": 0.2,
        "pitch_hz": hertz,
        "pitch_range": 6.0,
        "pitch_range_error": 0.3,
        "pitch_spread": 4.0,
        "pitch_spread_error": 0.2,
        "loudness": -26.0,
        "loudness_error": 0.5,
        "rate": 5.0,
        "rate_error": 0.2,
        "contour": MOVEMENTS["flat"],
        "contour_error": 0.7,
        "pauses": 0,
        "pause_seconds": 0.0,
        "jitter": None,
        "shimmer": None,
        "hnr_db": None,
    }
    return Prosody(**{**values, **changes})


def reference(hertz, error=0.1, loudness=-26.0):
    medians = {"pitch": semitones(hertz), "loudness": loudness, "rate": 5.0, "pitch_range": 6.0, "pitch_spread": 4.0}
    return Reference(medians, dict.fromkeys(medians, error))


def test_names_of_levels_are_those_of_the_schema_and_of_the_model():
    assert {slot: LEVELS[slot] for slot in SCHEMA_LEVELS} == SCHEMA_LEVELS
    for slot, levels in DEFAULT_DESCRIPTORS.items():
        assert set(levels) <= set(LEVELS[slot])


def test_172_hz_is_high_for_a_man_of_120_and_normal_for_one_of_170():
    recording = make_prosody(172)
    assert label(recording, DEFAULT, reference(120))["pitch"].level == "high"
    assert label(recording, DEFAULT, reference(170))["pitch"].level == "normal"
    assert label(recording, DEFAULT, reference(210))["pitch"].level == "low"


def test_a_label_holds_value_reference_and_cuts_in_natural_units():
    found = label(make_prosody(172), DEFAULT, reference(120))["pitch"]
    assert found.value == pytest.approx(172) and found.unit == "Hz" and found.basis == "speaker"
    assert found.offset == pytest.approx(12 * math.log2(172 / 120))
    assert found.cuts == pytest.approx((120 * 2 ** (-1.5 / 12), 120 * 2 ** (1.5 / 12)))
    assert found.reason is None


def test_confidence_is_the_gaussian_probability_of_the_level():
    own, usual = 0.3, 0.4  # add up to 0.5
    speaker = Reference({"pitch": semitones(120)}, {"pitch": usual})
    high = make_prosody(pitch=semitones(120) + 1.5 + 0.5, pitch_error=own)  # one error beyond the cut
    assert label(high, DEFAULT, speaker)["pitch"].confidence == pytest.approx(0.841345, abs=1e-6)
    middle = make_prosody(pitch=semitones(120), pitch_error=own)  # three errors from either cut
    assert label(middle, DEFAULT, speaker)["pitch"].confidence == pytest.approx(0.997300, abs=1e-6)


def test_the_margin_decides_how_many_errors_from_a_cut_are_enough():
    recording = make_prosody(pitch=semitones(120) + 2.0, pitch_error=0.5)  # one error beyond the cut
    speaker = reference(120, error=0.0)
    levels = {margin: label(recording, DEFAULT, speaker, margin=margin)["pitch"].level for margin in (0, 0.9, 1.1)}
    assert levels == {0: "high", 0.9: "high", 1.1: None}
    verdicts = [
        check({"pitch": "normal"}, recording, DEFAULT, speaker, margin=margin)["pitch"] for margin in (0.9, 1.1)
    ]
    assert [verdict.verdict for verdict in verdicts] == ["contradict", "can't tell"]
    for judge in (lambda: label(recording, DEFAULT, margin=-1), lambda: check({}, recording, DEFAULT, margin=-1)):
        with pytest.raises(ValueError, match="margin is -1"):
            judge()


def test_without_any_error_the_level_is_certain():
    found = label(make_prosody(172, pitch_error=0.0), DEFAULT, reference(120, error=0.0))["pitch"]
    assert (found.level, found.confidence) == ("high", 1.0)


@pytest.mark.parametrize(
    ("semitones_above", "level", "reason"),
    [(2.01, "high", None), (1.99, None, "near a cut"), (1.01, None, "near a cut"), (0.99, "normal", None)],
)
def test_nearer_to_a_cut_than_its_error_there_is_no_level(semitones_above, level, reason):
    recording = make_prosody(pitch=semitones(120) + semitones_above, pitch_error=0.5)  # the cut is at 1.5
    found = label(recording, DEFAULT, reference(120, error=0.0))["pitch"]
    assert (found.level, found.reason) == (level, reason)
    assert (found.confidence is None) == (level is None)
    assert found.value == pytest.approx(120 * 2 ** (semitones_above / 12))


def test_a_reference_that_is_not_known_well_enough_is_the_reason_given():
    recording = make_prosody(pitch=semitones(120) + 2.0, pitch_error=0.1)
    found = label(recording, DEFAULT, reference(120, error=1.0))["pitch"]
    assert (found.level, found.reason) == (None, "uncertain reference")


@settings(deadline=None)
@given(st.floats(-6, 6), st.floats(0, 3), st.floats(0, 3), st.sampled_from([0.5, 1.0, 2.0]))
@example(0.0, 3.0, 1.0, 0.5)  # just as far from both cuts as its own error
def test_the_reference_is_the_reason_where_a_better_one_would_tell(offset, own_error, usual_error, margin):
    recording = make_prosody(pitch=semitones(120) + offset, pitch_error=own_error)
    found, exact = (
        label(recording, DEFAULT, reference(120, error=error), margin=margin)["pitch"] for error in (usual_error, 0.0)
    )
    if found.level is None:
        assert found.reason == ("near a cut" if exact.level is None else "uncertain reference")


def test_the_gender_stands_in_for_an_unknown_speaker_and_the_corpus_for_an_unknown_gender():
    recording = make_prosody(190)
    by_gender = label(recording, DEFAULT, gender="male")
    assert (by_gender["pitch"].level, by_gender["pitch"].basis) == ("high", "gender")
    by_corpus = label(recording, DEFAULT, gender="not known to it")
    assert (by_corpus["pitch"].level, by_corpus["pitch"].basis) == (None, "corpus")
    assert by_corpus["pitch"].reason == "uncertain reference"
    assert by_gender["speed"].basis == "corpus"  # the default has no rate of men


def test_a_stand_in_is_less_sure_than_the_speakers_own_reference():
    recording = make_prosody(190)
    own, stand_in = label(recording, DEFAULT, reference(120)), label(recording, DEFAULT, gender="male")
    assert own["pitch"].confidence > stand_in["pitch"].confidence > 0.84


def spoken(rate, text_rate):
    errors = {"rate_error": 0.1, "text_rate_error": None if text_rate is None else 0.1}
    return make_prosody(120, rate=rate, text_rate=text_rate, **errors)


def usual_rates(**medians):
    return Reference(medians, dict.fromkeys(medians, 0.05))


def test_speed_is_told_by_the_transcript_against_what_is_usual_of_transcripts():
    """A voice whose syllables are heard less often than they are spelled: 4 where 5 are."""
    anna = usual_rates(rate=4.0, text_rate=5.0)
    by_text, by_signal = (label(spoken(4.0, text), DEFAULT, anna)["speed"] for text in (5.0, None))
    assert (by_text.level, by_text.value, by_text.quantity) == ("normal", 5.0, "text_rate")
    assert (by_signal.level, by_signal.value, by_signal.quantity) == ("normal", 4.0, "rate")
    assert label(spoken(5.0, None), DEFAULT, anna)["speed"].level == "fast"


def test_speed_is_told_by_the_signal_where_only_that_is_known_of_the_speaker():
    speed = label(spoken(4.0, 5.0), DEFAULT, usual_rates(rate=4.0))["speed"]
    assert (speed.level, speed.quantity, speed.basis) == ("normal", "rate", "speaker")
    assert label(spoken(4.0, 5.0), DEFAULT)["speed"].quantity == "text_rate"  # known alike, of everyone


def test_a_verdict_on_the_speed_says_what_was_counted():
    anna = usual_rates(rate=4.0, text_rate=5.0)
    for text, quantity in ((6.5, "text_rate"), (None, "rate")):
        verdict = check({"speed": "fast"}, spoken(5.5, text), DEFAULT, anna)["speed"]
        assert (verdict.verdict, verdict.quantity, verdict.unit) == ("agree", quantity, "syllables/s")


def test_without_cuts_of_transcripts_the_speed_is_told_by_the_signal():
    cuts, spreads = (dict(values) for values in (DEFAULT.cuts, DEFAULT.spreads))
    del cuts["text_rate"], spreads["text_rate"]
    calibration = dataclasses.replace(DEFAULT, cuts=cuts, spreads=spreads)
    speed = label(spoken(4.0, 6.0), calibration, usual_rates(rate=4.0, text_rate=4.0))["speed"]
    assert (speed.level, speed.quantity) == ("normal", "rate")
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    assert set(calibration.reference_of([spoken(4.0, 6.0)] * 3).medians) == set(cuts)


def test_range_is_measured_by_the_inner_spread_and_by_the_outer_range_where_only_that_is_calibrated():
    """Frames of creak reach far down: they move the 5th percentile, and hardly the 10th."""
    creaky = make_prosody(pitch_range=14.0, pitch_spread=4.0)
    found = label(creaky, DEFAULT, reference(120))["range"]
    assert (found.level, found.quantity, found.value, found.unit) == ("normal", "pitch_spread", 4.0, "semitones")
    cuts, spreads = (dict(values) for values in (DEFAULT.cuts, DEFAULT.spreads))
    del cuts["pitch_spread"], spreads["pitch_spread"]
    before = dataclasses.replace(DEFAULT, cuts=cuts, spreads=spreads)
    found = label(creaky, before, reference(120))["range"]
    assert (found.level, found.quantity) == ("expressive", "pitch_range")


@pytest.mark.parametrize(
    ("spread", "level"), [(1.0, "flat"), (4.0, "normal"), (7.0, "expressive"), (2.1, None), (5.9, None)]
)
def test_a_claimed_range_is_contradicted_agreed_with_or_undetermined_near_a_cut(spread, level):
    """The reference has 4 semitones, so cuts lie at 2 and 6."""
    recording, speaker = make_prosody(pitch_spread=spread), reference(120)
    verdicts = {claim: check({"range": claim}, recording, DEFAULT, speaker)["range"] for claim in LEVELS["range"]}
    assert [claim for claim, of in verdicts.items() if of.verdict == "agree"] == ([] if level is None else [level])
    assert verdicts["flat"].verdict == ("agree" if level == "flat" else "can't tell" if spread < 3 else "contradict")
    if spread == 7.0:
        assert verdicts["flat"].reason == "7.0 semitones, where flat ends at 2.0 semitones for this speaker"


def test_without_a_reference_the_range_is_relative_to_everyone():
    found = label(make_prosody(pitch_spread=12.0), DEFAULT, gender="female")["range"]
    assert (found.level, found.basis, found.cuts) == ("expressive", "corpus", (4.0, 8.0))
    assert label(make_prosody(pitch_spread=8.5), DEFAULT)["range"].reason == "uncertain reference"


def test_a_quantity_that_is_always_measured_needs_cuts():
    with pytest.raises(ValueError, match=r"cuts lacks \['rate'\]"):
        dataclasses.replace(DEFAULT, cuts={key: value for key, value in DEFAULT.cuts.items() if key != "rate"})


def test_the_default_cannot_tell_volume_without_a_reference():
    found = label(make_prosody(), DEFAULT, gender="female")["volume"]
    assert found == Label(None, -26.0, "dBFS", "loudness", None, "no reference", None)
    assert label(make_prosody(loudness=-20.0), DEFAULT, reference(120))["volume"].level == "loud"
    assert label(make_prosody(loudness=-32.0), DEFAULT, reference(120))["volume"].level == "quiet"


@pytest.mark.parametrize(
    ("changes", "slots", "reason"),
    [
        ({"speech_seconds": 0.2}, LEVELS, "too short"),
        ({"snr_db": 3.0}, LEVELS, "noisy"),
        ({"voiced_seconds": 0.0}, ("pitch", "tone", "range"), "unvoiced"),
        ({"rate": None, "rate_error": None}, ("speed",), "not measured"),
        ({"contour": None}, ("tone",), "not measured"),
        ({"pitch_error": None}, ("pitch",), "not measured"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_has_its_reason(changes, slots, reason):
    labels = label(make_prosody(**changes), DEFAULT, reference(120))
    assert {slot for slot, found in labels.items() if found.level is None} == set(slots)
    assert {labels[slot].reason for slot in slots} == {reason}


@pytest.mark.parametrize("changes", [{"snr_db": None}, {"snr_db": 0.0, "hnr_db": 20.0}])
def test_a_noise_that_is_not_known_or_not_heard_is_no_reason(changes):
    assert label(make_prosody(**changes), DEFAULT, reference(120))["pitch"].level == "normal"


@pytest.mark.parametrize("tone", MOVEMENTS)
def test_every_movement_is_told(tone):
    found = label(make_prosody(contour=MOVEMENTS[tone]), DEFAULT)["tone"]
    assert (found.level, found.unit, found.basis) == (tone, "semitones", "speaker")


def test_the_value_of_a_tone_is_its_final_movement():
    values = {tone: label(make_prosody(contour=MOVEMENTS[tone]), DEFAULT)["tone"].value for tone in MOVEMENTS}
    assert values == {"falling": -5, "flat": -0.5, "rising": 6, "falling-rising": 5, "rising-falling": -6}


@pytest.mark.parametrize(
    ("tone", "final"),
    [("falling-rising", "rising"), ("rising-falling", "falling"), ("rising", "rising"), ("flat", "flat")],
)
def test_a_richer_tone_becomes_its_final_movement_where_it_is_not_allowed(tone, final):
    found = label(make_prosody(contour=MOVEMENTS[tone]), DEFAULT, levels=DEFAULT_DESCRIPTORS)
    assert set(found) == set(DEFAULT_DESCRIPTORS)
    assert found["tone"].level == final


def test_a_movement_between_fall_and_rise_fall_is_sure_where_both_are_falling():
    contour = (0.0, TONE_CUT, 0.0, -4.0, -8.0)  # its peak lies on the cut
    assert label(make_prosody(contour=contour), DEFAULT)["tone"].level is None
    merged = label(make_prosody(contour=contour), DEFAULT, levels={"tone": ("falling", "flat", "rising")})["tone"]
    assert merged.level == "falling" and merged.confidence > 0.99


def test_a_level_that_the_model_does_not_have_is_not_told():
    found = label(make_prosody(), DEFAULT, reference(120), levels={"pitch": ("low", "high")})["pitch"]
    assert (found.level, found.reason) == (None, "outside the schema")


@pytest.mark.parametrize(
    ("slot", "level", "reason"),
    [
        ("age", "young", "no measurement tells it"),
        ("arousal", "mid", "no measurement tells it"),
        ("pitch", "mid", "no measurement tells it: of pitch there are low, normal, high"),
        ("pitch", None, "no measurement tells it: of pitch there are low, normal, high"),
        ("tone", "falling-rising", "outside the schema: tone 'falling-rising' is none of the levels to choose from"),
    ],
)
def test_what_no_measurement_tells_is_neither_an_error_nor_contradicted(slot, level, reason):
    own = {**DEFAULT_DESCRIPTORS, "age": ("young", "old"), "arousal": ("low", "mid"), "pitch": ("low", "mid", "high")}
    verdicts = check({slot: level, "volume": "loud"}, make_prosody(loudness=-20.0), DEFAULT, reference(120), None, own)
    unknown = verdicts[slot]
    assert (unknown.verdict, unknown.reason, unknown.value) == ("can't tell", reason, None)
    assert verdicts["volume"].verdict == "agree"
    labels = label(make_prosody(190), DEFAULT, reference(120), levels=own)
    assert (labels["age"].level, labels["age"].reason) == (None, "no measurement tells it")
    assert labels["pitch"].level == "high"


def test_claims_are_judged_with_value_and_cuts():
    recording = make_prosody(172, loudness=-26.0)
    claims = {"pitch": "low", "volume": "normal"}
    verdicts = check(claims, recording, DEFAULT, reference(120))
    assert {slot: v.verdict for slot, v in verdicts.items()} == {"pitch": "contradict", "volume": "agree"}
    assert verdicts["pitch"].reason == "172 Hz, where low ends at 110 Hz for this speaker"
    assert verdicts["pitch"].cuts == pytest.approx((110.04, 130.86), abs=0.01)
    assert (
        verdicts["volume"].reason == "-26.0 dBFS, where normal lies between -29.0 dBFS and -23.0 dBFS for this speaker"
    )
    assert check({"pitch": "high"}, recording, DEFAULT, gender="female")["pitch"].reason.endswith(
        "where high begins at 229 Hz by what is usual for the gender"
    )


@pytest.mark.parametrize(
    ("semitones_above", "verdicts"),
    [
        (3.0, {"low": "contradict", "normal": "contradict", "high": "agree"}),
        (1.9, {"low": "contradict", "normal": "can't tell", "high": "can't tell"}),
        (1.1, {"low": "contradict", "normal": "can't tell", "high": "can't tell"}),
        (0.0, {"low": "contradict", "normal": "agree", "high": "contradict"}),
        (-1.6, {"low": "can't tell", "normal": "can't tell", "high": "contradict"}),
    ],
)
def test_a_claim_is_contradicted_only_beyond_the_error(semitones_above, verdicts):
    recording = make_prosody(pitch=semitones(120) + semitones_above, pitch_error=0.5)
    speaker = reference(120, error=0.0)
    found = {claim: check({"pitch": claim}, recording, DEFAULT, speaker)["pitch"] for claim in LEVELS["pitch"]}
    assert {claim: verdict.verdict for claim, verdict in found.items()} == verdicts
    near = [verdict.reason for verdict in found.values() if verdict.verdict == "can't tell"]
    assert all(reason.startswith("near a cut: ") for reason in near)


def test_a_claim_about_what_was_not_measured_cannot_be_told():
    verdict = check({"pitch": "high"}, make_prosody(voiced_seconds=0.0, pitch=None), DEFAULT, reference(120))["pitch"]
    assert (verdict.verdict, verdict.value) == ("can't tell", None)
    assert verdict.reason == "unvoiced: 0.00 s of voice, where 0.1 s are needed"


def test_a_tone_is_judged_in_the_levels_of_the_claimant():
    recording = make_prosody(contour=MOVEMENTS["falling-rising"])
    assert check({"tone": "rising"}, recording, DEFAULT)["tone"].verdict == "contradict"
    verdict = check({"tone": "rising"}, recording, DEFAULT, levels=DEFAULT_DESCRIPTORS)["tone"]
    assert verdict.verdict == "agree"
    assert verdict.reason == (
        "the pitch falls by 4.0 semitones before it rises by 5.0: a falling-rising contour, where 2.0 semitones make "
        "a movement"
    )


ERRORS = st.floats(0, 3)
RECORDINGS = st.builds(
    make_prosody,
    st.floats(60, 500),
    pitch_error=ERRORS,
    loudness=st.floats(-60, 0),
    loudness_error=ERRORS,
    rate=st.floats(1, 12),
    rate_error=ERRORS,
    pitch_range=st.floats(0, 30),
    pitch_range_error=ERRORS,
    pitch_spread=st.floats(0, 30),
    pitch_spread_error=ERRORS,
    contour_error=ERRORS,
    contour=st.tuples(*[st.floats(-6, 6)] * 5),
    snr_db=st.none() | st.floats(0, 40),
    voiced_seconds=st.floats(0, 3),
)
SPEAKERS = st.none() | st.builds(reference, st.floats(70, 400), error=ERRORS)


@settings(deadline=None)
@given(
    RECORDINGS,
    SPEAKERS,
    st.sampled_from([None, "male", "female"]),
    st.sampled_from([LEVELS, DEFAULT_DESCRIPTORS]),
    st.sampled_from([0.0, 1.0, 2.0]),
)
def test_the_level_found_agrees_and_where_none_is_found_nothing_does(recording, speaker, gender, levels, margin):
    given_all = (recording, DEFAULT, speaker, gender, levels, margin)
    for slot, found in label(*given_all).items():
        verdicts = {level: check({slot: level}, *given_all)[slot] for level in levels[slot]}
        agreed = [level for level, verdict in verdicts.items() if verdict.verdict == "agree"]
        if found.level is None:
            assert not agreed and found.confidence is None and found.reason is not None
            assert any(verdict.verdict == "can't tell" for verdict in verdicts.values())
        else:
            assert found.level in agreed and found.reason is None
            assert {0.0: 0.0, 1.0: 0.68, 2.0: 0.95}[margin] <= found.confidence <= 1
        assert all(verdict.value == found.value for verdict in verdicts.values())


@settings(deadline=None)
@given(st.tuples(*[st.floats(-6, 6)] * 5))
def test_a_contour_has_one_shape_and_its_mirror_the_mirrored_one(contour):
    mirror = {"falling": "rising", "rising": "falling", "flat": "flat", None: None}
    mirror |= {"falling-rising": "rising-falling", "rising-falling": "falling-rising"}
    for levels in ({"tone": LEVELS["tone"]}, {"tone": ("falling", "flat", "rising")}):
        found = label(make_prosody(contour=contour), DEFAULT, levels=levels)["tone"]
        mirrored = label(make_prosody(contour=tuple(-point for point in contour)), DEFAULT, levels=levels)["tone"]
        assert mirrored.level == mirror[found.level] and mirrored.value == pytest.approx(-found.value)


def test_a_small_movement_is_flat_only_beyond_the_contours_error():
    for rise, level in ((TONE_CUT - 0.5 - 0.01, "flat"), (TONE_CUT - 0.5 + 0.01, None)):
        contour = (0.0, rise / 4, rise / 2, rise * 3 / 4, rise)
        assert label(make_prosody(contour=contour, contour_error=0.5), DEFAULT)["tone"].level == level


@pytest.mark.parametrize(
    ("slot", "changes"),
    [
        ("pitch", {"pitch": semitones(120) + 2.5}),
        ("volume", {"loudness": -22.0}),
        ("speed", {"rate": 6.6}),
        ("range", {"pitch_spread": 7.0}),
    ],
)  # fmt: skip
def test_every_quantity_has_an_error_of_its_own(slot, changes):
    """Each value lies 1 beyond its upper cut."""
    quantity = next(iter(changes))
    found = {
        error: label(make_prosody(**changes, **{f"{quantity}_error": error}), DEFAULT, reference(120, error=0.0))[slot]
        for error in (0.99, 1.01)
    }
    assert found[0.99].level == LEVELS[slot][-1] and found[1.01].reason == "near a cut"


def test_a_new_speakers_reference_is_the_median_of_a_few_recordings():
    found = DEFAULT.reference_of([make_prosody(100), make_prosody(110), make_prosody(400)])
    others = {"loudness": -26.0, "rate": 5.0, "pitch_range": 6.0, "pitch_spread": 4.0}
    assert found.medians == {"pitch": semitones(110), **others}
    assert found.errors["pitch"] == pytest.approx(1.2533 * 1.5 / math.sqrt(3), abs=1e-4)
    many = DEFAULT.reference_of([make_prosody(110)] * 27)
    assert many.errors["pitch"] == pytest.approx(found.errors["pitch"] / 3)


def test_a_reference_leaves_what_three_recordings_do_not_tell_to_the_gender():
    recordings = [make_prosody(120, rate=6.5), make_prosody(120, rate=6.5), make_prosody(120, rate=6.5)]
    recordings[2] = dataclasses.replace(recordings[2], voiced_seconds=0.0)
    found = DEFAULT.reference_of(recordings)
    assert set(found.medians) == {"loudness", "rate"}
    labels = label(make_prosody(190), DEFAULT, found, "male")
    assert (labels["pitch"].basis, labels["speed"].basis) == ("gender", "speaker")


@pytest.mark.parametrize("recordings", [[], [make_prosody()] * 2, [make_prosody(snr_db=0.0)] * 5])
def test_a_reference_from_too_little_is_refused(recordings):
    with pytest.raises(ValueError, match=rf"of {len(recordings)} recordings.*at least 3 recordings"):
        DEFAULT.reference_of(recordings)


def test_a_speaker_whom_the_calibration_knows_is_found_by_name():
    calibration = dataclasses.replace(DEFAULT, speakers={"anna": reference(170)})
    assert label(make_prosody(172), calibration, "anna", "male")["pitch"].level == "normal"
    assert label(make_prosody(172), calibration, "nobody", "male")["pitch"].basis == "gender"


def test_cuts_relative_to_the_gender_use_no_speakers_reference():
    calibration = dataclasses.replace(DEFAULT, relative_to="gender")
    assert label(make_prosody(190), calibration, reference(190), "male")["pitch"].basis == "gender"


FULL = dataclasses.replace(
    DEFAULT,
    corpus="überkorpus",
    split="train",
    num_utterances=90,
    num_speakers=3,
    left_out=("ben",),
    quantiles=dict.fromkeys(DEFAULT.cuts, (1 / 3, 2 / 3)),
    speakers={"anna": reference(201.7), "carl": Reference({"rate": 0.1 + 0.2}, {"rate": 0.0})},
)


@pytest.mark.parametrize("calibration", [DEFAULT, FULL], ids=["default", "full"])
def test_a_saved_calibration_is_read_back_equal(calibration, tmp_path):
    path = tmp_path / "new" / "calibration.json"
    calibration.save(path)
    assert Calibration.load(path) == calibration
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    assert [file.name for file in path.parent.iterdir()] == ["calibration.json"]
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 1


def changed(**changes):
    return {**json.loads(json.dumps(FULL.to_dict())), **changes}


def without(key):
    return {name: value for name, value in changed().items() if name != key}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (changed(version=2), "version 2: it was made by a newer xser; this one knows 1"),
        (changed(version=0), "version 0, which does not exist"),
        (changed(version="1"), "version is '1'"),
        (changed(version=True), "version is True"),
        (without("version"), "version is None"),
        (changed(date="today"), r"unknown keys \['date'\]"),
        (without("spreads"), r"lacks \['spreads'\]"),
        ([], r"calibration is \[\]; it must be an object"),
        (changed(corpus=3), "corpus is 3"),
        (changed(num_utterances=-1), "num_utterances is -1"),
        (changed(num_speakers=1.5), "num_speakers is 1.5"),
        (changed(relative_to="accent"), "relative_to is 'accent'"),
        (changed(left_out="ben"), "left_out is 'ben'; it must be a list"),
        (changed(cuts={**FULL.cuts, "pitch": [1, -1]}), r"cuts\['pitch'\] is \(1, -1\); the first must be below"),
        (changed(cuts={**FULL.cuts, "pitch": [1]}), r"cuts\['pitch'\] is \(1,\); it must be two numbers"),
        (changed(cuts={**FULL.cuts, "pitch": [None, 1]}), r"cuts\['pitch'\] is None; it must be a finite number"),
        (changed(cuts={**FULL.cuts, "pitch": 1}), r"cuts\['pitch'\] is 1; it must be a list"),
        (changed(cuts={**FULL.cuts, "hue": [0, 1]}), r"cuts has unknown keys \['hue'\]"),
        (changed(quantiles={**FULL.quantiles, "rate": [0.5, 2]}), r"quantiles\['rate'\] is 2; it must lie between"),
        (changed(spreads={**FULL.spreads, "pitch": -1}), r"spreads\['pitch'\] is -1"),
        (changed(speakers={"anna": {"medians": {}}}), r"speakers\['anna'\] lacks \['errors'\]"),
        (changed(everyone={"medians": {"hue": 1}, "errors": {"hue": 1}}), r"reference has unknown keys \['hue'\]"),
        (changed(everyone={"medians": {"rate": 1}, "errors": {}}), r"errors are of \[\]; they must be of \['rate'\]"),
        (changed(everyone={"medians": {"rate": "5"}, "errors": {"rate": 1}}), "reference of rate is '5'"),
        (changed(everyone={"medians": {"rate": 5}, "errors": {"rate": -1}}), "error of the reference of rate is -1"),
    ],
)  # fmt: skip
def test_a_calibration_that_is_not_right_is_refused_by_name(values, named, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=named) as refusal:
        Calibration.load(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b'{"version": 1, "version": 1}', "stands twice"),
        (json.dumps(changed(spreads={**FULL.spreads, "pitch": math.nan})).encode(), r"spreads\['pitch'\] is nan"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_by_name(text, named, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=named) as refusal:
        Calibration.load(path)
    assert str(path) in str(refusal.value)


def test_saving_over_a_calibration_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "calibration.json"
    DEFAULT.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        FULL.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("ours", "theirs"), [("female", "F"), ("F", "female"), ("male", " Man "), ("M", "male")])
def test_a_gender_is_found_however_it_is_spelled(ours, theirs):
    calibration = dataclasses.replace(DEFAULT, genders={ours: reference(190), "other": reference(400)})
    assert label(make_prosody(190), calibration, gender=theirs)["pitch"].basis == "gender"
    assert label(make_prosody(190), calibration, gender="nonbinary")["pitch"].basis == "corpus"
    assert Calibration.from_dict(calibration.to_dict()).genders.keys() == {ours, "other"}


@pytest.mark.parametrize(
    ("changes", "slot"),
    [
        ({"pitch_hz": 600.0, "pitch": semitones(600)}, "pitch"),
        ({"pitch_hz": 51.0, "pitch": semitones(51)}, "tone"),
        ({"rate": 0.3}, "speed"),
        ({"rate": 14.0}, "speed"),
    ],
)
def test_what_no_voice_does_is_not_told(changes, slot):
    found = label(make_prosody(**changes), DEFAULT, reference(120))[slot]
    assert (found.level, found.reason) == (None, "beyond what voices do")
    verdict = check({slot: LEVELS[slot][-1]}, make_prosody(**changes), DEFAULT, reference(120))[slot]
    assert verdict.verdict == "can't tell" and "where voices lie between" in verdict.reason
