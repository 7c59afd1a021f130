"""How often a reference of another person is found, and how often one of the same person is taken for another's.

    python benchmarks/reference_warning.py --model checkpoints/xser-nemo --corpus data/nemo-prepared \
        --output docs/results/reference-warning.json

Each speaker in turn gives references of so many of their recordings, drawn at random, against which others of their
own and of everybody else are held, as `SpeakerProfile.warning` does it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from xser import XSERForEmotionDescription, XSERProcessor
from xser.corpora.cache import write_json
from xser.eval import load_rows
from xser.evaluation.report import command_line, text_table
from xser.training.voices import Voices

SIZES = (3, 5, 10, 30)  # recordings a reference
REFERENCES, HELD = 10, 60  # references a speaker and size; recordings held against each, of own and of others
COLUMNS = ("recordings a reference", "same person, warned", "another person, warned", "n of each")


def distance(voices: Voices, identity: str, profile) -> float:
    """Of a recording's mean states from a profile's, in deviations, as `StreamOutput.distance` has it."""
    far = (voices.states[identity, 1.0].mean - profile.mean) / profile.deviation
    return float(np.sqrt((far**2).mean()))


def warned(voices: Voices, ids, profile) -> int:
    """How many of the recordings the profile warns of."""
    return sum(
        profile.warning(distance(voices, identity, profile), voices.states[identity, 1.0].pitch) is not None
        for identity in ids
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/xser-nemo")
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32).eval()
    voices = Voices().hear(
        model, XSERProcessor.from_pretrained(arguments.model), load_rows(arguments.corpus, "all", None)
    )
    rng = np.random.default_rng(0)
    rows = []
    for size in SIZES:
        same = other = n = 0
        for speaker, ids in voices.of_speaker.items():
            strangers = [each for name, group in voices.of_speaker.items() if name != speaker for each in group]
            for _ in range(REFERENCES):
                drawn = [ids[index] for index in rng.permutation(len(ids))[: size + HELD]]
                profile = voices.profile(drawn[:size])
                same += warned(voices, drawn[size:], profile)
                other += warned(voices, rng.choice(strangers, len(drawn) - size, replace=False), profile)
                n += len(drawn) - size
        rows.append((str(size), f"{same / n:.3f}", f"{other / n:.3f}", f"{n:,}"))
    title = f"Warnings of another person's reference: {Path(arguments.model).name} on {Path(arguments.corpus).name}"
    print(title, text_table(rows, COLUMNS), sep="\n")
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})


if __name__ == "__main__":
    main()
