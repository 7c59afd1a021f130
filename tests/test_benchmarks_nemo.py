"""The benchmark on nEMO: what each part of a pooled answer said by itself, and the tables over folds."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EMOTIONS = ("sad", "angry", "happy")


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("nemo", ROOT / "benchmarks" / "nemo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opinion(rng) -> dict[str, float]:
    return dict(zip(EMOTIONS, rng.dirichlet(np.ones(3)).tolist(), strict=True))


def pooled(opinions) -> dict[str, float]:
    means = {emotion: np.prod([each[emotion] for each in opinions]) ** (1 / len(opinions)) for emotion in EMOTIONS}
    return {emotion: mean / sum(means.values()) for emotion, mean in means.items()}


def answer(rng, truth: str, sure: str | None = None) -> dict:
    votes = {"descriptors": opinion(rng), "measures": opinion(rng)}
    if sure is not None:
        votes["measures"] = {emotion: 0.98 if emotion == sure else 0.01 for emotion in EMOTIONS}
    spoken = opinion(rng)
    scores = pooled([*votes.values(), spoken])
    reference = {"emotion": truth, "speaker": "a", "descriptors": {}}
    known = {"id": str(rng.integers(10**9)), "reference": reference, "status": "ok", "transcript": None}
    return known | {"emotion": max(scores, key=scores.get), "scores": scores, "votes": votes, "spoken": spoken}


def test_the_language_models_opinion_is_what_the_votes_leave_of_the_answer(benchmark):
    given = answer(np.random.default_rng(0), "sad")
    found = benchmark.opinions_of(given)
    assert list(found) == ["descriptors", "measures", "language model", "all of them"]
    assert found["language model"] == pytest.approx(given["spoken"], rel=1e-9)
    assert found["all of them"] == given["scores"] and found["measures"] == given["votes"]["measures"]


def test_each_opinion_is_scored_alone_in_every_fold(benchmark):
    rng = np.random.default_rng(1)
    truths = EMOTIONS * 4
    folds = {
        "A": [answer(rng, truth, sure=truth) for truth in truths],
        "B": [answer(rng, truth, sure="sad") for truth in truths],
    }
    predictions = {"XSER": folds, "XSER with reference": folds}
    rows = benchmark.opinions_table(predictions)
    assert {row[0] for row in rows} == {benchmark.NONE, benchmark.ALL} and len(rows) == 2 * 4
    alone = {row[1]: row[2:] for row in rows if row[0] == benchmark.NONE}
    assert alone["measures"] == ("0.667", "1.000", "0.333")  # right in A, always the same in B
