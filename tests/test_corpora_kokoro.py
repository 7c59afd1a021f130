"""kokoro: levels that clips were made with become rows, and neither a voice nor a sentence is on both sides."""

from pathlib import Path

import pytest
from corpus_files import all_rows, by, encoded, left_out, noise

from xser.corpora import load_corpus
from xser.corpora.catalogue import find_corpus
from xser.corpora.kokoro import CORPUS, SLOTS, UNSEEN_VOICES, find, part_of_sentence
from xser.corpora.prepare import prepare
from xser.corpora.schema import LEVELS

SHARED = Path(__file__).parents[2] / "shared" / "data" / "kokoro"
HEADER = "file_name,text,speaker,gender,language,pitch,volume,speed,range,duration"
SENTENCES = {  # by what their words' hash says
    "train": "What a magnificent feline.",
    "validation": "It is late.",
    "test": "She sings in the morning.",
}


def line(name: str, text: str = "What a magnificent feline.", speaker: str = "af_alloy", levels: str = "") -> str:
    return f'audio/{name}.ogg,"{text}",{speaker},female,en,{levels or "low,quiet,slow,expressive"},1.5'


def folder(root: Path, *tables: list[str], header: str = HEADER) -> Path:
    """metadata.csv, or metadata-0.csv and more, with a recording for each line."""
    (root / "audio").mkdir(parents=True)
    for number, lines in enumerate(tables):
        name = "metadata.csv" if len(tables) == 1 else f"metadata-{number}.csv"
        (root / name).write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        for index, each in enumerate(lines):
            (root / each.split(",")[0]).write_bytes(encoded(noise(100 * number + index, 0.5), "OGG", subtype="OPUS"))
    return root


def test_a_line_becomes_a_row_with_the_levels_it_was_made_with(tmp_path):
    [row] = find(folder(tmp_path / "k", [line("af_alloy_00002")])).rows
    known = {name: value for name, value in row.items() if value is not None}
    assert known.pop("audio")["path"].endswith("audio/af_alloy_00002.ogg")
    levels = {"pitch": "low", "volume": "quiet", "speed": "slow", "range": "expressive"}
    assert known.pop("descriptors") == {**levels, "tone": None, "emphasis": None}
    assert known == {
        "id": "af_alloy_00002", "text": "What a magnificent feline.", "speaker": "af_alloy", "gender": "female",
        "language": "en", "corpus": "kokoro", "split": "train",
    }  # fmt: skip


def test_tables_of_several_processes_are_one_corpus_and_a_clip_counts_once(tmp_path):
    root = folder(tmp_path / "k", [line("a_0"), line("a_2")], [line("a_1"), line("a_2")])
    found = find(root)
    assert [row["id"] for row in found.rows] == ["a_0", "a_1", "a_2"]
    assert found.left_out == {"audio/a_2.ogg (metadata-1.csv, line 3)": "an earlier line has the recording a_2"}


def test_case_and_punctuation_make_no_other_sentence():
    for part, text in SENTENCES.items():
        assert {part_of_sentence(said) for said in (text, text.upper(), text.replace(".", "…"), f' "{text}" ')} == {
            part
        }
    assert part_of_sentence(None) == part_of_sentence("...") == "train"


def test_held_out_sentences_are_about_a_fifth_and_a_tenth():
    parts = [part_of_sentence(f"sentence {number}") for number in range(4_000)]
    assert abs(parts.count("test") / 4_000 - 0.2) < 0.03 and abs(parts.count("validation") / 4_000 - 0.1) < 0.02


def test_voice_and_sentence_decide_the_split(tmp_path):
    voices = ("af_alloy", "bm_lewis")
    lines = [line(f"{v}_{p}", text, v) for v in voices for p, text in SENTENCES.items()]
    split_of = {row["id"]: row["split"] for row in find(folder(tmp_path / "k", lines)).rows}
    assert split_of == {
        "af_alloy_train": "train", "af_alloy_validation": "validation", "af_alloy_test": "test",
        "bm_lewis_train": "adapt", "bm_lewis_validation": "adapt", "bm_lewis_test": "test_unseen",
    }  # fmt: skip


def test_further_clips_move_no_clip(tmp_path):
    few = [line(f"c_{number}", f"sentence {number}", UNSEEN_VOICES[number % 8]) for number in range(16)]
    more = [line(f"d_{number}", f"sentence {number}", f"af_new_{number}") for number in range(40)]
    before, after = (find(folder(tmp_path / name, of)).rows for name, of in (("a", few), ("b", few + more)))
    assert {row["id"]: row["split"] for row in before}.items() <= {row["id"]: row["split"] for row in after}.items()


def test_other_voices_can_be_held_out_or_none(tmp_path):
    root = folder(tmp_path / "k", [line("a", speaker="af_alloy"), line("b", speaker="af_sky")])

    def splits(**options):
        return {row["speaker"]: row["split"] for row in find(root, **options).rows}

    assert splits() == {"af_alloy": "train", "af_sky": "adapt"}
    assert splits(unseen_voices=["af_alloy"]) == {"af_alloy": "adapt", "af_sky": "train"}
    assert splits(unseen_voices=["none"]) == {"af_alloy": "train", "af_sky": "train"}
    with pytest.raises(
        ValueError, match=r"unseen_voices \['am_puck'\] are not there; there are \['af_alloy', 'af_sky'"
    ):
        splits(unseen_voices=["am_puck"])


def test_each_bad_line_and_file_is_named_and_loses_no_other(tmp_path):
    lines = [
        line("good"), line("shrill", levels="shrill,quiet,slow,flat"), line("gone"), line("nobody", speaker=""),
        line("unknown", levels=",?,,"), line("broken"),
    ]  # fmt: skip
    root = folder(tmp_path / "k", lines)
    with (root / "metadata.csv").open("a") as file:
        file.write("audio/cut.ogg,a line that was\n")
    (root / "audio" / "gone.ogg").unlink()
    (root / "audio" / "broken.ogg").write_bytes(b"no recording")
    (root / "audio" / "extra.ogg").write_bytes(b"no line")
    report = prepare(CORPUS, root, tmp_path / "out")
    reasons = left_out(report)
    assert reasons.pop("audio/broken.ogg").startswith("not readable as audio")
    assert reasons == {
        "audio/shrill.ogg (metadata.csv, line 3)": "pitch 'shrill' is not one of ['low', 'normal', 'high']",
        "audio/gone.ogg (metadata.csv, line 4)": "the recording is missing",
        "audio/nobody.ogg (metadata.csv, line 5)": "speaker is empty: levels are relative to the voice",
        "metadata.csv, line 8": "its number of cells is not that of the header",
        "audio/extra.ogg": "no table has a line for it",
    }
    rows = {row["id"]: row["descriptors"] for row in all_rows(tmp_path / "out")}
    assert rows.keys() == {"good", "unknown"} and set(rows["unknown"].values()) == {None}


@pytest.mark.parametrize(
    ("header", "lines", "error", "named"),
    [
        (HEADER.replace(",range", ""), [line("a")], ValueError, r"metadata\.csv: columns \['range'\] are missing"),
        (HEADER, [line("a", levels="x,x,x,x")], ValueError, r"no line of \['metadata.csv'\] is left: .*pitch 'x'"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_names_it(header, lines, error, named, tmp_path):
    with pytest.raises(error, match=named):
        find(folder(tmp_path / "k", lines, header=header))


def test_another_folder_is_not_this_corpus(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        FileNotFoundError, match=r"looked for metadata.csv, or metadata-0.csv and more; there is notes"
    ):
        find(tmp_path)


def test_prepared_it_loads_by_split_and_range_is_no_descriptor_of_its_own(tmp_path):
    lines = [line(f"a_{number}", f"sentence {number}") for number in range(12)]
    report = prepare(find_corpus("kokoro"), folder(tmp_path / "k", lines), tmp_path / "out")
    assert "no sentence is in two" in report["splitting"] and report["licence"].startswith("Apache-2.0")
    before = {row["id"]: row["descriptors"]["range"] for row in all_rows(tmp_path / "out")}
    assert set(load_corpus(tmp_path / "out")) == {"train", "validation", "test"}
    assert set(before.values()) == {"expressive"} and report["own_descriptors"] == {}


@pytest.mark.skipif(not (SHARED / "metadata.csv").is_file(), reason="the corpus kokoro is not beside this checkout")
def test_the_real_folder_is_read_whole_and_parts_voices_and_sentences():
    found = find(SHARED)
    assert len(found.rows) == 952 and found.left_out == {}
    assert by(found.rows, "split") == {"train": 573, "validation": 79, "test": 143, "adapt": 129, "test_unseen": 28}
    assert all(row["descriptors"][slot] in LEVELS[slot] for row in found.rows for slot in SLOTS)
    texts, voices = ({split: set() for split in by(found.rows, "split")} for _ in range(2))
    for row in found.rows:
        texts[row["split"]].add(row["text"].casefold())
        voices[row["split"]].add(row["speaker"])
    assert not (texts["train"] | texts["validation"] | texts["adapt"]) & (texts["test"] | texts["test_unseen"])
    assert not texts["train"] & texts["validation"]
    assert voices["train"] == voices["test"] and not voices["train"] & voices["test_unseen"]
    assert voices["adapt"] == voices["test_unseen"] == {"af_river", "am_liam", "bf_alice", "bm_daniel"}
