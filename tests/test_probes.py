"""Probes of disentanglement: leaks that are planted are found, noise is none, and what cannot be read is named."""

import io
import json
import uuid

import numpy as np
import pytest
import soundfile
from conftest import make_wave
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from xser import XSERForEmotionDescription
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.descriptors.align import AlignmentError, Word, align_by_letters
from xser.evaluation.probes.__main__ import main
from xser.evaluation.probes.fit import (
    LINEAR,
    NONLINEAR,
    PROBES,
    Labels,
    hit_columns,
    interval_of,
    mean_of_shares,
    read,
    win_columns,
)
from xser.evaluation.probes.folds import make_folds
from xser.evaluation.probes.measure import probe_model
from xser.evaluation.probes.picture import draw_layer_mixes
from xser.evaluation.probes.streams import Frames, hear_corpus
from xser.evaluation.probes.table import clean_of_words
from xser.evaluation.probes.targets import (
    WORD_BY_WORD,
    WORDS_SAID,
    Token,
    class_target,
    frequent_words,
    level_features,
    make_targets,
    place_of,
)
from xser.voice_measures_xser import NUM_MEASURES

SPEAKERS = 12


def speakers_of(count):
    return [f"s{index % SPEAKERS}" for index in range(count)]


def sentences_of(count):
    return [f"sentence {index}" for index in range(count)]


def reading(features, values, probe, repeats=6, strata=None):
    """What a probe reads from items of twelve speakers, each a sentence of its own."""
    speakers = speakers_of(len(values))
    folds = make_folds(speakers, sentences_of(len(values))).folds
    return read(features, Labels(np.asarray(values), np.array(speakers), True, strata), folds, probe, repeats)


# ------------------------------------------------------------------ leaks and noise


@pytest.mark.parametrize("probe", PROBES)
def test_a_linear_leak_is_found_by_both_probes(probe):
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=360)
    features = rng.standard_normal((360, 16))
    features[:, :3] += 2 * np.eye(3)[classes]
    found = reading(features, classes, probe)
    assert not found.within_control and found.selectivity > 0.3
    assert found.interval.low > found.control.high and found.interval.of == "speakers"
    assert found.chance == pytest.approx(1 / 3)


def test_an_xor_leak_is_found_by_the_non_linear_probe_alone():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((480, 4))
    classes = (features[:, 0] > 0) ^ (features[:, 1] > 0)
    linear, nonlinear = (reading(features, classes.astype(int), probe) for probe in (LINEAR, NONLINEAR))
    assert linear.within_control
    assert not nonlinear.within_control and nonlinear.value > 0.8


@pytest.mark.parametrize("probe", PROBES)
def test_noise_stays_within_the_control_and_the_margin(probe):
    passed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features, classes = rng.standard_normal((180, 8)), rng.integers(2, size=180)
        passed += reading(features, classes, probe, repeats=5).within_control
    assert passed >= 19


@pytest.mark.parametrize("probe", PROBES)
def test_a_word_that_leaks_is_told_from_words_that_do_not(probe):
    rng = np.random.default_rng(0)
    said = rng.random((360, 4)) < 0.15
    noise = rng.standard_normal((360, 8))
    assert reading(noise, said, probe).within_control
    leaking = reading(noise + 3 * said[:, :1], said[:, [0, 0]], probe)
    assert leaking.measure == "macro AUROC" and leaking.value > 0.9 and not leaking.within_control


def test_words_that_the_emotion_tells_are_no_leak_beyond_it():
    rng = np.random.default_rng(0)
    emotions = rng.integers(2, size=480)
    words = np.where(rng.random(480) < 0.75, emotions, 1 - emotions)
    only_emotion = rng.standard_normal((480, 4)) + 3 * emotions[:, None]
    found = reading(only_emotion, words, LINEAR, repeats=20, strata=emotions)
    assert not found.within_control and found.within_control_in_strata
    leak = only_emotion + 3 * words[:, None] * np.array([1, 0, 0, 0])
    assert not reading(leak, words, LINEAR, repeats=20, strata=emotions).within_control_in_strata


def test_a_reading_is_the_same_every_time_and_as_json():
    rng = np.random.default_rng(0)
    features, classes = rng.standard_normal((90, 4)), rng.integers(2, size=90)
    first, second = (reading(features, classes, NONLINEAR, repeats=2) for _ in range(2))
    assert first == second
    told = json.loads(json.dumps(first.to_dict()))
    assert told["n"] == 90 and told["control_in_strata"] is None and told["within_control"] in (True, False)
    assert first.interval.low <= first.value <= first.interval.high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probe": "quadratic"}, "probe is 'quadratic'"),
        ({"repeats": 1}, "repeats is 1"),
        ({"features": np.zeros((5, 2))}, r"shape \(5, 2\) are not \(n, F\) of 30"),
        ({"features": np.full((30, 2), np.nan)}, "not all finite"),
    ],
)
def test_senseless_readings_are_refused(change, message):
    labels = Labels(np.arange(30) % 2, np.array(speakers_of(30)), True)
    folds = make_folds(speakers_of(30), sentences_of(30)).folds
    asked = {"features": np.zeros((30, 2)), "probe": LINEAR, "repeats": 2} | change
    with pytest.raises(ValueError, match=message):
        read(labels=labels, folds=folds, **asked)


# ------------------------------------------------------------------ measures


def test_areas_and_accuracies_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(50):
        said = np.concatenate([[[False, True], [True, False]], rng.random((28, 2)) < 0.4])
        scores = rng.integers(6, size=(30, 2)) / 2  # with ties
        expected = roc_auc_score(said, scores, average="macro")
        assert mean_of_shares(win_columns(scores, said).sum(0)) == pytest.approx(expected)
        told, true = rng.integers(3, size=30), np.r_[0, 1, 2, rng.integers(3, size=27)]
        expected = balanced_accuracy_score(true, told)
        assert mean_of_shares(hit_columns(told, true).sum(0)) == pytest.approx(expected)


def test_a_word_that_all_or_none_hold_does_not_count():
    said = np.array([[True, False, True], [True, False, False]])
    assert mean_of_shares(win_columns(np.array([[1.0, 1, 1], [0, 0, 0]]), said).sum(0)) == 1
    assert np.isnan(mean_of_shares(win_columns(np.zeros((2, 2)), said[:, :2]).sum(0)))


def test_an_interval_says_what_was_resampled():
    columns = hit_columns(np.arange(36) % 5 % 2, np.arange(36) % 2)
    assert interval_of(columns, np.array(speakers_of(36)), True).of == "speakers"
    assert interval_of(columns, np.arange(36), False).of == "utterances"
    assert interval_of(hit_columns(np.arange(36), np.arange(36)), np.arange(36), False) is None


# ------------------------------------------------------------------ folds


def test_folds_share_neither_speaker_nor_sentence_and_try_everything_once():
    speakers = speakers_of(120)
    sentences = [f"sentence {index % 100}" for index in range(120)]  # twenty come twice, by different speakers
    folding = make_folds(speakers, sentences)
    assert folding.disjoint_in == "speakers and sentences"
    for fold in folding.folds:
        for what in (np.array(speakers), np.array(sentences)):
            assert not set(what[fold.train]) & set(what[fold.test])
    assert sorted(np.concatenate([fold.test for fold in folding.folds])) == list(range(120))


def test_a_corpus_in_which_all_say_the_same_is_split_by_speaker_alone():
    folding = make_folds(speakers_of(60), [f"sentence {index // SPEAKERS}" for index in range(60)])
    assert folding.disjoint_in == "speakers"
    assert all(len(fold.train) + len(fold.test) == 60 for fold in folding.folds)


@pytest.mark.parametrize("speakers", [None, ["a", None] * 15, ["a", "b"] * 15])
def test_without_enough_speakers_sentences_are_split(speakers):
    assert make_folds(speakers, sentences_of(30)).disjoint_in == "sentences"


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="30 utterances cannot be split into 3 folds"):
        make_folds(["a"] * 30, ["the same"] * 30)


# ------------------------------------------------------------------ targets


def table(count=60, **columns):
    """Rows without recordings; a column is a value of all or a list."""
    columns = {
        "speaker": speakers_of(count),
        "text": sentences_of(count),
        "id": [f"r{i}" for i in range(count)],
    } | columns
    values = {name: each if isinstance(each, list) else [each] * count for name, each in columns.items()}
    return [make_row(**{name: each[i] for name, each in values.items()}) for i in range(count)]


def test_a_rare_class_and_one_of_a_single_speaker_are_left_out_by_name():
    values = ["low", "high"] * 40 + ["shrill"] * 4 + ["deep"] * 16
    rows = table(100, speaker=speakers_of(84) + ["alone"] * 16)
    target, gaps = class_target("pitch", values, rows)
    assert target.classes == ["high", "low"] and len(target.items) == len(target.labels.values) == 80
    assert {(gap.missing, gap.reason.split(" of ")[0][:6]) for gap in gaps} == {("shrill", "4"), ("deep", "a fold")}
    assert {values[index] for index in target.items} == {"low", "high"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None] * 60, "no utterance has a label"),
        (["flat"] * 60, "'flat' alone is left"),
        (["flat"] * 55 + ["rising"] * 5, "'flat' alone is left"),
        (["flat"] * 3 + ["rising"] * 3 + [None] * 54, "no class is left"),
    ],
)
def test_a_target_of_less_than_two_classes_is_a_gap(values, message):
    target, gaps = class_target("tone", values, table())
    assert target is None and message in gaps[-1].reason and gaps[-1].missing is None


def test_a_target_that_cannot_be_split_is_a_gap():
    target, gaps = class_target("tone", ["flat", "rising"] * 30, table(speaker="one", text="the same"))
    assert target is None and "cannot be split" in gaps[0].reason


def test_what_the_known_levels_tell_of_words_is_read_as_well():
    rows = table(3)
    for row, level in zip(rows, ("low", None, "high"), strict=True):
        row["descriptors"] = {**row["descriptors"], "pitch": level}
    levels = {"pitch": ["low", "high"], "volume": ["loud"]}
    assert level_features(rows, levels).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert level_features(rows, {}).shape == (3, 0)


def test_the_words_asked_for_are_neither_rare_nor_in_every_sentence():
    texts = [f"The dog {'barked' if i % 24 == 0 else 'slept'}" for i in range(480)] + ["Once, a cat."] * 5 + [None]
    assert frequent_words(texts, 9) == ["barked"]
    assert frequent_words(["one two"] * 20 + ["x"] * 400, 1) == ["one"]


def test_words_are_read_by_utterance_and_by_place_given_the_emotion():
    texts = [f"{['angry', 'dog', 'cat'][i % 3]} words number {i}" for i in range(90)]
    rows = table(90, text=texts, emotion=["sad", "happy"] * 45)
    tokens = [Token(i, texts[i].split()[0], i % 2) for i in range(90)]
    (said, by_word), gaps = make_targets([WORDS_SAID, WORD_BY_WORD], rows, ["dog", "cat", "bird"], tokens)
    assert said.classes == ["dog", "cat"] and said.labels.values[:3].tolist() == [
        [False, False],
        [True, False],
        [False, True],
    ]
    assert set(said.labels.strata) == {"sad", "happy"}
    assert by_word.classes == ["angry", "cat", "dog"] and set(by_word.labels.strata) == {"sad, 0", "happy, 1"}
    assert [(gap.target, gap.missing) for gap in gaps] == [(WORDS_SAID, "bird")]


def test_words_of_a_corpus_without_transcripts_or_frequent_words_are_gaps():
    for rows, message in ((table(text=None), "no utterance has a transcript"), (table(), "0 content words")):
        targets, gaps = make_targets([WORDS_SAID, WORD_BY_WORD], rows, [], [])
        assert not targets and message in gaps[0].reason and "no frequent content word" in gaps[1].reason


def test_the_speaker_is_split_by_sentence():
    [target], _ = make_targets(["speaker"], table(240), [], [])
    assert (
        target.folding.disjoint_in == "sentences" and not target.labels.by_speaker and len(target.classes) == SPEAKERS
    )


def test_a_words_place_goes_from_first_to_last():
    assert [place_of(index, 7) for index in range(7)] == [0, 0, 1, 2, 2, 2, 3]
    assert place_of(0, 1) == 0


# ------------------------------------------------------------------ streams


def flac(wave) -> dict:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16_000, format="FLAC")
    return {"bytes": buffer.getvalue(), "path": None}


@pytest.fixture
def dataset(tmp_path):
    """A data set from rows, with recordings where they bring none."""

    def write(rows):
        for index, row in enumerate(rows):
            seconds = 0.4 + 0.1 * (index % 4)
            row["audio"], row["duration"] = row["audio"] or flac(make_wave(seconds, seed=index)), seconds
        return write_dataset(tmp_path / f"{uuid.uuid4().hex}.arrow", rows)

    return write


def halves(wave, words):
    """An aligner: every word in its share of the recording."""
    edges = np.linspace(0, len(wave) / 16_000, len(words) + 1)
    return [Word(word, *map(float, times), 1.0) for word, *times in zip(words, edges[:-1], edges[1:], strict=True)]


def test_thirds_and_statistics_are_exact():
    frames = Frames(np.arange(6.0)[:, None], np.arange(6) / 10)
    assert frames.thirds(0.0, 0.6).tolist() == [0.5, 2.5, 4.5]
    assert frames.thirds(0.21, 0.22).tolist() == [2.0, 2.0, 2.0]
    assert frames.statistics().tolist() == pytest.approx([2.5, np.sqrt(35 / 12), 5.0, 0.0])


def test_a_corpus_is_heard_alike_in_any_batch_and_its_information_is_that_of_the_model(tiny_pair, dataset):
    model, processor = tiny_pair
    data = dataset(table(5, text="never again"))
    alone, together = (hear_corpus(*tiny_pair, data, ["again"], lambda row: halves, n) for n in (1, 5))
    assert set(alone.utterances) == {
        "content", "content, adapter", "descriptors", "descriptors, adapter", "tower"
    }  # fmt: skip
    for name in alone.utterances:
        np.testing.assert_allclose(alone.utterances[name], together.utterances[name], atol=1e-4)
        np.testing.assert_allclose(alone.words[name], together.words[name], atol=1e-4)
    assert alone.utterances["content"].shape == (5, 4 * 8) and alone.words["descriptors"].shape == (5, 3 * 4)
    assert alone.tokens == together.tokens == [Token(i, "again", 3) for i in range(5)]
    assert [row["id"] for row in together.rows] == [f"r{i}" for i in range(5)]
    inputs = processor([row["audio"] for row in data], task="describe")
    del inputs["attention_mask"]
    for name, stream in model.hear(**inputs).items():
        assert alone.nats[name].mean() == pytest.approx(stream.bottleneck.kl.item(), rel=1e-3)


def test_auxiliary_streams_are_sources_of_their_own_rate(tiny_backbone_folders, dataset):
    """One row of measurements a recording: the same at every word, and its information is that of one frame."""
    streams = {"measures": {"size": NUM_MEASURES, "latent_size": 3, "hidden_size": 8, "frame_stack": 1}}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), aux_streams=streams, summary_tokens=True, voice_activity=False
    )
    data = dataset(table(4, text="never again"))
    heard = hear_corpus(model.eval(), processor, data, ["again", "never"], lambda row: halves)
    assert heard.words["measures"].shape == (8, 3 * 3)
    assert np.array_equal(heard.words["measures"][::2], heard.words["measures"][1::2])
    seconds = [len(processor.load(row["audio"])) / 16_000 for row in data]
    np.testing.assert_allclose(heard.rates["measures"], 1 / np.array(seconds))
    adapter = heard.words["descriptors, adapter"]
    assert np.isfinite(adapter).all() and len(adapter) == 8


def test_given_features_of_an_auxiliary_stream_are_heard_from_the_rows(tiny_backbone_folders, dataset):
    streams = {"face": {"size": 2, "latent_size": 3, "hidden_size": 8, "frame_stack": 1}}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), aux_streams=streams, voice_activity=False
    )
    data, faces = dataset(table(3, text="never again")), [[[0.0, 1.0]] * 4, [[2.0, 3.0]] * 5, [[2.0, 3.0]] * 5]
    heard = hear_corpus(model.eval(), processor, data.add_column("face", faces), [], lambda row: halves)
    first, second, third = heard.utterances["face"]
    assert np.allclose(second, third, atol=1e-5) and np.abs(first - second).max() > 1e-3


def test_what_cannot_be_heard_or_aligned_is_named_and_the_others_are_not_lost(tiny_pair, dataset):
    def aligner_of(row):
        if row["id"] == "r3":
            raise AlignmentError("no language")
        return halves

    rows = table(5, text="never again")
    rows[1]["audio"] = {"bytes": b"not a recording", "path": None}
    rows[2]["audio"] = flac(np.zeros(16_000))
    heard = hear_corpus(*tiny_pair, dataset(rows), ["again"], aligner_of)
    assert [row["id"] for row in heard.rows] == ["r0", "r3", "r4"]
    assert {row["id"] for row in heard.left_out} == {"r1", "r2"}
    assert heard.not_aligned == [{"id": "r3", "reason": "no language"}]
    assert [token.row for token in heard.tokens] == [0, 2]


def test_a_corpus_of_which_nothing_can_be_heard_is_refused(tiny_pair, dataset):
    silent = table(2, audio=flac(np.zeros(16_000)))
    with pytest.raises(ValueError, match=r"none of the data set's 2 recordings .* r[01]: no speech"):
        hear_corpus(*tiny_pair, dataset(silent), [], lambda row: align_by_letters)


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["weather"]}, r"targets \['weather'\] are unknown; there are \['words said'"),
        ({"repeats": 1}, "repeats is 1"),
        ({"vocabulary_size": 1}, "vocabulary_size is 1"),
        ({"word_times": "guess"}, "word_times is 'guess'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_senseless_options_are_refused(tiny_pair, dataset, options, message):
    with pytest.raises(ValueError, match=message):
        probe_model(*tiny_pair, dataset(table(2)), **options)


def test_a_data_set_of_other_columns_is_refused(tiny_pair, dataset):
    with pytest.raises(ValueError, match=r"lacks the columns \['emotion'\]"):
        probe_model(*tiny_pair, dataset(table(2)).remove_columns("emotion"))


def test_the_command_writes_table_numbers_and_picture(tiny_pair, dataset, tmp_path):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "model")
    said = [{"pitch": ["low", "high"][i % 2], "tone": "flat"} for i in range(48)]
    dataset(table(48, emotion=["sad", "happy", "angry"] * 16, descriptors=said)).save_to_disk(tmp_path / "data")
    output, picture = tmp_path / "new" / "probes.json", tmp_path / "new" / "mixes.png"
    command = ["--model", str(tmp_path / "model"), "--corpus", str(tmp_path / "data"), "--split", "all"]
    command += ["--targets", "words said", "pitch", "tone", "emotion", "--repeats", "2", "--workers", "1"]
    main([*command, "--output", str(output), "--picture", str(picture)])
    told = json.loads(output.read_text())
    assert told["n"] == 48 and told["rows"]
    assert {(of["target"], of["source"], of["probe"]) for of in told["probes"]} == {
        (target, source, probe)
        for target in ("pitch", "emotion")
        for source in ("content", "content, adapter", "descriptors", "descriptors, adapter", "tower")
        for probe in PROBES
    }
    assert {of["target"] for of in told["probes"] if of["control_in_strata"]} == {"pitch"}
    assert {gap["target"] for gap in told["gaps"]} == {"words said", "tone"} and told["clean_of_words"] == {}
    assert all(len(row) == len(told["columns"]) for row in told["rows"])
    assert len(told["rows"]) == len(told["probes"]) + 2 + 2  # a row each stream's information, a row each gap
    information = told["information"]["content"]
    assert information["bits_per_second"] == pytest.approx(information["nats_per_frame"] / np.log(2) * 16_000 / 320)
    assert all(sum(mix) == pytest.approx(1) and len(mix) == 3 for mix in told["layer_mixes"].values())
    assert Image.open(picture).size[0] > 600


def test_the_command_names_a_split_that_is_not_there(tmp_path, dataset):
    dataset(table(2)).save_to_disk(tmp_path / "data")
    for change, message in (
        (["--split", "dev"], "no split 'dev'"),
        (["--split", "all", "--limit", "0"], "limit is 0"),
    ):
        command = [
            "--model",
            "none",
            "--corpus",
            str(tmp_path / "data"),
            "--output",
            str(tmp_path / "x.json"),
            *change,
        ]
        with pytest.raises(ValueError, match=message):
            main(command)


def test_one_reading_outside_a_control_is_enough_to_be_unclean():
    def of(source, outer, inner, target=WORDS_SAID):
        return {"source": source, "target": target, "within_control": outer, "within_control_in_strata": inner}

    probes = [
        of("descriptors", True, True),
        of("descriptors", False, True),
        of("descriptors, adapter", True, None),
        of("content", False, False),
        of("descriptors", False, False, "pitch"),
    ]
    assert clean_of_words(probes) == {
        "descriptors": {"control": False, "control_in_strata": True},
        "descriptors, adapter": {"control": True, "control_in_strata": None},
    }


def test_layer_mixes_are_drawn_for_any_number_of_layers_and_only_as_png(tmp_path):
    for layers in (3, 25):
        mixes = {name: [1 / layers] * layers for name in ("content", "descriptors")}
        path = draw_layer_mixes(mixes, list(range(layers)), tmp_path / f"{layers}.png", "a $model")
        assert Image.open(path).format == "PNG"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["25.png", "3.png"]
    with pytest.raises(ValueError, match=r"must end in \.png"):
        draw_layer_mixes(mixes, list(range(layers)), tmp_path / "mixes.svg", "model")
