"""Which recordings are heard, which are left out and why, and which clusters their frames are given."""

import csv
import logging
import types
import warnings

import numpy as np
import pytest
import soundfile
import torch
from tower_tones import TINY_TOWER, tone
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from xser.pretraining import screening, targets
from xser.pretraining.arguments import TowerArguments, TowerDataArguments, parse_tower_config
from xser.pretraining.features import TowerFeatures, perplexity
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import Iteration
from xser.pretraining.model import start_tower
from xser.pretraining.plan import check_plan
from xser.pretraining.sources import load_sources
from xser.pretraining.targets import TowerDataset, make_targets
from xser.pretraining.teacher import Teacher
from xser.pretraining.trainer import CollapseWarning, TowerTrainer

GRID = FrameGrid(stride=640, field=880)
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """An empty folder, and a function that puts a recording there."""
    (tmp_path / "audio" / "deep").mkdir(parents=True)

    def put(name: str, wave: np.ndarray, rate: int = 16_000) -> None:
        soundfile.write(tmp_path / "audio" / name, wave, rate)

    return types.SimpleNamespace(path=tmp_path / "audio", put=put)


@pytest.fixture
def load(tmp_path):
    """Load sources with a cache of their own."""

    def load(*data, **options):
        arguments = TowerDataArguments(data=list(data), cache_dir=str(tmp_path / "cache"), **{"held_out": 0} | options)
        return load_sources(arguments, seed=0)

    return load


def targets_of(sources, tmp_path, iteration=None, grid=GRID, fit_frames=10_000, seed=0):
    return make_targets(iteration or Iteration(clusters=4), sources, grid, tmp_path, fit_frames, seed, CPU)


# ---------------------------------------------------------------------- recordings


def test_what_is_left_out_is_counted_by_its_reason_and_the_rest_is_heard(folder, load):
    folder.put("good.wav", tone(150, 1))
    folder.put("deep/also good.flac", tone(50, 3), 48_000)
    folder.put("short.wav", tone(150, 0.4))
    folder.put("silent.wav", np.full(16_000, 1e-4, dtype=np.float32))
    folder.put("clipped.wav", np.clip(20 * tone(150, 1), -1, 1))
    folder.put("telephone.wav", tone(150, 1, 1)[::2], 8_000)
    (folder.path / "broken.wav").write_bytes(b"RIFF, but no more")
    (folder.path / "empty.mp3").touch()
    (folder.path / "notes.txt").write_text("not heard")
    [data] = load({"folder": str(folder.path)})
    assert data.pieces.ids == ["deep/also good.flac", "good.wav"]
    assert data.left_out == {
        "file of another kind": 1,
        "unreadable": 2,
        "too short": 1,
        "silent": 1,
        "clipped": 1,
        "telephone band": 1,
    }
    assert "empty.mp3" in " ".join(data.pieces.examples["unreadable"])
    assert data.pieces.lengths[0] == 16_000
    np.testing.assert_allclose(data.pieces.wave(1), tone(150, 1), atol=2e-4)


def test_telephone_speech_is_heard_if_asked_for(folder, load):
    folder.put("telephone.wav", tone(150, 1)[::2], 8_000)
    with pytest.raises(ValueError, match=r"nothing to train on; left out: \{'telephone band': 1\}"):
        load(str(folder.path))
    [data] = load(str(folder.path), keep_telephone=True)
    assert len(data.pieces) == 1


def test_long_recording_is_cut_into_equal_pieces_each_judged(folder, load):
    folder.put("long.wav", np.concatenate([tone(150, 2), np.zeros(32_000, np.float32), tone(150, 2)]))
    [data] = load(str(folder.path), max_seconds=2.5)
    assert data.pieces.ids == ["long.wav#0", "long.wav#2"]
    assert data.pieces.seconds.tolist() == [2.0, 2.0]
    assert data.report()["recordings_cut"] == 1 and data.left_out == {"silent": 1}


def test_very_long_recording_is_read_in_parts(folder, monkeypatch):
    monkeypatch.setattr(screening, "PART_SECONDS", 1.0)
    wave = tone(150, 2.5)
    folder.put("long.wav", np.stack([wave, wave], axis=1), 16_000)
    parts = list(screening.read_parts(folder.path / "long.wav"))
    assert [len(part) for part in parts] == [16_000, 16_000, 8_000]
    np.testing.assert_allclose(np.concatenate(parts), wave, atol=1e-4)


def test_a_recording_at_another_speed_is_another_piece(folder, load):
    folder.put("a.wav", tone(150, 1.8))
    [data] = load({"folder": str(folder.path), "speeds": [1, 0.9, 1.2]})
    assert data.pieces.ids == ["a.wav", "a.wav@0.9", "a.wav@1.2"]
    assert data.pieces.lengths.tolist() == [28_800, 32_000, 24_000]
    peaks = [np.abs(np.fft.rfft(data.pieces.wave(i), 160_000))[:10_000].argmax() / 10 for i in range(3)]
    assert peaks == pytest.approx([150, 135, 180], abs=2)


def test_pieces_are_decoded_once_and_anew_when_a_file_changes(folder, load, monkeypatch):
    folder.put("a.wav", tone(150, 1))
    [first] = load(str(folder.path))
    monkeypatch.setattr("xser.pretraining.pieces._write", None)
    [second] = load(str(folder.path))
    assert first.pieces.digest == second.pieces.digest
    monkeypatch.undo()
    folder.put("a.wav", tone(300, 1.1))
    [third] = load(str(folder.path))
    assert third.pieces.digest != first.pieces.digest and third.pieces.lengths.tolist() == [17_600]


def test_held_out_recordings_take_all_their_pieces_along(folder, load):
    for i in range(8):
        folder.put(f"{i}.wav", tone(150 + 10 * i, 3))
    [data] = load({"folder": str(folder.path), "speeds": [1, 1.1]}, max_seconds=2, held_out=0.25)
    recordings = data.pieces.recordings
    assert len(data.held_out) == 2 * 2 * 2
    assert set(recordings[data.train]).isdisjoint(recordings[data.held_out])


def test_a_speaker_left_out_of_a_corpus_is_not_heard(folder, load, tmp_path):
    with (folder.path / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "speaker"])
        for i in range(6):
            folder.put(f"{i}.wav", tone(150 + 50 * i, 1))
            rows.writerow([f"{i}.wav", f"s{i % 3}"])
    options = {"cache_dir": str(tmp_path / "corpora")}
    [data] = load({"corpus": str(folder.path), "leave_out_speakers": ["s1"], "options": options})
    assert [name[0] for name in data.pieces.ids] == ["0", "2", "3", "5"]
    assert data.left_out == {"speaker left out": 2}
    with pytest.raises(ValueError, match=r"names \['s7'\]; its speakers are \['s0', 's1', 's2'\]"):
        load({"corpus": str(folder.path), "leave_out_speakers": ["s7"], "options": options})


def test_empty_and_missing_folders_are_named(folder, load):
    with pytest.raises(ValueError, match="audio has nothing to train on; left out: nothing, it is empty"):
        load({"folder": str(folder.path)})
    with pytest.raises(FileNotFoundError, match="data names the folder /nowhere, which does not exist"):
        load({"folder": "/nowhere"})


# ---------------------------------------------------------------------- targets


@pytest.fixture
def sources(folder, load):
    """Ten recordings: a low tone, and from 1.2 s on a high one."""
    for i in range(10):
        folder.put(f"{i}.wav", np.concatenate([tone(150, 1.2, i), tone(1200, 1.2, i)]))
    return load(str(folder.path), held_out=0.1)


def test_targets_follow_the_sound_in_time(sources, tmp_path):
    targets = targets_of(sources, tmp_path, Iteration(clusters=2))
    [data] = sources
    dataset = TowerDataset(data, data.train, targets.frames[0], GRID)
    assert len(dataset) == 9
    for i in range(len(dataset)):
        row = dataset[i]
        assert len(row["targets"]) == GRID.num_frames(len(row["wave"]))
        centres = np.arange(len(row["targets"])) * 640 + 440
        [clusters] = row["targets"].T
        assert len(set(clusters[centres < 17_000])) == 1  # deltas look two frames ahead
        assert set(clusters[centres < 17_000]).isdisjoint(clusters[centres > 22_000])


def test_targets_are_made_once_for_what_they_depend_on(sources, tmp_path, monkeypatch):
    first = targets_of(sources, tmp_path)
    assert targets_of(sources, tmp_path, Iteration(clusters=5)).digest != first.digest
    assert targets_of(sources, tmp_path, seed=1).digest != first.digest
    monkeypatch.setattr(targets, "_fit", None)
    again = targets_of(sources, tmp_path)
    assert again.digest == first.digest and (again.frames[0] == first.frames[0]).all()


@pytest.fixture
def tower_folder(tmp_path):
    torch.manual_seed(0)
    HubertModel(HubertConfig(**TINY_TOWER)).save_pretrained(tmp_path / "tower")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path / "tower")
    return str(tmp_path / "tower")


def test_targets_of_a_layer_are_clusters_of_its_features(sources, tower_folder, tmp_path):
    targets = targets_of(sources, tmp_path, Iteration(targets=tower_folder, layer=1, clusters=2))
    other = targets_of(sources, tmp_path, Iteration(targets=tower_folder, layer=2, clusters=2))
    assert targets.digest != other.digest
    row = TowerDataset(sources[0], sources[0].train, targets.frames[0], GRID)[0]
    assert len(set(row["targets"][:24, 0])) == 1 and row["targets"][0] != row["targets"][-1]


def test_features_of_a_layer_are_those_of_the_plain_model(sources, tower_folder):
    waves = [tone(150, 0.7), tone(300, 1.3)]
    tower = HubertModel.from_pretrained(tower_folder)
    found = TowerFeatures(Teacher.read(tower_folder), [1], GRID, CPU)(waves)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(tower_folder)
    for wave, features in zip(waves, found, strict=True):
        inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            wanted = tower.eval()(**inputs, output_hidden_states=True).hidden_states[1][0]
        np.testing.assert_allclose(features[:, 0], wanted.numpy(), rtol=1e-3, atol=1e-4)  # half precision


def test_targets_that_cannot_be_had_are_named(sources, tower_folder, tmp_path):
    with pytest.raises(ValueError, match="clusters is 1000, but all that is heard has 531 frames"):
        targets_of(sources, tmp_path, Iteration(clusters=1000))
    with pytest.raises(ValueError, match=r"layer 3 of .*tower, which has layers 0 to 2"):
        targets_of(sources, tmp_path, Iteration(targets=tower_folder, layer=3))
    with pytest.raises(ValueError, match=r"has 25 frames a second, but the tower in training has 33"):
        targets_of(sources, tmp_path, Iteration(targets=tower_folder, layer=1), grid=FrameGrid(480, 880))
    with pytest.raises(ValueError, match="the teacher nowhere cannot be read"):
        targets_of(sources, tmp_path, Iteration(targets="nowhere", layer=1))


def test_plan_is_checked_before_anything_is_trained(tower_folder):
    data = TowerDataArguments(data=["espeak"])

    def check(*iterations, tower=TINY_TOWER, mask_length=4):
        check_plan(TowerArguments(tower=tower, iterations=list(iterations), mask_length=mask_length), data)

    first, later = {"targets": {"from": "mfcc"}}, {"targets": {"from": "previous", "layer": 2}}
    check(first, later)
    check({**first, "start": tower_folder})
    with pytest.raises(ValueError, match="layer 3 of the iteration before, which has layers 0 to 2"):
        check(first, {"targets": {"from": "previous", "layer": 3}})
    with pytest.raises(ValueError, match=r"13, but the shortest pieces \(min_seconds 0.5\) have 12 frames"):
        check(first, mask_length=13)
    check({"targets": {"from": tower_folder, "layer": 1}}, tower={**TINY_TOWER, "conv_stride": [160, 2]})
    with pytest.raises(ValueError, match=r"has 25 frames a second, but the tower in training has 33.*whole multiple"):
        check({"targets": {"from": tower_folder, "layer": 1}}, tower={**TINY_TOWER, "conv_stride": [160, 3]})
    with pytest.raises(ValueError, match=r"layer 3 of .*, which has layers 0 to 2"):
        check({"targets": {"from": tower_folder, "layer": 3}})
    with pytest.raises(ValueError, match=r"tower gives hidden_size 32, but the tower to start from, .*, has 16"):
        start_tower(tower_folder, TowerArguments(tower={"hidden_size": 32}))


# ---------------------------------------------------------------------- what is told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tower": {"hiden_size": 8}}, "unknown key 'hiden_size'; the nearest of HubertConfig is 'hidden_size'"),
        ({"tower": {"mask_time_prob": 0.3}}, "it follows from mask_prob"),
        ({"augment": {"echo": 0.5}}, "augment: unknown key 'echo'"),
        ({"augment": {"noise": 1.5}}, "a probability is from 0 to 1"),
        ({"head": "cubic"}, "head is 'cubic'"),
        ({"mask_prob": 0.0}, "mask_prob 0.0"),
        (
            {"filters": "spectral", "tower": {"conv_kernel": [10, 3, 3, 3, 3, 2, 2]}},
            "wants an even number of channels",
        ),
        ({"iterations": [{"targets": {"from": "previous", "layer": 1}}]}, "nothing is before it"),
        ({"iterations": [{"targets": {"from": "mfcc", "layer": 1}}]}, "mfcc, which has no layers"),
        ({"iterations": [{"targets": {"from": "DIR"}}]}, "give the layer"),
        ({"iterations": [{"clusters": 1}]}, "clusters is 1"),
        ({"iterations": [{"cluster": 10}]}, "the nearest is 'clusters'"),
        ({"iterations": [{"clusters": 300}], "fit_frames": 200}, "fewer than the 300 clusters"),
    ],
)
def test_tower_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TowerArguments(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "data is missing"),
        ({"data": [{"corpus": "espeak", "folder": "DIR"}]}, "one of the two"),
        ({"data": [{"folder": "DIR", "split": "train"}]}, "split is given for the folder DIR"),
        ({"data": [{"corpus": "espeak", "wieght": 2}]}, "the nearest is 'weight'"),
        ({"data": [{"corpus": "espeak", "weight": 0}]}, "it must be above 0"),
        ({"data": [{"corpus": "espeak", "speeds": [3]}]}, "give 0.5 to 2"),
        ({"data": ["espeak", "espeak"]}, "more than once"),
        ({"data": ["espeak"], "max_seconds": 0.6}, "twice as much"),
        ({"data": ["espeak"], "held_out": 1.0}, "held_out is 1.0"),
    ],
)
def test_data_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TowerDataArguments(**options)


def test_command_line_wins_and_gives_data_as_names_folders_or_mappings(folder, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("output_dir: run\ndata: [{corpus: espeak, weight: 2}]\nuse_cpu: true\n")
    _, data, training = parse_tower_config([str(path), "--learning_rate", "1e-4"])
    assert data.sources[0].corpus == "espeak" and data.sources[0].weight == 2
    assert training.learning_rate == 1e-4
    _, data, _ = parse_tower_config([str(path), "--data", str(folder.path), "{corpus: espeak, limit: 5}"])
    assert [(each.corpus, each.folder, each.limit) for each in data.sources] == [
        (None, str(folder.path), None),
        ("espeak", None, 5),
    ]
    with pytest.raises(ValueError, match="unknown key 'dataa'; the nearest is 'data'"):
        parse_tower_config([str(path), "--dataa", "espeak"])


def test_perplexity_is_the_number_of_clusters_in_equal_use():
    assert perplexity(np.array([5, 5, 0, 5])) == pytest.approx(3)
    assert perplexity(np.array([9, 0])) == 1
    assert perplexity(np.zeros(3)) == 0


def test_collapse_is_warned_of_once_and_not_before_a_quarter_of_the_steps():
    state = types.SimpleNamespace(global_step=10, max_steps=100)
    trainer = types.SimpleNamespace(state=state, has_collapsed=False)
    figures = {"prediction_perplexity": 1.2, "target_perplexity": 60.0, "clusters_predicted": 0.02}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TowerTrainer._warn_of_collapse(trainer, figures)
        state.global_step = 50
        TowerTrainer._warn_of_collapse(trainer, {**figures, "prediction_perplexity": 30.0})
    with pytest.warns(CollapseWarning, match="at step 50: the predictions' perplexity is 1.2, the targets' 60"):
        TowerTrainer._warn_of_collapse(trainer, figures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TowerTrainer._warn_of_collapse(trainer, figures)
    assert trainer.has_collapsed


def test_a_source_says_in_the_log_what_it_holds(folder, load, caplog):
    folder.put("a.wav", tone(150, 1))
    with caplog.at_level(logging.INFO):
        load(str(folder.path))
    assert "1 pieces, 0.00 h; left out: none" in caplog.text
