"""Made-up tones and a tower so small that it trains within a test."""

import numpy as np

TINY_TOWER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16, 16],
    "conv_kernel": [400, 4],
    "conv_stride": [160, 4],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "hidden_dropout": 0.1,  # so that resuming exactly needs the generators' state
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}


def tone(hertz: float, seconds: float, seed: int = 0) -> np.ndarray:
    """(S,) float32 five harmonics and some noise, at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    wave = sum(np.sin(2 * np.pi * k * hertz * time + rng.uniform(0, 6)) / k for k in range(1, 6))
    return (0.1 * wave + 0.005 * rng.standard_normal(len(time))).astype(np.float32)
