"""Running all folds of a protocol: train.py and eval.py are stood in for, but for one tiny run at the end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_protocols import iemocap_rows, row, save
from training_corpus import make_audiofolder
from transformers import HfArgumentParser

from xser.corpora.cache import write_json
from xser.eval import EvalArguments, load_rows
from xser.evaluation.__main__ import main as evaluation
from xser.evaluation.predictions import PredictionError, read_predictions, reference_of, write_predictions
from xser.evaluation.protocols import folder as protocol_folder
from xser.evaluation.protocols import run as protocol_run
from xser.evaluation.protocols.__main__ import ending_on_sigterm, main
from xser.evaluation.protocols.claims import CLAIM, Claimed, claim, release
from xser.evaluation.protocols.plan import make_plan
from xser.evaluation.protocols.results import aggregate, figures_of_fold, mean_of_folds
from xser.evaluation.protocols.run import FoldFailed, complete, run_command
from xser.evaluation.protocols.table import FOUR, PROTOCOLS
from xser.training.arguments import parse_config
from xser.training.data import _splits

CONFIG = {"audio_model": "a", "text_model": "b", "use_cpu": True, "report_to": "none", "output_dir": "elsewhere"}


class Commands:
    """Stands in for `run_command`: reads the rows that train.py and eval.py would, and leaves what they would.

    Attributes:
        fail: words of a command that ends with an error.
        left_out: ids that eval.py leaves out.
        trained: fold folder → (speakers to train on, speakers for development, the parsed arguments).
        done: (script, fold folder), in order.
    """

    def __init__(self):
        self.fail, self.left_out, self.trained, self.done = (), (), {}, []

    def __call__(self, command: list[str], log: Path) -> None:
        assert command[0] == sys.executable
        script, fold = Path(command[1]).name, log.parent.name
        self.done.append((script, fold))
        if {script, fold} <= set(self.fail):
            raise FoldFailed(f"{script} ended with 1")
        self.train(command[2:], fold) if script == "train.py" else self.evaluate(command[2:])

    def train(self, argv: list[str], fold: str) -> None:
        model, data, training = parse_config(argv)
        parts = [part and set(part["speaker"][:]) for part in _splits(data)]
        self.trained[fold] = (*parts, (model, data, training))
        (Path(training.output_dir) / "final").mkdir(parents=True)
        write_json(Path(training.output_dir) / "results.json", {})

    def evaluate(self, argv: list[str]) -> None:
        [arguments] = HfArgumentParser(EvalArguments).parse_args_into_dataclasses(argv)
        assert Path(arguments.model).is_dir()
        rows = load_rows(arguments.corpus, arguments.split, arguments.test_fold).remove_columns("audio").to_list()
        predictions = [
            {"id": row["id"], "reference": reference_of(row), "emotion": answer(row)}
            for row in rows
            if row["id"] not in self.left_out
        ]
        write_predictions(arguments.predictions, predictions)
        write_json(
            Path(arguments.output), {"left_out": [{"id": id, "reason": "too long"} for id in self.left_out], "ua": 0}
        )


def answer(row: dict) -> str:
    """Right, but for sad utterances of women."""
    return "angry" if (row["emotion"], row["speaker"][-1]) == ("sad", "F") else row["emotion"]


@pytest.fixture
def commands(monkeypatch):
    stand_in = Commands()
    monkeypatch.setattr(protocol_run, "run_command", stand_in)
    return stand_in


@pytest.fixture
def start(tmp_path, commands):
    """Start `run` on a corpus of some rows, which are saved once."""

    def start(protocol: str, rows: list[dict], *further: str, config: dict | None = None) -> int:
        if not (tmp_path / "corpus").exists():
            save(rows, tmp_path / "corpus")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **(config or {})}))
        given = ["--corpus", str(tmp_path / "corpus"), "--output", str(tmp_path / "out")]
        if "--system" not in further:
            given += ["--config", str(tmp_path / "config.yaml")]
        return main(["run", protocol, *given, *further])

    return start


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("emotions", [FOUR, (*FOUR, "excited")])
def test_every_fold_trains_develops_and_tests_on_its_own_parts(start, commands, tmp_path, emotions):
    rows = iemocap_rows(emotions)
    assert start("iemocap-loso", rows, "--learning_rate", "0.1") == 0
    assert (tmp_path / "out" / "data").exists() == ("excited" in emotions)  # else the corpus is read as it is
    assert commands.done == [(script, f"fold-{n}") for n in "12345" for script in ("train.py", "eval.py")]
    sessions = {s: {f"Ses0{s}F", f"Ses0{s}M"} for s in "12345"}
    for test, development in zip("12345", "51234", strict=True):
        trained, developed, (model, data, training) = commands.trained[f"fold-{test}"]
        assert trained == set().union(*(sessions[s] for s in "12345" if s not in (test, development)))
        assert developed == sessions[development]
        assert (data.train_split, data.eval_split, model.emotions) == ("train", "validation", list(FOUR))
        assert (training.learning_rate, training.resume_from_checkpoint) == (0.1, "auto")
        assert training.output_dir == str(tmp_path / "out" / f"fold-{test}" / "run")
        predictions = read_predictions(tmp_path / "out" / f"fold-{test}" / "predictions.jsonl")
        assert {p["reference"]["speaker"] for p in predictions} == sessions[test]
        assert len(predictions) == 2 * len(emotions)
    protocol = read(tmp_path / "out" / "protocol.json")
    assert protocol["options"]["learning_rate"] == 0.1 and "data" not in protocol["options"]
    assert [fold["name"] for fold in protocol["folds"]] == list("12345")


def test_the_aggregate_gives_both_conventions(start, tmp_path):
    assert start("iemocap-loso", iemocap_rows(FOUR)) == 0
    results = read(tmp_path / "out" / "results.json")
    assert results["columns"] == ["fold", "n", "UA", "WA", "gaps"]
    assert {fold["ua"] for fold in results["folds"].values()} == {0.875}  # half of sad is wrong
    assert results["mean"]["ua"] == {"mean": 0.875, "std": 0.0} and results["mean"]["folds"] == list("12345")
    assert results["together"]["ua"] == 0.875 and results["together"]["n"] == 40
    assert results["rows"][-2][:3] == ["mean over folds 1, 2, 3, 4, 5", "40", "0.875 ± 0.000"]
    assert results["rows"][-1][0] == "together: folds 1, 2, 3, 4, 5"
    assert results["together"]["ua_interval_of"] == "speakers"
    together = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert len(together) == 40 and {p["fold"] for p in together} == set("12345")
    assert "published are 1,085" in results["notes"][0]


def test_a_run_goes_on_where_it_was_stopped(start, commands, tmp_path):
    rows = iemocap_rows(FOUR)
    commands.fail = ("eval.py", "fold-2")
    assert start("iemocap-loso", rows, "--folds", "1", "2") == 1
    assert not list((tmp_path / "out").rglob(CLAIM))
    assert commands.done[-1] == ("eval.py", "fold-2") and len(commands.done) == 4
    commands.fail, commands.done = (), []
    assert start("iemocap-loso", rows, "--folds", "2", "1") == 2  # three folds are left
    assert commands.done == [("eval.py", "fold-2")]  # what was trained is not trained again
    assert not (tmp_path / "out" / "results.json").exists()
    commands.fail, commands.done = ("train.py", "fold-3"), []
    assert start("iemocap-loso", rows) == 1
    commands.fail, commands.done = (), []
    assert start("iemocap-loso", rows) == 0
    assert commands.done[0] == ("train.py", "fold-3") and len(commands.done) == 6
    commands.done.clear()
    assert start("iemocap-loso", rows) == 0 and not commands.done


def test_another_config_or_corpus_is_refused_with_what_differs(start, tmp_path, capsys):
    rows = iemocap_rows(FOUR)
    assert start("iemocap-loso", rows, "--folds", "1") == 2
    assert start("iemocap-loso", rows, "--seed", "7") == 1
    assert "was begun otherwise: options.seed was 42 and is 7" in capsys.readouterr().err
    assert start("iemocap-loso", rows, "--eval_options", "{dtype: bfloat16}") == 1
    assert "evaluation.dtype was None and is 'bfloat16'" in capsys.readouterr().err
    assert start("loso-speaker", rows) == 1
    assert "protocol was 'iemocap-loso' and is 'loso-speaker'" in capsys.readouterr().err
    (tmp_path / "corpus").rename(tmp_path / "before")
    assert start("iemocap-loso", rows[1:]) == 1
    assert "the corpus holds other utterances, labels or speakers now" in capsys.readouterr().err


def test_a_claimed_fold_is_left_to_others_and_can_be_freed(start, commands, tmp_path, capsys):
    rows, path = iemocap_rows(FOUR), tmp_path / "out" / "fold-2" / CLAIM
    write_json(path, {"host": "elsewhere", "pid": 1, "time": "yesterday"})
    assert start("iemocap-loso", rows) == 2
    assert {fold for _, fold in commands.done} == {f"fold-{n}" for n in "1345"}
    said = capsys.readouterr().out
    assert "fold 2: claimed by process 1 on elsewhere since yesterday\n" in said
    assert "left to do, or others do them: fold 2" in said
    results = aggregate(tmp_path / "out", resamples=10)
    assert results["missing"] == {"2": "claimed by process 1 on elsewhere since yesterday"}
    assert start("iemocap-loso", rows, "--release", "2") == 0
    assert commands.done[-1] == ("eval.py", "fold-2") and not path.exists()
    assert start("iemocap-loso", rows, "--release", "2") == 1
    assert "claimed by nobody" in capsys.readouterr().err


def test_a_claim_is_held_by_one_alone(tmp_path):
    path = tmp_path / "fold-1" / CLAIM
    with claim(path):
        assert read(path)["pid"] == os.getpid()
        with pytest.raises(Claimed, match=f"process {os.getpid()} on"), claim(path):
            pass
        with pytest.raises(ValueError, match="still runs here"):
            release(path)
    assert not path.exists()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_json(path, {"host": socket.gethostname(), "pid": ended.pid, "time": "now"})
    with pytest.raises(Claimed, match="which runs no more: give --release"), claim(path):
        pass
    release(path)
    with claim(path):
        path.unlink()  # released by somebody else, and taken
        write_json(path, {"host": "elsewhere", "pid": 1, "time": "now"})
    assert path.exists()


def test_a_folder_is_set_up_by_one_machine_while_others_wait(start, commands, tmp_path, monkeypatch, capsys):
    path = tmp_path / "out" / CLAIM
    write_json(path, {"host": "elsewhere", "pid": 1, "time": "now"})
    monkeypatch.setattr(protocol_folder.time, "sleep", lambda _: path.unlink())
    assert start("iemocap-session5", iemocap_rows()) == 0
    assert "is being set up, claimed by process 1 on elsewhere" in capsys.readouterr().out
    assert commands.done == [("train.py", "fold-5"), ("eval.py", "fold-5")]


def test_a_batch_system_that_stops_a_run_leaves_no_claim(tmp_path):
    with pytest.raises(SystemExit), ending_on_sigterm(), claim(tmp_path / CLAIM):
        os.kill(os.getpid(), signal.SIGTERM)
    assert not (tmp_path / CLAIM).exists()


REFUSED = [
    ({"eval_split": "test"}, "eval_split is 'test': the model is chosen on the development part, never on"),
    ({"train_split": "all"}, "train_split is 'all'"),
    ({"test_speakers": ["Ses01F"]}, "test_speakers is ['Ses01F'], on whom train.py would evaluate"),
    ({"corpus_options": {"validation_fold": "1"}}, "corpus_options gives ['validation_fold']"),
    ({"resume_from_checkpoint": "true"}, "every fold goes on from its own last checkpoint"),
    ({"emotions": ["angry", "happy"]}, "is also about ['sad', 'neutral']"),
    ({"lerning_rate": 1}, "unknown key 'lerning_rate'; the nearest is 'learning_rate'"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_a_config_that_chooses_by_the_test_part_is_refused(start, commands, capsys, config, message):
    assert start("iemocap-loso", iemocap_rows(FOUR), config=config) == 1
    assert message in capsys.readouterr().err and not commands.done


def test_overrides_are_refused_like_the_config_and_may_mend_it(start, commands, capsys):
    rows = iemocap_rows(FOUR)
    assert start("iemocap-loso", rows, "--eval_split", "test") == 1
    assert "eval_split is 'test'" in capsys.readouterr().err
    assert start("iemocap-loso", rows, "--data=espeak") == 1
    assert "--data is not handed on to train.py: give --corpus" in capsys.readouterr().err
    assert start("iemocap-loso", rows, "--test_speakers", "null", config={"test_speakers": ["Ses01F"]}) == 0


def test_a_best_checkpoint_needs_a_development_part(start, commands, capsys):
    rows = [row(f"{s}{e}", e, speaker=s, fold=s) for s in ("aF", "bF") for e in FOUR]
    best = {"eval_strategy": "steps", "save_strategy": "steps", "load_best_model_at_end": True}
    assert start("folds", rows, config=best) == 1
    assert "load_best_model_at_end is True, but fold aF, bF has no development part" in capsys.readouterr().err
    assert start("folds", rows, config={"eval_strategy": "steps"}) == 1
    assert "eval_strategy is 'steps', but fold aF, bF has no development part" in capsys.readouterr().err
    assert start("folds", rows) == 0
    trained, developed, (_, data, _) = commands.trained["fold-aF"]
    assert (trained, developed, data.eval_split) == ({"bF"}, None, None)


def test_transcripts_of_what_is_tested_on_are_not_trained(start, tmp_path, capsys):
    save(iemocap_rows(FOUR, "1"), tmp_path / "asr")
    given = {"asr_data": str(tmp_path / "asr")}
    assert start("iemocap-loso", iemocap_rows(FOUR), config=given) == 1
    assert "shares 8 ids with what is tested on" in capsys.readouterr().err
    (tmp_path / "corpus").rename(tmp_path / "before")
    assert start("iemocap-session5", iemocap_rows(FOUR), config=given) == 0


def test_other_emotions_of_the_model_are_noted(start, tmp_path):
    assert start("iemocap-session5", iemocap_rows(FOUR), config={"emotions": [*FOUR, "bored"]}) == 0
    assert "the model may also answer bored, which counts as wrong" in read(tmp_path / "out/results.json")["notes"]


def test_what_a_system_leaves_out_counts_as_wrong_and_is_named(start, commands, tmp_path):
    commands.left_out = ("Ses05M_sad",)
    assert start("iemocap-session5", iemocap_rows(FOUR)) == 0
    results = read(tmp_path / "out" / "results.json")
    assert results["folds"]["5"]["ua"] == 0.75 and results["folds"]["5"]["n"] == 8
    assert results["folds"]["5"]["gaps"] == [
        "1 utterances were left out by the system and count as wrong, such as Ses05M_sad: too long"
    ]
    assert "Ses05M_sad: too long" in results["rows"][0][-1] and len(results["rows"]) == 2


def test_predictions_of_other_utterances_are_refused():
    plan = make_plan(PROTOCOLS["iemocap-session5"], iemocap_rows(FOUR))
    tested = [plan.rows[index] for index in plan.folds[0].parts["test"]]
    predictions = [{"id": r["id"], "reference": reference_of(r), "emotion": "sad"} for r in tested]
    assert [p["id"] for p in complete(plan, plan.folds[0], predictions[::-1], [])[0]] == [r["id"] for r in tested]
    with pytest.raises(PredictionError, match="1 utterances of the references have no prediction"):
        complete(plan, plan.folds[0], predictions[1:], [])
    with pytest.raises(PredictionError, match="another 'emotion'"):
        wrong = {**predictions[0], "reference": {**predictions[0]["reference"], "emotion": "calm"}}
        complete(plan, plan.folds[0], [wrong, *predictions[1:]], [])


def test_folds_that_are_missing_or_lack_an_emotion_are_not_in_the_mean(start, commands, tmp_path):
    rows = [r for r in iemocap_rows(FOUR) if (r["session"], r["emotion"]) != ("2", "sad")]
    assert start("iemocap-loso", rows, "--folds", "1", "2", "4") == 2
    assert main(["aggregate", "--output", str(tmp_path / "out"), "--resamples", "10"]) == 0
    results = read(tmp_path / "out" / "results.json")
    assert results["folds"]["2"]["gaps"] == ["no utterance of sad to test on"] and results["folds"]["2"]["ua"] == 1
    assert results["mean"]["ua"]["mean"] == 0.875 and results["mean"]["folds"] == ["1", "4"]
    assert results["missing"] == {"3": "not done yet", "5": "not done yet"}
    assert results["rows"][3] == ["3", "–", "–", "–", "missing: not done yet"]
    assert results["rows"][-2][0] == "mean over folds 1, 4" and "not in it: folds 2, 3, 5" in results["rows"][-2][-1]
    assert results["rows"][-1][0] == "together: folds 1, 2, 4" and results["rows"][-1][1] == "22"


def test_a_session_that_the_corpus_lacks_is_missing_in_the_table(start, tmp_path):
    assert start("iemocap-loso", iemocap_rows(FOUR, "1245")) == 0
    results = read(tmp_path / "out" / "results.json")
    assert list(results["missing"]) == ["3"] and results["mean"]["folds"] == list("1245")


def test_mean_and_deviation_of_folds():
    folds = {n: {"ua": ua, "wa": 0.5, "complete": n != "3"} for n, ua in (("1", 0.2), ("2", 0.4), ("3", 0.9))}
    mean = mean_of_folds(folds)
    assert mean["ua"]["mean"] == pytest.approx(0.3) and mean["ua"]["std"] == pytest.approx(0.02**0.5)
    assert mean["not_complete"] == ["3"]
    assert mean_of_folds({"1": folds["1"]})["ua"] == {"mean": 0.2, "std": None}
    assert mean_of_folds({"3": folds["3"]})["ua"] == {"mean": None, "std": None}


def test_no_answer_is_wrong():
    predictions = [{"reference": {"emotion": e, "speaker": "s"}, "emotion": None if e == "sad" else e} for e in FOUR]
    figures = figures_of_fold(predictions, FOUR, [], [])
    assert (figures["ua"], figures["wa"], figures["complete"]) == (0.75, 0.75, True)


def test_a_baseline_fills_the_same_folds_so_that_it_can_be_compared(start, tmp_path, capsys):
    rows = iemocap_rows((*FOUR, "excited"))
    assert start("iemocap-loso", rows) == 0
    (tmp_path / "out").rename(tmp_path / "xser")
    assert start("iemocap-loso", rows, "--system", "majority") == 0
    results = read(tmp_path / "out" / "results.json")
    assert results["title"] == "iemocap-loso: majority" and results["together"]["ua"] == 0.25
    assert not (tmp_path / "out" / "data").exists()
    files = [str(tmp_path / name / "predictions.jsonl") for name in ("xser", "out")]
    assert evaluation(["compare", *files, "--resamples", "20"]) == 0
    assert start("iemocap-loso", rows, "--system", "majority", "--seed", "1") == 1
    assert "is not trained by train.py" in capsys.readouterr().err
    assert start("iemocap-loso", rows, "--system", "best") == 1
    assert "must be one of ['xser', 'majority'" in capsys.readouterr().err


def test_cross_corpus_trains_on_one_and_tests_on_all_of_another(start, commands, tmp_path):
    test_rows = [row(f"b{s}{e}", e, speaker=f"{s}M", corpus="b") for s in "xy" for e in (*FOUR, "bored")]
    other = save(test_rows, tmp_path / "other")
    given = ("--test_corpus", other, "--emotion_map", "{excited: happy, bored: null}")
    assert start("cross-corpus", iemocap_rows(), *given) == 0
    trained, developed, (_, data, _) = commands.trained["fold-cross"]
    assert len(developed) == 1 and len(trained | developed) == 10 and data.corpus_options is None
    predictions = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert {p["id"] for p in predictions} == {r["id"] for r in test_rows if r["emotion"] != "bored"}
    assert read(tmp_path / "out" / "results.json")["left_out"] == {
        "tested on, bored: left out by the protocol or emotion_map": 2
    }


def test_names_of_folds_are_safe_as_folders_and_unknown_ones_refused(start, commands, tmp_path, capsys):
    rows = [row(f"{n}{e}", e, speaker=s, fold=s) for n, s in enumerate(("a/../F", "b F", "cF")) for e in FOUR]
    assert start("folds", rows, "--folds", "d") == 1
    assert "--folds ['d'] do not exist; there are ['a/../F', 'b F', 'cF']" in capsys.readouterr().err
    assert start("folds", rows) == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("fold-*")) == ["fold-a%2F..%2FF", "fold-b%20F", "fold-cF"]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()].count("out") == 1


def test_eval_options_may_not_choose_utterances(start, capsys):
    assert start("iemocap-loso", iemocap_rows(FOUR), "--eval_options", "{limit: 3}") == 1
    assert "--eval_options ['limit'] cannot be given" in capsys.readouterr().err


def test_a_command_is_shown_and_kept_and_its_end_told_when_it_fails(tmp_path, capsys):
    log = tmp_path / "x.log"
    run_command([sys.executable, "-c", "print('one ü')"], log)
    assert capsys.readouterr().out == "one ü\n" == log.read_text(encoding="utf-8")
    with pytest.raises(FoldFailed, match=r"ended with 3; .*x\.log holds all it said, at last:\none ü\nbad"):
        run_command([sys.executable, "-c", "print('bad'); raise SystemExit(3)"], log)


@pytest.mark.slow
def test_a_fold_is_really_trained_and_tested(tmp_path, tiny_backbone_folders, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    corpus = make_audiofolder(tmp_path / "tones")
    audio, text = map(str, tiny_backbone_folders)
    config = {**CONFIG, "audio_model": audio, "text_model": text, "max_steps": 2, "eval_limit": 2}
    config |= {"per_device_train_batch_size": 4, "eval_max_new_tokens": 8, "disable_tqdm": True, "warmup_steps": 0}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    given = ["--corpus", str(corpus), "--config", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "out")]
    assert main(["run", "loso-speaker", *given, "--folds", "s0"]) == 2
    folder = tmp_path / "out" / "fold-s0"
    assert read(folder / "run" / "results.json")["eval_describe_n"] == 2
    predictions = read_predictions(folder / "predictions.jsonl")
    assert len(predictions) == 8 and {p["reference"]["speaker"] for p in predictions} == {"s0"}
    results = aggregate(tmp_path / "out", resamples=10)
    assert results["folds"]["s0"]["n"] == 8 and set(results["missing"]) == {"s1", "s2"}


def test_a_caption_that_was_worded_for_a_reference_stays_with_it(tmp_path):
    plan = make_plan(PROTOCOLS["iemocap-session5"], iemocap_rows(FOUR))
    tested = [plan.rows[index] for index in plan.folds[0].parts["test"]]
    worded = {"caption": "Someone speaks sadly.", "caption_from": "worded from the labels"}
    predictions = [{"id": r["id"], "reference": reference_of(r) | worded, "emotion": "sad"} for r in tested]
    write_predictions(tmp_path / "p.jsonl", predictions)
    rows, _ = complete(plan, plan.folds[0], read_predictions(tmp_path / "p.jsonl"), [])
    assert all(row["reference"] | worded == row["reference"] for row in rows)
    assert all("caption_from" not in reference_of(row) for row in tested)
