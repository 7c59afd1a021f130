"""How long the shipped checkpoint trained, stage by stage, from the logs of its runs.

    cd runs; python ../benchmarks/training_time.py tower-30-minutes tiny-pretrain xser-tiny \
        --output ../docs/results/training-time.json

The seconds are the trainer's own `train_runtime`, which leaves out the evaluation at the end and what is done once and
kept: synthesising, measuring and hearing the data.
"""

import argparse
import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table

TARGET_MINUTES = 90
COLUMNS = ("run", "steps", "threads", "minutes")


def runtime(run: Path) -> tuple[float, int]:
    """Seconds and steps of a finished run.

    Raises:
        ValueError: its logs do not say how long it took.
    """
    for log in sorted(run.rglob("events.*")):
        events = EventAccumulator(str(log)).Reload()
        if "train/train_runtime" in events.Tags()["scalars"]:
            last = events.Scalars("train/train_runtime")[-1]
            return last.value, last.step
    raise ValueError(f"{run} has no log of a finished training: give one of a train.py that came to its end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, one stage after the other")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows, total = [], 0.0
    for run in arguments.runs:
        seconds, steps = runtime(run)
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        rows.append((run.name, str(steps), str(environment["threads"]), f"{seconds / 60:.1f}"))
        total += seconds
    rows.append((f"all, target below {TARGET_MINUTES}", "", "", f"{total / 60:.1f}"))
    title = "How long the shipped checkpoint trained, on two cores"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
