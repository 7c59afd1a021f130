"""The bias table as rows, and what a picture of it shows."""

from xser.evaluation.bias.measure import FALSE_ALARMS, UA, figure_of
from xser.evaluation.report import NOT_KNOWN

LARGEST = "largest difference"
FOUND = 0.05  # p, corrected


def largest(attribute: dict, figure: str) -> dict | None:
    """The comparison of an attribute whose groups differ most in a figure; `None` where none was made."""
    made = [comparison for comparison in attribute["comparisons"] if comparison["figure"] == figure]
    return max(made, key=lambda comparison: comparison["value"], default=None)


def table_columns(results: dict) -> list[str]:
    """Names of the columns of `table_rows`."""
    emotions = [f"{emotion}: recall, false alarms" for emotion in results["emotions"]]
    return ["by", "group", "n", "speakers", "UA (95%)", "ECE", *emotions]


def table_rows(results: dict) -> list[list[str]]:
    """What `bias` found: a row a group, below them the largest differences, and what is not known."""
    rows = [_group_row("", results["overall"], results["emotions"])]
    blank = [""] * (len(table_columns(results)) - 5)
    for name, attribute in results["attributes"].items():
        rows += [_group_row(name, group, results["emotions"]) for group in attribute["groups"]]
        if attribute["comparisons"]:
            columns = [UA, None, *(f"{FALSE_ALARMS}.{emotion}" for emotion in results["emotions"])]
            cells = ["" if figure is None else _difference_cell(attribute, figure) for figure in columns]
            over = ", ".join(sorted({comparison["of"] for comparison in attribute["comparisons"]}))
            rows.append([name, f"{LARGEST}, over {over}", "", "", *cells])
        if attribute["unknown"] and attribute["groups"]:
            rows.append([name, "not known", str(attribute["unknown"]), "", NOT_KNOWN, *blank])
        for what, reason in attribute["gaps"].items():
            rows.append([name, f"gap: {what}", "", "", f"{NOT_KNOWN} ({reason})", *blank])
    for what, reason in results["gaps"].items():
        rows.append(["", f"gap: {what}", "", "", f"{NOT_KNOWN} ({reason})", *blank])
    return rows


def picture_rows(results: dict) -> list[tuple[str, float, tuple[float, float] | None]]:
    """Name, UA and interval of each group that has one."""
    named = [("", results["overall"])]
    named += [(name, group) for name, of in results["attributes"].items() for group in of["groups"]]
    rows = []
    for name, group in named:
        if group[UA] is not None:
            ends = None if group[UA]["low"] is None else (group[UA]["low"], group[UA]["high"])
            rows.append((f"{name} {group['name']} (n {group['n']})".strip(), group[UA]["value"], ends))
    return rows


def _group_row(attribute: str, group: dict, emotions: list[str]) -> list[str]:
    speakers = NOT_KNOWN if group["speakers"] is None else str(group["speakers"])
    row = [attribute, group["name"], str(group["n"]), speakers]
    if "group" in group["gaps"]:
        return [*row, f"{NOT_KNOWN} ({group['gaps']['group']})", "", *[""] * len(emotions)]
    ece = NOT_KNOWN if group["ece"] is None else f"{group['ece']['value']:.3f}"
    cells = []
    for emotion in emotions:
        names = (f"recall.{emotion}", f"{FALSE_ALARMS}.{emotion}")
        cells.append(", ".join(_cell(figure_of(group, name), group["gaps"].get(name), False) for name in names))
    return [*row, _cell(group[UA], group["gaps"].get(UA), True), ece, *cells]


def _cell(figure: dict | None, reason: str | None, with_interval: bool) -> str:
    if figure is None:
        return f"{NOT_KNOWN} ({reason})"
    ends = f" ({figure['low']:.3f} to {figure['high']:.3f})" if with_interval and figure["low"] is not None else ""
    return f"{figure['value']:.3f}{ends}"


def _difference_cell(attribute: dict, figure: str) -> str:
    compared = largest(attribute, figure)
    if compared is None:
        return NOT_KNOWN
    p = [comparison["p_holm"] for comparison in attribute["comparisons"] if comparison["figure"] == figure]
    pairs = f"; {sum(each < FOUND for each in p)} of {len(p)} pairs below {FOUND}" if len(p) > 1 else ""
    return (
        f"{compared['above']} over {compared['below']} by {compared['value']:.3f} "
        f"({compared['low']:+.3f} to {compared['high']:+.3f}), p {compared['p_holm']:.4f}{pairs}"
    )
