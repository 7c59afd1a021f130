"""What audio towers tell of the emotion in real voices by themselves: nEMO, each speaker left out in turn.

    python benchmarks/nemo_towers.py --data data/nemo-prepared --towers 'as shipped=runs/tower/final' \
        'on the other speakers, too=runs/towers/{fold}/final' untrained --results docs/results/nemo-towers.json

A tower is a name and a folder of a `HubertModel`; `{fold}` in the folder stands for the speaker left out, whom that
tower must not have heard. `untrained` is the first one's config with new weights. What is classified is mean and
deviation over time of every layer's states, by the support vector machine of the classic baseline (C = 1): as they
are, and standardised for each speaker by that speaker's recordings, without labels. Nothing else of XSER is heard.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from nemo import ALL, NONE
from transformers import AutoFeatureExtractor, HubertModel, PreTrainedModel, set_seed

from xser.audio_tower_xser import audio_tower
from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.backbones_xser import load_whole
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.kept import computed_once
from xser.evaluation.baselines import standardised_by_speaker, support_vectors
from xser.evaluation.report import command_line, text_table
from xser.pretraining.model import spectral_filters
from xser.training.metrics import metric
from xser.training.voices import digest_of

UNTRAINED = "untrained"


def tower_statistics(rows: Dataset, tower: PreTrainedModel, extractor) -> np.ndarray:
    """(rows, 2 (L+1) H) mean and deviation over time of every layer of a tower of any kind, in eval mode."""
    kind = audio_tower(tower.config)
    kind.prepare(tower)

    @torch.no_grad()  # of the thread that hears
    def statistics(audio: dict) -> np.ndarray:
        values = torch.from_numpy(load_audio(audio)).unsqueeze(0)
        if getattr(extractor, "do_normalize", False):
            values = extractor(values[0].numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"]
        states = torch.cat(kind.encode(tower, values))  # (L+1, T, H)
        return torch.stack([states.mean(1), states.std(1, correction=0)]).reshape(1, -1).numpy()

    return np.concatenate(computed_once(f"statistics-{digest_of(tower)}", rows, statistics, "hearing"))


def untrained(folder: str) -> HubertModel:
    """A tower of the same config with new weights, its first convolution as `filters: spectral` starts it."""
    set_seed(0)
    tower = HubertModel(HubertModel.config_class.from_pretrained(folder))
    filters = tower.feature_extractor.conv_layers[0].conv
    with torch.no_grad():
        filters.weight.copy_(spectral_filters(*filters.weight.shape[::2]))
    return tower


def unweighted_accuracy(values: np.ndarray, rows: Dataset, fold: str) -> float:
    """UA on a fold of a classifier that learnt on the others."""
    emotions, is_test = np.array(rows["emotion"]), np.array(rows["fold"]) == fold
    guesses = support_vectors().fit(values[~is_test], emotions[~is_test]).predict(values[is_test])
    found = metric("unweighted_accuracy").compute(predictions=guesses, references=emotions[is_test])
    return found["unweighted_accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="nEMO, prepared")
    parser.add_argument("--towers", nargs="+", required=True, help="NAME=FOLDER, or 'untrained'")
    parser.add_argument("--folds", nargs="+", help="only these speakers are left out")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write the table to")
    arguments = parser.parse_args()
    rows = concatenate_datasets(list(load_corpus(arguments.data).values()))
    folds = arguments.folds or sorted(set(rows["fold"]))
    n = sum(fold in folds for fold in rows["fold"])
    columns = ("tower", "reference", "UA, mean of folds", *folds)
    towers = [tower.partition("=")[::2] for tower in arguments.towers]
    first = next((folder for _, folder in towers if folder), None)
    if first is None:
        parser.error("--towers names no folder; 'untrained' takes its config from one")
    table = []
    for name, folder in towers:
        values = {}
        for fold in folds:
            path = (folder or first).replace("{fold}", fold)
            if path not in values:
                tower = load_whole(HubertModel, path) if folder else untrained(path)
                heard = tower_statistics(rows, tower.eval(), AutoFeatureExtractor.from_pretrained(path))
                values[path] = {NONE: heard, ALL: standardised_by_speaker(heard, np.array(rows["speaker"]))}
        for reference in (NONE, ALL):
            uas = [
                unweighted_accuracy(values[(folder or first).replace("{fold}", fold)][reference], rows, fold)
                for fold in folds
            ]
            table.append((name, reference, f"{np.mean(uas):.3f}", *(f"{ua:.3f}" for ua in uas)))
            print(*table[-1], flush=True)
    title = f"nEMO, strangers: UA of the frozen audio tower alone under a support vector machine, {n} utterances"
    print(title, text_table(table, columns), sep="\n")
    write_json(arguments.results, {"title": title, "command": command_line(), "columns": columns, "rows": table})


if __name__ == "__main__":
    main()
