"""Evaluate a model on a corpus: UA, WA, WER and the accuracy of every descriptor, each with its n.

    python eval.py --model checkpoints/xser-tiny --corpus espeak --split test --limit 1000 --output results.json
    python eval.py --model DIR --corpus my_recordings/ --output results.json --predictions predictions.jsonl

`--corpus` names a corpus (espeak), a data set that `python -m xser.corpora prepare` wrote, or a folder with audio and
a metadata.csv.
"""

import sys
from dataclasses import dataclass, field

import torch
from datasets import Dataset
from transformers import HfArgumentParser

from xser.corpora import load_corpus
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.report import command_line, figure_rows, text_table, write_json, write_jsonl
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class EvalArguments:
    model: str = field(metadata={"help": "folder or Hub id of the model"})
    output: str = field(metadata={"help": "JSON file to write the figures to"})
    corpus: str = field(default="espeak", metadata={"help": "name of a corpus, or a folder"})
    split: str = field(default="test", metadata={"help": "which part of it; 'all' for everything"})
    limit: int | None = field(default=None, metadata={"help": "evaluate so many rows, drawn under a fixed seed"})
    predictions: str | None = field(default=None, metadata={"help": "JSONL file to write every answer to"})
    batch_size: int = field(default=32, metadata={"help": "recordings a pass; it does not change the answers"})
    dtype: str = field(default="float32", metadata={"help": f"of the weights: one of {list(DTYPES)}"})
    device: str = field(default="cpu", metadata={"help": "such as cpu, cuda or mps"})


def main(arguments: EvalArguments) -> dict:
    if arguments.dtype not in DTYPES:
        raise ValueError(f"--dtype is {arguments.dtype!r}; it must be one of {list(DTYPES)}")
    processor = XSERProcessor.from_pretrained(arguments.model)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=DTYPES[arguments.dtype])
    model = model.to(arguments.device).eval()
    dataset = load_corpus(arguments.corpus, split=None if arguments.split == "all" else arguments.split)
    if not isinstance(dataset, Dataset):
        raise ValueError(f"--split is {arguments.split!r}; {arguments.corpus} has the splits {sorted(dataset)}")
    results, predictions = evaluate_model(model, processor, dataset, arguments.batch_size, arguments.limit)
    about = {"command": command_line()}
    about |= {name: getattr(arguments, name) for name in ("model", "corpus", "split", "limit", "dtype")}
    write_json({**about, **results}, arguments.output)
    if arguments.predictions:
        write_jsonl(predictions, arguments.predictions)

    print(f"\n{arguments.model} on {arguments.corpus}, {arguments.split}: {results['n']} utterances")
    print(text_table(figure_rows(results), ("figure", "value", "n")))
    for row in results["left_out"][:5]:
        print(f"left out: {row['id']}: {row['reason']}")
    if len(results["left_out"]) > 5:
        print(f"left out: {len(results['left_out'])} in all; {arguments.output} names every one")
    print(f"written to {arguments.output}")
    return results


if __name__ == "__main__":
    try:
        main(HfArgumentParser(EvalArguments).parse_args_into_dataclasses()[0])
    except ValueError as error:
        sys.exit(f"eval.py: {error}")
