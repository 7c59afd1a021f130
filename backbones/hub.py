"""The same two models as their makers publish them, from one revision each of the Hub."""

import shutil
from pathlib import Path

from huggingface_hub import snapshot_download

from xser.backbone_hash_xser import file_sha256
from xser.backbone_sources_xser import HUB_FILES, WEIGHTS

REVISIONS = {
    "openai/whisper-base": "e37978b90ca9030d5170a5c07aadb050351a65bb",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "12fd25f77366fa6b3b4b768ec3050bf629380bac",
}
FILES = ("*.json", "*.txt", "*.jinja", "README.md", WEIGHTS)
SOURCE = "the Hub, revision {}"


def fetch(hub_id: str, out: Path) -> None:
    """Fetch a model into a folder; what an interrupted call has left there is gone on with.

    Raises:
        OSError: the Hub cannot be reached, or refuses.
        ValueError: its weights are not the pinned ones; they are removed then.
    """
    try:
        snapshot_download(hub_id, revision=REVISIONS[hub_id], local_dir=out, allow_patterns=FILES)
    except (OSError, ValueError) as error:  # HfHubHTTPError and a missing network are OSErrors
        said = " ".join(str(error).split())
        raise OSError(f"{hub_id} could not be fetched from the Hub: {said or type(error).__name__}") from error
    if not (out / WEIGHTS).is_file() or (found := file_sha256(out / WEIGHTS)) != HUB_FILES[hub_id]:
        found = found if (out / WEIGHTS).is_file() else None
        shutil.rmtree(out)
        raise ValueError(
            f"{WEIGHTS} of {hub_id} has sha256 {found}, the pinned one is {HUB_FILES[hub_id]}: it is not the file "
            "that was meant, and is removed"
        )
    shutil.rmtree(out / ".cache", ignore_errors=True)
