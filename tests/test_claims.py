"""Claims of verified answers: how many measurements agree with, contradict or leave open, and by whose reference."""

import pytest
from conftest import make_wave
from test_evaluation import flac, prediction

from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.eval import main
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.predictions import read_predictions, write_predictions
from xser.evaluation.references import speaker_profiles
from xser.evaluation.report import figure_rows, read_json
from xser.evaluation.scoring import score
from xser.profile_xser import make_profile


def judged(number, speaker, **verdicts):
    """An answer whose claims have these verdicts."""
    answer = prediction("sad", "sad") | {"id": f"p{number}"}
    answer["reference"]["speaker"] = speaker
    return answer | {
        "verification": {slot: {"claim": "high", "verdict": verdict} for slot, verdict in verdicts.items()}
    }


@pytest.fixture
def answers():
    """Six claims of three speakers: four are decided, one of them is contradicted."""
    return [
        judged(0, "a", pitch="agree", volume="contradict"),
        judged(1, "b", pitch="agree", volume="can't tell"),
        judged(2, "c", pitch="can't tell", volume="agree"),
    ]


@pytest.fixture
def dataset(tmp_path):
    """Five recordings of one voice."""
    rows = [
        make_row(
            id=f"r{index}",
            audio=flac(make_wave(0.8 + 0.1 * index, seed=index)),
            text="we won",
            emotion="sad",
            descriptors={"pitch": "high", "volume": "loud"},
            speaker="a",
            corpus="mine",
            duration=0.8 + 0.1 * index,
        )
        for index in range(5)
    ]
    return write_dataset(tmp_path / "rows.arrow", rows)


def test_claims_are_counted_by_slot_and_verdict(answers):
    figures = score(answers)
    assert figures["claims"] == {
        "verdicts": {
            "pitch": {"agree": 2, "contradict": 0, "can't tell": 1},
            "volume": {"agree": 1, "contradict": 1, "can't tell": 1},
        },
        "n": 6,
        "decided": pytest.approx(4 / 6),
        "contradicted": pytest.approx(1 / 4),
    }
    assert figures["n_of"]["claims"] == 6
    assert figures["intervals"]["claims.contradicted"]["of"] == "speakers"
    shown = {row[0]: row[1:] for row in figure_rows(figures)}
    assert shown["claims contradicted, of those decided"][0].startswith("0.250 (")
    assert shown["claims contradicted, of those decided"][1] == "4"
    assert shown["claims of volume"] == ("agree 1, contradict 1, can't tell 1", "3")


def test_where_no_claim_is_decided_none_is_contradicted(answers):
    for answer in answers:
        for verdict in answer["verification"].values():
            verdict["verdict"] = "can't tell"
    figures = score(answers)
    assert (figures["claims"]["decided"], figures["claims"]["contradicted"]) == (0.0, None)
    assert "none of 6 claims" in figures["gaps"]["claims.contradicted"]


def test_answers_that_were_not_verified_make_no_claims():
    assert score([prediction("sad", "sad")])["claims"] is None


def test_claims_are_scored_from_predictions_on_disk(answers, tmp_path):
    write_predictions(tmp_path / "answers.jsonl", answers)
    assert score(read_predictions(tmp_path / "answers.jsonl"))["claims"] == score(answers)["claims"]


def test_an_evaluation_judges_as_an_explanation_does(tiny_pair, dataset):
    model, processor = tiny_pair
    recordings = [row["audio"] for row in dataset]
    results, predictions = evaluate_model(model, processor, dataset, progress=False, reference="all", verify=True)
    reference = speaker_profiles(model, processor, dataset, "all", verify=True)["r0"]
    asked = {"slots": results["slots"], "transcript": True, "verify": True, "reference": reference}
    alone = model.explain(recordings, processor, **asked)
    found = [
        {slot: (judged["claim"], judged["verdict"], judged["basis"]) for slot, judged in each["verification"].items()}
        for each in (*predictions, *alone)
    ]
    assert found[:5] == found[5:]
    assert results["claims"]["n"] == 5 * len(results["claims"]["verdicts"]) > 0
    assert any("speaker" in (basis or "") for each in found for _, _, basis in each.values())


def test_a_reference_of_an_evaluation_is_that_of_the_same_recordings(tiny_pair, dataset):
    model, processor = tiny_pair
    found = speaker_profiles(model, processor, dataset, "all", verify=True)["r0"]
    expected = make_profile(model, processor, [row["audio"] for row in dataset]).usual
    assert found == expected and found.medians


def test_the_command_verifies(tiny_pair, dataset, tmp_path):
    model, processor = tiny_pair
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    dataset.save_to_disk(tmp_path / "data")
    output = tmp_path / "results.json"
    main(["--model", str(tmp_path / "model"), "--corpus", str(tmp_path / "data"), "--split", "train", "--verify",
          "--output", str(output)])  # fmt: skip
    assert read_json(output)["claims"]["n"] > 0
