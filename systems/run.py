"""Every run of every system: trained, tested, its predictions saved; goes on where it was stopped.

OUTPUT/protocol.json                       corpus, protocol and rows, which every start must share
OUTPUT/data/                               rows with the protocol's labels, where the corpus cannot be read as it is
OUTPUT/SYSTEM/system.json                  the options of train.py, as resolved, which every start must share
OUTPUT/SYSTEM/fold-NAME/seed-N/            run/, train.log, eval.log, predictions.jsonl; results.json comes last
OUTPUT/SYSTEM/fold-NAME/seed-N/failed.txt  why a run failed; the next start tries again
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import datasets

from xser.corpora.cache import write_json, written_beside
from xser.evaluation.protocols.claims import CLAIM, Claimed, claim, release
from xser.evaluation.protocols.data import Selection
from xser.evaluation.protocols.folder import RESULTS, folder_of, refuse_other
from xser.evaluation.protocols.plan import Plan
from xser.evaluation.protocols.run import FoldFailed, Job, as_arguments, run_fold
from xser.evaluation.report import command_line, read_json, without_folders

SYSTEM, FAILED = "system.json", "failed.txt"


@dataclass(frozen=True)
class Preset:
    """A system to train.

    Attributes:
        name: of the system.
        arguments: of train.py: its YAML file and `--key value …`.
        options: the same, as resolved.
    """

    name: str
    arguments: Sequence[str]
    options: Mapping[str, object]

    @property
    def has_streams(self) -> bool:
        """Whether it has streams, whose information can be measured; a tower with a classifier has none."""
        return self.options.get("system") != "classifier"


@dataclass(frozen=True)
class Run:
    """One training: a system, the fold that is held out, and the seed."""

    system: str
    fold: str
    seed: int

    @property
    def name(self) -> str:
        """As messages and `--release` have it."""
        return f"{self.system}/{self.fold}/{self.seed}"

    def folder(self, output: Path) -> Path:
        """Where its files are."""
        return folder_of(output / self.system, self.fold) / f"seed-{self.seed}"

    def is_done(self, output: Path) -> bool:
        """Whether it was trained and tested."""
        return (self.folder(output) / RESULTS).is_file()

    @classmethod
    def from_name(cls, name: str) -> "Run":
        """The inverse of `name`; `ValueError` where it is none."""
        system, _, rest = name.partition("/")
        fold, _, seed = rest.rpartition("/")
        if not system or not fold or not seed.isdecimal():
            raise ValueError(f"{name!r} names no run; write SYSTEM/FOLD/SEED, such as full/1/1")
        return cls(system, fold, int(seed))


def runs_of(systems: Sequence[str], folds: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """All runs: every system on a fold before the next fold, every fold before the next seed."""
    return [Run(system, fold, seed) for seed, fold, system in itertools.product(seeds, folds, systems)]


def describe_system(output: Path, preset: Preset) -> None:
    """Write system.json, or check that the one that is there has the same options.

    Raises:
        ValueError: it was begun with other options; what differs is named.
    """
    path = output / preset.name / SYSTEM
    description = {"command": command_line(), "options": dict(preset.options)}
    if path.is_file():
        refuse_other(path, description)
    else:
        write_json(path, description)


def run_systems(
    output: Path,
    plan: Plan,
    dataset: datasets.Dataset,
    selection: Selection,
    presets: Mapping[str, Preset],
    runs: Iterable[Run],
    evaluation: Mapping[str, object],
    information: int = 0,
) -> tuple[dict[str, str], dict[str, str]]:
    """Do the runs that nobody did or does.

    Args:
        output: the folder.
        plan: the folds.
        dataset: rows of the plan with their recordings.
        selection: what train.py and eval.py read.
        presets: of the systems, by name.
        runs: in their order.
        evaluation: options of eval.py.
        information: utterances that the bits a second of each stream are measured over; 0 for none.

    Returns:
        of each run that failed the reason, and of each that another process does who that is.
    """
    failed, left, runs = {}, {}, list(runs)
    folds = {fold.name: fold for fold in plan.folds}
    for number, run in enumerate(runs, start=1):
        folder, here = run.folder(output), f"[{number} of {len(runs)}] {run.name}"
        if not run.is_done(output):
            preset = presets[run.system]
            arguments = [*preset.arguments, *as_arguments({"seed": run.seed})]
            measured = {"information": information} if information and preset.has_streams else {}
            job = Job(plan, dataset, selection, output, arguments=arguments, evaluation={**evaluation, **measured})
            try:
                with claim(folder / CLAIM):
                    if not run.is_done(output):  # somebody may have ended between the two looks
                        run_fold(job, folds[run.fold], folder, here)
                        (folder / FAILED).unlink(missing_ok=True)
            except Claimed as claimed:
                left[run.name] = str(claimed)
            except (FoldFailed, ValueError, OSError) as error:
                failed[run.name] = str(error)
                _write_text(folder / FAILED, failed[run.name])
        said = in_short(failed.get(run.name, left.get(run.name, "done")))
        print(f"{here}: {'failed: ' if run.name in failed else ''}{said}", flush=True)
    return failed, left


def runs_there(output: Path) -> list[Run]:
    """Runs that were begun, in the order of their names."""
    found = []
    for described in sorted(output.glob(f"*/{SYSTEM}")):
        for folder in sorted(described.parent.glob("fold-*/seed-*")):
            found.append(Run(described.parent.name, _fold_name(folder.parent.name), int(folder.name[len("seed-") :])))
    return found


def why_not_done(output: Path, run: Run) -> str:
    """Why a run has no results yet."""
    folder = run.folder(output)
    if (folder / FAILED).is_file():
        return f"failed: {without_folders(in_short((folder / FAILED).read_text(encoding='utf-8')))}"
    return "another process does it" if (folder / CLAIM).is_file() else "not done yet"


def in_short(reason: str) -> str:
    """The first line of a reason and the last, which is what a command said before it ended."""
    first, *others = [line for line in reason.splitlines() if line.strip()]
    return f"{first} {others[-1]}" if others else first


def options_of(output: Path, system: str) -> dict:
    """The options that a system was trained with."""
    return read_json(output / system / SYSTEM)["options"]


def free_runs(output: Path, names: Iterable[str]) -> None:
    """Take away claims of runs that a killed process left.

    Raises:
        ValueError: there is none, its process still runs here, or it names no run.
    """
    for name in names:
        release(Run.from_name(name).folder(output) / CLAIM)
        print(f"{name} is free")


def _fold_name(folder: str) -> str:
    return unquote(folder[len("fold-") :])


def _write_text(path: Path, text: str) -> None:
    with written_beside(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
