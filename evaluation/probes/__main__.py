"""Probes of disentanglement: what can be read from each stream of a model, as a table.

    python -m xser.evaluation.probes --model checkpoints/xser-tiny --corpus espeak --split test \
        --output probes.json --picture layer-mixes.png

From the content stream and the descriptor stream, what their adapters hand on, and the tower before them, probes read
words, descriptors, emotion and speaker; each figure stands beside what the same probe reaches on shuffled labels. A
stream is clean of words if they stay within that control's interval plus 0.05.
"""

import os
from pathlib import Path

import torch

from xser import XSERForEmotionDescription, XSERProcessor
from xser.commands.entry import CommandParser, run_command
from xser.corpora.cache import write_json
from xser.eval import load_rows
from xser.evaluation.evaluator import sampled
from xser.evaluation.probes.measure import REPEATS, VOCABULARY, WORD_TIMES, probe_model
from xser.evaluation.probes.picture import draw_layer_mixes
from xser.evaluation.probes.table import COLUMNS, table_rows
from xser.evaluation.report import command_line, text_table


def main(argv: list[str] | None = None) -> dict:
    parser = CommandParser(prog="python -m xser.evaluation.probes", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of the model")
    parser.add_argument("--corpus", default="espeak", help="name of a corpus, or a folder")
    parser.add_argument("--split", default="test", help="which part of it; 'all' for one without splits")
    parser.add_argument("--test_fold", help="which fold is test, whatever the splits are now")
    parser.add_argument("--limit", type=int, help="so many rows, drawn under a fixed seed")
    parser.add_argument("--targets", nargs="+", help="what to read; everything by default")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="shuffles of each control")
    parser.add_argument("--words", type=int, default=VOCABULARY, help="content words to ask for, at most")
    parser.add_argument(
        "--word_times", default=WORD_TIMES[0], help=f"what finds words in time: {' or '.join(WORD_TIMES)}"
    )
    parser.add_argument("--batch_size", type=int, default=32, help="recordings encoded at once")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that fit probes")
    parser.add_argument("--device", default="cpu", help="such as cpu, cuda or mps")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--picture", type=Path, help="PNG file of the layer mixes to write")
    arguments = parser.parse_args(argv)
    dataset = load_rows(arguments.corpus, arguments.split, arguments.test_fold)
    dataset = sampled(dataset, arguments.limit)
    processor = XSERProcessor.from_pretrained(arguments.model)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32)
    model = model.to(arguments.device).eval()
    results = probe_model(
        model,
        processor,
        dataset,
        arguments.targets,
        arguments.repeats,
        arguments.words,
        arguments.word_times,
        arguments.batch_size,
        arguments.workers,
    )
    name = Path(arguments.model).name
    folds = ", ".join(dict.fromkeys(f"{of['target']} by {of['folds_by']}" for of in results["probes"]))
    title = (
        f"What probes read from the streams of {name} on {Path(arguments.corpus).name}, {arguments.split}: "
        f"{results['n']} utterances, controls of {arguments.repeats} shuffles; folds: {folds}"
    )
    rows = table_rows(results)
    head = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
    write_json(arguments.output, {**head, **results})
    if arguments.picture:
        mixes = results["layer_mixes"], results["mixed_layers"]
        draw_layer_mixes(*mixes, arguments.picture, f"What the streams of {name} listen to")
    print(title, text_table(rows, COLUMNS), f"written to {arguments.output}", sep="\n")
    return results


if __name__ == "__main__":
    run_command("python -m xser.evaluation.probes", main)
