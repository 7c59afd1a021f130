"""What a logistic regression reads of the emotion from a frozen tower: nEMO, each speaker left out in turn.

    python benchmarks/nemo_probe.py --data data/nemo-prepared --tower openai/whisper-base --output runs/nemo-probe \
        --results docs/results/nemo-probe.json

It is what a system on the same tower has to beat. Features are mean and standard deviation over time of one layer's
states. With a reference they are relative to the speaker: less the mean over the reference's recordings, over the
standard deviation that recordings of a speaker have in the training data. The reference is recordings of the speaker,
without labels: all, or so many others than the one that is classified, drawn anew for each. The layer is chosen on
development speakers: the one that is best where each of the speakers trained on is left out in turn. Predictions lie
in `--output`, for `xser compare`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import concatenate_datasets
from nemo import NONE
from nemo_towers import tower_statistics
from sklearn.linear_model import LogisticRegression

from xser.audio_tower_xser import audio_tower
from xser.backbones_xser import load_tower
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.evaluation.predictions import reference_of, write_predictions
from xser.evaluation.report import command_line, text_table
from xser.training.metrics import metric

REFERENCES = {NONE: None, "all": 0, "30": 30, "10": 10, "3": 3}  # name → recordings; 0 for all
INVERSE_PENALTY = 0.003  # C of the logistic regression, on standardised features
SMALLEST = 1e-4


def relative(values: np.ndarray, speakers: np.ndarray, known: np.ndarray, count: int | None) -> np.ndarray:
    """Features relative to each recording's speaker, or to everyone where `count` is None.

    Args:
        values: (N, D).
        speakers: (N,).
        known: (N,) true for the recordings that are trained on.
        count: recordings of a reference, none of which is the one that is classified; 0 for all of the speaker's.
    """
    each = {speaker: values[speakers == speaker] for speaker in set(speakers[known])}
    if count is None:
        mean, deviation = values[known].mean(0), values[known].std(0)
        return (values - mean) / np.maximum(deviation, SMALLEST)
    deviation = np.maximum(np.mean([of.std(0) for of in each.values()], 0), SMALLEST)
    means = np.empty_like(values)
    for speaker in set(speakers):
        places = np.flatnonzero(speakers == speaker)
        means[places] = values[places].mean(0)
        for place in places if count else ():
            if not known[place]:  # of the speakers trained on all recordings are at hand
                others = np.random.default_rng(place).choice(places[places != place], count, replace=False)
                means[place] = values[others].mean(0)
    return (values - means) / deviation


def fitted(values: np.ndarray, emotions: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=INVERSE_PENALTY, max_iter=300).fit(values, emotions)


def unweighted_accuracy(guesses: np.ndarray, emotions: np.ndarray) -> float:
    found = metric("unweighted_accuracy").compute(predictions=guesses, references=emotions)
    return found["unweighted_accuracy"]


class LayerChoice:
    """The best layer of a fold, by leaving out each of the speakers that it trains on.

    A classifier on all speakers but two serves both their folds.
    """

    def __init__(self, values: np.ndarray, speakers: np.ndarray, emotions: np.ndarray, count: int | None):
        self.values, self.speakers, self.emotions, self.count = values, speakers, emotions, count
        self.found: dict[tuple[int, frozenset[str]], dict[str, float]] = {}

    def best(self, fold: str) -> int:
        others = sorted(set(self.speakers) - {fold})
        uas = [np.mean([self._ua(layer, fold, asked) for asked in others]) for layer in range(self.values.shape[1])]
        return int(np.argmax(uas))

    def _ua(self, layer: int, fold: str, asked: str) -> float:
        pair = frozenset((fold, asked))
        if (layer, pair) not in self.found:
            known = ~np.isin(self.speakers, list(pair))
            values = relative(self.values[:, layer], self.speakers, known, self.count)
            model = fitted(values[known], self.emotions[known])
            self.found[layer, pair] = {
                each: unweighted_accuracy(
                    model.predict(values[self.speakers == each]), self.emotions[self.speakers == each]
                )
                for each in pair
            }
        return self.found[layer, pair][asked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="nEMO, prepared")
    parser.add_argument("--tower", required=True, help="folder or Hub id")
    parser.add_argument("--references", nargs="+", choices=REFERENCES, default=list(REFERENCES))
    parser.add_argument("--output", type=Path, required=True, help="folder for predictions")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write the table to")
    arguments = parser.parse_args()
    rows = concatenate_datasets(list(load_corpus(arguments.data).values()))
    tower = load_tower(arguments.tower, None, {"dtype": torch.float32}).eval()
    statistics = tower_statistics(rows, tower, audio_tower(tower.config).extractor())  # means, then deviations
    layers = tower.config.num_hidden_layers + 1
    values = statistics.reshape(len(rows), 2, layers, -1).swapaxes(1, 2).reshape(len(rows), layers, -1)
    speakers, emotions = np.array(rows["fold"]), np.array(rows["emotion"])
    facts, folds = rows.remove_columns("audio").to_list(), sorted(set(rows["fold"]))
    choices = {name: LayerChoice(values, speakers, emotions, None if name == NONE else 0) for name in (NONE, "all")}
    table = [
        row(choices[name if name == NONE else "all"], facts, name, arguments.output) for name in arguments.references
    ]
    columns = ("reference", "UA, mean of folds", *folds, "layers")
    title = f"nEMO, unseen speakers: logistic regression on {arguments.tower}, layer chosen on development speakers"
    print(title, text_table(table, columns), sep="\n")
    write_json(arguments.results, {"title": title, "command": command_line(), "columns": columns, "rows": table})


def row(choice: LayerChoice, facts: Sequence[dict], name: str, output: Path) -> tuple[str, ...]:
    """Classify every fold under one reference; writes the predictions, and gives a row of the table."""
    values, speakers, emotions = choice.values, choice.speakers, choice.emotions
    count, uas, layers, predictions = REFERENCES[name], [], [], []
    for fold in sorted(set(speakers)):
        layer, asked = choice.best(fold), speakers == fold
        features = relative(values[:, layer], speakers, ~asked, count)
        guesses = fitted(features[~asked], emotions[~asked]).predict(features[asked])
        uas.append(unweighted_accuracy(guesses, emotions[asked]))
        layers.append(str(layer))
        for index, guess in zip(np.flatnonzero(asked), guesses, strict=True):
            answer = {"id": facts[index]["id"], "reference": reference_of(facts[index]), "status": "ok"}
            predictions.append({**answer, "emotion": str(guess)})
    write_predictions(output / f"{name}.jsonl", predictions)
    found = (name, f"{np.mean(uas):.3f}", *(f"{ua:.3f}" for ua in uas), " ".join(layers))
    print(*found, flush=True)
    return found


if __name__ == "__main__":
    main()
