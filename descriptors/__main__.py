"""Measure voices, and tell and check what they sound like:

    xser annotate data/nemo
    xser measure recording.wav --calibration data/nemo/calibration.json
    xser measure new.wav --reference anna1.wav anna2.wav anna3.wav
    xser check recording.wav --pitch high --speed fast --text "what is said in it"

`annotate` fills in the labels of a prepared corpus, by cuts of its training split; a run that was stopped goes on
where it was when the same command is given again. `measure` and `check` judge single recordings, by the built-in cuts
where no calibration is given.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from xser.audio_xser import load_audio
from xser.calibration_xser import BASES, Calibration, Reference
from xser.commands.entry import MISTAKES, USAGE, CommandParser, one_line, run_command
from xser.descriptors.annotate import QUANTITIES, WORD_TIMES, annotate
from xser.descriptors.say import say
from xser.evaluation.report import text_table
from xser.levels_xser import LEVELS, Label, check, label
from xser.prosody_xser import Prosody, measure
from xser.rate_xser import with_text_rate

PROGRAM = "xser"
BUILT_IN = Path("built-in")  # in the place of a file of cuts


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives the exit status."""
    logging.basicConfig(format="%(message)s")
    parser = CommandParser(prog=PROGRAM, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_annotate(commands)
    _add_measure(commands)
    _add_check(commands)
    options = vars(parser.parse_args(sys.argv[1:] if arguments is None else arguments))
    command = {"annotate": annotate_command, "measure": measure_command, "check": check_command}
    try:
        return command[options.pop("command")](**options)
    except MISTAKES as error:
        parser.exit(USAGE, f"{PROGRAM}: {one_line(error)}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; what is measured is kept: give the same command again to go on\n")


def annotate_command(folder: Path, calibration: Path | None, **options) -> int:
    """Fill in the labels of a prepared corpus."""
    report = annotate(folder, calibration=None if calibration is None else _calibration(calibration), **options)
    lines = []
    for slot, told in report["told"].items():
        levels = ", ".join(f"{level} {n:,}" for level, n in report["levels"].get(slot, {}).items())
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in report["not_told"][slot].items())
        lines.append((slot, f"{told:,} of {report['n']:,}", levels, reasons))
    print(text_table(lines, ("slot", "told", "levels", "not told")))
    for row in report["unread"]:
        print(f"not read: {row['id']}: {row['reason']}", file=sys.stderr)
    print(f"written to {folder}: labels, descriptors.parquet, calibration.json, descriptors.json")
    return 0


def measure_command(
    files: list[Path],
    text: str | None,
    language: str | None,
    gender: str | None,
    margin: float,
    as_json: bool,
    **judged,
) -> int:
    """Print measurements and levels of recordings; 1 if one could not be read."""
    if text is not None and len(files) > 1:
        raise ValueError(f"--text is what is said in one recording, and {len(files)} are given")
    calibration, reference = _judge(**judged)
    status = 0
    for file in files:
        try:
            prosody = with_text_rate(measure(load_audio(file)), text, language)
        except (ValueError, OSError) as error:
            print(f"not read: {error}", file=sys.stderr)
            status = 1
            continue
        labels = label(prosody, calibration, reference, gender, margin=margin)
        print(json.dumps(_as_dict(file, prosody, labels)) if as_json else _as_text(file, prosody, labels))
    return status


def check_command(
    file: Path,
    text: str | None,
    language: str | None,
    gender: str | None,
    margin: float,
    calibration,
    reference,
    **claims,
) -> int:
    """Print whether claims about a recording hold."""
    claims = {slot: level for slot, level in claims.items() if level is not None}
    if not claims:
        raise ValueError(f"no claim is given: give one or more of {[f'--{slot}' for slot in LEVELS]}")
    calibration, speaker = _judge(calibration, reference)
    prosody = with_text_rate(measure(load_audio(file)), text, language)
    verdicts = check(claims, prosody, calibration, speaker, gender, margin=margin)
    rows = [(slot, claims[slot], of.verdict, of.reason) for slot, of in verdicts.items()]
    print(text_table(rows, ("slot", "claimed", "verdict", "why")))
    return 0


def _calibration(path: Path | None) -> Calibration:
    return Calibration.default() if path in (None, BUILT_IN) else Calibration.load(path)


def _judge(calibration: Path | None, reference: list[Path] | None) -> tuple[Calibration, Reference | None]:
    """Where the cuts are, and what is usual for the speaker."""
    cuts = _calibration(calibration)
    return cuts, cuts.reference_of(measure(load_audio(file)) for file in reference) if reference else None


def _as_dict(file: Path, prosody: Prosody, labels: dict[str, Label]) -> dict:
    measured = {name: getattr(prosody, name) for name in (*QUANTITIES, "duration", "contour")}
    return {"file": str(file), "measured": measured, "labels": {slot: vars(of) for slot, of in labels.items()}}


def _as_text(file: Path, prosody: Prosody, labels: dict[str, Label]) -> str:
    rows = []
    for slot, of in labels.items():
        value = "" if of.value is None else f"{of.value:.3g} {of.unit}"
        sure = of.reason if of.confidence is None else f"{of.confidence:.2f}"
        rows.append((slot, of.level or "", value, sure, of.basis or ""))
    table = text_table(rows, ("slot", "level", "value", "confidence, or why not", "relative to"))
    told = {slot: of.level for slot, of in labels.items() if of.level is not None}
    values = ((name, getattr(prosody, name)) for name in QUANTITIES)
    measured = ", ".join(f"{name} {value:.3g}" for name, value in values if value is not None)
    return "\n".join((f"{file}: {prosody.duration:.2f} s", table, measured, *([say(told)] if told else []), ""))


def _add_annotate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("annotate", help="fill in the labels of a prepared corpus")
    parser.add_argument("folder", type=Path, metavar="PREPARED_DIR", help="of `xser prepare`")
    parser.add_argument("--split_for_calibration", default="train", help="whose recordings set the cuts: train")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=f"cuts to take, instead; or {BUILT_IN}")
    parser.add_argument(
        "--relative_to", choices=BASES, default=BASES[0], help="what cuts are relative to; speaker by default"
    )
    _add_margin(parser)
    parser.add_argument(
        "--word_times", choices=WORD_TIMES, help="label emphasised words too, with words found by letters or eSpeak NG"
    )
    parser.add_argument(
        "--own_references",
        action="store_true",
        help="judge speakers that the calibration does not know by their own recordings here, not by their gender",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace labels that are there already")
    parser.add_argument("--workers", type=int, help="processes; as many as there are cores by default")


def _add_measure(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("measure", help="print measurements and levels of recordings")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    _add_judge(parser)
    parser.add_argument("--json", action="store_true", dest="as_json", help="a line of JSON for each")


def _add_check(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("check", help="say whether claims about a recording hold")
    parser.add_argument("file", type=Path, metavar="FILE")
    for slot, levels in LEVELS.items():
        parser.add_argument(f"--{slot}", choices=levels, help="claimed")
    _add_judge(parser)


def _add_judge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="cuts of `annotate`; built-in ones by default"
    )
    parser.add_argument("--reference", type=Path, nargs="+", metavar="FILE", help="recordings of the same speaker")
    parser.add_argument("--gender", help="stands in where the speaker's usual voice is not known")
    parser.add_argument("--text", help="what is said: the speed is then told by its syllables, not by those heard")
    parser.add_argument("--language", help="of the text, such as en")
    _add_margin(parser)


def _add_margin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--margin", type=float, default=1.0, help="errors from every cut that make a level; 1 by default"
    )


if __name__ == "__main__":
    run_command(PROGRAM, main)
