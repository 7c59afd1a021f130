"""Concordance correlation coefficient: how near numbers come to their references, 1 where they are the same.

`2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)` with variances over all N, as Lin defines it: beside the
correlation it counts another mean and another spread.
"""

import datasets
import evaluate
import numpy as np

INPUTS = """\
Args:
    predictions (`list[float]`): a number for each utterance.
    references (`list[float]`): the number that it should be.

Returns:
    concordance_correlation (`float`): from -1 to 1.
    n (`int`): utterances.

Raises:
    ValueError: fewer than two utterances, a number that is not finite, or all numbers the same.
"""

CITATION = "Lin: A Concordance Correlation Coefficient to Evaluate Reproducibility. Biometrics 45(1), 1989."


class ConcordanceCorrelation(evaluate.Metric):
    def _info(self):
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=__doc__,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions, references):
        given, wanted = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
        if len(wanted) < 2:
            raise ValueError(f"concordance of {len(wanted)} references: give at least 2")
        if not (np.isfinite(given).all() and np.isfinite(wanted).all()):
            raise ValueError("predictions and references must be finite numbers")
        given_mean, wanted_mean = given.mean(), wanted.mean()
        covariance = ((given - given_mean) * (wanted - wanted_mean)).mean()
        scale = given.var() + wanted.var() + (given_mean - wanted_mean) ** 2
        if scale == 0:
            raise ValueError("predictions and references are all the same: their concordance is not defined")
        return {"concordance_correlation": float(2 * covariance / scale), "n": len(wanted)}
