"""Targets from a pretrained tower: which frames stand for which, whose states they are, and what is on disk."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import save_audio_backbone, save_tower
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import StandardScaler
from tower_tones import TINY_TOWER, tone
from transformers import AutoConfig, AutoFeatureExtractor, HubertConfig

from xser.audio_tower_xser import audio_tower
from xser.backbones_xser import load_tower
from xser.pretraining import features, states
from xser.pretraining.arguments import TowerArguments, TowerDataArguments
from xser.pretraining.features import TowerFeatures
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import CLUSTERS, MASKED_REGRESSION, REGRESSION, Iteration
from xser.pretraining.origin import without_places
from xser.pretraining.plan import check_plan
from xser.pretraining.sources import load_sources
from xser.pretraining.targets import TowerDataset, make_targets
from xser.pretraining.teacher import Teacher, tower_name
from xser.tower_frames_xser import TowerFrames

GRID = FrameGrid.of(HubertConfig(**TINY_TOWER))  # 25 frames a second; the teachers have 50
CPU = torch.device("cpu")
KINDS = ("whisper", "hubert", "hubert that normalises what leaves it")


@pytest.fixture(params=KINDS)
def teacher_folder(request, tmp_path):
    kind, *norm = request.param.split(" ", 1)
    if norm:
        return str(save_audio_backbone(tmp_path / "teacher", kind, "layer"))
    return str(save_tower(tmp_path / "teacher", kind))


@pytest.fixture
def whisper_folder(tmp_path):
    return str(save_tower(tmp_path / "whisper", "whisper"))


@pytest.fixture
def sources(tmp_path):
    """Eight recordings of four pitches, none held out, and of a second source, two."""
    for name, number in (("first", 8), ("second", 2)):
        (tmp_path / name).mkdir()
        for i in range(number):
            wave = tone((150, 300, 600, 1200)[i % 4], 0.7 + 0.11 * i, i)
            soundfile.write(tmp_path / name / f"{i}.wav", wave, 16_000)
    folders = [str(tmp_path / name) for name in ("first", "second")]
    return load_sources(TowerDataArguments(data=folders, cache_dir=str(tmp_path / "cache"), held_out=0), seed=0)


def targets_of(sources, root, folder, layers=(1, 2), seed=0, **options):
    iteration = Iteration(targets=folder, layer=list(layers), **{"clusters": 3, "cache_states": True} | options)
    return make_targets(iteration, sources, GRID, root, 10_000, seed, CPU)


def whole_states(folder: str, wave: np.ndarray) -> np.ndarray:
    """(L + 1, T', D) of the whole tower, one recording at a time."""
    config, extractor = AutoConfig.from_pretrained(folder), AutoFeatureExtractor.from_pretrained(folder)
    tower = load_tower(folder, None, {}).eval()
    kind = audio_tower(config)
    if getattr(extractor, "do_normalize", False):
        wave = extractor(wave, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    with torch.no_grad():
        if config.model_type == "whisper":
            found = kind.encode(tower, torch.from_numpy(wave)[None])
        else:
            found = tower(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states
    return torch.cat(found).numpy()


def expected_states(folder: str, wave: np.ndarray, layers) -> np.ndarray:
    """(T, L, D): the two frames whose common centre is nearest, found by looking at all of them."""
    found = whole_states(folder, wave)[list(layers)]
    frames = audio_tower(AutoConfig.from_pretrained(folder)).frames
    pairs = np.arange(-1, found.shape[1])  # the first of two frames; those beyond an edge are that at the edge
    centres = frames.first_centre + frames.hop * (pairs + 0.5)
    rows = []
    for number in range(GRID.num_frames(len(wave))):
        start = pairs[np.abs(centres - (GRID.field - 1) / 2 - GRID.stride * number).argmin()]
        first, second = np.clip([start, start + 1], 0, found.shape[1] - 1)
        rows.append((found[:, first] + found[:, second]) / 2)
    return np.stack(rows)


# ---------------------------------------------------------------------- frames


def test_two_frames_of_whisper_stand_for_one_of_the_student():
    frames = audio_tower(AutoConfig.for_model("whisper")).frames  # centred on every 320th sample
    student = FrameGrid(stride=640, field=1504)  # of the embedded tower, centred on 751.5, 1391.5, …
    assert student.aligned(frames, 4_000).tolist() == [[2, 3], [4, 5], [6, 7], [8, 9]]


def test_centres_of_frames_that_are_averaged_are_half_a_frame_away_at_most():
    for frames in (
        TowerFrames([400], [320]),
        TowerFrames([400], [160]),
        TowerFrames([400, 3], [160, 1], [(0, 0), (1, 1)]),
    ):
        found = frames.first_centre + frames.hop * GRID.aligned(frames, 32_000)[2:-2].mean(1)
        wanted = (GRID.field - 1) / 2 + GRID.stride * np.arange(GRID.num_frames(32_000))[2:-2]
        assert np.abs(found - wanted).max() <= frames.hop / 2


def test_a_longer_frame_stands_for_all_that_it_is_nearest_to():
    assert GRID.aligned(TowerFrames([1280], [1280]), 880 + 5 * 640).tolist() == [[0], [0], [1], [1], [2], [2]]
    assert FrameGrid(stride=640, field=640).aligned(TowerFrames([3200], [1280]), 6400)[:, 0].tolist() == [
        *(0, 0, 0, 1, 1, 2, 2, 2, 2, 2)
    ]


@pytest.mark.parametrize(("hop", "fits"), [(320, True), (640, True), (1280, True), (480, False), (960, False)])
def test_frame_rates_must_be_whole_multiples(hop, fits):
    if fits:
        GRID.check_aligns(TowerFrames([400], [hop]), "it")
        return
    with pytest.raises(ValueError, match=rf"of their strides, {hop} and 640 samples, one must be a whole multiple"):
        GRID.check_aligns(TowerFrames([400], [hop]), "it")


# ---------------------------------------------------------------------- states


def test_states_are_those_of_the_whole_tower_averaged_over_a_frame(teacher_folder):
    waves = [tone(150, 0.7), tone(300, 1.3, 1)]
    for layers in ((0,), (1,), (2, 0), (1, 2)):
        found = TowerFeatures(Teacher.read(teacher_folder), layers, GRID, CPU)(waves)
        for wave, each in zip(waves, found, strict=True):
            assert each.dtype == np.float16
            np.testing.assert_allclose(each, expected_states(teacher_folder, wave, layers), rtol=1e-3, atol=1e-3)


def test_layers_above_the_next_are_not_loaded(whisper_folder):
    teacher = Teacher.read(whisper_folder)
    assert [len(teacher.load(highest, CPU).layers) for highest in (0, 1, 2)] == [1, 2, 2]


def test_batches_are_of_so_many_pieces_and_seconds():
    lengths = np.array([16_000] * 40 + [480_000] * 5)
    found = [len(batch) for batch in features._batches(range(45), lengths)]
    assert found == [32, 8, 4, 1]


def test_states_beyond_half_precision_are_an_error(whisper_folder):
    teacher = TowerFeatures(Teacher.read(whisper_folder), [1], GRID, CPU)
    teacher.tower.conv1.weight.data.mul_(1e4)
    teacher.tower.conv2.weight.data.mul_(1e4)
    with pytest.raises(ValueError, match=r"states of layers \[1\] of .* reach \d+; half precision ends at 65504"):
        teacher([tone(150, 0.7)])
    teacher.tower.conv2.weight.data.fill_(np.nan)
    with pytest.raises(ValueError, match="reach nan; half precision"):
        teacher([tone(150, 0.7)])


# ---------------------------------------------------------------------- targets


def in_order_of_length(sources, folder, layers) -> list[list[np.ndarray]]:
    """For each source, expected states of its pieces, the shortest first."""
    return [
        [
            expected_states(folder, data.pieces.wave(i), layers).astype(np.float16)
            for i in np.argsort(data.pieces.lengths)
        ]
        for data in sources
    ]


@pytest.mark.parametrize("is_cached", [True, False])
def test_targets_of_several_layers_are_clusters_of_each(sources, tmp_path, teacher_folder, is_cached):
    found = targets_of(sources, tmp_path / "kept", teacher_folder, cache_states=is_cached)
    assert (found.objective, found.num_layers, found.num_clusters) == (CLUSTERS, 2, 3)
    expected = in_order_of_length(sources, teacher_folder, (1, 2))
    for layer in range(2):
        vectors = [np.concatenate([piece[:, layer] for piece in pieces]).astype(np.float32) for pieces in expected]
        scaler = StandardScaler().fit(np.concatenate(vectors))
        kmeans = MiniBatchKMeans(
            3, batch_size=10_000, n_init=3, max_no_improvement=50, reassignment_ratio=0.0, random_state=0
        ).fit(scaler.transform(np.concatenate(vectors)).astype(np.float32))
        for data, frames, each in zip(sources, found.frames, vectors, strict=True):
            dataset = TowerDataset(data, np.argsort(data.pieces.lengths), frames, GRID)
            clusters = np.concatenate([dataset[i]["targets"][:, layer] for i in range(len(dataset))])
            wanted = kmeans.predict(scaler.transform(each).astype(np.float32))
            assert (clusters == wanted).mean() > 0.98  # a frame between two clusters may fall to either


@pytest.mark.parametrize("objective", [REGRESSION, MASKED_REGRESSION])
def test_targets_of_regression_are_the_states_and_their_scale(sources, tmp_path, teacher_folder, objective):
    found = targets_of(sources, tmp_path / "kept", teacher_folder, (2, 1), objective=objective)
    expected = in_order_of_length(sources, teacher_folder, (2, 1))
    assert (found.objective, found.num_layers, found.live) == (objective, 2, None)
    for data, frames, pieces in zip(sources, found.frames, expected, strict=True):
        dataset = TowerDataset(data, np.argsort(data.pieces.lengths), frames, GRID)
        for i, piece in enumerate(pieces):
            assert dataset[i]["targets"].dtype == np.float16
            np.testing.assert_allclose(dataset[i]["targets"], piece, rtol=2e-3, atol=2e-3)
    vectors = np.concatenate([piece for pieces in expected for piece in pieces]).astype(np.float64)
    np.testing.assert_allclose(found.mean, vectors.mean(0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.std, vectors.std(0), rtol=1e-3, atol=1e-3)


def test_states_that_are_computed_when_needed_are_those_on_disk(sources, tmp_path, whisper_folder):
    cached, live = (
        targets_of(sources, tmp_path / name, whisper_folder, objective=REGRESSION, cache_states=name == "kept")
        for name in ("kept", "other")
    )
    assert live.frames is None and not list((tmp_path / "other").glob("states-*"))
    row = TowerDataset(sources[0], sources[0].train, cached.frames[0], GRID)[3]
    assert "targets" not in TowerDataset(sources[0], sources[0].train, None, GRID)[3]
    np.testing.assert_allclose(live.live([row["wave"]])[0], row["targets"], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(live.mean, cached.mean, atol=1e-4)


def test_states_are_computed_once_whatever_is_made_of_them(sources, tmp_path, whisper_folder, monkeypatch):
    root, written, write = tmp_path / "kept", [], states._write
    targets_of(sources, root, whisper_folder)
    assert len(list(root.glob("states-*.npy"))) == 2 * 2  # layers, sources
    monkeypatch.setattr(states, "_write", lambda *args: (written.append(list(args[2])), write(*args)))
    targets_of(sources, root, whisper_folder, (1, 0))
    assert written == [[1], [1]]  # layer 0 alone, of both sources
    monkeypatch.setattr(states, "TowerFeatures", None)
    targets_of(sources, root, whisper_folder, clusters=4)
    targets_of(sources, root, whisper_folder, (2, 0), objective=REGRESSION)


def test_a_teacher_in_another_folder_is_the_same_one_and_other_weights_are_not(sources, tmp_path, whisper_folder):
    moved = shutil.copytree(whisper_folder, tmp_path / "moved")
    first, again = (targets_of(sources, tmp_path / "kept", str(each)) for each in (whisper_folder, moved))
    assert first.digest == again.digest
    tower = load_tower(whisper_folder, None, {})
    tower.layers[0].fc1.weight.data += 0.1
    other = tmp_path / "other"
    tower.save_pretrained(other)
    AutoFeatureExtractor.from_pretrained(whisper_folder).save_pretrained(other)
    assert targets_of(sources, tmp_path / "kept", str(other)).digest != first.digest


def test_states_that_do_not_fit_on_the_disk_are_refused_before_the_teacher_is_loaded(
    sources, tmp_path, whisper_folder, monkeypatch
):
    monkeypatch.setattr(states.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    monkeypatch.setattr(states, "TowerFeatures", None)
    with pytest.raises(ValueError, match=r"need 0\.00 GB in .*kept, which has 0\.00 GB free: .*cache_states false"):
        targets_of(sources, tmp_path / "kept", whisper_folder)


def test_half_a_file_of_states_is_never_found(sources, tmp_path, whisper_folder, monkeypatch):
    def interrupted(*args):
        yield next(iterated(*args))
        raise KeyboardInterrupt

    iterated = states.features_of
    monkeypatch.setattr(states, "features_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        targets_of(sources, tmp_path / "kept", whisper_folder)
    assert list((tmp_path / "kept").iterdir()) == []


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "DIR"}, "teacher is DIR, but teacher_layers is missing: give its layers, such as 2 3"),
        ({"teacher_layers": [2, 3]}, r"teacher_layers is \[2, 3\], but teacher is missing"),
        (
            {"teacher": "DIR", "teacher_layers": [2, 2]},
            r"teacher_layers is \[2, 2\]; give at least one, and each once",
        ),
        ({"teacher": "DIR", "teacher_layers": [-1]}, r"teacher_layers is \[-1\]; give 0 or more"),
        ({"teacher": "DIR", "teacher_layers": []}, "give at least one"),
        ({"teacher": "previous", "teacher_layers": [1]}, "teacher is 'previous'; give the folder or id"),
        ({"teacher": "DIR", "teacher_layers": [1], "iterations": [{}]}, "DIR, but no iteration learns from it"),
        ({"iterations": [{"targets": {"from": "teacher"}}]}, "from the teacher, and none is given"),
        ({"objective": "distil"}, "objective is 'distil'; it must be one of"),
        ({"objective": "regression"}, "objective is 'regression', but iteration 1 has targets from mfcc"),
        ({"iterations": [{"objective": "regress"}]}, "iterations: objective is 'regress'; it must be one of"),
        ({"iterations": [{"targets": {"from": "DIR", "layer": [1, 1]}}]}, r"layer is \[1, 1\]; .* each once"),
        (
            {"teacher": "DIR", "teacher_layers": [1], "iterations": [{"targets": {"from": "teacher", "layer": 2}}]},
            "layer is 2, but the teacher's are given as teacher_layers",
        ),
        ({"init_from": "A", "iterations": [{"start": "B"}]}, "init_from is A, but the first iteration starts from B"),
    ],
)
def test_options_of_a_teacher_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TowerArguments(**options)


def check(folder, layers=(1,), data=None, tower=TINY_TOWER, **options):
    arguments = TowerArguments(tower=tower, mask_length=4, teacher=str(folder), teacher_layers=list(layers), **options)
    check_plan(arguments, TowerDataArguments(**{"data": ["espeak"]} | (data or {})))


def test_a_teacher_that_does_not_fit_is_refused_before_any_work(whisper_folder, tmp_path):
    check(whisper_folder, (0, 1, 2))
    with pytest.raises(ValueError, match=r"targets are from layer 3 of .*whisper, which has layers 0 to 2"):
        check(whisper_folder, (1, 3))
    with pytest.raises(ValueError, match="has 50 frames a second, but the tower in training has 33"):
        check(whisper_folder, tower={**TINY_TOWER, "conv_stride": [160, 3]})
    with pytest.raises(ValueError, match=r"reads 30 s at most, but pieces last up to 40 s \(max_seconds"):
        check(whisper_folder, data={"data": [{"corpus": "espeak", "speeds": [1, 0.5]}], "max_seconds": 20.0})
    with pytest.raises(ValueError, match="mask_length is 4, but the shortest pieces"):
        check(whisper_folder, data={"min_seconds": 0.1})
    check(whisper_folder, data={"min_seconds": 0.1}, objective=REGRESSION)
    with pytest.raises(ValueError, match=r"has no frame in the shortest pieces, of 0\.05 s: raise min_seconds"):
        check(whisper_folder, data={"min_seconds": 0.05}, objective=REGRESSION)


def test_a_folder_that_holds_no_teacher_is_refused(whisper_folder, tiny_backbone_folders, tmp_path):
    with pytest.raises(ValueError, match=r"the teacher nobody/nowhere cannot be read: give a folder, or an id"):
        check("nobody/nowhere")
    with pytest.raises(ValueError, match="model_type is 'llama'; it must be one of"):
        check(tiny_backbone_folders[1])
    extractor = AutoFeatureExtractor.from_pretrained(whisper_folder)
    extractor.sampling_rate = 8_000
    extractor.save_pretrained(whisper_folder)
    with pytest.raises(ValueError, match="reads 8000 samples a second, by its feature extractor; it must be 16000"):
        check(whisper_folder)
    (tmp_path / "whisper" / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"whisper cannot be read: .*preprocessor_config\.json"):
        check(whisper_folder)


def test_a_teacher_without_weights_is_refused(whisper_folder, tmp_path):
    (tmp_path / "whisper" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        _ = Teacher.read(whisper_folder).weights


# ---------------------------------------------------------------------- names


def test_a_tower_is_called_by_its_id_or_by_the_name_of_its_folder(whisper_folder, tmp_path, monkeypatch):
    assert tower_name(whisper_folder) == Teacher.read(whisper_folder).name == "whisper"
    assert tower_name("openai/whisper-base") == "openai/whisper-base"
    assert tower_name("/gone/whisper-base") == "whisper-base"
    monkeypatch.chdir(tmp_path)
    assert tower_name("./whisper/") == "whisper"


def test_places_of_towers_leave_records_and_nothing_else_does():
    record = {"teacher": "/deep/teacher", "iterations": [{"start": "/deep/teacher/old"}], "seed": 1, "data": "/deep"}
    assert without_places(record, ["/deep/teacher", "/deep/teacher/old"]) == {
        "teacher": "teacher", "iterations": [{"start": "old"}], "seed": 1, "data": "/deep",
    }  # fmt: skip
    command = ["--iterations", "{targets: {from: /deep/teacher, layer: 1}}", "--data", "/deep/teacher-recordings"]
    assert without_places(command, ["/deep/teacher"])[1::2] == [
        "{targets: {from: teacher, layer: 1}}", "/deep/teacher-recordings",
    ]  # fmt: skip


def test_an_id_is_looked_for_among_the_backbones_on_disk(whisper_folder, tmp_path, monkeypatch):
    root = tmp_path / "backbones"
    root.mkdir()
    shutil.copytree(whisper_folder, root / "whisper-base")
    monkeypatch.setenv("XSER_BACKBONES", str(root))
    teacher = Teacher.read("openai/whisper-base")
    assert (teacher.name, teacher.weights) == ("openai/whisper-base", Teacher.read(whisper_folder).weights)
    assert teacher.load(1, CPU).config.num_hidden_layers == 2
