"""Explain recordings: the emotion, how sure the model is, and why, each reason held against the recording.

    xser explain recording.wav
    xser explain recordings/ --csv --output answers.csv
    find . -name '*.flac' | xser explain - --jsonl
    xser explain new.wav --reference anna1.wav anna2.wav anna3.wav --transcript "I never said that"
    xser explain recordings/ --transcriber openai/whisper-small --transcriber_options '{"language": "en"}'

Exit code: 0 all recordings are explained, 1 some could not be used (each is named), 2 a mistake in the command.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from xser.commands.answer_formats import FORMATS
from xser.commands.entry import CommandParser, run_command
from xser.commands.models import choose_model, load_pipeline, quiet
from xser.commands.recordings import STANDARD_INPUT, named_recordings

NAME = "xser explain"
SOME_FAILED = 1


def parser() -> CommandParser:
    """The options of the command."""
    parser = CommandParser(prog=NAME, description=__doc__)
    parser.add_argument("recordings", nargs="+", metavar="FILE|FOLDER|-", help="- reads paths from standard input")
    parser.add_argument("--model", help="folder or Hub id; by default $XSER_MODEL, or a shipped one for real voices")
    parser.add_argument("--reference", nargs="+", metavar="FILE", help="other recordings of the same speaker")
    parser.add_argument("--transcript", metavar="TEXT", help="what is said, where one recording is given")
    parser.add_argument(
        "--transcriber", help="folder or Hub id of a recogniser for the words; 'tower' for a Whisper's own decoder"
    )
    parser.add_argument("--transcriber_options", metavar="JSON", help='such as \'{"language": "en"}\'')
    parser.add_argument("--gender", help="of the speaker, where there is no reference")
    parser.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the voice and hold each descriptor against it",
    )
    chosen = parser.add_mutually_exclusive_group()
    for name, what in (
        ("json", "one object, an array for more than one recording"),
        ("jsonl", "an object a line, as they come"),
        ("csv", "a row a recording"),
    ):
        chosen.add_argument(f"--{name}", action="store_const", dest="format", const=name, help=what)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there; its suffix chooses the format")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the answer, where one recording is given")
    parser.add_argument("--batch_size", type=int, default=8, help="recordings a pass; it does not change the answers")
    parser.add_argument("--device", default="cpu", help="such as cpu, cuda or mps")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    options = parser().parse_args(argv)
    paths = named_recordings(options.recordings)
    is_single = len(paths) == 1
    for name in ("transcript", "picture"):
        if getattr(options, name) is not None and not is_single:
            raise ValueError(f"--{name} is for one recording, and {len(paths)} are given")
    if options.output is not None and options.output.is_dir():
        raise ValueError(f"--output {options.output} is a folder: give a file")
    if options.picture is not None and options.picture.suffix != ".png":
        raise ValueError(f"--picture is {options.picture}; it must end in .png")
    with quiet():
        return explain_all(options, paths)


def explain_all(options: argparse.Namespace, paths: Sequence[str]) -> int:
    """Explain the recordings, and write the answers as they come; gives the exit code."""
    is_single = len(paths) == 1
    chosen = choose_model(options.model)
    explain = load_pipeline(chosen.model, options.device)
    print(f"model: {chosen}", file=sys.stderr)
    asked = {"verify": options.verify, "batch_size": options.batch_size}
    if options.reference is not None:
        is_profile = len(options.reference) == 1 and options.reference[0].endswith(".safetensors")
        asked["reference"] = options.reference[0] if is_profile else named_recordings(options.reference)
    asked |= {} if options.gender is None else {"gender": options.gender}
    asked |= {} if options.transcriber is None else {"transcriber": options.transcriber}
    if options.transcriber_options is not None:
        asked["transcriber_options"] = json_object("--transcriber_options", options.transcriber_options)
    sources = iter(paths)  # answers come as they are known
    if options.transcript is not None:
        sources, asked["transcript"] = paths, [options.transcript]
    kind = options.format or (options.output.suffix[1:] if options.output else "text")
    answers = explain(sources, **asked)
    failed = 0
    with opened(options.output) as stream:
        written = FORMATS.get(kind, FORMATS["text"])(stream, is_single and STANDARD_INPUT not in options.recordings)
        for path, answer in zip(paths, progress(answers, len(paths)), strict=True):
            if answer["status"] == "error":
                failed += 1
                tqdm.write(f"{NAME}: {answer['error']}", file=sys.stderr)
            written.write({"file": path, **answer})
            if options.picture is not None and answer["status"] == "ok":
                draw(answer, path, options.picture)
        written.close()
    return SOME_FAILED if failed else 0


def json_object(name: str, text: str) -> dict:
    """The dict that `text` is; `ValueError` where it is none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is {text!r}, which is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f'{name} is {text!r}; it must be an object, such as {{"language": "en"}}')
    return value


def progress(answers: Iterator[dict], total: int) -> Iterator[dict]:
    """A progress bar on standard error, where there is more than one recording."""
    return tqdm(answers, total=total, unit="recording", desc="explaining", file=sys.stderr, disable=total == 1)


def draw(answer: dict, path: str, picture: Path) -> None:
    """The picture of an answer."""
    from xser.audio_xser import load_audio
    from xser.evaluation.picture import draw_explanation

    draw_explanation(answer, load_audio(path), picture, Path(path).name)


@contextlib.contextmanager
def opened(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears when it is whole."""
    if output is None:
        yield sys.stdout
        return
    from xser.corpora.cache import written_beside

    with written_beside(output) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        yield stream


if __name__ == "__main__":
    run_command(NAME, main)
