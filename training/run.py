"""What every training begins with: its command line, its share of the cores, and a record of how it is made."""

import logging
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from xser.corpora.cache import write_json, written_beside
from xser.training.arguments import resolved_config
from xser.training.launch import start_all_processes

TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")
PACKAGES = ("xser", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "numpy")


def given_arguments(argv: Sequence[str] | None, doc: str, classes: Iterable[type]) -> list[str]:
    """The command line, a YAML file first; without one, tell `doc` (with `--help` every option) and exit.

    Returns in every process that was meant to run.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0].startswith("-"):
        print(doc)
        if "--help" in argv:
            HfArgumentParser(classes).print_help()
        sys.exit(0 if "--help" in argv else f"{Path(sys.argv[0]).name}: give a YAML file first")
    start_all_processes(argv)
    return argv


def start_process(arguments: TrainingArguments) -> None:
    """Log in the first process; take this machine's share of the cores, unless OMP_NUM_THREADS says otherwise."""
    logging.basicConfig(level=logging.INFO if arguments.process_index == 0 else logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # loader workers are forked
    if "OMP_NUM_THREADS" not in os.environ:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))


def check_run_folder(arguments: TrainingArguments) -> None:
    """Find out before anything is loaded whether the run can be written.

    Raises:
        ValueError: output_dir cannot be a folder, or not be written to; report_to names what is not there.
    """
    run = Path(arguments.output_dir).expanduser().absolute()
    there = next(path for path in (run, *run.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written to" if there.is_dir() else "is a file"
        raise ValueError(f"output_dir is {arguments.output_dir}, but {there} {why}: give another folder")
    known = get_available_reporting_integrations()
    for name in arguments.report_to:
        if name not in known:
            raise ValueError(
                f"report_to names {name!r}, which is not installed here; there are {sorted(known)}, or none"
            )


def without_tokens(command: Iterable[str]) -> list[str]:
    """A command line whose access tokens of the Hub are masked."""
    return [TOKEN.sub("<token>", part) for part in command]


def write_record(run: Path, command: list[str], groups: Sequence[object], packages: Iterable[str], **facts) -> None:
    """config.yaml (every option, as resolved) and environment.json (command, versions, `facts`).

    Args:
        groups: dataclasses of options, `TrainingArguments` last.
        packages: whose versions count, beside those of every training.
    """
    arguments = groups[-1]
    run.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_dump(resolved_config(*groups), sort_keys=False, allow_unicode=True)
    with written_beside(run / "config.yaml") as beside:
        beside.write_text(config, encoding="utf-8")
    environment = {"command": without_tokens(command), "seed": arguments.seed, "python": platform.python_version()}
    environment |= {"processes": arguments.world_size, "threads": torch.get_num_threads()}
    environment |= {"versions": {name: version(name) for name in (*PACKAGES, *packages)}, **facts}
    write_json(run / "environment.json", environment)
