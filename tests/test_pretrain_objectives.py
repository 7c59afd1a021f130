"""Learning from a teacher: losses by hand, whole runs by each objective, resumed exactly, and what they leave."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import save_tower
from safetensors.torch import load_file
from tower_tones import TINY_TOWER, tone
from transformers import AutoModel, HubertConfig, HubertModel

from xser.pretrain_tower import main
from xser.pretraining.arguments import TowerArguments, parse_tower_config
from xser.pretraining.collator import TowerCollator
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import CLUSTERS, MASKED_REGRESSION, OBJECTIVES, REGRESSION
from xser.pretraining.meters import PredictionMeter, RegressionMeter
from xser.pretraining.model import TowerForPretraining, TowerOutput, new_tower
from xser.pretraining.objectives import ClusterPrediction, StateRegression
from xser.training.sampler import stable_hash

GRID = FrameGrid.of(HubertConfig(**TINY_TOWER))
LAYERS, WIDTH = 2, 5


class OneProcess:
    """An accelerator whose reductions leave things as they are."""

    def reduce(self, tensor, how):
        return tensor


def rows() -> list[dict]:
    rng = np.random.default_rng(0)
    waves = [tone(100 + 50 * i, length, i) for i, length in enumerate((0.6, 1.1))]
    states = [rng.standard_normal((GRID.num_frames(len(wave)), LAYERS, WIDTH)).astype(np.float16) for wave in waves]
    return [
        {"wave": wave, "targets": each, "noise_seed": stable_hash(i)}
        for i, (wave, each) in enumerate(zip(waves, states, strict=True))
    ]


@pytest.fixture
def model():
    """A tower that learns from states."""
    torch.manual_seed(0)
    tower = new_tower(TowerArguments(tower={**TINY_TOWER, "hidden_dropout": 0.0}))
    mean, std = np.random.default_rng(1).uniform(0.5, 2, (2, LAYERS, WIDTH))
    return TowerForPretraining(tower, StateRegression(tower.config.hidden_size, mean, std)).eval()


# ---------------------------------------------------------------------- losses


@pytest.mark.parametrize("objective", [REGRESSION, MASKED_REGRESSION])
def test_regression_is_l1_and_log_sigmoid_of_the_cosine_a_piece_first(model, objective):
    pieces = rows()
    batch = TowerCollator(GRID, 0.5, 4, objective=objective)(pieces)
    with torch.no_grad():
        loss = model(**batch).loss.item()
        hidden = model.tower(
            batch["input_values"], attention_mask=batch["attention_mask"], mask_time_indices=batch["is_masked"]
        ).last_hidden_state.numpy()
    mean, std = model.objective.mean.numpy(), model.objective.std.numpy()
    by_piece = []
    for number, row in enumerate(pieces):
        by_frame = []
        for frame, states in enumerate(row["targets"]):
            if objective == MASKED_REGRESSION and not batch["is_masked"][number, frame]:
                continue
            for layer, head in enumerate(model.objective.heads):
                found = head.weight.detach().numpy() @ hidden[number, frame] + head.bias.detach().numpy()
                wanted = (states[layer].astype(np.float64) - mean[layer]) / std[layer]
                cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
                by_frame.append(np.abs(found - wanted).mean() - np.log(1 / (1 + np.exp(-cosine))))
        by_piece.append(np.mean(by_frame))
    assert loss == pytest.approx(np.mean(by_piece), rel=1e-5)


def test_plain_regression_masks_nothing_and_counts_every_real_frame():
    plain, masked = (TowerCollator(GRID, 0.5, 4, objective=name)(rows()) for name in (REGRESSION, MASKED_REGRESSION))
    frames = [len(row["targets"]) for row in rows()]
    assert not plain["is_masked"].any() and plain["is_counted"].sum(1).tolist() == frames
    assert torch.equal(masked["is_masked"], masked["is_counted"]) and 0 < masked["is_masked"].sum() < sum(frames)
    assert plain["targets"].dtype == torch.float16 and not plain["targets"][0, frames[0] :].any()


def test_rows_without_targets_give_the_recordings_as_they_were():
    plain = [{key: row[key] for key in ("wave", "noise_seed")} for row in rows()]
    batch = TowerCollator(GRID, 0.5, 4, objective=REGRESSION)(plain)
    assert "targets" not in batch
    assert all((wave == row["wave"]).all() for wave, row in zip(batch["waves"], plain, strict=True))


def test_clusters_of_several_layers_count_alike():
    torch.manual_seed(0)
    objective = ClusterPrediction(16, num_layers=2, num_clusters=4, head="cosine")
    states, targets = torch.randn(7, 16), torch.randint(0, 4, (7, 2))
    losses, predictions, _ = objective(states, targets)
    by_hand = [
        torch.nn.functional.cross_entropy(head(states), targets[:, layer], reduction="none")
        for layer, head in enumerate(objective.heads)
    ]
    torch.testing.assert_close(losses, (by_hand[0] + by_hand[1]) / 2)
    assert predictions.shape == (7, 2)
    assert torch.equal(predictions[:, 1], objective.heads[1](states).argmax(-1))


@pytest.mark.parametrize("objective", [REGRESSION, MASKED_REGRESSION])
def test_every_weight_of_tower_and_heads_is_trained(model, objective):
    model.train()(**TowerCollator(GRID, 0.5, 4, objective=objective)(rows())).loss.backward()
    untrained = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    mask = {"tower.masked_spec_embed"} if objective == REGRESSION else set()
    assert {name for name in untrained if not name.endswith("k_proj.bias")} == mask  # softmax is blind to a key's bias


def test_padding_changes_nothing(model):
    collator, pieces = TowerCollator(GRID, 0.5, 4, objective=REGRESSION), rows()
    with torch.no_grad():
        together, alone = model(**collator(pieces)).loss, [model(**collator([row])).loss for row in pieces]
    assert together.item() == pytest.approx(torch.stack(alone).mean().item(), abs=2e-5)


def test_figures_of_clusters_are_means_over_layers():
    meter = PredictionMeter(2, 3, torch.device("cpu"))
    targets = torch.tensor([[0, 0], [1, 0], [2, 0], [2, 0]])
    meter.add(TowerOutput(torch.tensor(0.5), torch.tensor([[0, 0], [0, 0], [0, 0], [0, 1]]), targets))
    figures = meter.read(OneProcess())
    assert figures["masked_loss"] == 0.5
    assert figures["masked_accuracy"] == 4 / 8
    assert figures["clusters_predicted"] == (1 + 2) / 6
    assert figures["target_perplexity"] == pytest.approx((np.exp(1.0397208) + 1) / 2)  # shares 1/4, 1/4, 1/2; and one


def test_figures_of_states_are_means_over_frames_and_layers():
    meter, wanted = RegressionMeter(torch.device("cpu")), torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    meter.add(TowerOutput(torch.tensor(0.5), torch.tensor([[[2.0, 0.0], [2.0, 0.0]]]), wanted))
    assert meter.read(OneProcess()) == {"regression_loss": 0.5, "mean_difference": 1.25, "mean_cosine": 0.5}
    assert meter.read(OneProcess()) == {"regression_loss": 0, "mean_difference": 0, "mean_cosine": 0}


# ---------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A folder of steady tones of four pitches: what is masked can be told from what is not."""
    folder = tmp_path_factory.mktemp("tones")
    for i in range(32):
        soundfile.write(folder / f"{i:02d}.wav", tone((150, 300, 600, 1200)[i % 4], 0.8 + 0.02 * i, i), 16_000)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A tiny Whisper, with its decoder."""
    return save_tower(tmp_path_factory.mktemp("towers") / "tiny-whisper", "whisper")


@pytest.fixture(scope="module")
def write(tones, teacher, tmp_path_factory):
    """Write a config; gives its path and the run folder."""
    cache = tmp_path_factory.mktemp("cache")

    def write(**changes) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("run")
        config = {
            "output_dir": str(folder / "run"),
            "data": [str(tones)],
            "cache_dir": str(cache),
            "held_out": 0.1,
            "tower": TINY_TOWER,
            "filters": "spectral",
            "mask_length": 4,
            "teacher": str(teacher),
            "teacher_layers": [1, 2],
            "iterations": [{"targets": {"from": "teacher"}, "clusters": 4}],
            "augment": {"noise": 0.3, "gain": 0.3},
            "max_steps": 4,
            "warmup_steps": 0,
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "save_steps": 2,
            "eval_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 1,
        } | changes
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path), folder / "run"

    return write


@pytest.fixture(scope="module", params=[*OBJECTIVES, "regression, states when needed"])
def whole_run(request, write):
    """A run by each objective, not interrupted: (config, run folder, results, objective)."""
    objective, *live = request.param.split(",")
    config, run = write(objective=objective, cache_states=not live)
    return config, run, main([config]), objective


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_resumed_run_is_the_uninterrupted_one_exactly(whole_run, write):
    config, run, results, _ = whole_run
    again = write()[1]
    shutil.copytree(run, again)
    for name in ("final", "iteration-1/tower", "iteration-1/checkpoint-4"):
        shutil.rmtree(again / name)
    assert main([config, "--output_dir", str(again), "--resume_from_checkpoint", "true"]) == results
    for name, value in weights(run / "final").items():
        assert torch.equal(value, weights(again / "final")[name]), name


def test_final_is_an_ordinary_hubert_without_heads(whole_run):
    final = whole_run[1] / "final"
    tower, information = AutoModel.from_pretrained(final, output_loading_info=True)
    assert type(tower) is HubertModel and not any(information.values())
    assert set(weights(final)) == set(HubertModel(tower.config).state_dict())
    assert not tower.config.apply_spec_augment


def test_the_folder_says_who_taught_it_and_not_where_that_lay(whole_run, teacher):
    _, run, _, objective = whole_run
    text = (run / "final" / "training.yaml").read_text()
    record = yaml.safe_load(text)
    digest = hashlib.sha256((teacher / "model.safetensors").read_bytes()).hexdigest()
    expected = {"iteration": 1, "teacher": "tiny-whisper", "layers": [1, 2], "objective": objective}
    assert record["teachers"] == [{**expected, "weights": {"model.safetensors": digest}}]
    assert record["teacher"] == "tiny-whisper"
    assert str(teacher) not in text
    assert json.loads((run / "environment.json").read_text())["teachers"] == record["teachers"]


def test_resolved_config_is_read_back_as_it_was(whole_run):
    config, run, _, _ = whole_run
    assert parse_tower_config([config])[:2] == parse_tower_config([str(run / "config.yaml")])[:2]


def test_a_checkpoint_of_another_objective_is_refused(write):
    _, run = config = write(objective=REGRESSION)
    main([config[0]])
    changed, again = write(objective=MASKED_REGRESSION)
    shutil.copytree(run / "iteration-1" / "checkpoint-2", again / "iteration-1" / "checkpoint-2")
    with pytest.raises(ValueError, match="checkpoint-2 was trained with objective 'regression', and this run has"):
        main([changed, "--resume_from_checkpoint", "true"])


def test_a_run_whose_states_are_computed_when_needed_has_the_figures_of_one_from_disk(write):
    cached, live = (main([write(objective=REGRESSION, cache_states=each)[0]])["iteration-1"] for each in (True, False))
    assert cached == pytest.approx(live, abs=1e-3)


@pytest.mark.parametrize(
    ("objective", "figure"),
    [(CLUSTERS, "masked_loss"), (REGRESSION, "regression_loss"), (MASKED_REGRESSION, "regression_loss")],
)
def test_the_loss_falls(write, objective, figure):
    options = {"max_steps": 40, "save_steps": 40, "learning_rate": 3e-3, "head": "linear", "augment": {}}
    config, run = write(objective=objective, **options)
    main([config])
    history = json.loads((run / "iteration-1" / "checkpoint-40" / "trainer_state.json").read_text())["log_history"]
    losses = [log[figure] for log in history if figure in log]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_an_existing_student_goes_on_with_new_targets_and_new_heads(write, tmp_path):
    start = tmp_path / "student"
    torch.manual_seed(7)
    HubertModel(HubertConfig(**TINY_TOWER)).save_pretrained(start)
    config, run = write(objective=REGRESSION, init_from=str(start), learning_rate=0.0, max_steps=2)
    main([config])
    before, after = weights(start), weights(run / "final")
    assert all(torch.equal(before[name], after[name]) for name in before)
    trained = load_file(run / "iteration-1" / "checkpoint-2" / "model.safetensors")
    assert {name for name in trained if "heads" in name} == {
        f"objective.heads.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")
    }
    assert str(start) not in (run / "final" / "training.yaml").read_text()


def test_two_iterations_may_learn_from_the_teacher_by_two_objectives(write):
    iterations = [
        {"targets": {"from": "teacher"}, "objective": REGRESSION},
        {"targets": "teacher", "clusters": 4, "start": "previous"},
    ]
    results = main([write(iterations=iterations, max_steps=2)[0]])
    assert "eval_regression_loss" in results["iteration-1"] and "eval_masked_loss" in results["iteration-2"]


def test_a_teacher_that_does_not_fit_leaves_nothing_behind(write, teacher, tmp_path):
    cache = tmp_path / "cache"
    config, run = write(teacher_layers=[1, 9], cache_dir=str(cache))
    with pytest.raises(ValueError, match=r"targets are from layer 9 of .*tiny-whisper, which has layers 0 to 2"):
        main([config])
    assert not run.exists() and not cache.exists()
    (empty := tmp_path / "empty").mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(teacher / name, empty)
    config, run = write(teacher=str(empty), cache_dir=str(cache))
    with pytest.raises(ValueError, match="empty holds no weights"):
        main([config])
    assert not run.exists() and not cache.exists()
