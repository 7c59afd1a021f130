"""The folder to publish: weights, configs, tokenizer, the code that loads them, records, and the card."""

import shutil
from pathlib import Path

import yaml

from xser.backbone_places_xser import command_for
from xser.backbone_sources_xser import check_sources
from xser.checkpoint_xser import AUTO_MAP, CUSTOM_PIPELINES
from xser.commands.at_hand import missing_backbones
from xser.configuration_xser import XSERConfig
from xser.corpora.cache import write_json, written_beside
from xser.evaluation.report import read_json
from xser.publishing.card import render_card
from xser.publishing.card_rules import card_problems, repo_problems
from xser.publishing.choosing import License, chosen_license
from xser.publishing.evaluations import read_evaluations
from xser.publishing.files import count_parameters, published, source_problems, text_problems
from xser.publishing.problems import Problem, PublishError, refuse
from xser.publishing.provenance import (
    BACKBONES,
    CARD,
    NOTICE,
    ROOT,
    TRAINING,
    is_hub_id,
    read_provenance,
    read_training,
)

FOLDER_KEYS = ("_name_or_path", "name_or_path")  # where something lay on this machine
CONFIG_KEYS = ("audio_config", "text_config", "emotions", "descriptors", "min_audio_seconds", "max_audio_seconds")
CONFIGS = ("config.json", "processor_config.json", "tokenizer_config.json", "generation_config.json")


def assemble(model: str, repo: str, out: Path, given: License, evaluations: list[str]) -> list[str]:
    """Write the folder to publish.

    Args:
        model: the folder of the model.
        repo: `USER/NAME` on the Hub.
        out: an empty folder to write to.
        given: the licence that the user gave; one without an `id` where none was given.
        evaluations: files that eval.py wrote, for the card.

    Returns:
        What is to be known of it, a line each: the licence and where it comes from, what an evaluation leaves open.

    Raises:
        PublishError: all that stands in the way, a line each.
    """
    source = Path(model)
    if not source.is_dir():
        raise PublishError(f"--model is {model!r}; it must be the folder of a model")
    problems = [*repo_problems(repo), *source_problems(source)]
    provenance = read_provenance(source)
    license, found = chosen_license(provenance, given)
    problems += found
    if provenance.card:
        card = (source / CARD).read_text(encoding="utf-8-sig")
        problems += [problem for problem in card_problems(card) if not problem.where.startswith(f"{CARD}: license")]
    if not (source / "config.json").is_file():
        refuse(problems)
    config = read_json(source / "config.json")
    problems += _config_problems(config)
    backbones = {key: config.get(key) for key in BACKBONES}
    local = {key: value for key, value in backbones.items() if value and not is_hub_id(value)}
    problems += _thin_problems(config, backbones, local)
    results, found, notes = read_evaluations(evaluations, source, config)

    _copy(source, out)
    _write_configs(out, dict.fromkeys(local))
    if provenance.notice is not None:
        (out / NOTICE).write_text(provenance.notice, encoding="utf-8")
    if provenance.training is not None and provenance.training != read_training(out):
        text = yaml.safe_dump(provenance.training, sort_keys=False, allow_unicode=True, width=118)
        (out / TRAINING).write_text(text, encoding="utf-8")
    refuse([*problems, *found, *text_problems(out)])

    base_models = [value for key, value in backbones.items() if value and key not in local]
    card = render_card(
        repo,
        read_json(out / "config.json"),
        count_parameters(out),
        results,
        provenance.stages,
        list(dict.fromkeys([*base_models, *provenance.base_models])),
        license,
        provenance.notice,
        provenance.card,
    )
    (out / CARD).write_text(card, encoding="utf-8")
    refuse([*card_problems(card), *text_problems(out)])
    return [f"licence: {license.id}, from {license.where}", *notes]


def replace_folder(folder: Path, target: Path) -> None:
    """Put a copy of `folder` in place of `target`, which is only taken away once the copy is complete.

    Raises:
        PublishError: `target` holds something that is no model.
    """
    if target.exists() and not (target / "config.json").is_file():
        raise PublishError(f"--output {target} is there already and holds no model: give another folder")
    with written_beside(target) as beside:
        shutil.copytree(folder, beside)
        if target.exists():
            shutil.rmtree(target)


def _config_problems(config: dict) -> list[Problem]:
    """A config of another kind of model."""
    if not isinstance(config, dict) or config.get("model_type") != XSERConfig.model_type:
        named = config.get("model_type") if isinstance(config, dict) else config
        raise PublishError(f"config.json: model_type is {named!r}; it must be the folder of an XSER model")
    missing = [key for key in CONFIG_KEYS if key not in config]
    return [Problem("config.json", missing, "these fields are missing: save the model anew")] if missing else []


def _thin_problems(config: dict, backbones: dict, local: dict) -> list[Problem]:
    """A thin checkpoint is read from its backbones: they must be on the Hub, known by hash, and here to be tried."""
    if not config.get("thin"):
        return []
    remedy = "save it with save_pretrained(folder, thin=False), or train on ids of the Hub, which XSER_BACKBONES finds"
    missing = [key for key in BACKBONES if not backbones[key]]
    problems = [
        Problem(f"config.json: {key}", None, f"the model is thin and lacks a backbone: {remedy}") for key in missing
    ]
    problems += [
        Problem(
            f"config.json: {key}",
            value,
            f"the model is thin and its backbones are folders, which are not on the Hub: {remedy}",
        )
        for key, value in local.items()
    ]
    if not problems:
        problems = [*_source_problems(config), *_missing_problems(config)]
    return problems


def _source_problems(config: dict) -> list[Problem]:
    """Each frozen backbone must be known by the hash of its weights."""
    sources = config.get("backbone_sources") or {}
    where = "config.json: backbone_sources"
    try:
        check_sources(sources)
    except (ValueError, AttributeError) as error:
        return [Problem(where, sources, str(error))]
    frozen = {"audio_model_id": "freeze_audio_tower", "text_model_id": "freeze_language_model"}
    lacking = [key for key, is_frozen in frozen.items() if config.get(is_frozen, True) and key not in sources]
    remedy = "the hash of its weights is not recorded: load the model and save it thin anew"
    return [Problem(f"{where}.{key}", None, remedy) for key in lacking]


def _missing_problems(config: dict) -> list[Problem]:
    """What is not on this machine: the folder is loaded before it goes up, without a network."""
    remedy = "this backbone is not on this machine, where the model is loaded before it goes up: "
    return [Problem("config.json", name, remedy + command_for(name)) for name in missing_backbones(config)]


def _copy(source: Path, out: Path) -> None:
    for file in (*published(source), *ROOT.glob("*_xser.py")):
        shutil.copyfile(file, out / file.name)


def _write_configs(out: Path, unset: dict) -> None:
    """Let the configs name the code beside them, and nothing of this machine."""
    added = {
        "config.json": {"auto_map": AUTO_MAP, "custom_pipelines": CUSTOM_PIPELINES, **unset},
        "processor_config.json": {"auto_map": {"AutoProcessor": AUTO_MAP["AutoProcessor"]}},
    }
    for name in CONFIGS:
        if (out / name).is_file():
            write_json(out / name, _without_folders(read_json(out / name)) | added.get(name, {}))


def _without_folders(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items() if key not in FOLDER_KEYS}
    return [_without_folders(item) for item in value] if isinstance(value, list) else value
