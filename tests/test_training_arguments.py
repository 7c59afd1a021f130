"""Configurations: the file sets, the command line wins, and what contradicts itself is refused by name."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from xser.configuration_xser import XSERConfig
from xser.train import checkpoint_config
from xser.training.arguments import (
    DataArguments,
    ModelArguments,
    XSERTrainingArguments,
    parse_config,
    resolved_config,
)
from xser.training.options import read_yaml
from xser.training.run import check_run_folder

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "pretraining")


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


MINIMAL = "{output_dir: run, data: espeak, audio_model: a, text_model: t, use_cpu: true}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_read_and_its_resolved_form_gives_the_same_run(path, write):
    data = [] if "data" in read_yaml(path) else ["--data", "somewhere"]
    groups = parse_config([str(path), *data, "--use_cpu", "true", "--bf16", "false"])
    resolved = resolved_config(*groups)
    again = parse_config([write(yaml.safe_dump(resolved))])
    assert resolved_config(*again) == resolved
    assert groups[:2] == again[:2]


def test_command_line_wins_over_the_file(write):
    path = write(MINIMAL[:-1] + ", learning_rate: 1e-4, lora: {rank: 4}, emotions: [angry, sad], train_limit: 5}")
    tokens = ["--learning_rate=2e-3", "--lora", "{rank: 16, alpha: 3e1}", "--emotions", "happy", "bored", "calm"]
    tokens += ["--train_limit", "null", "--content-bottleneck", '{"beta": 1e-05}', "--max_steps", "-1"]
    tokens += ["--lr_scheduler_kwargs", "{num_cycles: 2}"]
    model, data, training = parse_config([path, *tokens])
    assert training.learning_rate == 2e-3 and training.max_steps == -1
    assert training.lr_scheduler_kwargs == {"num_cycles": 2}
    assert model.lora == {"rank": 16, "alpha": 30.0} and model.content_bottleneck == {"beta": 1e-5}
    assert model.emotions == ["happy", "bored", "calm"] and data.train_limit is None


def test_numbers_of_the_file_have_the_type_of_their_field(write):
    _, _, training = parse_config(
        [write(MINIMAL[:-1] + ", learning_rate: 1e-4, stages: {asr: {learning_rate: 2e-4}}}")]
    )
    assert training.learning_rate == 1e-4 and training.stage_list[0].learning_rate == 2e-4
    assert training.tasks == ["asr"]


def test_only_given_options_reach_the_model_config(write):
    model, _, _ = parse_config([write(MINIMAL[:-1] + ", lora: false, emphasis: false, descriptors: {}}")])
    assert model.config_options == {"lora": None, "emphasis": False, "descriptors": {}}


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("leaning_rate: 1", "unknown key 'leaning_rate'; the nearest is 'learning_rate'"),
        (
            "task_weights: {asr: 1}",
            r"task_weights is no option any more: .*stages: \{asr: \{\}, describe: \{turn_steps",
        ),
        ("learning_rate: fast", "learning_rate.*invalid float value: 'fast'"),
        ("max_steps: 3.5", "max_steps.*'3.5'"),
        ("max_steps: [1, 2]", "max_steps takes one value"),
        ("max_steps: 1, max_steps: 2", "max_steps.*more than once"),
        ("model: m", "model is 'm'.*audio_model, text_model was given too"),
        ("lora: 5", "lora is 5; it must be a mapping"),
        ("disentangled: false, descriptor_bottleneck: {beta: 0.1}", "descriptor_bottleneck.*disentangled is false"),
        ("stages: {translate: {}}", r"stages\['translate'\]: task is 'translate'"),
        ("stages: {}", "stages is {}; name one at least"),
        ("stages: asr", "stages is 'asr'; it must be a mapping"),
        ("stages: {asr: {}}, schedule: joint", "schedule is joint, which wants one stage of each of"),
        ("stages: {asr: {steps: 4}}, max_steps: 4", r"max_steps is 4, but stages\['asr'\] has a length"),
        ("stages: {asr: {steps: 4}}, num_train_epochs: 4", r"num_train_epochs is 4.0, but stages\['asr'\] has a"),
        ("schedule: two_stage, max_steps: 4", r"schedule is two_stage, and stages\['asr'\] has no length"),
        (
            "stages: {asr: {steps: 4}}, lr_scheduler_type: greedy, eval_strategy: epoch",
            r"lr_scheduler_type is 'greedy', which is no function of the step, for stages\['asr'\]",
        ),
        (
            "stages: {asr: {lr_scheduler_type: warmup_stable_decay}}",
            r"stages\['asr'\]: lr_scheduler_type 'warmup_stable_decay': .*num_decay_steps",
        ),
        ("class_balance: some", "class_balance is 'some'; it must be one of"),
        ("class_balance: weights, stages: {asr: {}}", "class_balance is 'weights', but no stage has task describe"),
        ("schedule: random", "schedule is 'random'"),
        ("max_minutes: 0", "max_minutes is 0"),
        ("test_speakers: [a], eval_split: test", "test_speakers and eval_split are both given"),
        ("asr_corpus_options: {seed: 1}", "without asr_data"),
        ("schedule: one_stage, asr_data: espeak", "asr_data is 'espeak', but asr is not trained"),
        ("stages: {describe: {}}, ctc_weight: 0.3", "ctc_weight is 0.3, but asr"),
        ("export_backbones: true", "export_backbones is true, but neither freeze_audio_tower nor"),
        ("predict_with_generate: false", "predict_with_generate is False; it must be True"),
        ("enable_jit_checkpoint: true", "enable_jit_checkpoint is True; it must be False"),
        ("per_device_train_batch_size: 0", "per_device_train_batch_size is 0; it must be at least 1"),
        ("gradient_accumulation_steps: -1", "gradient_accumulation_steps is -1; it must be at least 1"),
        ("learning_rate: -1e-4", "learning_rate is -0.0001; it must be 0 or more"),
        ("learning_rate: .nan", "learning_rate is nan; it must be 0 or more"),
        ("save_steps: 0", "save_steps is 0.0; it must be above 0"),
        ("logging_steps: 0", "logging_steps is 0.0; it must be above 0"),
        ("max_steps: -5", "max_steps is -5; it must be -1 for none, or at least 1"),
        ("num_train_epochs: -1", "num_train_epochs is -1.0; it must be above 0"),
        ("heads_first: -1", "heads_first is -1; it must be 0 or more"),
        ("seed: -1", "seed is -1; it must be from 0 to"),
        ("train_limit: 0", "train_limit is 0; it must be at least 1"),
        ("load_options: {dtpe: bfloat16}", "load_options: unknown key 'dtpe'; the nearest is 'dtype'"),
        ("load_options: {dtype: bf16}", r"load_options\['dtype'\] is 'bf16'; it must be one of"),
        ("descriptors: {pitch: low}", r"descriptors\['pitch'\] is 'low'; give the list of its levels"),
    ],
)
def test_what_contradicts_itself_is_refused(write, addition, message):
    with pytest.raises(ValueError, match=message):
        parse_config([write(f"{MINIMAL[:-1]}, {addition}}}")])


@pytest.mark.parametrize("key", ["data", "output_dir", "audio_model"])
def test_what_is_missing_is_named(write, key):
    config = yaml.safe_load(MINIMAL)
    del config[key]
    with pytest.raises(ValueError, match=f"{key} missing|{key} is missing"):
        parse_config([write(yaml.safe_dump(config))])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--modle", "x"], "command line: unknown key 'modle'; the nearest is 'model'"),
        (["stray"], "'stray' belongs to no key"),
        (["--max_steps", "3", "4"], "max_steps takes one value"),
        (["--lora", "{rank"], "lora is '{rank', which is not YAML"),
    ],
)
def test_mistakes_on_the_command_line_are_named(write, tokens, message):
    with pytest.raises(ValueError, match=message):
        parse_config([write(MINIMAL), *tokens])


@pytest.mark.parametrize(("text", "message"), [("- a\n", "must hold 'key: value' lines"), ("a: [", "is not YAML")])
def test_a_file_that_is_no_configuration_is_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        parse_config([write(text)])


def test_a_config_that_is_not_there_is_named_with_the_nearest(write, tmp_path):
    path = Path(write(MINIMAL))
    with pytest.raises(FileNotFoundError, match=r"confg\.yaml does not exist; the nearest is .*config\.yaml"):
        parse_config([str(path.with_name("confg.yaml"))])
    with pytest.raises(FileNotFoundError, match="does not exist: give a YAML file"):
        parse_config([str(tmp_path / "no" / "where.yaml")])
    with pytest.raises(ValueError, match="is a folder: give a YAML file of options"):
        parse_config([str(tmp_path)])
    path.write_bytes(b"output_dir: \xff")
    with pytest.raises(ValueError, match=r"config\.yaml is no text in UTF-8"):
        parse_config([str(path)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_dir": "file/run"}, "output_dir is .*file/run, but .*file is a file: give another folder"),
        ({"report_to": "wandb"}, "report_to names 'wandb', which is not installed"),
        ({"report_to": "tensorbord"}, "report_to names 'tensorbord', which is not installed"),
    ],
)
def test_a_run_that_cannot_be_written_is_refused_before_anything_is_loaded(tmp_path, options, message):
    (tmp_path / "file").touch()
    given = {"output_dir": "run", "report_to": "none", **options}
    given["output_dir"] = str(tmp_path / given["output_dir"])
    with pytest.raises(ValueError, match=message):
        check_run_folder(XSERTrainingArguments(use_cpu=True, **given))


def test_a_checkpoint_may_have_its_tower_unfrozen(write):
    model, _, _ = parse_config([write("{output_dir: run, data: espeak, model: m, freeze_audio_tower: false}")])
    assert model.config_options == {"freeze_audio_tower": False}


def test_the_weight_of_a_bottleneck_may_change_and_the_rest_of_it_stays(write, tmp_path):
    old = XSERConfig()
    old.save_pretrained(tmp_path / "m")
    text = f"{{output_dir: run, data: espeak, model: {tmp_path / 'm'}, descriptor_bottleneck: {{beta: 0.25}}}}"
    arguments, _, _ = parse_config([write(text)])
    new = checkpoint_config(arguments)
    assert new.descriptor_bottleneck == {**old.descriptor_bottleneck, "beta": 0.25} != old.descriptor_bottleneck
    assert new.content_bottleneck == old.content_bottleneck
    with pytest.raises(ValueError, match="whose config is fixed, but descriptor_bottleneck was given too"):
        parse_config([write(text.replace("beta: 0.25", "beta: 0.25, latent_size: 3"))])


def test_no_argument_lacks_help():
    for group in (ModelArguments, DataArguments):
        assert all(field.metadata.get("help") for field in dataclasses.fields(group))
