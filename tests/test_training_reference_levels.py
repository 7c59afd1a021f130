"""Levels relative to a drawn profile are those that `verify` measures with the same recordings as its reference."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import SMALL
from test_levels import make_prosody
from test_verification import voice
from test_voices import flac

from xser.audio_xser import at_speed, load_audio
from xser.calibration_xser import Calibration, Reference
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.grammar_xser import EmotionDescription, LabelSchema
from xser.levels_xser import LEVELS, label
from xser.modeling_xser import XSERForEmotionDescription
from xser.prosody_xser import measure
from xser.rate_xser import with_text_rate
from xser.training.collator import XSERCollator
from xser.training.reference_levels import in_units_of_cuts, prosody_of, scalars_of, with_levels_of
from xser.training.voices import Voices
from xser.voice_measures_xser import NAMES, NUM_MEASURES, SIZES

SLOTS = ("pitch", "volume", "speed", "tone", "range")
SCHEMA = LabelSchema(("sad", "happy"), {slot: LEVELS[slot] for slot in SLOTS}, emphasis=False, transcript=True)
CUTS = Calibration.default()


@pytest.fixture
def calibration():
    """Cuts so near to each other that few recordings are in the middle."""
    cuts = {"pitch": (-0.1, 0.1), "loudness": (-0.05, 0.05), "rate": (-0.05, 0.05), "text_rate": (-0.05, 0.05)}
    return replace(CUTS, cuts={**CUTS.cuts, **cuts})


@pytest.mark.parametrize("text", [None, "nine of them came on Friday"])
@pytest.mark.parametrize("amplitude", [0.0, 0.1])
def test_relative_levels_of_the_scalars_are_those_of_the_whole_measurement(text, amplitude):
    prosody = measure(voice(180.0, 2.0, amplitude))
    again = prosody_of(scalars_of(prosody)[0], text, "en")
    reference = Reference(dict.fromkeys(CUTS.cuts, 4.0), dict.fromkeys(CUTS.cuts, 0.1))
    whole = label(with_text_rate(prosody, text, "en"), CUTS, reference, margin=0.0)
    found = label(again, CUTS, reference, margin=0.0)
    for slot in ("pitch", "volume", "speed", "range"):
        assert (found[slot].level, found[slot].reason) == (whole[slot].level, whole[slot].reason)
        assert found[slot].confidence == pytest.approx(whole[slot].confidence, abs=1e-4)
    assert any(each.level for each in found.values()) == (amplitude > 0)


def test_levels_move_with_the_reference_and_other_slots_stay():
    known = EmotionDescription({"pitch": "high", "tone": "rising"}, ("won",), "sad", "we won")
    prosody = make_prosody(200.0)
    found = {}
    for name, hertz in (("deep", 100.0), ("equal", 200.0), ("bright", 400.0)):
        reference = Reference({"pitch": 12 * np.log2(hertz)}, {"pitch": 0.0})
        found[name] = with_levels_of(known, prosody, CUTS, reference, SCHEMA)
    assert [each.levels["pitch"] for each in found.values()] == ["high", "normal", "low"]
    for each in found.values():
        assert each.levels["tone"] == "rising" and list(each.levels) == [s for s in SLOTS if s in each.levels]
        assert (each.emphasis, each.emotion, each.transcript) == (("won",), "sad", "we won")


def test_a_level_that_cannot_be_measured_is_not_taken_from_the_label():
    known = EmotionDescription({"pitch": "high", "volume": "loud"}, None, "sad")
    prosody = replace(make_prosody(200.0), pitch=None, pitch_error=None, pitch_hz=None)
    reference = Reference({"loudness": 0.0, "pitch": 90.0}, {"loudness": 0.0, "pitch": 0.0})
    found = with_levels_of(known, prosody, CUTS, reference, SCHEMA).levels
    assert "pitch" not in found and found["volume"] == "quiet"


@pytest.fixture
def taken(tiny_backbone_folders, tmp_path, monkeypatch, calibration):
    """A processor, rows, and their voices with levels measured at two speeds."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    descriptors = {slot: list(LEVELS[slot]) for slot in ("pitch", "volume", "speed")}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, speaker_reference=True, descriptors=descriptors, emphasis=False
    )
    hertz = (150.0, 90.0, 140.0, 160.0, 220.0)
    rows = [
        make_row(
            id=f"r{index}",
            audio=flac(voice(each, amplitude=each / 2_000)),
            text="we won",
            emotion="sad",
            descriptors={"pitch": "high"},
            speaker="a",
            language="en",
            corpus="mine",
        )
        for index, each in enumerate(hertz)
    ]
    rows = write_dataset(tmp_path / "rows.arrow", rows)
    return processor, rows, Voices(calibration=calibration).hear(model, processor, rows, (1.0, 1.25))


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_the_collator_learns_levels_relative_to_the_drawn_recordings(taken, calibration, speed):
    processor, rows, voices = taken
    collator = XSERCollator(processor, voices=voices, reference_probability=1.0, speeds=(speed,))
    played = {row["id"]: measure(at_speed(load_audio(row["audio"]), speed)) for row in rows}
    texts = {row["id"]: (row["text"], row["language"]) for row in rows}
    for name, prosody in played.items():
        assert voices.prosodies[name, speed].pitch == pytest.approx(prosody.pitch, abs=1e-4)
    seen = set()
    for ids in (("r1", "r2", "r3"), ("r2", "r3", "r4"), ("r1", "r3", "r4")):
        profile = voices.profile(ids, speed)
        reference = calibration.reference_of([with_text_rate(played[each], *texts[each]) for each in ids])
        measured = label(
            with_text_rate(played["r0"], *texts["r0"]), calibration, reference, levels=processor.descriptors, margin=0
        )
        found = collator.known({**rows[0], "task": "describe"}, profile, speed).levels
        assert found == {slot: each.level for slot, each in measured.items() if each.level is not None}
        seen.add(tuple(found.items()))
    assert len(seen) > 1  # the corpus's label is one and the same
    batch = collator.collate([{**rows[0], "task": "describe", "noise_seed": 5}])
    rng = np.random.default_rng([5, 1])
    assert float(rng.choice((speed,))) == speed
    drawn = collator.profile({**rows[0], "task": "describe"}, speed, rng)
    wanted = collator.known({**rows[0], "task": "describe"}, drawn, speed)
    indices = [processor.descriptors[slot].index(wanted.levels[slot]) for slot in processor.descriptors]
    assert batch["level_labels"].tolist() == [indices]


def test_without_a_reference_or_a_calibration_the_labels_stay(taken):
    processor, rows, voices = taken
    row = {**rows[0], "task": "describe"}
    assert XSERCollator(processor, voices=voices).known(row, None).levels == {}
    plain = replace(voices, calibration=None)
    assert XSERCollator(processor, voices=plain).known(row, voices.profile(["r1", "r2", "r3"])).levels == {
        "pitch": "high"
    }


def test_without_a_calibration_nothing_is_measured_for_levels(taken, tiny_backbone_folders):
    processor, rows, voices = taken
    model, _ = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, speaker_reference=True
    )
    plain = Voices().hear(model, processor, rows)
    assert plain.prosodies == {} and plain.profile(["r1", "r2", "r3"]).usual is None
    assert set(voices.prosodies) == {(identity, speed) for identity in rows["id"] for speed in (1.0, 1.25)}


@pytest.mark.parametrize(("corpus", "stays"), [("espeak", True), ("kokoro", True), ("mine", False), ("nemo", False)])
def test_levels_that_a_synthesiser_was_given_stay(taken, corpus, stays):
    processor, rows, voices = taken
    row = {**rows[0], "task": "describe", "corpus": corpus}
    found = XSERCollator(processor, voices=voices).known(row, voices.profile(["r1", "r2", "r3"])).levels
    assert (found == {"pitch": "high"}) is stays


def test_measures_that_levels_are_cut_from_are_in_units_of_the_cuts_and_others_stay():
    statistics = np.stack([np.arange(NUM_MEASURES), np.full(NUM_MEASURES, 7.0)]).astype(np.float32)
    found = in_units_of_cuts(statistics, CUTS)
    assert (found[0] == statistics[0]).all() and (statistics[1] == 7.0).all()
    changed = {NAMES[place]: float(found[1, place]) for place in np.flatnonzero(found[1] != 7.0)}
    expected = {"pitch_median": 1.5, "loudness": 3.0, "rate": 0.6, "pitch_range": 3.0, "pitch_spread": 2.0}
    assert changed == pytest.approx(expected)


def test_a_quantity_without_cuts_and_a_stream_of_fewer_measures_keep_their_statistics():
    without = {
        name: {k: v for k, v in getattr(CUTS, name).items() if k != "pitch_spread"} for name in ("cuts", "spreads")
    }
    found = in_units_of_cuts(np.zeros((2, NUM_MEASURES)), replace(CUTS, **without))
    assert found[1, NAMES.index("pitch_spread")] == 0 < found[1, NAMES.index("pitch_range")]
    assert in_units_of_cuts(np.zeros((2, SIZES[0])), CUTS).shape == (2, SIZES[0])
