"""Publish a model: assemble its folder, load it as a user of the Hub does, then upload it.

    python push_to_hub.py --model checkpoints/xser-tiny --repo USER/NAME --dry_run --evaluation results.json
    python push_to_hub.py --model runs/mine/final --repo USER/NAME --private

`--dry_run` does all but the upload, and lists all that the Hub would refuse; `--output DIR` keeps what would be
uploaded. The login is the one of `hf auth login`, or the HF_TOKEN of the environment.

The licence is that of the model's folder: of its card, or the one that its NOTICE and training.yaml leave. `--license`
is needed where they say none, and refused where it contradicts them. More: docs/publishing.md.
"""

import difflib
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path

from huggingface_hub import HfApi, get_token
from transformers import HfArgumentParser

from xser.commands.entry import run_command
from xser.evaluation.report import text_table
from xser.publishing import assemble as assembling
from xser.publishing.choosing import License
from xser.publishing.files import left_out
from xser.publishing.isolation import load_in_isolation
from xser.publishing.problems import PublishError, without_secrets


@dataclass
class PublishArguments:
    model: str = field(metadata={"help": "folder of the model"})
    repo: str = field(metadata={"help": "where to publish it: USER/NAME"})
    dry_run: bool = field(default=False, metadata={"help": "do all but the upload"})
    private: bool = field(default=False, metadata={"help": "make the repository a private one"})
    evaluation: list[str] = field(default_factory=list, metadata={"help": "files that eval.py wrote, for the card"})
    output: str | None = field(default=None, metadata={"help": "also keep the assembled folder here"})
    license: str | None = field(
        default=None, metadata={"help": "the model's licence, by the Hub's name for it; by default that of its folder"}
    )
    license_name: str | None = field(default=None, metadata={"help": "with --license other: its name"})
    license_link: str | None = field(default=None, metadata={"help": "with --license other: LICENSE, or an address"})


def parse(argv: list[str] | None = None) -> PublishArguments:
    """Read the command line.

    Raises:
        PublishError: an option is not known; its value, which may be a token, is not shown.
    """
    arguments, rest = HfArgumentParser(PublishArguments, allow_abbrev=False).parse_args_into_dataclasses(
        argv, return_remaining_strings=True, look_for_args_file=False
    )
    if rest:
        option = rest[0].partition("=")[0]
        known = [f"--{one.name}" for one in fields(PublishArguments)]
        close = difflib.get_close_matches(option, known, n=1, cutoff=0.5) or [", ".join(known)]
        if "token" in option:
            raise PublishError("no token is taken here: log in by `hf auth login`, or set HF_TOKEN")
        raise PublishError(f"unknown option {without_secrets(option)}: did you mean {close[0]}?")
    return arguments


def assemble(arguments: PublishArguments, out: Path) -> list[str]:
    """Write the folder to publish to `out`; gives what is to be known of it. See `publishing.assemble`."""
    given = License(arguments.license, arguments.license_name, arguments.license_link, "--license")
    return assembling.assemble(arguments.model, arguments.repo, out, given, arguments.evaluation)


def main(argv: list[str] | None = None) -> None:
    """Publish as `argv` says; a message never holds what has the form of a token.

    Raises:
        PublishError: see `publish`.
    """
    try:
        publish(parse(argv))
    except (ValueError, OSError) as error:
        raise PublishError(without_secrets(str(error))) from error


def publish(arguments: PublishArguments) -> None:
    """Check, assemble, load, and upload.

    Raises:
        PublishError: all that stands in the way, a line each; or what the Hub answered.
    """
    if not arguments.dry_run and get_token() is None:
        raise PublishError("there is no login: run `hf auth login`, set HF_TOKEN, or give --dry_run")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        notes = assemble(arguments, folder)
        print("loading it in a process that cannot see the package …", flush=True)
        loaded = load_in_isolation(folder)
        print(", ".join(f"{name}: {value}" for name, value in loaded["classes"].items()))
        print(f"the pipeline says of a generated voice: {loaded['answer']['explanation']}\n")
        print(_table(folder, arguments.repo))
        for name in left_out(Path(arguments.model)):
            print(f"not uploaded: {name}")
        print("\n".join(notes))
        if arguments.output is not None:
            assembling.replace_folder(folder, Path(arguments.output))
            print(f"\nkept in {arguments.output}")
        if arguments.dry_run:
            print("\ndry run: nothing was uploaded")
            return
        print(f"\nuploaded: {_upload(folder, arguments)}")


def _upload(folder: Path, arguments: PublishArguments) -> str:
    """Upload the folder, and give the address of the commit.

    Raises:
        PublishError: the Hub, or the way there, refuses it; the message is the Hub's, without tokens.
    """
    api = HfApi()
    try:
        api.create_repo(arguments.repo, private=arguments.private, exist_ok=True)
        commit = api.upload_folder(repo_id=arguments.repo, folder_path=folder, commit_message="Upload XSER model")
    except (OSError, ValueError) as error:  # HfHubHTTPError and a missing network are OSErrors
        said = " ".join(without_secrets(str(error)).split())
        raise PublishError(f"{arguments.repo} was not uploaded: {said or type(error).__name__}") from error
    return commit.commit_url


def _table(folder: Path, repo: str) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    rows = [(str(path.relative_to(folder)), _readable(size)) for path, size in zip(files, sizes, strict=True)]
    return text_table([*rows, (f"{len(files)} files", _readable(sum(sizes)))], (repo, "size"))


def _readable(size: int) -> str:
    return f"{size / 2**20:.2f} MB" if size >= 2**20 else f"{size / 2**10:.1f} kB"


if __name__ == "__main__":
    run_command("push_to_hub.py", main)
