"""What simple systems reach on the same utterances, as files of predictions like those of eval.py.

    python -m xser.evaluation.baselines --corpus data/nemo --test_speakers KD0 TP0 --output baselines/
    python -m xser.evaluation.baselines --corpus espeak --systems majority text --output baselines/

`majority` always says the most frequent emotion. `egemaps-svm` is the classic of the field: functionals of the
extended Geneva minimalistic set (Eyben et al. 2016; openSMILE, extra `baselines`) and a support vector machine;
`egemaps-svm-speaker` standardises them for every speaker by all of that speaker's recordings, without their labels.
`tower-linear` is the states of a frozen audio tower, mean over layers and time, under a logistic regression; `text` is
words and letters of the transcript under one. How strongly a classifier is regularised is chosen on folds of the
training speakers.
"""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm.auto import tqdm

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.commands.entry import CommandParser, run_command
from xser.corpora import load_corpus
from xser.corpora.folds import hold_out
from xser.corpora.kept import computed_once
from xser.evaluation.predictions import reference_of, write_predictions

FOLDS = 5  # of the training speakers, to choose the regularisation on
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the regularisation, inverse
TOWER = "checkpoints/xser-tiny"

Features = Callable[[Dataset], np.ndarray]


def predict(system: str, train: Dataset, test: Dataset, tower: str = TOWER) -> np.ndarray:
    """Fit a baseline and let it guess.

    Args:
        system: one of `SYSTEMS`.
        train, test: rows of the one schema, all with an emotion.
        tower: folder or Hub id of an XSER model, whose audio tower `tower-linear` listens by.

    Returns:
        (rows of test,) emotions.

    Raises:
        ValueError: there is no such system; a row lacks what it needs.
        ImportError: `egemaps-svm` without the extra `baselines`.
    """
    if system not in SYSTEMS:
        raise ValueError(f"system is {system!r}; it must be one of {list(SYSTEMS)}")
    features, classifier = SYSTEMS[system]
    inputs = [features(rows, tower) for rows in (train, test)]
    emotions, speakers = np.array(train["emotion"]), train["speaker"][:]
    if system == "majority":
        return classifier().fit(inputs[0], emotions).predict(inputs[1])
    by_speaker = None not in speakers and len(set(speakers)) > 1
    folds = (GroupKFold if by_speaker else KFold)(min(FOLDS, len(set(speakers)) if by_speaker else FOLDS))
    last = classifier().steps[-1][0]
    search = GridSearchCV(classifier(), {f"{last}__C": STRENGTHS}, scoring="balanced_accuracy", cv=folds)
    search.fit(inputs[0], emotions, groups=speakers if by_speaker else None)
    return search.predict(inputs[1])


def egemaps(rows: Dataset) -> np.ndarray:
    """(rows, 88) functionals of every recording; openSMILE takes its time, so it hears each recording only once."""
    try:
        import opensmile
    except ImportError as error:
        raise ImportError("egemaps-svm needs openSMILE: pip install 'xser[baselines]'") from error
    kind = opensmile.FeatureSet.eGeMAPSv02
    smile = opensmile.Smile(kind, opensmile.FeatureLevel.Functionals)
    values = computed_once(
        f"{kind.name}-{opensmile.__version__}",
        rows,
        lambda audio: smile.process_signal(load_audio(audio), SAMPLE_RATE).to_numpy(),
        "openSMILE",
    )
    return np.nan_to_num(np.concatenate(values))


def egemaps_of_speaker(rows: Dataset) -> np.ndarray:
    """The same, standardised over the recordings of each speaker.

    Raises:
        ValueError: a row has no speaker.
    """
    speakers = np.array(rows["speaker"], dtype=object)
    if None in speakers:
        raise ValueError(f"{sum(speaker is None for speaker in speakers)} rows have no speaker to standardise by")
    return standardised_by_speaker(egemaps(rows), speakers)


def standardised_by_speaker(values: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """(rows, D) over the recordings of each speaker, (rows,)."""
    values = values.astype(np.float64)
    for speaker in set(speakers):
        values[speakers == speaker] = StandardScaler().fit_transform(values[speakers == speaker])
    return values


@torch.no_grad()
def tower_means(rows: Dataset, tower: str, batch_size: int = 16) -> np.ndarray:
    """(rows, H): hidden states of a frozen audio tower, mean over layers and real frames."""
    processor = XSERProcessor.from_pretrained(tower)
    model = XSERForEmotionDescription.from_pretrained(tower, dtype=torch.float32).eval().model
    order = np.argsort(rows["duration"], kind="stable")
    means = np.zeros((len(rows), model.config.audio_config.hidden_size), np.float32)
    for start in tqdm(range(0, len(order), batch_size), desc="audio tower", unit="batch"):
        chosen = order[start : start + batch_size].tolist()
        batch = processor([rows[index]["audio"] for index in chosen], task="asr")
        states, mask = model.encode_audio(batch["input_values"], batch["input_values_mask"])
        real = mask.unsqueeze(-1).float()
        means[chosen] = (torch.stack(states).mean(0) * real).sum(1).div(real.sum(1)).numpy()
    return means


def transcripts(rows: Dataset) -> np.ndarray:
    """(rows,) texts; `ValueError` where one is missing."""
    missing = [row for row, text in zip(rows["id"], rows["text"], strict=True) if not text]
    if missing:
        raise ValueError(f"text needs a transcript of every row; {len(missing)} have none, such as {missing[:3]}")
    return np.array(rows["text"], dtype=object)


def _words_and_letters():
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return make_pipeline(make_union(words, letters), LogisticRegression(class_weight="balanced", max_iter=1000))


def support_vectors():
    return make_pipeline(StandardScaler(), SVC(kernel="rbf", class_weight="balanced"))


def _logistic():
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))


SYSTEMS: dict[str, tuple[Callable, Callable]] = {  # name → (features of rows, given the tower; classifier)
    "majority": (lambda rows, tower: np.zeros((len(rows), 1)), DummyClassifier),
    "text": (lambda rows, tower: transcripts(rows), _words_and_letters),
    "egemaps-svm": (lambda rows, tower: egemaps(rows), support_vectors),
    "egemaps-svm-speaker": (lambda rows, tower: egemaps_of_speaker(rows), support_vectors),
    "tower-linear": (tower_means, _logistic),
}


def _parts(arguments: Namespace) -> tuple[Dataset, Dataset]:
    """Rows to train and to test on, those with an emotion."""
    if arguments.test_speakers:
        parts = hold_out(load_corpus(arguments.corpus), arguments.test_speakers)
        train, test = parts["train"], parts["test"]
    else:
        train, test = (load_corpus(arguments.corpus, split) for split in (arguments.train_split, arguments.split))
    parts = [
        rows.select([index for index, emotion in enumerate(rows["emotion"]) if emotion is not None])
        for rows in (train, test)
    ]
    for name, rows in zip(("train", "test"), parts, strict=True):
        if not len(rows):
            raise ValueError(f"{arguments.corpus}: no row to {name} on has an emotion")
    return parts[0], parts[1]


def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="name of a corpus, or a folder")
    parser.add_argument("--train_split", default="train")
    parser.add_argument("--split", default="test", help="to test on")
    parser.add_argument("--test_speakers", nargs="+", help="to test on, where the corpus has no splits")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--tower", default=TOWER, help=f"model whose audio tower tower-linear uses: {TOWER}")
    parser.add_argument("--output", type=Path, required=True, help="folder for SYSTEM.jsonl")
    arguments = parser.parse_args(argv)
    train, test = _parts(arguments)
    references = test.remove_columns("audio").to_list()
    for system in arguments.systems:
        guesses = predict(system, train, test, arguments.tower)
        rows = [
            {"id": row["id"], "reference": reference_of(row), "emotion": str(guess)}
            for row, guess in zip(references, guesses, strict=True)
        ]
        write_predictions(arguments.output / f"{system}.jsonl", rows)
        emotions = np.array(test["emotion"])
        recall = [np.mean(guesses[emotions == emotion] == emotion) for emotion in np.unique(emotions)]
        print(f"{system}: UA {np.mean(recall):.3f}, n {len(test)}")


if __name__ == "__main__":
    run_command("python -m xser.evaluation.baselines", main)
