"""What the runs of a system come to: all folds and seeds together, and each seed alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xser.evaluation import counts
from xser.evaluation.intervals import MIN_SPEAKERS, RESAMPLES, SPEAKERS, UTTERANCES
from xser.evaluation.predictions import NO_ANSWER, read_predictions
from xser.evaluation.protocols.folder import PREDICTIONS, RESULTS
from xser.evaluation.report import read_json
from xser.evaluation.scoring import score
from xser.systems.published import SYSTEMS
from xser.systems.run import runs_there, why_not_done

Seeds = Mapping[int, Sequence[dict]]  # seed → predictions of all folds that are done


def read_systems(output: Path) -> tuple[dict[str, dict[int, list[dict]]], dict[str, str]]:
    """Predictions of every run that is done, by system and seed, and of each that is not the reason.

    A system that was not trained to transcribe has no transcripts.
    """
    found, missing = {}, {}
    for run in runs_there(output):
        if not run.is_done(output):
            missing[run.name] = why_not_done(output, run)
            continue
        read = read_predictions(run.folder(output) / PREDICTIONS)
        if run.system in SYSTEMS and not SYSTEMS[run.system].has_asr:
            read = [{**prediction, "transcript": None} for prediction in read]
        found.setdefault(run.system, {}).setdefault(run.seed, []).extend(read)
    return found, missing


def information_of(output: Path, system: str) -> dict[str, dict[str, float]]:
    """Bits a second and nats a frame of each stream, the mean over the runs that measured them."""
    found: dict[str, list[dict]] = {}
    for run in runs_there(output):
        if run.system == system and run.is_done(output):
            for stream, carried in read_json(run.folder(output) / RESULTS).get("information", {}).items():
                found.setdefault(stream, []).append(carried)
    return {
        stream: {name: float(np.mean([each[name] for each in runs])) for name in ("bits_per_second", "nats_per_frame")}
        for stream, runs in found.items()
    }


def figures_of(seeds: Seeds, resamples: int = RESAMPLES) -> dict:
    """Figures of one system.

    Args:
        seeds: its predictions.
        resamples: of the intervals.

    Returns:
        n: utterances, each counted once; seeds: the UA of each seed alone; std: their standard deviation, `None` of
        one seed. ua, wa, weighted_f1, wer (from 0 to 1), captions (as `captions.caption_figures`), and intervals (as
        `scoring.score` has them) of the answers of all seeds together: a resample draws whole speakers, or
        utterances, with the answers of all seeds.
    """
    predictions = [prediction for answers in seeds.values() for prediction in answers]
    unit, of = units(predictions, MIN_SPEAKERS)
    scored = score([_with_speaker(p, name) for p, name in zip(predictions, unit, strict=True)], resamples=resamples)
    by_seed = {seed: _unweighted_accuracy(answers) for seed, answers in sorted(seeds.items())}
    known = [ua for ua in by_seed.values() if ua is not None]
    names = ("ua", "wa", "weighted_f1", "wer", "captions")
    return {
        "n": len({prediction["id"] for prediction in predictions}),
        "seeds": by_seed,
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        **{name: scored[name] for name in names},
        "intervals": {name: {**scored["intervals"][name], "of": of} for name in names if name in scored["intervals"]},
        "descriptors": scored["descriptors"],
    }


def units(predictions: Sequence[dict], least: int) -> tuple[list[str], str]:
    """What is resampled as one: speakers, or utterances where there are fewer than `least` or one is not known.

    An utterance that several seeds have answered is one unit, not several.

    Returns:
        the unit of each prediction, and "speakers" or "utterances".
    """
    speakers = [prediction["reference"].get("speaker") for prediction in predictions]
    if None not in speakers and len(set(speakers)) >= least:
        return speakers, SPEAKERS
    return [prediction["id"] for prediction in predictions], UTTERANCES


def _with_speaker(prediction: dict, speaker: str) -> dict:
    return {**prediction, "reference": {**prediction["reference"], "speaker": speaker}}


def _unweighted_accuracy(predictions: Sequence[dict]) -> float | None:
    rows = [prediction for prediction in predictions if prediction["reference"].get("emotion") is not None]
    if not rows:
        return None
    truth = [prediction["reference"]["emotion"] for prediction in rows]
    guess = [prediction["emotion"] or NO_ANSWER for prediction in rows]
    return float(counts.unweighted_accuracy(counts.confusion_columns(guess, truth, sorted(set(truth))).sum(axis=0)))
