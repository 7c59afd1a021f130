"""Data sets that know little, or what others do not: loaded, split, compared and evaluated all the same."""

import numpy as np
import pytest
import soundfile
from conftest import SMALL, make_wave

from xser import XSERForEmotionDescription
from xser.corpora import FEATURES, load_corpus
from xser.corpora.audiofolder import CORPUS
from xser.corpora.folds import by_fold, hold_out, with_validation
from xser.corpora.leakage import find_leaks
from xser.corpora.prepare import prepare
from xser.evaluation.baselines import predict
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.predictions import read_predictions, reference_of, write_predictions
from xser.evaluation.protocols.data import read_rows
from xser.evaluation.scoring import score


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function that writes a folder with this table, whose rows are a.wav, b.wav and so on."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))

    def make(header: str, *lines: str):
        root = tmp_path / "clips"
        root.mkdir()
        names = [f"{chr(97 + index)}.wav" for index in range(len(lines))]
        for seed, name in enumerate(names):
            soundfile.write(root / name, make_wave(0.4, seed), 16_000)
        table = [header, *(f"{name},{line}" for name, line in zip(names, lines, strict=True))]
        (root / "metadata.csv").write_text("\n".join(table) + "\n")
        return root

    return make


@pytest.fixture
def labels_alone(folder):
    return folder("file_name,emotion", "angry", "sad", "angry", "sad")


def test_a_folder_of_labels_alone_is_evaluated(labels_alone, tiny_pair, tmp_path):
    rows = load_corpus(labels_alone)
    results, predictions = evaluate_model(*tiny_pair, rows, progress=False)
    assert results["n"] == 4 and results["left_out"] == [] and results["slots"] == ["emotion"]
    assert results["ua"] is not None and results["wer"] is None and results["descriptors"] == {}
    assert results["wording"] is None
    write_predictions(tmp_path / "predictions.jsonl", predictions)
    again = read_predictions(tmp_path / "predictions.jsonl")
    assert score(again, tiny_pair[1].schema)["wa"] == results["wa"]
    for index, prediction in enumerate(predictions):  # half of them right, so that resamples differ
        truth = prediction["reference"]["emotion"]
        wrong = next(emotion for emotion in tiny_pair[1].emotions if emotion != truth)
        prediction["emotion"] = truth if index % 2 else wrong
    assert score(predictions, tiny_pair[1].schema)["ua_interval_of"] == "utterances"


def test_a_folder_of_labels_alone_goes_through_all_that_reads_corpora(labels_alone, tmp_path):
    rows = load_corpus(labels_alone)
    assert rows.features == FEATURES
    train, validation, reason = with_validation(rows)
    assert (len(train), validation) == (4, None) and "4 of 4 rows name no speaker" in reason
    with pytest.raises(ValueError, match="4 of 4 rows have no speaker"):
        hold_out(rows, validation_fraction=0.1)
    with pytest.raises(ValueError, match="4 of 4 rows have no fold"):
        by_fold(rows)
    assert len(find_leaks(rows, rows).audio) == 4 and not find_leaks(rows.select([0]), rows.select([1]))
    report = prepare(CORPUS, labels_alone, tmp_path / "out")
    assert report["by_speaker"] == {"not known": 4} and report["with_text"] == 0
    dataset, plain = read_rows(str(tmp_path / "out"))
    assert dataset.features == FEATURES and {row["text"] for row in plain} == {None}
    assert reference_of(plain[0])["emotion"] in ("angry", "sad")
    assert set(predict("majority", rows, rows)) <= {"angry", "sad"}


def test_a_folder_without_any_label_loads_and_says_nothing_of_emotions(folder, tiny_pair):
    rows = load_corpus(folder("file_name,text", "we won", "never"))
    results, _ = evaluate_model(*tiny_pair, rows, progress=False)
    assert results["n"] == 2 and results["ua"] is None and results["wer"] is not None


def test_a_model_with_the_emotions_and_descriptors_of_a_corpus_is_evaluated_on_it(folder, tiny_backbone_folders):
    root = folder("file_name,emotion,arousal", "Gloomy,low", "joyful,high", "gloomy,", "joyful,low")
    rows = load_corpus(root, descriptors={"arousal": ["low", "high"]})
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders),
        emotions=["gloomy", "joyful"],
        descriptors={"pitch": ["low", "normal", "high"], "arousal": ["low", "high"]},
        **SMALL,
    )
    results, predictions = evaluate_model(model, processor, rows, progress=False)
    assert results["slots"] == ["arousal", "emotion"] and results["left_out"] == []
    assert set(results["recall"]) == {"gloomy", "joyful"} and results["n_of"]["arousal"] == 3
    hits = [p["descriptors"]["arousal"] == p["reference"]["descriptors"]["arousal"] for p in predictions]
    known = [p["reference"]["descriptors"]["arousal"] is not None for p in predictions]
    assert results["descriptors"]["arousal"] == pytest.approx(np.mean(np.array(hits)[known]))
