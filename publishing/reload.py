"""Load a folder by its public names: `python -I reload.py FOLDER`, in a process that cannot see the package.

Prints one line of JSON: the class that each Auto class gave, and what the pipeline says of a generated voice.
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline

AUTO_CLASSES = (AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor)
RATE = 16_000
FORMANTS = (700, 1200, 2600)  # Hz, of an open vowel
SYLLABLES = 4  # a second


def voice(seconds: float = 1.0, pitch: float = 150.0) -> np.ndarray:
    """Syllables of a vowel whose pitch falls by a third, (S,) float32."""
    times = np.arange(round(seconds * RATE)) / RATE
    f0 = pitch * (1.15 - 0.3 * times / seconds)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    wave = np.zeros_like(times)
    for harmonic in range(1, int(4000 / pitch)):
        nearness = sum(np.exp(-(((harmonic * f0 - formant) / 150) ** 2)) for formant in FORMANTS)
        wave += (0.1 + nearness) / harmonic**0.5 * np.sin(harmonic * phase)
    wave *= np.sin(np.pi * SYLLABLES * times) ** 2 + 0.02
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32)


def check_answer(answer: dict) -> None:
    """Refuse scores that are no distribution; where the voice does not pass for speech there are none."""
    if answer["status"] == "ok" and not abs(sum(answer["scores"].values()) - 1) <= 1e-3:  # NaN is refused, too
        raise RuntimeError(f"the scores sum to {sum(answer['scores'].values())}, not to 1: {answer['scores']}")


def check_logits(model, processor) -> None:
    """Refuse a model that makes no numbers of the voice."""
    with torch.inference_mode():
        logits = model(**processor([(voice(), RATE)])).logits
    if not torch.isfinite(logits).all():
        raise RuntimeError(f"{int((~torch.isfinite(logits)).sum())} of the {logits.numel()} logits are not finite")


def main(folder: str) -> None:
    try:
        AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError:
        pass
    else:
        raise RuntimeError(f"{folder} loads without trust_remote_code: it is not the code in the folder that loads it")
    loaded = {auto.__name__: auto.from_pretrained(folder, trust_remote_code=True) for auto in AUTO_CLASSES}
    check_logits(loaded["AutoModelForMultimodalLM"], loaded["AutoProcessor"])
    explain = pipeline("audio-emotion-explain", model=folder, trust_remote_code=True, device="cpu")
    answer = explain({"raw": voice(), "sampling_rate": RATE}, verify=True)
    check_answer(answer)
    classes = {name: type(value).__name__ for name, value in loaded.items()}
    print(json.dumps({"classes": classes, "answer": answer}))


if __name__ == "__main__":
    sys.modules["xser"] = None  # importing it fails from here on, even where it is installed
    main(sys.argv[1])
