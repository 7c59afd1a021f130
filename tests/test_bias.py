"""Figures by group: exact on predictions made by hand, a planted bias is found, and an even system has none."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import stats

from xser.evaluation.__main__ import main
from xser.evaluation.bias.figures import Group, Pair, false_alarms, unweighted_accuracy
from xser.evaluation.bias.groups import group_by, read_snr
from xser.evaluation.bias.measure import MAX_COMPARED, MIN_UTTERANCES, bias
from xser.evaluation.bias.table import largest, table_columns, table_rows
from xser.evaluation.predictions import PredictionError, write_predictions

EMOTIONS = ["angry", "happy", "sad"]
UA, FALSE_SAD = "ua", "false_alarms.sad"


def prediction(number, emotion, truth, **known):
    return {
        "id": f"u{number}",
        "emotion": emotion,
        "scores": None,
        "reference": {"emotion": truth, "speaker": f"s{number % 6}", "gender": None, "duration": 1.0} | known,
    }


def by_hand(angry, happy, sad, **known):
    """24 utterances, 8 of each emotion: how often each was called angry, happy and sad."""
    pairs = [
        (EMOTIONS[answer], truth)
        for truth, row in zip(EMOTIONS, (angry, happy, sad), strict=True)
        for answer, times in enumerate(row)
        for _ in range(times)
    ]
    return [prediction(i, answer, truth, **known) for i, (answer, truth) in enumerate(pairs)]


def renamed(predictions, prefix, **known):
    return [
        p
        | {
            "id": prefix + p["id"],
            "reference": p["reference"] | {"speaker": prefix + p["reference"]["speaker"]} | known,
        }
        for p in predictions
    ]


def simulated(rates, seed, speakers=8, each=45, spread=0.0, leaning=0.0):
    """Predictions of two genders: right at each's rate, with speakers apart from it by chance; wrong ones at random.

    `leaning` is how often what men say that is not sad is called sad.
    """
    rng = np.random.default_rng(seed)
    made = []
    for gender, rate in zip(("female", "male"), rates, strict=True):
        for speaker in range(speakers):
            own = np.clip(rate + spread * rng.standard_normal(), 0, 1)
            for number in range(each):
                truth = EMOTIONS[number % 3]
                answer = truth if rng.random() < own else str(rng.choice([e for e in EMOTIONS if e != truth]))
                if gender == "male" and rng.random() < leaning:
                    answer = "sad"
                known = {"speaker": f"{gender}{speaker}", "gender": gender, "duration": float(rng.uniform(1, 4))}
                made.append(prediction(len(made), answer, truth, **known))
    return made


def test_figures_of_a_group_are_those_counted_by_hand():
    women = renamed(by_hand([8, 0, 0], [2, 6, 0], [0, 4, 4]), "f", gender="female")
    men = renamed(by_hand([8, 0, 0], [0, 8, 0], [4, 0, 4]), "m", gender="male")
    results = bias([*women, *men], ["gender"], resamples=200)
    female, male = results["attributes"]["gender"]["groups"]
    assert (female["name"], female["n"], female["speakers"]) == ("female", 24, 6)
    assert female[UA]["value"] == pytest.approx((8 / 8 + 6 / 8 + 4 / 8) / 3) and female[UA]["n"] == 24
    assert female["emotions"]["sad"]["recall"]["value"] == 4 / 8 and female["emotions"]["sad"]["recall"]["n"] == 8
    alarms = {emotion: of["false_alarms"]["value"] for emotion, of in female["emotions"].items()}
    assert alarms == {"angry": 2 / 16, "happy": 4 / 16, "sad": 0} and male[UA]["value"] == pytest.approx(2.5 / 3)
    assert male["emotions"]["angry"]["false_alarms"] == pytest.approx(
        {"value": 4 / 16, "low": pytest.approx(0.2, abs=0.2), "high": pytest.approx(0.5, abs=0.3), "n": 16}
    )
    overall = results["overall"]
    assert overall["n"] == 48 and overall["emotions"]["angry"]["false_alarms"]["value"] == 6 / 32
    compared = largest(results["attributes"]["gender"], UA)
    assert (compared["above"], compared["below"]) == ("male", "female")
    assert compared["value"] == pytest.approx(0.25 / 3) and compared["low"] < compared["value"] < compared["high"]
    assert results["comparisons"] == 1 + 3


def test_an_emotion_that_is_only_answered_has_false_alarms_and_no_answer_is_none():
    women = by_hand([8, 0, 0], [0, 8, 0], [0, 0, 8], gender="female")
    women[0]["emotion"], women[1]["emotion"] = "bored", None
    group = bias(women, ["gender"], resamples=50)["attributes"]["gender"]["groups"][0]
    assert group["emotions"]["bored"]["false_alarms"]["value"] == 1 / 24
    assert group["emotions"]["bored"]["recall"] is None and "no reference" in group["gaps"]["recall.bored"]
    assert group["emotions"]["angry"]["recall"]["value"] == 6 / 8 and group[UA]["value"] == pytest.approx(2.75 / 3)
    assert sum(of["false_alarms"]["value"] for of in group["emotions"].values()) == 1 / 24


def test_calibration_is_told_where_there_are_scores():
    women = by_hand([8, 0, 0], [4, 4, 0], [0, 0, 8], gender="female")
    without = bias(women, ["gender"], resamples=50)
    assert without["overall"]["ece"] is None
    for each in women:
        each["scores"] = dict.fromkeys(EMOTIONS, 0.1) | {each["emotion"]: 0.8}
    results = bias(women, ["gender"], resamples=50)
    assert (
        results["overall"]["ece"]["value"] == pytest.approx(abs(0.8 - 20 / 24))
        and results["overall"]["ece"]["n"] == 24
    )


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_a_planted_bias_is_found(spread):
    found = bias(simulated((0.9, 0.5), 0, spread=spread), resamples=500)
    compared = largest(found["attributes"]["gender"], UA)
    assert compared["above"] == "female" and compared["p_holm"] < 0.01 and compared["of"] == "speakers"
    assert compared["low"] < 0.4 < compared["high"]


def test_false_alarms_that_lean_are_found():
    found = bias(simulated((0.8, 0.8), 0, leaning=0.3), ["gender"], resamples=500)
    compared = largest(found["attributes"]["gender"], FALSE_SAD)
    assert compared["above"] == "male" and compared["p_holm"] < 0.01 and compared["value"] > 0.2
    assert largest(found["attributes"]["gender"], "false_alarms.angry")["p_holm"] > 0.05


def test_an_even_system_shows_none():
    """Of 40 even systems whose speakers differ, no more than a few have any difference in the whole table."""
    flagged = 0
    for seed in range(40):
        results = bias(simulated((0.75, 0.75), seed, 4, 30, spread=0.1), ["gender", "length"], resamples=300)
        made = [c for attribute in results["attributes"].values() for c in attribute["comparisons"]]
        assert len(made) == results["comparisons"] == (1 + 3) * 4
        flagged += min(comparison["p_holm"] for comparison in made) < 0.05
    assert flagged <= 5  # at 5%, more come up in 1.4% of cases


def test_groups_without_a_speaker_in_common_are_compared_after_welch():
    women, men = (simulated((0.75, 0.6), 3, spread=0.15)[part] for part in (slice(0, 360), slice(360, 720)))
    one, other = (
        Group([p["emotion"] for p in part], [p["reference"]["emotion"] for p in part],
              [p["reference"]["speaker"] for p in part], EMOTIONS, 4000)
        for part in (women, men)
    )  # fmt: skip
    means = [
        [np.mean([p["emotion"] == p["reference"]["emotion"] for p in part if p["reference"]["speaker"] == speaker])
         for speaker in sorted({p["reference"]["speaker"] for p in part})]
        for part in (women, men)
    ]  # fmt: skip
    pair = Pair(one, other, 4000)
    found = pair.difference(unweighted_accuracy())
    expected = stats.ttest_ind(*means, equal_var=False)  # every speaker said as much of each emotion
    assert not pair.shared and found.of == "speakers"
    assert found.value == pytest.approx(np.mean(means[0]) - np.mean(means[1]))
    assert np.log10(found.p) == pytest.approx(np.log10(expected.pvalue), abs=0.5)


def test_groups_that_share_speakers_are_compared_speaker_by_speaker():
    """Speakers differ greatly, and each is a little worse in the second group: only a paired test can see that."""
    rng = np.random.default_rng(1)
    groups = []
    for loss in (0.0, 0.15):
        truth, answers, speakers = [], [], []
        for speaker in range(8):
            rate = 0.25 + 0.1 * speaker - loss
            for number in range(150):
                truth.append(EMOTIONS[number % 3])
                answers.append(truth[-1] if rng.random() < rate else "none")
                speakers.append(f"s{speaker}")
        groups.append(Group(answers, truth, speakers, EMOTIONS, 1000))
    paired = Pair(*groups, 1000)
    one, other = groups
    other.speakers = [f"other {speaker}" for speaker in other.speakers]
    unpaired = Pair(one, other, 1000)
    assert paired.shared and not unpaired.shared
    assert paired.difference(unweighted_accuracy()).p < 0.001 < 0.1 < unpaired.difference(unweighted_accuracy()).p


def test_where_all_resamples_agree_there_is_still_an_error():
    """No false alarm among 30 against 3 of 30: no bootstrap varies the first, and the exact test finds nothing."""
    speakers = [f"s{i % 3}" for i in range(60)]
    truth = ["angry", "happy"] * 15 + ["sad"] * 30
    answers = list(truth)
    none = Group(answers, truth, speakers, EMOTIONS, 500)
    answers = ["sad"] * 3 + truth[3:]
    some = Group(answers, truth, [f"t{i % 3}" for i in range(60)], EMOTIONS, 500)
    found = Pair(some, none, 500).difference(false_alarms(EMOTIONS.index("sad")))
    assert found.value == pytest.approx(0.1) and found.p > 0.05 < stats.fisher_exact([[3, 27], [0, 30]]).pvalue
    same = Pair(none, none, 500).difference(false_alarms(0))
    assert (same.value, same.p) == (0, 1) and same.low < 0 < same.high


def test_length_is_cut_at_the_terciles_with_seconds_in_the_names():
    predictions = [prediction(i, "sad", "sad", duration=1 + i / 10) for i in range(31)]
    grouping = group_by("length", [*predictions, prediction(99, "sad", "sad", duration=None)])
    assert list(grouping.groups) == ["below 2 s", "2 to 3 s", "3 s and more"] and grouping.unknown == 1
    assert [len(rows) for rows in grouping.groups.values()] == [10, 10, 11] and grouping.groups["2 to 3 s"][0] == 10
    alike = group_by("length", [prediction(i, "sad", "sad") for i in range(3)])
    assert alike.groups == {"1 s and more": [0, 1, 2]}


def test_noise_is_cut_at_10_20_and_30_db():
    snr_db = {f"u{i}": level for i, level in enumerate((-3, 9.9, 10, 19.9, 35))}
    grouping = group_by("snr", [prediction(i, "sad", "sad") for i in range(6)], snr_db)
    assert grouping.groups == {"below 10 dB": [0, 1], "10 to 20 dB": [2, 3], "30 dB and more": [4]}
    assert grouping.unknown == 1


def test_the_ratio_is_read_from_what_annotate_writes_and_from_json(tmp_path):
    lines = {"id": ["a", "a", "b", "c"], "slot": ["pitch", "volume", "pitch", "pitch"],
             "snr_db": [12.5, 12.5, None, float("nan")]}  # fmt: skip
    pq.write_table(pa.table(lines), tmp_path / "descriptors.parquet")
    assert read_snr(tmp_path / "descriptors.parquet") == {"a": 12.5}
    (tmp_path / "snr.json").write_text(json.dumps({"a": 12.5, "b": None}))
    assert read_snr(tmp_path / "snr.json") == {"a": 12.5}


def test_files_that_tell_no_ratio_are_refused(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "snr": [3.0]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other.parquet has the columns \['id', 'snr'\]; 'id' and 'snr_db' must be"):
        read_snr(tmp_path / "other.parquet")
    pq.write_table(pa.table({"id": ["a", "a"], "snr_db": [3.0, 4.0]}), tmp_path / "two.parquet")
    with pytest.raises(ValueError, match=r"tells 3.00 and 4.00 dB of a"):
        read_snr(tmp_path / "two.parquet")
    for name, text, message in (
        ("none.parquet", "x", "is not Parquet"),
        ("a.json", "{", "is not JSON"),
        ("b.json", "[1]", "must be an object"),
        ("c.json", '{"a": "loud"}', "a is 'loud'; it must be a number of dB"),
        ("d.csv", "a,1", "must be a descriptors.parquet"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            read_snr(tmp_path / name)


def test_what_cannot_be_told_is_a_gap_with_its_reason():
    many = by_hand([8, 0, 0], [0, 8, 0], [0, 0, 8], gender="female")
    one_speaker = renamed(many, "m", gender="male", speaker="max")
    without = renamed([p for p in many if p["reference"]["emotion"] != "sad"] * 2, "d", gender="diverse")
    few = renamed(many[: MIN_UTTERANCES - 1], "x", gender="not said")
    predictions = [*many, *one_speaker, *without, *few, prediction(99, "sad", "sad")]
    results = bias(predictions, ["gender", "language", "snr"], resamples=50)
    groups = {group["name"]: group for group in results["attributes"]["gender"]["groups"]}
    assert groups["female"]["gaps"] == {} and results["attributes"]["gender"]["unknown"] == 1
    assert groups["male"]["gaps"] == {"group": "one speaker (max): the figures would be this speaker's"}
    assert groups["not said"]["gaps"] == {"group": "19 utterances; a group needs 20"}
    assert groups["male"][UA] is None and groups["male"]["n"] == 24 and groups["male"]["speakers"] == 1
    assert groups["diverse"][UA] is None and groups["diverse"]["emotions"]["angry"]["recall"]["value"] == 1
    assert groups["diverse"]["gaps"][UA].startswith("0 of sad; a UA needs 5 utterances of every emotion")
    assert groups["diverse"]["gaps"]["recall.sad"] == "0 utterances of sad; a recall needs 5"
    compared = {comparison["figure"] for comparison in results["attributes"]["gender"]["comparisons"]}
    assert compared == {f"false_alarms.{emotion}" for emotion in EMOTIONS}
    assert results["attributes"]["language"]["gaps"]["groups"] == "none of 100 utterances has a known language"
    assert "--noise" in results["attributes"]["snr"]["gaps"]["groups"]
    text = json.dumps(table_rows(results), ensure_ascii=False)
    for shown in ("one speaker (max)", "19 utterances; a group needs 20", "none of 100", "0 of sad", "--noise"):
        assert shown in text


def test_two_speakers_a_group_are_described_and_not_compared():
    halves = [renamed(by_hand([8, 0, 0], [0, 8, 0], [0, 4, 4]), prefix, gender=prefix) for prefix in ("f", "m")]
    for part in halves:
        for number, each in enumerate(part):
            each["reference"]["speaker"] = f"{each['reference']['gender']}{number % 2}"
    attribute = bias([*halves[0], *halves[1]], ["gender"], resamples=50)["attributes"]["gender"]
    assert attribute["comparisons"] == [] and "the difference would be theirs" in attribute["gaps"]["f and m"]
    assert [group[UA]["value"] for group in attribute["groups"]] == pytest.approx([2.5 / 3] * 2)
    lengths = [p | {"reference": p["reference"] | {"duration": i // 2 % 2 + 1.0}} for i, p in enumerate(halves[0] * 3)]
    attribute = bias(lengths, ["length"], resamples=50)["attributes"]["length"]
    assert {comparison["of"] for comparison in attribute["comparisons"]} == {"utterances of these speakers alone"}


def test_speakers_are_groups_of_one_speaker_each():
    predictions = simulated((0.9, 0.9), 0, 2, 60)
    attribute = bias(predictions, ["speaker"], resamples=200)["attributes"]["speaker"]
    assert [group["name"] for group in attribute["groups"]] == ["female0", "female1", "male0", "male1"]
    assert all(group[UA] is not None and group["speakers"] == 1 for group in attribute["groups"])
    assert {c["of"] for c in attribute["comparisons"]} == {"utterances of these speakers alone"}
    assert len(attribute["comparisons"]) == 6 * 4


def test_too_many_groups_are_described_and_not_compared():
    predictions = simulated((0.9, 0.9), 0, (MAX_COMPARED + 2) // 2, 24)
    attribute = bias(predictions, ["speaker"], resamples=20)["attributes"]["speaker"]
    assert attribute["comparisons"] == [] and attribute["gaps"]["comparisons"].startswith("32 groups; up to 30")
    assert len(attribute["groups"]) == 32 and attribute["groups"][0][UA] is not None


def test_unknown_speakers_are_named():
    predictions = [p | {"reference": p["reference"] | {"speaker": None}} for p in simulated((0.9, 0.9), 0, 2, 60)]
    results = bias(predictions, ["gender", "speaker"], resamples=50)
    assert results["overall"]["speakers"] is None and results["overall"]["interval_of"] == "utterances"
    assert results["gaps"]["speakers"].startswith("240 of 240 references have no speaker")
    assert results["attributes"]["speaker"]["gaps"]["groups"] == "none of 240 utterances has a known speaker"
    assert {c["of"] for c in results["attributes"]["gender"]["comparisons"]} == {"utterances"}


def test_what_makes_no_sense_is_refused():
    predictions = by_hand([8, 0, 0], [0, 8, 0], [0, 0, 8])
    for by in ([], ["gender", "gender"], ["shoe size"]):
        with pytest.raises(ValueError, match="must be"):
            bias(predictions, by, resamples=10)
    with pytest.raises(ValueError, match="none of 24 utterances, such as 'u0', has an SNR"):
        bias(predictions, ["snr"], {"v0": 3.0}, resamples=10)
    with pytest.raises(ValueError, match="an SNR is given, and by is"):
        bias(predictions, ["gender"], {"u0": 3.0}, resamples=10)
    with pytest.raises(PredictionError, match="none of 1 references has an emotion"):
        bias([prediction(0, "sad", None)], resamples=10)
    for fact, value, attribute in (
        ("gender", 3, "gender"),
        ("duration", "long", "length"),
        ("duration", -1, "length"),
    ):
        with pytest.raises(PredictionError, match=f"u0: {fact} of the reference is"):
            bias([prediction(0, "sad", "sad", **{fact: value})] * 20, [attribute], resamples=10)


def test_bias_from_the_command_line(tmp_path, capsys):
    write_predictions(tmp_path / "mine.jsonl", simulated((0.9, 0.5), 0))
    (tmp_path / "snr.json").write_text(json.dumps({f"u{i}": 5.0 + i % 30 for i in range(720)}))
    mine, output, picture = (str(tmp_path / name) for name in ("mine.jsonl", "bias.json", "bias.png"))
    by = ["--by", "gender", "length", "snr", "language", "--noise", str(tmp_path / "snr.json")]
    assert main(["bias", mine, *by, "--resamples", "200", "--output", output, "--picture", picture]) == 0
    results = json.loads((tmp_path / "bias.json").read_text())
    assert results["columns"][:6] == ["by", "group", "n", "speakers", "UA (95%)", "ECE"]
    assert results["columns"] == table_columns(results)
    assert {len(row) for row in results["rows"]} == {len(results["columns"])}
    assert all(isinstance(cell, str) for row in results["rows"] for cell in row)
    assert {"title", "command"} <= set(results) and "female over male by 0.3" in capsys.readouterr().out
    assert [row[1] for row in results["rows"] if row[0] == "snr"][:4] == [
        "below 10 dB", "10 to 20 dB", "20 to 30 dB", "30 dB and more",
    ]  # fmt: skip
    with Image.open(picture) as image:
        assert image.format == "PNG" and (np.asarray(image.convert("L")) < 250).mean() > 0.01


def test_bias_of_a_table_takes_the_references_of_another_file(tmp_path):
    predictions = simulated((0.9, 0.5), 0)
    write_predictions(tmp_path / "mine.jsonl", predictions)
    rows = [f"{p['id']},{p['reference']['emotion']}" for p in predictions]
    (tmp_path / "other.csv").write_text("\n".join(["id,emotion", *rows]))
    mine, other, output = (str(tmp_path / name) for name in ("mine.jsonl", "other.csv", "out.json"))
    options = ["--by", "gender", "--resamples", "50", "--output", output]
    assert main(["bias", other, "--references", mine, *options]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["overall"][UA]["value"] == 1


def test_the_command_line_names_what_is_wrong_and_writes_nothing(tmp_path, capsys):
    write_predictions(tmp_path / "mine.jsonl", simulated((0.9, 0.5), 0))
    mine, output = str(tmp_path / "mine.jsonl"), str(tmp_path / "out.json")
    assert main(["bias", mine, "--output", output, "--picture", str(tmp_path / "bias.svg")]) == 2
    assert "it must end in .png" in capsys.readouterr().err
    assert main(["bias", mine, "--output", output, "--noise", str(tmp_path / "gone.parquet")]) == 2
    assert "gone.parquet" in capsys.readouterr().err and not (tmp_path / "out.json").exists()
