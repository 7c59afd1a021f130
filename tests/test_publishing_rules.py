"""What the Hub would refuse, found without a network: names, metadata, figures, files."""

import json
import math
from pathlib import Path

import pytest
import yaml
from publishing_folder import EVALUATION, publish, save, write_evaluation

from xser.eval import EvalArguments, evaluate
from xser.evaluation.weights import weights_digest
from xser.publishing import files
from xser.publishing.card_rules import card_problems, repo_problems
from xser.publishing.evaluations import read_evaluations
from xser.publishing.problems import Problem, PublishError, refuse

CONFIG = {"emotions": ["angry", "sad"], "descriptors": {"pitch": ["low"]}, "emphasis": False}
INDEX = {
    "name": "x",
    "results": [
        {
            "task": {"type": "audio-classification"},
            "dataset": {"type": "espeak", "name": "espeak"},
            "metrics": [{"type": "wer", "value": 0.5, "name": "WER"}],
        }
    ],
}


@pytest.fixture
def saved(tiny_pair, tmp_path):
    return save(tiny_pair, tmp_path / "model")


@pytest.mark.parametrize(
    "repo", ["xser", "a/b/c", "someone/xser 1", "", "/x", "a/", "a/b--c", "a/-b", "ä/b", "a/" + "b" * 97]
)
def test_a_repository_that_is_no_user_and_name_is_refused(repo):
    (problem,) = repo_problems(repo)
    assert str(problem).startswith(f"--repo is {repo!r}: it must be USER/NAME")


def test_a_repository_with_a_dot_is_refused_with_another_name():
    (problem,) = repo_problems("someone/xser-1.0")
    assert "a name with a dot: use someone/xser-1-0" in str(problem)


def test_a_good_repository_is_taken():
    assert repo_problems("some-one/xser_1") == []


def card(**fields):
    return f"---\n{yaml.safe_dump(fields)}---\n# A model\n"


def index(**changes):
    """A model-index of which a part is replaced: `task`, `dataset` or `metrics`."""
    return [{"name": "x", "results": [INDEX["results"][0] | changes]}]


def test_a_good_card_is_taken():
    fields = {"language": ["pl", "multilingual", "zh-Hant", "yue"], "tags": ["a"], "base_model": ["gpt2", "a/b"]}
    assert card_problems(card(license="mit", pipeline_tag="audio-classification", **fields)) == []
    assert card_problems(card(**{"model-index": [INDEX]})) == []
    assert card_problems("# no metadata\n") == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"license": "apache2"}, "license"),
        ({"license": ["mit"]}, "license"),
        ({"license": None}, "license"),
        ({"license": "other"}, "license_name"),
        ({"license": "other", "license_name": "My Terms", "license_link": "LICENSE"}, "license_name"),
        ({"license": "other", "license_name": "mine", "license_link": "somewhere"}, "license_link"),
        ({"language": False}, "language"),
        ({"language": ["en", "xx"]}, "language[1]"),
        ({"language": "English"}, "language"),
        ({"tags": ["a", 1]}, "tags[1]"),
        ({"tags": None}, "tags"),
        ({"tags": [["a"]]}, "tags[0]"),
        ({"metrics": [None]}, "metrics[0]"),
        ({"datasets": ["a/b/c"]}, "datasets[0]"),
        ({"datasets": [None]}, "datasets[0]"),
        ({"base_model": "runs/a/final"}, "base_model"),
        ({"pipeline_tag": "emotion-recognition"}, "pipeline_tag"),
        ({"pipeline_tag": ["audio-classification"]}, "pipeline_tag"),
        ({"library_name": 1}, "library_name"),
        ({"model-index": {}}, "model-index"),
        ({"model-index": [{"name": None, "results": INDEX["results"]}]}, "model-index[0].name"),
        ({"model-index": [{"name": "x"}]}, "model-index[0].results"),
        ({"model-index": index(task=None)}, "model-index[0].results[0].task.type"),
        ({"model-index": index(dataset={"type": "espeak"})}, "model-index[0].results[0].dataset.name"),
        ({"model-index": index(dataset={"type": None, "name": "x"})}, "model-index[0].results[0].dataset.type"),
        ({"model-index": index(metrics=[{"value": 1}])}, "model-index[0].results[0].metrics[0].type"),
        ({"model-index": index(metrics=[{"type": "f1"}])}, "model-index[0].results[0].metrics[0].value"),
        (
            {"model-index": index(metrics=[{"type": "f1", "value": math.nan}])},
            "model-index[0].results[0].metrics[0].value",
        ),
        (
            {"model-index": index(metrics=[{"type": "f1", "value": math.inf}])},
            "model-index[0].results[0].metrics[0].value",
        ),
    ],
)
def test_what_the_hub_refuses_in_a_card_is_named_by_its_field(fields, where):
    assert f"README.md: {where}" in [problem.where for problem in card_problems(card(**fields))]


def test_a_language_by_name_gets_its_code():
    assert "it must be an ISO 639 code, such as en, pl or yue: pl" in str(card_problems(card(language="Polish"))[0])


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("license: mit\nlicense: apache-2.0", "'license' comes twice"),
        ("model-index:\n- name: a\n  name: b", "'name' comes twice"),
        ("tags: [a", "is not YAML"),
        ("just words", "it must be lines of key: value"),
        ("tags: !!python/object:os.system {}", "is not YAML"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(metadata, says):
    with pytest.raises(PublishError, match=f"README.md: its metadata.*{says}"):
        card_problems(f"---\n{metadata}\n---\n")


def test_a_card_whose_metadata_does_not_end_is_refused():
    with pytest.raises(PublishError, match="does not end"):
        card_problems("---\nlicense: mit\n# A model\n")


def test_a_card_in_the_folder_of_the_model_is_checked(saved, tmp_path):
    (saved / "README.md").write_text(card(license="apache-2.0", language="Polish", tags=[1]))
    with pytest.raises(PublishError, match=r"(?s)2 things.*README\.md: tags.*README\.md: language"):
        publish(saved, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ua": math.nan}, "ua"),
        ({"wer": math.inf}, "wer"),
        ({"wa": 1.5}, "wa"),
        ({"ua": "0.8"}, "ua"),
        ({"ua": True}, "ua"),
        ({"wer": -0.1}, "wer"),
        ({"descriptors": {"pitch": None}}, "descriptors.pitch"),
        ({"descriptors": {"pitch": math.nan}}, "descriptors.pitch"),
        ({"descriptors": []}, "descriptors"),
        ({"recall": {"sad": math.nan}}, "recall.sad"),
        ({"corpus": None}, "corpus"),
        ({"corpus": " "}, "corpus"),
        ({"split": None}, "split"),
        ({"n": 0}, "n"),
        ({"intervals": {"wa": {"low": math.nan, "high": 1.0, "of": "speakers"}}}, "intervals.wa.low"),
        ({"ua_interval": [0.1, math.nan]}, "ua_interval[1]"),
        ({"recall": {"joyful": 0.5}}, "recall"),
        ({"descriptors": {"age": 0.5}}, "descriptors"),
    ],
)
def test_a_figure_or_name_that_cannot_be_is_named(tmp_path, changes, field):
    path = write_evaluation(tmp_path / "r.json", **changes)
    evaluations, problems, _ = read_evaluations([path], tmp_path, CONFIG)
    assert f"{path}: {field}" in [problem.where for problem in problems] and evaluations == []


def test_good_figures_are_taken(tmp_path):
    path = write_evaluation(tmp_path / "r.json", wer=1.3, ua=None, recall={"sad": None})
    (evaluation,), problems, notes = read_evaluations([path], tmp_path, CONFIG)
    assert evaluation["wer"] == 1.3 and problems == [] and notes == []


def test_an_evaluation_of_other_weights_is_refused(saved, tmp_path):
    config = {**CONFIG, "emotions": ["angry", "sad", "happy"]}
    own = write_evaluation(tmp_path / "own.json", weights=weights_digest(saved), model="elsewhere/final")
    assert read_evaluations([own], saved, config)[1:] == ([], [])
    other = write_evaluation(tmp_path / "other.json", weights="0" * 64, model="runs/other")
    _, (problem,), _ = read_evaluations([other], saved, config)
    assert str(problem).startswith(f"{other}: weights is '000000000000… of runs/other'")
    assert "evaluate the model that is published" in str(problem)


def test_eval_writes_which_weights_it_measured(saved, tmp_path, monkeypatch):
    measured = {key: value for key, value in EVALUATION.items() if key not in ("command", "corpus", "split")}
    results = measured | {"speaker_reference": "none"}
    monkeypatch.setattr("xser.eval.load_rows", lambda *_: [])
    monkeypatch.setattr("xser.eval.evaluate_references", lambda *_, **__: [(results | {"gaps": {}}, [])])
    out = tmp_path / "results.json"
    evaluate(EvalArguments(model=str(saved), output=str(out)))
    assert json.loads(out.read_text())["weights"] == weights_digest(saved)
    _, problems, notes = read_evaluations([str(out)], saved, CONFIG)
    assert problems == [] and notes == []


def test_the_weights_of_a_folder_are_told_apart(saved):
    before = weights_digest(saved)
    with (saved / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert len(before) == 64 and weights_digest(saved) != before
    assert weights_digest("someone/xser") is None


def test_an_evaluation_without_its_weights_is_named_where_its_model_has_another_name(tmp_path):
    folder = tmp_path / "runs" / "mine" / "final"
    folder.mkdir(parents=True)
    for model, is_named in (
        ("runs/mine/final", False),
        ("final", False),
        ("runs/other/final", True),
        ("../final", False),
    ):
        path = write_evaluation(tmp_path / "r.json", model=model)
        _, problems, notes = read_evaluations([path], folder, CONFIG)
        assert problems == [] and bool(notes) == is_named, model


@pytest.mark.parametrize(
    "name", [".env", "token", "id_rsa", "server.pem", "credentials.json", ".git-credentials", "deep/.env.local"]
)
def test_a_file_with_the_name_of_a_secret_is_refused(saved, name):
    (saved / name).parent.mkdir(exist_ok=True)
    (saved / name).write_text("x")
    (problem,) = files.source_problems(saved)
    assert problem.where.endswith(name) and "the name of a secret" in str(problem)


def test_a_token_in_a_text_is_refused_and_not_shown(saved, tmp_path):
    token = "hf_" + "Ab1" * 11
    (saved / "NOTICE").write_text(f"Trained with {token}.\n")
    with pytest.raises(PublishError, match="NOTICE, line 1 is 'a token or key'") as caught:
        publish(saved, tmp_path / "out")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/data",
        f"/{'root'}/x",
        "/Users/ann/x",
        "/scratch/a/b",
        "C:\\Users\\ann",
        "~/models/x",
        "file:///mnt/x",
    ],
)
def test_a_path_of_the_machine_in_a_text_is_named_with_its_line(saved, tmp_path, path):
    (saved / "NOTICE").write_text(f"Trained on\nthe data in {path}, under terms.\n")
    with pytest.raises(PublishError, match="NOTICE, line 2 is ") as caught:
        publish(saved, tmp_path / "out")
    assert repr(path) in str(caught.value)


def test_a_path_in_a_config_is_named_with_its_key(saved, tmp_path):
    text = (
        (saved / "config.json").read_text().replace('"emphasis"', '"made_in": {"a": ["/home/ann/x"]}, "emphasis"', 1)
    )
    (saved / "config.json").write_text(text)
    with pytest.raises(PublishError, match=r"config\.json: made_in\.a\[0\] is '/home/ann/x'"):
        publish(saved, tmp_path / "out")


def test_nan_in_a_config_is_named(saved, tmp_path):
    text = (saved / "processor_config.json").read_text().replace("{", '{"x": [1.0, NaN], ', 1)
    (saved / "processor_config.json").write_text(text)
    with pytest.raises(PublishError, match=r"processor_config\.json: x\[1\] is nan"):
        publish(saved, tmp_path / "out")


def test_an_evaluation_that_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(PublishError, match=r"--evaluation is .*; it must be a file that eval.py wrote"):
            read_evaluations([str(path)], tmp_path, CONFIG)


@pytest.mark.parametrize("text", ["https://huggingface.co/home/x/y", "and/or", "24/7", "a </s> b", "1/2 of them"])
def test_an_address_is_no_path_of_the_machine(text):
    assert not files.MACHINE_PATH.search(text)


def test_the_working_folder_is_a_path_of_the_machine_and_no_part_of_an_address(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.cwd", lambda: Path("/anywhere/else"))
    (saved / "NOTICE").write_text("See https://host/anywhere/else/x and from/anywhere/else.\n")
    publish(saved, tmp_path / "out")
    (saved / "NOTICE").write_text("Made in /anywhere/else/x.\n")
    with pytest.raises(PublishError, match="NOTICE, line 1 is '/anywhere/else/x"):
        publish(saved, tmp_path / "out")


def test_paths_in_records_and_commands_are_cut(saved, tmp_path):
    stage = {
        "data": "/data/mine/recordings",
        "command": "python train.py c.yaml --data /data/mine/recordings",
        "seed": 1,
    }
    (saved / "training.yaml").write_text(yaml.safe_dump([stage]))
    evaluation = write_evaluation(tmp_path / "r.json", command="python eval.py --model /data/x/final --corpus espeak")
    out = publish(saved, tmp_path / "out", evaluation=[evaluation])
    for name in ("README.md", "training.yaml"):
        assert "/data/" not in (out / name).read_text() and "recordings" in (out / name).read_text()
    assert "--model final" in (out / "README.md").read_text()


def test_links_are_followed_within_the_folder_and_a_cache_and_refused_elsewhere(saved, tmp_path):
    elsewhere = tmp_path / "secret"
    elsewhere.write_text("x")
    (saved / "NOTICE").symlink_to(elsewhere)
    (problem,) = files.source_problems(saved)
    assert "it links out of the folder" in str(problem)
    elsewhere.unlink()
    (problem,) = files.source_problems(saved)
    assert "it links to nothing" in str(problem)
    (saved / "NOTICE").unlink()
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "1", tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in saved.iterdir():
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(blobs / path.name)
    assert files.source_problems(snapshot) == []


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", None])
def test_weights_that_are_cut_off_are_refused(saved, content):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    (problem,) = files.source_problems(saved)
    assert problem.where == str(path) and "save the model anew" in str(problem)


def test_a_file_that_is_too_large_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_SIZE", 1000)
    with pytest.raises(PublishError, match=r"model\.safetensors is .*max_shard_size"):
        publish(saved, tmp_path / "out")


def test_one_problem_is_a_line_and_the_same_one_is_said_once():
    problem = Problem("a", 1, "b")
    with pytest.raises(PublishError, match=r"^a is 1: b$"):
        refuse([problem, problem])
    refuse([])


@pytest.mark.parametrize(
    ("content", "says"), [('{"model_type": "llama"}', "model_type is 'llama'"), ("[]", "XSER"), ("{", "not JSON")]
)
def test_a_folder_of_another_model_is_refused(saved, tmp_path, content, says):
    (saved / "config.json").write_text(content)
    with pytest.raises(ValueError, match=f"config.json.*{says}"):
        publish(saved, tmp_path / "out")
