"""Publish a model: assemble its folder, load it as a stranger would, then upload it.

    python push_to_hub.py --model checkpoints/xser-tiny --repo USER/NAME --dry_run --evaluation results.json
    python push_to_hub.py --model runs/mine/final --repo USER/NAME --private

`--dry_run` does all but the upload; `--output DIR` keeps what would be uploaded. The login is the one of
`hf auth login`, or the HF_TOKEN of the environment.
A `training.yaml` in the model's folder goes into the card: a list of stages with `data`, `command` and `seed`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import yaml
from huggingface_hub import HfApi
from safetensors import safe_open
from transformers import HfArgumentParser

from xser.checkpoint_xser import AUTO_MAP, CUSTOM_PIPELINES
from xser.corpora.cache import write_json
from xser.evaluation import reload
from xser.evaluation.card import render_card
from xser.evaluation.report import read_json, text_table

CODE = Path(__file__).parent
REQUIRED = ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
TRAINING = "training.yaml"
NOTICE = "NOTICE"  # whose data the model was made of, and on what terms
OPTIONAL = (
    TRAINING,
    NOTICE,
    "generation_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
)
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.gguf", "*.onnx")
TRAINER_STATE = ("training_args.bin", "optimizer.*", "scheduler.pt", "scaler.pt", "rng_state*.pth")  # stays at home
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class PublishError(ValueError):
    """A model that cannot be published as it is; the message names the file or value and what is right."""


@dataclass
class PublishArguments:
    model: str = field(metadata={"help": "folder of the model"})
    repo: str = field(metadata={"help": "where to publish it: USER/NAME"})
    dry_run: bool = field(default=False, metadata={"help": "do all but the upload"})
    private: bool = field(default=False, metadata={"help": "make the repository a private one"})
    evaluation: list[str] = field(default_factory=list, metadata={"help": "files that eval.py wrote, for the card"})
    output: str | None = field(default=None, metadata={"help": "also keep the assembled folder here"})
    license: str = field(default="apache-2.0", metadata={"help": "the model's licence, by the Hub's name for it"})


def check_repo(repo: str) -> None:
    """Refuse a name that is not `USER/NAME`, or has a dot, which breaks the loading of code from it."""
    if repo.count("/") != 1 or not re.fullmatch(r"[\w-]+/[\w-]+", repo.replace(".", "_")):
        raise PublishError(f"--repo is {repo!r}; it must be USER/NAME, of letters, digits, - and _")
    if "." in repo:
        raise PublishError(f"--repo is {repo!r}; code cannot be loaded from a name with a dot: use - or _ instead")


def assemble(arguments: PublishArguments, out: Path) -> None:
    """Write the folder to publish: weights, configs, tokenizer, the code that loads them, and the card.

    Raises:
        PublishError: a file is missing or must not be published.
    """
    source = Path(arguments.model)
    if not source.is_dir():
        raise PublishError(f"--model is {str(source)!r}; it must be the folder of a model")
    _check_files(source)
    for pattern in (*REQUIRED, *OPTIONAL, *WEIGHTS):
        for file in source.glob(pattern):
            shutil.copy2(file, out)
    for file in CODE.glob("*_xser.py"):
        shutil.copy2(file, out)

    config = read_json(source / "config.json")
    config |= {"auto_map": AUTO_MAP, "custom_pipelines": CUSTOM_PIPELINES}
    backbones = {key: config.get(key) for key in ("audio_model_id", "text_model_id")}
    local = {key: value for key, value in backbones.items() if value and not _is_hub_id(value)}
    if local and config.get("thin"):
        raise PublishError(f"{source} is thin and its backbones are folders, {local}: save it with thin=False")
    config |= dict.fromkeys(local)  # where a full model's backbones lay on this machine means nothing elsewhere
    for part in (config, config["audio_config"], config["text_config"]):
        part.pop("_name_or_path", None)
    write_json(out / "config.json", config)
    processor_config = read_json(source / "processor_config.json")
    processor_config["auto_map"] = {"AutoProcessor": AUTO_MAP["AutoProcessor"]}
    write_json(out / "processor_config.json", processor_config)
    card = render_card(
        arguments.repo,
        config,
        _count_parameters(out),
        [_read_evaluation(path) for path in arguments.evaluation],
        _read_training(out / TRAINING),
        [value for key, value in backbones.items() if value and key not in local],
        arguments.license,
        (source / NOTICE).read_text(encoding="utf-8") if (source / NOTICE).is_file() else None,
    )
    (out / "README.md").write_text(card, encoding="utf-8")


def load_as_stranger(folder: Path) -> dict:
    """Load the folder by its public names in a process without the package and without a network.

    Returns:
        `classes`, what each Auto class gave, and `answer`, what the pipeline said of a generated tone.

    Raises:
        PublishError: it does not load; the message ends with the process's last lines.
    """
    with tempfile.TemporaryDirectory() as modules:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": modules}
        done = subprocess.run(
            [sys.executable, "-I", reload.__file__, str(folder)],
            env=environment,
            cwd=modules,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise PublishError(f"{folder} does not load by its public names:\n{last}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: PublishArguments) -> None:
    check_repo(arguments.repo)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        assemble(arguments, folder)
        print("loading it in a process that cannot see the package …", flush=True)
        loaded = load_as_stranger(folder)
        print(", ".join(f"{name}: {value}" for name, value in loaded["classes"].items()))
        print(f"the pipeline says of a hum: {loaded['answer']['explanation']}\n")

        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sizes = [path.stat().st_size for path in files]
        rows = [(str(path.relative_to(folder)), _readable(size)) for path, size in zip(files, sizes, strict=True)]
        print(text_table([*rows, (f"{len(files)} files", _readable(sum(sizes)))], (arguments.repo, "size")))
        if arguments.output is not None:
            replace_folder(folder, Path(arguments.output))
            print(f"\nkept in {arguments.output}")
        if arguments.dry_run:
            print("\ndry run: nothing was uploaded")
            return
        api = HfApi()
        api.create_repo(arguments.repo, private=arguments.private, exist_ok=True)
        commit = api.upload_folder(repo_id=arguments.repo, folder_path=folder, commit_message="Upload XSER model")
        print(f"\nuploaded: {commit.commit_url}")


def replace_folder(folder: Path, target: Path) -> None:
    """Put a copy of `folder` in place of `target`, which is only taken away once the copy is complete.

    Raises:
        PublishError: `target` holds something that is no model.
    """
    if target.exists() and not (target / "config.json").is_file():
        raise PublishError(f"--output {target} is there already and holds no model: give another folder")
    beside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(folder, beside)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def _check_files(source: Path) -> None:
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    for name in names:
        is_state = any(fnmatch(name, pattern) for pattern in TRAINER_STATE)
        if not is_state and any(fnmatch(name, pattern) for pattern in OTHER_WEIGHTS):
            raise PublishError(f"{source / name} is not safetensors: save the model's weights as such and remove it")
    missing = [name for name in REQUIRED if name not in names]
    if not any(fnmatch(name, pattern) for name in names for pattern in WEIGHTS[:2]):
        missing.append(WEIGHTS[0])
    if WEIGHTS[2] in names:
        shards = set(read_json(source / WEIGHTS[2])["weight_map"].values())
        missing += sorted(shards - set(names))
    if missing:
        raise PublishError(f"{source} lacks {', '.join(missing)}: save both the model and its processor there")


def _is_hub_id(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and not Path(name).exists()


def _count_parameters(folder: Path) -> int:
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (no dict)
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


def _read_evaluation(path: str) -> dict:
    results = read_json(path)
    missing = [key for key in ("command", "corpus", "split", "n", "ua", "wer", "descriptors") if key not in results]
    if missing:
        raise PublishError(f"--evaluation {path} lacks {', '.join(missing)}: give a file that eval.py wrote")
    return results


def _read_training(path: Path) -> list[dict]:
    if not path.exists():
        return []
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(stages, list) or any(set(stage) != {"data", "command", "seed"} for stage in stages):
        raise PublishError(f"{path} must be a list of stages, each with data, command and seed")
    return stages


def _readable(size: int) -> str:
    return f"{size / 2**20:.2f} MB" if size >= 2**20 else f"{size / 2**10:.1f} kB"


if __name__ == "__main__":
    try:
        main(HfArgumentParser(PublishArguments).parse_args_into_dataclasses()[0])
    except ValueError as error:
        sys.exit(f"push_to_hub.py: {error}")
