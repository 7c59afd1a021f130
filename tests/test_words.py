"""Words that are evaluated: one form of texts for both sides, by a transcriber, beside a plain Whisper."""

import importlib.util
import io
import json
import uuid
from pathlib import Path

import pytest
import soundfile
from conftest import SMALL, make_wave, save_text_backbone
from test_transcriber import save_whisper
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

import xser
from xser import XSERForEmotionDescription
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.eval import main as evaluate_main
from xser.evaluation.__main__ import main
from xser.evaluation.edits import predicted_texts, reference_texts, text_normalizer
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.predictions import read_predictions, write_predictions
from xser.evaluation.report import figure_rows
from xser.evaluation.scoring import score
from xser.evaluation.significance import compare_words

ROOT = Path(xser.__file__).parent
SPOKEN, WRITTEN = "it is 2 grey dogs", "Um, it's TWO gray dogs!"


def several(transcript=WRITTEN, text=SPOKEN, count=24):
    """Predictions of eight speakers."""
    return [
        {
            "id": f"u{index}",
            "reference": {"emotion": ["sad", "angry"][index % 2], "text": text, "speaker": f"s{index % 8}"},
            "status": "ok",
            "emotion": "sad",
            "transcript": transcript,
            "descriptors": None,
            "emphasis": None,
        }
        for index in range(count)
    ]


@pytest.fixture
def spellings(tmp_path):
    """A folder as that of a Whisper's tokenizer."""
    (tmp_path / "normalizer.json").write_text('{"grey": "gray"}', encoding="utf-8")
    return tmp_path


def save_rows(path, count=4, **known):
    rows = []
    for index in range(count):
        audio = io.BytesIO()
        seconds = 0.4 + 0.15 * index
        soundfile.write(audio, make_wave(seconds, seed=index), 16_000, format="FLAC")
        row = {"id": f"r{index}", "audio": {"bytes": audio.getvalue(), "path": None}, "text": "we won the game"}
        row |= {"emotion": "angry", "speaker": f"s{index % 2}", "corpus": "mine", "duration": seconds}
        rows.append(make_row(**row) | known)
    dataset = write_dataset(path.parent / f"{uuid.uuid4().hex}.arrow", rows)
    dataset.save_to_disk(path)
    return dataset


# ---------------------------------------------------------------- one form


def test_both_sides_take_the_form_of_transformers_normaliser(spellings):
    plain, spelt = text_normalizer("english"), text_normalizer("english", spellings)
    [of] = several(count=1)
    for normalizer, mapping in ((plain, {}), (spelt, {"grey": "gray"})):
        expected = EnglishTextNormalizer(mapping)
        assert predicted_texts([of], normalizer) == [expected(WRITTEN)]
        assert reference_texts([of], normalizer) == [expected(SPOKEN)]
    assert predicted_texts([of], spelt) == reference_texts([of], spelt) == ["it is 2 gray dogs"]
    assert predicted_texts([of]) == [WRITTEN] and reference_texts([of]) == [SPOKEN]


def test_a_normaliser_is_called_with_its_spellings(spellings):
    name = text_normalizer("english", spellings).name
    assert text_normalizer("english").name == "english (no spelling mapping)"
    assert name.startswith("english (1 spellings, sha256 ") and str(spellings) not in name
    assert text_normalizer("english", spellings / "normalizer.json").name == name
    (spellings / "normalizer.json").write_text('{"grey": "green"}', encoding="utf-8")
    assert text_normalizer("english", spellings).name != name
    assert text_normalizer(None) is None


def test_normalisers_that_there_are_not_are_refused(tmp_path):
    with pytest.raises(ValueError, match="normalizer is 'polish'; it must be one of"):
        text_normalizer("polish")
    with pytest.raises(ValueError, match="spellings is 'x' without a normalizer"):
        text_normalizer(None, "x")
    with pytest.raises(ValueError, match=r"no normalizer\.json can be read"):
        text_normalizer("english", tmp_path)
    (tmp_path / "normalizer.json").write_text('["grey"]', encoding="utf-8")
    with pytest.raises(ValueError, match="must map words to words"):
        text_normalizer("english", tmp_path)


def test_word_errors_are_counted_in_that_form_and_the_figures_say_so(spellings):
    found = score(several(), resamples=100)
    assert found["normalizer"] is None and found["wer"] == 1
    plain = score(several(), resamples=100, normalizer=text_normalizer("english"))
    assert plain["normalizer"] == "english (no spelling mapping)" and plain["wer"] == pytest.approx(1 / 5)
    spelt = score(several(), resamples=100, normalizer=text_normalizer("english", spellings))
    assert spelt["wer"] == spelt["cer"] == 0
    assert ("words, WER by english (no spelling mapping)", "24") in [(row[0], row[2]) for row in figure_rows(plain)]
    assert "words, WER" in [row[0] for row in figure_rows(found)]


def test_a_reference_of_fillers_alone_holds_no_words():
    predictions = [*several(count=12), *several(text="um, uh", transcript="", count=12)]
    for index, each in enumerate(predictions):
        each["id"] = f"u{index}"
    found = score(predictions, resamples=100, normalizer=text_normalizer("english"))
    assert found["gaps"]["text"].startswith("12 of 24 references are empty")
    assert found["wer"] == pytest.approx(1 / 5)


def test_differences_are_of_texts_in_that_form():
    mine, other = several(), several(transcript="it is 2 grey")
    found = compare_words(mine, other, 100)
    assert (found.wer, found.wer_against) == (1, pytest.approx(1 / 5))
    found = compare_words(mine, other, 100, normalizer=text_normalizer("english"))
    assert (found.wer, found.wer_against) == (pytest.approx(1 / 5), pytest.approx(1 / 5))


def test_score_and_compare_take_the_normaliser(spellings, tmp_path, capsys):
    write_predictions(tmp_path / "mine.jsonl", several())
    write_predictions(tmp_path / "other.jsonl", several(transcript=SPOKEN))
    mine, other, output = (str(tmp_path / name) for name in ("mine.jsonl", "other.jsonl", "out.json"))
    asked = ["--resamples", "100", "--output", output, "--normalizer", "english", "--spellings", str(spellings)]
    name = text_normalizer("english", spellings).name
    assert main(["score", mine, *asked]) == 0
    found = json.loads(Path(output).read_text())
    assert found["normalizer"] == name and found["wer"] == 0
    assert main(["compare", mine, other, *asked]) == 0
    compared = json.loads(Path(output).read_text())
    assert compared["normalizer"] == name and f"WER by {name} 0.000" in compared["title"]
    assert compared["comparisons"][0]["words"]["wer"] == 0
    assert main(["score", mine, "--spellings", str(spellings)]) == 2
    assert "without a normalizer" in capsys.readouterr().err


# ---------------------------------------------------------------- by a transcriber


def test_words_are_measured_by_the_transcriber_and_the_figures_say_so(tiny_pair, tmp_path):
    model, processor = tiny_pair
    dataset = save_rows(tmp_path / "data", text=None)
    results, predictions = evaluate_model(
        model, processor, dataset, transcriber=lambda waves: ["We won."] * len(waves)
    )
    assert results["transcriber"] == "<lambda>" and results["transcriber_options"] == {} and results["n"] == 4
    assert {each["transcript"] for each in predictions} == {"We won."}
    assert {each["transcript_source"] for each in predictions} == {"transcriber <lambda>"}
    dataset = save_rows(tmp_path / "known")
    normalizer = text_normalizer("english")
    results, _ = evaluate_model(
        model, processor, dataset, transcriber=lambda waves: ["We won the game."] * len(waves), normalizer=normalizer
    )
    assert results["wer"] == 0 and results["normalizer"] == normalizer.name
    assert evaluate_model(model, processor, dataset, limit=1)[0]["transcriber"] is None


def test_rows_that_the_transcriber_fails_on_are_left_out_by_name(tiny_pair, tmp_path):
    dataset = save_rows(tmp_path / "data")
    longest = round(16_000 * max(dataset["duration"]))

    def deaf(waves):
        if max(map(len, waves)) >= longest - 1:
            raise RuntimeError("too long for me")
        return ["we won"] * len(waves)

    results, predictions = evaluate_model(*tiny_pair, dataset, transcriber=deaf)
    assert [each["id"] for each in predictions] == ["r0", "r1", "r2"] and results["status"] == {"ok": 3}
    [left_out] = results["left_out"]
    assert left_out["id"] == "r3" and "transcriber deaf failed: RuntimeError: too long for me" in left_out["reason"]


def test_a_transcriber_needs_words_to_be_asked_for(tiny_pair, tmp_path):
    dataset = save_rows(tmp_path / "data", count=1)
    with pytest.raises(ValueError, match=r"slots \['emotion'\] lack 'transcript', which the transcriber fills"):
        evaluate_model(*tiny_pair, dataset, slots=["emotion"], transcriber=len)
    with pytest.raises(ValueError, match="without a transcriber"):
        evaluate_model(*tiny_pair, dataset, transcriber_options={"language": "en"})


@pytest.fixture(scope="module")
def on_whisper(tmp_path_factory, tiny_tokenizer_folder):
    """Folders of a model on a tiny Whisper, of that Whisper, and of rows."""
    from transformers import AutoTokenizer

    root = tmp_path_factory.mktemp("words")
    text = save_text_backbone(root / "text", AutoTokenizer.from_pretrained(tiny_tokenizer_folder))
    whisper = save_whisper(root / "whisper")
    for part in XSERForEmotionDescription.from_backbones(whisper, str(text), **SMALL):
        part.save_pretrained(root / "model")
    save_rows(root / "data")
    return {"model": str(root / "model"), "whisper": whisper, "corpus": str(root / "data")}


def test_eval_py_records_transcriber_and_normaliser(on_whisper, tmp_path):
    asked = ["--model", on_whisper["model"], "--corpus", on_whisper["corpus"], "--split", "all", "--limit", "2"]
    asked += ["--transcriber", on_whisper["whisper"], "--transcriber_options", '{"language": "en", "num_beams": 1}']
    asked += ["--normalizer", "english", "--output", str(tmp_path / "results.json")]
    evaluate_main([*asked, "--predictions", str(tmp_path / "predictions.jsonl")])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["transcriber"] == "whisper" and results["normalizer"] == "english (no spelling mapping)"
    assert results["transcriber_options"] == {"language": "en", "num_beams": 1}
    read = read_predictions(tmp_path / "predictions.jsonl")
    assert {each["transcript_source"] for each in read} == {"transcriber whisper"}


def test_the_benchmark_sets_a_model_beside_its_decoder_and_the_plain_whisper(on_whisper, tmp_path):
    spec = importlib.util.spec_from_file_location("words", ROOT / "benchmarks" / "words.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked = [f"--{name}={value}" for name, value in on_whisper.items()]
    output = tmp_path / "words.json"
    module.main([*asked, "--split=all", f"--output={output}", f"--predictions={tmp_path}"])
    results = json.loads(output.read_text())
    names = [row[0] for row in results["rows"]]
    assert names == ["end to end", "with transcriber tower", "plain whisper, greedy"]
    assert results["rows"][1][1:4] == results["rows"][2][1:4]  # the same decoder on the same states
    assert float(results["rows"][1][4]) == 0 and results["rows"][2][4] == "–"
    assert "english (no spelling mapping)" in results["title"] and "; 0 recordings left out" in results["title"]
    read = read_predictions(tmp_path / "with-transcriber-tower.jsonl")
    assert [each["transcript"] for each in read] == [
        each["transcript"] for each in read_predictions(tmp_path / "plain-whisper-greedy.jsonl")
    ]
