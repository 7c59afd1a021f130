"""Which rows train which task; what is left out is counted."""

from dataclasses import replace

import pytest
from training_corpus import make_audiofolder, make_dataset
from transformers import HubertConfig, LlamaConfig

from xser.configuration_xser import XSERConfig
from xser.training.arguments import DataArguments
from xser.training.collator import own_caption
from xser.training.data import TaskData, load_task_data, note_captions, select_rows


def make_config(**options) -> XSERConfig:
    return XSERConfig(audio_config=HubertConfig(), text_config=LlamaConfig(), **options)


@pytest.fixture
def corpus(tmp_path):
    """Row 0 has no text, row 1 nothing to describe, row 2 is too short and row 3 too long."""
    nothing = dict.fromkeys(("pitch", "volume", "speed", "tone", "emphasis"))
    changes = {
        0: {"text": None},
        1: {"emotion": None, "descriptors": nothing},
        2: {"duration": 0.01},
        3: {"duration": 99.0},
        4: {"emotion": None},
        5: {"descriptors": nothing},
    }
    dataset = make_dataset(tmp_path / "tones.arrow", 12)
    return dataset.map(lambda row, index: changes.get(index, {}), with_indices=True, features=dataset.features)


def test_rows_without_a_label_train_the_other_task(corpus):
    asr, reasons = select_rows(corpus, "asr", make_config())
    assert asr["id"][:] == [f"tone{i}" for i in range(12) if i not in (0, 2, 3)]
    assert reasons == {"no text": 1, "shorter than 0.1 s": 1, "longer than 30.0 s": 1}
    describe, reasons = select_rows(corpus, "describe", make_config())
    assert describe["id"][:] == [f"tone{i}" for i in range(12) if i not in (1, 2, 3)]
    assert reasons["no emotion and no descriptor"] == 1


def test_without_descriptors_only_rows_with_an_emotion_are_described(corpus):
    describe, reasons = select_rows(corpus, "describe", make_config(descriptors={}, emphasis=False))
    assert describe["id"][:] == [f"tone{i}" for i in range(12) if i not in (1, 2, 3, 4)]
    assert reasons["no emotion and no descriptor"] == 2


def test_labels_that_the_model_does_not_have_are_an_error_or_left_out(corpus):
    config = make_config(emotions=["angry", "happy", "sad", "neutral", "fearful"])
    with pytest.raises(ValueError, match=r"2 of 12 rows.*emotion 'surprised' is not one of.*leave_out_unknown_labels"):
        select_rows(corpus, "describe", config)
    describe, _ = select_rows(corpus, "describe", config, leave_out_unknown_labels=True)
    assert "surprised" not in describe["emotion"][:]


def test_held_out_speakers_are_evaluated_and_never_trained(tmp_path):
    folder = make_audiofolder(tmp_path / "tones")
    options = {"cache_dir": str(tmp_path / "cache")}
    arguments = DataArguments(data=str(folder), corpus_options=options, test_speakers=["s0"], eval_limit=3)
    data = load_task_data(arguments, ["asr", "describe"], make_config(), seed=0)
    for task in ("asr", "describe"):
        assert set(data.train[task]["speaker"][:]) == {"s1", "s2"} and len(data.train[task]) == 16
        assert set(data.eval[task]["speaker"][:]) == {"s0"} and len(data.eval[task]) == 3
    with pytest.raises(ValueError, match="s9"):
        load_task_data(replace(arguments, test_speakers=["s9"]), ["asr"], make_config(), seed=0)


def test_asr_may_have_a_corpus_of_its_own(tmp_path):
    folders = [make_audiofolder(tmp_path / name, num) for name, num in (("emotional", 12), ("read", 20))]
    options = {"cache_dir": str(tmp_path / "cache")}
    arguments = DataArguments(
        data=str(folders[0]), corpus_options=options, asr_data=str(folders[1]), asr_corpus_options=options
    )
    data = load_task_data(arguments, ["asr", "describe"], make_config(), seed=0)
    assert {task: len(dataset) for task, dataset in data.train.items()} == {"asr": 20, "describe": 12}
    assert data.eval == {}


def test_a_task_without_a_single_row_is_an_error(tmp_path):
    folder = tmp_path / "tones"
    make_audiofolder(folder, 3)
    (folder / "metadata.csv").write_text("file_name,speaker\n0.wav,s\n1.wav,s\n2.wav,s\n")
    arguments = DataArguments(data=str(folder), corpus_options={"cache_dir": str(tmp_path / "cache")})
    with pytest.raises(ValueError, match=r"no utterance is left to train asr; left out: {'no text': 3}"):
        load_task_data(arguments, ["asr"], make_config(), seed=0)


def test_captions_of_a_corpus_train_without_labels_and_what_cannot_be_read_back_is_counted(tmp_path, corpus):
    captions = {1: "An angry voice.", 6: 'A sad voice with low pitch says "no".'}
    captioned = corpus.map(lambda row, index: {"caption": captions.get(index)}, with_indices=True)
    config = make_config(answer="caption")
    rows, reasons = select_rows(captioned, "describe", config)
    assert rows["id"][:] == [f"tone{i}" for i in range(12) if i not in (2, 3)]
    assert "no emotion and no descriptor" not in reasons
    targets = [own_caption(row, config.schema.describe(row), config) for row in rows]
    assert [each and each.text for each in targets] == [captions.get(i) for i in range(12) if i not in (2, 3)]
    assert targets[1].slots == tuple(config.schema.slots)  # no label says what to ask for
    data = TaskData()
    note_captions(rows, "train", config, data)
    found = data.left_out["train_captions"]
    assert found["pitch is not read back"] == 1 and found["speed is not read back"] == 2
    assert "emotion is not read back" not in found
    assert select_rows(captioned, "describe", make_config())[1]["no emotion and no descriptor"] == 1  # in tags
