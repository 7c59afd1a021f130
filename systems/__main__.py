r"""Every system of the paper on one corpus: trained, tested, and set beside the published figures.

    xser systems --corpus data/nemo --protocol loso-speaker --output runs/systems-nemo --steps 4000 --seeds 1
    xser systems --corpus espeak --output runs/systems-espeak --rows full no_descriptors --seeds 1 2 3 \
        --audio_model runs/tiny-pretrain/backbones/audio --text_model runs/tiny-pretrain/backbones/text
    xser systems --output runs/systems-nemo --tables --others P5=blsp.csv mine=mine.csv

A row is a YAML file of configs/paper, or of `--presets`; options that this command does not know are handed on to
train.py, for every row. `--steps` gives all rows as many utterances. Runs that are done are not done again, one that
was stopped goes on from its last checkpoint, and several machines may share the work and the folder: each takes runs
that nobody has. A run that fails loses no other; it is tried again by the next start. `--tables` reads whatever
predictions are there and writes tables.md and tables.json. The states of the frozen tower are computed once for all
rows and held in memory (`--keep_states false` where that is too small). A CSV of others has the columns id and
emotion, and any of transcript and caption; named P1 to P8 it stands on that row of table 2, t1.P1 to t1.P4 on that of
table 1.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from xser.commands.entry import MISTAKES, CommandParser, one_line, run_command
from xser.corpora.cache import write_json, written_beside
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import PredictionError, read_predictions, references_of
from xser.evaluation.protocols.__main__ import checked_evaluation, ending_on_sigterm, parse_mapping, read_plan
from xser.evaluation.protocols.data import Selection, as_it_is, written
from xser.evaluation.protocols.folder import describe_protocol, set_up
from xser.evaluation.protocols.plan import Plan
from xser.evaluation.protocols.run import as_arguments
from xser.evaluation.protocols.table import PROTOCOLS
from xser.evaluation.report import command_line
from xser.systems.comparisons import compare_all
from xser.systems.figures import figures_of, information_of, read_systems
from xser.systems.lengths import length_options, utterances
from xser.systems.published import FULL, SYSTEMS, places_of
from xser.systems.run import Preset, describe_system, free_runs, in_short, options_of, run_systems, runs_of
from xser.systems.tables import comparison_table, label_of, notes, paper_tables

PROG = "xser systems"
PRESETS = Path(__file__).resolve().parent.parent / "configs" / "paper"
ONE_CORPUS = [name for name, protocol in PROTOCOLS.items() if protocol.by != "corpus"]
FAILED, LEFT = 1, 2
INFORMATION = 500  # utterances that bits a second are measured over
TABLES_JSON, TABLES_MARKDOWN = "tables.json", "tables.md"


def main(argv: list[str] | None = None) -> int:
    """Run the command; gives the exit status: 1 where a run failed, 2 where runs are left to others."""
    arguments, handed_on = _parser().parse_known_args(argv)
    try:
        if arguments.tables:
            if handed_on:
                raise ValueError(f"{handed_on} are for train.py, and --tables trains nothing: leave them out")
            show_tables(arguments.output, parse_others(arguments.others), arguments.resamples)
            return 0
        return train_and_test(arguments, handed_on)
    except MISTAKES as error:
        print(f"{PROG}: {one_line(error)}", file=sys.stderr)
        return FAILED


def _parser() -> CommandParser:
    rows = "\n".join(f"  {name}: {system.what} ({'; '.join(places_of(name))})" for name, system in SYSTEMS.items())
    parser = CommandParser(prog=PROG, description=f"{__doc__}\nRows:\n{rows}")
    parser.add_argument("--output", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--corpus", help="name of a corpus, or a folder")
    parser.add_argument("--protocol", choices=ONE_CORPUS, default="splits", help="by default the corpus's own parts")
    parser.add_argument("--rows", nargs="+", help="names of systems; by default all of the paper that --presets holds")
    parser.add_argument("--presets", type=Path, default=PRESETS, help="folder of their YAML files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="of every row")
    parser.add_argument("--folds", nargs="+", help="only these")
    parser.add_argument("--steps", type=int, help="steps of every row, of one batch each; else as each preset says")
    parser.add_argument("--release", nargs="+", default=[], metavar="SYSTEM/FOLD/SEED", help="free forgotten claims")
    parser.add_argument("--eval_options", help="for eval.py, as YAML or JSON: batch_size, dtype, device")
    parser.add_argument("--information", type=int, default=INFORMATION, help="rows that bits a second are of; 0: none")
    parser.add_argument(
        "--tables", action="store_true", help="train nothing: tables of the predictions that are there"
    )
    parser.add_argument(
        "--others", nargs="+", default=[], metavar="NAME=FILE.csv", help="predictions of other systems"
    )
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of intervals and tests")
    return parser


def train_and_test(arguments: argparse.Namespace, handed_on: Sequence[str]) -> int:
    """Do all runs that are left here, then show the tables."""
    if arguments.corpus is None:
        raise ValueError("--corpus is missing: name a corpus or a folder, or give --tables")
    others = parse_others(arguments.others)
    evaluation = checked_evaluation(parse_mapping("eval_options", arguments.eval_options))
    if arguments.information < 0:
        raise ValueError(f"--information is {arguments.information}; it must be 0 or more")
    free_runs(arguments.output, arguments.release)
    plan, dataset = read_plan(arguments.protocol, arguments.corpus)
    presets = {
        path.stem: read_preset(path, handed_on, plan, arguments.corpus, arguments.steps)
        for path in preset_files(arguments.presets, arguments.rows)
    }
    if arguments.steps is not None:
        refuse_other_lengths(presets, arguments.steps)
    folds = [fold.name for fold in plan.folds]
    if unknown := sorted(set(arguments.folds or ()) - set(folds)):
        raise ValueError(f"--folds {unknown} do not exist; there are {folds}")
    runs = runs_of(list(presets), arguments.folds or folds, list(dict.fromkeys(arguments.seeds)))
    selection = as_it_is(plan, arguments.corpus)
    about = {"system": PROG, "corpus": arguments.corpus, "test_corpus": None, "evaluation": evaluation}
    description = describe_protocol(plan, {**about, "data": "data" if selection is None else "as it is"})

    def prepare() -> Selection:
        return selection or written(plan, dataset, arguments.output / "data", arguments.corpus)

    with ending_on_sigterm():
        selection = set_up(arguments.output, description, prepare)
        for preset in presets.values():
            describe_system(arguments.output, preset)
        failed, left = run_systems(
            arguments.output, plan, dataset, selection, presets, runs, evaluation, arguments.information
        )
    if len(failed) + len(left) < len(runs):
        show_tables(arguments.output, others, arguments.resamples)
    for name, why in failed.items():
        print(f"{PROG}: run {name} failed: {in_short(why)}", file=sys.stderr)
    for name, why in left.items():
        print(f"left to others: run {name}: {why}")
    return FAILED if failed else LEFT if left else 0


def preset_files(folder: Path, rows: Sequence[str] | None) -> list[Path]:
    """YAML files of the rows; of all systems of the paper that the folder holds, if `None`.

    Raises:
        ValueError: one is not there, or none is.
    """
    there = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    wanted = [name for name in SYSTEMS if name in there] if rows is None else list(dict.fromkeys(rows))
    if unknown := [name for name in wanted if name not in there]:
        raise ValueError(f"--rows {unknown} have no YAML file in {folder}, which has {list(there)}")
    if not wanted:
        raise ValueError(f"--presets {folder} holds none of {list(SYSTEMS)}")
    return [there[name] for name in wanted]


def read_preset(path: Path, handed_on: Sequence[str], plan: Plan, corpus: str, steps: int | None) -> Preset:
    """A preset with what is handed on, and with so many steps.

    Raises:
        ValueError: as `training_arguments`, or steps that do not go with its stages.
    """
    from xser.evaluation.protocols.options import training_arguments

    given = {token[2:].partition("=")[0] for token in handed_on if token.startswith("--")}
    if reserved := sorted(given & {"seed", "stages"} | (given & {"max_steps"} if steps is not None else set())):
        raise ValueError(f"--{reserved[0]} is not handed on to train.py: give --seeds, --steps, or another preset")
    kept = (
        [] if "keep_states" in given else ["--keep_states=true"]
    )  # every row reads the tower's states from one cache
    overrides = [*kept, *handed_on]
    if steps is not None:
        if steps < 1:
            raise ValueError(f"--steps is {steps}; it must be at least 1")
        _, options = training_arguments(str(path), overrides, plan, corpus)
        overrides += as_arguments(length_options(path.stem, options, steps))
    arguments, options = training_arguments(str(path), overrides, plan, corpus)
    return Preset(path.stem, arguments, {name: value for name, value in options.items() if name != "seed"})


def refuse_other_lengths(presets: Mapping[str, Preset], steps: int) -> None:
    """Refuse rows that would train on another number of utterances than the others.

    Raises:
        ValueError: names them with their numbers.
    """
    seen = {
        name: utterances(name, preset.options, length_options(name, preset.options, steps))
        for name, preset in presets.items()
    }
    if len(set(seen.values())) > 1:
        raise ValueError(f"rows would train on different numbers of utterances: {seen}; give them batches of one size")


def parse_others(others: Sequence[str]) -> dict[str, Path]:
    """Files of predictions by the names of their systems.

    Raises:
        ValueError: not of the form, or a name is there twice.
    """
    found = {}
    for each in others:
        name, equals, path = each.partition("=")
        if not name or not equals or not path:
            raise ValueError(f"--others {each!r} is not of the form NAME=FILE.csv")
        if name in found or name in SYSTEMS:
            raise ValueError(f"--others names {name!r} twice, or a system of the paper that is trained here")
        found[name] = Path(path)
    return found


def show_tables(output: Path, others: Mapping[str, Path], resamples: int) -> dict:
    """Print the tables of what is there, and write tables.md and tables.json.

    Raises:
        ValueError: no run is done, or predictions of others are not of their form.
    """
    systems, missing = read_systems(output)
    if not systems:
        raise ValueError(f"{output}: no run is done: {missing or 'none was begun'}")
    first = FULL if FULL in systems else next(iter(systems))
    known = references_of(prediction for seeds in systems.values() for p in seeds.values() for prediction in p)
    left_out = {}
    for name, path in others.items():
        try:
            systems[name] = {0: read_predictions(path, known)}
        except PredictionError as error:
            if not missing:
                raise
            left_out[name] = f"{one_line(error)} (some runs are missing)"
    figures = {name: figures_of(seeds, resamples) for name, seeds in systems.items()}
    comparisons, not_compared = compare_all(systems, first, resamples) if len(systems) > 1 else ([], {})
    labels = {name: label for name in others if (label := label_of(name)) != name}
    tables = paper_tables(figures, labels)
    if comparisons:
        tables.append(comparison_table(comparisons, first))
    said = notes(figures, comparisons, missing, {**left_out, **not_compared})
    for name in figures:
        if name not in others:
            figures[name] |= {"information": information_of(output, name), "beta": betas(options_of(output, name))}
    results = {
        "title": f"The paper's systems: {output.name}",
        "command": command_line(),
        "tables": [{"title": table.title, "columns": table.columns, "rows": table.rows} for table in tables],
        "notes": said,
        "systems": figures,
        "first": first,
        "comparisons": comparisons,
        "missing": missing,
    }
    print("\n\n".join(["", *(table.as_text() for table in tables), "\n".join(f"note: {note}" for note in said)]))
    write_json(output / TABLES_JSON, results)
    page = "\n\n".join([*(table.as_markdown() for table in tables), "\n".join(f"- {note}" for note in said)])
    with written_beside(output / TABLES_MARKDOWN) as beside:
        beside.write_text(page + "\n", encoding="utf-8")
    print(f"written to {output / TABLES_MARKDOWN} and {output / TABLES_JSON}")
    return results


def betas(options: Mapping) -> dict[str, float]:
    """The beta of each stream that a system was given."""
    streams = {"content": "content_bottleneck", "descriptors": "descriptor_bottleneck"}
    given = {stream: options.get(name) or {} for stream, name in streams.items()}
    return {stream: each["beta"] for stream, each in given.items() if "beta" in each}


if __name__ == "__main__":
    run_command(PROG, main)
