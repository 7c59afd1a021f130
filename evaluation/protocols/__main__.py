r"""All folds of a protocol by one command: train, choose on the development part, test, aggregate.

    xser protocol show iemocap-loso --corpus data/iemocap
    xser protocol run iemocap-loso --corpus data/iemocap --config configs/mine.yaml \
        --output runs/iemocap-loso [--folds 1 3] [--key value … for train.py]
    xser protocol run iemocap-loso --corpus data/iemocap --system egemaps-svm --output runs/svm
    xser protocol run cross-corpus --corpus data/iemocap --test_corpus data/meld \
        --emotion_map '{excited: happy, bored: null}' --config configs/mine.yaml --output runs/iemocap-to-meld
    xser protocol aggregate --output runs/iemocap-loso

`run` goes on where it was stopped, and may be started on several machines at once on one shared folder: each takes
folds that nobody has, and who ends last aggregates. `--system` runs a baseline on the same folds, so that
`xser compare` can set its predictions.jsonl beside those of a model.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import datasets
import yaml

from xser.commands.entry import CommandParser, one_line, run_command
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.protocols.data import Selection, as_it_is, read_rows, written
from xser.evaluation.protocols.folder import describe_protocol, free, is_done, set_up
from xser.evaluation.protocols.plan import Plan, make_plan
from xser.evaluation.protocols.results import aggregate
from xser.evaluation.protocols.run import EVALUATION_OPTIONS, XSER, FoldFailed, Job, run_folds
from xser.evaluation.protocols.table import PROTOCOLS, find_protocol
from xser.evaluation.report import text_table

PROG = "xser protocol"


def main(argv: list[str] | None = None) -> int:
    """Run a command; gives the exit status: 1 after an error, 2 where folds are left to others."""
    arguments, handed_on = _parser().parse_known_args(argv)
    try:
        if handed_on and arguments.command != "run":
            raise ValueError(f"{handed_on} are no options of {arguments.command}")
        if arguments.command == "show":
            plan, _ = read_plan(arguments.protocol, arguments.corpus, arguments.test_corpus, arguments.emotion_map)
            show(plan)
        elif arguments.command == "aggregate":
            show_results(aggregate(arguments.output, arguments.resamples))
        else:
            return run_protocol(arguments, handed_on)
    except (ValueError, OSError, ImportError, FoldFailed) as error:
        print(f"{PROG}: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> CommandParser:
    table = "\n".join(f"  {protocol.name}: {protocol.convention}" for protocol in PROTOCOLS.values())
    parser = CommandParser(prog=PROG, description=f"{__doc__}\nProtocols:\n{table}")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="train and test every fold")
    showing = commands.add_parser("show", help="what each fold holds")
    for command in (running, showing):
        command.add_argument("protocol", choices=PROTOCOLS)
        command.add_argument("--corpus", required=True, help="name of a corpus, or a folder")
        command.add_argument("--test_corpus", help="another corpus, to test on (cross-corpus)")
        command.add_argument("--emotion_map", help="label → emotion, or null to leave it out; YAML or JSON")
    running.add_argument("--output", type=Path, required=True, help="folder of the run")
    running.add_argument("--config", help="YAML file of train.py; what this command does not know is handed on to it")
    running.add_argument("--folds", nargs="+", help="only these")
    running.add_argument("--release", nargs="+", default=[], metavar="FOLD", help="free claims that were forgotten")
    running.add_argument("--system", default=XSER, help="xser, or one of the baselines")
    running.add_argument("--tower", help="of the baseline tower-linear")
    running.add_argument("--eval_options", help=f"for eval.py, as YAML or JSON: any of {list(EVALUATION_OPTIONS)}")
    aggregating = commands.add_parser("aggregate", help="figures over the folds that are done")
    aggregating.add_argument("--output", type=Path, required=True, help="folder of the run")
    aggregating.add_argument("--resamples", type=int, default=RESAMPLES, help="of the intervals")
    return parser


def read_plan(
    protocol: str, corpus: str, test_corpus: str | None = None, emotion_map: str | None = None
) -> tuple[Plan, datasets.Dataset]:
    """The folds of a protocol on a corpus, and its rows with their recordings."""
    if test_corpus is not None and Path(test_corpus).resolve() == Path(corpus).resolve():
        raise ValueError(f"--test_corpus is {test_corpus!r}, and so is --corpus: give another")
    read = [read_rows(name) for name in (corpus, test_corpus) if name is not None]
    rows = [rows for _, rows in read]
    mapping = parse_mapping("emotion_map", emotion_map)
    together = datasets.concatenate_datasets([dataset for dataset, _ in read])
    return make_plan(find_protocol(protocol), *rows, emotion_map=mapping), together


def parse_mapping(name: str, text: str | None) -> dict:
    """An option that is a mapping, as YAML or JSON."""
    try:
        value = yaml.safe_load(text) if text is not None else {}
    except yaml.YAMLError as error:
        raise ValueError(f"--{name} is {text!r}, which is not YAML or JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"--{name} is {text!r}; it must be a mapping, such as {{key: value}}")
    return value


def run_protocol(arguments: argparse.Namespace, handed_on: list[str]) -> int:
    """`run`: everything that is left to do here."""
    evaluation = checked_evaluation(parse_mapping("eval_options", arguments.eval_options))
    free(arguments.output, arguments.release)
    plan, dataset = read_plan(arguments.protocol, arguments.corpus, arguments.test_corpus, arguments.emotion_map)
    given, resolved = _arguments_of_system(arguments, handed_on, plan)
    selection = as_it_is(plan, arguments.corpus)
    description = describe_protocol(
        plan,
        {
            "system": arguments.system,
            "corpus": arguments.corpus,
            "test_corpus": arguments.test_corpus,
            "emotion_map": parse_mapping("emotion_map", arguments.emotion_map),
            "data": "data" if selection is None and arguments.system == XSER else "as it is",
            "config": arguments.config,
            "options": resolved,
            "evaluation": evaluation,
            "tower": arguments.tower,
        },
    )

    def prepare() -> Selection | None:
        if selection is not None or arguments.system != XSER:
            return selection
        return written(plan, dataset, arguments.output / "data", arguments.corpus)

    with ending_on_sigterm():
        selection = set_up(arguments.output, description, prepare)
        job = Job(plan, dataset, selection, arguments.output, arguments.system, given, evaluation, arguments.tower)
        run_folds(job, arguments.folds)
    left = [fold.name for fold in plan.folds if not is_done(arguments.output, fold.name)]
    if left:
        print(f"left to do, or others do them: fold {', '.join(left)}; who ends last aggregates")
        return 2
    show_results(aggregate(arguments.output))
    return 0


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let a batch system's SIGTERM end the process as Ctrl-C does: commands are stopped, claims given back."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _arguments_of_system(arguments: argparse.Namespace, handed_on: list[str], plan: Plan) -> tuple[list[str], dict]:
    """What train.py is given, and its options as resolved; a baseline has none."""
    if arguments.system == XSER:
        from xser.evaluation.protocols.options import training_arguments

        if arguments.config is None:
            raise ValueError("--config is missing: give a YAML file of train.py, or the --system of a baseline")
        if arguments.tower is not None:
            raise ValueError(f"--tower is {arguments.tower!r}, which is of the baseline tower-linear alone")
        return training_arguments(arguments.config, handed_on, plan, arguments.corpus)
    from xser.evaluation.baselines import SYSTEMS

    if arguments.system not in SYSTEMS:
        raise ValueError(f"--system is {arguments.system!r}; it must be one of {[XSER, *SYSTEMS]}")
    useless = {"--config": arguments.config, "--eval_options": arguments.eval_options, "options": handed_on}
    if given := {name: value for name, value in useless.items() if value}:
        raise ValueError(f"--system {arguments.system} is not trained by train.py: {given} do not apply to it")
    return [], {}


def checked_evaluation(options: Mapping) -> dict:
    """Options of eval.py; `ValueError` where one of them would choose utterances."""
    unknown = sorted(set(options) - set(EVALUATION_OPTIONS))
    if unknown:
        raise ValueError(f"--eval_options {unknown} cannot be given: only {list(EVALUATION_OPTIONS)}")
    return dict(options)


def show(plan: Plan) -> None:
    """Print what each fold holds, what is left out, and what is lacking."""
    rows = []
    for fold in plan.folds:
        for part, counted in plan.counts(fold).items():
            speakers = counted["speakers"]
            named = ", ".join(speakers) if len(speakers) <= 4 else f"{', '.join(speakers[:3])}, …"
            emotions = [str(n) for n in counted["emotions"].values()]
            rows.append((fold.name, part, str(counted["n"]), *emotions, str(len(speakers)), named))
    print(f"{plan.protocol.name}: {plan.protocol.convention}\n")
    print(text_table(rows, ("fold", "part", "n", *plan.classes, "speakers", "named")))
    said = [f"left out: {reason}: {n:,}" for reason, n in plan.left_out.items()]
    said += [f"taken as: {what}: {n:,}" for what, n in plan.relabelled.items()]
    said += [f"gap: fold {fold.name}: {gap}" for fold in plan.folds for gap in fold.gaps]
    said += [f"gap: fold {name} is missing: {why}" for name, why in plan.missing.items()]
    print("\n".join(["", *said, *(f"note: {note}" for note in plan.notes)]))


def show_results(results: dict) -> None:
    """Print the table of a results file."""
    print(f"\n{results['title']}: {results['convention']}\n")
    print(text_table([tuple(row) for row in results["rows"]], tuple(results["columns"])))
    print("\n".join(["", *(f"note: {note}" for note in results["notes"])]))


if __name__ == "__main__":
    run_command(PROG, main)
