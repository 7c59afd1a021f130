"""Results as files and as a table."""

import json
import re
import shlex
import sys
from pathlib import Path

from xser.levels_xser import CANNOT_TELL

NOT_KNOWN = "–"
NO_REFERENCE = "none"  # of a results file's `speaker_reference`
EMOTION_FIGURES = {"wa": "emotion, WA", "macro_f1": "emotion, macro F1", "weighted_f1": "emotion, weighted F1"}
SCORE_FIGURES = {"ece": "scores, ECE", "brier": "scores, Brier", "aurc": "scores, area under risk and coverage"}
CAPTION_FIGURES = {"bleu": "BLEU@4", "meteor": "METEOR", "rouge_l": "ROUGE-L", "cider": "CIDEr", "spice": "SPICE"}

_WORD = re.compile(r"'[^']*'|[^\s']+")  # of a command, quoted ones with their blanks
_FOLDERS = re.compile(r"(?<![^'\"=])~?/.*/")  # of a word that is or ends in an absolute path: all before its name


def command_line() -> str:
    """The command that runs now, as it would be typed in the repository's root, `without_folders`."""
    spec = sys.modules["__main__"].__spec__
    if (spec is not None and spec.name == "xser.__main__") or Path(sys.argv[0]).stem == "xser":
        return without_folders(shlex.join(["xser", *sys.argv[1:]]))
    if spec is not None and spec.name.startswith("xser."):  # python -m
        return without_folders(shlex.join(["python", "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]))
    script = Path(sys.argv[0]).resolve()
    root = Path(__file__).resolve().parent.parent
    name = script.relative_to(root) if script.is_relative_to(root) else script.name
    return without_folders(shlex.join(["python", str(name), *sys.argv[1:]]))


def without_folders(command: str) -> str:
    """A command in which absolute paths are cut to their names: where files lay on a machine is nobody's business."""
    return _WORD.sub(lambda word: _FOLDERS.sub("", word[0]), command)


def without_place(value: object) -> object:
    """The value of an option as a results file records it: an absolute path by its name alone."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def read_json(path: str | Path) -> dict:
    """Read a results file.

    Raises:
        ValueError: it does not exist or is not JSON; it is named.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"results file {path} does not exist") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"results file {path} is not JSON: {error}") from error


def figure_rows(results: dict) -> list[tuple[str, str, str]]:
    """What `evaluate_model` or `score` found, as rows of figure, value and n.

    A figure that is not known is left out, unless the file says why: then the reason stands in the place of the value.
    Files from before a figure was computed lack it.
    """
    n_of, rows = results["n_of"], []
    if results["ua"] is not None:
        n = n_of["emotion"]
        rows.append(("emotion, UA", _with_ua_interval(results), n))
        if results.get("ua_ceiling") is not None:
            ceiling = results["ua_ceiling"]
            rows.append(("UA, best possible over the corpus", f"{ceiling:.3f}", ""))
            rows.append(("UA, best possible guess on these utterances", f"{results['ua_bayes']:.3f}", n))
            rows.append(("UA over the best possible", f"{results['ua'] / ceiling:.3f}", n))
        rows += _known(results, EMOTION_FIGURES, n)
        for emotion, recall in results["recall"].items():
            name = f"recall.{emotion}"
            value = _reason(results, name) if recall is None else with_interval(results, name, recall)
            rows.append((f"recall, {emotion}", value, n_of["recall"][emotion]))
        rows += _known(results, SCORE_FIGURES, n_of.get("scores"))
    for name, found in (results.get("dimensions") or {}).items():
        rows.append((f"{name}, CCC", NOT_KNOWN if found["ccc"] is None else f"{found['ccc']:.3f}", found["n"]))
    if rated := results.get("ratings"):
        rows.append(("raters, cross-entropy in nats", f"{rated['cross_entropy']:.3f}", rated["n"]))
        rows.append(("raters, Jensen-Shannon divergence in nats", f"{rated['jensen_shannon']:.3f}", rated["n"]))
    for slot, accuracy in results["descriptors"].items():
        rows.append((f"{slot}, accuracy", with_interval(results, f"{slot}.accuracy", accuracy), n_of[slot]))
    rows += _of_claims(results)
    rows += _known(results, {"emphasis_f1": "emphasis, F1 over words"}, n_of.get("emphasis"))
    rows += _known(results, {"exact_match": "all descriptors right"}, n_of.get("descriptors"))
    form = f" by {results['normalizer']}" if results.get("normalizer") else ""
    rows += _known(results, {"wer": f"words, WER{form}", "cer": f"characters, CER{form}"}, n_of["text"])
    rows += _of_captions(results.get("captions"))
    for stream, carried in results.get("information", {}).items():
        rows.append((f"{stream} stream, bits a second", f"{carried['bits_per_second']:.1f}", carried["n"]))
    shown = {f"recall.{emotion}" for emotion in results["recall"]}
    gaps = [name for name in results.get("gaps", {}) if name not in shown]
    rows += [(f"gap: {name}", _reason(results, name), "") for name in gaps]
    return [(figure, value, str(n)) for figure, value, n in rows]


def _of_claims(results: dict) -> list[tuple[str, str, int]]:
    """Rows of `claim_figures`."""
    found = results.get("claims")
    if found is None:
        return []
    rows = [("claims decided by measurements", with_interval(results, "claims.decided", found["decided"]), found["n"])]
    if found["contradicted"] is not None:
        n = sum(count for of in found["verdicts"].values() for verdict, count in of.items() if verdict != CANNOT_TELL)
        value = with_interval(results, "claims.contradicted", found["contradicted"])
        rows.append(("claims contradicted, of those decided", value, n))
    for slot, of in found["verdicts"].items():
        counted = ", ".join(f"{verdict} {count}" for verdict, count in of.items())
        rows.append((f"claims of {slot}", counted, sum(of.values())))
    return rows


def _of_captions(found: dict | None) -> list[tuple[str, str, int]]:
    """Rows of `caption_figures`; SPICE with the reason where it is not known."""
    if found is None:
        return []
    rows = []
    for name, title in CAPTION_FIGURES.items():
        value = found[name]
        shown = f"{NOT_KNOWN} ({found['gaps'][name]})" if value is None else f"{value:.{1 if name == 'bleu' else 3}f}"
        rows.append((f"captions, {title}", shown, found["n"]))
    return rows


def text_table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """A table for the terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """A table for a Markdown page."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _known(results: dict, names: dict[str, str], n: int) -> list[tuple[str, str, int]]:
    """Rows of those of the figures that are known."""
    known = {name: title for name, title in names.items() if results.get(name) is not None}
    return [(title, with_interval(results, name, results[name]), n) for name, title in known.items()]


def _reason(results: dict, name: str) -> str:
    return f"{NOT_KNOWN} ({results['gaps'][name]})"


def with_interval(results: dict, name: str, value: float) -> str:
    """A figure and its 95% interval, where `results` has one by that name."""
    interval = results.get("intervals", {}).get(name)
    return f"{value:.3f}" + (f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "")


def _with_ua_interval(results: dict) -> str:
    """The UA, and what its interval and those of the other figures are."""
    if results["ua_interval"] is None:
        return f"{results['ua']:.3f}"
    low, high = results["ua_interval"]
    return f"{results['ua']:.3f} (95% interval {low:.3f} to {high:.3f}, over {results['ua_interval_of']})"
