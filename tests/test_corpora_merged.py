"""Several corpora as one: rows, labels and splits stay, names that two corpora share become different."""

import json

import numpy as np
import pytest
import soundfile as sf

from xser.corpora import load_corpus
from xser.corpora.__main__ import main
from xser.corpora.merged import find
from xser.training.provenance import binding_terms, trained_on


@pytest.fixture
def folders(tmp_path):
    """`home`, three recordings with splits and a slot of its own, and `work` and `shop`, without either."""
    generator = np.random.default_rng(0)
    tables = {
        "home": "file_name,text,emotion,speaker,split,tempo\na.wav,one,happy,anna,train,even\n"
        "b.wav,two,sad,ben,train,uneven\nc.wav,three,sad,cleo,test,even\n",
        "work": "file_name,text,emotion,speaker\na.wav,four,bored,anna\nd.wav,five,,\n",
        "shop": "file_name,text\ne.wav,six\n",
    }
    for name, table in tables.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metadata.csv").write_text(table)
        for line in table.splitlines()[1:]:
            sf.write(folder / line.split(",")[0], 0.1 * generator.standard_normal(16_000), 16_000)
    return tmp_path / "home", tmp_path / "work", tmp_path / "shop"


@pytest.fixture
def prepared(folders, tmp_path):
    """Both prepared."""
    home = tmp_path / "prepared" / "home"
    assert main(["prepare", str(folders[0]), "--out", str(home), "--descriptors", "tempo"]) == 0
    return home, folders[1]


def test_rows_keep_what_is_known_of_them(prepared, tmp_path):
    out = tmp_path / "all"
    assert main(["prepare", "merged", "--corpora", *map(str, prepared), "--out", str(out)]) == 0
    corpus = load_corpus(out)
    train = {row["text"]: row for row in corpus["train"]}
    assert {name: len(part) for name, part in corpus.items()} == {"train": 4, "test": 1}
    assert train["one"]["descriptors"]["tempo"] == "even" and train["four"]["descriptors"]["tempo"] is None
    assert [train[text]["emotion"] for text in ("two", "four", "five")] == ["sad", "bored", None]
    assert [train[text]["corpus"] for text in ("two", "four")] == ["home", "work"]
    assert corpus["test"][0]["speaker"] == "cleo" and corpus["test"][0]["duration"] == pytest.approx(1.0)


def test_recordings_are_those_of_the_corpora(prepared, folders, tmp_path):
    out = tmp_path / "all"
    main(["prepare", "merged", "--corpora", *map(str, prepared), "--out", str(out)])
    row = next(row for row in load_corpus(out)["train"] if row["text"] == "four")
    assert row["audio"]["bytes"] == (folders[1] / "a.wav").read_bytes()


def test_speakers_and_ids_of_the_same_name_become_different(prepared):
    rows = find(corpora=[str(folder) for folder in prepared]).rows
    assert [row["speaker"] for row in rows] == ["home:anna", "ben", "cleo", "work:anna", None]
    assert len({row["id"] for row in rows}) == len(rows)


def test_the_report_names_corpora_without_their_places(prepared, tmp_path):
    out = tmp_path / "all"
    main(["prepare", "merged", "--corpora", *map(str, prepared), "--out", str(out)])
    report = json.loads((out / "report.json").read_text())
    assert report["options"]["corpora"] == ["home", "work"]
    assert str(tmp_path) not in (out / "report.json").read_text()


def test_a_missing_recording_is_named_and_loses_no_other(prepared, folders, caplog):
    (folders[1] / "d.wav").unlink()
    found = find(corpora=[str(folder) for folder in prepared])
    assert len(found.rows) == 4 and "d.wav: the file is missing" in caplog.text


@pytest.mark.parametrize("corpora", [[], ["home"], ["home", "home"]])
def test_fewer_than_two_corpora_are_refused(corpora, folders, tmp_path):
    given = [str(tmp_path / name) for name in corpora]
    with pytest.raises(ValueError, match="two"):
        find(corpora=given)


def test_what_is_no_corpus_is_named_in_a_line(folders, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", "merged", "--corpora", str(folders[1]), str(tmp_path / "none"), "--out", str(tmp_path / "o")])
    assert stopped.value.code == 2 and "none" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_what_is_trained_on_it_names_every_corpus_and_its_terms(prepared, folders, tmp_path):
    home, out = prepared[0], tmp_path / "all"
    report = json.loads((home / "report.json").read_text()) | {"corpus": "nemo", "licence": "CC BY-NC-SA 4.0"}
    (home / "report.json").write_text(json.dumps(report))
    main(["prepare", "merged", "--corpora", *map(str, prepared), "--out", str(out)])
    assert trained_on([str(out)], None, None) == ["nemo", "work"]
    assert binding_terms(str(out)) == [{"corpus": "nemo", "licence": "CC BY-NC-SA 4.0"}]
    assert main(["prepare", "merged", "--corpora", str(out), str(folders[2]), "--out", str(tmp_path / "more")]) == 0
    assert trained_on([str(tmp_path / "more")], None, None) == ["nemo", "work", "shop"]


def test_a_corpus_without_folds_is_one_beside_folds(prepared, folders):
    home, work = prepared
    table = (work / "metadata.csv").read_text().splitlines()
    lines = [f"{line},{fold}" for line, fold in zip(table, ("fold", "1", "2"), strict=True)]
    corpora = [str(home), str(work), str(folders[2])]
    assert all(row["fold"] is None for row in find(corpora=corpora).rows)
    (work / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert [row["fold"] for row in find(corpora=corpora).rows] == ["home", "home", "home", "1", "2", "shop"]


def test_recordings_of_other_emotions_are_left_out(prepared, folders):
    corpora = [*map(str, prepared), str(folders[2])]
    rows = find(corpora=corpora, emotions=["sad", "bored"]).rows
    assert [row["text"] for row in rows] == ["two", "three", "four", "five", "six"]
    with pytest.raises(ValueError, match=r"emotions has \['glad'\], which no recording has; there are \['bored', 'h"):
        find(corpora=corpora, emotions=["glad", "sad"])


def test_emotions_are_an_option_of_the_command(prepared, folders, tmp_path):
    out = tmp_path / "all"
    given = ["--corpora", *map(str, prepared), str(folders[2]), "--emotions", "bored", "--out", str(out), "--no_split"]
    assert main(["prepare", "merged", *given]) == 0
    assert sorted(load_corpus(out)["train"]["text"]) == ["five", "four", "six"]
    assert json.loads((out / "report.json").read_text())["options"]["emotions"] == ["bored"]


def test_transcripts_of_a_corpus_are_left_out_where_it_is_asked_for(prepared):
    corpora = list(map(str, prepared))
    rows = find(corpora=corpora, without_text=["home"]).rows
    assert [row["text"] for row in rows if row["corpus"] == "home"] == [None] * 3
    assert [row["text"] for row in rows if row["corpus"] == "work"] == ["four", "five"]
    with pytest.raises(ValueError, match=r"without_text has \['hom'\].*'home', 'work'"):
        find(corpora=corpora, without_text=["hom"])
