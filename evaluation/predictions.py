"""Files of predictions: what a system said of each utterance, beside what is known of it.

JSON lines, as `eval.py --predictions` writes them, an utterance each:

    {"id": "r1", "reference": {"emotion": "sad", "text": "we won", "speaker": "anna", "descriptors": {"pitch": "low"}},
     "status": "ok", "emotion": "sad", "scores": {"sad": 0.9, "angry": 0.1}, "descriptors": {"pitch": "low"},
     "emphasis": ["won"], "transcript": "we won", "caption": "A woman says \"we won\", quietly and sadly."}

All but `id` and `emotion` may be absent; `null` is what is not known or was not answered. Any other system's answers
can come as CSV, to be joined to references from elsewhere: columns `id` and `emotion`, and any of `transcript`,
`caption`, one for each descriptor (`pitch`, …), `emphasis` (words with blanks between them), and one with the
probability of each emotion, called like the emotion. An empty cell is no answer; an empty `emphasis` is no word, an
empty `transcript` no words.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xser.corpora.cache import written_beside
from xser.corpora.schema import DIMENSIONS, EMOTIONS, LEVELS
from xser.grammar_xser import EMPHASIS

FACTS = ("emotion", "text", "speaker", "gender", "language", "corpus", "session", "fold", "duration", "caption")
RATED = (*DIMENSIONS, "ratings")  # which few corpora have: only where they are known
COMPARED = ("emotion", "text", "speaker", "descriptors")  # what two references of one utterance must agree on
NO_ANSWER = "none"  # stands for the emotion of a recording that was not answered, such as one without speech
SHOWN = 5
UNTOLD = ("results", "predictions")  # names of files that say nothing of a system
SUM_TOLERANCE = 1e-2  # probabilities may be rounded

_TEXT, _WORDS = (str,), (list, tuple)
_KINDS = {
    "status": _TEXT,
    "emotion": _TEXT,
    "transcript": _TEXT,
    "caption": _TEXT,
    "scores": (dict,),
    "descriptors": (dict,),
    "emphasis": _WORDS,
    "reference": (dict,),
}


class PredictionError(ValueError):
    """Predictions that cannot be evaluated."""


def reference_of(row: Mapping) -> dict:
    """What is known of one row of the one schema, as a prediction's `reference` holds it."""
    rated = {name: row[name] for name in RATED if row.get(name) is not None}
    return {fact: row.get(fact) for fact in FACTS} | {"descriptors": dict(row.get("descriptors") or {})} | rated


def read_predictions(
    path: str | Path, references: Mapping[str, dict] | None = None, emotions: Sequence[str] | None = None
) -> list[dict]:
    """Read a file of predictions, strictly.

    Args:
        path: JSON lines, or CSV where the name ends in `.csv`.
        references: by the utterance's id; every one of them needs a prediction. `None`: the file holds its own.
        emotions: labels that a prediction may have; those of the corpora, of the references and, of JSON lines, of the
            scores, if `None`.

    Returns:
        One prediction an utterance, in the order of the file, each with all of `id`, `reference`, `status`, `emotion`,
        `scores`, `descriptors`, `emphasis`, `transcript` and `caption`.

    Raises:
        PredictionError: the file is not of its form, holds ids twice, labels that are not known, or probabilities that
            are none; or as `join`.
        OSError: it cannot be read.
    """
    path = Path(path)
    known = {ref.get("emotion") for ref in (references or {}).values()} - {None}
    if path.suffix.lower() == ".csv":
        own = {slot for reference in (references or {}).values() for slot in reference.get("descriptors") or {}}
        slots = [*LEVELS, *sorted(own - {*LEVELS, EMPHASIS})]
        predictions = _read_csv(path, emotions or sorted(known | set(EMOTIONS)), slots)
    else:
        predictions = _read_jsonl(path)
    _refuse_repeated(predictions, path)
    if references is not None:
        predictions = join(predictions, references, str(path))
    without = [prediction["id"] for prediction in predictions if prediction["reference"] is None]
    if without:
        right = "give references from a file that eval.py wrote, or add the key 'reference' to each line"
        raise _refusal(path, without, "predictions have no reference", right)
    if emotions is None:
        known |= {prediction["reference"].get("emotion") for prediction in predictions} - {None}
        known |= {label for prediction in predictions for label in prediction["scores"] or {}}
        emotions = sorted(known | set(EMOTIONS))
    _refuse_unknown(predictions, set(emotions), path)
    return predictions


def system_name(path: str | Path) -> str:
    """What to call the system whose results or predictions a file holds: the file's name, or that of its folder."""
    path = Path(path)
    return path.resolve().parent.name if path.stem in UNTOLD else path.stem


def write_predictions(path: str | Path, predictions: Iterable[dict]) -> None:
    """Write predictions as JSON lines, an utterance each.

    Raises:
        PredictionError: one has no id, an id is there twice, or a field is not of its kind.
    """
    path, predictions = Path(path), list(predictions)
    for number, prediction in enumerate(predictions, start=1):
        _check(prediction, f"{path}: prediction {number}")
    _refuse_repeated(predictions, path)
    with written_beside(path) as beside:
        lines = (json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in predictions)
        beside.write_text("".join(lines), encoding="utf-8")


def join(predictions: Sequence[dict], references: Mapping[str, dict], name: str = "predictions") -> list[dict]:
    """The predictions with these references, in the order of the predictions.

    Args:
        predictions: one an utterance.
        references: what is known of each utterance, by its id.
        name: of the predictions, for messages.

    Raises:
        PredictionError: an utterance has no prediction, or several; a prediction has no reference, or another one
            already; a reference holds nothing to compare with.
    """
    _refuse_repeated(predictions, name)
    given = {prediction["id"] for prediction in predictions}
    missing = [id for id in references if id not in given]
    if missing:
        right = f"give one prediction for each of the {len(references)} utterances; an empty emotion is no answer"
        raise _refusal(name, missing, "utterances of the references have no prediction", right)
    extra = [prediction["id"] for prediction in predictions if prediction["id"] not in references]
    if extra:
        raise _refusal(name, extra, "predictions are of utterances that the references lack", "leave these out")
    empty = [id for id, reference in references.items() if not _holds_something(reference)]
    if empty:
        right = "each needs an emotion, a text, a caption or a descriptor to compare with; leave the others out"
        raise _refusal(name, empty, "references are empty", right)
    refuse_other_references(predictions, references, name)
    return [{**prediction, "reference": references[prediction["id"]]} for prediction in predictions]


def refuse_other_references(predictions: Sequence[dict], references: Mapping[str, dict], name: str | Path) -> None:
    """Refuse predictions that were compared with other references.

    Raises:
        PredictionError: a prediction's own reference has another emotion, text, speaker or descriptor.
    """
    for fact in COMPARED:
        other = [
            prediction["id"]
            for prediction in predictions
            if prediction.get("reference") is not None
            and _fact(prediction["reference"], fact) != _fact(references[prediction["id"]], fact)
        ]
        if other:
            right = "evaluate all systems on one version of the data"
            raise _refusal(name, other, f"references have another {fact!r}", right)


def references_of(predictions: Iterable[dict]) -> dict[str, dict]:
    """The references that predictions hold, by id."""
    return {prediction["id"]: prediction["reference"] for prediction in predictions}


def _read_jsonl(path: Path) -> list[dict]:
    predictions = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            try:
                prediction = json.loads(line)
            except json.JSONDecodeError as error:
                raise PredictionError(f"{where} is not JSON: {error}; give one object a line") from error
            _check(prediction, where)
            empty = dict.fromkeys(_KINDS)
            predictions.append({"id": prediction["id"], **empty, **prediction})
    if not predictions:
        raise PredictionError(f"{path} holds no prediction: give one object a line")
    return predictions


def _read_csv(path: Path, emotions: Sequence[str], slots: Sequence[str]) -> list[dict]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            header, *cells = [row for row in rows if row] or [[]]
        except csv.Error as error:
            raise PredictionError(f"{path}, line {rows.line_num} is not CSV: {error}") from error
    allowed = ("id", "emotion", "transcript", "caption", *slots, EMPHASIS, *emotions)
    unknown = [name for name in header if name not in allowed]
    if unknown or not {"id", "emotion"} <= set(header) or len(set(header)) < len(header):
        raise PredictionError(
            f"{path} has the columns {header}; 'id' and 'emotion' must be there, and any of {list(allowed[2:])}, once"
        )
    if not cells:
        raise PredictionError(f"{path} holds no prediction: give one row an utterance")
    predictions = []
    for number, row in enumerate(cells, start=1):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise PredictionError(f"{where} has {len(row)} cells; its header has {len(header)}")
        prediction = _from_cells(dict(zip(header, row, strict=True)), emotions, slots, where)
        _check(prediction, where)
        predictions.append(prediction)
    return predictions


def _from_cells(cells: dict[str, str], emotions: Sequence[str], slots: Sequence[str], where: str) -> dict:
    """One row of a CSV as a prediction."""
    scores = {emotion: _number(cells[emotion], emotion, where) for emotion in emotions if cells.get(emotion)}
    descriptors = {slot: cells[slot].strip() or None for slot in slots if slot in cells}
    return {
        "id": cells["id"].strip(),
        "reference": None,
        "status": None,
        "emotion": cells["emotion"].strip() or None,
        "scores": scores or None,
        "descriptors": descriptors or None,
        "emphasis": cells[EMPHASIS].split() if EMPHASIS in cells else None,
        "transcript": cells.get("transcript"),
        "caption": cells.get("caption") or None,
    }


def _number(cell: str, column: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise PredictionError(f"{where}: {column} is {cell!r}; it must be a probability") from None


def _check(prediction: object, where: str) -> None:
    """Refuse what is no prediction, in its form."""
    if not isinstance(prediction, dict):
        raise PredictionError(f"{where} is {prediction!r:.80}; it must be an object with 'id' and 'emotion'")
    if not isinstance(prediction.get("id"), str) or not prediction["id"]:
        raise PredictionError(f"{where} has the id {prediction.get('id')!r}; it must be a text")
    if "emotion" not in prediction:
        raise PredictionError(f"{where} ({prediction['id']}) has no emotion; null stands for no answer")
    where = f"{where} ({prediction['id']})"
    for name, kinds in _KINDS.items():
        value = prediction.get(name)
        if value is not None and not isinstance(value, kinds):
            raise PredictionError(f"{where}: {name} is {value!r:.80}; it must be of kind {kinds[0].__name__}, or null")
    reference = prediction.get("reference") or {}
    if not isinstance(reference.get("descriptors") or {}, dict):
        raise PredictionError(f"{where}: descriptors of the reference must be an object, slot by slot")
    for fact in ("emotion", "text", "speaker"):
        if not isinstance(reference.get(fact) or "", str):
            raise PredictionError(
                f"{where}: {fact} of the reference is {reference[fact]!r}; it must be a text or null"
            )
    captions = reference.get("caption") or []
    if not isinstance(captions, (str, list)) or not all(isinstance(text, str) for text in captions):
        raise PredictionError(f"{where}: caption of the reference is {captions!r}; it must be a text, a list, or null")
    _check_scores(prediction.get("scores"), where)


def _check_scores(scores: dict | None, where: str) -> None:
    if scores is None:
        return
    numbers = [isinstance(p, int | float) and math.isfinite(p) and p >= 0 for p in scores.values()]
    if not numbers or not all(numbers) or abs(sum(scores.values()) - 1) > SUM_TOLERANCE:
        raise PredictionError(f"{where}: scores {scores!r:.200} must be probabilities that sum to 1")


def _refuse_repeated(predictions: Sequence[dict], name: str | Path) -> None:
    repeated = [id for id, times in Counter(p["id"] for p in predictions).items() if times > 1]
    if repeated:
        raise _refusal(name, repeated, "utterances have several predictions", "give one for each")


def _refuse_unknown(predictions: Sequence[dict], emotions: set[str], path: Path) -> None:
    unknown = [p for p in predictions if ({p["emotion"], *(p["scores"] or {})} - {None}) - emotions]
    if unknown:
        labels = sorted({label for p in unknown for label in (p["emotion"], *(p["scores"] or {})) if label} - emotions)
        right = f"map {labels[:SHOWN]} to some of {sorted(emotions)}"
        raise _refusal(path, [p["id"] for p in unknown], "predictions have an unknown emotion", right)


def _refusal(name: str | Path, ids: list[str], what: str, right: str) -> PredictionError:
    shown = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
    return PredictionError(f"{name}: {len(ids)} {what} ({shown}); {right}")


def _holds_something(reference: Mapping) -> bool:
    descriptors = (reference.get("descriptors") or {}).values()
    text = (reference.get("text") or "").strip()
    known = reference.get("emotion") is not None or bool(text) or bool(reference.get("caption"))
    return known or any(level is not None for level in descriptors)


def _fact(reference: Mapping, fact: str) -> object:
    """What a reference says, so that two that mean the same are equal."""
    if fact != "descriptors":
        return reference.get(fact)
    return {slot: level for slot, level in (reference.get(fact) or {}).items() if level is not None}
