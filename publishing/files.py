"""The files of a folder that is published: which go up, which must not be there, and what must not stand in them."""

import json
import math
import re
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub.constants import MAX_HTTP_DOWNLOAD_SIZE
from safetensors import SafetensorError, safe_open

from xser.evaluation.report import read_json
from xser.publishing.problems import Problem, has_secret
from xser.publishing.provenance import LICENSES, NOTICE, TRAINING

REQUIRED = ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL = (
    TRAINING,
    NOTICE,
    *LICENSES,
    "generation_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
)
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
OTHER_WEIGHTS = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.pkl",
    "*.pickle",
    "*.joblib",
    "*.h5",
    "*.msgpack",
    "*.gguf",
    "*.onnx",
)
TRAINER_STATE = ("training_args.bin", "optimizer.*", "scheduler.pt", "scaler.pt", "rng_state*.pth")  # stays at home
SECRETS = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "id_rsa*",
    "id_ed25519*",
    ".netrc",
    ".git-credentials",
    "token",
    "*.token",
)
SECRETS += ("credentials*", "secrets*", "stored_tokens")
MAX_SIZE = MAX_HTTP_DOWNLOAD_SIZE  # bytes of one file: what `from_pretrained` reads back
TEXTS = (".json", ".yaml", ".jinja", ".md", ".txt", "")
NOT_FINITE = "not finite"  # a value of JSON that JSON does not have
NO_TEXTS = ("tokenizer.json",)  # its words are those of a vocabulary
_HOMES = (
    r"home|root|Users|tmp|work|mnt|media|data|scratch|opt|var|srv|private|workspace|content|kaggle|storage|gpfs|lustre"
)
MACHINE_PATH = re.compile(
    rf"(?<![\w:/.<-])(?:~|/(?:{_HOMES}))/[^\s'\"`,;)\]}}]+|file://[^\s'\"`,;)]+|(?<!\w)[A-Za-z]:\\+[^\s'\"`,;]+"
)


def source_problems(source: Path) -> list[Problem]:
    """What is wrong with the files of a model's folder: missing, no safetensors, cut off, secrets, links elsewhere."""
    files = sorted((path for path in source.rglob("*") if path.is_file() or path.is_symlink()), key=str)
    problems = []
    for path in files:
        name = path.name
        is_state = any(fnmatch(name, pattern) for pattern in TRAINER_STATE)
        if not is_state and path.parent == source and any(fnmatch(name, pattern) for pattern in OTHER_WEIGHTS):
            problems.append(
                Problem(str(path), name, f"{name} is not safetensors: save the weights as such and remove it")
            )
        if any(fnmatch(name.lower(), pattern) for pattern in SECRETS):
            problems.append(Problem(str(path), name, "it has the name of a secret: take it out of the folder"))
        if path.parent == source and _is_published(name):
            problems += _of_published(path)
    problems += _missing(source, {path.name for path in files if path.parent == source})
    return problems


def published(source: Path) -> list[Path]:
    """The files of a model's folder that go up as they are, by name."""
    return sorted(path for path in source.iterdir() if path.is_file() and _is_published(path.name))


def left_out(source: Path) -> list[str]:
    """Names in a model's folder that stay at home; the code and the card are written anew."""
    replaced = {"README.md", ".gitattributes"}
    return sorted(
        path.name
        for path in source.iterdir()
        if not _is_published(path.name) and path.name not in replaced and not path.name.endswith("_xser.py")
    )


def text_problems(folder: Path) -> list[Problem]:
    """Folders of this machine and secrets in the texts of a folder that goes up, and files that are too large."""
    here = [place for place in (str(Path.home()), str(Path.cwd()), tempfile.gettempdir()) if len(place) > 1]
    known = re.compile(rf"(?<![\w:/.<-])(?:{'|'.join(map(re.escape, here))})(?![\w-])[^\s'\"`,;)]*")
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size > MAX_SIZE:
            remedy = "save the model with max_shard_size='5GB'"
            problems.append(Problem(path.name, f"{path.stat().st_size} bytes", f"the most is {MAX_SIZE}: {remedy}"))
        if path.is_file() and path.suffix in TEXTS and path.name not in NO_TEXTS:
            for where, text in _texts(path):
                if text is NOT_FINITE:
                    problems.append(Problem(where, float("nan"), "the Hub reads no NaN or infinity in JSON: use null"))
                if has_secret(text):
                    problems.append(Problem(where, "a token or key", "take it out, and revoke it where it was shown"))
                if found := MACHINE_PATH.search(text) or known.search(text):
                    remedy = "it is a path of this machine: give a name, or a relative path"
                    problems.append(Problem(where, found[0], remedy))
    return problems


def count_parameters(folder: Path) -> int:
    """Numbers in all the weights of a folder."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (no dict)
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


def _is_published(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in (*REQUIRED, *OPTIONAL, *WEIGHTS))


def _of_published(path: Path) -> Iterator[Problem]:
    if path.is_symlink():
        target = path.resolve()
        in_cache = target.parent.name == "blobs" and target.parent.parent in path.absolute().parents  # of the Hub
        if not target.is_file():
            yield Problem(str(path), str(path.readlink()), "it links to nothing: copy the file itself here")
            return
        if not in_cache and not target.is_relative_to(path.parent.resolve()):
            yield Problem(str(path), str(path.readlink()), "it links out of the folder: copy the file itself here")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as weights:
                weights.keys()
        except SafetensorError as error:
            yield Problem(str(path), path.name, f"it is no whole safetensors file ({error}): save the model anew")


def _missing(source: Path, names: set[str]) -> list[Problem]:
    missing = [name for name in REQUIRED if name not in names]
    if not any(fnmatch(name, pattern) for name in names for pattern in WEIGHTS[:2]):
        missing.append(WEIGHTS[0])
    if WEIGHTS[2] in names:
        shards = set(read_json(source / WEIGHTS[2])["weight_map"].values())
        missing += sorted(shards - names)
    if not missing:
        return []
    lacks = f"it lacks {', '.join(missing)}: save both the model and its processor there"
    return [Problem("--model", str(source), lacks)]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Texts of a file with their places: values of JSON with their keys, else lines. NaN, no JSON, is one, too."""
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        yield from _values(json.loads(content), path.name)
    else:
        for number, line in enumerate(content.splitlines(), start=1):
            yield f"{path.name}, line {number}", line


def _values(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, float) and not math.isfinite(value):
        yield where, NOT_FINITE
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _values(item, f"{where}: {key}" if where.endswith(".json") else f"{where}.{key}")
            yield where, str(key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, f"{where}[{index}]")
