"""A folder of a tiny model, as training leaves it, and how tests publish it."""

import json

import yaml

from xser.push_to_hub import PublishArguments, assemble

LICENSE = "apache-2.0"
EVALUATION = {
    "command": "python eval.py --model model --corpus espeak --output results.json",
    "corpus": "espeak",
    "split": "test",
    "n": 4,
    "left_out": [],
    "ua": 0.81234,
    "ua_interval": [0.7, 0.9],
    "ua_interval_of": "speakers",
    "ua_ceiling": 0.84,
    "ua_bayes": 0.83,
    "wa": 0.8,
    "wer": 0.125,
    "recall": {"angry": 1.0, "sad": 0.62468},
    "descriptors": {"pitch": 0.75},
    "n_of": {"emotion": 4, "text": 4, "pitch": 4, "recall": {"angry": 2, "sad": 2}},
}


def save(pair, folder):
    """A model and its processor in a folder, and a file of the trainer."""
    for part in pair:
        part.save_pretrained(folder)
    (folder / "training_args.bin").write_bytes(b"state of the trainer")
    return folder


def publish(saved, out, license=LICENSE, repo="someone/xser-test", **options):
    """Assemble the folder in `out`."""
    out.mkdir(exist_ok=True)
    assemble(PublishArguments(model=str(saved), repo=repo, license=license, **options), out)
    return out


def metadata(out):
    """What the card of an assembled folder says."""
    return yaml.safe_load((out / "README.md").read_text().split("---\n", 2)[1])


def write_evaluation(path, **changes):
    """A results file; the changes win."""
    path.write_text(json.dumps(EVALUATION | changes))
    return str(path)
