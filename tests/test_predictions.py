"""Files of predictions, and every figure from them."""

import json

import numpy as np
import pytest

from xser.evaluation.__main__ import main
from xser.evaluation.predictions import PredictionError, join, read_predictions, reference_of, write_predictions
from xser.evaluation.report import figure_rows
from xser.evaluation.scoring import score, wording
from xser.grammar_xser import LabelSchema

SCHEMA = LabelSchema(["sad", "angry", "happy"], {"pitch": ["low", "high"]})


def prediction(number=0, emotion="sad", truth="sad", **changed):
    known = {"emotion": truth, "text": "we won", "speaker": f"s{number % 5}", "descriptors": {"pitch": "high"}}
    rest = {"angry": 0.2, "happy": 0.1} if emotion == "sad" else {"sad": 0.3}
    return {
        "id": f"u{number}",
        "reference": known | changed.pop("reference", {}),
        "status": "ok",
        "emotion": emotion,
        "scores": {emotion: 0.7, **rest},
        "descriptors": {"pitch": "high"},
        "emphasis": None,
        "transcript": "we won",
        "caption": None,
    } | changed


def several(count=12, **changed):
    """As many sad, angry and happy ones; happy ones are taken for sad."""
    return [
        prediction(i, ["sad", "angry", "sad"][i % 3], ["sad", "angry", "happy"][i % 3], **changed)
        for i in range(count)
    ]


def write(path, lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path):
    write_predictions(tmp_path / "p.jsonl", several())
    assert read_predictions(tmp_path / "p.jsonl") == several()
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_what_may_be_absent_is_none(tmp_path):
    path = write(tmp_path / "p.jsonl", [{"id": "u", "emotion": None, "reference": {"emotion": "sad"}}])
    assert read_predictions(path)[0] == {
        "id": "u",
        "reference": {"emotion": "sad"},
        **dict.fromkeys(["status", "emotion", "transcript", "scores", "descriptors", "emphasis", "caption"]),
    }


def test_a_reference_holds_what_a_row_knows():
    row = {"id": "x", "emotion": "sad", "speaker": "anna", "gender": "female", "duration": 1.5, "descriptors": None}
    known = reference_of(row)
    assert known["gender"] == "female" and known["descriptors"] == {} and known["session"] is None
    assert list(known)[-1] == "descriptors" and "audio" not in known


def test_a_csv_of_another_system_is_read(tmp_path):
    references = {p["id"]: p["reference"] for p in several(2)}
    path = write(
        tmp_path / "other.csv",
        ["id,emotion,transcript,pitch,emphasis,sad,angry", 'u1,sad,"we, won",high,we won,0.75,0.25', "u0,,,,,,"],
    )
    first, second = read_predictions(path, references)
    assert (first["id"], first["emotion"], first["transcript"]) == ("u1", "sad", "we, won")
    assert first["scores"] == {"sad": 0.75, "angry": 0.25} and first["descriptors"] == {"pitch": "high"}
    assert first["emphasis"] == ["we", "won"] and first["reference"] == references["u1"]
    assert (second["emotion"], second["scores"], second["transcript"], second["emphasis"]) == (None, None, "", [])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], r"line 1 is not JSON"),
        (['["u"]'], r"line 1 is \['u'\]; it must be an object"),
        ([{"emotion": "sad"}], "has the id None"),
        ([{"id": "u"}], r"\(u\) has no emotion; null"),
        ([prediction(), prediction(emotion=5)], r"line 2 \(u0\): emotion is 5; it must be of kind str"),
        ([prediction(scores={"sad": 0.7})], "probabilities that sum to 1"),
        ([prediction(scores={"sad": 1.5, "angry": -0.5})], "probabilities that sum to 1"),
        ([prediction(scores={"sad": float("nan")})], "probabilities that sum to 1"),
        ([prediction(1), prediction(2), prediction(1)], r"1 utterances have several predictions \(u1\); give one"),
        ([prediction(reference={"emotion": 3})], "emotion of the reference is 3"),
        ([{"id": "u", "emotion": "sad"}], r"1 predictions have no reference \(u\)"),
        ([prediction(emotion="hap", scores=None)], r"1 predictions have an unknown emotion \(u0\); map \['hap'\]"),
        ([], "holds no prediction"),
    ],
)
def test_lines_that_are_no_predictions_are_refused(tmp_path, lines, message):
    with pytest.raises(PredictionError, match=message):
        read_predictions(write(tmp_path / "p.jsonl", lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,label", "u0,sad"], r"has the columns \['id', 'label'\]; 'id' and 'emotion' must be there"),
        (["id,emotion,hap", "u0,sad,1"], "'id' and 'emotion' must be there"),
        (["id,emotion,id", "u0,sad,u0"], "once"),
        (["id,emotion", "u0"], "row 1 has 1 cells; its header has 2"),
        (["id,emotion,sad", "u0,sad,high"], r"row 1: sad is 'high'; it must be a probability"),
        (["id,emotion", "u0,hap"], "unknown emotion"),
        (["id,emotion"], "holds no prediction"),
        (["id,emotion", ",sad"], "has the id ''"),
    ],
)
def test_tables_that_are_no_predictions_are_refused(tmp_path, lines, message):
    with pytest.raises(PredictionError, match=message):
        read_predictions(write(tmp_path / "p.csv", lines), {"u0": prediction()["reference"]})


def test_joining_names_what_does_not_fit():
    predictions = [{**p, "reference": None} for p in several(8)]
    references = {p["id"]: p["reference"] for p in several(8)}
    joined = join(predictions, references)
    assert [p["reference"] for p in joined] == list(references.values()) and predictions[0]["reference"] is None
    with pytest.raises(PredictionError, match=r"6 utterances .* no prediction \(u2, u3, u4, u5, u6, …\); .* the 8"):
        join(predictions[:2], references)
    with pytest.raises(PredictionError, match=r"1 predictions are of utterances that the references lack \(x\)"):
        join([*predictions, {"id": "x"}], references)
    with pytest.raises(PredictionError, match=r"1 utterances have several predictions \(u0\)"):
        join([*predictions, predictions[0]], references)
    empty = {"emotion": None, "text": " ", "descriptors": {"pitch": None}}
    with pytest.raises(PredictionError, match=r"1 references are empty \(u3\)"):
        join(predictions, references | {"u3": empty})
    with pytest.raises(PredictionError, match=r"1 references have another 'emotion' \(u3\)"):
        join(several(8), references | {"u3": references["u3"] | {"emotion": "bored"}})


def test_writing_refuses_what_could_not_be_read(tmp_path):
    with pytest.raises(PredictionError, match=r"prediction 1 has the id None"):
        write_predictions(tmp_path / "p.jsonl", [{"emotion": "sad"}])
    with pytest.raises(PredictionError, match="several predictions"):
        write_predictions(tmp_path / "p.jsonl", [prediction(), prediction()])
    assert not list(tmp_path.iterdir())


def test_every_figure_has_its_interval_and_n():
    figures = score(several(), SCHEMA, 200)
    assert figures["ua"] == pytest.approx((1 + 1 + 0) / 3) and figures["wa"] == pytest.approx(8 / 12)
    assert figures["per_class"]["sad"] == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "n": 4}
    assert figures["macro_f1"] == figures["weighted_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert figures["confusion"]["counts"] == [[4, 0, 0], [0, 0, 4], [0, 0, 4]]
    assert figures["ece"] == pytest.approx(abs(0.7 - 8 / 12))
    assert figures["brier"] == pytest.approx((4 * (0.09 + 0.09) + 4 * (0.09 + 0.05) + 4 * (0.49 + 0.04 + 0.81)) / 12)
    assert figures["aurc"] == pytest.approx(1 / 3) and figures["risk_coverage"]["risk"] == pytest.approx([1 / 3] * 20)
    assert figures["wer"] == figures["cer"] == 0 and figures["descriptors"] == {"pitch": 1} == {
        "pitch": figures["exact_match"]
    }
    assert figures["n_of"]["scores"] == figures["n_of"]["text"] == figures["n_of"]["descriptors"] == 12
    interval = figures["intervals"]["macro_f1"]
    assert interval["low"] < figures["macro_f1"] < interval["high"] and interval["of"] == "speakers"
    assert "every resample" in figures["gaps"]["interval of wer"]


def test_the_interval_of_ua_stands_beside_it():
    changed = [*several()[1:], prediction(0, "angry", "sad")]
    figures = score(changed, SCHEMA, 200)
    low, high = figures["ua_interval"]
    assert low < figures["ua"] < high and figures["ua_interval_of"] == "speakers"
    assert figures["intervals"]["ua"] == {"low": low, "high": high, "of": "speakers"}
    same = score(several(), SCHEMA, 200)  # each class is all right or all wrong
    assert same["ua_interval"] is None and "every resample of 12" in same["gaps"]["interval of ua"]


def test_scores_of_other_labels_than_the_references_are_wrong():
    figures = score(
        [prediction(i, "bored", "sad", scores={"bored": 0.6, "calm": 0.4}) for i in range(3)], resamples=50
    )
    assert figures["ua"] == 0 and figures["ece"] == pytest.approx(0.6)
    assert figures["brier"] == pytest.approx(0.36 + 0.16 + 1)


def test_emphasis_is_scored_by_word_and_as_a_whole():
    words = [["won"], ["we", "won"], [], None]
    predictions = [
        prediction(i, emphasis=w, reference={"descriptors": {"emphasis": ["won"]}}) for i, w in enumerate(words)
    ]
    figures = score(predictions, SCHEMA, 50)
    assert figures["descriptors"] == {"emphasis": 1 / 4} and figures["emphasis_f1"] == pytest.approx(2 * 2 / (3 + 4))
    assert figures["exact_match"] == 1 / 4


@pytest.mark.parametrize(
    ("changed", "figure", "gap", "reason"),
    [
        ({"reference": {"emotion": None}}, "ua", "emotion", "none of 12 references has an emotion"),
        ({"reference": {"text": None}}, "wer", "text", "none of 12 references has a transcript"),
        ({"reference": {"text": " "}}, "wer", "text", "none of 12 transcripts of the references holds a word"),
        ({"transcript": None}, "cer", "text", "none of 12 predictions has a transcript"),
        ({"scores": None}, "ece", "scores", "none of 12 predictions has scores"),
        ({"descriptors": None}, "exact_match", "pitch", "none of 12 predictions has it"),
        ({"reference": {"descriptors": {}}}, "exact_match", "pitch", "none of 12 references has it"),
    ],
)
def test_a_figure_that_is_not_known_is_a_gap_with_its_reason(changed, figure, gap, reason):
    figures = score(several(**changed), SCHEMA, 50)
    assert figures[figure] is None and figures["gaps"][gap] == reason
    assert (f"gap: {gap}", f"– ({reason})", "") in figure_rows(figures)


def test_a_class_without_utterances_is_named():
    figures = score([p for p in several() if p["reference"]["emotion"] != "happy"], SCHEMA, 50)
    assert figures["recall"] == {"angry": 1, "happy": None, "sad": 1} and figures["n_of"]["recall"]["happy"] == 0
    assert "no reference is of this emotion" in figures["gaps"]["recall.happy"]
    assert ("recall, happy", f"– ({figures['gaps']['recall.happy']})", "0") in figure_rows(figures)


def test_some_empty_transcripts_are_named_and_what_is_heard_there_counts():
    predictions = [prediction(0), prediction(1, reference={"text": ""})]
    figures = score(predictions, SCHEMA, 50)
    assert figures["wer"] == 2 / 2 and figures["cer"] == 6 / 6
    assert figures["gaps"]["text"].startswith("1 of 2 references are empty transcripts")


def test_one_speaker_only_is_named():
    figures = score(several(reference={"speaker": "anna"}), SCHEMA, 50)
    assert figures["intervals"]["wa"]["of"] == "utterances of these speakers alone"
    assert figures["gaps"]["speakers"].startswith("1 speaker (anna): intervals over their utterances tell nothing")


def test_unknown_speakers_are_named():
    figures = score(several(reference={"speaker": None}), SCHEMA, 50)
    assert figures["intervals"]["wa"]["of"] == "utterances"
    assert figures["gaps"]["speakers"].startswith("12 of 12 references have no speaker")


def test_files_from_before_intervals_of_all_figures_still_make_a_table():
    old = {
        "ua": 0.5,
        "ua_interval": [0.4, 0.6],
        "ua_interval_of": "speakers",
        "ua_ceiling": None,
        "wa": 0.5,
        "wer": None,
    }
    old |= {"recall": {"sad": 0.5}, "descriptors": {}, "n_of": {"emotion": 9, "text": 0, "recall": {"sad": 9}}}
    assert figure_rows(old) == [
        ("emotion, UA", "0.500 (95% interval 0.400 to 0.600, over speakers)", "9"),
        ("emotion, WA", "0.500", "9"),
        ("recall, sad", "0.500", "9"),
    ]


def test_descriptors_are_compared_as_sentences():
    found = wording(several(), ["pitch"])
    assert found["rouge_l"] == 1 and found["bleu"] == pytest.approx(100) and found["n"] == 12
    assert wording(several(reference={"descriptors": {}}), ["pitch"]) is None


def test_score_and_compare_from_the_command_line(tmp_path, capsys):
    write_predictions(tmp_path / "mine.jsonl", several(60))
    rows = [f"{p['id']},{p['reference']['emotion']}" for p in several(60)]
    write(tmp_path / "other.csv", ["id,emotion", *rows])
    mine, other, output = (str(tmp_path / name) for name in ("mine.jsonl", "other.csv", "out.json"))
    assert main(["score", other, "--references", mine, "--resamples", "100", "--output", output]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["ua"] == 1
    assert main(["compare", mine, other, "--resamples", "500", "--output", output]) == 0
    compared = json.loads((tmp_path / "out.json").read_text())["comparisons"][0]
    assert compared["difference"] == pytest.approx(1 / 3) and max(compared["p"].values()) < 0.01
    assert compared["difference"] == pytest.approx(
        np.mean([p["emotion"] != p["reference"]["emotion"] for p in several(60)])
    )
    assert "mcnemar" in capsys.readouterr().out


def test_the_command_line_names_what_is_wrong(tmp_path, capsys):
    write_predictions(tmp_path / "mine.jsonl", several())
    write_predictions(tmp_path / "less.jsonl", several(9))
    assert main(["compare", str(tmp_path / "mine.jsonl"), str(tmp_path / "less.jsonl")]) == 2
    assert "over different utterances: 3 are missing" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
