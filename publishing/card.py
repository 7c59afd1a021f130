"""The card of a published model: filled from its config and its evaluations, no figure by hand."""

from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xser.backbone_places_xser import FOLDERS
from xser.evaluation.report import figure_rows, markdown_table
from xser.publishing.choosing import License
from xser.publishing.licenses import OTHER

TEMPLATES = Path(__file__).parent.parent / "model_card"
TAGS = ("speech-emotion-recognition", "explainability", "audio", "xser")
SYNTHETIC_CORPORA = {"espeak"}
METRICS = (  # key of a results file; the Hub's type, our name and arguments of the metric; where its n stands
    ("ua", "unweighted_accuracy", "UA", None, "emotion"),
    ("wa", "accuracy", "WA", None, "emotion"),
    ("macro_f1", "f1", "macro F1", {"average": "macro"}, "emotion"),
    ("wer", "wer", "WER", None, "text"),
    ("cer", "cer", "CER", None, "text"),
)


def render_card(
    repo: str,
    config: dict,
    num_parameters: int,
    evaluations: list[dict],
    training: list[dict],
    base_models: list[str],
    license: License,
    notice: str | None = None,
    card: dict | None = None,
) -> str:
    """The card as Markdown with its metadata.

    Args:
        repo: `USER/NAME` on the Hub.
        config: the model's `config.json`.
        num_parameters: of the whole checkpoint.
        evaluations: contents of files that eval.py wrote.
        training: stages, each with `data`, `command` and `seed`.
        base_models: Hub ids of the backbones, and of the checkpoints that it went on from.
        license: what it is published under.
        notice: whose data it was made of, and on what terms.
        card: the metadata of the card in the model's folder, of which languages, data sets and tags are taken over.
    """
    card = card or {}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    metadata = {"license": license.id}
    if license.id == OTHER:
        metadata |= {"license_name": license.name, "license_link": license.link}
    metadata |= {key: card[key] for key in ("language", "datasets") if card.get(key)}
    if base_models := list(dict.fromkeys([*base_models, *_listed(card.get("base_model"))])):
        metadata["base_model"] = base_models
    metadata |= {
        "library_name": "transformers",
        "pipeline_tag": "audio-classification",
        "tags": list(dict.fromkeys([*TAGS, *_listed(card.get("tags"))])),
    }
    if evaluations:
        metadata["metrics"] = _kinds(evaluations)
        metadata["model-index"] = [_index(repo, evaluations)]
    return environment.get_template("template.md.jinja").render(
        metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        repo=repo,
        name=repo.split("/")[-1],
        config=config,
        num_parameters=num_parameters,
        evaluations=evaluations,
        training=training,
        license=license,
        notice=notice,
        fetched=set(FOLDERS) >= {config.get("audio_model_id"), config.get("text_model_id")},
        synthetic=bool(evaluations) and {e["corpus"] for e in evaluations} <= SYNTHETIC_CORPORA,
        table=lambda results: markdown_table(figure_rows(results), ("figure", "value", "n")),
    )


def _index(repo: str, evaluations: list[dict]) -> dict:
    """The Hub's `model-index` entry of this model."""
    results = []
    for evaluation in evaluations:
        metrics = [
            _metric(evaluation, kind, name, evaluation[key], key, n) | ({"args": args} if args else {})
            for key, kind, name, args, n in METRICS
            if evaluation.get(key) is not None
        ]
        metrics += [
            _metric(evaluation, "accuracy", f"accuracy of {slot}", value, f"{slot}.accuracy", slot)
            for slot, value in evaluation["descriptors"].items()
        ]
        results.append(
            {
                "task": {"type": "audio-classification", "name": "explainable speech emotion recognition"},
                "dataset": {"type": _name(evaluation), "name": _name(evaluation), "split": evaluation["split"]},
                "metrics": metrics,
            }
        )
    return {"name": repo.split("/")[-1], "results": results}


def _metric(evaluation: dict, kind: str, name: str, value: float, key: str, n: str) -> dict:
    """One figure; the Hub has no field for an interval and the n, so its name says them."""
    interval = evaluation.get("intervals", {}).get(key)
    if interval:
        low, high, of = interval["low"], interval["high"], interval["of"]
        name += f" (95% interval {low:.3f} to {high:.3f} over {of}, n {evaluation['n_of'][n]})"
    return {"type": kind, "name": name, "value": round(value, 4)}


def _kinds(evaluations: list[dict]) -> list[str]:
    """The Hub's types of the figures that some evaluation knows."""
    return [kind for key, kind, *_ in METRICS if any(evaluation.get(key) is not None for evaluation in evaluations)]


def _name(evaluation: dict) -> str:
    """A corpus by name; of a folder its last part, for the rest is nobody's business."""
    return Path(evaluation["corpus"]).name


def _listed(value: object) -> list[str]:
    """A field of a card that is a text or a list of them."""
    return [value] if isinstance(value, str) else list(value or [])
