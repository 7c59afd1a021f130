"""What the Hub would refuse of a card's metadata, found without a network."""

import difflib
import json
import math
import re
from collections.abc import Iterator
from importlib import resources

from huggingface_hub import ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from xser.publishing.choosing import License, license_problems
from xser.publishing.licenses import OTHER
from xser.publishing.problems import Problem, PublishError
from xser.publishing.strict_yaml import front_matter

# Of https://huggingface.co/tasks
_TASKS = """
    any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition depth-estimation
    document-question-answering feature-extraction fill-mask graph-ml image-classification image-feature-extraction
    image-segmentation image-text-to-image image-text-to-text image-text-to-video image-to-3d image-to-image
    image-to-text image-to-video keypoint-detection mask-generation multiple-choice object-detection other
    question-answering reinforcement-learning robotics sentence-similarity summarization table-question-answering
    table-to-text tabular-classification tabular-regression tabular-to-text text-classification text-generation
    text-ranking text-retrieval text-to-3d text-to-audio text-to-image text-to-speech text-to-video
    time-series-forecasting token-classification translation unconditional-image-generation video-classification
    video-text-to-text video-to-video visual-document-retrieval visual-question-answering voice-activity-detection
    zero-shot-classification zero-shot-image-classification zero-shot-object-detection
"""
PIPELINE_TAGS = tuple(_TASKS.split())
LISTS = ("tags", "metrics", "base_model", "datasets", "language")  # of texts; one may stand alone
_LICENSE_NAME = re.compile(r"[a-z0-9.-]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SPECIAL_LANGUAGES = ("code", "multilingual")
_LANGUAGES_OF_DATASETS = ("utils", "resources", "languages.json")


def card_problems(text: str, where: str = "README.md") -> list[Problem]:
    """All that is wrong with the metadata of a card.

    Args:
        text: the whole card.
        where: how to name it.

    Raises:
        PublishError: the metadata cannot be read at all.
    """
    metadata = front_matter(text, where)
    problems = [*_license(metadata, where), *_fields(metadata, where), *_figures(metadata, where)]
    if not problems:
        try:
            ModelCardData(**{str(key): value for key, value in metadata.items()})
        except (ValueError, TypeError, KeyError) as error:
            raise PublishError(f"{where}: huggingface_hub does not read its metadata: {error}") from error
    return problems


def repo_problems(repo: str) -> list[Problem]:
    """What is wrong with the name of a repository for a model with code."""
    if not isinstance(repo, str) or repo.count("/") != 1:
        return [Problem("--repo", repo, "it must be USER/NAME")]
    if "." in repo:
        instead = re.sub(r"\.+", "-", repo).strip("-")
        return [Problem("--repo", repo, f"code cannot be loaded from a name with a dot: use {instead}, for instance")]
    try:
        validate_repo_id(repo)
    except HFValidationError:
        rule = "letters of A to Z, digits, - and _, up to 96 of each, no - at either end, no --"
        return [Problem("--repo", repo, f"it must be USER/NAME, of {rule}")]
    return []


def number_problem(where: str, value: object) -> Problem | None:
    """A figure that is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return Problem(where, value, "a figure must be a finite number: evaluate anew, or leave it out")
    return None


def name_problem(where: str, value: object) -> Problem | None:
    """A name that is missing, empty or no text."""
    if not isinstance(value, str) or not value.strip():
        return Problem(where, value, "it must be a text that is not empty")
    return None


def _license(metadata: dict, where: str) -> Iterator[Problem]:
    if "license" not in metadata:
        return
    license = License(*(metadata.get(key) for key in ("license", "license_name", "license_link")), f"{where}: license")
    problems = license_problems(license)
    yield from problems
    if not problems and license.id == OTHER:
        if not _LICENSE_NAME.fullmatch(license.name):
            yield Problem(f"{where}: license_name", license.name, "the Hub wants small letters, digits, dots and -")
        if not re.match(r"https?://\S+$|LICENSE(\.\w+)?$", license.link):
            yield Problem(f"{where}: license_link", license.link, "it must be LICENSE, a file beside, or an address")


def _fields(metadata: dict, where: str) -> Iterator[Problem]:
    for key in LISTS:
        value = metadata.get(key)
        if value is None:
            if key in metadata:
                yield Problem(f"{where}: {key}", value, "give a value, or leave the line out")
            continue
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            at = f"{where}: {key}" + (f"[{index}]" if isinstance(value, list) else "")
            if not isinstance(item, str) or not item.strip():
                yield Problem(at, item, "it must be a text: quote it, as in 'no'")
            elif key in ("base_model", "datasets"):
                yield from _hub_name(at, item)
            elif key == "language" and (remedy := _language_remedy(item)):
                yield Problem(at, item, remedy)
    for key in ("pipeline_tag", "library_name"):
        if key in metadata and name_problem(f"{where}: {key}", metadata[key]):
            yield name_problem(f"{where}: {key}", metadata[key])
    tag = metadata.get("pipeline_tag")
    if isinstance(tag, str) and tag.strip() and tag not in PIPELINE_TAGS:
        close = difflib.get_close_matches(tag, PIPELINE_TAGS, n=1, cutoff=0.4)
        yield Problem(f"{where}: pipeline_tag", tag, f"the Hub has no such task; the nearest is {close or ['other']}")


def _hub_name(where: str, name: str) -> Iterator[Problem]:
    try:
        validate_repo_id(name)
    except HFValidationError:
        yield Problem(where, name, "it must be an id on the Hub, USER/NAME: leave out what is not there")


def _language_remedy(code: str) -> str | None:
    if code in _SPECIAL_LANGUAGES:
        return None
    known = _languages()
    if _LANGUAGE.fullmatch(code) and (len(code.split("-")[0]) == 3 or not known or code.split("-")[0] in known):
        return None
    by_name = {name.split(" (")[0].lower(): short for short, name in known.items() if len(short) == 2}
    meant = by_name.get(code.lower()) or (code.lower() if code.lower() in known else None)
    return "it must be an ISO 639 code, such as en, pl or yue" + (f": {meant}" if meant else "")


def _languages() -> dict[str, str]:
    """Codes and names of languages, as `datasets` ships them; empty where it does not."""
    path = resources.files("datasets").joinpath(*_LANGUAGES_OF_DATASETS)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _figures(metadata: dict, where: str) -> Iterator[Problem]:
    """The `model-index`: a list of models with results, each with task, data set and metrics."""
    if "model-index" not in metadata:
        return
    for at, model in _items(metadata["model-index"], f"{where}: model-index"):
        if isinstance(model, Problem):
            yield model
            continue
        yield from filter(None, [name_problem(f"{at}.name", model.get("name"))])
        for place, result in _items(model.get("results"), f"{at}.results"):
            if isinstance(result, Problem):
                yield result
                continue
            task, dataset = result.get("task"), result.get("dataset")
            wanted = [(f"{place}.task", task, ("type",)), (f"{place}.dataset", dataset, ("type", "name"))]
            for path, part, keys in wanted:
                known = part if isinstance(part, dict) else {}
                yield from filter(None, (name_problem(f"{path}.{key}", known.get(key)) for key in keys))
            for spot, metric in _items(result.get("metrics"), f"{place}.metrics"):
                if isinstance(metric, Problem):
                    yield metric
                    continue
                yield from filter(None, [name_problem(f"{spot}.type", metric.get("type"))])
                yield from filter(None, [number_problem(f"{spot}.value", metric.get("value"))])
                for text in [key for key in ("name",) if key in metric]:
                    yield from filter(None, [name_problem(f"{spot}.{text}", metric[text])])


def _items(value: object, where: str) -> Iterator[tuple[str, dict | Problem]]:
    """Mappings of a list, with their places; a `Problem` instead of what is none."""
    if not isinstance(value, list) or not value:
        yield where, Problem(where, value, "it must be a list that is not empty")
        return
    for index, item in enumerate(value):
        at = f"{where}[{index}]"
        yield at, item if isinstance(item, dict) else Problem(at, item, "it must be a mapping")
