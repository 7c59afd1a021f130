"""Captions of predictions against those of the data: figures, references, and SPICE where it cannot run."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from datasets import Dataset

from xser.captions_xser import CaptionForm
from xser.corpora import make_row
from xser.corpora.schema import features_with
from xser.evaluation import captions as captions_module
from xser.evaluation import spice as spice_module
from xser.evaluation.captions import Captioner, caption_figures, schema_of, wording_of
from xser.evaluation.predictions import PredictionError, read_predictions, references_of, write_predictions
from xser.evaluation.report import figure_rows
from xser.evaluation.scoring import score
from xser.evaluation.spice import spice, why_not
from xser.grammar_xser import EmotionDescription, LabelSchema
from xser.training.metrics import metric

GIVEN = ["a low and sad voice says no", "he shouts out loud"]
WANTED = [["a low and sad voice says no", "quietly, sadly"], ["a man shouts", "he shouts"]]


def prediction(number, caption=None, wanted=None, **changed):
    reference = {"emotion": "sad", "text": None, "speaker": None, "descriptors": {"pitch": "low"}, "caption": wanted}
    told = {"emotion": "sad", "descriptors": {"pitch": "low"}, "emphasis": None, "transcript": None, "scores": None}
    return {"id": f"u{number}", "status": "ok", "reference": reference, **told, "caption": caption, **changed}


def both(captions=GIVEN, wanted=WANTED):
    return [prediction(i, *pair) for i, pair in enumerate(zip(captions, wanted, strict=True))]


def test_figures_are_those_of_the_metrics_over_all_references():
    found = caption_figures(both())
    for name in ("bleu", "meteor", "rouge_l", "cider"):
        assert found[name] == metric(name).compute(predictions=GIVEN, references=WANTED)[name]
    assert (found["n"], found["without"], found["captions"]) == (2, 0, "of the system")
    assert "CIDEr-D" in found["variants"]["cider"]


def test_a_missing_caption_is_an_empty_one_and_is_counted():
    found = caption_figures(both([GIVEN[0], None]))
    assert found["without"] == 1
    expected = metric("meteor").compute(predictions=[GIVEN[0], ""], references=WANTED)
    assert found["meteor"] == expected["meteor"]


ROWS = [
    make_row(
        ["breath"], id="a", emotion="sad", text="we won", gender="f", descriptors={"pitch": "low", "emphasis": ["won"]}
    ),
    make_row(["breath"], id="b", emotion="angry", text="go", descriptors={"pitch": "high", "breath": "long"}),
    make_row(["breath"], id="c", emotion="sad", descriptors={"breath": "short"}),
]
SCHEMA = LabelSchema(["sad", "angry"], {"pitch": ["low", "high"]})


def table_of(rows):
    return Dataset.from_list(rows, features=features_with(["breath"]))


def captioned(rows, schema, **changed):
    captioner = Captioner(table_of(rows), schema)
    references = [{"emotion": row["emotion"], "descriptors": row["descriptors"]} for row in rows]
    told = {"emotion": "sad", "descriptors": {"pitch": "low"}, "emphasis": None, "transcript": "we won"}
    return [
        captioner.add({"id": row["id"], **told, **changed, "reference": reference}, row)
        for row, reference in zip(rows, references, strict=True)
    ]


def test_references_without_captions_are_worded_from_all_that_the_data_know():
    read = captioned(ROWS, SCHEMA)
    first = read[0]["reference"]["caption"]
    assert '"we won"' in first and "long" not in first
    assert first == CaptionForm(schema_of(table_of(ROWS))).to_text(
        schema_of(table_of(ROWS)).describe(ROWS[0]), wording_of("a")
    )
    fewer = captioned(ROWS, LabelSchema(["sad", "angry"], {}, emphasis=False, transcript=False), descriptors={})
    assert [each["reference"]["caption"] for each in fewer] == [each["reference"]["caption"] for each in read]
    found = caption_figures(read)
    assert (found["captions"], found["references"]) == ("worded from its tags", "worded from the labels")


def test_tags_are_worded_canonically_and_without_an_answer_there_is_no_caption():
    [told, *_] = captioned(ROWS, SCHEMA)
    assert told["caption"] == CaptionForm(SCHEMA).to_text(EmotionDescription({"pitch": "low"}, None, "sad", "we won"))
    silent = captioned(ROWS, SCHEMA, emotion=None, descriptors=None, transcript=None)
    assert [each["caption"] for each in silent] == [None] * 3 and caption_figures(silent) is None


def test_captions_of_the_data_and_of_a_system_are_left_as_they_are():
    rows = [{**row, "caption": f"caption {row['id']}"} for row in ROWS]
    captioner = Captioner(table_of(rows), SCHEMA)
    given = {**prediction(0, "mine", rows[0]["caption"]), "emphasis": None}
    assert captioner.add(given, rows[0]) == given


def test_labels_that_no_caption_can_hold_are_a_gap(monkeypatch):
    def refuse(schema):
        raise ValueError("two slots have the level 'low'")

    monkeypatch.setattr(captions_module, "CaptionForm", refuse)
    captioner = Captioner(table_of(ROWS), SCHEMA)
    assert captioner.gap == "two slots have the level 'low'"
    given = prediction(0)
    assert captioner.add(given, ROWS[0])["caption"] is None


def test_without_captions_in_the_data_there_are_no_figures_of_captions():
    assert caption_figures([prediction(0, "a voice")]) is None
    assert score([prediction(0, "a voice")], resamples=10)["captions"] is None


def test_the_report_tells_captions_with_the_reason_of_what_is_not_known(monkeypatch):
    monkeypatch.setattr(spice_module.importlib.util, "find_spec", lambda name: None)
    rows = {figure: (value, n) for figure, value, n in figure_rows(score(both(), resamples=10))}
    assert rows["captions, CIDEr"][1] == "2" and rows["captions, BLEU@4"][0].replace(".", "").isdigit()
    assert rows["captions, SPICE"][0] == "– (SPICE needs Java and the extra: pip install 'xser[spice]')"


def test_captions_are_written_read_and_joined_from_a_csv(tmp_path):
    write_predictions(tmp_path / "p.jsonl", both())
    read = read_predictions(tmp_path / "p.jsonl")
    assert [each["caption"] for each in read] == GIVEN
    (tmp_path / "other.csv").write_text("id,emotion,caption\nu0,sad,quietly\nu1,sad,\n", encoding="utf-8")
    others = read_predictions(tmp_path / "other.csv", references_of(read))
    assert [each["caption"] for each in others] == ["quietly", None]
    assert caption_figures(others)["n"] == 2


def test_captions_that_are_no_texts_are_refused(tmp_path):
    with pytest.raises(PredictionError, match="caption of the reference is 3"):
        write_predictions(tmp_path / "p.jsonl", [prediction(0, "a", 3)])
    with pytest.raises(PredictionError, match="caption is 3"):
        write_predictions(tmp_path / "p.jsonl", [prediction(0, 3)])


def test_spice_without_java_or_its_parser_is_one_line(monkeypatch, tmp_path):
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(spice_module.importlib.util, "find_spec", lambda name: package)
    monkeypatch.setattr(spice_module.shutil, "which", lambda name: None)
    assert spice(GIVEN, WANTED) == (None, why_not()) and "no program 'java'" in why_not()
    monkeypatch.setattr(spice_module.shutil, "which", lambda name: "java")
    assert "Stanford CoreNLP 3.6.0" in why_not() and "\n" not in why_not()


def test_spice_whose_program_fails_is_one_line(monkeypatch):
    class Failing:
        def compute_score(self, references, predictions):
            assert references == {0: WANTED[0], 1: WANTED[1]} and predictions[1] == [GIVEN[1]]
            raise subprocess.CalledProcessError(1, ["java", "-jar"])

    monkeypatch.setattr(spice_module, "why_not", lambda: None)
    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", SimpleNamespace(Spice=Failing))
    value, reason = spice(GIVEN, WANTED)
    assert value is None and reason.startswith("SPICE's Java program failed") and "\n" not in reason
