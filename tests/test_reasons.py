"""The reason of every verdict says what was measured and decides, and where contradicted, what contradicts."""

import dataclasses
import re

import pytest
from test_levels import DEFAULT, MOVEMENTS, make_prosody, reference, semitones

from xser.calibration_xser import Reference
from xser.levels_xser import LEVELS, REASONS, check

SPEAKER = reference(120)
# slot → (what of the measurements, where the lower and the upper cut lie, how a value is said)
CUTS = {
    "pitch": ("pitch", (semitones(120) - 1.5, semitones(120) + 1.5), lambda value: f"{2 ** (value / 12):.0f} Hz"),
    "volume": ("loudness", (-29.0, -23.0), lambda value: f"{value:.1f} dBFS"),
    "speed": ("rate", (4.4, 5.6), lambda value: f"{value:.1f} syllables/s"),
    "range": ("pitch_spread", (2.0, 6.0), lambda value: f"{value:.1f} semitones"),
}
MOVES = {
    "falling": "the pitch falls by 5.0 semitones from start to end: a falling contour",
    "flat": "the pitch moves by -0.5 semitones from start to end: a flat contour",
    "rising": "the pitch rises by 6.0 semitones from start to end: a rising contour",
    "falling-rising": "the pitch falls by 4.0 semitones before it rises by 5.0: a falling-rising contour",
    "rising-falling": "the pitch rises by 5.0 semitones before it falls by 6.0: a rising-falling contour",
}
LACKS = {
    "too short": ({"speech_seconds": 0.2}, "0.20 s of speech, where 0.3 s are needed", LEVELS),
    "noisy": ({"snr_db": 3.0}, "the speech is 3.0 dB above the noise, where 6.0 dB are needed", LEVELS),
    "unvoiced": (
        {"voiced_seconds": 0.0},
        "0.00 s of voice, where 0.1 s are needed",
        ("pitch", "tone", "range"),
    ),
    "not measured": ({"rate": None}, "no syllable was found in 3.00 s of speech", ("speed",)),
    "beyond what voices do": (
        {"pitch_hz": 612.0},
        "612 Hz, where voices lie between 55 Hz and 550 Hz",
        ("pitch", "tone", "range"),
    ),
    "transcript does not fit": (
        {"text_rate": 60.2, "text_rate_error": 2.0, "text_fits": False},
        "the transcript has 60.2 syllables a second of speech, the recording 5.0",
        ("speed",),
    ),
}


def judged(slot: str, claim: str, prosody, speaker=SPEAKER):
    return check({slot: claim}, prosody, DEFAULT, speaker)[slot]


@pytest.mark.parametrize("slot", CUTS)
@pytest.mark.parametrize("place", ["below", "between", "above"])
def test_levels_say_the_value_and_where_the_claimed_level_begins_and_ends(slot, place):
    quantity, (lower, upper), said = CUTS[slot]
    value = {"below": lower - 1.2, "between": (lower + upper) / 2, "above": upper + 1.2}[place]
    true = dict(zip(("below", "between", "above"), LEVELS[slot], strict=True))[place]
    for claim, extent in zip(
        LEVELS[slot],
        (f"ends at {said(lower)}", f"lies between {said(lower)} and {said(upper)}", f"begins at {said(upper)}"),
        strict=True,
    ):
        verdict = judged(slot, claim, make_prosody(**{quantity: value}))
        assert verdict.verdict == ("agree" if claim == true else "contradict")
        assert verdict.reason == f"{said(value)}, where {claim} {extent} for this speaker"


@pytest.mark.parametrize("slot", CUTS)
def test_near_a_cut_they_say_how_well_the_value_or_what_is_usual_is_known(slot):
    quantity, (_, upper), said = CUTS[slot]
    unit = {"pitch": "semitones", "volume": "dB", "speed": "syllables/s", "range": "semitones"}[slot]
    for own, usual, begins, ends in (
        (0.4, 0.0, "near a cut", f"; measured to ± 0.4 {unit}"),
        (0.01, 0.4, "uncertain reference", f"; what is usual is known to ± 0.4 {unit}"),
    ):
        speaker = Reference(SPEAKER.medians, dict.fromkeys(SPEAKER.medians, usual))
        prosody = make_prosody(**{quantity: upper + 0.1, f"{quantity}_error": own})
        for claim in LEVELS[slot][1:]:
            verdict = judged(slot, claim, prosody, speaker)
            assert verdict.verdict == "can't tell"
            assert verdict.reason.startswith(f"{begins}: {said(upper + 0.1)}, where {claim} ")
            assert verdict.reason.endswith(ends)


@pytest.mark.parametrize("tone", MOVES)
@pytest.mark.parametrize("claim", LEVELS["tone"])
def test_tones_say_the_movement_that_agrees_or_contradicts(tone, claim):
    verdict = judged("tone", claim, make_prosody(contour=MOVEMENTS[tone]))
    assert verdict.verdict == ("agree" if claim == tone else "contradict")
    assert verdict.reason == f"{MOVES[tone]}, where 2.0 semitones make a movement"


@pytest.mark.parametrize("claim", ["falling", "rising-falling"])
def test_a_tone_that_cannot_be_told_says_how_well_it_is_measured(claim):
    verdict = judged("tone", claim, make_prosody(contour=(0.0, 1.0, 2.3, -4.0, -9.0), contour_error=0.7))
    assert verdict.verdict == "can't tell"
    assert verdict.reason == (
        "near a cut: the pitch rises by 2.3 semitones before it falls by 11.3: a rising-falling contour, where 2.0 "
        "semitones make a movement; measured to ± 0.7 semitones"
    )


@pytest.mark.parametrize("reason", LACKS)
def test_what_was_not_told_says_what_was_lacking(reason):
    changes, words, slots = LACKS[reason]
    for slot in slots:
        for claim in LEVELS[slot]:
            verdict = judged(slot, claim, make_prosody(**changes))
            assert (verdict.verdict, verdict.reason) == ("can't tell", f"{reason}: {words}")


def test_without_a_reference_the_value_is_said():
    speaker = Reference({}, {})
    calibration = dataclasses.replace(DEFAULT, genders={}, everyone=Reference({}, {}))
    for slot, (quantity, _, said) in CUTS.items():
        prosody = make_prosody()
        for claim in LEVELS[slot]:
            verdict = check({slot: claim}, prosody, calibration, speaker)[slot]
            value = said(getattr(prosody, quantity))
            assert verdict.reason == f"no reference: {value}, and nothing says what is usual for this speaker"


def test_every_verdict_that_cannot_be_told_begins_with_one_of_the_reasons():
    for changes, _, _ in LACKS.values():
        for slot, levels in LEVELS.items():
            verdict = judged(slot, levels[0], make_prosody(**changes))
            if verdict.verdict == "can't tell":
                assert re.match("|".join(map(re.escape, REASONS)), verdict.reason)
