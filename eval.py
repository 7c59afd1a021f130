"""Evaluate a model on a corpus: UA, WA, WER and the accuracy of every descriptor, each with its n.

    python eval.py --model checkpoints/xser-tiny --corpus espeak --split test --limit 1000 --output results.json
    python eval.py --model DIR --corpus my_recordings/ --output results.json --predictions predictions.jsonl
    python eval.py --model DIR --corpus data/iemocap --test_fold 1 --output fold-1.json
    python eval.py --model DIR --corpus data/iemocap --reference none all 30 --output fold-1-{reference}.json
    python eval.py --model DIR --corpus data/speech --transcriber tower --normalizer english --output words.json

`--corpus` names a corpus (espeak), a data set that `xser prepare` wrote, or a folder with audio and
a metadata.csv. `--test_fold` splits it anew by its folds, as a model was trained that left this one out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset, concatenate_datasets
from transformers import HfArgumentParser

from xser import XSERForEmotionDescription, XSERProcessor
from xser.commands.entry import run_command
from xser.commands.models import checked_device, find_model
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.folds import by_fold
from xser.evaluation.conditions import AS_RECORDED, CONDITIONS
from xser.evaluation.edits import NORMALIZERS, text_normalizer
from xser.evaluation.evaluator import evaluate_references, sampled
from xser.evaluation.predictions import write_predictions
from xser.evaluation.probes.measure import information_of
from xser.evaluation.probes.streams import hear_corpus
from xser.evaluation.references import parse_reference
from xser.evaluation.report import command_line, figure_rows, text_table, without_place
from xser.evaluation.weights import weights_digest
from xser.training.classifier import is_classifier, load_classifier
from xser.training.options import parse_dicts

NONE, PLACE = "none", "{reference}"  # no reference; where a file's name holds it
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class EvalArguments:
    model: str = field(metadata={"help": "folder or Hub id of the model"})
    output: str = field(metadata={"help": "JSON file to write the figures to"})
    corpus: str = field(default="espeak", metadata={"help": "name of a corpus, or a folder"})
    corpus_options: dict | str | None = field(default=None, metadata={"help": "options of load_corpus, as JSON"})
    split: str = field(default="test", metadata={"help": "which part of it; 'all' for everything"})
    test_fold: str | None = field(default=None, metadata={"help": "which fold is test, whatever the splits are now"})
    new_texts: float | None = field(
        default=None, metadata={"help": "with test_fold: only sentences that training with the same share left out"}
    )
    limit: int | None = field(default=None, metadata={"help": "evaluate so many rows, drawn under a fixed seed"})
    speakers: list[str] = field(default_factory=list, metadata={"help": "evaluate these speakers alone"})
    slots: list[str] = field(
        default_factory=list,
        metadata={"help": "ask for these slots alone, such as emotion; by default for what the data know"},
    )
    transcriber: str | None = field(
        default=None,
        metadata={"help": "folder or Hub id of a recogniser for the words; 'tower' for a Whisper's own decoder"},
    )
    transcriber_options: dict | str | None = field(
        default=None, metadata={"help": 'of its generate, as JSON, such as {"language": "en"}'}
    )
    normalizer: str | None = field(
        default=None, metadata={"help": f"of texts, before words are compared: one of {list(NORMALIZERS)}"}
    )
    spellings: str | None = field(
        default=None, metadata={"help": "of the normalizer: JSON file, or a Whisper's folder or Hub id"}
    )
    predictions: str | None = field(default=None, metadata={"help": "JSONL file to write every answer to"})
    condition: str = field(default=AS_RECORDED, metadata={"help": f"made harder: one of {list(CONDITIONS)}"})
    reference: list[str] = field(
        default_factory=list,
        metadata={
            "help": "recordings of a speaker, without labels, that the others are relative to: 'all', how many, or "
            "'none'. Several are evaluated in one pass; output and predictions then name {reference}"
        },
    )
    verify: bool = field(
        default=False, metadata={"help": "hold the levels of every answer against what is measured in the recording"}
    )
    information: int | None = field(
        default=None, metadata={"help": "also measure the bits a second of each stream, over so many of these rows"}
    )
    batch_size: int = field(default=32, metadata={"help": "recordings a pass; it does not change the answers"})
    dtype: str = field(default="float32", metadata={"help": f"of the weights: one of {list(DTYPES)}"})
    device: str = field(default="cpu", metadata={"help": "such as cpu, cuda or mps"})


def load_rows(
    corpus: str, split: str, test_fold: str | None, new_texts: float | None = None, options: dict | None = None
) -> Dataset:
    """The rows of a split, "all" for everything; with `test_fold`, of the splits that its folds make.

    Raises:
        ValueError: no such split or fold, no folds, or `new_texts` without one.
    """
    if new_texts is not None and test_fold is None:
        raise ValueError(f"--new_texts is {new_texts}, but there is no --test_fold: sentences are held out of folds")
    if test_fold is not None:
        parts = by_fold(load_corpus(corpus, **(options or {})), test_fold, new_texts=new_texts)
        if split not in parts:
            raise ValueError(f"--split is {split!r}; with --test_fold {test_fold} there are {list(parts)}")
        return parts[split]
    dataset = load_corpus(corpus, split=None if split == "all" else split, **(options or {}))
    return dataset if isinstance(dataset, Dataset) else concatenate_datasets(list(dataset.values()))


def of_speakers(dataset: Dataset, speakers: list[str]) -> Dataset:
    """The rows of `speakers`; `ValueError` names those who are not there."""
    spoken = dataset["speaker"][:]
    missing = sorted(set(speakers) - set(spoken))
    if missing:
        known = sorted({speaker for speaker in spoken if speaker is not None})
        raise ValueError(f"--speakers {missing} are not in the data set; it has {known[:20]}")
    return dataset.select([index for index, speaker in enumerate(spoken) if speaker in speakers])


def main(argv: Sequence[str] | None = None) -> dict:
    """Evaluate as `argv` says; gives the figures, or those of each of several references."""
    parser = HfArgumentParser(EvalArguments, allow_abbrev=False, prog="xser evaluate")
    return evaluate(*parser.parse_args_into_dataclasses(argv))


def evaluate(arguments: EvalArguments) -> dict:
    """Evaluate a model on a corpus, and write and print the figures, which it gives as `main` does."""
    parse_dicts(arguments, "corpus_options", "transcriber_options")
    normalizer = text_normalizer(arguments.normalizer, arguments.spellings)
    if arguments.dtype not in DTYPES:
        raise ValueError(f"--dtype is {arguments.dtype!r}; it must be one of {list(DTYPES)}")
    if arguments.information is not None and arguments.information < 1:
        raise ValueError(f"--information is {arguments.information}; it must be at least 1 utterance")
    for name in ("output", "predictions"):  # found now, not after the last recording
        if getattr(arguments, name) is not None and Path(getattr(arguments, name)).is_dir():
            raise ValueError(f"--{name} {getattr(arguments, name)} is a folder: give a file")
    references = _references(arguments)
    folder = find_model(arguments.model)
    processor = XSERProcessor.from_pretrained(folder)
    if arguments.transcriber is not None and is_classifier(folder):
        raise ValueError(f"--transcriber is {arguments.transcriber!r}, but {folder} is a classifier: leave it out")
    if arguments.verify and is_classifier(folder):
        raise ValueError(
            f"--verify is given, but {folder} is a classifier, which claims nothing of a voice: leave it out"
        )
    load = load_classifier if is_classifier(folder) else XSERForEmotionDescription.from_pretrained
    model = load(folder, dtype=DTYPES[arguments.dtype])
    model = model.to(checked_device(arguments.device)).eval()
    dataset = load_rows(
        arguments.corpus, arguments.split, arguments.test_fold, arguments.new_texts, arguments.corpus_options
    )
    if arguments.speakers:
        dataset = of_speakers(dataset, arguments.speakers)
    evaluated = evaluate_references(
        model,
        processor,
        dataset,
        arguments.batch_size,
        arguments.limit,
        arguments.condition,
        references=[None if reference == NONE else reference for reference in references],
        slots=arguments.slots or None,
        transcriber=arguments.transcriber,
        transcriber_options=arguments.transcriber_options,
        normalizer=normalizer,
        verify=arguments.verify,
    )
    information, gaps = {}, {}
    if arguments.information is not None:
        information["information"] = {}
        try:
            streams = hear_corpus(model, processor, sampled(dataset, arguments.information), [], aligner_of=None)
        except ValueError as error:  # none of these rows holds speech: the other figures are none the worse
            gaps["information"] = str(error)
        else:
            information["information"] = information_of(streams)
    for reference, (results, predictions) in zip(references, evaluated, strict=True):
        results |= information
        results["gaps"] |= gaps
        _write(arguments, reference, results, predictions)
    if len(references) > 1:
        return {reference: results for reference, (results, _) in zip(references, evaluated, strict=True)}
    return evaluated[0][0]


def _references(arguments: EvalArguments) -> list[str]:
    """The references that are asked for, "none" where there is none; files of several must have different names."""
    references = arguments.reference or [NONE]
    for reference in references:
        if reference != NONE:
            parse_reference(reference)
    if len(set(references)) < len(references):
        raise ValueError(f"--reference {references} names one twice")
    for name in ("output", "predictions"):
        path = getattr(arguments, name)
        if len(references) > 1 and path is not None and PLACE not in path:
            raise ValueError(f"--{name} is {path!r} for {len(references)} references: put {PLACE} into its name")
    return references


def _write(arguments: EvalArguments, reference: str, results: dict, predictions: list[dict]) -> None:
    """Write and print the figures with one reference, and write its answers."""
    about = {"command": command_line()}
    asked = ("model", "corpus", "corpus_options", "split", "test_fold", "new_texts", "speakers", "limit", "condition")
    about |= {name: without_place(getattr(arguments, name)) for name in asked}
    about |= {"reference": None if reference == NONE else reference, "dtype": arguments.dtype}
    about["weights"] = weights_digest(arguments.model)
    output = arguments.output.replace(PLACE, reference)
    write_json(Path(output), {**about, **results})
    if arguments.predictions:
        write_predictions(Path(arguments.predictions.replace(PLACE, reference)), predictions)

    print(
        f"\n{arguments.model} on {arguments.corpus}, {arguments.split}: {results['n']} utterances, "
        f"speaker reference: {results['speaker_reference']}"
    )
    print(text_table(figure_rows(results), ("figure", "value", "n")))
    for row in results["left_out"][:5]:
        print(f"left out: {row['id']}: {row['reason']}")
    if len(results["left_out"]) > 5:
        print(f"left out: {len(results['left_out'])} in all; {output} names every one")
    print(f"written to {output}")


if __name__ == "__main__":
    run_command("eval.py", main)
