"""`xser COMMAND`, or `python -m xser COMMAND`: one door to every command of the package.

A command's module is imported when the command is called, and nothing else is.
"""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from xser import register
from xser.commands.entry import USAGE, run_command

COMMANDS = {  # name → module, what its `main` gets before the rest of the command line, one line of help
    "explain": ("explain", (), "the emotion of recordings, how sure the model is, and why"),
    "measure": ("descriptors.__main__", ("measure",), "pitch, volume, speed and tone of recordings"),
    "check": ("descriptors.__main__", ("check",), "whether claims about a recording hold"),
    "prepare": ("corpora.__main__", ("prepare",), "check, split and write a corpus"),
    "annotate": ("descriptors.__main__", ("annotate",), "label the descriptors of a prepared corpus"),
    "leakage": ("corpora.__main__", ("leakage",), "recordings and speakers that two corpora share"),
    "train": ("train", (), "train or fine-tune a model"),
    "pretrain": ("pretrain_tower", (), "pretrain an audio tower on unlabelled speech"),
    "evaluate": ("eval", (), "UA, WA, WER and more of a model on a corpus"),
    "score": ("evaluation.__main__", ("score",), "every figure of a file of predictions"),
    "compare": ("evaluation.__main__", ("compare",), "test systems against the first, by their predictions"),
    "bias": ("evaluation.__main__", ("bias",), "figures of each group of utterances"),
    "protocol": ("evaluation.protocols.__main__", (), "all folds of an evaluation protocol"),
    "systems": ("systems.__main__", (), "train and compare every system of the paper"),
    "backbones": ("backbones.__main__", (), "fetch the pretrained models that xser-base stands on"),
    "publish": ("push_to_hub", (), "put a model on the Hub, with its card"),
}


NEED_AUTO_CLASSES = (
    "train",
    "pretrain",
    "evaluate",
    "protocol",
    "systems",
    "publish",
)  # before their modules are imported


def usage() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, _, what) in COMMANDS.items()]
    return "\n".join(["usage: xser COMMAND …", "", *lines, "", "xser COMMAND --help shows the options of a command."])


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit as it does; see `commands.entry.run_command`."""
    name, *arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return
    if name in ("-V", "--version"):
        from importlib.metadata import version

        print(f"xser {version('xser')}")
        return
    if name not in COMMANDS:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
        print(f"xser: {name!r} is no command{hint}; xser --help lists them all", file=sys.stderr)
        sys.exit(USAGE)
    run_command(f"xser {name}", _call, name, arguments)


def _call(name: str, arguments: list[str]) -> object:
    module, first, _ = COMMANDS[name]
    if name in NEED_AUTO_CLASSES:
        register()
    return import_module(f"xser.{module}").main([*first, *arguments])


if __name__ == "__main__":
    main()
