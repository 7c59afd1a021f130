"""Word times: exact on sounds that are made for it, in order and within the recording on anything."""

from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BatchFeature

from xser.descriptors.align import AlignmentError, align, align_by_letters, split_words
from xser.descriptors.align_ctc import CTCAligner
from xser.descriptors.dtw import dtw
from xser.letters_xser import BUZZ, HISS, SONORANT, STOP, VOWEL, romanised, sounds

RATE = 16_000


def silence(seconds):
    return np.zeros(round(seconds * RATE))


def vowel(seconds, hertz=150):
    """A tone with harmonics below 1 kHz."""
    time = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6)) * 0.1


def hiss(seconds, seed=0):
    """Noise above 4 kHz, softer than a vowel."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(seconds * RATE)))
    spectrum[: round(len(spectrum) / 2)] = 0
    return np.fft.irfft(spectrum, round(seconds * RATE)) * 0.05


def recording(*parts):
    noise = np.random.default_rng(1).standard_normal(sum(map(len, parts))) * 1e-4
    return (np.concatenate(parts) + noise).astype(np.float32)


# ------------------------------------------------------------------ dynamic time warping


def cheapest(cost, stay, skip):
    """The same by recursion over all paths."""

    @cache
    def reach(t, p):
        if t == p == 0:
            return cost[0, 0]
        ways = [reach(t - 1, p - 1)] if t and p else []
        ways += [reach(t - 1, p) + stay[p]] if t else []
        ways += [reach(t, p - 1) + skip[p]] if p else []
        return min(ways) + cost[t, p]

    return reach(cost.shape[0] - 1, cost.shape[1] - 1)


@pytest.mark.parametrize("seed", range(60))
def test_dtw_finds_what_recursion_over_all_paths_finds(seed):
    rng = np.random.default_rng(seed)
    heard, expected = rng.integers(1, 9, 2)
    cost = rng.integers(0, 4, (heard, expected)) / 2 if seed % 2 else rng.random((heard, expected))  # ties, and none
    stay, skip = rng.random((2, expected)) * rng.integers(0, 2, (2, 1))
    path, total = dtw(cost, stay, skip)
    assert total == pytest.approx(cheapest(cost, stay, skip), abs=1e-9)
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [heard - 1, expected - 1]
    paid = cost[0, 0]
    for (t, p), (next_t, next_p) in pairwise(path.tolist()):
        assert (next_t - t, next_p - p) in ((1, 1), (1, 0), (0, 1))
        paid += cost[next_t, next_p] + (p == next_p) * stay[next_p] + (t == next_t) * skip[next_p]
    assert paid == pytest.approx(total, abs=1e-9)


def test_dtw_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"cost \(3, 4\).*stay \(3,\)"):
        dtw(np.zeros((3, 4)), np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="not empty"):
        dtw(np.zeros((0, 4)), np.zeros(4), np.zeros(4))


# ------------------------------------------------------------------ words and their sounds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("we won", ["we", "won"]),
        ('"No," she said … - (twice)!', ["No", "she", "said", "twice"]),
        ("don't  re-do\tit\n", ["don't", "re-do", "it"]),
        ("今天, 3点 ok", ["今", "天", "3", "点", "ok"]),
        ("नमस्ते!", ["नमस्ते"]),
        ("¿Qué?", ["Qué"]),
    ],
)
def test_words_are_split_without_the_punctuation_around_them(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize("text", ["", "  \n", "…", "— ! ?", "\u0301"])
def test_text_without_a_word_is_refused(text):
    with pytest.raises(ValueError, match="holds no word"):
        split_words(text)


@settings(deadline=None)
@given(st.text())
def test_splitting_loses_no_letter_and_no_digit(text):
    try:
        words = split_words(text)
    except ValueError:
        words = []
    assert "".join(c for word in words for c in word if c.isalnum()) == "".join(c for c in text if c.isalnum())
    assert all(word == word.strip() and word for word in words)


@settings(deadline=None)
@given(st.text())
def test_every_word_has_sounds_and_latin_letters_for_them(word):
    assert set(sounds(word)) <= {VOWEL, SONORANT, HISS, BUZZ, STOP} and sounds(word)
    assert all("a" <= char <= "z" for char in romanised(word))


@pytest.mark.parametrize(
    ("word", "latin"),
    [("Łódź", "lodz"), ("schön", "schon"), ("привет", "privet"), ("γειά", "geia"), ("ありがとう", "arigatou"),
     ("한국어", "hangugeo"), ("שלום", "salavama"), ("ﬁne", "fine"), ("don't", "dont")],
)  # fmt: skip
def test_letters_of_other_scripts_are_brought_to_latin_ones(word, latin):
    assert romanised(word) == latin


def test_letters_that_make_one_sound_count_once():
    assert sounds("shoot") == HISS + VOWEL + STOP
    assert sounds("Szczęście") == HISS + STOP + HISS + VOWEL + HISS + STOP + VOWEL
    assert sounds("funny") == HISS + VOWEL + SONORANT + VOWEL


# ------------------------------------------------------------------ by letters


def test_words_between_pauses_lie_where_they_sound():
    wave = recording(silence(0.2), vowel(0.3), silence(0.4), vowel(0.2), silence(0.15), vowel(0.4), silence(0.3))
    words = align(wave, "Oh, ma eau!")
    assert [word.text for word in words] == ["Oh", "ma", "eau"]
    expected = [(0.2, 0.5), (0.9, 1.1), (1.25, 1.65)]
    assert np.array([(word.start, word.end) for word in words]) == pytest.approx(np.array(expected), abs=0.031)


def test_a_hiss_tells_where_a_word_starts_or_ends_without_a_pause():
    sounds_of = [vowel(0.15), hiss(0.15), vowel(0.15), hiss(0.15, seed=1), hiss(0.1, seed=2), vowel(0.2)]
    words = align(recording(silence(0.1), *sounds_of, silence(0.1)), "as as oh")
    assert [word.start for word in words] == pytest.approx([0.1, 0.4, 0.8], abs=0.061)
    other = align(recording(silence(0.1), *sounds_of, silence(0.1)), "a sa so")
    assert [word.start for word in other] == pytest.approx([0.1, 0.25, 0.55], abs=0.061)
    assert min(word.confidence for word in words + other) > 0.5


def test_words_cover_where_they_are_known_to_be():
    """In one long vowel nothing else tells two words apart."""
    wave = recording(silence(0.1), vowel(1.0), silence(0.1))
    for anchors in ([(0.1, 0.2), (0.35, 0.9)], [(0.2, 0.7), (0.85, 1.0)]):
        first, second = align_by_letters(wave, ["oh", "ah"], anchors=np.array(anchors))
        assert anchors[0][1] <= first.end + 0.011 and second.start <= anchors[1][0] + 0.011


def test_gain_and_a_constant_offset_move_no_word():
    wave = recording(silence(0.2), vowel(0.3), silence(0.4), hiss(0.1), vowel(0.2), silence(0.2))
    times = [(word.start, word.end) for word in align(wave, "oh so")]
    for changed in (wave * 0.1, wave + 0.2):
        assert [(word.start, word.end) for word in align(changed, "oh so")] == times


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "strengths", "你", "Łódź", "42", "no,", "नमस्ते", "Mm"]), min_size=1, max_size=9),
    st.integers(200, 40_000),
    st.integers(0, 9),
)
def test_words_stand_in_order_within_any_recording(tokens, num_samples, seed):
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal(num_samples) * np.repeat(rng.random(-(-num_samples // 1600)) ** 4, 1600)[:num_samples]
    text = " ".join(tokens)
    try:
        words = align(wave, text)
    except AlignmentError:
        return
    assert [word.text for word in words] == split_words(text)
    times = [0.0, *(time for word in words for time in (word.start, word.end)), num_samples / RATE]
    assert times == sorted(times)
    assert all(0 <= word.confidence <= 1 for word in words)


def test_more_words_than_anybody_says_in_that_time_are_refused_with_both_numbers():
    wave = recording(silence(0.1), vowel(0.5), silence(0.1))
    with pytest.raises(AlignmentError, match=r"20 words of about 90 sounds do not fit into 0\.5\d s"):
        align(wave, "never " * 10 + "again " * 10)


@pytest.mark.parametrize("wave", [np.zeros(RATE), np.full(RATE, 0.3), np.zeros(0), np.zeros(1)])
def test_a_recording_without_sound_is_refused(wave):
    with pytest.raises(AlignmentError, match="nothing is said"):
        align(wave, "oh no")


@pytest.mark.parametrize("wave", [np.zeros((2, RATE)), np.array([0.1, np.nan]), np.array([np.inf] * RATE)])
def test_what_is_no_mono_wave_is_refused(wave):
    with pytest.raises(ValueError, match="finite numbers, 16 kHz mono"):
        align(wave, "oh no")


def test_empty_text_is_refused_before_any_aligner_runs():
    with pytest.raises(ValueError, match="holds no word"):
        align(vowel(1.0), "...", aligner=None)


# ------------------------------------------------------------------ by eSpeak NG


@pytest.fixture(scope="module")
def espeak():
    pytest.importorskip("espeakng_loader", reason="the extra espeak is not installed")
    from xser.descriptors import align_espeak

    return align_espeak


def test_espeak_aligner_and_letters_find_the_words_of_another_voice(espeak):
    wanted = ["yesterday", "the", "hunter", "noticed", "a", "frozen", "shadow"]
    wave, starts = espeak.speak_words(wanted, "en-us+f2")
    for aligner, tolerance in ((espeak.EspeakAligner("en"), 0.05), (align_by_letters, 0.12)):
        words = align(wave, " ".join(wanted), aligner)
        assert [word.text for word in words] == wanted
        assert [word.start for word in words] == pytest.approx(starts, abs=tolerance)


def test_espeak_aligner_finds_words_of_another_language_after_a_pause(espeak):
    first, starts = espeak.speak_words(["lubię", "czytać"], "pl+f3")
    second, later = espeak.speak_words(["przed", "snem"], "pl+f3")
    wave = np.concatenate([first, np.zeros(RATE // 2, np.float32), second])
    words = align(wave, "Lubię czytać… przed snem.", espeak.EspeakAligner("pl"))
    expected = starts + [(len(first) + RATE // 2) / RATE + start for start in later]
    assert [word.start for word in words] == pytest.approx(expected, abs=0.06)


def test_words_that_espeak_runs_together_share_their_time(espeak):
    wave, starts = espeak.speak_words(["today", "of", "the", "well-known", "23", "cakes"], "en-us")
    assert len(starts) == 6 and starts[0] == 0
    assert all(0.02 < after - before < 1.0 for before, after in pairwise([*starts, len(wave) / RATE]))


def test_chinese_is_spoken_under_its_usual_code_an_ideograph_a_word(espeak):
    wave, starts = espeak.speak_words(["今", "天", "很", "好"], "cmn")
    words = align(wave, "今天很好。", espeak.EspeakAligner("zh"))
    assert [word.text for word in words] == ["今", "天", "很", "好"]
    assert [word.start for word in words] == pytest.approx(starts, abs=0.03)


def test_unknown_voice_is_named(espeak):
    with pytest.raises(ValueError, match="'klingonese'"):
        align(vowel(1.0), "oh no", espeak.EspeakAligner("klingonese"))


# ------------------------------------------------------------------ by CTC


def sound(num_frames):
    return vowel(num_frames * 0.02)


def letter_model(path, vocabulary="-|ABENOTW"):
    """A model that hears `path`, a letter or blank (`-`) every 20 ms, in whatever it is given; and its processor."""
    logits = torch.full((1, len(path), len(vocabulary)), -8.0)
    logits[0, torch.arange(len(path)), torch.tensor([vocabulary.index(char) for char in path])] = 0.0
    model = torch.nn.Module()
    model.forward = lambda input_values: SimpleNamespace(logits=logits)
    model.device = torch.device("cpu")

    class Processor:
        tokenizer = SimpleNamespace(get_vocab=lambda: {c: i for i, c in enumerate(vocabulary)}, pad_token_id=0)

        def __call__(self, wave, sampling_rate, return_tensors):
            assert sampling_rate == RATE
            return BatchFeature({"input_values": wave[None]}, tensor_type=return_tensors)

    return model, Processor()


def test_ctc_words_lie_on_the_frames_of_their_letters():
    aligner = CTCAligner(*letter_model("---NNO-||-TT-WWO-----A----"))
    words = align(sound(26), "No, two, A", aligner)
    assert [word.text for word in words] == ["No", "two", "A"]
    # N at frame 3, T at 10, A at 21; between neighbours half the gap each, at most 50 ms
    times = [(word.start, word.end) for word in words]
    assert np.array(times) == pytest.approx(np.array([(0.06, 0.16), (0.16, 0.37), (0.37, 0.44)]))
    assert all(word.confidence > 0.99 for word in words)


def test_what_a_ctc_model_cannot_spell_fits_any_sound():
    aligner = CTCAligner(*letter_model("-NNO||-BBEEE--||TWO"))
    words = align(sound(19), "no 23 two", aligner)
    assert words[1].start == pytest.approx(0.1, abs=0.041) and words[1].end == pytest.approx(0.3, abs=0.041)


def test_ctc_text_of_more_letters_than_frames_is_refused_and_loses_no_other():
    aligner = CTCAligner(*letter_model("-NNO|TWO"))
    with pytest.raises(AlignmentError, match=r"\(4 words\) needs 14 frames, and the recording gives 8 \(0\.16 s\)"):
        align(sound(8), "two two no two", aligner)
    waves = [sound(8)] * 3
    found = list(aligner.align_batch(waves, ["no two", "two two two two", "no two"]))
    assert isinstance(found[1], AlignmentError)
    assert found[0] == found[2] == align(waves[0], "no two", aligner)


def test_a_double_letter_needs_a_blank_between():
    with pytest.raises(AlignmentError, match="needs 4 frames, and the recording gives 3"):
        align(sound(3), "bee", CTCAligner(*letter_model("BEE")))
    [word] = align(sound(4), "bee", CTCAligner(*letter_model("BE-E")))
    assert (word.start, word.end) == pytest.approx((0, 0.08)) and word.confidence > 0.99


@pytest.mark.parametrize("unit", ["byte", "token"])
def test_xser_gives_a_word_the_same_time_alone_and_in_a_batch(tiny_backbone_folders, waves, unit):
    from conftest import SMALL

    from xser.modeling_xser import XSERForEmotionDescription

    torch.manual_seed(0)
    pair = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, ctc_unit=unit)
    aligner = CTCAligner(*pair, batch_size=3)
    recordings = [wave for wave, _ in waves[3:]]
    texts = ["We won.", "the dog", "łódź ok", "at the door", "never said"]
    together = list(aligner.align_batch(recordings, texts))
    for wave, text, words in zip(recordings, texts, together, strict=True):
        alone = align(wave, text, aligner)
        assert [word.text for word in words] == split_words(text)
        assert [(word.start, word.end) for word in words] == [(word.start, word.end) for word in alone]
        times = [0.0, *(time for word in words for time in (word.start, word.end)), len(wave) / RATE]
        assert times == sorted(times)


def test_xser_without_a_ctc_head_is_refused(tiny_backbone_folders):
    from xser.modeling_xser import XSERForEmotionDescription

    with pytest.raises(ValueError, match="ctc_weight is 0"):
        CTCAligner(*XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders)))
