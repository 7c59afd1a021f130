"""What the espeak corpus says of a voice can be measured in its sound, in every voice, relative to that voice."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
import soundfile

pytest.importorskip("espeakng_loader", reason="the espeak corpus needs pip install xser[espeak]")

from xser.audio_xser import load_audio
from xser.corpora import espeak, espeak_synthesis
from xser.corpora.espeak_voices import SEEN, UNSEEN

PLAIN = espeak.Utterance(
    id="plain",
    text="the manager in the lobby ignored our meeting",
    emotion="neutral",
    levels={"pitch": "normal", "volume": "normal", "speed": "normal", "tone": "flat"},
    emphasis=None,
    voice=SEEN[0],
    pitch=1.0,
    speed=1.0,
    volume=0.0,
    edges=(0.1, 0.1),
    noise_seed=0,
)
VOICES = pytest.mark.parametrize("voice", [*SEEN, *UNSEEN], ids=lambda voice: voice.name)


def spoken(voice, **levels) -> np.ndarray:
    return espeak.render(dataclasses.replace(PLAIN, voice=voice, levels={**PLAIN.levels, **levels}))


def pitch_track(wave: np.ndarray, window: int = 1_024, hop: int = 160) -> np.ndarray:
    """Semitones re 100 Hz of the voiced frames: the first strong peak of each frame's normalised autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), window)[::hop]
    loud = np.square(frames).mean(axis=1)
    shape = np.hanning(window)

    def autocorrelation(x):
        return np.fft.irfft(np.abs(np.fft.rfft(x, 2 * window)) ** 2)[..., :window]

    curves = autocorrelation((frames - frames.mean(axis=1, keepdims=True)) * shape)
    curves = curves / curves[:, :1] / (autocorrelation(shape) / autocorrelation(shape)[0])
    shortest, longest = 16_000 // 450, 16_000 // 45
    semitones = []
    for curve in curves[loud > 0.02 * np.percentile(loud, 95)][:, shortest:longest]:
        peaks = 1 + np.flatnonzero((curve[1:-1] >= curve[:-2]) & (curve[1:-1] >= curve[2:]))
        peaks = peaks[curve[peaks] > max(0.5, 0.87 * curve.max())]
        if len(peaks):
            semitones.append(12 * np.log2(16_000 / (shortest + peaks[0]) / 100))
    return np.array(semitones)


def body_and_end(wave: np.ndarray) -> tuple[float, float]:
    """Median pitch of the first two thirds and of the last tenth, in semitones."""
    track = pitch_track(wave)
    return float(np.median(track[: len(track) * 2 // 3])), float(np.median(track[-max(4, len(track) // 10) :]))


def rms_dbfs(wave: np.ndarray) -> float:
    speech = wave[1_600:-1_600]
    return 10 * np.log10(np.square(speech, dtype=np.float64).mean())


@VOICES
def test_pitch_levels_are_over_three_semitones_apart(voice):
    low, normal, high = (body_and_end(spoken(voice, pitch=level))[0] for level in ("low", "normal", "high"))
    assert normal - low > 3 and high - normal > 2.5


@VOICES
def test_tone_moves_the_end_and_leaves_the_rest(voice):
    bodies, ends = zip(*(body_and_end(spoken(voice, tone=t)) for t in ("falling", "flat", "rising")), strict=True)
    assert np.ptp(bodies) < 0.2
    falling, flat, rising = np.subtract(ends, bodies)
    assert falling < -3.5 and abs(flat) < 1.8 and rising - flat > 2.5


@VOICES
def test_volume_levels_are_nine_decibels_apart_and_nothing_clips(voice):
    waves = [spoken(voice, volume=level) for level in ("quiet", "normal", "loud")]
    assert np.diff([rms_dbfs(wave) for wave in waves]) == pytest.approx([9, 9], abs=0.2)
    assert max(np.abs(wave).max() for wave in waves) < 1


@VOICES
def test_speed_levels_are_over_a_quarter_apart(voice):
    slow, normal, fast = (len(spoken(voice, speed=level)) - 3_200 for level in ("slow", "normal", "fast"))
    assert slow / normal > 1.25 and normal / fast > 1.28


@VOICES
def test_an_emphasised_word_is_higher_and_louder(voice):
    plain, emphasised = (
        espeak.render(dataclasses.replace(PLAIN, voice=voice, emphasis=emphasis)) for emphasis in (None, 1)
    )
    manager = slice(1_600 + len(plain) // 10, 1_600 + len(plain) // 4)
    rest = slice(len(plain) // 2, len(plain) - 1_600)

    def gain(part):  # of the part against the rest, dB
        return [10 * np.log10(np.square(w[part]).mean() / np.square(w[rest]).mean()) for w in (plain, emphasised)]

    before, after = gain(manager)
    assert after - before > 3
    pitches = [np.median(pitch_track(wave[manager])) for wave in (plain, emphasised)]
    assert pitches[1] - pitches[0] > 1.5


def test_voices_differ_in_pitch_loudness_and_speed_by_more_than_a_level():
    hertz = [100 * 2 ** (body_and_end(spoken(voice))[0] / 12) for voice in SEEN]
    assert min(hertz) < 95 and max(hertz) > 200
    loudness = [rms_dbfs(spoken(voice)) for voice in SEEN]
    assert np.ptp(loudness) > 7.9
    assert np.ptp([voice.speed for voice in SEEN]) > 0.1


def test_the_same_utterance_sounds_the_same_whatever_was_spoken_before():
    for voice in (*SEEN, *UNSEEN):
        first = spoken(voice)
        espeak_synthesis.speak("something else", "en-us+f2")
        np.testing.assert_array_equal(first, spoken(voice))


def test_ctc_fits_the_fastest_utterances():
    """33 frames a second carry the characters, and a blank between equal neighbours."""
    for index in range(600):
        utterance = espeak.draw(0, "test", index)
        if utterance.levels["speed"] == "fast" and index % 5 == 0:
            text = utterance.text
            needed = len(text) + sum(a == b for a, b in itertools.pairwise(text))
            assert needed < 33 * len(espeak.render(utterance)) / 16_000


def test_stored_audio_is_16_khz_mono_flac_between_quiet_edges(tmp_path):
    row = espeak.load_espeak("test", limit=1, cache_dir=tmp_path)[0]
    info = soundfile.info(io.BytesIO(row["audio"]["bytes"]))
    assert (info.format, info.samplerate, info.channels, info.subtype) == ("FLAC", 16_000, 1, "PCM_16")
    wave = load_audio(row["audio"])
    assert len(wave) / 16_000 == pytest.approx(row["duration"])
    for edge in (wave[:800], wave[-800:]):
        assert -72 < 10 * np.log10(np.square(edge, dtype=np.float64).mean()) < -64


def test_an_unknown_voice_is_named():
    with pytest.raises(ValueError, match="'xx-nowhere' is not known"):
        espeak_synthesis.speak("hello", "xx-nowhere")
