"""The disentanglement block against its equations."""

import pytest
import torch
from torch import nn

from xser.bottleneck_xser import (
    GaussianLinear,
    LayerMix,
    VariationalBottleneck,
    keyed_normal,
    masked_mean,
    moving_average,
)


def test_layer_mix_is_the_softmax_weighted_sum():
    mix = LayerMix(3)
    mix.scores.data = torch.tensor([0.0, 1.0, 2.0])
    layers = torch.randn(3, 2, 5, 4)
    expected = torch.einsum("l,lbth->bth", mix.scores.softmax(0), layers)
    torch.testing.assert_close(mix(tuple(layers)), expected)


def test_layer_mix_refuses_another_number_of_layers():
    with pytest.raises(ValueError):
        LayerMix(3)(tuple(torch.randn(4, 1, 2, 2)))


def test_kl_is_the_closed_form_in_nats_a_frame():
    torch.manual_seed(0)
    block = VariationalBottleneck(6, 8, 3).double()
    hidden_states, mask = torch.randn(2, 5, 6).double(), torch.tensor([[1] * 5, [1, 1, 0, 0, 0]]).bool()
    output = block(hidden_states, mask)
    posterior = torch.distributions.Normal(output.mu, (0.5 * output.logvar).exp())
    nats = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    expected = (nats[0].mean() + nats[1, :2].mean()) / 2  # a mean an utterance first
    torch.testing.assert_close(output.kl, expected.to(output.kl.dtype))


def test_moving_average_is_over_the_real_frames_around_each():
    values, mask = torch.randn(2, 7, 3), torch.tensor([[1] * 7, [1, 1, 1, 1, 0, 0, 0]]).bool()
    smooth = moving_average(values, mask, 5)
    for row, length in enumerate((7, 4)):
        for frame in range(length):
            around = values[row, max(frame - 2, 0) : min(frame + 3, length)]
            torch.testing.assert_close(smooth[row, frame], around.mean(0))
    torch.testing.assert_close(moving_average(values[:, :1], mask[:, :1], 9), values[:, :1])


@pytest.mark.parametrize(
    "options", [{}, {"context_layers": 2}, {"smoothing": 5}, {"context_layers": 1, "smoothing": 9}]
)
def test_padding_never_counts(options):
    torch.manual_seed(0)
    block = VariationalBottleneck(6, 8, 3, **options).train()
    short, seed = torch.randn(1, 4, 6), torch.tensor([7])
    alone = block(short, torch.ones(1, 4).bool(), seed)
    padded = torch.cat([short, torch.full((1, 3, 6), 1e3)], 1)
    among = block(padded, torch.tensor([[1, 1, 1, 1, 0, 0, 0]]).bool(), seed)
    torch.testing.assert_close(among.kl, alone.kl)
    torch.testing.assert_close(among.z[:, :4], alone.z)
    assert (among.z[:, 4:] == 0).all()


def test_z_is_the_mean_at_inference_and_noisy_in_training():
    block = VariationalBottleneck(6, 8, 3)
    hidden_states, mask = torch.randn(1, 4, 6), torch.ones(1, 4).bool()
    output = block.eval()(hidden_states, mask)
    assert torch.equal(output.z, output.mu)
    output = block.train()(hidden_states, mask, torch.tensor([3]))
    noise = (output.z - output.mu) / (0.5 * output.logvar).exp()
    torch.testing.assert_close(noise, keyed_normal(torch.tensor([3]), 4, 3))


def test_smoothing_lets_slow_changes_pass_and_fast_ones_not():
    torch.manual_seed(0)
    rough, smooth = (VariationalBottleneck(6, 8, 3, smoothing=span).eval() for span in (1, 9))
    smooth.load_state_dict(rough.state_dict())
    mask = torch.ones(1, 60).bool()
    fast = torch.randn(1, 1, 6) * torch.tensor([1.0, -1.0]).repeat(30).view(1, 60, 1)
    for block, moves in ((rough, True), (smooth, False)):
        steps = block(fast, mask).mu.diff(dim=1)[:, 10:-10].abs().max()
        assert (steps > 0.3 * rough(fast, mask).mu.diff(dim=1).abs().max()) == moves
    constant = torch.randn(1, 1, 6).expand(1, 60, 6)
    torch.testing.assert_close(smooth(constant, mask).mu, rough(constant, mask).mu)


def test_noise_is_a_function_of_seed_frame_and_latent_alone():
    seeds = torch.tensor([1, 2**62, -5])
    noise = keyed_normal(seeds, 7, 4)
    assert torch.equal(noise[1:2], keyed_normal(seeds[1:2], 7, 4))
    assert torch.equal(noise[:, :3], keyed_normal(seeds, 3, 4))
    assert not torch.equal(noise[0], noise[1])


def test_noise_is_standard_normal_and_uncorrelated():
    noise = keyed_normal(torch.arange(200), 50, 8).double()
    assert noise.isfinite().all()
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs((noise**4).mean() - 3) < 0.15
    for neighbours in (noise[1:] * noise[:-1], noise[:, 1:] * noise[:, :-1], noise[..., 1:] * noise[..., :-1]):
        assert abs(neighbours.mean()) < 0.02


def test_kl_is_float32_under_autocast():
    block = VariationalBottleneck(6, 8, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert block(torch.randn(2, 4, 6), torch.ones(2, 4).bool()).kl.dtype == torch.float32


def test_a_new_block_starts_with_little_noise():
    assert GaussianLinear(4, 3, "exp").initial_bias().tolist() == [0, 0, 0, -4, -4, -4]
    layer = GaussianLinear(4, 3, "softplus")
    mu, logvar = layer.gaussian(layer.initial_bias())
    assert mu.tolist() == [0, 0, 0]
    torch.testing.assert_close(logvar, torch.full((3,), -4.0))


def test_the_block_is_the_papers_linear_gelu_linear_gelu_then_mu_and_softplus_sigma():
    torch.manual_seed(0)
    block = VariationalBottleneck(6, 8, 3).eval()
    states, mask = torch.randn(2, 4, 6), torch.ones(2, 4).bool()
    first, _, second, _, gaussian = block.encoder
    hidden = nn.functional.gelu(second(nn.functional.gelu(first(states))))
    mu = hidden @ gaussian.weight[:3].T + gaussian.bias[:3]
    sigma = nn.functional.softplus(hidden @ gaussian.weight[3:].T + gaussian.bias[3:])
    output = block(states, mask)
    torch.testing.assert_close(output.mu, mu)
    torch.testing.assert_close((0.5 * output.logvar).exp(), sigma)
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mu, sigma), torch.distributions.Normal(0, 1))
    torch.testing.assert_close(output.kl, kl.sum(-1).mean())


def test_a_softplus_sigma_near_zero_stays_finite():
    layer = GaussianLinear(1, 1, "softplus")
    _, logvar = layer.gaussian(torch.tensor([0.0, -1e4]))
    assert torch.isfinite(logvar).all()


def test_without_the_variational_part_there_is_no_kl():
    block = VariationalBottleneck(6, 8, 3, variational=False).train()
    output = block(torch.randn(2, 4, 6), torch.ones(2, 4).bool())
    assert output.kl == 0 and output.logvar is None and torch.equal(output.z, output.mu)


def test_masked_mean_does_not_depend_on_the_grouping_of_utterances():
    values = torch.tensor([[2.0, 4.0], [9.0, 9.0], [6.0, 8.0], [1.0, 3.0]])
    mask = torch.tensor([[True, True], [False, False], [True, False], [True, True]])
    halves = (masked_mean(values[:2], mask[:2]) + masked_mean(values[2:], mask[2:])) / 2
    assert masked_mean(values, mask) == halves == (3 + 0 + 6 + 2) / 4
