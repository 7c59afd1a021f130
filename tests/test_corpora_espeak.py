"""The espeak corpus: its table and ceilings, its sentences, its splits, its cache."""

import itertools
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from xser.corpora import FEATURES, load_corpus
from xser.corpora.espeak import DEFAULT_SIZES, SPLITS, draw, load_espeak
from xser.corpora.espeak_sentences import TEMPLATES, TOPICS, VOCABULARY, draw_sentence, part_of, topic_of
from xser.corpora.espeak_table import EMOTIONS, LEVELS, PROSODY, TABLE, bayes_emotion, ceiling, ceiling_of
from xser.corpora.espeak_voices import SEEN, UNSEEN

ROOT = Path(__file__).parents[1]


@pytest.fixture
def synthesiser():
    pytest.importorskip("espeakng_loader", reason="synthesis needs pip install xser[espeak]")


def test_every_distribution_sums_to_one():
    for cue, rows in TABLE.items():
        assert tuple(rows) == EMOTIONS
        for row in rows.values():
            assert len(row) == len(LEVELS[cue]) and sum(row) == 100 and min(row) > 0


def test_ceiling_is_the_best_guess_summed_over_all_combinations():
    """The same sum by other means: one combination at a time, in whole numbers."""
    total = 0
    for combination in itertools.product(*(range(len(levels)) for levels in LEVELS.values())):
        total += max(
            math.prod(TABLE[cue][emotion][level] for cue, level in zip(LEVELS, combination, strict=True))
            for emotion in EMOTIONS
        )
    assert ceiling()["ua"] == pytest.approx(total / 100 ** len(LEVELS) / len(EMOTIONS), abs=1e-12)


def test_all_cues_are_needed():
    best = ceiling()
    assert 0.83 <= best["ua"] <= 0.86
    assert best["words"] < 0.65 and best["prosody"] < 0.65
    assert all(best[cue] < 0.45 for cue in PROSODY)
    for left_out in ("topic", "volume", "speed"):  # those that carry most
        assert ceiling_of(tuple(cue for cue in LEVELS if cue != left_out)) < best["ua"] - 0.03
    assert min(best["volume"], best["speed"]) > max(best["pitch"], best["tone"])


def test_bayes_emotion_reaches_the_ceiling_and_nothing_does_better():
    n, right = 6_000, 0
    for index in range(n):
        utterance = draw(0, "train", index)
        right += bayes_emotion({"text": utterance.text, "descriptors": utterance.levels}) == utterance.emotion
    error = math.sqrt(0.85 * 0.15 / n)
    assert right / n == pytest.approx(ceiling()["ua"], abs=4 * error)


def test_topics_share_no_words_and_are_told_by_several():
    words = [word for slots in TOPICS.values() for slot in slots.values() for word in slot]
    assert len(words) == len(set(words))
    assert not set(words) & {word for line in TEMPLATES for word in line.split()}
    assert all(line.count("{") >= 2 and 4 <= len(line.split()) <= 9 for line in TEMPLATES)
    assert 200 <= len(VOCABULARY) <= 350
    assert all(word.isalpha() and word.islower() for word in VOCABULARY)


def test_topic_of_refuses_what_it_cannot_tell():
    assert topic_of("they followed the wolf near the cave") == "storm"
    with pytest.raises(ValueError, match="no topic"):
        topic_of("we never said it")
    with pytest.raises(ValueError, match=r"\['party', 'storm'\]"):
        topic_of("the wolf loved the cave")


def test_no_sentence_is_in_two_parts():
    texts = {split: {draw(0, split, index).text for index in range(2_000)} for split in SPLITS}
    assert not texts["train"] & (texts["validation"] | texts["test"] | texts["test_unseen"])
    assert not texts["validation"] & texts["test"]
    assert {part_of(text) for text in texts["adapt"]} == {"train"}
    assert {part_of(text) for text in texts["test_unseen"]} == {"test"}


def test_every_topic_has_sentences_in_every_part():
    for topic, part in itertools.product(TOPICS, ("train", "validation", "test")):
        assert topic_of(draw_sentence(np.random.default_rng(0), topic, part)) == topic


def test_unseen_voices_share_neither_name_nor_variant_and_bring_new_accents():
    seen, unseen = ([voice.name.split("+") for voice in voices] for voices in (SEEN, UNSEEN))
    assert len({voice.name for voice in (*SEEN, *UNSEEN)}) == len(SEEN) + len(UNSEEN) == 24
    assert not {variant for _, variant in seen} & {variant for _, variant in unseen}
    assert {accent for accent, _ in unseen} - {accent for accent, _ in seen}
    assert {draw(0, "adapt", i).voice for i in range(100)} == {draw(0, "test_unseen", i).voice for i in range(100)}


def test_classes_are_balanced_and_shuffled():
    emotions = [draw(0, "train", index).emotion for index in range(120)]
    assert set(Counter(emotions).values()) == {20}
    assert all(set(emotions[start : start + 6]) == set(EMOTIONS) for start in range(0, 120, 6))
    assert emotions[:6] != emotions[6:12]


def test_emphasis_and_voice_tell_nothing_of_the_emotion():
    drawn = [draw(0, "train", index) for index in range(6_000)]
    for trait in (lambda u: u.emphasis is None, lambda u: u.voice.gender == "male"):
        shares = [sum(trait(u) for u in drawn if u.emotion == emotion) / 1_000 for emotion in EMOTIONS]
        assert max(shares) - min(shares) < 0.08  # five standard errors of a share of 1,000
    assert all(u.emphasis is None or u.emphasis < len(u.text.split()) - 1 for u in drawn)


def test_rows_are_of_the_one_schema_with_all_that_is_known(tmp_path, synthesiser):
    dataset = load_corpus("espeak", "test", limit=24, cache_dir=tmp_path)
    assert dataset.features == FEATURES and len(dataset) == 24
    for row in dataset:
        assert row["emotion"] in EMOTIONS and row["language"] == "en" and row["split"] == "test"
        assert all(row["descriptors"][cue] in LEVELS[cue] for cue in PROSODY)
        assert len(row["descriptors"]["emphasis"]) <= 1 and set(row["descriptors"]["emphasis"]) <= {
            *row["text"].split()
        }
        assert row["age"] is row["session"] is row["fold"] is None
        assert bayes_emotion(row) in EMOTIONS
    assert {len(words) for words in (row["descriptors"]["emphasis"] for row in dataset)} == {0, 1}


def test_limit_gives_the_first_of_the_same_split(tmp_path, synthesiser):
    few = load_corpus("espeak", "test", limit=8, cache_dir=tmp_path / "a")
    many = load_corpus("espeak", "test", cache_dir=tmp_path / "b", sizes={"test": 20})
    again = load_corpus("espeak", "test", limit=8, cache_dir=tmp_path / "b")
    assert few.to_list() == many.to_list()[:8] == again.to_list()
    assert load_corpus("espeak", "test", limit=8, cache_dir=tmp_path / "a", seed=1)["text"] != few["text"]


def test_only_the_split_asked_for_is_made_and_only_once(tmp_path, synthesiser, monkeypatch):
    load_corpus("espeak", "validation", limit=6, cache_dir=tmp_path)
    assert [path.name for path in tmp_path.rglob("*.arrow")] == ["validation-6.arrow"]
    monkeypatch.setattr("xser.corpora.espeak.render", lambda _: pytest.fail("synthesised again"))
    monkeypatch.setenv("XSER_CACHE", str(tmp_path))
    assert len(load_corpus("espeak", "validation", limit=6)) == 6
    assert len(load_corpus("espeak", "validation", limit=4)) == 4


def test_without_a_split_all_are_given(tmp_path, synthesiser):
    corpus = load_corpus("espeak", cache_dir=tmp_path, limit=2)
    assert {name: len(part) for name, part in corpus.items()} == dict.fromkeys(DEFAULT_SIZES, 2)


def test_a_build_killed_midway_leaves_nothing_that_is_taken_for_whole(tmp_path, synthesiser):
    code = "import sys; from xser.corpora import load_corpus; load_corpus('espeak', 'train', 5000, sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody tidies up after what is killed
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, bufsize=0) as process:
        seen = b""
        while b"/5000" not in seen:  # the progress bar: it is at work
            seen += process.stderr.read(64)
        os.kill(process.pid, signal.SIGKILL)
    assert not list(tmp_path.rglob("*.arrow"))
    assert len(load_corpus("espeak", "train", limit=6, cache_dir=tmp_path)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "no split 'dev'; it has .*'test_unseen'"),
        ({"sizes": {"dev": 10}}, "no split 'dev'"),
        ({"split": "test", "limit": 0}, "limit is 0"),
        ({"split": "test", "sizes": {"test": -1}}, r"sizes\['test'\] is -1"),
    ],
)
def test_mistakes_are_named(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_espeak(**arguments, cache_dir=tmp_path)


def test_a_missing_synthesiser_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r"pip install xser\[espeak\]"):
        load_corpus("espeak", "test", limit=1, cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_document_shows_the_table_the_ceilings_and_the_voices():
    document = (ROOT / "docs" / "espeak.md").read_text(encoding="utf-8")
    for cue, rows in TABLE.items():
        assert f"| {cue} | {' | '.join(LEVELS[cue])} |" in document
        for emotion, row in rows.items():
            assert f"| {emotion} | {' | '.join(map(str, row))} |" in document.partition(f"| {cue} |")[2]
    for name, value in ceiling().items():
        assert f"| {name} | {value:.4f} |" in document
    for voice in (*SEEN, *UNSEEN):
        assert f"| {voice.name} | {voice.gender} | {voice.pitch} | {voice.loudness:+} | {voice.speed} |" in document
