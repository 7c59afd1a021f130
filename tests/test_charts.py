"""Pictures of a report: what they say, and that they say it in the same bytes."""

import base64
from xml.etree import ElementTree

import numpy as np
import pytest

from xser.evaluation.counts import NUM_BINS, calibration_columns, expected_calibration_error
from xser.evaluation.page.charts import (
    draw_confusion,
    draw_recalls,
    draw_reliability,
    draw_risk_coverage,
    reliability_bins,
)

CONFUSION = {"references": ["angry", "sad"], "predictions": ["angry", "sad", "none"], "counts": [[3, 1, 0], [0, 1, 1]]}
INTERVALS = {"recall.angry": {"low": 0.25, "high": 0.95, "of": "speakers"}}
CONFIDENCE, HITS = np.array([0.95, 0.99, 0.55, 0.95]), np.array([True, False, True, True])
DRAWN = {
    "confusion": lambda: draw_confusion(CONFUSION),
    "recalls": lambda: draw_recalls({"angry": 0.75, "calm": None}, {"angry": 4, "calm": 0}, INTERVALS, 0.75),
    "reliability": lambda: draw_reliability(reliability_bins(CONFIDENCE, HITS)),
    "risk_coverage": lambda: draw_risk_coverage({"coverage": [0.25, 0.5, 0.75, 1.0], "risk": [0.0, 0.25, 0.25, 0.4]}),
}


def texts(chart):
    """What is written in a picture; fails where it is no XML."""
    root = ElementTree.fromstring(chart.svg)
    return [element.text.strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_has_the_same_bytes_every_time(name):
    first, second = DRAWN[name](), DRAWN[name]()
    assert first == second
    assert "<dc:date>" not in first.svg and "Matplotlib" not in first.svg
    head, data = first.data_uri.split(",")
    assert head == "data:image/svg+xml;base64" and base64.b64decode(data).decode() == first.svg


def test_a_confusion_matrix_shows_shares_of_each_row_and_counts():
    chart = DRAWN["confusion"]()
    written = texts(chart)
    for cell in ("75%", "25%", "50%", "0%", "3", "1", "angry (4)", "sad (2)", "none"):
        assert cell in written
    assert chart.alt == (
        "Confusion matrix of 6 utterances. angry (n 4) is called angry 75%, sad 25%; "
        "sad (n 2) is called sad 50%, none 50%."
    )


def test_an_emotion_without_utterances_is_a_gap_in_the_recalls():
    chart = DRAWN["recalls"]()
    assert "no utterance" in texts(chart) and "calm (0)" in texts(chart)
    assert chart.alt == (
        "Recall of each emotion: angry 0.750 (0.250 to 0.950), n 4; calm not known, no utterance is of it, n 0. "
        "UA 0.750."
    )


def test_bins_are_those_of_the_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 500)
    hits = rng.random(500) < confidence**2
    bins = reliability_bins(confidence, hits)
    assert len(bins) == NUM_BINS and sum(each.n for each in bins) == 500
    error = sum(each.n * abs(each.confidence - each.accuracy) for each in bins if each.n) / 500
    sums = calibration_columns(confidence, hits).sum(axis=0)
    assert error == pytest.approx(float(expected_calibration_error(sums)))
    inside = (confidence > bins[-1].low) & (confidence <= bins[-1].high)
    assert bins[-1].accuracy == pytest.approx(hits[inside].mean()) and bins[-1].n == inside.sum()
    assert bins[0].n == 0 and bins[0].accuracy is None and bins[0].confidence is None


def test_reliability_and_risk_are_told_in_words():
    assert DRAWN["reliability"]().alt == (
        "Reliability of the scores. score 0.55: right 100% of 1; score 0.96: right 67% of 3."
    )
    assert DRAWN["risk_coverage"]().alt == "Risk against coverage: of the surest 100%, 40.0% are wrong."


def test_labels_are_text_and_never_markup_or_formulas():
    name = "<b>$\\frac{1}{0$</b> at some length"
    chart = draw_confusion({"references": [name], "predictions": [name], "counts": [[2]]})
    assert f"{name[:23]}… (2)" in texts(chart) and "<b>" not in chart.svg and len(name) > 24 and name in chart.alt
