"""The report: one page, one table of Markdown and one JSON, made from any files of figures."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import xser
from xser.evaluation.page.__main__ import main
from xser.evaluation.page.examples import NUM_EXAMPLES
from xser.evaluation.page.report import EXAMPLE_COLUMNS, write_report
from xser.evaluation.page.system import confidence_and_hits
from xser.evaluation.predictions import read_predictions, write_predictions
from xser.evaluation.report import without_folders
from xser.evaluation.scoring import score
from xser.evaluation.significance import compare

RESULTS = Path(xser.__file__).parent / "docs" / "results"
RESAMPLES = 100
EVIL = '<script>alert("x")</script> [a](javascript:b) | `c` &amp; ![d](http://e.org/f.png) \\'
EVALUATION = {
    "command": "python eval.py --model /home/anna/model --corpus espeak --output /home/anna/mine.json",
    "model": "/home/anna/model",
    "corpus": "/home/anna/nemo",
    "split": "test",
    "condition": "noise, 10 dB",
    "n": 10,
    "ua": 0.8,
    "ua_interval": [0.7, 0.9],
    "ua_interval_of": "speakers",
    "ua_ceiling": 0.9,
    "ua_bayes": 0.84,
    "wa": 0.75,
    "macro_f1": 0.71234,
    "wer": None,
    "ece": 0.05,
    "recall": {"calm": None, "sad": 0.8},
    "descriptors": {"pitch": 0.75},
    "intervals": {"wa": {"low": 0.6, "high": 0.85, "of": "speakers"}, "recall.sad": {"low": 0.5, "high": 0.95}},
    "n_of": {"emotion": 10, "text": 0, "pitch": 8, "scores": 9, "recall": {"calm": 0, "sad": 10}},
    "gaps": {"text": "none of 10 references has a transcript", "recall.calm": "no reference is of this emotion"},
    "left_out": [{"id": "x", "reason": "no file /home/anna/x.wav"}],
}
TABLE = {"title": "Noise", "command": "python b.py", "columns": ["SNR", "UA", "n"], "rows": [["20 dB", "0.123", "4"]]}
CLASSES = ["sad", "angry", "happy"]


def prediction(number, emotion, **changed):
    """Of every third utterance another emotion; the right one has 0.7 of the scores."""
    truth = CLASSES[number % 3]
    rest = [label for label in CLASSES if label != emotion]
    reference = {
        "emotion": truth,
        "text": "we won",
        "speaker": f"s{number % 6}",
        "corpus": "tests",
        "descriptors": {"pitch": "high", "emphasis": ["won"]},
    }
    answer = {
        "status": "ok",
        "emotion": emotion,
        "scores": {emotion: 0.7, rest[0]: 0.2, rest[1]: 0.1},
        "descriptors": {"pitch": "high" if number % 2 else "low"},
        "emphasis": ["won"],
        "transcript": "we one",
        "explanation": f"Sounds {emotion}.",
    }
    return {"id": f"u{number:02}", "reference": reference, **answer} | changed


def system(wrong=(), count=36, **changed):
    """Predictions that are wrong where `wrong` says so."""
    return [
        prediction(n, CLASSES[(n + (n in wrong)) % 3], **{k: v(n) if callable(v) else v for k, v in changed.items()})
        for n in range(count)
    ]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def predicted(path, predictions):
    write_predictions(path, predictions)
    return path


def make(folder, files=(), predictions=(), **options):
    """The report's HTML, Markdown and JSON."""
    write_report(files, predictions, folder, resamples=RESAMPLES, **options)
    html, markdown = ((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    return html, markdown, json.loads((folder / "report.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What is on a page: its tags, addresses, text and tables that have a caption; fails where tags do not match."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.tables = [], set(), [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag == "table":
            self.tables.append({"title": "", "cells": []})
        if tag == "tr":
            self.tables[-1]["cells"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["cells"][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if "caption" in self.open:
            self.tables[-1]["title"] += data
        if {"td", "th"} & set(self.open):
            self.tables[-1]["cells"][-1][-1] += data


def tables_of_markdown(text):
    """Titles and cells, with what was escaped as it was."""
    found, title = [], ""
    for line in text.splitlines():
        if line.startswith("### "):
            title = plain(line[4:])
        elif line.startswith("| ---"):
            continue
        elif line.startswith("| "):
            cells = [plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if title is not None:
                found.append({"title": title, "cells": []})
                title = None
            found[-1]["cells"].append(cells)
    return found


def plain(text):
    text = re.sub(r"\\([|`\[\]\\])", r"\1", text.strip())
    return text.replace("&lt;", "<").replace("&amp;", "&")


def tables_of_json(report):
    """The same from the JSON."""
    return [
        {"title": block["title"], "cells": [block["columns"], *block["rows"]]}
        for section in report["sections"]
        for block in section["blocks"]
        if block["kind"] == "table"
    ]


def table(report, title):
    """Rows of the first table so called, by their first cell."""
    (cells, *_) = [each["cells"] for each in tables_of_json(report) if each["title"] == title]
    return {row[0]: row[1:] for row in cells}


def gaps(report):
    blocks = [block for section in report["sections"] for block in section["blocks"]]
    return {block["title"]: block["reason"] for block in blocks if block["kind"] == "gap"}


def examples(report):
    blocks = [block for section in report["sections"] for block in section["blocks"]]
    return {block["title"]: block["examples"] for block in blocks if block["kind"] == "examples"}


def test_all_systems_stand_side_by_side_with_n_interval_and_reason(tmp_path):
    other = EVALUATION | {
        "ua_ceiling": None,
        "speaker_reference": True,
        "gaps": {**EVALUATION["gaps"], "scores": "no"},
    }
    other["ece"] = None
    files = [write(tmp_path / "mine.json", EVALUATION), write(tmp_path / "other.json", other)]
    _, _, report = make(tmp_path / "out", files)
    assert report["sections"][0]["title"] == "All systems"
    rows = table(report, "Side by side")
    assert rows["figure"] == ["mine", "other"]
    assert rows["measured on"] == ["nemo, test, noise, 10 dB"] * 2 and rows["utterances"] == ["10", "10"]
    assert rows["UA"] == ["0.800 (95% interval 0.700 to 0.900, over speakers); n 10"] * 2
    assert rows["WA"] == ["0.750 (0.600 to 0.850); n 10"] * 2 and rows["macro F1"] == ["0.712; n 10"] * 2
    assert rows["WER"] == ["– (none of 10 references has a transcript)"] * 2
    assert rows["pitch, accuracy"] == ["0.750; n 8"] * 2 and rows["ECE"] == ["0.050; n 9", "– (no)"]
    assert rows["best possible UA"] == ["0.900", "not known"]
    assert rows["speaker reference used"] == ["not said", "yes"]


def test_what_no_file_says_of_a_speaker_reference_has_no_row(tmp_path):
    _, _, report = make(tmp_path / "out", [write(tmp_path / "mine.json", EVALUATION)])
    assert "speaker reference used" not in table(report, "Side by side")


def test_a_section_of_a_system_holds_its_figures_emotions_and_gaps(tmp_path):
    html, _, report = make(tmp_path / "out", [write(tmp_path / "mine.json", EVALUATION)])
    section = report["sections"][1]
    assert section["title"] == "mine" and section["text"] == "model on nemo, test, noise, 10 dB, from mine.json."
    assert section["command"] == "python eval.py --model model --corpus espeak --output mine.json"
    assert table(report, "Figures")["UA over the best possible"] == ["0.889", "10"]
    assert table(report, "Each emotion")["sad"] == ["10", "0.800 (0.500 to 0.950)", "–", "–"]
    assert table(report, "Each emotion")["calm"][:2] == ["0", "– (no reference is of this emotion)"]
    found = gaps(report)
    assert "give the predictions" in found["Reliability of the scores"] and "give the predictions" in found["Examples"]
    assert found["Confusion"] == found["Risk and coverage"] == "not in this file"
    assert found["Left out"] == "1 recordings could not be evaluated and are in no figure"
    assert "anna" not in html + json.dumps(report)


def test_every_file_given_is_shown(tmp_path):
    better = system()
    write_predictions(tmp_path / "better.jsonl", better)
    files = [
        write(tmp_path / "mine.json", EVALUATION),
        write(tmp_path / "noise.json", TABLE),
        write(tmp_path / "compared.json", TABLE | {"title": "Against base", "rows": []}),
    ]
    first = predicted(tmp_path / "base.jsonl", system({1, 2, 3}))
    cells = "".join(f"{p['id']},sad\n" for p in better)
    (tmp_path / "majority.csv").write_text(f"id,emotion\n{cells}")
    pages = make(tmp_path / "out", files, [first, tmp_path / "better.jsonl", tmp_path / "majority.csv"], title="Mine")
    report = pages[2]
    names = ["mine.json", "base.jsonl", "better.jsonl", "majority.csv", "noise.json", "compared.json"]
    assert report["title"] == "Mine" and report["files"] == names
    assert [section["title"] for section in report["sections"]] == [
        *("All systems", "Each system against base", "mine", "base", "better", "majority"),
        *("Noise", "Against base"),
    ]
    assert all(name in page for name in names for page in pages[:2])
    assert table(report, "noise.json") == {"SNR": ["UA", "n"], "20 dB": ["0.123", "4"]}
    assert gaps(report)["compared.json"] == "it has no rows"
    assert gaps(report)["Examples"] == "the predictions hold an emotion and nothing to explain it"
    assert str(tmp_path) not in "".join(pages[:2]) + json.dumps(report)


def test_several_systems_are_tested_against_the_first(tmp_path):
    systems = {"base": system(set(range(0, 36, 3))), "better": system({1}), "same": system(set(range(0, 36, 3)))}
    paths = [predicted(tmp_path / f"{name}.jsonl", predictions) for name, predictions in systems.items()]
    _, markdown, report = make(tmp_path / "out", [], paths)
    found = compare(systems, RESAMPLES)[0]
    assert table(report, "Paired tests")["better"][:6] == [
        *("base", "36", f"{found.ua:.3f}", f"{found.difference:+.3f}", f"{found.low:+.3f} to {found.high:+.3f}"),
        f"{found.wa_difference:+.3f}",
    ]
    assert table(report, "Paired tests")["better"][-3:] == ["0.500", "+0.000", "– (every resample agrees)"]
    assert table(report, "Paired tests")["same"] == [
        *("base", "36", "0.667", "+0.000", "– (every resample agrees)", "+0.000", "1.0000", "1.0000", "1.0000"),
        *("0.500", "+0.000", "– (every resample agrees)"),
    ]
    assert report["comparisons"][0]["p_holm"] == found.p_holm and report["comparisons"][0]["difference"] > 0
    assert "over speakers" in markdown


def test_a_p_value_of_nearly_nothing_is_not_written_as_zero(tmp_path):
    paths = [
        predicted(tmp_path / "base.jsonl", system(set(range(90)), 90)),
        predicted(tmp_path / "better.jsonl", system((), 90)),
    ]
    _, _, report = make(tmp_path / "out", [], paths)
    of = table(report, "Paired tests")
    assert of["better"][of["system"].index("mcnemar")] == "< 0.0001"


def test_systems_over_different_utterances_are_shown_and_not_compared(tmp_path):
    paths = [predicted(tmp_path / f"{n}.jsonl", system({1}, n)) for n in (36, 30)]
    _, _, report = make(tmp_path / "out", [], paths)
    reason = gaps(report)["Paired tests"]
    assert "30 and 36 are over different utterances: 6 are missing" in reason and str(tmp_path) not in reason
    assert report["comparisons"] == [] and table(report, "Side by side")["utterances"] == ["36", "30"]


def test_results_and_predictions_of_one_name_are_one_system(tmp_path):
    predictions = predicted(tmp_path / "mine.jsonl", system({1, 5}))
    known = score(system({1, 5}), resamples=RESAMPLES)
    old = {key: known[key] for key in ("ua", "ua_interval", "ua_interval_of", "wa", "wer", "recall", "descriptors")}
    results = {"command": "c", "n": 36, "ua_ceiling": 0.99, "ua_bayes": 0.98, **old, "n_of": known["n_of"]}
    _, _, report = make(tmp_path / "out", [write(tmp_path / "mine.json", results)], [predictions])
    assert list(report["systems"]) == ["mine"] and report["files"] == ["mine.json", "mine.jsonl"]
    rows = table(report, "Side by side")
    assert rows["best possible UA"] == ["0.990"] and rows["macro F1"][0].startswith(f"{known['macro_f1']:.3f}")
    assert table(report, "Confusion")["sad"] == ["12", "0% (0)", "0% (0)", "100% (12)"]
    with pytest.raises(ValueError, match=r"mine\.json and .*mine\.jsonl have one name.* but wa is 0\.5 in the"):
        make(tmp_path / "out", [write(tmp_path / "mine.json", results | {"wa": 0.5})], [predictions])


def test_the_numbers_of_the_pictures_are_in_tables(tmp_path):
    predictions = [*system({0, 3, 6, 9}, 35), prediction(35, "happy", scores={"happy": 1.0, "sad": 0.0})]
    _, _, report = make(tmp_path / "out", [], [predicted(tmp_path / "mine.jsonl", predictions)])
    assert table(report, "Confusion")["sad"] == ["12", "33% (4)", "0% (0)", "67% (8)"]
    assert table(report, "Reliability of the scores")["0.67 to 0.73"] == ["35", "0.700", f"{31 / 35:.3f}"]
    assert table(report, "Reliability of the scores")["0.93 to 1.00"] == ["1", "1.000", "1.000"]
    assert table(report, "Risk and coverage, n 36")["100%"] == [f"{4 / 36:.3f}"]
    alts = [b["alt"] for s in report["sections"] for b in s["blocks"] if b["kind"] == "picture"]
    assert len(alts) == 4 and "sad (n 12) is called sad 67%, angry 33%" in alts[1]
    assert report["systems"]["mine"]["ua"] == pytest.approx((8 / 12 + 1 + 1) / 3)


def test_the_reliability_is_that_of_the_calibration_error():
    changed = {"scores": lambda n: {"sad": 0.35, "angry": 0.35, "happy": 0.3} if n % 2 else {"sad": 0.6, "happy": 0.4}}
    predictions = system({1, 4}, **changed)
    confidence, hits = confidence_and_hits(predictions)
    assert confidence.tolist() == pytest.approx([0.6, 0.35] * 18)
    assert hits.tolist() == [
        (p["reference"]["emotion"] == ("angry" if n % 2 else "sad")) for n, p in enumerate(predictions)
    ]
    gap = abs(sum(hits[0::2]) / 18 - 0.6) / 2 + abs(sum(hits[1::2]) / 18 - 0.35) / 2
    assert score(predictions, resamples=RESAMPLES)["ece"] == pytest.approx(gap)


def test_ten_wrong_and_ten_right_ones_are_shown_with_their_explanation(tmp_path):
    wrong = set(range(0, 36, 2))
    _, markdown, report = make(tmp_path / "out", [], [predicted(tmp_path / "mine.jsonl", system(wrong))])
    found = examples(report)
    assert list(found) == ["Wrong: 10 of 18 utterances", "Right: 10 of 18 utterances"]
    wrong_ones, right_ones = found.values()
    ids = [int(example["id"][1:]) for example in wrong_ones]
    assert len(set(ids)) == NUM_EXAMPLES and set(ids) <= wrong and ids == sorted(ids)
    assert not {int(example["id"][1:]) for example in right_ones} & wrong
    first = wrong_ones[0]
    assert first["said"] != first["true"] and first["scores"][0] == [first["said"], 0.7]
    assert first["explanation"] == f"Sounds {first['said']}." and first["spoken"] == "“we won”"
    assert first["cues"] == [
        {"slot": "pitch", "said": "low", "true": "high", "agrees": False},
        {"slot": "emphasis", "said": "“won”", "true": "“won”", "agrees": True},
    ]
    assert markdown.count("Drawn at random (seed 0)") == 2 and "| low" not in markdown and "pitch: low" in markdown
    backwards = predicted(tmp_path / "back" / "mine.jsonl", system(wrong)[::-1])
    assert examples(make(tmp_path / "again", [], [backwards])[2]) == found


def test_what_an_example_lacks_is_shown_as_lacking(tmp_path):
    nothing = dict.fromkeys(("emotion", "scores", "descriptors", "emphasis", "transcript", "explanation"))
    silent = prediction(0, "sad") | nothing | {"status": "no_speech"}
    path = predicted(tmp_path / "mine.jsonl", [silent, *system(count=6)[1:]])
    _, _, report = make(tmp_path / "out", [], [path])
    ((example,), right) = examples(report).values()
    assert example["said"] == "no answer (no_speech)" and example["scores"] == [] and example["heard"] == "–"
    assert [cue["agrees"] for cue in example["cues"]] == [None, None] and len(right) == 5
    all_right = predicted(tmp_path / "right.jsonl", system(count=6))
    _, _, report = make(tmp_path / "out", [], [all_right])
    assert gaps(report)["Wrong"] == "no utterance of 6 is"


def test_html_markdown_and_json_hold_the_same_tables(tmp_path):
    files = [write(tmp_path / "mine.json", EVALUATION), write(tmp_path / "noise.json", TABLE)]
    paths = [predicted(tmp_path / f"{name}.jsonl", system({n})) for n, name in enumerate(("base", "better"))]
    html, markdown, report = make(tmp_path / "out", files, paths)
    expected = tables_of_json(report)
    assert [each for each in Page(html).tables if each["title"]] == expected and len(expected) == 15
    written = tables_of_markdown(markdown)
    assert [each for each in written if each["cells"][0] != list(EXAMPLE_COLUMNS)] == expected
    of_examples = [each["cells"][1:] for each in written if each["cells"][0] == list(EXAMPLE_COLUMNS)]
    assert sum(map(len, of_examples)) == html.count('<article class="example">') == 22
    shown = [example for section in report["sections"] for block in section["blocks"] for example in
             block.get("examples", [])]  # fmt: skip
    scores = [", ".join(f"{name} {score:.3f}" for name, score in example["scores"]) for example in shown]
    assert [row[3] for rows in of_examples for row in rows] == scores
    text = "".join(Page(html).text)
    assert all(f"{score:.3f}" in text for example in shown for _, score in example["scores"])


def test_text_of_the_data_does_no_harm(tmp_path):
    evil = [
        p | {"id": f"{EVIL}{n}", "transcript": EVIL, "explanation": EVIL, "status": EVIL}
        for n, p in enumerate(system({1}, 6))
    ]
    for p in evil:
        p["reference"] |= {"text": EVIL, "descriptors": {"pitch": EVIL}, "corpus": EVIL}
        p["descriptors"] = {"pitch": EVIL, EVIL: "high"}
        p["scores"] = {**p["scores"], EVIL: 0.0}
    table = {"title": EVIL, "command": f"{EVIL} ``x", "columns": [EVIL, "b"], "rows": [[EVIL, "1"]]}
    files = [write(tmp_path / "a<b onload=x>.json", table), write(tmp_path / "c.json", EVALUATION | {"split": EVIL})]
    paths = [predicted(tmp_path / "<i>&.jsonl", evil)]
    html, markdown, report = make(tmp_path / "out", files, paths, title=EVIL)
    page = Page(html)
    assert not page.tags & {"script", "i>&", "iframe", "link", "b"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    addresses = [value for name, value in page.attributes if name in ("href", "src")]
    assert all(value.startswith(("#section-", "data:image/svg+xml;base64,")) for value in addresses)
    assert "".join(page.text).count(EVIL) > 20  # it is there, as it is
    outside_code = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown)
    assert (
        "<script" not in outside_code and "<i>" not in outside_code and not re.search(r"(?<!\\)[\[\]]", outside_code)
    )
    assert tables_of_markdown(markdown)[-1]["cells"] == [[EVIL, "b"], [EVIL, "1"]]
    assert report["title"] == EVIL


def test_nothing_on_the_page_is_fetched_or_run(tmp_path):
    html, _, _ = make(tmp_path / "out", [], [predicted(tmp_path / "mine.jsonl", system({1}))])
    page = Page(html)
    policies = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not re.search(r"https?:|@import|url\(", re.sub(r"base64,[\w+/=]+", "", html))
    images = [value for name, value in page.attributes if name == "alt"]
    assert len(images) == 4 and all(len(alt) > 40 for alt in images)


def test_the_same_files_give_the_same_bytes_wherever_they_lie(tmp_path):
    written = []
    for name in ("here", "there"):
        files = [write(tmp_path / name / "mine.json", EVALUATION), write(tmp_path / name / "noise.json", TABLE)]
        paths = [predicted(tmp_path / name / f"{s}.jsonl", system({n})) for n, s in enumerate(("a", "b"))]
        make(tmp_path / name / "out", files, paths)
        written.append({path.name: path.read_bytes() for path in (tmp_path / name / "out").iterdir()})
    assert written[0] == written[1] and set(written[0]) == {"report.html", "report.md", "report.json"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"answer": 1}, r"x\.json holds \['answer'\] and lacks \['n', 'n_of', .*; it must be a results file of eval"),
        ([1], r"x\.json holds a list; it must be a results file"),
        (TABLE | {"rows": [["20 dB", 0.123, "4"]]}, r"x\.json, row 1 is .*; it must be 3 texts"),
        (TABLE | {"rows": [["20 dB", "4"]]}, r"x\.json, row 1 .* 3 texts, one a column"),
        (TABLE | {"rows": 5}, "'rows' is 5; it must be a list of rows"),
        (TABLE | {"columns": []}, r"'columns' is \[\]; it must be a list of texts"),
        (TABLE | {"title": 5}, "'title' and 'command' must be texts"),
        ({"columns": ["a"]}, r"x\.json has columns and lacks \['title', 'rows'\]"),
        ({"title": "t", "tables": []}, r"x\.json: 'tables' is \[\]; it must be a list of tables"),
        ({"title": "t", "tables": [TABLE | {"rows": 5}]}, "'rows' is 5; it must be a list of rows"),
        ({"tables": [TABLE]}, "'title' and 'command' must be texts"),
        ({"title": "t", "tables": [TABLE], "notes": "n"}, "'notes' is 'n'; it must be a list of texts"),
        (EVALUATION | {"recall": []}, r"x\.json: 'recall' is \[\]; it must be of kind dict"),
        (EVALUATION | {"ua": "0.8"}, "'ua' is '0.8'; it must be a number, or null"),
        (EVALUATION | {"wa": float("nan")}, "'wa' is nan; it must be a number"),
        (EVALUATION | {"descriptors": {"tone": 0.5}}, r"'n_of' lacks \['tone'\]"),
        ({k: v for k, v in EVALUATION.items() if k != "ua_bayes"}, r"lacks \['ua_bayes'\]"),
        (EVALUATION | {"gaps": {}}, r"recalls of \['calm'\] are null, and 'gaps' does not say why"),
    ],
)
def test_a_file_of_no_kind_is_refused_by_name_and_nothing_is_written(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "out", [write(tmp_path / "x.json", content)])
    assert not (tmp_path / "out").exists()


def test_a_file_of_several_tables_has_each_of_them_and_its_notes(tmp_path):
    second = {"title": "Second", "columns": ["row"], "rows": [["b"]]}
    content = {"title": "Systems", "command": "xser systems", "tables": [TABLE, second], "notes": ["In percent."]}
    html, _, report = make(tmp_path / "out", [write(tmp_path / "systems.json", content)])
    shown = {each["title"]: each["cells"][1:] for each in tables_of_json(report)}
    assert (
        shown[TABLE["title"]] == TABLE["rows"] and shown["Second"] == [["b"]] and shown["Notes"] == [["In percent."]]
    )
    assert report["files"] == ["systems.json"] and "Systems" in html


def test_files_that_every_run_calls_alike_have_the_name_of_their_folder(tmp_path):
    paths = [predicted(tmp_path / part / "predictions.jsonl", system()) for part in ("ours", "theirs")]
    _, _, report = make(tmp_path / "out", predictions=paths)
    assert list(report["systems"]) == ["ours", "theirs"]


def test_two_systems_of_one_name_are_refused(tmp_path):
    files = [write(tmp_path / part / "mine.json", EVALUATION) for part in "ab"]
    with pytest.raises(ValueError, match=r"a/mine\.json and .*b/mine\.json are two systems called 'mine': rename one"):
        make(tmp_path / "out", files)
    paths = [predicted(tmp_path / part / "mine.jsonl", system()) for part in "ab"]
    with pytest.raises(ValueError, match="are two systems called 'mine'"):
        make(tmp_path / "out", [], paths)


def test_what_stands_in_the_wrong_place_is_refused(tmp_path):
    path = predicted(tmp_path / "mine.jsonl", system())
    with pytest.raises(ValueError, match=r"mine\.jsonl is no JSON file: give predictions behind --predictions"):
        make(tmp_path / "out", [path])
    with pytest.raises(ValueError, match="nothing to show"):
        make(tmp_path / "out")
    (tmp_path / "other.csv").write_text("id,emotion\nu00,sad\n")
    with pytest.raises(ValueError, match="1 predictions have no reference"):
        make(tmp_path / "out", [], [tmp_path / "other.csv", path])
    with pytest.raises(ValueError, match=r"other\.csv: 35 utterances of the references have no prediction"):
        make(tmp_path / "out", [], [path, tmp_path / "other.csv"])


def test_the_command_writes_a_report_or_says_why_not(tmp_path, capsys):
    path = predicted(tmp_path / "mine.jsonl", system({1}))
    options = ["--output", str(tmp_path / "out"), "--resamples", str(RESAMPLES)]
    assert main(["--predictions", str(path), *options]) == 0
    assert "report.html" in capsys.readouterr().out and (tmp_path / "out" / "report.html").is_file()
    assert main([str(tmp_path / "none.json"), *options]) == 2
    assert "none.json does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python eval.py --model a/b --output /home/anna/my.json", "python eval.py --model a/b --output my.json"),
        ("x --output='/home/anna w/c.json' '/d e/f.json'", "x --output='c.json' 'f.json'"),
        ("x ~/runs/a.json --model=/b/c https://d.org/e", "x a.json --model=c https://d.org/e"),
    ],
)
def test_absolute_paths_in_commands_are_cut_to_names(command, shown):
    assert without_folders(command) == shown


def test_the_measured_results_of_the_repository_make_a_report(tmp_path):
    files = sorted(path for path in RESULTS.glob("*.json") if path.stem != "explanation")
    html, _, report = make(tmp_path / "out", files)
    assert sorted(report["files"]) == [path.name for path in files]
    assert [each for each in Page(html).tables if each["title"]] == tables_of_json(report)


def test_as_many_resamples_as_asked_for_are_drawn(tmp_path):
    predictions = system({1, 2, 5, 8})
    _, _, report = make(tmp_path / "out", [], [predicted(tmp_path / "mine.jsonl", predictions)])
    read = read_predictions(tmp_path / "mine.jsonl")
    assert report["systems"]["mine"]["intervals"] == score(read, resamples=RESAMPLES)["intervals"]
