"""The disentanglement block of XSER: layer mix, Gaussian encoder, variational information bottleneck.

    h = sum_l softmax(w)_l X_l          weighted sum over the layers of a frozen HuBERT    (XSER, arXiv 2505.23236)
    p(z|x) = N(mu(h), diag(sigma(h)^2)) Linear, GELU, Linear, GELU; then mu, softplus sigma  (XSER)
    z = mu + sigma * eps                in training; z = mu at inference                   (Kingma & Welling 2014)
    loss = -log q(y|z) + beta KL(p(z|x) || N(0, I))                                        (Alemi et al. 2017, eq. 16)

How the KL is reduced is our choice: summed over latents, averaged over an utterance's real frames, then over
utterances, in float32, so that it is in nats a frame and does not depend on padding or on how utterances are grouped.

Shapes: B batch, T frames, L layers of the tower (L+1 with its input), H tower width, Z latent size.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

LOGVAR_RANGE = (-12.0, 4.0)
MIN_SIGMA = 1e-6  # keeps the logarithm finite; LOGVAR_RANGE ends far above
CONTEXT_KERNEL = 5  # frames
INITIAL_LOGVAR = -4.0  # new blocks start with little noise, so that the language model has something to learn from


@dataclass
class BottleneckOutput:
    z: torch.Tensor  # (B, T, Z) sample in training, mean at inference; zero on padding
    mu: torch.Tensor  # (B, T, Z)
    logvar: torch.Tensor | None  # (B, T, Z), None where the block is not variational
    kl: torch.Tensor  # () nats a frame, float32


def compute_dtype(module: nn.Module) -> torch.dtype:
    """What a module computes in: of its first tensor of real numbers, since quantised weights are packed in others."""
    return next(p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype.itemsize > 1)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over real positions of each utterance, then over utterances; one without any counts as zero.

    So a mean over equal batches is the mean over all, however utterances are grouped.

    Args:
        values: (B, T) a number a position.
        mask: (B, T) true where real.
    """
    return ((values * mask).sum(-1) / mask.sum(-1).clamp(min=1)).mean()


def keyed_normal(seed: torch.Tensor, num_frames: int, latent_size: int) -> torch.Tensor:
    """Standard normal noise as a pure function of (utterance's seed, frame, latent).

    Stateless, so the same utterance gets the same noise in any batch, under any padding, on any process and device:
    a SplitMix64 hash of the counter, its two 24-bit ends to a Box-Muller transform.

    Args:
        seed: (B,) int64.

    Returns:
        (B, T, Z) float32.
    """
    counter = torch.arange(1, num_frames * latent_size + 1, device=seed.device).view(num_frames, latent_size)
    state = _split_mix(_split_mix(seed).view(-1, 1, 1) + counter * -7046029254386353131)  # 0x9E3779B97F4A7C15
    radius = (_logical_shift(state, 40).float() + 0.5) * 2.0**-24  # in (0, 1]
    angle = (state & 0xFFFFFF).float() * (2.0**-24 * 2 * math.pi)
    return torch.sqrt(-2 * torch.log(radius)) * torch.cos(angle)


def _split_mix(state: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser (Steele et al. 2014): int64 to int64, every bit depends on every bit."""
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):  # 0xBF58476D…, 0x94D049BB…
        state = (state ^ _logical_shift(state, shift)) * factor
    return state ^ _logical_shift(state, 31)


def _logical_shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift int64 to the right as if it were unsigned."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


class LayerMix(nn.Module):
    """Weighted sum over all layers of the tower, its weights a softmax of learned scores."""

    def __init__(self, num_layers: int):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(num_layers))

    def forward(self, hidden_states: tuple[torch.Tensor, ...]) -> torch.Tensor:  # (L+1) x (B, T, H) -> (B, T, H)
        weights = self.scores.softmax(-1)
        return sum(weight * layer.to(weight.dtype) for weight, layer in zip(weights, hidden_states, strict=True))


def moving_average(values: torch.Tensor, mask: torch.Tensor, span: int) -> torch.Tensor:
    """Mean of the real frames among the `span` (odd) around each, (B, T, F) -> (B, T, F); zero where none is."""
    real = mask.unsqueeze(1).to(values.dtype)  # (B, 1, T)
    heard = torch.cat([values.transpose(1, 2) * real, real], 1)
    sums = nn.functional.avg_pool1d(heard, span, stride=1, padding=span // 2)
    return (sums[:, :-1] / sums[:, -1:].clamp(min=1 / (2 * span))).transpose(1, 2)


class GaussianLinear(nn.Linear):
    """The two linear layers to mu(x) and to what sigma(x) is made of, for Z latents, in one product.

    Args:
        sigma: `softplus` of the second half (the paper's), or `exp` of half of it, a log-variance.
    """

    def __init__(self, hidden_size: int, latent_size: int, sigma: str):
        super().__init__(hidden_size, 2 * latent_size)
        self.sigma = sigma

    def initial_bias(self) -> torch.Tensor:
        """Bias of a new layer: mean 0, log-variance `INITIAL_LOGVAR`."""
        spread = INITIAL_LOGVAR if self.sigma == "exp" else math.log(math.expm1(math.exp(INITIAL_LOGVAR / 2)))
        return torch.tensor([0.0, spread]).repeat_interleave(self.out_features // 2)


def gaussian(parameters: torch.Tensor, sigma: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log-variances from the output of a `GaussianLinear`, (B, T, 2 Z) -> (B, T, Z) each, float32."""
    mu, spread = parameters.float().chunk(2, dim=-1)
    logvar = spread if sigma == "exp" else 2 * nn.functional.softplus(spread).clamp(min=MIN_SIGMA).log()
    return mu, logvar.clamp(*LOGVAR_RANGE)


class VariationalBottleneck(nn.Module):
    """A diagonal Gaussian over Z latents a frame, held near N(0, I) by its KL.

    With `variational=False` it is an ordinary perceptron to Z numbers, and its KL is zero. `context_layers`
    convolutions in its middle (our addition) let a frame know its neighbours; the paper's block sees one at a time.
    `smoothing` frames are averaged after them (our addition): what then passes changes slowly, as a voice does and
    words do not.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        latent_size: int,
        encoder_layers: int = 2,
        sigma: str = "softplus",
        variational: bool = True,
        context_layers: int = 0,
        dropout: float = 0.0,
        smoothing: int = 1,
    ):
        super().__init__()
        self.variational, self.smoothing, self.sigma = variational, smoothing, sigma
        self.dropout = nn.Dropout(dropout)
        sizes = [input_size, *[hidden_size] * encoder_layers]
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.GELU())]
        latent = (
            GaussianLinear(hidden_size, latent_size, sigma) if variational else nn.Linear(hidden_size, latent_size)
        )
        self.encoder = nn.Sequential(*hidden, latent)
        self.context = nn.ModuleList(
            nn.Conv1d(hidden_size, hidden_size, CONTEXT_KERNEL, padding=CONTEXT_KERNEL // 2)
            for _ in range(context_layers)
        )

    def forward(
        self, hidden_states: torch.Tensor, mask: torch.Tensor, noise_seed: torch.Tensor | None = None
    ) -> BottleneckOutput:
        """
        Args:
            hidden_states: (B, T, H).
            mask: (B, T) bool, true on real frames.
            noise_seed: (B,) int64 seeds of the noise; `None` draws from torch's generator. Unused in eval mode.
        """
        hidden = self.encoder[:-1](self.dropout(hidden_states))
        for convolution in self.context:
            heard = (hidden * mask.unsqueeze(-1)).transpose(1, 2)
            hidden = hidden + nn.functional.gelu(convolution(heard)).transpose(1, 2)
        if self.smoothing > 1:
            hidden = moving_average(hidden, mask, self.smoothing)
        parameters = self.encoder[-1](hidden)
        if not self.variational:
            return BottleneckOutput(
                parameters * mask.unsqueeze(-1), parameters, None, parameters.new_zeros(()).float()
            )
        with torch.autocast(hidden_states.device.type, enabled=False):
            mu, logvar = gaussian(parameters, self.sigma)
            kl = masked_mean(0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1), mask)
            z = mu
            if self.training:
                if noise_seed is None:
                    noise = torch.randn_like(mu)
                else:
                    noise = keyed_normal(noise_seed, *mu.shape[1:])
                z = mu + (0.5 * logvar).exp() * noise
            z = z * mask.unsqueeze(-1)
        return BottleneckOutput(z.to(hidden_states.dtype), mu, logvar, kl)
