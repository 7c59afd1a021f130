"""Scores of generated answers, one function a task. References are the answers that the labels spell."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import evaluate

import xser
from xser.grammar_xser import EMOTION, TRANSCRIPT, EmotionDescription

METRICS = Path(xser.__file__).parent / "evaluation" / "metrics"
WORDINGS = ("rouge_l", "meteor", "bleu")
UNPARSABLE = EmotionDescription()  # an answer that is no description: wrong in every slot


@cache
def metric(name: str) -> evaluate.Metric:
    """A metric of `evaluation/metrics`, kept in memory so that processes do not meet in its cache."""
    return evaluate.load(str(METRICS / name), experiment_id=str(os.getpid()), keep_in_memory=True)


def asr_metrics(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Word error rate over all words, and `n`."""
    result = metric("word_error_rate").compute(predictions=answers, references=references)
    return {"wer": result["word_error_rate"], "n": len(references)}


def describe_metrics(answers: Sequence[str], references: Sequence[str], processor) -> dict[str, float]:
    """UA and WA of the emotion, WER of the transcript, accuracy of every other slot, how many do not parse, and `n`.

    A slot counts where the reference holds it; an answer that does not parse, or lacks the slot, is wrong there.

    Args:
        processor: the `XSERProcessor`, which knows the form and the labels.
    """
    wanted = [processor.parse_answer(text) for text in references]
    given, unparsable = [], 0
    for text in answers:
        try:
            given.append(processor.parse_answer(text))
        except ValueError:
            given.append(UNPARSABLE)
            unparsable += 1
    metrics = {"n": len(references), "unparsable": unparsable}
    for slot in processor.schema.slots:
        pairs = [(got.value(slot), want.value(slot)) for got, want in zip(given, wanted, strict=True)]
        pairs = [(got, want) for got, want in pairs if want is not None]
        if not pairs:
            continue
        accuracy = sum(got == want for got, want in pairs) / len(pairs)
        if slot == EMOTION:
            predictions, labels = [got or "" for got, _ in pairs], [want for _, want in pairs]
            result = metric("unweighted_accuracy").compute(predictions=predictions, references=labels)
            metrics |= {"ua": result["unweighted_accuracy"], "wa": accuracy}
        elif slot == TRANSCRIPT:
            texts = [(got or "", want) for got, want in pairs if want]
            metrics |= {"wer": asr_metrics(*zip(*texts, strict=True))["wer"]} if texts else {}
        else:
            metrics[f"{slot}_accuracy"] = accuracy
    return metrics


def wording_metrics(answers: Sequence[str], references: Sequence[str]) -> dict:
    """ROUGE-L, METEOR and BLEU of texts, for comparison with papers that report them, the variants, and `n`."""
    results = {name: metric(name).compute(predictions=answers, references=references) for name in WORDINGS}
    return {
        **{name: results[name][name] for name in WORDINGS},
        "meteor_matching": results["meteor"]["matching"],
        "bleu_signature": results["bleu"]["signature"],
        "n": len(references),
    }
