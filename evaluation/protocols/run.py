"""Every fold of a protocol: trained, tested, its predictions kept; goes on where it was stopped.

OUTPUT/protocol.json             what is done: protocol, system, folds, options as resolved, versions
OUTPUT/data/                     rows with the protocol's labels, where the corpus cannot be read as it is
OUTPUT/fold-NAME/run/            what train.py leaves; train.log and eval.log lie beside it
OUTPUT/fold-NAME/predictions.jsonl, results.json     every utterance of the test part; results.json comes last
OUTPUT/fold-NAME/claim.json      while a machine does this fold
"""

import codecs
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from xser.corpora.cache import write_json
from xser.evaluation.captions import with_caption
from xser.evaluation.predictions import join, read_predictions, reference_of, write_predictions
from xser.evaluation.protocols.claims import CLAIM, Claimed, claim
from xser.evaluation.protocols.data import Selection, with_labels
from xser.evaluation.protocols.folder import PREDICTIONS, RESULTS, folder_of, is_done
from xser.evaluation.protocols.plan import Fold, Plan
from xser.evaluation.report import command_line, read_json
from xser.evaluation.scoring import score

ROOT = Path(__file__).resolve().parents[2]
XSER = "xser"
EVALUATION_OPTIONS = ("batch_size", "dtype", "device")  # of eval.py: what does not choose utterances
NOT_ANSWERED = "left_out"  # status of an utterance that eval.py left out
TAIL = 20  # lines of a log that are shown when a command failed


class FoldFailed(RuntimeError):
    """A command of a fold ended with an error."""


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        plan: the folds.
        dataset: rows of the plan with their recordings.
        selection: what train.py and eval.py read.
        output: the folder.
        system: "xser", or one of `baselines.SYSTEMS`.
        arguments: of train.py for every fold: the config and `--key value …`; empty for a baseline.
        evaluation: options of eval.py, of `EVALUATION_OPTIONS`.
        tower: of the baseline "tower-linear".
    """

    plan: Plan
    dataset: datasets.Dataset
    selection: Selection | None
    output: Path
    system: str = XSER
    arguments: Sequence[str] = ()
    evaluation: Mapping[str, object] = field(default_factory=dict)
    tower: str | None = None


def run_folds(job: Job, names: Sequence[str] | None = None) -> dict[str, str]:
    """Run the folds that nobody did or does; gives of each that was asked for and is not done the reason.

    Args:
        job: what to run.
        names: of folds; all if `None`.

    Raises:
        ValueError: no such fold.
        FoldFailed: train.py or eval.py ended with an error.
    """
    folds = {fold.name: fold for fold in job.plan.folds}
    unknown = [name for name in names or () if name not in folds]
    if unknown:
        raise ValueError(f"--folds {unknown} do not exist; there are {list(folds)}")
    chosen, skipped = list(folds) if names is None else list(dict.fromkeys(names)), {}
    for number, name in enumerate(chosen, start=1):
        fold, folder = folds[name], folder_of(job.output, name)
        here = f"[{number} of {len(chosen)}] fold {name}"
        if not is_done(job.output, name):
            try:
                with claim(folder / CLAIM):
                    if not is_done(job.output, name):  # somebody may have ended between the two looks
                        print(f"\n{here}: {len(fold.parts['test']):,} utterances to test on")
                        run_fold(job, fold, folder, here)
            except Claimed as claimed:
                skipped[name] = str(claimed)
        print(f"{here}: {skipped.get(name, 'done')}", flush=True)
    return skipped


def run_fold(job: Job, fold: Fold, folder: Path, here: str) -> None:
    """Train and test; results.json is written last."""
    if job.system == XSER:
        _train(job, fold, folder, here)
        results, predictions = _evaluate(job, fold, folder, here)
    else:
        results, predictions = _baseline(job, fold)
    predictions, not_answered = complete(job.plan, fold, predictions, results.pop("left_out", []))
    write_predictions(folder / PREDICTIONS, predictions)
    write_json(folder / RESULTS, {"fold": fold.name, "not_answered": not_answered, **results})
    shutil.rmtree(folder / "evaluation", ignore_errors=True)


def _train(job: Job, fold: Fold, folder: Path, here: str) -> None:
    run = folder / "run"
    if (run / RESULTS).is_file() and (run / "final").is_dir():
        return  # train.py writes results.json last
    options = {
        **job.selection.training_options(fold),
        "output_dir": str(run),
        "resume_from_checkpoint": "auto",
    }
    print(f"{here}: training, development on {fold.development or 'nothing'}", flush=True)
    run_command([sys.executable, str(ROOT / "train.py"), *job.arguments, *as_arguments(options)], folder / "train.log")


def _evaluate(job: Job, fold: Fold, folder: Path, here: str) -> tuple[dict, list[dict]]:
    beside = folder / "evaluation"
    options = {
        "model": str(folder / "run" / "final"),
        **job.selection.evaluation_options(fold),
        "output": str(beside / RESULTS),
        "predictions": str(beside / PREDICTIONS),
        **job.evaluation,
    }
    print(f"{here}: testing", flush=True)
    run_command([sys.executable, str(ROOT / "eval.py"), *as_arguments(options)], folder / "eval.log")
    return read_json(beside / RESULTS), read_predictions(beside / PREDICTIONS)


def _baseline(job: Job, fold: Fold) -> tuple[dict, list[dict]]:
    """Fitted on the training and development parts: it chooses nothing on the latter."""
    from xser.evaluation.baselines import predict

    train, test = (
        with_labels(job.dataset, job.plan, indices)
        for indices in (sorted(fold.parts["train"] + fold.parts["validation"]), fold.parts["test"])
    )
    guesses = predict(job.system, train, test, *([job.tower] if job.tower else []))
    predictions = [
        {"id": job.plan.rows[index]["id"], "reference": reference_of(job.plan.rows[index]), "emotion": str(guess)}
        for index, guess in zip(fold.parts["test"], guesses, strict=True)
    ]
    empty = {"status": None, "scores": None, "descriptors": None, "emphasis": None, "transcript": None}
    predictions = [{**prediction, **empty} for prediction in predictions]
    return {"command": command_line(), "n": len(predictions), **score(predictions)}, predictions


def complete(plan: Plan, fold: Fold, predictions: list[dict], left_out: list[dict]) -> tuple[list[dict], list[dict]]:
    """One prediction for every utterance of the test part; those that a system left out count as not answered.

    Args:
        plan, fold: what was to be tested on.
        predictions: of the system.
        left_out: `id` and `reason` of what it left out.

    Returns:
        Predictions in the order of the corpus, and of those that had none `id` and `reason`.

    Raises:
        PredictionError: predictions of other utterances, or beside another reference.
    """
    references = {plan.rows[index]["id"]: reference_of(plan.rows[index]) for index in fold.parts["test"]}
    for prediction in predictions:
        if (own := prediction.get("reference")) and prediction["id"] in references:
            references[prediction["id"]] = with_caption(references[prediction["id"]], own)
    reasons = {row["id"]: row["reason"] for row in left_out}
    answered = {prediction["id"] for prediction in predictions}
    missing = [{"id": id, "reason": reasons[id]} for id in references if id not in answered and id in reasons]
    empty = dict.fromkeys(("reference", "emotion", "scores", "descriptors", "emphasis", "transcript"))
    predictions = predictions + [{**empty, "id": row["id"], "status": NOT_ANSWERED} for row in missing]
    of = {prediction["id"]: prediction for prediction in join(predictions, references, f"fold {fold.name}")}
    return [of[id] for id in references], missing


def as_arguments(options: Mapping[str, object]) -> list[str]:
    """Options as a command line has them."""
    tokens = []
    for key, value in options.items():
        text = "null" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)
        tokens.append(f"--{key}={text}")
    return tokens


def run_command(command: list[str], log: Path) -> None:
    """Run a command, show what it says, and keep that in `log`, behind what is there.

    Raises:
        FoldFailed: it ended with an error; the last lines of the log are told.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("ab") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process,
    ):
        try:
            while said := process.stdout.read1():
                file.write(said)
                file.flush()
                print(decoder.decode(said), end="", flush=True)
        except BaseException:  # stopped by hand: so is the command
            process.terminate()
            raise
    if process.returncode:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])
        name = Path(command[1]).name
        raise FoldFailed(f"{name} ended with {process.returncode}; {log} holds all it said, at last:\n{tail}")
