"""Figures from files of predictions, without the systems that made them:

    xser score other.csv --references mine.jsonl --output other.json
    xser compare mine.jsonl other.csv --output compared.json
    xser compare mine.jsonl whisper.csv --normalizer english --output compared.json
    xser bias mine.jsonl --by gender length --output bias.json

Predictions are JSON lines as `eval.py --predictions` writes them, or CSV with the columns `id` and `emotion`, and any
of `transcript`, the descriptors, `emphasis` and a probability for each emotion (see evaluation/predictions.py).
`score` gives every figure of one system, `compare` tests each system against the first, and `bias` tells figures by
gender, speaker, language, length and noise. A CSV holds no references: `score` and `bias` take those of another file,
`compare` those of the first.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from xser.commands.entry import MISTAKES, USAGE, CommandParser, one_line, run_command
from xser.corpora.cache import write_json
from xser.evaluation.bars_picture import draw_bars, refuse_other_than_png
from xser.evaluation.bias.groups import ATTRIBUTES, SNR, read_snr
from xser.evaluation.bias.measure import bias
from xser.evaluation.bias.table import picture_rows, table_columns, table_rows
from xser.evaluation.edits import NORMALIZERS, TextNormalizer, text_normalizer
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import read_predictions, references_of, system_name
from xser.evaluation.report import NOT_KNOWN, command_line, figure_rows, text_table
from xser.evaluation.scoring import score
from xser.evaluation.significance import TESTS, Comparison, WordErrors, compare

PROGRAM = "xser"
COLUMNS = (
    *("system", "n", "UA", "difference", "95% interval", "WA difference", *TESTS, "t, one-tailed", "resolvable"),
    *("WER", "WER difference", "95% interval of WER"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives the exit status."""
    parser = CommandParser(prog=PROGRAM, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score", help="every figure of one system")
    scoring.add_argument("predictions", type=Path)
    scoring.add_argument("--references", type=Path, help="file of predictions that holds the references")
    comparing = commands.add_parser("compare", help="test systems against the first")
    comparing.add_argument("predictions", type=Path, nargs="+", help="the first is what the others are held against")
    biased = commands.add_parser("bias", help="figures of each group of utterances")
    biased.add_argument("predictions", type=Path)
    biased.add_argument("--by", nargs="+", choices=ATTRIBUTES, default=list(ATTRIBUTES), help="what groups them")
    biased.add_argument("--references", type=Path, help="file of predictions that holds the references")
    biased.add_argument(
        "--noise", type=Path, help=f"SNR of each utterance, for '{SNR}': descriptors.parquet of annotate, or JSON"
    )
    biased.add_argument("--picture", type=Path, help="PNG file to write the UA of each group to")
    for command in (scoring, comparing):
        command.add_argument("--normalizer", choices=NORMALIZERS, help="of texts, before words are compared")
        command.add_argument("--spellings", help="of it: JSON file, or a Whisper's folder or Hub id; none by default")
    for command in (scoring, comparing, biased):
        command.add_argument("--resamples", type=int, default=RESAMPLES, help="of intervals and tests")
        command.add_argument("--output", type=Path, help="JSON file to write to")
    options = vars(parser.parse_args(arguments))
    command = {"score": score_command, "compare": compare_command, "bias": bias_command}[options.pop("command")]
    try:
        if "normalizer" in options:
            options["normalizer"] = text_normalizer(options["normalizer"], options.pop("spellings"))
        command(**options)
    except MISTAKES as error:
        print(f"{PROGRAM}: {one_line(error)}", file=sys.stderr)
        return USAGE
    return 0


def score_command(
    predictions: Path,
    references: Path | None,
    normalizer: TextNormalizer | None,
    resamples: int,
    output: Path | None,
) -> None:
    """`score FILE`: print every figure, and write it."""
    known = references_of(read_predictions(references)) if references else None
    read = read_predictions(predictions, known)
    results = {"n": len(read), **score(read, resamples=resamples, normalizer=normalizer)}
    print(text_table(figure_rows(results), ("figure", "value", "n")))
    _write(output, {"predictions": predictions.name, **results})


def compare_command(
    predictions: list[Path], normalizer: TextNormalizer | None, resamples: int, output: Path | None
) -> None:
    """`compare FILE FILE …`: print a table, and write it."""
    names = [system_name(path) for path in predictions]
    if len(set(names)) < len(names):
        raise ValueError(f"{[str(path) for path in predictions]} holds two systems of one name: rename one file")
    systems = {names[0]: read_predictions(predictions[0])}
    references = references_of(systems[names[0]])
    for name, path in zip(names[1:], predictions[1:], strict=True):
        systems[name] = read_predictions(path, references if path.suffix.lower() == ".csv" else None)
    compared = compare(systems, resamples, normalizer=normalizer)
    against, form = compared[0], "" if normalizer is None else f" by {normalizer.name}"
    title = (
        f"Against {against.against}: UA {against.ua_against:.3f}{_wer_of_first(compared, form)}, n {against.n}; p "
        f"over {against.of}, Holm-corrected, but for the paired t test; resolvable: the difference of WA that "
        "McNemar's test finds at 80% power"
    )
    rows = [_row(comparison) for comparison in compared]
    print(title, text_table(rows, COLUMNS), sep="\n")
    comparisons = [asdict(comparison) for comparison in compared]
    name = None if normalizer is None else normalizer.name
    table = {"title": title, "columns": COLUMNS, "rows": rows}
    _write(output, {**table, "normalizer": name, "comparisons": comparisons})


def bias_command(
    predictions: Path,
    by: list[str],
    references: Path | None,
    noise: Path | None,
    picture: Path | None,
    resamples: int,
    output: Path | None,
) -> None:
    """`bias FILE`: print a table of groups, write it, and draw it."""
    if picture is not None:
        refuse_other_than_png(picture)
    known = references_of(read_predictions(references)) if references else None
    read = read_predictions(predictions, known)
    results = bias(read, by, read_snr(noise) if noise else None, resamples)
    title = (
        f"{predictions.stem} by {', '.join(by)}: {results['n']} utterances, p of differences after Holm over "
        f"{results['comparisons']} comparisons"
    )
    columns, rows = table_columns(results), table_rows(results)
    print(title, text_table(rows, columns), sep="\n")
    _write(output, {"title": title, "columns": columns, "rows": rows, "predictions": predictions.name, **results})
    if picture is not None:
        draw_bars(picture_rows(results), picture, f"UA of {predictions.stem} by group", "UA")


def _row(compared: Comparison) -> tuple[str, ...]:
    return (
        compared.name,
        str(compared.n),
        f"{compared.ua:.3f}",
        f"{compared.difference:+.3f}",
        _between(compared),
        f"{compared.wa_difference:+.3f}",
        *(f"{compared.p_holm[test]:.4f}" for test in TESTS),
        f"{compared.p_t:.4f}",
        NOT_KNOWN if compared.resolvable is None else f"{compared.resolvable:.3f}",
        *_word_cells(compared.words),
    )


def _wer_of_first(compared: list[Comparison], form: str) -> str:
    return next((f", WER{form} {each.words.wer_against:.3f}" for each in compared if each.words), "")


def _word_cells(words: WordErrors | None) -> tuple[str, ...]:
    if words is None:
        return (NOT_KNOWN,) * 3
    return f"{words.wer:.3f}", f"{words.difference:+.3f}", _between(words)


def _between(found: Comparison | WordErrors) -> str:
    return NOT_KNOWN if found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"


def _write(output: Path | None, results: dict) -> None:
    if output is not None:
        write_json(output, {"command": command_line(), **results})
        print(f"written to {output}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
