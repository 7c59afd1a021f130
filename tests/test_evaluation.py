"""evaluate_model and eval.py on a tiny untrained model."""

import io
import json
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import SMALL, make_wave
from datasets import DatasetDict

import xser
from xser.audio_xser import SAMPLE_RATE
from xser.corpora import load_corpus, make_row
from xser.corpora.cache import write_dataset
from xser.corpora.folds import by_fold
from xser.eval import load_rows
from xser.eval import main as evaluate_main
from xser.evaluation.evaluator import evaluate_model, score
from xser.evaluation.predictions import write_predictions
from xser.evaluation.report import command_line, figure_rows, read_json, text_table
from xser.grammar_xser import LabelSchema
from xser.modeling_xser import XSERForEmotionDescription

ROOT = Path(xser.__file__).parent


def flac(wave) -> dict:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16_000, format="FLAC")
    return {"bytes": buffer.getvalue(), "path": None}


def rows(count=6, **known):
    seconds = [0.4 + 0.15 * i for i in range(count)]
    return [
        make_row(
            id=f"r{i}",
            audio=flac(make_wave(seconds[i], seed=i)),
            text="we won the game",
            emotion=["angry", "sad", "happy"][i % 3],
            descriptors={"pitch": "high", "volume": None, "emphasis": ["won"]},
            speaker=f"s{i % 2}",
            corpus="mine",
            duration=seconds[i],
        )
        | known
        for i in range(count)
    ]


@pytest.fixture
def dataset(tmp_path):
    """A data set from rows."""
    return lambda values: write_dataset(tmp_path / f"{uuid.uuid4().hex}.arrow", values)


def prediction(emotion, truth, transcript="a b", text="a b", level="high", words=None):
    return {
        "id": "x",
        "status": "ok",
        "emotion": emotion,
        "transcript": transcript,
        "descriptors": {"pitch": level},
        "emphasis": words,
        "reference": {
            "emotion": truth,
            "text": text,
            "speaker": None,
            "descriptors": {"pitch": "high", "volume": None, "emphasis": ["b"]},
        },
    }


def test_figures_have_exact_values_and_their_n():
    figures = score(
        [
            prediction("sad", "sad", words=["b"]),
            prediction("sad", "angry", transcript="a c", words=["b", "a"]),
            prediction("sad", "sad", text=None, level="low", words=[]),
            prediction(None, "sad", transcript=None),
            prediction("sad", None),
        ],
        LabelSchema(["sad", "angry"], {"pitch": ["low", "high"], "volume": ["quiet", "loud"]}),
    )
    assert figures["ua"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["wa"] == pytest.approx(2 / 4)
    assert figures["recall"] == {"angry": 0.0, "sad": pytest.approx(2 / 3)}
    assert figures["wer"] == pytest.approx((0 + 1 + 2 + 0) / 8)
    assert figures["descriptors"] == {"pitch": pytest.approx(4 / 5), "emphasis": pytest.approx(1 / 5)}
    assert figures["n_of"].pop("recall") == {"angry": 1, "sad": 3}
    assert figures["n_of"] == {
        "emotion": 4, "text": 4, "scores": 0, "descriptors": 5, "pitch": 5, "volume": 0, "emphasis": 5,
    }  # fmt: skip
    assert figures["ua_interval_of"] == "utterances"


def test_every_row_is_answered_and_compared(tiny_pair, dataset):
    results, predictions = evaluate_model(*tiny_pair, dataset(rows()), batch_size=4, progress=False)
    assert results["n"] == 6 and results["left_out"] == [] and results["status"] == {"ok": 6}
    assert [p["id"] for p in predictions] == [f"r{i}" for i in range(6)]
    hits = [p["emotion"] == p["reference"]["emotion"] for p in predictions]
    assert results["wa"] == pytest.approx(np.mean(hits))
    assert results["ua_ceiling"] is None and results["ua_bayes"] is None
    assert results["speech_seconds"] == pytest.approx(sum(0.4 + 0.15 * i for i in range(6)), abs=0.06)


def test_figures_do_not_depend_on_the_batch_size(tiny_pair, dataset):
    one, several = (evaluate_model(*tiny_pair, dataset(rows()), batch_size=n, progress=False)[1] for n in (1, 6))
    for alone, together in zip(one, several, strict=True):
        assert alone["scores"] == pytest.approx(together.pop("scores"), abs=1e-4)
        assert {key: value for key, value in alone.items() if key != "scores"} == together


def test_the_slots_that_are_asked_for_are_scored_and_no_others(tiny_pair, dataset):
    (model, processor), slots = tiny_pair, ["emotion", "pitch"]
    results, predictions = evaluate_model(model, processor, dataset(rows()), slots=slots, progress=False)
    waves = [(processor.load(row["audio"]), SAMPLE_RATE) for row in rows()]
    asked = model.explain(waves, processor, slots=slots, transcript=False)
    assert [each["emotion"] for each in predictions] == [each["emotion"] for each in asked]
    assert results["slots"] == ["pitch", "emotion"] and list(results["descriptors"]) == ["pitch"]
    assert results["ua"] is not None and results["wer"] is None and results["captions"] is None
    assert results["gaps"]["captions"] == "only ['pitch', 'emotion'] were asked for"
    assert all(each["transcript"] is None and list(each["descriptors"]) == ["pitch"] for each in predictions)


@pytest.mark.parametrize(
    ("slots", "message"),
    [(["pitch"], "lack 'emotion'"), (["emotion", "pich"], "'pich' is none"), (["emotion", "emotion"], "at most once")],
)
def test_slots_that_cannot_be_asked_for_are_refused(tiny_pair, dataset, slots, message):
    with pytest.raises(ValueError, match=message):
        evaluate_model(*tiny_pair, dataset(rows()), slots=slots, progress=False)


def test_bad_rows_are_left_out_by_name_and_the_others_are_not_lost(tiny_pair, dataset):
    values = rows(6)
    values[1]["audio"] = {"bytes": b"not a recording", "path": None}
    values[2]["audio"] = {"bytes": None, "path": "missing.wav"}
    values[3]["audio"] = flac(np.full(31 * 16_000, 0.1))
    values[4]["emotion"] = "melancholic"
    results, predictions = evaluate_model(*tiny_pair, dataset(values), batch_size=2, progress=False)
    assert [p["id"] for p in predictions] == ["r0", "r5"] and results["n"] == 2
    reasons = {row["id"]: row["reason"] for row in results["left_out"]}
    assert sorted(reasons) == ["r1", "r2", "r3", "r4"]
    assert "missing.wav" in reasons["r2"] and "31.00 s" in reasons["r3"] and "melancholic" in reasons["r4"]


def test_silence_counts_as_no_answer(tiny_pair, dataset):
    values = rows(2)
    values[0]["audio"] = flac(np.zeros(16_000))
    results, predictions = evaluate_model(*tiny_pair, dataset(values), progress=False)
    assert results["status"] == {"no_speech": 1, "ok": 1} and predictions[0]["emotion"] is None
    assert results["recall"]["angry"] == 0.0


def test_unlabelled_rows_have_no_figures(tiny_pair, dataset):
    unlabelled = dataset(rows(2, emotion=None, text=None, descriptors=None))
    results, _ = evaluate_model(*tiny_pair, unlabelled, progress=False)
    assert results["n"] == 2
    assert [results[key] for key in ("ua", "ua_interval", "wa", "wer", "descriptors")] == [None, None, None, None, {}]


def test_espeak_rows_bring_their_ceiling_and_the_best_guess(tiny_pair, dataset):
    heard = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising"}
    results, _ = evaluate_model(*tiny_pair, dataset(rows(3, corpus="espeak", descriptors=heard)), progress=False)
    assert 0.8 < results["ua_ceiling"] < 0.9 and results["ua_bayes"] is not None


def test_a_limit_draws_the_same_rows_every_time(tiny_pair, dataset):
    first, second = (evaluate_model(*tiny_pair, dataset(rows()), limit=3, progress=False)[1] for _ in range(2))
    assert [p["id"] for p in first] == [p["id"] for p in second] and len(first) == 3


@pytest.mark.parametrize("options", [{"limit": 0}, {"batch_size": 0}])
def test_senseless_options_are_refused(tiny_pair, options, dataset):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is 0"):
        evaluate_model(*tiny_pair, dataset(rows(2)), progress=False, **options)


def test_recordings_are_made_harder_before_they_are_heard(tiny_pair, dataset):
    values = dataset(rows())
    plain, noisy, again = (
        evaluate_model(*tiny_pair, values, condition=condition, progress=False)[1]
        for condition in ("as recorded", "noise, 0 dB", "noise, 0 dB")
    )
    assert noisy == again and [p["scores"] for p in noisy] != [p["scores"] for p in plain]
    with pytest.raises(ValueError, match="condition is 'fog'; it must be one of"):
        evaluate_model(*tiny_pair, values, condition="fog", progress=False)


def test_a_data_set_without_a_usable_row_is_refused_with_the_first_reason(tiny_pair, dataset):
    with pytest.raises(ValueError, match=r"none of the data set's 2 rows .* r1: .*gone.wav"):
        evaluate_model(*tiny_pair, dataset(rows(2, audio={"bytes": None, "path": "gone.wav"})), progress=False)


def test_predictions_are_written_a_row_a_line(tmp_path):
    path = tmp_path / "new" / "predictions.jsonl"
    answers = [{"id": "é", "emotion": "sad"}, {"id": "b", "emotion": None}]
    write_predictions(path, answers)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == answers
    assert list(path.parent.iterdir()) == [path]


def test_a_results_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is not JSON"):
        read_json(tmp_path / "results.json")
    with pytest.raises(ValueError, match=r"none\.json does not exist"):
        read_json(tmp_path / "none.json")


def test_the_table_shows_every_figure_with_its_n(tiny_pair, dataset):
    results, _ = evaluate_model(*tiny_pair, dataset(rows()), progress=False)
    table = text_table(figure_rows(results), ("figure", "value", "n"))
    for label in ("emotion, UA", "emotion, WA", "recall, sad", "pitch, accuracy", "emphasis, accuracy", "words, WER"):
        assert label in table


@pytest.mark.slow
def test_eval_py_writes_figures_and_predictions_for_a_prepared_folder(tiny_pair, tmp_path, dataset):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "model")
    dataset(rows(4)).save_to_disk(tmp_path / "data")
    command = [sys.executable, str(ROOT / "eval.py"), "--model", "model", "--corpus", "data", "--split", "all"]
    command += ["--limit", "3", "--output", "out/results.json", "--predictions", "out/predictions.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["n"] == 3 and results["command"].startswith("python eval.py --model model --corpus data")
    assert {"ua", "ua_ceiling", "wa", "wer", "descriptors"} <= set(results)
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 3
    assert "emotion, UA" in done.stdout


def test_a_fold_is_evaluated_whatever_the_splits_are(tmp_path, dataset):
    folder = str(tmp_path / "data")
    values = [row | {"fold": str(index % 3), "split": "train"} for index, row in enumerate(rows(6))]
    dataset(values).save_to_disk(folder)
    assert load_rows(folder, "test", "1")["id"] == ["r1", "r4"]
    assert load_rows(folder, "validation", "1")["id"] == ["r0", "r3"]
    assert len(load_rows(folder, "all", None)) == 6
    with pytest.raises(ValueError, match=r"test_fold is '9'; there are \['0', '1', '2'\]"):
        load_rows(folder, "test", "9")
    with pytest.raises(
        ValueError, match=r"--split is 'all'; with --test_fold 1 there are \['train', 'validation', 't"
    ):
        load_rows(folder, "all", "1")


def test_new_sentences_are_nowhere_in_training(tmp_path, dataset):
    folder = str(tmp_path / "data")
    texts = [f"sentence {index % 6}" for index in range(24)]  # each of four speakers says all of them
    values = [
        row | {"fold": f"f{index // 6}", "text": text, "split": "train"}
        for index, (row, text) in enumerate(zip(rows(24), texts, strict=True))
    ]
    dataset(values).save_to_disk(folder)
    parts = load_corpus(folder, test_fold="f1", validation_fold="f2", new_texts=0.3)
    held = set(parts["test"]["text"])
    assert len(held) == 2 and set(parts["test"]["fold"]) == {"f1"} and len(parts["test"]) == 2
    assert set(parts["train"]["text"]) == set(parts["validation"]["text"]) == set(texts) - held
    assert len(parts["train"]) == 8 and len(parts["validation"]) == 4
    again = load_corpus(folder, test_fold="f3", new_texts=0.3)
    assert set(again["test"]["text"]) == held  # the same sentences in every fold
    assert load_rows(folder, "test", "f1", 0.3)["id"] == parts["test"]["id"]


def test_new_sentences_need_folds_and_texts_and_a_share(tmp_path, dataset):
    values = [row | {"fold": str(index), "text": f"said in {index} alone"} for index, row in enumerate(rows(3))]
    with pytest.raises(ValueError, match=r"--new_texts is 0\.3, but there is no --test_fold"):
        load_rows(str(tmp_path), "test", None, 0.3)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"new_texts is {share}: give a share"):
            by_fold(dataset(values), "1", "none", share)
    refused = []
    for fold in "012":  # one of the three texts is held out
        try:
            by_fold(dataset(values), fold, "none", 0.3)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) == 2 and all("new_texts 0.3 leaves nothing of ['test']" in error for error in refused)
    with pytest.raises(ValueError, match="1 of 3 rows have no text"):
        by_fold(dataset([values[0] | {"text": None}, *values[1:]]), "1", "none", 0.3)


def test_the_command_of_a_module_is_told_as_it_is_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/evaluation/probes/__main__.py", "--title", "a b"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="xser.evaluation.probes.__main__"))
    assert command_line() == "python -m xser.evaluation.probes --title 'a b'"
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", "score", "/elsewhere/a.jsonl"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="xser.__main__"))
    assert command_line() == "xser score a.jsonl"
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/xser", "score", "/elsewhere/a.jsonl"])
    assert command_line() == "xser score a.jsonl"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks" / "levels.py"), "--limit", "3"])
    assert command_line() == "python benchmarks/levels.py --limit 3"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "eval.py"), "--output=/somewhere/a.json", "--model", "/elsewhere/b"])
    assert command_line() == "python eval.py --output=a.json --model b"


def test_captions_are_scored_beside_the_tags_and_words_beside_both(tiny_pair, dataset):
    results, predictions = evaluate_model(*tiny_pair, dataset(rows(3)), progress=False)
    assert (results["captions"]["n"], results["captions"]["references"]) == (3, "worded from the labels")
    assert results["captions"]["captions"] == "worded from its tags"
    assert all(p["caption"] and '"we won the game"' in p["reference"]["caption"] for p in predictions)
    figures = {row[0] for row in figure_rows(results)}
    assert {"captions, CIDEr", "captions, BLEU@4", "captions, SPICE", "words, WER"} <= figures
    assert "gap: transcript" not in figures


def test_levels_of_gender_that_a_column_holds_are_scored(tiny_backbone_folders, dataset):
    descriptors = {"pitch": ["low", "high"], "gender": ["female", "male"]}
    options = {**SMALL, "descriptors": descriptors, "emotions": ["angry", "sad", "happy"]}
    pair = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **options)
    values = [row | {"gender": gender} for row, gender in zip(rows(2), ("f", "male"), strict=True)]
    results, predictions = evaluate_model(*pair, dataset(values), progress=False)
    assert [p["reference"]["descriptors"]["gender"] for p in predictions] == ["female", "male"]
    hits = [p["descriptors"]["gender"] == p["reference"]["descriptors"]["gender"] for p in predictions]
    assert results["descriptors"]["gender"] == np.mean(hits) and results["n_of"]["gender"] == 2


def test_bits_a_second_of_each_stream_are_measured_on_request(tiny_pair, dataset, tmp_path, monkeypatch):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "model")
    values = rows(3)
    values[0]["audio"] = flac(np.zeros(16_000))
    dataset(values).save_to_disk(str(tmp_path / "data"))
    given = ["--model", str(tmp_path / "model"), "--corpus", str(tmp_path / "data"), "--split", "all"]
    given += ["--output", str(tmp_path / "results.json")]
    results = evaluate_main([*given, "--information", "3"])
    assert set(results["information"]) == {"content", "descriptors"}
    carried = results["information"]["content"]
    rate = 16_000 / 320  # frames a second
    assert carried["bits_per_second"] == pytest.approx(carried["nats_per_frame"] / np.log(2) * rate)
    assert carried["n"] == 2 and json.loads((tmp_path / "results.json").read_text())["information"]
    dataset(values[:1]).save_to_disk(str(tmp_path / "silence"))
    assert "information" not in evaluate_main(given)
    assert "information" not in json.loads((tmp_path / "results.json").read_text())
    given[3] = str(tmp_path / "silence")
    silent = evaluate_main([*given, "--information", "3"])
    assert silent["information"] == {} and "could be heard" in silent["gaps"]["information"]
    with pytest.raises(ValueError, match="--information is 0; it must be at least 1"):
        evaluate_main([*given, "--information", "0"])


def test_all_is_every_split(tmp_path, dataset):
    DatasetDict({"train": dataset(rows(2)), "test": dataset(rows(3))}).save_to_disk(str(tmp_path / "data"))
    assert len(load_rows(str(tmp_path / "data"), "all", None)) == 5


def test_a_fold_of_a_corpus_without_folds_is_refused(tmp_path, dataset):
    dataset(rows(2)).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(ValueError, match="2 of 2 rows have no fold"):
        load_rows(str(tmp_path / "data"), "test", "1")


def test_eval_py_names_what_is_wrong(tmp_path):
    command = [sys.executable, str(ROOT / "eval.py"), "--model", "x", "--output", "y.json", "--dtype", "float8"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("eval.py: --dtype is 'float8'")
