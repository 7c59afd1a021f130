"""What stands in the way of publishing: each problem with its place, the value there, and what would be right."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SECRETS = re.compile(
    r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}|\bgh[opsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abpr]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


@dataclass(frozen=True)
class Problem:
    """Where it is (a file, and the field or line in it), the value there, and what to do."""

    where: str
    value: object
    remedy: str

    def __str__(self) -> str:
        return f"{self.where} is {self.value!r}: {self.remedy}"


class PublishError(ValueError):
    """A model that cannot be published as it is; the message names file or field, value and what is right."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one `PublishError` that lists all problems, a line each; none where there are none."""
    lines = list(dict.fromkeys(without_secrets(str(problem)) for problem in problems))
    if len(lines) > 1:
        lines = [f"{len(lines)} things stand in the way:", *(f"- {line}" for line in lines)]
    if lines:
        raise PublishError("\n".join(lines))


def has_secret(text: str) -> bool:
    """Whether something in it has the form of a token or a private key."""
    return bool(_SECRETS.search(text))


def without_secrets(text: str) -> str:
    """The text with all that has the form of a token or a private key cut to its first letters."""
    return _SECRETS.sub(lambda secret: f"{secret[0][:3]}…", text)
