"""What an explanation costs beside its bare backbones: tower once, and as many generated tokens as the answer has.

    python benchmarks/explain_cost.py --model checkpoints/xser-tiny --output docs/results/explain-cost.json

Both in float32 on one thread, from recordings that are loaded already; `explain` transcribes and does not verify. The
bare tower encodes the same recordings once; the bare language model, without LoRA, generates by `generate` as many
tokens as the longest full answer (transcript included) has, from prompts of equal length. The runs take turns, so that
a slow moment of the machine falls on all. `--before FILE` puts the rows that an older version wrote beside.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel, AutoModelForCausalLM

import xser
from xser import EmotionDescription, XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table

COLUMNS = ("version", "recordings", "tokens of the answer", "bare backbones, s", "explain, s", "ratio")
CLIPS = sorted((Path(xser.__file__).parent / "tests" / "data").glob("*.ogg"))


@torch.no_grad()
def seconds(run: Callable[[], object]) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def answer_tokens(processor, answer: dict) -> int:
    """Tokens of a full answer: its slots, and its transcript, wherever it stands."""
    words = None if answer["emphasis"] is None else tuple(answer["emphasis"])
    text = answer["transcript"] or ""
    slots = len(processor.answer_ids(EmotionDescription(answer["descriptors"], words, answer["emotion"])))
    return slots + len(processor.answer_ids(text)) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="checkpoints/xser-tiny")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--version", default="now", help="what the rows are called")
    parser.add_argument("--before", type=Path, help="file that an older version wrote; its rows come first")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32).eval()
    processor = XSERProcessor.from_pretrained(arguments.model)
    audio_tower = AutoModel.from_config(model.config.audio_config).eval()  # untrained: weights make no difference
    language_model = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    waves = [(load_audio(path), SAMPLE_RATE) for path in CLIPS]

    rows = json.loads(arguments.before.read_text())["rows"] if arguments.before else []
    for batch_size in arguments.batch_sizes:
        clips = [waves[index % len(waves)] for index in range(batch_size)]
        answers = model.explain(clips, processor, batch_size=batch_size)
        count = max(answer_tokens(processor, answer) for answer in answers)
        inputs = processor(clips, task="describe")
        embeds = torch.randn(*inputs["input_ids"].shape, language_model.config.hidden_size)

        def bare(inputs=inputs, embeds=embeds, count=count):
            audio_tower(inputs["input_values"], attention_mask=inputs["input_values_mask"], output_hidden_states=True)
            language_model.generate(
                inputs_embeds=embeds,
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                min_new_tokens=count,
                max_new_tokens=count,
                pad_token_id=processor.tokenizer.pad_token_id,
            )

        def whole(clips=clips, batch_size=batch_size):
            model.explain(clips, processor, batch_size=batch_size)

        for run in (bare, whole):  # warm up
            seconds(run)
        times = [(seconds(bare), seconds(whole)) for _ in range(arguments.repeats)]
        base, full = (statistics.median(column) for column in zip(*times, strict=True))
        figures = str(batch_size), str(count), f"{base:.3f}", f"{full:.3f}", f"{full / base:.2f}"
        rows.append([arguments.version, *figures])
    title = f"explain against the bare backbones, median of {arguments.repeats} runs, one thread, float32"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    main()
