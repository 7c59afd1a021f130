"""What a tower was made of, as its folder records it: towers by their names and hashes, never by where they lie."""

import re
from collections.abc import Iterable, Sequence

from xser.pretraining.items import MFCC, NEW, PREVIOUS, Iteration
from xser.pretraining.teacher import Teacher, tower_name


def named_towers(iterations: Sequence[Iteration]) -> dict[str, str]:
    """Use → the folder or id that the iterations name."""
    return {
        f"iteration {step}, {use}": tower
        for step, iteration in enumerate(iterations, start=1)
        for use, tower in (("start", iteration.start), ("targets", iteration.targets))
        if tower not in (NEW, MFCC, PREVIOUS)
    }


def teachers_of(iterations: Sequence[Iteration]) -> list[dict]:
    """Of every iteration with targets from a tower that it names: which one, its layers, its weights, the objective.

    `weights` is the sha256 of each file that holds some.
    """
    records = []
    for step, iteration in enumerate(iterations, start=1):
        if iteration.targets not in (MFCC, PREVIOUS):
            teacher = Teacher.read(iteration.targets)
            what = {"iteration": step, "teacher": teacher.name, "layers": list(iteration.layers)}
            records.append({**what, "objective": iteration.objective, "weights": teacher.weights})
    return records


def without_places(value: object, towers: Iterable[str]) -> object:
    """`value`, of JSON-able parts, with the names of towers in place of the folders where they lie."""
    if isinstance(value, dict):
        return {key: without_places(each, towers) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(each, towers) for each in value]
    if not isinstance(value, str):
        return value
    for tower in sorted(set(towers), key=len, reverse=True):
        parts = re.split(rf"(?<![\w./~-]){re.escape(tower)}(?![\w./-])", value)
        value = tower_name(tower).join(parts)
    return value
