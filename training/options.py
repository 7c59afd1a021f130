"""Options as a YAML file and a command line that overrides it, both through one parser."""

import json
from argparse import ArgumentError
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from transformers import HfArgumentParser

from xser.training.config_files import BASE, Loader, nearest, read_yaml

NULL = "null"
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
    in either, means the default. The file may lie on top of another (`base`, see `config_files`); `--base OTHER.yaml`
    takes the place of the one that it names.

    Raises:
        ValueError: an unknown key (named with the nearest allowed one), or a value that is not allowed.
    """
    parser = HfArgumentParser(classes, allow_abbrev=False, exit_on_error=False, prog=prog)
    path, options = argv[0], {}
    for source, given in _sources(argv):
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


def is_given(argv: Sequence[str], key: str, value: str) -> bool:
    """Whether `CONFIG.yaml [--key value …]` gives an option this value, as text in any case; a bare `--key` does."""
    options = {}
    for _, given in _sources(argv):
        options |= given
    return [text.casefold() for text in options.get(key, ["absent"])] in ([value], [])


def split_options(argv: Sequence[str], options: type) -> tuple[list[str], object]:
    """A command line without the options of one dataclass, and these options.

    Raises:
        ValueError: a value is not allowed.
    """
    parser = HfArgumentParser(options, allow_abbrev=False, exit_on_error=False)
    try:
        found, rest = parser.parse_args_into_dataclasses(list(argv), True, look_for_args_file=False)
    except ArgumentError as error:
        raise ValueError(f"command line: {error}") from error
    return rest, found


def _sources(argv: Sequence[str]) -> list[tuple[str, dict[str, list[str]]]]:
    """What the file gives, over its base, and what the command line gives: name → key → values."""
    path, *tokens = argv
    overrides = _command_line_options(tokens)
    base = overrides.pop(BASE, [None])
    if len(base) != 1:
        raise ValueError(f"command line: {BASE} takes one YAML file, not {base}")
    return [(path, _file_options(path, base[0])), ("command line", overrides)]


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


def _file_options(path: str | Path, base: str | None = None) -> dict[str, list[str]]:
    """Key → values of a YAML file, as a command line would give them; an item that is a mapping as JSON."""
    options = {}
    for key, value in read_yaml(path, base).items():
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
