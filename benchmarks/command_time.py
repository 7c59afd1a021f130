"""What `xser explain` adds to loading and explaining, against the bare `import torch, transformers`.

    python benchmarks/command_time.py RECORDING --output docs/results/command-time.json

Each command runs in a process of its own, in turn, and medians are compared. `loading` is everything from the call
that loads the model on, transformers' and peft's own model classes among it, which `from_pretrained` needs; the
stricter row counts importing them as overhead too.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from xser.commands.entry import CommandParser, run_command
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table

REPEATS = 5
BARE = "import torch, transformers"
TIMED = """
import json, sys, time
sys.argv[0] = "xser"
from xser import explain
spent = {}
def timed(name, function):
    def call(*arguments, **options):
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
    return call
def load(model, device):
    import xser
    start = time.perf_counter()
    xser.XSERForEmotionDescription
    spent["imports"] = time.perf_counter() - start
    pipeline = loaded(model, device)
    pipeline.forward = timed("explain", pipeline.forward)
    return pipeline
loaded = explain.load_pipeline
explain.load_pipeline = timed("loading", load)
status = explain.main(sys.argv[1:])
print(json.dumps(spent), file=sys.stderr)
sys.exit(status)
"""
COLUMNS = ("what", "median seconds over the bare import's", "bound")


def seconds(code: str, *arguments: str) -> tuple[float, str]:
    """Wall seconds of a Python process, and its standard error."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    spent = time.perf_counter() - start
    if done.returncode:
        raise ValueError(f"the command failed: {done.stderr.strip().splitlines()[-1]}")
    return spent, done.stderr


def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--output", required=True)
    options = parser.parse_args(argv)
    bare, overhead, strict = [], [], []
    for _ in range(options.repeats):
        bare.append(seconds(BARE)[0])
        total, said = seconds(TIMED, options.recording, "--json")
        spent = json.loads(said.strip().splitlines()[-1])
        overhead.append(total - spent["loading"] - spent["explain"])
        strict.append(overhead[-1] + spent["imports"])
    base = statistics.median(bare)
    ratios = [statistics.median(values) / base for values in (overhead, strict)]
    rows = [
        ("`xser explain` less loading and explaining", f"{ratios[0]:.2f}", "1.5"),
        ("the same, importing the model's classes counted as overhead", f"{ratios[1]:.2f}", "–"),
    ]
    title = f"Start of the command line, medians of {options.repeats}"
    measured = {"title": title, "columns": COLUMNS, "rows": rows, "ratios": ratios}
    measured["seconds"] = {"bare": bare, "overhead": overhead, "with_imports": strict}
    write_json(Path(options.output), {"command": command_line(), **measured})
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    run_command("command_time.py", main)
