"""What a probe reads from features, against what it reads from the same features when the labels are shuffled.

A probe is trained on some utterances and tried on others (`probe_folds`). A linear one is a logistic regression
(Alain & Bengio 2016, arXiv 1610.01644), a small non-linear one a perceptron with one hidden layer. What it reaches
says little alone: a probe may learn much by itself, and balanced accuracies of few utterances wander. So the same
probe is trained and tried on shuffled labels, again and again; *selectivity* is how far the true labels lie above
that (Hewitt & Liang 2019, arXiv 1909.03368).

Labels may go together with something that is no leak: in a corpus where sad people talk of funerals, the emotion
tells words. A second control therefore shuffles labels within strata only, such as an emotion: what lies above it
cannot be explained by the strata.

Shapes: n items, F features, K classes or words, ... any number of sums.
"""

import warnings
from dataclasses import asdict, dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from xser.evaluation.intervals import UTTERANCES, Bootstrap, Interval
from xser.evaluation.probes.folds import Fold

LINEAR, NONLINEAR = PROBES = ("linear", "non-linear")
BALANCED_ACCURACY, AUROC = "balanced accuracy", "macro AUROC"
MARGIN = 0.05  # above the control's interval, what counts as nothing
LEVEL, RESAMPLES = 0.95, 2000
_LINEAR = {"C": 0.1, "max_iter": 300}
_NONLINEAR = {  # short, with much weight decay: features are as many as a tenth of the utterances
    "hidden_layer_sizes": (64,),
    "alpha": 1.0,
    "learning_rate_init": 0.01,
    "max_iter": 30,
}
_BATCH_SIZE = 64


@dataclass(frozen=True)
class Labels:
    """What is to be read from n items.

    Attributes:
        values: (n,) int, the class of each; or (n, K) bool, which of K words each holds.
        groups: (n,) what is resampled for the interval: speakers where they are known, else utterances.
        by_speaker: whether `groups` are speakers.
        strata: (n,) within which the second control shuffles; `None` for no such control.
    """

    values: np.ndarray
    groups: np.ndarray
    by_speaker: bool
    strata: np.ndarray | None = None

    @property
    def measure(self) -> str:
        """Mean recall of the classes; or, of words that most utterances lack, the mean area under their ROC."""
        return BALANCED_ACCURACY if self.values.ndim == 1 else AUROC


@dataclass(frozen=True)
class Control:
    """What the probe reaches on shuffled labels: mean and 95% interval over the repeats."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Reading:
    """What a probe reads, from 0 to 1, with its 95% interval; `None` where all resamples agree."""

    measure: str
    value: float
    interval: Interval | None
    n: int
    chance: float
    control: Control
    control_in_strata: Control | None

    @property
    def selectivity(self) -> float:
        return self.value - self.control.mean

    @property
    def within_control(self) -> bool:
        return self.value <= self.control.high + MARGIN

    @property
    def within_control_in_strata(self) -> bool | None:
        return None if self.control_in_strata is None else self.value <= self.control_in_strata.high + MARGIN

    def to_dict(self) -> dict:
        """As JSON-able values."""
        verdicts = ("selectivity", "within_control", "within_control_in_strata")
        return {**asdict(self), **{name: getattr(self, name) for name in verdicts}}


def read(features: np.ndarray, labels: Labels, folds: list[Fold], probe: str, repeats: int, seed: int = 0) -> Reading:
    """Train and try a probe, on the true labels and `repeats` times on shuffled ones.

    Args:
        features: (n, F).
        labels: of the same items.
        folds: whose test parts hold every item at most once.
        probe: one of `PROBES`.
        repeats: of each control; 20 give an interval as wide as their range.
        seed: of the shuffling, the perceptron's weights and the resampling.

    Raises:
        ValueError: an unknown probe, fewer than 2 repeats, features that are not finite or not of the labels' items.
    """
    if probe not in PROBES:
        raise ValueError(f"probe is {probe!r}; it must be one of {list(PROBES)}")
    if repeats < 2:
        raise ValueError(f"repeats is {repeats}: an interval of the control needs at least 2")
    if features.ndim != 2 or len(features) != len(labels.values):
        raise ValueError(f"features of shape {features.shape} are not (n, F) of {len(labels.values)} labels")
    if not np.isfinite(features).all():
        raise ValueError("features are not all finite")
    scaled = [_scaled(features, fold) for fold in folds]
    tested = np.concatenate([fold.test for fold in folds])

    def columns(values: np.ndarray) -> np.ndarray:
        told = [_told(probe, *parts, values[fold.train], seed) for parts, fold in zip(scaled, folds, strict=True)]
        if values.ndim == 1:
            return hit_columns(np.concatenate(told), values[tested])
        # scores of two folds do not compare
        return np.concatenate([win_columns(part, values[fold.test]) for part, fold in zip(told, folds, strict=True)])

    rng = np.random.default_rng(seed)

    def control(strata: np.ndarray) -> Control:
        shuffled = [columns(labels.values[_shuffled(strata, rng)]).sum(0) for _ in range(repeats)]
        return control_of(mean_of_shares(np.array(shuffled)))

    found = columns(labels.values)
    return Reading(
        measure=labels.measure,
        value=float(mean_of_shares(found.sum(0))),
        interval=interval_of(found, labels.groups[tested], labels.by_speaker, seed),
        n=len(tested),
        chance=0.5 if labels.measure == AUROC else 1 / len(np.unique(labels.values)),
        control=control(np.zeros(len(features), dtype=int)),
        control_in_strata=None if labels.strata is None else control(labels.strata),
    )


# ------------------------------------------------------------------ probes


def _scaled(features: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Features of both parts of a fold, standardised by the training part."""
    scaler = StandardScaler().fit(features[fold.train])
    return scaler.transform(features[fold.train]), scaler.transform(features[fold.test])


def _told(probe: str, train: np.ndarray, test: np.ndarray, values: np.ndarray, seed: int) -> np.ndarray:
    """Classes (n,) of the test part, or scores of words (n, K), by a probe that learned `values` of the training."""
    if len(np.unique(values)) == 1:  # a class that training never held is never told
        return np.broadcast_to(values[0], (len(test), *values.shape[1:]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # how long a probe may learn is part of what it is
        if probe == NONLINEAR:
            perceptron = MLPClassifier(**_NONLINEAR, batch_size=min(_BATCH_SIZE, len(train)), random_state=seed)
            if values.ndim == 2:
                return perceptron.fit(train, values).predict_proba(test)
            return perceptron.fit(train, values, compute_sample_weight("balanced", values)).predict(test)
        if values.ndim == 1:
            return LogisticRegression(**_LINEAR, class_weight="balanced").fit(train, values).predict(test)
    return np.stack([_word_scores(train, test, word) for word in values.T], axis=1)


def _word_scores(train: np.ndarray, test: np.ndarray, word: np.ndarray) -> np.ndarray:
    """How surely the linear probe hears a word in each of the test part; nothing where training never held it."""
    if len(np.unique(word)) == 1:
        return np.zeros(len(test))
    return LogisticRegression(**_LINEAR).fit(train, word).decision_function(test)


# ------------------------------------------------------------------ measures
# Each item adds 2 K numbers to sums that a bootstrap can resample: what it scores for each class or word, and whether
# it counts there.


def hit_columns(told: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Whether (n,) items were told rightly, each for its own class: (n, 2 K)."""
    is_class = true[:, None] == np.unique(true)
    return np.concatenate([is_class & (told == true)[:, None], is_class], axis=1).astype(np.float32)


def win_columns(scores: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Over what share of the items without a word those with it score, (n, K) both: (n, 2 K).

    The mean over the items with it is the area under the ROC; ties count half. Resampled, it varies with the items
    that hold the word, which are few, and not with the many that do not. A word that all or none hold does not count.
    """
    won, counts = np.zeros(said.shape), np.zeros(said.shape)
    for word, (of, holds) in enumerate(zip(scores.T, said.T, strict=True)):
        if holds.any() and not holds.all():
            others = np.sort(of[~holds])
            below = np.searchsorted(others, of[holds], "left") + np.searchsorted(others, of[holds], "right")
            won[holds, word] = below / (2 * len(others))
            counts[holds, word] = 1
    return np.concatenate([won, counts], axis=1).astype(np.float32)


def mean_of_shares(sums: np.ndarray) -> np.ndarray:
    """Mean over classes or words of score over count, (..., 2 K) -> (...); one that nothing counts for is left out."""
    score, count = np.split(np.asarray(sums, dtype=np.float64), 2, axis=-1)
    known = count > 0
    shares = np.divide(score, count, out=np.zeros(count.shape), where=known)
    return np.divide(shares.sum(-1), known.sum(-1), out=np.full(count.shape[:-1], np.nan), where=known.any(-1))


def interval_of(
    columns: np.ndarray, groups: np.ndarray, by_speaker: bool, seed: int = 0, scale: str = "logit"
) -> Interval | None:
    """Where the mean of shares lies, by resampling (n,) groups; see `intervals`."""
    interval = Bootstrap(groups.tolist(), RESAMPLES, seed).resample(columns).interval(mean_of_shares, scale, LEVEL)
    return interval if by_speaker or interval is None else replace(interval, of=UTTERANCES)


def control_of(reached: np.ndarray) -> Control:
    """Mean and 95% interval of what was reached on shuffled labels."""
    low, high = np.quantile(reached, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Control(float(reached.mean()), float(low), float(high))


def _shuffled(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation of (n,) items that leaves each in its stratum."""
    order = np.empty(len(strata), dtype=int)
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        order[own] = rng.permutation(own)
    return order
