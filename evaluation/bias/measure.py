"""Bias table: is a system as good for one group as for another, and whom does it take for angry who is not?

    xser bias predictions.jsonl --noise data/nemo-annotated/descriptors.parquet --output bias.json

Of every group by gender, speaker, language, length and signal-to-noise ratio: UA, the recall and the false alarms of
each emotion, and the calibration error of the scores. Every pair of groups of an attribute is compared in UA and in
the false alarms of each emotion, and Holm's correction is over all these comparisons together: `by` names those
attributes that are asked for, and the fewer there are the smaller a bias is found. A system that is even in this table
may still be uneven in what nobody wrote down.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from xser.evaluation.bias.figures import Group, GroupFigure, Pair, false_alarms, recall, unweighted_accuracy
from xser.evaluation.bias.groups import ATTRIBUTES, SNR, Grouping, group_by
from xser.evaluation.counts import calibration_columns, expected_calibration_error
from xser.evaluation.intervals import MIN_SPEAKERS, RESAMPLES, SAME_SPEAKERS
from xser.evaluation.predictions import NO_ANSWER, PredictionError
from xser.evaluation.significance import holm

MIN_UTTERANCES = 20  # of a group
MAX_COMPARED = 30  # groups of an attribute: pairs grow with their square
MIN_OF_EMOTION = 5  # utterances of an emotion, or of all others, that a share is told of
UA, FALSE_ALARMS = "ua", "false_alarms"
EVERYTHING = "all"
NO_SPEAKERS = "where that is so, intervals and tests are over utterances, which finds too much"


def bias(
    predictions: Sequence[dict],
    by: Sequence[str] = ATTRIBUTES,
    snr_db: Mapping[str, float] | None = None,
    resamples: int = RESAMPLES,
) -> dict:
    """Figures of every group, and by how much groups differ.

    Args:
        predictions: as `read_predictions` gives them; those whose reference has an emotion count.
        by: some of `groups.ATTRIBUTES`.
        snr_db: signal-to-noise ratio of utterances, by id.
        resamples: of intervals and tests.

    Returns:
        JSON-able values:
            n: utterances with a reference emotion; emotions: those of references and answers.
            overall: as a group, below.
            attributes: of each, `groups`; `unknown`, utterances in no group; `gaps`, what is not known of all of it;
            and `comparisons`: `figure`, `above` and `below`, two groups, and the fields of `group_figures.Difference`,
            with `p_holm`.
            comparisons: how many there are in all, for Holm's correction.
            gaps: what is not known of all groups.
        A group has `name`, `n`, `speakers` (`None`: not all known), `ua`, `ece` and, of each of `emotions`, `recall`
        and `false_alarms` with their `n`: each figure has `value`, `low`, `high` and `n`; it is `None` where `gaps` of
        the group says why. ECE is too high where utterances are few, so groups of unlike n do not compare in it.

    Raises:
        PredictionError: no reference has an emotion; or as `group_by`.
        ValueError: `by` is empty or repeats itself, or holds no attribute; `snr_db` is of other utterances.
    """
    if not by or len(set(by)) < len(by):
        raise ValueError(f"by is {list(by)}; it must be some of {list(ATTRIBUTES)}, each once")
    heard = [prediction for prediction in predictions if prediction["reference"].get("emotion") is not None]
    if not heard:
        raise PredictionError(f"none of {len(predictions)} references has an emotion: give at least one")
    if snr_db is not None and SNR not in by:
        raise ValueError(f"an SNR is given, and by is {list(by)}; add {SNR!r}, or leave the SNR out")
    if snr_db is not None and not any(prediction["id"] in snr_db for prediction in heard):
        raise ValueError(f"none of {len(heard)} utterances, such as {heard[0]['id']!r}, has an SNR in what was given")
    truth = {prediction["reference"]["emotion"] for prediction in heard}
    emotions = sorted(truth | {prediction["emotion"] for prediction in heard} - {None})
    figures = {UA: unweighted_accuracy()} | {f"{FALSE_ALARMS}.{e}": false_alarms(i) for i, e in enumerate(emotions)}
    figures |= {f"recall.{emotion}": recall(index) for index, emotion in enumerate(emotions)}
    table = _Table(heard, emotions, truth, figures, resamples)
    overall, _ = table.describe(EVERYTHING, range(len(heard)), may_be_one_speaker=True)
    attributes = {name: table.attribute(group_by(name, heard, snr_db)) for name in by}
    made = [comparison for attribute in attributes.values() for comparison in attribute["comparisons"]]
    for comparison, p in zip(made, holm([comparison["p"] for comparison in made]), strict=True):
        comparison["p_holm"] = p
    silent = sum(prediction["reference"].get("speaker") is None for prediction in heard)
    gaps = {"speakers": f"{silent} of {len(heard)} references have no speaker: {NO_SPEAKERS}"} if silent else {}
    return {
        "n": len(heard),
        "emotions": emotions,
        "overall": overall,
        "attributes": attributes,
        "comparisons": len(made),
        "gaps": gaps,
    }


class _Table:
    """Groups of one file's predictions, described and compared."""

    def __init__(
        self,
        predictions: Sequence[dict],
        emotions: list[str],
        truth: set[str],
        figures: dict[str, GroupFigure],
        resamples: int,
    ):
        self.predictions, self.emotions, self.truth = predictions, emotions, truth
        self.figures, self.resamples = figures, resamples

    def attribute(self, grouping: Grouping) -> dict:
        """An entry of `attributes`."""
        of_speakers = grouping.attribute == "speaker"
        too_many = len(grouping.groups) > MAX_COMPARED
        told = []
        for name, rows in grouping.groups.items():
            about, group = self.describe(name, rows, of_speakers)
            told.append((about, None if too_many else group))
        gaps = {} if grouping.gap is None else {"groups": grouping.gap}
        if too_many:
            gaps["comparisons"] = f"{len(told)} groups; up to {MAX_COMPARED} are compared, each with each"
        if len(grouping.groups) == 1:
            gaps["comparisons"] = f"one group ({next(iter(grouping.groups))}) alone: nothing to compare it with"
        comparisons = []
        for (one, group), (other, group_of_other) in combinations(told, 2):
            if group is None or group_of_other is None:
                continue
            pair = Pair(group, group_of_other, self.resamples)
            few = SAME_SPEAKERS in (group.sums.of, group_of_other.sums.of)
            if few and not of_speakers and not (pair.shared and pair.of == SAME_SPEAKERS):
                reason = f"fewer than {MIN_SPEAKERS} speakers in one of them: the difference would be theirs"
                gaps[f"{one['name']} and {other['name']}"] = reason
                continue
            comparisons += self._compare(pair, one, other)
        if len(told) > 1 and not comparisons and not too_many:
            gaps["comparisons"] = "no two groups have a figure in common that can be compared"
        return {
            "groups": [group for group, _ in told],
            "unknown": grouping.unknown,
            "comparisons": comparisons,
            "gaps": gaps,
        }

    def describe(self, name: str, rows: Sequence[int], may_be_one_speaker: bool) -> tuple[dict, Group | None]:
        """A group's figures, and the group; `None` where it has none."""
        predictions = [self.predictions[row] for row in rows]
        speakers = [prediction["reference"].get("speaker") for prediction in predictions]
        known = None if None in speakers else len(set(speakers))
        empty = {e: {"recall": None, FALSE_ALARMS: None} for e in self.emotions}
        about = {"name": name, "n": len(rows), "speakers": known, UA: None, "ece": None, "emotions": empty, "gaps": {}}
        reason = None
        if len(rows) < MIN_UTTERANCES:
            reason = f"{len(rows)} utterances; a group needs {MIN_UTTERANCES}"
        elif known == 1 and not may_be_one_speaker:
            reason = f"one speaker ({speakers[0]}): the figures would be this speaker's"
        if reason is not None:
            return about | {"gaps": {"group": reason}}, None
        truth = [prediction["reference"]["emotion"] for prediction in predictions]
        answers = [prediction["emotion"] or NO_ANSWER for prediction in predictions]
        group = Group(answers, truth, speakers, self.emotions, self.resamples)
        return about | self._figures(group, Counter(truth)) | self._calibration(predictions, group), group

    def _figures(self, group: Group, n_of: Counter) -> dict:
        """UA, and each emotion's recall and false alarms, with what is missing."""
        gaps, emotions = {}, {}
        for emotion in self.emotions:
            of, others = n_of[emotion], n_of.total() - n_of[emotion]
            figures = {"recall": None, FALSE_ALARMS: None}
            if emotion not in self.truth:
                gaps[f"recall.{emotion}"] = "no reference of the file is of this emotion"
            elif of < MIN_OF_EMOTION:
                gaps[f"recall.{emotion}"] = f"{of} utterances of {emotion}; a recall needs {MIN_OF_EMOTION}"
            else:
                figures["recall"] = self._value(f"recall.{emotion}", group, of)
            if others < MIN_OF_EMOTION:
                gaps[f"{FALSE_ALARMS}.{emotion}"] = f"{others} utterances of others; a share needs {MIN_OF_EMOTION}"
            else:
                figures[FALSE_ALARMS] = self._value(f"{FALSE_ALARMS}.{emotion}", group, others)
            emotions[emotion] = figures
        few = {emotion: n_of[emotion] for emotion in sorted(self.truth) if n_of[emotion] < MIN_OF_EMOTION}
        if few:
            held = ", ".join(f"{n} of {emotion}" for emotion, n in few.items())
            gaps[UA] = f"{held}; a UA needs {MIN_OF_EMOTION} utterances of every emotion of the file"
        ua = None if few else self._value(UA, group, n_of.total())
        return {UA: ua, "emotions": emotions, "gaps": gaps, "interval_of": group.sums.of}

    def _value(self, name: str, group: Group, n: int) -> dict:
        figure = self.figures[name].value
        interval = group.sums.interval(figure)
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        return {"value": float(figure(group.sums.total)), "low": low, "high": high, "n": n}

    def _calibration(self, predictions: Sequence[dict], group: Group) -> dict:
        """ECE of those that have scores; nothing without any, for a system need not give scores."""
        scored = [prediction for prediction in predictions if prediction.get("scores")]
        if not scored:
            return {}
        best = [max(prediction["scores"], key=prediction["scores"].get) for prediction in scored]
        confidence = np.array(
            [p["scores"][label] / sum(p["scores"].values()) for p, label in zip(scored, best, strict=True)]
        )
        hits = np.array([p["reference"]["emotion"] == label for p, label in zip(scored, best, strict=True)])
        sums = calibration_columns(confidence, hits).sum(axis=0)
        return {"ece": {"value": float(expected_calibration_error(sums)), "low": None, "high": None, "n": len(scored)}}

    def _compare(self, pair: Pair, one: dict, other: dict) -> list[dict]:
        """Every figure that both groups have and that is tested."""
        comparisons = []
        for name, figure in self.figures.items():
            if not name.startswith("recall") and figure_of(one, name) and figure_of(other, name):
                found = pair.difference(figure)
                above, below, sign = (one, other, 1) if found.value >= 0 else (other, one, -1)
                ends = sorted((sign * found.low, sign * found.high))
                comparisons.append(
                    {
                        "figure": name,
                        "above": above["name"],
                        "below": below["name"],
                        "value": abs(found.value),
                        "low": ends[0],
                        "high": ends[1],
                        "p": found.p,
                        "of": found.of,
                    }
                )
        return comparisons


def figure_of(group: dict, name: str) -> dict | None:
    """A figure of a described group, by its name: `ua`, or `recall` or `false_alarms` and an emotion, with a dot."""
    if name == UA:
        return group[UA]
    figure, emotion = name.split(".", 1)
    return group["emotions"][emotion][figure]
