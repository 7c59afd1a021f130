"""From a checkpoint to other labels: what knows them by name is kept, the rest is new, and it is said."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SMALL, make_wave
from training_corpus import make_audiofolder

from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor
from xser.train import build_model, main
from xser.training.arguments import ModelArguments

HEADS = {"summary_tokens": True, "emotion_weight": 1.0, "emotion_votes": True}
PROSODY = {"prosody": {"size": 5, "latent_size": 4, "hidden_size": 8}}


@pytest.fixture(scope="module")
def checkpoint(tiny_backbone_folders, tmp_path_factory):
    """A model with both heads, a further stream and LoRA that is not zero."""
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), aux_streams=PROSODY, **HEADS, **SMALL
    )
    for name, weight in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(weight)
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def relabelled(checkpoint, **labels):
    return build_model(ModelArguments(model=str(checkpoint), **labels))


def test_labels_of_the_same_name_keep_their_weights_whatever_their_place(checkpoint):
    before, _, _ = relabelled(checkpoint)
    emotions = ["sad", "joyful", "angry", "gloomy"]
    model, processor, report = relabelled(checkpoint, emotions=emotions)
    assert model.config.emotions == processor.emotions == list(processor.schema.emotions) == emotions
    for stream in ("descriptors", "prosody"):
        new, old = (each.emotion_head.classifiers[stream] for each in (model, before))
        assert new[-1].weight.shape == (4, 64)
        for label in ("sad", "angry"):
            rows = emotions.index(label), before.config.emotions.index(label)
            assert torch.equal(new[-1].weight[rows[0]], old[-1].weight[rows[1]])
            assert torch.equal(new[-1].bias[rows[0]], old[-1].bias[rows[1]])
        assert torch.equal(new[1].weight, old[1].weight)
        assert not any(torch.equal(new[-1].weight[1], row) for row in old[-1].weight)
    kept = {name: weight for name, weight in model.state_dict().items() if not name.startswith("emotion_head")}
    assert kept and all(torch.equal(weight, before.state_dict()[name]) for name, weight in kept.items())
    assert report.to_dict() == {
        "kept": [
            "audio tower", "streams", "language model", "emotion sad", "emotion angry",
            *(f"slot {slot}" for slot in before.config.descriptors),
            *(f"level of {slot} {level}" for slot, levels in before.config.descriptors.items() for level in levels),
        ],
        "new": ["emotion joyful", "emotion gloomy"],
        "dropped": ["emotion happy", "emotion neutral", "emotion fearful", "emotion surprised"],
    }  # fmt: skip


@pytest.mark.parametrize("number", [2, 4, 9, 11])
def test_any_number_of_emotions_is_trained_from_a_checkpoint_and_explains(checkpoint, number, tmp_path):
    emotions = [
        "joyful",
        "sad",
        "gloomy",
        "angry",
        "tender",
        "proud",
        "ashamed",
        "guilty",
        "jealous",
        "hopeful",
        "cold",
    ]
    model, processor, _ = relabelled(checkpoint, emotions=emotions[:number])
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model, processor = XSERForEmotionDescription.from_pretrained(tmp_path), XSERProcessor.from_pretrained(tmp_path)
    [answer] = model.eval().explain([(make_wave(1.0), 16_000)], processor, transcript=False)
    assert set(answer["scores"]) == set(emotions[:number])


def test_slots_and_levels_are_kept_by_name_and_new_ones_added(checkpoint):
    before, _, _ = relabelled(checkpoint)
    descriptors = {"arousal": ["low", "mid", "high"], "pitch": ["high", "very high", "low"]}
    model, processor, report = relabelled(checkpoint, descriptors=descriptors, emphasis=False)
    assert processor.schema.slots == ["arousal", "pitch", "transcript", "emotion"]
    new, old = model.level_head, before.level_head
    assert torch.equal(
        new.attention["descriptors"].weight[1], old.attention["descriptors"].weight[0]
    )  # pitch, the first before
    arousal, pitch = new.classifiers["descriptors"]
    assert torch.equal(pitch[0].weight, old.classifiers["descriptors"][0][0].weight)
    assert torch.equal(pitch[-1].weight[[0, 2]], old.classifiers["descriptors"][0][-1].weight[[2, 0]])
    assert arousal[-1].weight.shape[0] == 3
    assert {"slot arousal", "level of pitch very high"} <= set(report.new)
    assert {"slot tone", "slot emphasis", "level of pitch normal"} <= set(report.dropped)


def test_levels_of_chosen_streams_stay_with_them_and_go_with_the_descriptors(tiny_backbone_folders, tmp_path):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), aux_streams=PROSODY, **HEADS, **SMALL, level_streams=["prosody"]
    )
    for each in (model, processor):
        each.save_pretrained(tmp_path / "model")
    again, _, _ = relabelled(tmp_path / "model", descriptors={"pitch": ["low", "normal", "high"]}, emphasis=False)
    assert list(again.level_head.attention) == ["prosody"]
    before, after = (each.level_head.classifiers["prosody"][0][0].weight for each in (model, again))
    assert torch.equal(before, after)
    without, _, _ = relabelled(tmp_path / "model", descriptors={}, emphasis=False)
    assert without.level_head is None and without.config.level_streams is None


def test_without_descriptors_their_head_goes(checkpoint):
    model, processor, _ = relabelled(checkpoint, descriptors={}, emphasis=False)
    assert model.level_head is None and model.config.level_weight == 0
    assert processor.schema.slots == ["transcript", "emotion"]


def test_the_same_labels_change_nothing(checkpoint):
    before, _, none = relabelled(checkpoint)
    model, _, report = relabelled(checkpoint, emotions=before.config.emotions)
    assert none is None and not report.new and not report.dropped
    assert all(torch.equal(weight, before.state_dict()[name]) for name, weight in model.state_dict().items())


def test_spellings_of_emotions_are_those_of_the_corpora(checkpoint):
    _, processor, _ = relabelled(checkpoint, emotions=["ANG", "happiness", "Sad", "wistful"])
    assert processor.emotions == ["angry", "happy", "sad", "wistful"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"emotions": ["sad"]}, r"emotions is \['sad'\]: give at least 2 different labels"),
        ({"emotions": ["sad", "sadness"]}, "at least 2 different labels"),
        ({"emotions": ["sad", "happy!"]}, "cannot stand in an answer"),
        ({"descriptors": {"arousal": "low"}}, r"descriptors\['arousal'\] is 'low'; give the list of its levels"),
        ({"descriptors": {"emotion": ["a", "b"]}}, "a slot of its own"),
        ({"lora": {"rank": 4}, "emotions": ["sad", "angry"]}, "whose config is fixed, but lora was given too"),
    ],
)
def test_labels_that_cannot_be_are_refused(checkpoint, labels, message):
    with pytest.raises(ValueError, match=message):
        relabelled(checkpoint, **labels)


def test_labels_that_the_tokenizer_cannot_write_are_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(XSERProcessor, "_decode", lambda self, ids: "")
    with pytest.raises(ValueError, match="its vocabulary must cover the labels"):
        relabelled(checkpoint, emotions=["sad", "joyful"])


def test_train_py_goes_on_with_other_emotions(checkpoint, tmp_path, caplog):
    folder = make_audiofolder(tmp_path / "tones", 12)
    table = (folder / "metadata.csv").read_text()
    for old, new in zip(("angry", "happy", "neutral"), ("joyful", "gloomy", "sad"), strict=True):
        table = table.replace(old, new)
    (folder / "metadata.csv").write_text(table)
    config = {
        "output_dir": str(tmp_path / "run"), "model": str(checkpoint), "data": str(folder), "max_steps": 2,
        "corpus_options": {"cache_dir": str(tmp_path / "cache")}, "per_device_train_batch_size": 4, "use_cpu": True,
        "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    emotions = ["joyful", "gloomy", "sad", "fearful", "surprised"]
    main([str(tmp_path / "config.yaml"), "--emotions", *emotions])
    assert "goes on with other labels; kept: audio tower, streams, language model, emotion sad" in caplog.text
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["relabelled"]["new"] == ["emotion joyful", "emotion gloomy"]
    final = Path(tmp_path / "run" / "final")
    assert XSERForEmotionDescription.from_pretrained(final).config.emotions == emotions
    assert XSERProcessor.from_pretrained(final).emotions == emotions
