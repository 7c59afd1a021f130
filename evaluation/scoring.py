"""score: every figure that predictions and their references give, with its n, its interval, and what is not known."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from xser.evaluation import counts
from xser.evaluation.captions import caption_figures
from xser.evaluation.claims import claim_figures
from xser.evaluation.edits import (
    TextNormalizer,
    count_character_edits,
    count_word_edits,
    predicted_texts,
    reference_texts,
)
from xser.evaluation.intervals import RESAMPLES, SAME_SPEAKERS, UTTERANCES
from xser.evaluation.predictions import NO_ANSWER
from xser.evaluation.tally import Tally
from xser.grammar_xser import EMOTION, EMPHASIS, TRANSCRIPT, EmotionDescription, LabelSchema
from xser.training.metrics import wording_metrics

COVERAGE = tuple(percent / 100 for percent in range(5, 101, 5))


def score(
    predictions: Sequence[dict],
    schema: LabelSchema | None = None,
    resamples: int = RESAMPLES,
    normalizer: TextNormalizer | None = None,
) -> dict:
    """Every figure that needs nothing but predictions.

    Args:
        predictions: as `evaluate_model` or `read_predictions` return them.
        schema: the labels of the model; those that the predictions and references hold, if `None`.
        resamples: of each interval.
        normalizer: of transcripts and references, before words are compared; as they are written by default.

    Returns:
        Accuracies, rates and F1 from 0 to 1 (WER and CER may be higher), `None` where no utterance has what it takes:
            ua, wa: mean recall and accuracy of the emotion; ua_interval, ua_interval_of: as in `intervals`.
            macro_f1, weighted_f1: over the emotions that the references hold; per_class: each one's precision, recall,
            f1 and n; recall: the recalls again, `None` for an emotion of the schema without utterances.
            confusion: `references` and `predictions`, labels of rows and columns, and `counts`, the rows.
            wer, cer: word and character error rate over all transcripts, in the form of `normalizer`: its name, or
            `None`.
            descriptors, descriptors_macro_f1: accuracy and macro-F1 of each slot; emphasis counts in the accuracy
            where all its words are right. exact_match: share of utterances where all known slots are right.
            emphasis_f1: over words.
            captions: as `captions.caption_figures` has it, `None` where no reference has a caption.
            claims: as `claims.claim_figures` has it, `None` where no answer was verified.
            ece, brier, aurc: how good the scores are, and risk_coverage: `coverage` and `risk`, lists.
            intervals: of each figure its 95% interval, `low`, `high` and `of`, what was resampled; the bias of ece,
            which is too high where utterances are few, is in its interval too. aurc has none.
            n_of: utterances behind each figure.
            gaps: of each figure that is not known, or not of all that the schema holds, the reason.
    """
    tally = Tally(predictions, resamples)
    emotions = _emotions(predictions) if schema is None else schema.emotions
    slots = _slots(predictions) if schema is None else [s for s in schema.slots if s not in (EMOTION, TRANSCRIPT)]
    figures = {
        **_of_emotion(tally, emotions),
        **_of_words(tally, normalizer),
        "normalizer": None if normalizer is None else normalizer.name,
        **_of_descriptors(tally, slots),
        **_of_scores(tally),
        "captions": caption_figures(predictions),
        "claims": claim_figures(tally),
    }
    interval = tally.intervals.get("ua")
    figures["ua_interval"] = [interval["low"], interval["high"]] if interval else None
    figures["ua_interval_of"] = interval["of"] if interval else None
    _name_missing_speakers(tally)
    return {**figures, "intervals": tally.intervals, "n_of": tally.n_of, "gaps": tally.gaps}


def wording(predictions: Sequence[dict], slots: Sequence[str]) -> dict | None:
    """ROUGE-L, METEOR and BLEU of the descriptors as a sentence against that of the reference; `None` without any.

    The sentence is `EmotionDescription.to_sentence` of those of `slots` that the reference knows. Its words are few:
    the figures compare only roughly with those of systems that write free text.
    """
    pairs = [_sentences(prediction, slots) for prediction in predictions]
    pairs = [pair for pair in pairs if pair is not None]
    return wording_metrics(*map(list, zip(*pairs, strict=True))) if pairs else None


def _of_emotion(tally: Tally, emotions: Sequence[str]) -> dict:
    rows = [i for i, p in enumerate(tally.predictions) if p["reference"].get("emotion") is not None]
    tally.n_of["emotion"] = len(rows)
    names = ("ua", "wa", "macro_f1", "weighted_f1")
    if not rows:
        tally.gaps["emotion"] = f"none of {len(tally.predictions)} references has an emotion"
        tally.n_of["recall"] = {}
        return {**dict.fromkeys(names), "recall": {}, "per_class": {}, "confusion": None}
    truth = [tally.predictions[row]["reference"]["emotion"] for row in rows]
    guess = [tally.predictions[row]["emotion"] or NO_ANSWER for row in rows]
    classes = sorted(set(truth))
    columns = counts.confusion_columns(guess, truth, classes)
    kinds = (counts.unweighted_accuracy, counts.weighted_accuracy, counts.macro_f1, counts.weighted_f1)
    asked = {name: (kind, "logit") for name, kind in zip(names, kinds, strict=True)}
    asked |= {f"recall.{name}": (_nth(counts.recalls, i), "logit") for i, name in enumerate(classes)}
    asked |= {f"f1.{name}": (_nth(counts.f1, i), "logit") for i, name in enumerate(classes)}
    values = tally.add(rows, columns, asked)

    n_of, total = Counter(truth), columns.sum(axis=0, dtype=np.float64)
    absent = sorted(set(emotions) - set(classes))
    for name in absent:
        tally.gaps[f"recall.{name}"] = "no reference is of this emotion; the means are over the others"
    recall = {name: values[f"recall.{name}"] for name in classes} | dict.fromkeys(absent)
    precision = dict(zip(classes, counts.precisions(total).tolist(), strict=True))
    tally.n_of["recall"] = {name: n_of[name] for name in sorted(recall)}
    return {
        **{name: values[name] for name in names},
        "recall": {name: recall[name] for name in sorted(recall)},
        "per_class": {
            name: {
                "precision": precision[name],
                "recall": values[f"recall.{name}"],
                "f1": values[f"f1.{name}"],
                "n": n_of[name],
            }
            for name in classes
        },
        "confusion": _confusion(guess, truth, classes),
    }


def _confusion(guess: list[str], truth: list[str], classes: list[str]) -> dict:
    """The confusion matrix, with a column for each label that is predicted but never there."""
    columns = classes + sorted(set(guess) - set(classes))
    cells = Counter(zip(truth, guess, strict=True))
    return {
        "references": classes,
        "predictions": columns,
        "counts": [[cells[row, column] for column in columns] for row in classes],
    }


def _of_words(tally: Tally, normalizer: TextNormalizer | None) -> dict:
    rows = [i for i, p in enumerate(tally.predictions) if p["reference"].get("text") is not None]
    tally.n_of["text"] = len(rows)
    nothing = {"wer": None, "cer": None}
    if not rows:
        tally.gaps["text"] = f"none of {len(tally.predictions)} references has a transcript"
        return nothing
    if all(tally.predictions[row]["transcript"] is None for row in rows):
        tally.gaps["text"] = f"none of {len(rows)} predictions has a transcript"
        return nothing
    transcribed = [tally.predictions[row] for row in rows]
    predicted, said = (texts(transcribed, normalizer) for texts in (predicted_texts, reference_texts))
    empty = said.count("")
    if empty == len(rows):
        tally.gaps["text"] = f"none of {empty} transcripts of the references holds a word"
        return nothing
    if empty:
        tally.gaps["text"] = (
            f"{empty} of {len(rows)} references are empty transcripts: words heard there are insertions"
        )
    values = tally.add(rows, count_word_edits(predicted, said), {"wer": (counts.share, "log")})
    return values | tally.add(rows, count_character_edits(predicted, said), {"cer": (counts.share, "log")})


def _of_descriptors(tally: Tally, slots: Sequence[str]) -> dict:
    accuracy, macro = {}, {}
    answered = []
    for slot in slots:
        rows = [i for i, p in enumerate(tally.predictions) if _wanted(p, slot) is not None]
        tally.n_of[slot] = len(rows)
        if not rows:
            tally.gaps[slot] = f"none of {len(tally.predictions)} references has it"
            continue
        if all(_given(tally.predictions[row], slot) is None for row in rows):
            tally.gaps[slot] = f"none of {len(rows)} predictions has it"
            continue
        answered.append(slot)
        pairs = [(_given(tally.predictions[row], slot), _wanted(tally.predictions[row], slot)) for row in rows]
        hits = np.array([[got == want, 1] for got, want in pairs], dtype=float)
        accuracy[slot] = tally.add(rows, hits, {f"{slot}.accuracy": (counts.share, "logit")})[f"{slot}.accuracy"]
        if slot == EMPHASIS:
            continue
        truth, guess = [want for _, want in pairs], [got or NO_ANSWER for got, _ in pairs]
        columns = counts.confusion_columns(guess, truth, sorted(set(truth)))
        name = f"{slot}.macro_f1"
        macro[slot] = tally.add(rows, columns, {name: (counts.macro_f1, "logit")})[name]
    return {
        "descriptors": accuracy,
        "descriptors_macro_f1": macro,
        "exact_match": _exact_match(tally, answered),
        "emphasis_f1": _emphasis_f1(tally) if EMPHASIS in answered else None,
    }


def _exact_match(tally: Tally, slots: list[str]) -> float | None:
    known = {}
    for row, prediction in enumerate(tally.predictions):
        wanted = {slot: _wanted(prediction, slot) for slot in slots}
        right = [_given(prediction, slot) == want for slot, want in wanted.items() if want is not None]
        if right:
            known[row] = all(right)
    tally.n_of["descriptors"] = len(known)
    if not known:
        return None
    columns = np.array([[hit, 1] for hit in known.values()], dtype=float)
    return tally.add(list(known), columns, {"exact_match": (counts.share, "logit")})["exact_match"]


def _emphasis_f1(tally: Tally) -> float | None:
    rows = [i for i, p in enumerate(tally.predictions) if _wanted(p, EMPHASIS) is not None]
    columns = np.zeros((len(rows), 3))
    for index, row in enumerate(rows):
        got, want = _given(tally.predictions[row], EMPHASIS) or [], _wanted(tally.predictions[row], EMPHASIS)
        columns[index] = ((Counter(got) & Counter(want)).total(), len(got), len(want))
    if not columns[:, 1:].any():
        tally.gaps["emphasis_f1"] = f"no word is emphasised in {len(rows)} references and predictions"
        return None
    return tally.add(rows, columns, {"emphasis_f1": (counts.f1_of_sets, "logit")})["emphasis_f1"]


def _of_scores(tally: Tally) -> dict:
    names = ("ece", "brier", "aurc", "risk_coverage")
    rows = [
        i
        for i, p in enumerate(tally.predictions)
        if p["reference"].get("emotion") is not None and p.get("scores") is not None
    ]
    tally.n_of["scores"] = len(rows)
    if not rows:
        if tally.n_of["emotion"]:
            tally.gaps["scores"] = f"none of {tally.n_of['emotion']} predictions has scores"
        return dict.fromkeys(names)
    if len(rows) < tally.n_of["emotion"]:
        tally.gaps["scores"] = f"{tally.n_of['emotion'] - len(rows)} utterances without an answer have no scores"
    truth = [tally.predictions[row]["reference"]["emotion"] for row in rows]
    scores = [tally.predictions[row]["scores"] for row in rows]
    labels = sorted({label for each in scores for label in each} | set(truth))
    place = {label: index for index, label in enumerate(labels)}
    chances = np.zeros((len(rows), len(labels)))
    for index, each in enumerate(scores):
        chances[index, [place[label] for label in each]] = list(each.values())
    chances /= chances.sum(axis=1, keepdims=True)
    right = np.array([place[label] for label in truth])
    confidence, hits = chances.max(axis=1), chances.argmax(axis=1) == right
    distance = np.square(chances - np.eye(len(labels))[right]).sum(axis=1)
    values = tally.add(
        rows, counts.calibration_columns(confidence, hits), {"ece": (counts.expected_calibration_error, "logit")}
    )
    pairs = np.stack([distance, np.ones(len(rows))], axis=1)
    values |= tally.add(rows, pairs, {"brier": (counts.share, "log")})
    risk = counts.risk_coverage(confidence, hits)
    answered = np.ceil(np.array(COVERAGE) * len(rows) - 1e-9).astype(int)
    curve = {"coverage": list(COVERAGE), "risk": risk[answered - 1].tolist()}
    return values | {"aurc": float(risk.mean()), "risk_coverage": curve}


def _name_missing_speakers(tally: Tally) -> None:
    """Say why intervals are not over speakers, where they are not."""
    units = {interval["of"] for interval in tally.intervals.values()}
    speakers = [prediction["reference"].get("speaker") for prediction in tally.predictions]
    if UTTERANCES in units:
        tally.gaps["speakers"] = (
            f"{speakers.count(None)} of {len(speakers)} references have no speaker: intervals are over utterances, "
            "too narrow where utterances of one speaker resemble each other"
        )
    elif SAME_SPEAKERS in units:
        known = sorted(set(speakers) - {None})
        tally.gaps["speakers"] = (
            f"{len(known)} speaker{'s' if len(known) > 1 else ''} ({', '.join(known[:5])}): "
            "intervals over their utterances tell nothing about other speakers"
        )


def _emotions(predictions: Sequence[dict]) -> list[str]:
    """Labels that the predictions know."""
    known = {p["emotion"] for p in predictions} | {label for p in predictions for label in p.get("scores") or {}}
    return sorted((known | {p["reference"].get("emotion") for p in predictions}) - {None})


def _slots(predictions: Sequence[dict]) -> list[str]:
    """Descriptors that the references hold, emphasis last."""
    held = dict.fromkeys(
        slot
        for prediction in predictions
        for slot, level in (prediction["reference"].get("descriptors") or {}).items()
        if level is not None
    )
    return sorted(held, key=lambda slot: slot == EMPHASIS)


def _wanted(prediction: dict, slot: str) -> str | list[str] | None:
    return (prediction["reference"].get("descriptors") or {}).get(slot)


def _given(prediction: dict, slot: str) -> str | list[str] | None:
    if slot == EMPHASIS:
        return prediction["emphasis"]
    return (prediction["descriptors"] or {}).get(slot)


def _sentences(prediction: dict, slots: Sequence[str]) -> tuple[str, str] | None:
    """The descriptors of a prediction and of its reference as sentences; `None` where the reference has none."""
    wanted = {slot: _wanted(prediction, slot) for slot in slots if _wanted(prediction, slot) is not None}
    if not wanted:
        return None
    given = {slot: _given(prediction, slot) for slot in wanted}
    return _sentence({slot: level for slot, level in given.items() if level is not None}), _sentence(wanted)


def _sentence(descriptors: dict) -> str:
    levels = {slot: level for slot, level in descriptors.items() if slot != EMPHASIS}
    words = descriptors.get(EMPHASIS)
    return EmotionDescription(levels, None if words is None else tuple(words)).to_sentence()


def _nth(figure: Callable, index: int) -> Callable:
    """One class of a figure that has a value for each."""
    return lambda sums: figure(sums)[..., index]
