"""One recording alone, and the same one padded in a batch: do the answers agree?

    python benchmarks/batch_invariance.py --model checkpoints/xser-tiny --output docs/results/batch-invariance.json

Beside the given model, two untrained ones are asked, whose towers have the group norm of HuBERT-base and the layer
norm of HuBERT-large: padding disturbs the two in different ways.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from transformers import HubertConfig, HubertModel, LlamaForCausalLM, Wav2Vec2FeatureExtractor

from xser import XSERForEmotionDescription, XSERProcessor
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.training.tiny_language_model import language_model_config, train_tokenizer

BATCH = 8
COLUMNS = ("audio tower", "recordings", "largest difference in scores", "texts that differ")


def untrained(norm: str, texts: list[str], folder: Path):
    """A model and its processor around random backbones; `norm` is that of the tower's convolutions."""
    torch.manual_seed(0)
    audio, text = folder / norm / "audio", folder / norm / "text"
    tower = HubertConfig(
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=640,
        conv_dim=(128,) * 7,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
    )
    HubertModel(tower).save_pretrained(audio)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer").save_pretrained(audio)
    tokenizer = train_tokenizer(texts)
    LlamaForCausalLM(language_model_config(tokenizer)).save_pretrained(text)
    tokenizer.save_pretrained(text)
    return XSERForEmotionDescription.from_backbones(str(audio), str(text))


def compare(model, processor, recordings: list) -> tuple[float, int]:
    """Largest difference in scores, and how many recordings get another answer in words."""
    alone = [model.explain([recording], processor)[0] for recording in recordings]
    together = model.explain(recordings, processor, batch_size=BATCH)
    difference, differing = 0.0, 0
    for one, other in zip(alone, together, strict=True):
        pairs = zip(one.pop("scores").values(), other.pop("scores").values(), strict=True)
        difference = max(difference, *(abs(a - b) for a, b in pairs))
        for answer in (one, other):
            answer.pop("explanation")  # names a rounded score
        differing += one != other
    return difference, differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="checkpoints/xser-tiny")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=4, help=f"of {BATCH} recordings each")
    arguments = parser.parse_args()
    dataset = load_corpus("espeak", split="test", limit=BATCH * arguments.batches)
    recordings, texts = list(dataset["audio"]), list(dataset["text"])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        given = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32).eval()
        cases = {f"of {arguments.model}": (given, XSERProcessor.from_pretrained(arguments.model))}
        for norm in ("group", "layer"):
            cases[f"untrained, {norm} norm"] = untrained(norm, texts * 20, Path(folder))
        for name, (model, processor) in cases.items():
            difference, differing = compare(model, processor, recordings)
            rows.append((name, str(len(recordings)), f"{difference:.1e}", str(differing)))
    title = f"One recording alone and padded in a batch of {BATCH}, float32"
    measured = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
    write_json(arguments.output, measured)
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    main()
