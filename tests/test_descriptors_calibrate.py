"""Cuts come from a training split, relative to each speaker, and never from the speakers who are left out."""

import dataclasses
import math

import numpy as np
import pytest

from xser.calibration_xser import Calibration
from xser.descriptors.calibrate import calibrate
from xser.levels_xser import label
from xser.prosody_xser import Prosody

USUAL = {"anna": 200.0, "beth": 220.0, "cleo": 210.0, "dan": 110.0, "ed": 120.0, "finn": 130.0}  # Hz
OFFSETS = np.arange(-4.0, 5.0)  # semitones of a speaker's nine recordings about their median


def semitones(hertz):
    return 12 * math.log2(hertz)


def make_prosody(pitch, offset=0.0):
    """Clear speech at `pitch` semitones, `offset` of which sets the other quantities too; measured exactly."""
    return Prosody(
        duration=3.5, speech_seconds=3.0, voiced_seconds=2.0,
        f0=np.full(350, np.nan), strength=np.zeros(350), level=np.full(350, -60.0), speech=np.zeros(350, bool),
        snr_db=30.0, pitch=pitch, pitch_error=0.0, pitch_hz=2 ** (pitch / 12), pitch_range=8.0 + offset,
        pitch_range_error=0.0, loudness=-30.0 + offset, loudness_error=0.0, rate=5.0 + 0.1 * offset, rate_error=0.0,
        contour=None, contour_error=None, pauses=0, pause_seconds=0.0, jitter=None, shimmer=None, hnr_db=None,
        pitch_spread=6.0 + offset, pitch_spread_error=0.0,
    )  # fmt: skip


def measurements(speakers=USUAL, offsets=OFFSETS):
    return [
        (make_prosody(semitones(hertz) + offset, offset), speaker, "female" if hertz > 160 else "male")
        for speaker, hertz in speakers.items()
        for offset in offsets
    ]


def with_transcripts(rows, twice=2.0):
    """The same, with a rate by the transcript that is twice the other."""
    return [
        (dataclasses.replace(prosody, text_rate=twice * prosody.rate, text_rate_error=0.0), *names)
        for prosody, *names in rows
    ]


CALIBRATION = calibrate(measurements(), "made-up", "train")


def test_cuts_are_tertiles_of_what_is_relative_to_the_speaker():
    expected = np.quantile(np.tile(OFFSETS, 6), (1 / 3, 2 / 3))
    assert CALIBRATION.cuts["pitch"] == pytest.approx(expected)
    assert CALIBRATION.cuts["loudness"] == pytest.approx(expected)
    assert CALIBRATION.cuts["rate"] == pytest.approx(0.1 * expected)
    assert CALIBRATION.spreads["pitch"] == pytest.approx(1.4826 * 2)  # the median of 4 4 3 3 2 2 1 1 0 is 2


def test_every_speaker_has_the_median_and_its_error():
    assert list(CALIBRATION.speakers) == sorted(USUAL)
    for speaker, hertz in USUAL.items():
        reference = CALIBRATION.speakers[speaker]
        assert reference.medians["pitch"] == pytest.approx(semitones(hertz))
        assert reference.errors["pitch"] == pytest.approx(math.sqrt(math.pi / 2) * 1.4826 * 2 / 3)


def test_a_gender_stands_in_with_the_spread_of_its_speakers():
    women, men = [
        [semitones(USUAL[name]) for name in names] for names in (["anna", "beth", "cleo"], ["dan", "ed", "finn"])
    ]
    variance = (sum((x - np.mean(women)) ** 2 for x in women) + sum((x - np.mean(men)) ** 2 for x in men)) / (6 - 2)
    for gender, hertz in (("female", 210), ("male", 120)):
        reference = CALIBRATION.genders[gender]
        assert reference.medians["pitch"] == pytest.approx(semitones(hertz))
        assert reference.errors["pitch"] == pytest.approx(math.sqrt(variance * (1 + math.pi / 2 / 3)))
    everyone = CALIBRATION.everyone
    assert everyone.medians["pitch"] == pytest.approx((semitones(130) + semitones(200)) / 2)
    assert everyone.errors["pitch"] == pytest.approx(np.std([*women, *men], ddof=1) * math.sqrt(1 + math.pi / 2 / 6))


def test_provenance_is_kept_through_a_file(tmp_path):
    assert (CALIBRATION.corpus, CALIBRATION.split) == ("made-up", "train")
    assert (CALIBRATION.num_utterances, CALIBRATION.num_speakers, CALIBRATION.left_out) == (54, 6, ())
    assert CALIBRATION.quantiles["pitch"] == (1 / 3, 2 / 3) and CALIBRATION.relative_to == "speaker"
    CALIBRATION.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == CALIBRATION


def test_the_same_pitch_is_high_for_one_man_and_normal_for_another():
    calibration = calibrate(
        measurements({"low": 120, "mid": 140, "tall": 170}, np.tile(OFFSETS, 9)), "made-up", "train"
    )
    recording = make_prosody(semitones(172))
    assert label(recording, calibration, "low", "male")["pitch"].level == "high"
    assert label(recording, calibration, "tall", "male")["pitch"].level == "normal"


def test_what_is_high_for_a_known_speaker_alone_is_not_told_of_a_stranger():
    recording = make_prosody(semitones(USUAL["dan"]) + 4)  # dan's voice is low among men
    assert label(recording, CALIBRATION, "dan")["pitch"].level == "high"
    for gender, basis in (("male", "gender"), (None, "corpus")):
        found = label(recording, CALIBRATION, gender=gender)["pitch"]
        assert (found.level, found.basis, found.reason) == (None, basis, "uncertain reference")
    assert label(make_prosody(semitones(USUAL["finn"]) + 4), CALIBRATION, gender="male")["pitch"].level == "high"


def test_a_third_of_the_training_recordings_gets_each_level():
    rows = measurements(offsets=np.linspace(-4, 4, 300))
    calibration = calibrate(rows, "made-up", "train")
    levels = [label(prosody, calibration, speaker, gender)["pitch"].level for prosody, speaker, gender in rows]
    shares = {level: levels.count(level) / len(rows) for level in ("low", "normal", "high", None)}
    near = calibration.speakers["anna"].errors["pitch"] / 8  # share of recordings that one side of a cut loses
    expected = {"low": 1 / 3 - near, "normal": 1 / 3 - 2 * near, "high": 1 / 3 - near, None: 4 * near}
    assert shares == pytest.approx(expected, abs=0.01)


def test_quantiles_can_be_chosen_for_each_quantity():
    pairs = {"pitch": (0.25, 0.75), "loudness": (0.1, 0.9), "rate": (0.2, 0.8), "pitch_range": (0.4, 0.6)}
    pairs |= {"text_rate": (0.3, 0.7), "pitch_spread": (0.35, 0.65)}
    calibration = calibrate(with_transcripts(measurements()), "made-up", "train", pairs)
    assert calibration.quantiles == pairs
    for quantity, pair in pairs.items():
        scale = {"rate": 0.1, "text_rate": 0.2}.get(quantity, 1)
        assert calibration.cuts[quantity] == pytest.approx(scale * np.quantile(np.tile(OFFSETS, 6), pair))
    assert calibrate(measurements(), "made-up", "train", (0.25, 0.75)).cuts["pitch"] == calibration.cuts["pitch"]


def test_speakers_left_out_change_nothing():
    rows = measurements() + [(make_prosody(semitones(500), 40.0), "loud", "female")] * 20
    calibration = calibrate(rows, "made-up", "train", leave_out=["loud"])
    assert calibration == dataclasses.replace(CALIBRATION, left_out=("loud",))


def test_speakers_left_out_must_be_known_to_be_out():
    with pytest.raises(ValueError, match=r"leave_out \['ann'\]: .*'anna', 'beth'"):
        calibrate(measurements(), "made-up", "train", leave_out=["ann"])
    with pytest.raises(ValueError, match="1 recordings have no speaker"):
        calibrate([*measurements(), (make_prosody(80), None, None)], "made-up", "train", leave_out=["anna"])


@pytest.mark.parametrize("split", ["train", "Train", "training", "train-clean-100", "train_other", "train.1"])
def test_training_splits_are_taken(split):
    assert calibrate(measurements(), "made-up", split).split == split


@pytest.mark.parametrize("split", ["test", "validation", "dev", "all", "trainer", "not-train", "", "train\n"])
def test_other_splits_are_refused_unless_asked_for_by_name(split):
    with pytest.raises(ValueError, match="is no training split"):
        calibrate(measurements(), "made-up", split)
    with pytest.raises(ValueError, match="is no training split"):
        calibrate(measurements(), "made-up", split, allow_split="another")


def test_another_split_is_calibrated_on_when_asked_for_by_name():
    assert calibrate(measurements(), "made-up", "all", allow_split="all").split == "all"


def test_recordings_of_unknown_speakers_do_not_move_the_cuts():
    strangers = [(make_prosody(semitones(300), 9.0), None, "female")] * 30
    calibration = calibrate([*measurements(), *strangers], "made-up", "train")
    assert calibration == dataclasses.replace(CALIBRATION, num_utterances=84)


def test_recordings_that_cannot_be_told_do_not_move_the_cuts():
    rows = measurements()
    noisy = [(dataclasses.replace(prosody, pitch=1.0, snr_db=0.0), *names) for prosody, *names in rows]
    calibration = calibrate([*rows, *noisy], "made-up", "train")
    assert calibration == dataclasses.replace(CALIBRATION, num_utterances=108)


def test_a_speaker_of_few_recordings_has_no_reference():
    rows = [*measurements(), *measurements({"gwen": 205.0}, [0.0, 1.0])]
    assert "gwen" not in calibrate(rows, "made-up", "train").speakers


def test_without_speakers_the_cuts_can_be_relative_to_gender_or_corpus():
    rows = [(prosody, None, gender) for prosody, _, gender in measurements()]
    with pytest.raises(ValueError, match=r"pitch could be told relative to the speaker in 0 of 54 .*30 are needed"):
        calibrate(rows, "made-up", "train")
    by_gender = calibrate(rows, "made-up", "train", relative_to="gender")
    assert set(by_gender.genders) == {"female", "male"} and not by_gender.speakers and not by_gender.everyone.medians
    assert label(make_prosody(semitones(190)), by_gender, "anna", "male")["pitch"].basis == "gender"
    by_corpus = calibrate(rows, "made-up", "train", relative_to="corpus")
    assert by_corpus.everyone.medians["pitch"] == pytest.approx(np.median([row[0].pitch for row in rows]))
    widths = [c.cuts["pitch"][1] - c.cuts["pitch"][0] for c in (CALIBRATION, by_gender, by_corpus)]
    assert widths[0] < widths[1] < widths[2]


def test_two_speakers_alone_stand_in_for_nobody():
    calibration = calibrate(measurements({"anna": 200, "beth": 200}, np.linspace(-4, 4, 20)), "made-up", "train")
    assert not calibration.genders and not calibration.everyone.medians
    assert label(make_prosody(semitones(200)), calibration, gender="female")["pitch"].reason == "no reference"


def test_too_few_recordings_are_refused_with_how_many_are_needed():
    with pytest.raises(ValueError, match=r"in 27 of 29 recordings, and 30 are needed, 3 or more of each speaker"):
        calibrate(measurements()[:29], "made-up", "train")
    rows = [(dataclasses.replace(prosody, rate=None), *names) for prosody, *names in measurements()]
    with pytest.raises(ValueError, match="rate could be told relative to the speaker in 0 of 54"):
        calibrate(rows, "made-up", "train")


def test_rates_by_transcript_and_by_signal_have_cuts_of_their_own():
    calibration = calibrate(with_transcripts(measurements()), "made-up", "train")
    assert calibration.cuts["rate"] == CALIBRATION.cuts["rate"]
    assert calibration.cuts["text_rate"] == pytest.approx([2 * cut for cut in CALIBRATION.cuts["rate"]])
    assert calibration.speakers["anna"].medians["text_rate"] == pytest.approx(10)


def test_too_few_transcripts_leave_the_signal_alone():
    rows = with_transcripts(measurements()[:20]) + measurements()[20:]
    calibration = calibrate(rows, "made-up", "train")
    assert calibration.to_dict() == CALIBRATION.to_dict() and "text_rate" not in calibration.cuts


def test_what_never_varies_is_refused():
    rows = [(dataclasses.replace(prosody, loudness=-20.0), *names) for prosody, *names in measurements()]
    with pytest.raises(ValueError, match=r"loudness: both quantiles .* lie at 0.0 from the speaker's median"):
        calibrate(rows, "made-up", "train")


@pytest.mark.parametrize("pair", [(0.6, 0.4), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0), (0.5,)])
def test_quantiles_that_make_no_three_levels_are_refused(pair):
    with pytest.raises(ValueError, match=r"quantiles of pitch are .*0 < lower < upper < 1"):
        calibrate(measurements(), "made-up", "train", pair)


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="relative_to is 'accent'"):
        calibrate(measurements(), "made-up", "train", relative_to="accent")
    with pytest.raises(ValueError, match=r"quantiles are given of \['pitch'\]"):
        calibrate(measurements(), "made-up", "train", {"pitch": (0.3, 0.6)})


def test_a_speaker_of_two_genders_is_refused():
    with pytest.raises(ValueError, match="speaker 'anna' is called female and male"):
        calibrate([*measurements(), (make_prosody(semitones(200)), "anna", "male")], "made-up", "train")
