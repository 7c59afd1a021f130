"""Results of eval.py for a card: what is wrong with them, and whether they are of the model that is published."""

from collections.abc import Iterator
from pathlib import Path

from xser.evaluation.report import read_json, without_folders
from xser.evaluation.weights import weights_digest
from xser.publishing.card_rules import name_problem, number_problem
from xser.publishing.problems import Problem, PublishError

NEEDED = ("command", "corpus", "split", "n", "ua", "wer", "descriptors", "recall", "n_of")
SHARES = ("ua", "wa", "macro_f1", "weighted_f1", "ua_ceiling", "ua_bayes")  # from 0 to 1
ERRORS = ("wer", "cer")  # from 0 on
EMPHASIS = "emphasis"
ANEW = "evaluate the model that is published, by eval.py"


def read_evaluations(paths: list[str], model: Path, config: dict) -> tuple[list[dict], list[Problem], list[str]]:
    """Results files, what is wrong with them, and what is to be known of them.

    Args:
        paths: files that eval.py wrote.
        model: the folder that is published.
        config: its `config.json`.

    Raises:
        PublishError: a file is no results file.
    """
    evaluations, problems, notes = [], [], []
    digest = weights_digest(model) if paths else None
    for path in paths:
        if not Path(path).is_file():
            raise PublishError(f"--evaluation is {path!r}; it must be a file that eval.py wrote")
        results = read_json(path)
        missing = [key for key in NEEDED if not isinstance(results, dict) or key not in results]
        if missing:
            raise PublishError(f"--evaluation {path} lacks {', '.join(missing)}: give a file that eval.py wrote")
        found = list(_value_problems(results, path))
        found += _label_problems(results, path, config)
        measured = results.get("weights")
        if measured is not None and measured != digest:
            value = f"{measured[:12]}… of {results.get('model')}" if isinstance(measured, str) else measured
            found.append(Problem(f"{path}: weights", value, f"{model} has the weights {str(digest)[:12]}…: {ANEW}"))
        elif measured is None and not _may_be(results.get("model"), model):
            notes.append(f"{path} does not say of which weights it is, and its model is {results['model']!r}")
        problems += found
        if not found:
            evaluations.append(results | {"command": without_folders(results["command"])})
    return evaluations, problems, notes


def _value_problems(results: dict, path: str) -> Iterator[Problem]:
    """Names that are missing, figures that are no finite numbers, and such as cannot be."""
    for key in ("command", "corpus", "split"):
        yield from filter(None, [name_problem(f"{path}: {key}", results[key])])
    for key in ("descriptors", "recall", "n_of"):
        if not isinstance(results[key], dict):
            yield Problem(f"{path}: {key}", results[key], "it must be a mapping: evaluate anew")
            return
    if not isinstance(results["n"], int) or isinstance(results["n"], bool) or results["n"] < 1:
        yield Problem(f"{path}: n", results["n"], "it must be a number of utterances, 1 or more")
    figures = {key: results[key] for key in (*SHARES, *ERRORS) if results.get(key) is not None}
    shares = {key: value for key, value in figures.items() if key in SHARES}
    shares |= {f"descriptors.{slot}": value for slot, value in results["descriptors"].items()}
    shares |= {f"recall.{name}": value for name, value in results["recall"].items() if value is not None}
    for key, value in {**figures, **shares}.items():
        problem = number_problem(f"{path}: {key}", value)
        if problem is None and (value < 0 or (key in shares and value > 1)):
            problem = Problem(f"{path}: {key}", value, f"it must be {'from 0 to 1' if key in shares else '0 or more'}")
        if problem:
            yield problem
    for key, interval in (results.get("intervals") or {}).items():
        for end in ("low", "high"):
            yield from filter(None, [number_problem(f"{path}: intervals.{key}.{end}", (interval or {}).get(end))])
    for index, end in enumerate(results.get("ua_interval") or ()):
        yield from filter(None, [number_problem(f"{path}: ua_interval[{index}]", end)])


def _label_problems(results: dict, path: str, config: dict) -> Iterator[Problem]:
    """Labels that the model that is published does not have."""
    slots = [*config.get("descriptors", {}), *([EMPHASIS] if config.get("emphasis") else [])]
    for key, known in (("recall", config.get("emotions", [])), ("descriptors", slots)):
        there = results[key] if isinstance(results[key], dict) else {}
        if others := [name for name in there if name not in known]:
            yield Problem(f"{path}: {key}", others, f"the model has {list(known)}; it is of another model: {ANEW}")


def _may_be(named: object, model: Path) -> bool:
    """Whether results that name this model can be of the folder."""
    if not isinstance(named, str):
        return True
    parts = Path(named).parts
    if ".." in parts or not parts:
        parts = parts[-1:]
    return model.absolute().parts[-len(parts) :] == parts or model.resolve().parts[-len(parts) :] == parts
