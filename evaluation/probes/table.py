"""The table of what probes read, and whether a stream is clean of what it is not meant to hold."""

from xser.evaluation.probes.fit import MARGIN
from xser.evaluation.probes.streams import TOWER
from xser.evaluation.probes.targets import EMOTION, LABELS, WORD_BY_WORD, WORDS_SAID
from xser.modeling_xser import CONTENT

COLUMNS = (
    "stream",
    "target",
    "probe",
    "n",
    "classes",
    "read (95%)",
    "chance",
    "control (95%)",
    "selectivity",
    f"within control + {MARGIN}",
    "control given emotion (95%)",
    f"within that + {MARGIN}",
)


def table_rows(results: dict) -> list[tuple[str, ...]]:
    """What `probe_model` found, as rows of `COLUMNS`; what could not be read stands there as well."""
    rows = [_reading_row(each) for each in results["probes"]]
    for stream, of in results["information"].items():
        told = f"{of['bits_per_second']:.1f}{_interval_text(of['bits_per_second_interval'], 1)} bits a second"
        rows.append((stream, "information", "KL to N(0, I)", str(of["n"]), "", told, *[""] * 6))
    for name in dict.fromkeys(gap["target"] for gap in results["gaps"]):
        gaps = [gap for gap in results["gaps"] if gap["target"] == name]
        whole = [gap["reason"] for gap in gaps if gap["missing"] is None]
        parts = [gap["missing"] for gap in gaps if gap["missing"] is not None]
        if whole:
            rows.append(("", name, "", "", "", f"not read: {whole[0]}", *[""] * 6))
        elif parts:
            rows.append(("", name, "", "", "", f"left out, too few of them: {', '.join(parts)}", *[""] * 6))
    return rows


def clean_of_words(probes: list[dict]) -> dict[str, dict]:
    """Whether every probe for words stays within its controls plus the margin, by source behind the bottleneck.

    Args:
        probes: of `probe_model`.

    Returns:
        Of each source of a stream of the voice (descriptors and auxiliary ones), `control` and `control_in_strata`:
        true, false, or `None` where there was no such control. Empty where no word was read.
    """
    verdicts = {}
    for source in dict.fromkeys(of["source"] for of in probes):
        read = [of for of in probes if of["source"] == source and _is_word(of["target"])]
        if read and _is_of_the_voice(source):
            inner = [of["within_control_in_strata"] for of in read if of["within_control_in_strata"] is not None]
            outer = all(of["within_control"] for of in read)
            verdicts[source] = {"control": outer, "control_in_strata": all(inner) if inner else None}
    return verdicts


def _reading_row(of: dict) -> tuple[str, ...]:
    leak = _is_leak(of["source"], of["target"])
    inner = of["control_in_strata"]
    return (
        of["source"],
        of["target"],
        of["probe"],
        str(of["n"]),
        str(len(of["classes"])),
        f"{of['value']:.3f}{_interval_text(of['interval'], 3)}",
        f"{of['chance']:.3f}",
        _control_text(of["control"]),
        f"{of['selectivity']:+.3f}",
        _yes_or_no(of["within_control"]) if leak else "",
        "" if inner is None else _control_text(inner),
        _yes_or_no(of["within_control_in_strata"]) if leak and inner is not None else "",
    )


def _is_of_the_voice(source: str) -> bool:
    return source not in (TOWER, LABELS) and not source.startswith(CONTENT)


def _control_text(control: dict) -> str:
    return f"{control['mean']:.3f}{_interval_text(control, 3)}"


def _interval_text(interval: dict | None, digits: int) -> str:
    return "" if interval is None else f" ({interval['low']:.{digits}f} to {interval['high']:.{digits}f})"


def _yes_or_no(verdict: bool) -> str:
    return "yes" if verdict else "no"


def _is_leak(source: str, target: str) -> bool:
    """Whether the method means to keep a target out of a source: words out of one stream, the voice out of the other.

    Emotion may be heard in either: it is told by words as well.
    """
    if _is_of_the_voice(source):
        return _is_word(target)
    return source.startswith(CONTENT) and not _is_word(target) and target != EMOTION


def _is_word(target: str) -> bool:
    return target in (WORDS_SAID, WORD_BY_WORD)
