"""Options as a YAML file and a command line that overrides it, both through one parser."""

import difflib
import json
import re
from argparse import ArgumentError
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from transformers import HfArgumentParser

NULL = "null"
PACKAGE, CONFIGS = Path(__file__).parent.parent, "configs"
RANGES = {
    "above 0": lambda value: 0 < value < float("inf"),
    "0 or more": lambda value: 0 <= value < float("inf"),
    "at least 1": lambda value: 1 <= value < float("inf"),
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "from 0 to below 1": lambda value: 0 <= value < 1,
    "-1 for none, or at least 1": lambda value: value == -1 or value >= 1,
    "from 0 to 4,294,967,295": lambda value: 0 <= value < 2**32,
}
TRAINER_NUMBERS = {  # of `TrainingArguments`; it finds few of them itself, and some in the middle of a run
    "at least 1": (
        *("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
        "bucket_batches",
    ),
    "above 0": (*("num_train_epochs", "logging_steps", "save_steps", "eval_steps", "adam_epsilon", "max_minutes"),),
    "0 or more": ("learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "dataloader_num_workers"),
    "from 0 to below 1": ("adam_beta1", "adam_beta2"),
    "-1 for none, or at least 1": ("max_steps",),
    "from 0 to 4,294,967,295": ("seed",),
}
GONE = {
    "task_weights": "a stage's turn says how often its task comes, as in stages: {asr: {}, describe: {turn_steps: 4}}"
}


class Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as it is in JSON and in Python."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def parse_dicts(arguments: object, *names: str) -> None:
    """Read fields that came as text (YAML or JSON) into dicts, in place."""
    for name in names:
        value = getattr(arguments, name)
        if isinstance(value, str):
            try:
                value = yaml.load(value, Loader)
            except yaml.YAMLError as error:
                raise ValueError(f"{name} is {value!r}, which is not YAML or JSON: {error}") from error
            setattr(arguments, name, value)
        if value not in (None, False) and not isinstance(value, dict):
            raise ValueError(f"{name} is {value!r}; it must be a mapping, such as {{key: value}}")


def help_text(text: str) -> dict:
    return {"help": text}


def parse_options(argv: Sequence[str], classes: Sequence[type], prog: str) -> tuple:
    """Read `CONFIG.yaml [--key value …]`; the command line wins.

    Args:
        argv: the file, and the rest of the command line.
        classes: dataclasses of options, no two of one name.
        prog: the script, for messages.

    Returns:
        One instance of each class.

    Values of the file go through the same parser as those of the command line, so both are of the same types. A null,
    in either, means the default.

    Raises:
        ValueError: an unknown key (named with the nearest allowed one), or a value that is not allowed.
    """
    parser = HfArgumentParser(classes, allow_abbrev=False, exit_on_error=False, prog=prog)
    path, *tokens = argv
    options = {}
    for source, given in ((path, _file_options(path)), ("command line", _command_line_options(tokens))):
        for key, values in given.items():
            action = parser._option_string_actions.get(f"--{key}")
            if key in GONE:
                raise ValueError(f"{source}: {key} is no option any more: {GONE[key]}")
            if action is None:
                close = nearest(key, [action.dest for action in parser._actions])
                raise ValueError(f"{source}: unknown key {key!r}; the nearest is {close!r}")
            if len(values) > 1 and action.nargs != "+":
                raise ValueError(f"{source}: {key} takes one value, not {values}")
            options[key] = values
    arguments = []
    for key, values in options.items():
        if values != [NULL]:  # `=` keeps a value that starts with a dash from being taken for a key
            arguments += [f"--{key}={values[0]}"] if len(values) == 1 else [f"--{key}", *values]
    try:
        return parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)
    except ArgumentError as error:
        raise ValueError(f"{path} and command line: {error}") from error


def check_numbers(arguments: object, rules: Mapping[str, Iterable[str]]) -> None:
    """Refuse numbers that are out of range; an option that is `None` is not given.

    Args:
        rules: what a number must be (a key of `RANGES`) → names of fields.

    Raises:
        ValueError: names the field, its value, and what would be right.
    """
    for rule, names in rules.items():
        for name in names:
            value = getattr(arguments, name)
            if value is not None and not RANGES[rule](value):
                raise ValueError(f"{name} is {value}; it must be {rule}")


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that is most like this one."""
    return difflib.get_close_matches(str(name), list(known), n=1, cutoff=0)[0]


def read_yaml(path: str | Path) -> dict:
    """A YAML file that holds one mapping without repeated keys; `configs/…` that is not there is this package's own.

    Raises:
        ValueError: names the file and what is wrong with it.
        FileNotFoundError: there is none; names the nearest one beside it.
    """
    path = Path(path)
    if path.parts[:1] == (CONFIGS,) and not path.exists() and (PACKAGE / path).is_file():
        path = PACKAGE / path
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a YAML file of options, such as {path / 'config.yaml'}")
    if not path.is_file():
        beside = sorted(str(each) for each in path.parent.glob("*.yaml"))
        close = f"; the nearest is {nearest(path, beside)}" if beside else ": give a YAML file of options"
        raise FileNotFoundError(f"{path} does not exist{close}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8, as YAML is: {error}") from error
    try:
        node = yaml.compose(text, Loader=Loader)
        config = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, not {type(config).__name__}")
    keys = [key.value for key, _ in node.value]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{path} gives {repeated} more than once")
    return config


def _file_options(path: str | Path) -> dict[str, list[str]]:
    """Key → values of a YAML file, as a command line would give them; an item that is a mapping as JSON."""
    options = {}
    for key, value in read_yaml(path).items():
        items = value if isinstance(value, list) else [value]
        # null, true and numbers are the same in JSON and on the command line
        options[str(key)] = [item if isinstance(item, str) else json.dumps(item, default=str) for item in items]
    return options


def _command_line_options(tokens: Sequence[str]) -> dict[str, list[str]]:
    """Key → values of `--key value …` and `--key=value`."""
    options, values = {}, None
    for token in tokens:
        if token.startswith("--"):
            key, equals, value = token[2:].partition("=")
            values = options[key.replace("-", "_")] = [value] if equals else []
        elif values is None:
            raise ValueError(f"command line: {token!r} belongs to no key; write --key value")
        else:
            values.append(token)
    return options
