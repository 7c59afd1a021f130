"""Data without some columns or splits: what a run leaves out for want of them is said before its first step."""

import csv
import json
from pathlib import Path

import datasets
import pytest
import yaml
from training_corpus import make_audiofolder, make_dataset
from transformers import HubertConfig, LlamaConfig

from xser.configuration_xser import XSERConfig
from xser.corpora.catalogue import SHARED_BY_DESIGN
from xser.modeling_xser import XSERForEmotionDescription
from xser.train import main
from xser.training.arguments import DataArguments, XSERTrainingArguments
from xser.training.data import TaskData, load_task_data, select_rows
from xser.training.plan import known_metrics, settle
from xser.training.trainer import XSERTrainer

ROOT = Path(__file__).parents[1]
README_COLUMNS = ("file_name", "text", "emotion", "pitch", "volume", "speaker")
SHORT = {"max_steps": 2, "heads_first": 1, "warmup_steps": 0, "per_device_train_batch_size": 4, "logging_steps": 1}
SHORT |= {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "eval_max_new_tokens": 8, "bf16": False}


def config_with(**options) -> XSERConfig:
    return XSERConfig(audio_config=HubertConfig(), text_config=LlamaConfig(), **options)


def keep_columns(folder: Path, *columns: str) -> Path:
    """A folder of tones whose table has these columns alone."""
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def write(tmp_path):
    """A config of this project, with these options in place of its own."""

    def write(name: str, **options) -> str:
        config = yaml.safe_load((ROOT / "configs" / name).read_text())
        config |= {"output_dir": str(tmp_path / "run"), "corpus_options": {"cache_dir": str(tmp_path / "cache")}}
        path = tmp_path / name
        path.write_text(yaml.safe_dump({**config, **SHORT, **options}))
        return str(path)

    return write


def test_finetuning_wants_no_more_than_files_and_emotions(write, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    folder = keep_columns(make_audiofolder(tmp_path / "tones", 12), "file_name", "emotion")
    model = str(ROOT / "checkpoints" / "xser-nemo")
    main([write("finetune.yaml", model=model), "--data", str(folder)])
    said = "no utterance is left to train asr; left out: {'no text': 12}: asr is not trained"
    assert said in caplog.text
    run = tmp_path / "run"
    assert said in json.loads((run / "environment.json").read_text())["notes"]
    assert yaml.safe_load((run / "config.yaml").read_text())["stages"] == {"describe": {"turn_steps": 8}}
    XSERForEmotionDescription.from_pretrained(run / "final")
    assert "nEMO" in (run / "final" / "NOTICE").read_text()


@pytest.mark.parametrize("speakers", [True, False])
def test_the_full_size_config_works_on_the_table_of_the_readme(
    write, tmp_path, tiny_backbone_folders, caplog, speakers
):
    columns = README_COLUMNS if speakers else README_COLUMNS[:-1]
    folder = keep_columns(make_audiofolder(tmp_path / "tones", 24), *columns)
    audio, text = map(str, tiny_backbone_folders)
    options = {"audio_model": audio, "text_model": text, "load_options": None, "eval_steps": 1, "eval_limit": 2}
    options["heads_first"] = 0
    config = write("llama-8b-lora.yaml", **options, dataloader_num_workers=0, emotions=None)
    metrics = main([config, "--data", str(folder)])
    notes = json.loads((tmp_path / "run" / "environment.json").read_text())["notes"]
    assert f"{folder} has no split 'validation': " in caplog.text
    if speakers:
        assert metrics["eval_asr_n"] == metrics["eval_describe_n"] == 2
        assert any("validation is 8 of 24 rows" in note and "of the speakers" in note for note in notes)
    else:
        assert metrics == {}
        assert any("24 of 24 rows name no speaker" in note for note in notes)
        assert any(note.startswith("evaluation is off: there is no data for it") for note in notes)


def test_a_split_that_is_there_is_used_and_another_one_is_not_made_up(tmp_path):
    folder = make_audiofolder(tmp_path / "tones", 12)
    table = (folder / "metadata.csv").read_text().splitlines()
    splits = ["split", *(["train"] * 8), *(["validation"] * 4)]
    (folder / "metadata.csv").write_text("\n".join(f"{row},{split}" for row, split in zip(table, splits, strict=True)))
    options = {"corpus_options": {"cache_dir": str(tmp_path / "cache")}}
    data = load_task_data(DataArguments(str(folder), eval_split="validation", **options), ["asr"], config_with(), 0)
    assert len(data.eval["asr"]) == 4 and len(data.train["asr"]) == 8
    with pytest.raises(ValueError, match="has no split 'test'"):
        load_task_data(DataArguments(str(folder), eval_split="test", **options), ["asr"], config_with(), 0)
    with pytest.raises(ValueError, match=r"has splits \['train', 'validation'\], and none is 'dev'"):
        arguments = DataArguments(str(folder), train_split="dev", eval_split="validation", **options)
        load_task_data(arguments, ["asr"], config_with(), 0)


def test_the_last_task_does_not_drop_out_nor_one_with_data_of_its_own(tmp_path):
    folders = [make_audiofolder(tmp_path / name, 6) for name in ("spoken", "silent")]
    keep_columns(folders[1], "file_name", "speaker")
    options = {"corpus_options": {"cache_dir": str(tmp_path / "cache")}}
    with pytest.raises(ValueError, match="no utterance is left to train asr"):
        load_task_data(DataArguments(str(folders[1]), **options), ["asr", "describe"], config_with(), 0)
    arguments = DataArguments(
        str(folders[0]), asr_data=str(folders[1]), asr_corpus_options=options["corpus_options"], **options
    )
    with pytest.raises(ValueError, match="no utterance is left to train asr"):
        load_task_data(arguments, ["asr", "describe"], config_with(), 0)


def test_splits_that_share_speakers_are_accepted_and_it_is_said(tmp_path):
    """As those of MELD do, by design."""
    dataset = make_dataset(tmp_path / "tones.arrow", 12)
    parts = {"train": dataset.select(range(8)), "validation": dataset.select(range(8, 12))}
    for name, part in parts.items():
        columns = {"corpus": ["meld"] * len(part), "split": [name] * len(part)}
        for column, values in columns.items():
            part = part.remove_columns(column).add_column(column, values, feature=dataset.features[column])
        parts[name] = part.select_columns(dataset.column_names)
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "meld"))
    data = load_task_data(DataArguments(str(tmp_path / "meld"), eval_split="validation"), ["asr"], config_with(), 0)
    assert len(data.eval["asr"]) == 4
    [note] = data.notes
    assert note.startswith("3 speakers are in training and in evaluation") and "s0, s1, s2" in note
    assert SHARED_BY_DESIGN["meld"] in note


def test_own_descriptors_train_as_slots(tmp_path, tiny_backbone_folders):
    """A column `arousal` of some rows beside `gender`; what a row does not have is not asked for."""
    dataset = make_dataset(tmp_path / "tones.arrow", 12).to_list()
    for index, row in enumerate(dataset):
        row["descriptors"] = {"arousal": ("low", "mid", "high", None)[index % 4], "gender": None}
        row["emotion"] = None if index == 3 else row["emotion"]
    rows = datasets.Dataset.from_list(dataset)
    descriptors = {"arousal": ["low", "mid", "high"], "gender": ["female", "male"]}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), descriptors=descriptors, emphasis=False, level_weight=1.0
    )
    kept, reasons = select_rows(rows, "describe", model.config)
    assert len(kept) == 11 and reasons == {"no emotion and no descriptor": 1}
    arguments = XSERTrainingArguments(
        output_dir=str(tmp_path / "run"), save_strategy="no", schedule="one_stage", **SHORT
    )
    trainer = XSERTrainer(model, arguments, processor, {"describe": kept}, {"describe": kept})
    trainer.train()
    metrics = trainer.evaluate()
    assert "eval_describe_arousal_accuracy" in metrics and "eval_describe_gender_accuracy" not in metrics


def test_columns_of_a_table_train_as_slots_of_a_model_that_has_them(tmp_path, tiny_backbone_folders):
    """And a checkpoint without them goes on with them."""
    for part in XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), level_weight=1.0):
        part.save_pretrained(tmp_path / "model")
    folder = make_audiofolder(tmp_path / "tones", 9)
    table = (folder / "metadata.csv").read_text().splitlines()
    levels = ["arousal", *(("low", "mid", "high") * 3)]
    (folder / "metadata.csv").write_text("\n".join(f"{row},{level}" for row, level in zip(table, levels, strict=True)))
    config = {"output_dir": str(tmp_path / "run"), "model": str(tmp_path / "model"), "data": str(folder), **SHORT}
    config |= {"corpus_options": {"cache_dir": str(tmp_path / "cache")}, "schedule": "one_stage"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = main(
        [
            *(str(tmp_path / "config.yaml"), "--descriptors", "{arousal: [low, mid, high], pitch: [low, high]}"),
            *("--test_speakers", "s0"),
        ]
    )
    assert "eval_describe_arousal_accuracy" in metrics and "eval_describe_pitch_accuracy" in metrics
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert "slot arousal" in environment["relabelled"]["new"]
    assert environment["left_out"]["train_describe"] == {}


# ---------------------------------------------------------------------- evaluation


@pytest.fixture
def data(tmp_path):
    dataset = make_dataset(tmp_path / "tones.arrow", 8)
    tasks = {"asr": dataset, "describe": dataset}
    return TaskData(train=dict(tasks), eval=dict(tasks))


def arguments_of(tmp_path, **options) -> XSERTrainingArguments:
    return XSERTrainingArguments(output_dir=str(tmp_path / "run"), **{**SHORT, "heads_first": 0, **options})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"},
            "load_best_model_at_end",
        ),
        ({"save_strategy": "best", "eval_strategy": "steps", "metric_for_best_model": "loss"}, "save_strategy 'best'"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"}, "lr_scheduler_type"),
    ],
)
def test_what_goes_by_an_evaluation_is_refused_where_there_is_none(tmp_path, data, options, named):
    options = {"save_steps": 2, "eval_steps": 1, **options}
    settle(arguments_of(tmp_path, **options), data, config_with())
    with pytest.raises(ValueError, match=rf"{named}.* and there is no data for one: give eval_split or test_speakers"):
        settle(arguments_of(tmp_path, **options), TaskData(train=data.train), config_with())
    with pytest.raises(ValueError, match=r"metric_for_best_model is 'eval_asr_cer'; .*'asr_wer', .*'describe_ua'"):
        settle(arguments_of(tmp_path, **{**options, "metric_for_best_model": "eval_asr_cer"}), data, config_with())


def test_best_checkpoints_without_evaluations_are_refused(tmp_path, data):
    arguments = arguments_of(tmp_path, save_strategy="best", metric_for_best_model="loss")
    with pytest.raises(ValueError, match="save_strategy 'best' goes by an evaluation, and eval_strategy is 'no'"):
        settle(arguments, data, config_with())


def test_every_figure_that_may_choose_the_best_checkpoint_is_one_that_evaluation_gives(
    tmp_path, data, tiny_backbone_folders
):
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), ctc_weight=0.3)
    del data.train["asr"], data.eval["asr"]
    known = known_metrics(data, model.config)
    trainer = XSERTrainer(model, arguments_of(tmp_path, save_strategy="no"), processor, data.train, data.eval)
    metrics = trainer.evaluate()
    assert {"loss", "describe_ua", "describe_pitch_accuracy"} <= set(known)
    assert {f"eval_{name}" for name in known} <= set(metrics)
    assert metrics["eval_loss"] == pytest.approx(metrics["eval_describe_loss"])


def test_the_best_checkpoint_is_kept_and_loaded_at_the_end(tmp_path, data, tiny_backbone_folders, monkeypatch):
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders))
    options = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    arguments = arguments_of(tmp_path, **options, save_total_limit=1)
    arguments.max_steps, losses = 3, iter([2.0, 1.0, 3.0])
    settle(arguments, data, model.config)
    trainer = XSERTrainer(model, arguments, processor, data.train, data.eval)

    def evaluate(**kwargs):
        metrics = {"eval_loss": next(losses)}
        trainer.control = trainer.callback_handler.on_evaluate(arguments, trainer.state, trainer.control, metrics)
        return metrics

    monkeypatch.setattr(trainer, "evaluate", evaluate)
    trainer.train()
    best = tmp_path / "run" / "checkpoint-2"
    assert trainer.state.best_model_checkpoint == str(best)
    kept = XSERForEmotionDescription.from_pretrained(best).state_dict()
    assert all(weight.equal(kept[name]) for name, weight in trainer.model.state_dict().items())
