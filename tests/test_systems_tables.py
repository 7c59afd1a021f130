"""Tables of the paper's systems: published figures, ours from predictions with known figures, tests, the picture."""

import json

import numpy as np
import pytest
from scipy import stats

from xser.corpora.cache import write_json
from xser.evaluation.predictions import write_predictions
from xser.evaluation.significance import holm, resolvable_difference
from xser.systems.__main__ import main
from xser.systems.comparisons import compare_all
from xser.systems.figures import figures_of, read_systems, units
from xser.systems.picture import curve, draw_information
from xser.systems.picture import main as draw
from xser.systems.published import EMOSEC, FULL, IEMOCAP, MELD, SYSTEMS, TABLES, places_of
from xser.systems.run import Run
from xser.systems.tables import comparison_table, label_of, paper_tables

EMOTIONS = ("angry", "happy", "sad", "neutral")
CAPTION = "a {} voice says that we won"


def predictions(right, speakers=8, transcript="we won the game", caption=None):
    """32 utterances of four emotions by some speakers; `right` says of each whether its emotion is."""
    return [
        {
            "id": f"u{i}",
            "status": "ok",
            "emotion": EMOTIONS[i % 4] if hit else EMOTIONS[(i + 1) % 4],
            "transcript": transcript,
            "scores": None,
            "descriptors": None,
            "emphasis": None,
            "caption": caption and caption.format(EMOTIONS[i % 4]),
            "reference": {
                "emotion": EMOTIONS[i % 4],
                "text": "we won the game",
                "speaker": f"s{i // 4 % speakers}" if speakers else None,
                "descriptors": {},
                "caption": caption and CAPTION.format(EMOTIONS[i % 4]),
            },
        }
        for i, hit in enumerate(right)
    ]


def draws(rate, seed):
    return np.random.default_rng(seed).random(32) < rate


def all_but(*wrong):
    return [i not in wrong for i in range(32)]


def test_the_published_tables_are_those_of_the_paper():
    assert {number: len(table.rows) for number, table in TABLES.items()} == {"1": 7, "2": 15, "3": 8}
    assert places_of(FULL) == ["table 1, Sys.3", "table 2, Sys.7", "table 3, Sys.4"]
    assert all(places_of(name) for name in SYSTEMS)
    of = {row.system: row.published for table in TABLES.values() for row in table.rows}
    full, alternating, without = (of[name] for name in (FULL, "alternating_only", "no_descriptors"))
    ahead = [
        round(full[data]["ua"] - other[data]["ua"], 1) for other in (alternating, without) for data in (IEMOCAP, MELD)
    ]
    assert ahead == [4.0, 3.7, 7.0, 6.8]  # as the abstract says
    assert list(full[EMOSEC].values()) == [10.3, 22.1, 30.4, 19.3, 9.0]
    assert "wer" not in of["no_asr"][IEMOCAP] and not SYSTEMS["no_asr"].has_asr


def test_figures_are_over_all_seeds_and_each_seed_stands_alone():
    found = figures_of({1: predictions(all_but(0)), 2: predictions(all_but(0, 1, 2))}, resamples=50)
    assert found["n"] == 32 and found["seeds"] == {1: pytest.approx(1 - 1 / 32), 2: pytest.approx(1 - 3 / 32)}
    assert found["ua"] == found["wa"] == pytest.approx(1 - 4 / 64)
    assert found["std"] == pytest.approx(np.std([31 / 32, 29 / 32], ddof=1))
    assert (found["wer"], found["intervals"]["ua"]["of"]) == (0.0, "speakers")


def test_an_utterance_of_several_seeds_is_one_unit():
    several = [p for _ in range(4) for p in predictions(draws(0.7, 1), speakers=0)]
    assert len(set(units(several, 3)[0])) == 32 and units(several, 3)[1] == "utterances"
    assert units(predictions(draws(0.7, 1), speakers=2), 3)[1] == "utterances"
    of_one, of_four = (
        figures_of({seed: predictions(draws(0.7, 1), speakers=0) for seed in range(n)}, resamples=2000)["intervals"][
            "ua"
        ]
        for n in (1, 4)
    )
    assert of_four["low"] == pytest.approx(of_one["low"], abs=0.01) and of_four["of"] == "utterances"


def test_comparisons_are_paired_over_the_seeds_that_both_have():
    right = {seed: draws(0.9, seed) for seed in (1, 2)}
    wrong = {seed: draws(0.5, 10 + seed) for seed in (1, 2)}
    systems = {
        "full": {seed: predictions(hits) for seed, hits in right.items()},
        "weak": {seed: predictions(hits) for seed, hits in wrong.items()},
        "weaker": {1: predictions(draws(0.3, 20))},
        "other": {7: predictions(draws(0.3, 20))},
    }
    found, left_out = compare_all(systems, "full", 500)
    assert left_out == {"other": "full and other have fewer than two utterances and seeds in common"}
    weak, weaker = found
    assert (weak["name"], weak["n"], weak["seeds"], weaker["seeds"]) == ("weak", 32, [1, 2], [1])
    ahead = np.mean([right[s].astype(float) - wrong[s] for s in (1, 2)], axis=0)
    assert weak["wa_difference"] == pytest.approx(ahead.mean()) and weak["difference"] == pytest.approx(ahead.mean())
    assert weak["p_t"] == pytest.approx(stats.ttest_1samp(ahead, 0, alternative="greater").pvalue)
    assert weak["discordance"] == pytest.approx(np.mean(ahead**2))
    assert weak["resolvable"] == resolvable_difference(32, weak["discordance"])
    assert weak["low"] < weak["difference"] < weak["high"] and weak["of"] == "speakers"
    for test in ("bootstrap", "randomisation"):
        assert [weak["p_holm"][test], weaker["p_holm"][test]] == holm([weak["p"][test], weaker["p"][test]])


def test_the_words_of_two_systems_are_compared_where_both_transcribe():
    worse = predictions(all_but(0), transcript="we won a game")  # one word of four
    without = predictions(all_but(0), transcript=None)
    systems = {"full": {1: predictions(all_but(0))}, "worse": {1: worse}, "no_asr": {1: without}}
    (worse, no_asr), _ = compare_all(systems, "full", 100)
    assert (worse["words"]["difference"], worse["words"]["low"], worse["words"]["n"]) == (-0.25, None, 32)
    assert no_asr["words"] is None
    of = {row[0]: row for row in comparison_table([worse, no_asr], "full").rows}
    assert of["worse"][-3:] == ("-25.0", "–", "32") and of["no_asr"][-3:] == ("–", "–", "32")


def test_transcripts_of_a_system_that_was_not_trained_to_transcribe_do_not_count(tmp_path):
    for name in ("full", "no_asr"):
        write_json(tmp_path / name / "system.json", {"options": {}})
        folder = Run(name, "s0", 1).folder(tmp_path)
        folder.mkdir(parents=True)
        write_predictions(folder / "predictions.jsonl", predictions(all_but(0)))
        write_json(folder / "results.json", {})
    systems, _ = read_systems(tmp_path)
    assert {name: figures_of(of, resamples=50)["wer"] for name, of in systems.items()} == {"full": 0, "no_asr": None}


def test_a_system_of_others_is_compared_with_every_seed():
    systems = {"full": {seed: predictions(draws(0.9, seed)) for seed in (1, 2)}, "P5": {0: predictions(draws(0.5, 9))}}
    [found], _ = compare_all(systems, "full", 50)
    assert found["seeds"] == [1, 2] and found["n"] == 32


def test_tables_hold_ours_in_the_papers_columns_beside_the_published_ones():
    figures = {
        "full": figures_of({1: predictions(all_but(0), caption=CAPTION)}, resamples=50),
        "no_asr": figures_of({1: predictions(all_but(0, 1, 2, 3), transcript=None)}, resamples=50),
        "P5": figures_of({0: predictions(all_but())}, resamples=50),
        "mine": figures_of({0: predictions(all_but(), transcript="we won a game")}, resamples=50),
    }
    first, second, third, others = paper_tables(figures, {"P5": label_of("P5")})
    assert first.columns[2:8] == (
        *("B@4", "METEOR", "ROUGE-L", "CIDEr", "SPICE"),
        "published: B@4 / METEOR / ROUGE-L / CIDEr / SPICE",
    )
    full = first.rows[-1]
    assert full[:3] == ("Sys.3", "full", "100.0") and full[5] == "1000.0"
    assert full[7] == "EMOSEC 10.3 / 22.1 / 30.4 / 19.3 / 9.0" and full[-2:] == ("32", "1")
    of = {row[1]: dict(zip(second.columns, row, strict=True)) for row in second.rows}
    assert of["full"]["UA"].startswith("96.9 (") and of["full"]["WER"] == "0.0" and of["full"]["WA"] == "96.9"
    assert of["full"]["published: UA / WER"] == "IEMOCAP 77.6 / 11.1; MELD 60.1 / 25.3"
    assert (of["no_asr"]["WER"], of["no_asr"]["UA"][:4]) == ("–", "87.5")
    assert of["BLSP-Emo"]["UA"] == "100.0" and of["BLSP-Emo"]["row"] == "P5"
    assert of["SALMONN"]["UA"] == "–" and of["SALMONN"]["published: UA / WER"] == "IEMOCAP 67.0 / –; MELD 32.9 / –"
    assert [row[1] for row in third.rows][:4] == ["no_asr", "two_stage", "no_descriptors", "full"]
    [mine] = others.rows
    assert (mine[0], mine[1], mine[2]) == ("mine", "100.0", "25.0")


@pytest.mark.parametrize(("name", "label"), [("P5", "t2.P5"), ("t1.P4", "t1.P4"), ("P9", "P9"), ("blsp", "blsp")])
def test_names_of_others_may_be_rows_of_the_paper(name, label):
    assert label_of(name) == label


@pytest.fixture
def output(tmp_path):
    """Runs of three systems, as `xser systems` leaves them."""
    for system, beta, wrong in (("full", 0.01, (0,)), ("beta_1", 1.0, (0, 1, 2, 4, 5)), ("two_stage", 0.01, (0, 1))):
        blocks = {name: {"beta": beta} for name in ("content_bottleneck", "descriptor_bottleneck")}
        write_json(tmp_path / system / "system.json", {"options": blocks})
        folder = Run(system, "s0", 1).folder(tmp_path)
        folder.mkdir(parents=True)
        write_predictions(folder / "predictions.jsonl", predictions(all_but(*wrong)))
        carried = {"bits_per_second": 3 / beta, "nats_per_frame": 0.1 / beta}
        write_json(folder / "results.json", {"information": {"content": carried, "descriptors": carried}})
    return tmp_path


def test_tables_of_what_is_there_are_printed_and_written(output, tmp_path, capsys):
    lines = [f"u{i},{EMOTIONS[i % 4]},we won" for i in range(32)]
    (tmp_path / "blsp.csv").write_text("\n".join(["id,emotion,transcript", *lines]), encoding="utf-8")
    others = ["--others", f"P5={tmp_path / 'blsp.csv'}"]
    assert main(["--output", str(output), "--tables", "--resamples", "50", *others]) == 0
    shown = capsys.readouterr().out
    tables = json.loads((output / "tables.json").read_text())
    assert tables["systems"]["P5"]["wer"] == pytest.approx(0.5)
    assert tables["systems"]["beta_1"]["beta"] == {"content": 1.0, "descriptors": 1.0}
    assert tables["systems"]["full"]["information"]["content"]["bits_per_second"] == pytest.approx(300)
    assert [each["name"] for each in tables["comparisons"]] == ["beta_1", "two_stage", "P5"]
    page = (output / "tables.md").read_text()
    assert "| P5 | BLSP-Emo | 100.0 |" in page and "### full against each other system, in points" in page
    for said in (
        "The paper's UA on MELD is accuracy, by comparison with other papers",
        "2.7 points with 5,531 and 3.9 with 2,610 utterances",
        "CIDEr and SPICE are not known",
        f"32 utterances resolve {100 * resolvable_difference(32):.1f} points of accuracy at 80% power",
    ):
        assert said in page and said in shown


def test_others_over_other_utterances_are_refused_or_left_out_where_runs_are_missing(output, tmp_path, capsys):
    (tmp_path / "few.csv").write_text("id,emotion\nu0,sad\n", encoding="utf-8")
    given = ["--output", str(output), "--tables", "--resamples", "50", "--others", f"few={tmp_path / 'few.csv'}"]
    assert main(given) == 1
    assert "few.csv: 31 utterances of the references have no prediction" in capsys.readouterr().err
    Run("full", "s1", 1).folder(output).mkdir(parents=True)
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "few is not compared" in shown and "Run full/s1/1 is missing: not done yet" in shown


def test_the_information_curve_is_drawn_from_the_betas_alone(output, tmp_path):
    assert main(["--output", str(output), "--tables", "--resamples", "50"]) == 0
    systems = json.loads((output / "tables.json").read_text())["systems"]
    assert [beta for beta, _ in curve(systems)] == [0.01, 1.0]
    path = draw([str(output / "tables.json"), str(tmp_path / "docs" / "curve.png"), "--title", "tones"])
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"two betas or more, and there are \[1.0\]"):
        draw_information({"beta_1": systems["beta_1"]}, tmp_path / "x.png", "x")
    two = {**systems["full"], "beta": {"content": 0.1, "descriptors": 0.2}}
    with pytest.raises(ValueError, match="full has the betas"):
        draw_information({"full": two, "beta_1": systems["beta_1"]}, tmp_path / "x.png", "x")
    with pytest.raises(ValueError, match="holds no 'systems'"):
        draw([str(output / "full" / "system.json"), str(tmp_path / "x.png")])
