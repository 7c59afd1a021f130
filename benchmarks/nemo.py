"""Real voices, unseen speakers: XSER and a simpler system on the same folds of nEMO, or of another corpus with folds.

    python benchmarks/nemo.py --data data/nemo-prepared --config configs/xser-nemo.yaml --output runs/nemo-folds \
        --results docs/results/nemo-folds.json --opinions docs/results/nemo-opinions.json [--key value … for train.py]
    python benchmarks/nemo.py --data data/nemo-own --config configs/whisper-nemo.yaml --output runs/whisper-folds \
        --probe runs/nemo-probe --references none all 30 10 3 --claims docs/results/whisper-claims.json …

`--data` is nEMO as `xser prepare` and `xser annotate` leave it: its folds are
its speakers. XSER is trained once a fold, on all the other speakers and for as long as the config says: nothing is
chosen by anybody. In an option `{fold}` stands for the speaker left out. It is tested without and with a reference
(all the speaker's recordings, or so many, no labels), as the classic system is (functionals of eGeMAPS under a support
vector machine, as they are and standardised for each speaker; none and all alone). `--probe` holds the predictions of
`benchmarks/nemo_probe.py`, which stand in its place. What is done already is not done again.

`--claims` holds every descriptor of the answers against the recording, and gives the calibration error beside it.

`--new_texts 0.33` leaves that share of the sentences out of training, and tests on them alone: new speakers and new
sentences. It needs folders and results of its own.

The second table has the UA of each member of the ensemble alone: the language model, and the head of each stream. The
answer pools them with equal weights. "Ensemble weights fitted": each has the exponent (`XSERConfig.vote_weights`) that
is best for the answers about the other speakers; nothing is chosen by the speaker who is tested.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.folds import by_fold
from xser.evaluation.baselines import predict
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import NO_ANSWER, read_predictions, reference_of, write_predictions
from xser.evaluation.report import command_line, text_table, with_interval
from xser.evaluation.scoring import score
from xser.evaluation.significance import TESTS, compare
from xser.levels_xser import AGREE, CONTRADICT
from xser.training.metrics import metric

ROOT = Path(__file__).resolve().parent.parent
NONE, ALL = "none", "all of the speaker's, without labels"
BASELINES = {"eGeMAPS + SVM": "egemaps-svm", "eGeMAPS + SVM, by speaker": "egemaps-svm-speaker"}
PROBE = "logistic regression"
REFERENCES = ("none", "all", "30", "10", "3")
XSER = {reference: f"XSER, reference of {reference}" for reference in REFERENCES}
XSER |= {"none": "XSER", "all": "XSER with reference"}
FITTED = {f"{name}, ensemble weights fitted": name for name in XSER.values()}  # made of the answers of another
TOGETHER = "all of them"
SMALLEST = 1e-6  # of a share
COLUMNS = (
    "system",
    "reference",
    "UA, mean of folds",
    *("deviation", "UA of all", "WER", "held against", "difference"),
    *TESTS,
)
CLAIM_COLUMNS = ("system", "reference", "claims", "contradicted", "decided", "contradicted by slot", "ECE")


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        reference: one of `REFERENCES`.
        against: the system that it is held against.
    """

    reference: str
    against: str | None = None

    @property
    def shown(self) -> str:
        """The reference in the table."""
        whole = {"none": NONE, "all": ALL}
        return whole.get(self.reference, f"{self.reference} of the speaker's, without labels")


def systems_of(references: list[str], has_probe: bool) -> dict[str, System]:
    """Name → system: what XSER is held against, then XSER, for each reference."""
    classic = dict(zip(("none", "all"), BASELINES, strict=True))
    systems = {}
    for reference in references:
        against = f"{PROBE}, {reference}" if has_probe else classic.get(reference)
        if against is not None:
            systems[against] = System(reference)
        systems[XSER[reference]] = System(reference, against)
        systems |= {name: System(reference, against) for name, of in FITTED.items() if of == XSER[reference]}
    return systems


def run(command: list[str], log: Path) -> None:
    """Run a script of this repository on as many threads as are used here; its output goes to a file."""
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with log.open("a", encoding="utf-8") as file:
        subprocess.run([sys.executable, *command], check=True, stdout=file, stderr=subprocess.STDOUT, env=env)


def each_fold(function: Callable[[str], None], folds: list[str], jobs: int) -> None:
    """Call `function` with every fold, `jobs` at a time, among which the cores are shared: a model this small does not
    keep many of them busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(before // jobs, 1))
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for fold, _ in zip(folds, pool.map(function, folds), strict=True):
                print(f"{fold} is done", flush=True)
    finally:
        torch.set_num_threads(before)


def train_fold(data: str, fold: str, folder: Path, config: str, new_texts: float | None, options: list[str]) -> None:
    """Train on the other speakers, unless that is done."""
    if (folder / "run" / "results.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    splitting = f"{{test_fold: {fold}, validation_fold: none, new_texts: {json.dumps(new_texts)}}}"
    command = [str(ROOT / "train.py"), config, "--data", data, "--corpus_options", splitting, "--train_split", "train"]
    command += ["--output_dir", str(folder / "run"), "--resume_from_checkpoint", "auto"]
    run(command + [option.replace("{fold}", fold) for option in options], folder / "train.log")


def test_fold(
    data: str,
    folder: Path,
    config: str,
    new_texts: float | None,
    options: list[str],
    references: list[str],
    verify: bool,
    slots: list[str],
    fold: str,
) -> None:
    """Train on the other speakers, and answer for this one with each reference: `slots` alone, where any are given."""
    folder = folder / fold
    train_fold(data, fold, folder, config, new_texts, options)
    wanted = [reference for reference in references if not answers_of(folder, reference).is_file()]
    if not wanted:
        return
    files = [str(answers_of(folder, "{reference}" if len(wanted) > 1 else wanted[0]))]
    files.append(str(Path(files[0]).with_suffix(".json")))
    command = [str(ROOT / "eval.py"), "--model", str(folder / "run" / "final"), "--corpus", data]
    command += ["--test_fold", fold, "--predictions", files[0], "--output", files[1], "--reference", *wanted]
    command += [] if new_texts is None else ["--new_texts", str(new_texts)]
    command += ["--verify"] if verify else []
    command += ["--slots", *slots] if slots else []
    run(command, folder / "eval.log")


def answers_of(folder: Path, reference: str) -> Path:
    """Where the answers of a fold with a reference lie."""
    return folder / f"XSER-{reference}.jsonl"


def test_baselines(data: str, fold: str, folder: Path, new_texts: float | None, names: set[str]) -> None:
    """The classic systems of these names on the same rows."""
    parts = by_fold(load_corpus(data), fold, "none", new_texts)
    for name, system in BASELINES.items():
        answers = folder / f"{name}.jsonl"
        if name not in names or answers.is_file():
            continue
        guesses = predict(system, parts["train"], parts["test"])
        rows = parts["test"].remove_columns("audio").to_list()
        write_predictions(
            answers,
            [
                {"id": row["id"], "reference": reference_of(row), "status": "ok", "emotion": str(guess)}
                for row, guess in zip(rows, guesses, strict=True)
            ],
        )


def probe_predictions(probe: Path, reference: str, folds: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The probe's predictions of the recordings that XSER answered, in its order, beside the labels of XSER's data.

    Levels of the two may be labelled anew in between; the emotions are the same.

    Raises:
        ValueError: one of them is missing, or of another emotion.
    """
    path = probe / f"{reference}.jsonl"
    found = {each["id"]: each for each in read_predictions(path)}
    if missing := [each["id"] for fold in folds.values() for each in fold if each["id"] not in found]:
        raise ValueError(f"{path} has no prediction of {missing[0]!r}: run benchmarks/nemo_probe.py on the same data")
    for each in (each for fold in folds.values() for each in fold):
        own, other = each["reference"]["emotion"], found[each["id"]]["reference"]["emotion"]
        if own != other:
            raise ValueError(
                f"{path} has {each['id']!r} as {other!r}, and XSER's data as {own!r}: evaluate both on one"
            )
    return {
        fold: [{**found[each["id"]], "reference": each["reference"]} for each in answers]
        for fold, answers in folds.items()
    }


def table(
    systems: dict[str, System], predictions: dict[str, dict[str, list[dict]]], resamples: int
) -> list[tuple[str, ...]]:
    """A row for each system: system → fold → predictions."""
    together = {name: [each for fold in folds.values() for each in fold] for name, folds in predictions.items()}
    rows = []
    for name in predictions:
        against = systems[name].against
        by_fold_ua = [
            ua_of(fold, [each["emotion"] or NO_ANSWER for each in fold]) for fold in predictions[name].values()
        ]
        whole = score(together[name], resamples=resamples)
        low, high = whole["ua_interval"]
        compared = ["–"] * (2 + len(TESTS))
        if against is not None:
            [found] = compare({against: together[against], name: together[name]}, resamples)
            difference = f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
            compared = [against, difference, *(f"{found.p[test]:.4f}" for test in TESTS)]
        rows.append(
            (
                *(name, systems[name].shown, f"{np.mean(by_fold_ua):.3f}", f"{np.std(by_fold_ua, ddof=1):.3f}"),
                f"{whole['ua']:.3f} ({low:.3f} to {high:.3f})",
                "–" if whole["wer"] is None else f"{whole['wer']:.3f}",
                *compared,
            )
        )
    return rows


def claims_table(
    systems: dict[str, System], predictions: dict[str, dict[str, list[dict]]], resamples: int
) -> list[tuple[str, ...]]:
    """How many claims of XSER's answers the recordings contradict, and how far its scores are from its accuracy."""
    rows = []
    for name in predictions:
        found = score([each for fold in predictions[name].values() for each in fold], resamples=resamples)
        claims = found["claims"]
        if claims is None:
            continue
        shares = [
            "–" if claims[key] is None else with_interval(found, f"claims.{key}", claims[key])
            for key in ("contradicted", "decided")
        ]
        by_slot = [
            f"{slot} {counted[CONTRADICT] / max(counted[CONTRADICT] + counted[AGREE], 1):.3f}"
            for slot, counted in claims["verdicts"].items()
        ]
        ece = "–" if found["ece"] is None else with_interval(found, "ece", found["ece"])
        rows.append((name, systems[name].shown, str(claims["n"]), *shares, ", ".join(by_slot), ece))
    return rows


def members_table(systems: dict[str, System], predictions: dict[str, dict[str, list[dict]]]) -> list[tuple[str, ...]]:
    """A row for each member of the ensemble and each reference: UA, as the mean of the folds, and in each."""
    rows = []
    for name, system in systems.items():
        if name not in XSER.values():
            continue
        members = {fold: list(map(members_of, answers)) for fold, answers in predictions[name].items()}
        for member in next(each for of_fold in members.values() for each in of_fold if each):
            said = {
                fold: [max(each[member], key=each[member].get) if each else NO_ANSWER for each in of_fold]
                for fold, of_fold in members.items()
            }
            uas = [ua_of(answers, said[fold]) for fold, answers in predictions[name].items()]
            rows.append((system.shown, member, f"{np.mean(uas):.3f}", *(f"{ua:.3f}" for ua in uas)))
    return rows


def fit_ensembles(predictions: dict[str, list[dict]]) -> tuple[dict[str, list[dict]], dict[str, dict[str, float]]]:
    """Answers of each fold with the ensemble weights that are best for the other folds, and these weights."""
    members = {fold: list(map(members_of, answers)) for fold, answers in predictions.items()}
    fitted, weights = {}, {}
    for fold, answers in predictions.items():
        others = [other for other in predictions if other != fold]
        pairs = [pair for other in others for pair in zip(members[other], predictions[other], strict=True) if pair[0]]
        weights[fold] = ensemble_weights(
            [each for each, _ in pairs], [answer["reference"]["emotion"] for _, answer in pairs]
        )
        pooled = [pool(each, weights[fold]) if each else None for each in members[fold]]
        fitted[fold] = [
            {**answer, "emotion": max(scores, key=scores.get), "scores": scores} if scores else answer
            for answer, scores in zip(answers, pooled, strict=True)
        ]
    return fitted, weights


def ensemble_weights(members: list[dict], truth: list[str]) -> dict[str, float]:
    """The exponents under which the product of the members is likeliest, as `XSERConfig.vote_weights` has them."""
    names = [member for member in members[0] if member != TOGETHER]
    emotions = sorted(members[0][TOGETHER])
    shares = [[[each[member][emotion] for emotion in emotions] for each in members] for member in names]
    logs, right = np.log(np.array(shares) + SMALLEST), [emotions.index(emotion) for emotion in truth]

    def nats(weights: np.ndarray) -> float:
        pooled = np.tensordot(weights, logs, 1)
        return float((logsumexp(pooled, axis=1) - pooled[np.arange(len(right)), right]).mean())

    found = minimize(nats, np.full(len(names), 1 / len(names)), bounds=[(0, None)] * len(names))
    return {member.replace(" ", "_"): round(float(weight), 3) for member, weight in zip(names, found.x, strict=True)}


def pool(members: dict[str, dict[str, float]], weights: dict[str, float]) -> dict[str, float]:
    """Scores by log-linear pooling. Weights need not sum to one: they set the temperature, too."""
    logs = {
        emotion: sum(
            weight * math.log(members[member.replace("_", " ")][emotion] + SMALLEST)
            for member, weight in weights.items()
        )
        for emotion in members[TOGETHER]
    }
    return distribution(logs)


def distribution(logs: dict[str, float]) -> dict[str, float]:
    """Shares that sum to one, from their logarithms up to a constant."""
    return dict(zip(logs, softmax(list(logs.values())).tolist(), strict=True))


def ua_of(answers: list[dict], emotions: list[str]) -> float:
    """UA of `emotions` against the references of the answers."""
    truth = [answer["reference"]["emotion"] for answer in answers]
    return metric("unweighted_accuracy").compute(predictions=emotions, references=truth)["unweighted_accuracy"]


def members_of(answer: dict) -> dict[str, dict[str, float]]:
    """Of each stream, of the language model, and their mean, which is the answer's; nothing where there is none."""
    if answer["scores"] is None:
        return {}
    votes, pooled = answer["votes"], answer["scores"]
    logs = {
        emotion: (len(votes) + 1) * math.log(share) - sum(math.log(vote[emotion]) for vote in votes.values())
        for emotion, share in pooled.items()
    }
    return {**votes, "language model": distribution(logs), TOGETHER: pooled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="nEMO, prepared and annotated")
    parser.add_argument("--config", default="configs/xser-nemo.yaml", help="of train.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--folds", nargs="+", help="only these speakers")
    parser.add_argument("--jobs", type=int, default=1, help="folds at once, which share the cores")
    parser.add_argument(
        "--new_texts", type=float, help="share of the sentences that is tested, and never heard before"
    )
    parser.add_argument("--name", default="nEMO", help="of the corpus, in titles")
    parser.add_argument("--references", nargs="+", choices=REFERENCES, default=["none", "all"])
    parser.add_argument(
        "--probe", type=Path, help="output of benchmarks/nemo_probe.py, in place of the classic systems"
    )
    parser.add_argument("--slots", nargs="+", default=[], help="of the answers: without transcripts they are quicker")
    parser.add_argument("--claims", type=Path, help="JSON file to write the verdicts on claims to")
    parser.add_argument("--results", type=Path, help="JSON file to write the table to")
    parser.add_argument("--opinions", type=Path, help="JSON file to write the table of the members to")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    arguments, options = parser.parse_known_args()
    corpus = load_corpus(arguments.data)
    folds = arguments.folds or sorted({fold for part in corpus.values() for fold in part["fold"]})
    given = arguments.data, arguments.output, arguments.config, arguments.new_texts, options, arguments.references
    each_fold(partial(test_fold, *given, arguments.claims is not None, arguments.slots), folds, arguments.jobs)
    systems = systems_of(arguments.references, arguments.probe is not None)
    for fold in folds:
        test_baselines(arguments.data, fold, arguments.output / fold, arguments.new_texts, set(systems))
    predictions, weights = {}, {}
    for name, system in systems.items():
        if name in FITTED:
            if len(folds) > 1:
                predictions[name], weights[name] = fit_ensembles(predictions[FITTED[name]])
            continue
        is_classic = name in BASELINES
        predictions[name] = {
            fold: read_predictions(
                arguments.output / fold / f"{name}.jsonl"
                if is_classic
                else answers_of(arguments.output / fold, system.reference)
            )
            for fold in folds
        }
        if name.startswith(PROBE):
            predictions[name] = probe_predictions(arguments.probe, system.reference, predictions[name])
    rows = table(systems, predictions, arguments.resamples)
    every = [each for fold in predictions[XSER[arguments.references[0]]].values() for each in fold]
    n, emotions = len(every), len({each["reference"]["emotion"] for each in every})
    what = "each" if arguments.new_texts is None else f"{arguments.new_texts:.0%} of the sentences and each"
    title = (
        f"{arguments.name}, {what} of {len(folds)} folds left out in turn: {n} utterances, {emotions} emotions "
        f"(chance {1 / emotions:.3f})"
    )
    print(title, text_table(rows, COLUMNS), sep="\n")
    if arguments.results:
        content = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
        write_json(arguments.results, content)
    if arguments.opinions:
        what = "UA of what each part of XSER would have answered alone"
        title = f"{arguments.name}, unseen speakers: {what}, {n} utterances"
        columns = ("reference", "member", "UA, mean of folds", *folds)
        rows = members_table(systems, predictions)
        print(title, text_table(rows, columns), sep="\n")
        content = {"title": title, "command": command_line(), "columns": columns, "rows": rows}
        write_json(arguments.opinions, {**content, "vote_weights": weights})
    if arguments.claims:
        title = f"{arguments.name}, unseen speakers: claims of answers, held against the recordings, {n} utterances"
        rows = claims_table(systems, predictions, arguments.resamples)
        print(title, text_table(rows, CLAIM_COLUMNS), sep="\n")
        content = {"title": title, "command": command_line(), "columns": CLAIM_COLUMNS, "rows": rows}
        write_json(arguments.claims, content)


if __name__ == "__main__":
    main()
