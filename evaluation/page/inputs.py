"""What a report is made of: results files, predictions and tables, each checked and told from the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import read_predictions, references_of, system_name
from xser.evaluation.report import read_json
from xser.evaluation.scoring import score

EVALUATION = {"n": int, "n_of": dict, "recall": dict, "descriptors": dict}  # a results file's keys and their kinds
FIGURES = ("ua", "wa", "wer")  # it holds these too, as numbers or null
BESIDE = {"ua": "ua_interval", "ua_interval": "ua_interval_of", "ua_ceiling": "ua_bayes"}  # where known, this is there
TABLE = ("title", "columns", "rows")
SAME = 1e-6  # two files of one run may differ by so much
EXPECTED = (
    "a results file of eval.py or `xser score` (with 'n', 'n_of', 'ua', 'wa', 'wer', 'recall', "
    "'descriptors'), a table ('title', 'command', 'columns', 'rows'), or tables.json of `xser systems`"
)


@dataclass(frozen=True)
class System:
    """A system over some utterances.

    Attributes:
        name: of its files, without their ending.
        files: names of its files.
        results: as `eval.py` or `score` write them; computed, where there are only predictions.
        predictions: as `read_predictions` gives them, or `None`.
    """

    name: str
    files: tuple[str, ...]
    results: dict
    predictions: list[dict] | None


@dataclass(frozen=True)
class Given:
    """All that a report is made of.

    Attributes:
        systems: by name, in the order given.
        answered: names of those with predictions, in the order of these; the first is what others are held against.
        tables: name and content of each other file, which has `title`, and `columns` and `rows` or several `tables`.
    """

    systems: dict[str, System]
    answered: list[str]
    tables: list[tuple[str, dict]]


def read_given(files: Sequence[Path], predictions: Sequence[Path], resamples: int = RESAMPLES) -> Given:
    """Read and check all files.

    A results file and a file of predictions of one name (`mine.json`, `mine.jsonl`) are one system's; files that are
    called as a run calls all of them have the name of their folder (`system_name`).

    Args:
        files: JSON files, see `EXPECTED`.
        predictions: JSON lines, or CSV over the utterances of the first of them.
        resamples: of each interval.

    Raises:
        ValueError: a file is of no kind that can be shown, two systems have one name, or the predictions of a system
            are not those that its results are of.
        OSError: a file cannot be read.
    """
    if not files and not predictions:
        raise ValueError(f"nothing to show: give {EXPECTED}, or --predictions")
    results, tables = {}, []
    for path in files:
        content = _read(path)
        if "columns" in content or "tables" in content:
            tables.append((path.name, content))
        else:
            _refuse_second(results, path)
            results[system_name(path)] = (path, content)
    answers: dict[str, tuple[Path, list[dict]]] = {}
    references = None
    for path in predictions:
        _refuse_second(answers, path)
        read = read_predictions(path, references if path.suffix.lower() == ".csv" else None)
        answers[system_name(path)] = (path, read)
        references = references or references_of(read)
    systems = {
        name: _system(name, results.get(name), answers.get(name), resamples)
        for name in dict.fromkeys([*results, *answers])
    }
    return Given(systems, list(answers), tables)


def _system(name: str, results: tuple | None, answers: tuple | None, resamples: int) -> System:
    if answers is None:
        return System(name, (results[0].name,), results[1], None)
    path, predictions = answers
    scored = {"n": len(predictions), **score(predictions, resamples=resamples)}
    if results is None:
        return System(name, (path.name,), scored, predictions)
    for figure in ("n", *FIGURES):
        one, other = results[1][figure], scored[figure]
        if (one is None) != (other is None) or (one is not None and abs(one - other) > SAME):
            raise ValueError(
                f"{results[0]} and {path} have one name, as files of one system have, but {figure} is {one} in the "
                f"first and {other} over the second: give files of one run, or rename one"
            )
    merged = {**scored, **results[1], "n_of": scored["n_of"] | results[1]["n_of"]}
    return System(name, (results[0].name, path.name), merged, predictions)


def _refuse_second(known: dict[str, tuple], path: Path) -> None:
    name = system_name(path)
    if name in known:
        raise ValueError(f"{known[name][0]} and {path} are two systems called {name!r}: rename one file")


def _read(path: Path) -> dict:
    if path.suffix.lower() in (".jsonl", ".csv"):
        raise ValueError(f"{path} is no JSON file: give predictions behind --predictions")
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; it must be {EXPECTED}")
    if "tables" in content:
        _check_tables(content, path)
    elif "columns" in content:
        _check_table(content, path)
    else:
        _check_evaluation(content, path)
    return content


def _check_evaluation(content: dict, path: Path) -> None:
    missing = [key for key in (*EVALUATION, *FIGURES) if key not in content]
    missing += [key for known, key in BESIDE.items() if content.get(known) is not None and key not in content]
    if missing:
        raise ValueError(f"{path} holds {list(content)[:8]} and lacks {missing}; it must be {EXPECTED}")
    for key, kind in EVALUATION.items():
        if not isinstance(content[key], kind):
            raise ValueError(f"{path}: {key!r} is {content[key]!r:.80}; it must be of kind {kind.__name__}")
    shares = {key: content[key] for key in FIGURES} | content["recall"] | content["descriptors"]
    for key, value in shares.items():
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise ValueError(f"{path}: {key!r} is {value!r:.80}; it must be a number, or null where it is not known")
    n_of, gaps = content["n_of"], content.get("gaps", {})
    known = ["emotion", "text", *content["descriptors"]]
    missing = [key for key in known if not isinstance(n_of.get(key), int)]
    missing += [f"recall.{name}" for name in content["recall"] if name not in n_of.get("recall", {})]
    if missing:
        raise ValueError(f"{path}: 'n_of' lacks {missing}: how many utterances are behind each figure")
    unsaid = [name for name, value in content["recall"].items() if value is None and f"recall.{name}" not in gaps]
    if unsaid:
        raise ValueError(f"{path}: the recalls of {unsaid} are null, and 'gaps' does not say why")


def _check_tables(content: dict, path: Path) -> None:
    tables, notes = content["tables"], content.get("notes", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"{path}: 'tables' is {tables!r:.80}; it must be a list of tables")
    if not _are_texts(notes):
        raise ValueError(f"{path}: 'notes' is {notes!r:.80}; it must be a list of texts")
    _check_title(content, path)
    for each in tables:
        _check_table(each, path)


def _check_title(content: dict, path: Path) -> None:
    if not isinstance(content.get("title"), str) or not isinstance(content.get("command", ""), str):
        raise ValueError(f"{path}: 'title' and 'command' must be texts")


def _check_table(content: dict, path: Path) -> None:
    missing = [key for key in TABLE if key not in content]
    if missing:
        raise ValueError(f"{path} has columns and lacks {missing}; it must be {EXPECTED}")
    _check_title(content, path)
    columns, rows = content["columns"], content["rows"]
    if not _are_texts(columns) or not columns:
        raise ValueError(f"{path}: 'columns' is {columns!r:.80}; it must be a list of texts")
    if not isinstance(rows, list):
        raise ValueError(f"{path}: 'rows' is {rows!r:.80}; it must be a list of rows")
    for number, row in enumerate(rows, start=1):
        if not _are_texts(row) or len(row) != len(columns):
            raise ValueError(f"{path}, row {number} is {row!r:.80}; it must be {len(columns)} texts, one a column")


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
