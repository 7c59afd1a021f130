"""Emphasis: what stands out in pitch, level or length, and nothing else."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.descriptors.align import Word, align
from xser.descriptors.emphasis import LIMIT, MARGIN, emphasised, prominence
from xser.prosody_xser import Prosody, measure

TEXT = ["mama", "nana", "lala", "rara", "wawa"]  # alike, so that they are as long
BASE, LEVEL, FRAMES = 84.0, -30.0, 30  # semitones re 1 Hz (128 Hz), dBFS, frames a word


def spoken(words=TEXT, pitch=(), level=(), frames=(), fall=0.0, voiced=True):
    """Prosody and words of an utterance; `pitch`, `level` and `frames` change words by their index."""
    pitch, level, frames = dict(pitch), dict(level), dict(frames)
    f0, decibels, times = [], [], []
    for index, word in enumerate(words):
        length = frames.get(index, FRAMES)
        times.append((word, len(f0) / 100, (len(f0) + length) / 100))
        track = np.asarray(pitch.get(index, 0.0)) + np.zeros(length)
        f0 += list(BASE + track - fall * (len(f0) + np.arange(length)) / 100)
        decibels += [LEVEL + level.get(index, 0.0)] * length
    hertz = 2 ** (np.array(f0) / 12) if voiced else np.full(len(f0), np.nan)
    known = {
        "f0": hertz.astype(np.float32),
        "level": np.array(decibels, np.float32),
        "speech": np.ones(len(f0), bool),
        "pitch": BASE if voiced else None,
    }
    return Prosody(**{**dict.fromkeys(field.name for field in fields(Prosody)), **known}), [
        Word(*t, 1.0) for t in times
    ]


def test_words_that_are_alike_have_no_prominence():
    prosody, words = spoken()
    assert prominence(prosody, words) == pytest.approx(np.zeros(5), abs=1e-3)
    assert emphasised(prosody, words) == []


def test_a_cue_counts_in_steps_and_each_adds_to_the_others():
    higher = prominence(*spoken(pitch={2: 3.0}))
    louder = prominence(*spoken(level={2: 6.0}))
    longer = prominence(*spoken(frames={2: round(FRAMES * 2**0.7)}))
    assert higher == pytest.approx([0, 0, 3, 0, 0], abs=1e-2)
    assert louder == pytest.approx([0, 0, 3, 0, 0], abs=1e-2)
    assert longer == pytest.approx([0, 0, 1, 0, 0], abs=5e-2)
    both = prominence(*spoken(pitch={2: 3.0}, level={2: 6.0}))
    assert both == pytest.approx(higher + louder, abs=1e-2)


def test_a_cue_that_is_out_of_all_measure_is_capped():
    """An octave error alone emphasises nothing."""
    assert prominence(*spoken(pitch={2: 12.0}))[2] == pytest.approx(5, abs=1e-2)
    assert emphasised(*spoken(pitch={2: 12.0})) == []


def test_none_one_or_several_words_are_told_in_their_order():
    stress = {"pitch": {1: 4.0}, "level": {1: 8.0}}
    assert emphasised(*spoken(**stress)) == ["nana"]
    twice = {"pitch": {1: 4.0, 3: 4.5}, "level": {1: 8.0, 3: 7.0}}
    assert emphasised(*spoken([*TEXT, "mana", "nama"], **twice)) == ["nana", "rara"]


def test_the_start_of_a_falling_line_is_not_emphasised():
    assert abs(prominence(*spoken(fall=4.0))[0]) < 1.5  # it lies 5 semitones above the end
    assert np.argmax(prominence(*spoken(fall=4.0, pitch={3: 3.0}))) == 3


def test_a_rise_to_the_end_is_no_stress_but_one_that_falls_back_is():
    rise = np.linspace(0, 7, FRAMES)
    assert prominence(*spoken(pitch={4: rise}))[4] < 1.5
    assert prominence(*spoken(pitch={4: rise[::-1]}))[4] > 4
    assert prominence(*spoken(pitch={4: 5.0}))[4] == pytest.approx(0, abs=1e-2)


def test_length_is_relative_to_what_the_word_needs():
    words = ["no", "extraordinarily", "no", "no"]
    prosody, found = spoken(words, frames={0: 15, 1: 90, 2: 15, 3: 15})
    assert abs(prominence(prosody, found)[1]) < 0.5


@pytest.mark.parametrize("semitones", [-12.0, 7.0])
@pytest.mark.parametrize("decibels", [-20.0, 10.0])
def test_another_voice_and_another_gain_change_nothing(semitones, decibels):
    prosody, words = spoken(pitch={1: 3.0, 3: -2.0}, level={1: 5.0, 2: -3.0})
    other = replace(
        prosody, f0=prosody.f0 * np.float32(2 ** (semitones / 12)), level=prosody.level + np.float32(decibels)
    )
    assert prominence(other, words) == pytest.approx(prominence(prosody, words), abs=1e-3)


def test_near_the_limit_it_cannot_be_told():
    for steps, expected in ((LIMIT - MARGIN - 0.1, []), (LIMIT, None), (LIMIT + MARGIN + 0.1, ["lala"])):
        assert emphasised(*spoken(pitch={2: steps / 2}, level={2: steps})) == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_words_to_compare_cannot_be_told(count):
    prosody, words = spoken(TEXT[:count] or TEXT, pitch={1: 4.0}, level={1: 8.0})
    assert emphasised(prosody, words[:count]) is None
    assert prominence(prosody, words[:count]).shape == (count,)


def test_a_whisper_cannot_be_told_and_an_unvoiced_word_is_judged_by_level():
    assert emphasised(*spoken(voiced=False, level={1: 20.0})) is None
    prosody, words = spoken(level={1: 6.0})
    prosody.f0[FRAMES : 2 * FRAMES] = np.nan
    assert prominence(prosody, words)[1] == pytest.approx(3, abs=1e-2)


def test_in_much_noise_it_cannot_be_told():
    prosody, words = spoken(pitch={1: 4.0}, level={1: 8.0})
    assert emphasised(replace(prosody, snr_db=20.0), words) == ["nana"]
    assert emphasised(replace(prosody, snr_db=3.0), words) is None


def test_a_word_without_speech_has_no_prominence_and_spoils_no_other():
    prosody, words = spoken(pitch={1: 4.0}, level={1: 8.0})
    prosody.speech[3 * FRAMES : 4 * FRAMES] = False
    scores = prominence(prosody, words)
    assert np.isnan(scores[3]) and np.isfinite(np.delete(scores, 3)).all()
    assert emphasised(prosody, words) == ["nana"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-0.5, 2.5), st.floats(0, 1)), max_size=6), st.integers(0, 9))
def test_any_times_give_a_score_a_word_and_words_of_the_list(spans, seed):
    rng = np.random.default_rng(seed)
    prosody, _ = spoken()
    prosody.f0[rng.random(len(prosody.f0)) < 0.5] = np.nan
    prosody.speech[rng.random(len(prosody.f0)) < 0.5] = False
    words = [Word(f"w{i}", start, start + length, 0.5) for i, (start, length) in enumerate(sorted(spans))]
    assert prominence(prosody, words).shape == (len(words),)
    found = emphasised(prosody, words)
    assert found is None or set(found) <= {word.text for word in words}


def test_a_louder_and_higher_word_is_found_in_a_recording():
    def vowel(hertz, amplitude):
        time = np.arange(4_800) / 16_000
        ramp = np.minimum(1, 20 * np.minimum(time, time[::-1]))
        return amplitude * ramp * sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))

    gap = np.zeros(3_200)
    parts = [
        gap,
        *(part for stressed in (0, 0, 1, 0) for part in (vowel((120, 155)[stressed], (0.05, 0.15)[stressed]), gap)),
    ]
    wave = (np.concatenate(parts) + np.random.default_rng(0).normal(0, 1e-4, sum(map(len, parts)))).astype(np.float32)
    assert emphasised(measure(wave), align(wave, "Oh, oh, eau, oh.")) == ["eau"]


def test_the_stressed_word_of_synthetic_sentences_is_found():
    pytest.importorskip("espeakng_loader", reason="the extra espeak is not installed")
    from xser.corpora import espeak

    hits = []
    for utterance in (espeak.draw(0, "validation", index) for index in range(16)):
        if utterance.emphasis is not None:
            wave = espeak.render(utterance)
            scores = prominence(measure(wave), align(wave, utterance.text))
            hits.append(int(np.nanargmax(scores)) == utterance.emphasis)
    assert len(hits) >= 8 and np.mean(hits) >= 0.85
