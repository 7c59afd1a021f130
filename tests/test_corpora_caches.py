"""What is kept on disk is found by all that it depends on: a recording that changes is read again."""

import os
import shutil
import time
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from corpus_files import encoded, noise
from recordings_folder import recording, write_folder

from xser.corpora import espeak, espeak_languages, espeak_synthesis, load_corpus
from xser.corpora.audiofolder import CORPUS
from xser.corpora.cache import stamp
from xser.corpora.hub import CORPUS as HUB
from xser.corpora.kept import computed_once
from xser.corpora.prepare import Options, make_plan, prepare
from xser.evaluation import robustness
from xser.training import voices


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    return tmp_path / "cache"


TABLE = "file_name,emotion\nsub/a.wav,sad\nsub/b.wav,angry\n"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "clips", TABLE, recordings=("sub/a.wav", "sub/b.wav"))


def durations(folder) -> dict[str, float]:
    return {row["id"]: round(row["duration"], 3) for row in load_corpus(folder)}


def overwrite(path, data: bytes) -> None:
    """Other bytes in the same file: the folder around it does not change."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def test_a_broken_recording_that_is_repaired_in_place_comes_back(folder):
    whole = (folder / "sub/b.wav").read_bytes()
    overwrite(folder / "sub/b.wav", whole[:100])
    assert durations(folder) == {"sub/a": 0.2}
    overwrite(folder / "sub/b.wav", whole)
    assert durations(folder) == {"sub/a": 0.2, "sub/b": 0.2}


def test_a_recording_that_breaks_in_place_is_left_out(folder):
    assert len(durations(folder)) == 2
    overwrite(folder / "sub/b.wav", b"no recording")
    assert durations(folder) == {"sub/a": 0.2}


def test_another_length_in_place_is_another_duration(folder):
    durations(folder)
    overwrite(folder / "sub/b.wav", encoded(noise(5, 0.4)))
    assert durations(folder) == {"sub/a": 0.2, "sub/b": 0.4}


def test_another_recording_of_the_same_size_and_time_is_seen(folder):
    """Silence in the place of speech, its time set back as copying tools do."""
    durations(folder)
    path = folder / "sub/b.wav"
    before = path.stat()
    time.sleep(0.02)  # a clock that ticks more coarsely than that is none of ours
    overwrite(path, encoded(np.zeros(3_200, np.int16)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert durations(folder) == {"sub/a": 0.2}


def test_recordings_that_go_and_come_are_seen(folder):
    durations(folder)
    (folder / "sub/b.wav").unlink()
    assert durations(folder) == {"sub/a": 0.2}
    (folder / "sub/b.wav").write_bytes(recording("b"))
    assert len(durations(folder)) == 2


def test_what_a_link_leads_to_is_seen(folder, tmp_path):
    (tmp_path / "far.wav").write_bytes(encoded(noise(1, 0.3)))
    (folder / "sub/b.wav").unlink()
    (folder / "sub/b.wav").symlink_to(tmp_path / "far.wav")
    assert durations(folder)["sub/b"] == 0.3
    overwrite(tmp_path / "far.wav", encoded(noise(1, 0.5)))
    assert durations(folder)["sub/b"] == 0.5


def test_how_a_table_is_read_is_in_the_key(folder, caplog):
    assert load_corpus(folder)["emotion"] == ["sad", "angry"]
    assert load_corpus(folder, emotion_map={"sad": "gloomy"})["emotion"] == ["gloomy", "angry"]
    assert load_corpus(folder, emotion_map={"sad": None})["emotion"] == [None, "angry"]


def test_nothing_is_checked_again_where_nothing_changed(folder, monkeypatch):
    durations(folder)
    monkeypatch.setattr("xser.corpora.audiofolder.examine", lambda *args, **kwargs: pytest.fail("checked again"))
    assert len(durations(folder)) == 2


def test_half_of_what_is_kept_is_made_anew(folder, cache):
    durations(folder)
    for notes in cache.rglob("*.json"):
        notes.unlink()
    assert len(durations(folder)) == 2


def test_shards_that_change_in_place_are_read_again(folder, tmp_path):
    out = tmp_path / "out"
    prepare(CORPUS, folder, out, options=Options(format="parquet"))
    assert load_corpus(out)["train"]["emotion"] == ["sad", "angry"]
    (folder / "metadata.csv").write_text(TABLE.replace("sad", "bored"))
    prepare(CORPUS, folder, tmp_path / "new", options=Options(format="parquet"))
    for shard in (tmp_path / "new").glob("*.parquet"):
        shutil.copyfile(shard, out / shard.name)
    assert load_corpus(out)["train"]["emotion"] == ["bored", "angry"]


def keys(corpus, source, **options) -> str:
    return make_plan(corpus, source, options, Options()).key(512)


def test_a_run_of_prepare_goes_on_only_with_the_same_recordings(folder):
    before = keys(CORPUS, folder)
    assert keys(CORPUS, folder) == before
    overwrite(folder / "sub/b.wav", encoded(noise(5, 0.4)))
    changed = keys(CORPUS, folder)
    (folder / "sub/b.wav").unlink()
    assert len({before, changed, keys(CORPUS, folder)}) == 3


def test_recordings_that_a_data_set_stores_are_in_the_key_of_prepare(tmp_path):
    """Same rows, other bytes, in the same files."""
    source = tmp_path / "speech"

    def save(seed: int) -> None:
        audio = [{"bytes": encoded(noise(seed + i)), "path": None} for i in range(2)]
        datasets.Dataset.from_dict({"audio": audio}).save_to_disk(str(tmp_path / f"new{seed}"))
        source.mkdir(exist_ok=True)
        for path in (tmp_path / f"new{seed}").iterdir():
            shutil.copyfile(path, source / path.name)

    save(0)
    before = keys(HUB, source, mapping={"audio": "audio"})
    assert keys(HUB, source, mapping={"audio": "audio"}) == before
    save(7)
    assert keys(HUB, source, mapping={"audio": "audio"}) != before


def test_what_is_computed_from_a_recording_follows_it(folder):
    rows = load_corpus(folder).sort("id")
    count = [0]

    def length(audio: dict) -> np.ndarray:
        count[0] += 1
        return np.array([[len(open(audio["path"], "rb").read())]])

    first = computed_once("length-1", rows, length, "measuring")
    computed_once("length-1", rows, length, "measuring")
    assert count == [2]
    overwrite(folder / "sub/b.wav", encoded(noise(5, 0.4)))
    again = computed_once("length-1", rows, length, "measuring")
    assert count == [3] and again[0] == first[0] and again[1] != first[1]


def test_states_of_a_tower_depend_on_its_layers_and_on_whether_clips_are_normalised_and_padded(monkeypatch):
    kinds = []
    monkeypatch.setattr(voices, "computed_once", lambda kind, *rest: kinds.append(kind) or [])
    config = SimpleNamespace(num_hidden_layers=2, to_json_string=lambda: "{}")
    tower = SimpleNamespace(audio_tower=SimpleNamespace(config=config, state_dict=dict))
    cases = ((True, False, None), (False, False, None), (False, True, None), (False, True, [0, 2]), (False, True, [1]))
    for normalised, padded, layers in cases:
        model = SimpleNamespace(model=tower, config=SimpleNamespace(padded=padded, mixed_layers=layers))
        processor = SimpleNamespace(feature_extractor=SimpleNamespace(do_normalize=normalised))
        voices.Voices.hear_states(model, processor, [], 1.0)
    assert len(set(kinds)) == 5


def test_figures_under_conditions_are_of_the_recordings_as_they_are(folder, tmp_path):
    before = robustness._rows(load_corpus(folder))
    shutil.copytree(folder, tmp_path / "moved/clips")
    assert robustness._rows(load_corpus(tmp_path / "moved/clips")) == before
    overwrite(folder / "sub/b.wav", encoded(noise(99)))
    assert robustness._rows(load_corpus(folder)) != before


def test_a_stamp_is_none_where_there_is_no_file(tmp_path):
    assert stamp(tmp_path / "gone") is None and stamp("a\0b") is None and stamp("") is None


def test_speech_that_another_version_of_the_synthesiser_makes_is_another(monkeypatch):
    paths = [espeak.find(split="test", sizes={"test": 1}).rows[0]["audio"]["path"]]
    paths.append(espeak_languages.find(size=1).rows[0]["audio"]["path"])
    monkeypatch.setattr(espeak_synthesis, "version", lambda name: "9.9")
    assert espeak.find(split="test", sizes={"test": 1}).rows[0]["audio"]["path"] != paths[0]
    assert espeak_languages.find(size=1).rows[0]["audio"]["path"] != paths[1]
