"""The espeak-languages corpus: what is drawn, what can be heard, and that it gives nothing away of unseen voices."""

import numpy as np
import pytest

from xser.corpora.catalogue import find_corpus
from xser.corpora.espeak_languages import EDGE_SECONDS, LANGUAGES, RMS_DBFS, VARIANTS, draw, find, render
from xser.corpora.espeak_voices import UNSEEN
from xser.corpora.recording import hear

pytest.importorskip("espeakng_loader", reason="synthesis needs pip install xser[espeak]")


def test_an_utterance_depends_on_seed_and_index_alone():
    assert [row["id"] for row in find(size=5).rows] == [row["id"] for row in find(size=9).rows[:5]]
    assert draw(0, 7) == draw(0, 7) != draw(1, 7)
    assert np.array_equal(render(draw(0, 7)), render(draw(0, 7)))


def test_every_language_takes_its_turn_and_can_be_spoken():
    utterances = [draw(3, index) for index in range(len(LANGUAGES))]
    assert {each.language for each in utterances} == set(LANGUAGES)
    for each in utterances[::5]:
        wave = render(each)
        assert wave.dtype == np.float32 and np.abs(wave).max() <= 1
        speech = wave[round(each.edges[0] * 16_000) : len(wave) - round(each.edges[1] * 16_000)]
        dbfs = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2))
        assert dbfs == pytest.approx(each.dbfs, abs=0.3)
        assert RMS_DBFS[0] <= each.dbfs <= RMS_DBFS[1] and min(each.edges) >= EDGE_SECONDS[0]


def test_voices_that_are_kept_unseen_are_not_heard():
    assert not {voice.name.partition("+")[2] for voice in UNSEEN} & set(VARIANTS)
    assert not {voice.name.partition("+")[0] for voice in UNSEEN} & (set(LANGUAGES) - {"en-us"})


def test_rows_have_no_labels_and_speak_when_they_are_asked():
    row = find_corpus("espeak-languages").find(size=1).rows[0]
    assert row["emotion"] is None and row["text"] is None and set(row["descriptors"].values()) == {None}
    assert hear(row["audio"]["bytes"]).seconds == pytest.approx(len(render(draw(0, 0))) / 16_000, abs=1e-3)


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="size is 0"):
        find(size=0)
