"""How every entry point ends: a user's mistake is one line on standard error, without a traceback."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence

MISTAKES = (ValueError, TypeError, OSError, ImportError)  # what this package raises where a user can mend it
USAGE, INTERRUPTED = 2, 130  # exit codes
TRACEBACK = "XSER_TRACEBACK"  # an environment variable: 1 shows where a mistake was found


class CommandParser(argparse.ArgumentParser):
    """A parser that takes options by their whole names, and says which is the nearest to one that is unknown."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, namespace=None) -> argparse.Namespace:
        """As its parent's; what is left over ends the program with a message (exit code 2)."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            names = self._all_options()
            nearest = difflib.get_close_matches(unknown[0].partition("=")[0], names, n=1)
            self.error(f"{unknown[0]} is unknown" + (f"; the nearest option is {nearest[0]}" if nearest else ""))
        return options

    def _all_options(self) -> list[str]:
        """Names of the options of this parser and of its commands'."""
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                names += [name for parser in action.choices.values() for name in parser._all_options()]
        return names


def one_line(error: BaseException) -> str:
    """The message of an error in one line; what it lists, each behind `- `, keeps a line of its own."""
    lines = re.split(r"\s*\n(?=- )", str(error))
    return "\n".join(" ".join(line.split()) for line in lines) or type(error).__name__


def run_command(name: str, command: Callable[..., object], *arguments) -> None:
    """Call `command(*arguments)` and exit: with its status where it gives a whole number, else with 0.

    A mistake of the user is printed as `NAME: message` and exits with 2, Ctrl-C with 130. Everything else is a fault
    of this package and keeps its traceback; so does a mistake where the environment says XSER_TRACEBACK=1.
    """
    try:
        status = command(*arguments)
    except MISTAKES as error:
        if os.environ.get(TRACEBACK) == "1":
            raise
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) and not isinstance(status, bool) else 0)


__all__ = ["MISTAKES", "USAGE", "CommandParser", "one_line", "run_command"]
