"""The grid of frames, masks, perturbations, batches, and the loss on masked frames only."""

import numpy as np
import pytest
import torch
from tower_tones import TINY_TOWER, tone
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from xser.pretraining.arguments import TowerArguments
from xser.pretraining.augment import AUGMENTATIONS, Augmenter
from xser.pretraining.collator import TowerCollator, span_mask
from xser.pretraining.frames import FrameGrid
from xser.pretraining.model import TowerForPretraining, new_tower, spectral_filters
from xser.pretraining.objectives import ClusterPrediction
from xser.tower_frames_xser import TowerFrames
from xser.training.sampler import stable_hash

GRID = FrameGrid(stride=640, field=880)
NORMS = ("layer", "group")


def rows(*seconds: float) -> list[dict]:
    rng = np.random.default_rng(0)
    waves = [tone(100 + 50 * i, length, i) for i, length in enumerate(seconds)]
    targets = [rng.integers(0, 8, (GRID.num_frames(len(wave)), 1)) for wave in waves]
    return [
        {"wave": wave, "targets": each, "noise_seed": stable_hash(i)}
        for i, (wave, each) in enumerate(zip(waves, targets, strict=True))
    ]


def pretraining_model(norm: str = "layer", head: str = "cosine") -> TowerForPretraining:
    torch.manual_seed(0)
    arguments = TowerArguments(tower={**TINY_TOWER, "feat_extract_norm": norm, "hidden_dropout": 0.0})
    tower = new_tower(arguments)
    return TowerForPretraining(tower, ClusterPrediction(tower.config.hidden_size, 1, 8, head))


@pytest.mark.parametrize("samples", [880, 1519, 1520, 16_000, 16_001])
def test_grid_counts_frames_as_the_tower_does(samples):
    config = HubertConfig(**TINY_TOWER)
    assert FrameGrid.of(config) == GRID
    assert GRID.num_frames(samples) == HubertModel(config)._get_feat_extract_output_lengths(samples)
    assert GRID.rate == 25


def test_frame_of_another_tower_of_the_same_rate_is_the_one_whose_centre_is_nearest():
    wide = 880 + 2 * 640
    samples = 880 + 4 * 640  # five frames, or three of the wide ones
    same, other = TowerFrames([880], [640]), TowerFrames([wide], [640])
    assert GRID.aligned(same, samples).tolist() == [[0], [1], [2], [3], [4]]
    assert FrameGrid(stride=640, field=wide).aligned(same, samples).tolist() == [[1], [2], [3]]
    assert GRID.aligned(other, samples).tolist() == [[0], [0], [1], [2], [2]]


def test_masks_are_spans_and_a_function_of_the_seed():
    masks = [span_mask(50, 0.5, 6, np.random.default_rng(3)) for _ in range(2)]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != span_mask(50, 0.5, 6, np.random.default_rng(4))).any()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], masks[0], [0]])))
    assert (edges[1::2] - edges[::2] >= 6).all()
    shares = [span_mask(50, 0.5, 6, np.random.default_rng(seed)).mean() for seed in range(200)]
    assert 0.3 < np.mean(shares) < 0.5  # overlaps count twice


def test_shortest_piece_has_one_mask_even_if_little_is_masked():
    assert span_mask(6, 0.01, 6, np.random.default_rng(0)).all()
    assert span_mask(11, 0.01, 6, np.random.default_rng(0)).sum() == 6


def test_collator_normalises_as_the_feature_extractor_does_and_masks_real_frames_only():
    pieces = rows(0.6, 1.1)
    batch = TowerCollator(GRID, 0.5, 4)(pieces)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    wanted = extractor([row["wave"] for row in pieces], sampling_rate=16_000, padding=True, return_tensors="pt")
    samples = wanted["input_values"].shape[1]
    assert torch.equal(batch["input_values"][:, :samples], wanted["input_values"])
    assert torch.equal(batch["attention_mask"].int()[:, :samples], wanted["attention_mask"])
    assert not batch["attention_mask"][:, samples:].any() and not batch["input_values"][:, samples:].any()
    assert torch.equal(batch["is_masked"], batch["is_counted"])
    for row, is_masked, targets in zip(pieces, batch["is_masked"], batch["targets"], strict=True):
        num_frames = len(row["targets"])
        assert 0 < is_masked[:num_frames].sum() < num_frames and not is_masked[num_frames:].any()
        assert (targets[:num_frames].numpy() == row["targets"]).all()


def test_a_batch_lasts_whole_frames_so_that_its_shapes_recur():
    shapes = {TowerCollator(GRID, 0.5, 4)(rows(seconds))["input_values"].shape for seconds in (1.0, 1.001, 1.02, 1.03)}
    assert len(shapes) == 2 and all(samples % GRID.stride == 0 for _, samples in shapes)
    batch = TowerCollator(GRID, 0.5, 4)(rows(1.001))
    frames = HubertModel(HubertConfig(**TINY_TOWER))._get_feat_extract_output_lengths(batch["input_values"].shape[1])
    assert batch["targets"].shape[1] == batch["is_masked"].shape[1] == frames


def test_a_piece_is_masked_and_perturbed_the_same_alone_and_in_a_batch():
    collator = TowerCollator(GRID, 0.5, 4, augmenter=Augmenter(dict.fromkeys(AUGMENTATIONS, 1.0)))
    pieces = rows(0.6, 1.1)
    together, alone = collator(pieces), collator(pieces[:1])
    samples, frames = alone["input_values"].shape[1], alone["is_masked"].shape[1]
    assert torch.equal(together["input_values"][0, :samples], alone["input_values"][0])
    assert torch.equal(together["is_masked"][0, :frames], alone["is_masked"][0])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_perturbation_is_a_function_of_its_seed(name):
    wave, augment = tone(150, 1), Augmenter({name: 1.0})
    changed = augment(wave, np.random.default_rng(1))
    assert changed.dtype == np.float32 and changed.shape == wave.shape and np.isfinite(changed).all()
    assert (changed == augment(wave, np.random.default_rng(1))).all()
    assert np.abs(changed - wave).max() > 0.001
    assert np.abs(changed - augment(wave, np.random.default_rng(2))).max() > 0.001
    assert (Augmenter({name: 0.0})(wave, np.random.default_rng(1)) == wave).all()


def test_perturbations_are_no_stronger_than_they_say():
    wave = tone(150, 1)
    noise, gain, room = (Augmenter({name: 1.0}) for name in ("noise", "gain", "room"))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert 4 < 10 * np.log10(wave.var() / (noise(wave, rng) - wave).var()) < 31
        levels = gain(np.ones(100, np.float32), rng)
        assert abs(20 * np.log10(levels[-1] / levels[0])) <= 10.001
        assert room(wave, rng).std() == pytest.approx(wave.std(), rel=0.01)


def test_band_takes_away_what_lies_outside():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(16_000).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(Augmenter({"band": 1.0})(noise, rng))) ** 2
    assert spectrum[:30].mean() < 0.1 * spectrum[500:2500].mean()
    assert spectrum[7800:].mean() < 0.5 * spectrum[500:2500].mean()


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_loss_is_the_cross_entropy_of_masked_frames_a_piece_first(head):
    model, batch = pretraining_model(head=head).eval(), TowerCollator(GRID, 0.5, 4)(rows(0.6, 1.1))
    output = model(**batch)
    is_masked, targets = batch["is_masked"], batch["targets"][..., 0]
    states = model.tower(
        batch["input_values"], attention_mask=batch["attention_mask"], mask_time_indices=is_masked
    ).last_hidden_state
    each = [
        torch.nn.functional.cross_entropy(model.objective.heads[0](states[i][is_masked[i]]), targets[i][is_masked[i]])
        for i in range(2)
    ]
    assert output.loss.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)
    assert output.targets[:, 0].tolist() == targets[is_masked].tolist()


def test_what_lies_under_a_mask_is_not_heard():
    model, batch = pretraining_model().eval(), TowerCollator(GRID, 0.5, 4)(rows(1.1))
    batch["is_masked"][:] = False
    batch["is_masked"][0, 8:16] = True
    batch["is_counted"] = batch["is_masked"]
    changed = {**batch, "input_values": batch["input_values"].clone()}
    hidden = slice(8 * 640 + 880, 15 * 640)  # samples that masked frames alone see
    changed["input_values"][0, hidden] = torch.randn(hidden.stop - hidden.start)
    assert torch.equal(model(**batch).loss, model(**changed).loss)


@pytest.mark.parametrize("norm", NORMS)
def test_padding_changes_nothing(norm):
    model, pieces = pretraining_model(norm).eval(), rows(0.6, 1.3)
    collator = TowerCollator(GRID, 0.5, 4)
    together = model(**collator(pieces)).loss
    alone = [model(**collator([row])).loss for row in pieces]
    assert together.item() == pytest.approx(torch.stack(alone).mean().item(), abs=2e-5)


def test_every_weight_of_tower_and_head_is_trained():
    model = pretraining_model()
    model(**TowerCollator(GRID, 0.5, 4)(rows(0.6, 1.1))).loss.backward()
    untrained = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in untrained if not name.endswith("k_proj.bias")] == []  # softmax is blind to a key's bias


def test_spectral_filters_hear_their_own_frequency():
    filters = spectral_filters(16, 1024)
    assert filters.shape == (16, 1, 1024)
    torch.testing.assert_close(filters.norm(dim=-1), torch.ones(16, 1))
    spectra = torch.fft.rfft(filters[:8, 0]).abs()
    wanted = torch.logspace(np.log10(60), np.log10(7600), 8)
    assert ((spectra.argmax(-1) * 16_000 / 1024 - wanted).abs() < 20).all()
