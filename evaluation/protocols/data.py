"""The rows of a protocol as train.py and eval.py can be told to read them.

Where a corpus's own splits or folds are those of the protocol, and every row is in it with its own label, the corpus
is read as it is. Else its rows are written once, beside the folds, with the labels and folds of the protocol.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets

from xser.corpora import load_corpus
from xser.corpora.cache import written_beside
from xser.corpora.loading import is_prepared
from xser.corpora.schema import FEATURES, features_with, own_slots
from xser.evaluation.protocols.plan import PARTS, Fold, Plan

CALIBRATION = "calibration.json"  # of an annotated corpus: train.py gives it to the processor


@dataclass(frozen=True)
class Selection:
    """What train.py and eval.py read.

    Attributes:
        data: name of a corpus, or a folder.
        by_fold: whether its column `fold` holds the folds; else its splits are the parts.
    """

    data: str
    by_fold: bool

    def training_options(self, fold: Fold) -> dict:
        """Options of train.py: the training part, and the development part to evaluate on where there is one."""
        options = {
            "data": self.data,
            "train_split": "train",
            "eval_split": "validation" if fold.development is not None else None,
        }
        if self.by_fold:
            options["corpus_options"] = {"test_fold": fold.name, "validation_fold": fold.development or "none"}
        return options

    def evaluation_options(self, fold: Fold) -> dict:
        """Options of eval.py: the test part."""
        return {"corpus": self.data, "split": "test"} | ({"test_fold": fold.name} if self.by_fold else {})


def read_rows(corpus: str) -> tuple[datasets.Dataset, list[dict]]:
    """A corpus in one piece, and its rows without audio, each with its split."""
    loaded = load_corpus(corpus)
    if isinstance(loaded, datasets.Dataset):
        return loaded, loaded.remove_columns("audio").to_list()
    parts = {name: part.remove_columns("audio").to_list() for name, part in loaded.items()}
    rows = [{**row, "split": name} for name, part in parts.items() for row in part]
    return datasets.concatenate_datasets(list(loaded.values())), rows


def as_it_is(plan: Plan, corpus: str) -> Selection | None:
    """The corpus itself, where its splits or folds, and its labels, are those of the plan."""
    if plan.left_out or plan.relabelled or plan.protocol.by == "corpus":
        return None
    if plan.groups is None:
        return Selection(corpus, by_fold=False)
    folder = Path(corpus).expanduser()
    same = all(plan.rows[index]["fold"] == group for index, group in plan.groups.items())
    return Selection(corpus, by_fold=True) if same and is_prepared(folder) else None


def written(plan: Plan, dataset: datasets.Dataset, folder: Path, calibration: str) -> Selection:
    """Write the rows of the plan, recordings included, to `folder`, unless it is there.

    Args:
        plan: of the rows.
        dataset: its rows with their recordings.
        folder: is never found half-written.
        calibration: the corpus whose cuts between levels go with it, where it has some.
    """
    if not folder.exists():
        if plan.groups is not None:
            folds = [plan.groups[index] for index in plan.kept]
            data = with_labels(dataset, plan, plan.kept, folds=folds)
        else:
            [fold] = plan.folds
            parts = {part: fold.parts[part] for part in PARTS if fold.parts[part]}
            data = datasets.DatasetDict(
                {part: with_labels(dataset, plan, indices, split=part) for part, indices in parts.items()}
            )
        with written_beside(folder) as beside:
            data.save_to_disk(str(beside))
            cuts = Path(calibration).expanduser() / CALIBRATION
            if cuts.is_file():
                shutil.copy(cuts, beside / CALIBRATION)
    return Selection(str(folder), by_fold=plan.groups is not None)


def with_labels(
    dataset: datasets.Dataset,
    plan: Plan,
    indices: Sequence[int],
    folds: list[str] | None = None,
    split: str | None = None,
) -> datasets.Dataset:
    """Some rows with the emotions of the plan, and with other folds or another split where these are given."""
    columns = {"emotion": [plan.rows[index]["emotion"] for index in indices]}
    if folds is not None:
        columns |= {"fold": folds, "split": [None] * len(indices)}
    if split is not None:
        columns["split"] = [split] * len(indices)
    chosen = dataset.select(list(indices)).remove_columns(list(columns))
    for name, values in columns.items():
        chosen = chosen.add_column(name, values, feature=FEATURES[name])
    return chosen.select_columns(list(FEATURES)).cast(features_with(own_slots(dataset.features)))
