"""What XSER costs beside its bare backbones: the time of its forward pass over the time of theirs.

    python benchmarks/forward_cost.py --model checkpoints/xser-tiny --output docs/results/forward-cost.json

The backbones alone, without LoRA, are given what they are given inside XSER: the tower the same waveforms, the
language model as many positions. Runs take turns, so that a slow moment of the machine falls on all.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel, AutoModelForCausalLM

from xser import XSERForEmotionDescription, XSERProcessor
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table

COLUMNS = ("task", "recordings", "backbones alone, s", "XSER, s", "ratio")


@torch.no_grad()
def seconds(run: Callable[[], object]) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="checkpoints/xser-tiny")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32).eval()
    processor = XSERProcessor.from_pretrained(arguments.model)
    audio_tower = AutoModel.from_config(model.config.audio_config).eval()  # untrained: weights make no difference
    language_model = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    recordings = list(load_corpus("espeak", split="test", limit=arguments.batch_size)["audio"])

    rows = []
    for task in ("asr", "describe"):
        inputs = processor(recordings, task=task)
        embeds = torch.randn(*inputs["input_ids"].shape, language_model.config.hidden_size)

        def backbones(inputs=inputs, embeds=embeds):
            audio_tower(inputs["input_values"], attention_mask=inputs["input_values_mask"], output_hidden_states=True)
            language_model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])

        def whole(inputs=inputs):
            model(**inputs)

        for run in (backbones, whole):  # warm up
            seconds(run)
        times = [(seconds(backbones), seconds(whole)) for _ in range(arguments.repeats)]
        bare, full = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append((task, str(len(recordings)), f"{bare:.3f}", f"{full:.3f}", f"{full / bare:.2f}"))
    runs = f"median of {arguments.repeats} runs, {torch.get_num_threads()} threads"
    title = f"Forward pass against the bare backbones, {runs}"
    measured = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
    write_json(arguments.output, measured)
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    main()
