"""The same recordings under harder conditions: figures, differences, what is kept, and what cannot be had."""

import json

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_wave
from PIL import Image

from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.evaluation import conditions, robustness
from xser.evaluation.conditions import AS_RECORDED
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.predictions import read_predictions, write_predictions
from xser.evaluation.robustness import ABOUT, HARDER, evaluate_conditions, main, table_columns, table_rows
from xser.evaluation.significance import compare

NOISY = "noise, 0 dB"


@pytest.fixture
def recordings(tmp_path):
    """Writes WAV files and gives a data set of them; what is known of all rows can be changed."""

    def make(count=6, name="rows", **known):
        rows = []
        for i in range(count):
            path = tmp_path / f"r{i}.wav"
            soundfile.write(path, make_wave(0.4 + 0.1 * i, seed=i), 16_000)
            row = make_row(
                id=f"r{i}",
                audio={"bytes": None, "path": str(path)},
                text="we won the game",
                emotion=["angry", "sad", "happy"][i % 3],
                descriptors={"pitch": "high"},
                speaker=f"s{i % 2}",
                corpus="mine",
                duration=0.4 + 0.1 * i,
            )
            rows.append(row | known)
        return write_dataset(tmp_path / f"{name}.arrow", rows)

    return make


@pytest.fixture
def run(tiny_pair, recordings, tmp_path):
    """`evaluate_conditions` on a tiny random model, in one folder."""

    def start(conditions_asked=(NOISY, "telephone"), dataset=None, **options):
        options = {"resamples": 50, "progress": False} | options
        return evaluate_conditions(
            *tiny_pair, dataset or recordings(), tmp_path / "kept", conditions_asked, batch_size=6, **options
        )

    return start


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the conditions that a model was asked for."""
    names = []

    def counting(model, processor, dataset, batch_size, limit, condition, progress):
        names.append(condition)
        return evaluate_model(model, processor, dataset, batch_size, limit, condition, progress)

    monkeypatch.setattr(robustness, "evaluate_model", counting)
    return names


def test_figures_are_those_of_eval_and_the_difference_is_that_of_compare(run, tiny_pair, recordings, tmp_path):
    results = run()
    assert list(results["conditions"]) == [AS_RECORDED, NOISY, "telephone"] and results["gaps"] == {}
    told = {}
    for name in results["conditions"]:
        measured, told[name] = evaluate_model(*tiny_pair, recordings(), condition=name, progress=False)
        kept = results["conditions"][name]
        assert all(kept[figure] == measured[figure] for figure in ("n", "ua", "wer", "descriptors", "intervals"))
    expected = {each.name: each for each in compare(told, 50)}
    assert set(expected) == set(results["comparisons"]) == {NOISY, "telephone"}
    for name, comparison in results["comparisons"].items():
        assert comparison["difference"] == expected[name].difference and comparison["p_holm"] == expected[name].p_holm
    assert read_predictions(tmp_path / "kept" / "noise-0-dB.jsonl") == told[NOISY]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(
        [ABOUT, *(f"{name}.json{end}" for name in ("as-recorded", "noise-0-dB", "telephone") for end in ("", "l"))]
    )


def test_the_table_has_a_row_a_condition(run):
    results = run()
    columns, rows = table_columns(results), table_rows(results)
    assert columns == ["condition", "n", "UA (95%)", "difference (95%)", "p, randomisation", "WER (95%)", "pitch"]
    assert [row[0] for row in rows] == [AS_RECORDED, NOISY, "telephone"] and rows[0][3:5] == ["", ""]
    assert all(len(row) == len(columns) for row in rows) and {row[1] for row in rows} == {"6"}
    noisy, compared = results["conditions"][NOISY], results["comparisons"][NOISY]
    pitch = noisy["descriptors"]["pitch"]
    assert rows[1][2].startswith(f"{noisy['ua']:.3f}") and rows[1][3].startswith(f"{compared['difference']:+.3f}")
    assert rows[1][5].startswith(f"{noisy['wer']:.3f}") and rows[1][6].startswith(f"{pitch:.3f}")


def test_what_is_there_is_not_evaluated_again(run, evaluated, tmp_path):
    first = run([NOISY])
    assert evaluated == [AS_RECORDED, NOISY]
    second = run([NOISY, "room"])
    assert evaluated == [AS_RECORDED, NOISY, "room"] and second["conditions"][NOISY] == first["conditions"][NOISY]
    (tmp_path / "kept" / "noise-0-dB.json").unlink()
    assert run([NOISY])["comparisons"] == first["comparisons"] and evaluated[3:] == [NOISY]


def test_a_run_that_was_stopped_goes_on(run, evaluated, monkeypatch):
    def stop(wave, seed):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(conditions.CONDITIONS, "telephone", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert list(run()["conditions"]) == [AS_RECORDED, NOISY, "telephone"]
    assert evaluated == [AS_RECORDED, NOISY, "telephone", "telephone"]


def test_a_folder_of_something_else_is_refused(run, tiny_pair, recordings, tmp_path):
    run([NOISY], about={"model": "one"})
    for changed, message in (
        ({"limit": 3}, "was filled with limit None, and it is 3 now"),
        ({"about": {"model": "two"}}, "was filled with model 'one', and it is 'two' now"),
        ({}, "was filled with model 'one', and it is None now"),
        ({"dataset": recordings(4, "fewer")}, "was filled with rows '"),
        ({"dataset": recordings(6, "other", emotion="sad")}, "was filled with rows '"),
    ):
        with pytest.raises(ValueError, match=message):
            run([NOISY], **({"about": {"model": "one"}} if changed else {}) | changed)
    with torch.no_grad():
        next(tiny_pair[0].parameters()).mul_(1.01)
    with pytest.raises(ValueError, match="was filled with weights '"):
        run([NOISY], about={"model": "one"})
    (tmp_path / "kept" / ABOUT).unlink()
    with pytest.raises(ValueError, match=r"holds \['as-recorded.json', .*\] and no about.json; give a folder of its"):
        run([NOISY])


def test_a_run_that_failed_at_once_leaves_nothing(run, tmp_path):
    with pytest.raises(ValueError, match="limit is 0"):
        run([NOISY], limit=0)
    assert not (tmp_path / "kept").exists() and run([NOISY], limit=4)["conditions"][NOISY]["n"] == 4


def no_encoder(wave, seed):
    raise soundfile.LibsndfileError(12, prefix="OGG: ")


def no_subtype(wave, seed):
    raise ValueError("Invalid combination of format, subtype and endian")


@pytest.mark.parametrize(("failing", "reason"), [(no_encoder, "OGG: "), (no_subtype, "Invalid combination")])
def test_a_condition_that_cannot_be_had_is_a_gap_and_the_others_go_on(run, evaluated, monkeypatch, failing, reason):
    with monkeypatch.context() as patched:
        patched.setitem(conditions.CONDITIONS, "Opus", failing)
        results = run(["Opus", NOISY])
    assert list(results["conditions"]) == [AS_RECORDED, NOISY] and list(results["comparisons"]) == [NOISY]
    assert list(results["gaps"]) == ["Opus"] and reason in results["gaps"]["Opus"]
    row = table_rows(results)[-1]
    assert row[0] == "Opus" and results["gaps"]["Opus"] in row[2] and len(row) == len(table_columns(results))
    assert "Opus" in run(["Opus"])["conditions"] and evaluated[-1] == "Opus"  # tried again, now that it can be had


def test_recordings_that_fail_as_they_are_end_the_run(run, recordings):
    with pytest.raises(ValueError, match="none of the data set's 6 rows could be evaluated"):
        run(dataset=recordings(emotion="melancholic"))


def test_other_utterances_have_figures_and_no_difference(run, monkeypatch):
    def fails_on_short(wave, seed):
        if len(wave) < 8_000:
            raise ValueError("too short for this codec")
        return wave

    monkeypatch.setitem(conditions.CONDITIONS, "MP3", fails_on_short)
    results = run(["MP3", NOISY])
    assert results["conditions"]["MP3"]["n"] == 5 and list(results["comparisons"]) == [NOISY]
    assert results["gaps"] == {
        "difference of MP3": "1 utterances, such as r0, could be evaluated in one of the two alone"
    }
    assert "r0" in table_rows(results)[1][3]


def test_without_emotions_there_are_words_and_a_named_gap(run, recordings):
    results = run([NOISY], recordings(emotion=None))
    assert results["comparisons"] == {} and results["conditions"][NOISY]["wer"] is not None
    assert results["gaps"] == {f"difference of {NOISY}": "none of 6 references has an emotion"}
    assert table_rows(results)[1][2] == table_rows(results)[1][3] == "– (none of 6 references has an emotion)"


def test_recordings_left_out_are_counted(run, recordings, tmp_path):
    dataset = recordings()
    (tmp_path / "r2.wav").write_bytes(b"not a recording")
    results = run([NOISY], dataset)
    assert results["conditions"][NOISY]["n"] == 5 and list(results["comparisons"]) == [NOISY]
    assert results["gaps"]["left out"].startswith("1 recordings could not be evaluated as recorded, such as r2:")


@pytest.mark.parametrize("asked", [[], ["fog"], [NOISY, NOISY], [AS_RECORDED]])
def test_conditions_that_make_no_sense_are_refused(run, asked):
    with pytest.raises(ValueError, match=r"conditions are .*; they must be some of \['noise, 20 dB'"):
        run(asked)


def test_robustness_from_the_command_line(tiny_pair, recordings, tmp_path, capsys):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "model")
    recordings().save_to_disk(str(tmp_path / "data"))
    command = ["--model", str(tmp_path / "model"), "--corpus", str(tmp_path / "data"), "--split", "all"]
    command += ["--limit", "5"]
    command += ["--conditions", NOISY, "clipping", "--predictions", str(tmp_path / "kept"), "--resamples", "50"]
    command += ["--output", str(tmp_path / "out.json")]
    with pytest.raises(ValueError, match=r"it must end in \.png"):
        main([*command, "--picture", str(tmp_path / "out.svg")])
    assert not (tmp_path / "kept").exists()
    main([*command, "--picture", str(tmp_path / "out.png")])
    results = json.loads((tmp_path / "out.json").read_text())
    assert {"title", "command", "columns", "rows", "conditions", "comparisons", "gaps"} <= set(results)
    assert "5 utterances" in results["title"] and len(results["rows"]) == 3 and results["limit"] == 5
    shown = capsys.readouterr()
    assert "noise, 0 dB" in shown.out and "2 of 3: noise, 0 dB" in shown.err
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG" and (np.asarray(image.convert("L")) < 250).mean() > 0.01
    assert set(HARDER) == set(conditions.CONDITIONS) - {AS_RECORDED}


def test_predictions_of_other_references_are_refused(run, tmp_path):
    run([NOISY])
    path = tmp_path / "kept" / "noise-0-dB.jsonl"
    told = read_predictions(path)
    told[0]["reference"]["emotion"] = "bored"
    write_predictions(path, told)
    with pytest.raises(ValueError, match="references have another 'emotion'"):
        run([NOISY])
