"""Load a folder as a stranger would: `python -I reload.py FOLDER`, in a process that cannot see the package.

Prints one line of JSON: the class that each Auto class gave, and what the pipeline says of a generated tone.
"""

import json
import sys

import numpy as np
from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline

AUTO_CLASSES = (AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor)
RATE = 16_000


def tone(seconds: float = 1.0, pitch: float = 150.0) -> np.ndarray:
    """A hum with four harmonics, (S,)."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * n * pitch * times) / n for n in range(1, 5))).astype(np.float32)


def main(folder: str) -> None:
    try:
        AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError:
        pass
    else:
        raise RuntimeError(f"{folder} loads without trust_remote_code: it is not the code in the folder that loads it")
    loaded = {auto.__name__: auto.from_pretrained(folder, trust_remote_code=True) for auto in AUTO_CLASSES}
    explain = pipeline("audio-emotion-explain", model=folder, trust_remote_code=True, device="cpu")
    answer = explain({"raw": tone(), "sampling_rate": RATE}, verify=True)
    if abs(sum(answer["scores"].values()) - 1) > 1e-3:
        raise RuntimeError(f"the scores sum to {sum(answer['scores'].values())}, not to 1: {answer['scores']}")
    classes = {name: type(value).__name__ for name, value in loaded.items()}
    print(json.dumps({"classes": classes, "answer": answer}))


if __name__ == "__main__":
    sys.modules["xser"] = None  # importing it fails from here on, even where it is installed
    main(sys.argv[1])
