"""A processor and a model that meet agree by name: the same labels in another order are right, others are refused."""

import copy

import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL, make_wave

from xser import LabelSchema, XSERForEmotionDescription, XSERPipeline, XSERProcessor
from xser.audio_xser import SAMPLE_RATE
from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.evaluation.evaluator import evaluate_model
from xser.profile_xser import make_profile
from xser.training.arguments import XSERTrainingArguments
from xser.training.trainer import XSERTrainer

STREAMS = {
    "aux_streams": {
        "prosody": {"size": 5, "latent_size": 3, "hidden_size": 8},
        "measures": {"size": 41, "latent_size": 3, "hidden_size": 8, "frame_stack": 1},
    },
    "summary_tokens": True,
    "emotion_weight": 1.0,
    "emotion_votes": True,  # whose heads know emotions by their index
    "speaker_reference": True,
    "vote_weights": {"language_model": 0.2, "descriptors": 0.9, "prosody": 0.5, "measures": 0.1},
}


@pytest.fixture(scope="module")
def pair(tiny_backbone_folders):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, **STREAMS)


@pytest.fixture(scope="module")
def profile(pair):
    return make_profile(*pair, [(make_wave(0.5 + 0.2 * i, seed=i), SAMPLE_RATE) for i in range(3)])


def altered(processor, folder, **fields) -> XSERProcessor:
    """The processor saved and loaded again with other fields."""
    processor.save_pretrained(folder)
    return XSERProcessor.from_pretrained(folder, **fields)


def turned(labels):
    if isinstance(labels, dict):
        return {slot: turned(labels[slot]) for slot in reversed(labels)}
    return list(reversed(labels))


@pytest.fixture
def reordered(pair, tmp_path):
    """A processor with every order turned round: emotions, descriptors, levels and streams."""
    names = ("emotions", "descriptors")
    fields = {name: turned(getattr(pair[1], name)) for name in names}
    streams = pair[1].aux_streams
    return altered(pair[1], tmp_path, **fields, aux_streams={name: streams[name] for name in reversed(streams)})


def test_the_same_labels_in_another_order_give_the_same_answers(pair, reordered, waves, profile):
    model, processor = pair
    for reference in (None, profile):
        assert model.explain(waves[:3], reordered, reference=reference) == model.explain(
            waves[:3], processor, reference=reference
        )


def test_slots_are_asked_for_in_the_models_order(pair, reordered, waves):
    model, processor = pair
    slots = ["tone", "emotion", "pitch"]
    assert model.explain(waves[:1], reordered, slots=slots) == model.explain(waves[:1], processor, slots=slots)


def test_a_pipeline_answers_and_verifies_by_name(pair, reordered, waves):
    model, processor = pair
    expected, given = (
        XSERPipeline(model=model, processor=each, device="cpu")(waves[0], verify=True, slots=["pitch", "emotion"])
        for each in (processor, reordered)
    )
    assert given == expected


def test_a_profile_does_not_depend_on_the_order(pair, reordered, profile):
    recordings = [(make_wave(0.5 + 0.2 * i, seed=i), SAMPLE_RATE) for i in range(3)]
    assert np.array_equal(make_profile(pair[0], reordered, recordings).states, profile.states)


def test_what_is_learnt_has_the_models_indices(pair, reordered, tmp_path):
    model, processor = pair
    arguments = XSERTrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
    trainer = XSERTrainer(copy.deepcopy(model), arguments, reordered)
    schema = processor.schema
    target = schema.describe({"emotion": "sad", "descriptors": {"pitch": "high", "tone": "falling"}})
    batches = [
        each([(make_wave(0.5), SAMPLE_RATE)], targets=[target])
        for each in (processor, trainer.processing_class, trainer.data_collator.processor)
    ]
    for batch in batches[1:]:
        for name in ("input_ids", "emotion_labels", "level_labels"):
            assert torch.equal(batch[name], batches[0][name])


def test_labels_that_were_set_on_a_processor_are_put_in_order_too(pair, waves):
    model, processor = pair
    other = copy.copy(processor)
    other.emotions = turned(processor.emotions)
    agreeing = other.for_model(model.config)
    assert agreeing.emotions == model.config.emotions and other.emotions != agreeing.emotions
    assert model.explain(waves[:1], other) == model.explain(waves[:1], processor)


def test_an_evaluation_scores_by_name(pair, reordered, tmp_path):
    rows = []
    for index in range(2):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, make_wave(0.5, seed=index), SAMPLE_RATE)
        audio, known = {"path": str(path), "bytes": None}, {"emotion": "sad", "descriptors": {"pitch": "high"}}
        rows.append(make_row(id=f"r{index}", audio=audio, corpus="mine", **known))
    dataset = write_dataset(tmp_path / "rows.arrow", rows)
    results = [evaluate_model(pair[0], each, dataset, progress=False)[1] for each in (pair[1], reordered)]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"emotions": ["angry", "happy"]}, r"emotions is \['angry', 'happy'\], the model's \['angry', 'fearful'"),
        (
            {"descriptors": {"pitch": ["low", "high"], "volume": ["quiet", "loud"]}},
            r"descriptors is \{'pitch': \['high', 'low'\], .*, the model's \{'pitch': \['high', 'low', 'normal'\]",
        ),
        ({"frame_stack": 2}, "frame_stack is 2, the model's 5"),
        ({"conv_stride": [5, 8, 4]}, r"conv_stride is \[5, 8, 4\], the model's \[5, 16, 4\]"),
        ({"transcript": False, "emphasis": False}, "emphasis is False, the model's True"),
        (
            {"slot_order": ["emotion", "pitch", "volume", "speed", "tone", "transcript", "emphasis"]},
            r"slot_order is \['emotion', 'pitch', .*, the model's None",
        ),
        ({"asr_descriptors": "zero", "zero_token": "<|end|>"}, "asr_descriptors is zero, the model's absent"),
        ({"speaker_reference": False}, "speaker_reference is False, the model's True"),
        ({"summary_tokens": False}, "summary_tokens is False, the model's True"),
        ({"aux_streams": {}}, "aux_streams is {}, the model's {'prosody': {'size': 5"),
    ],
)
def test_another_processor_is_refused_with_both_named(pair, waves, tmp_path, fields, named):
    model, _ = pair
    other = altered(pair[1], tmp_path, **fields)
    with pytest.raises(ValueError, match=f"the processor's {named}"):
        model.explain(waves[:1], other)
    with pytest.raises(ValueError, match="the processor's"):
        model.profile(waves[:3], other)
    with pytest.raises(ValueError, match="the processor's"):
        XSERPipeline(model=model, processor=other, device="cpu")
    with pytest.raises(ValueError, match="the processor's"):
        XSERTrainer(model, XSERTrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True), other)


def test_limits_may_differ(pair, waves, tmp_path):
    model, processor = pair
    other = altered(processor, tmp_path, max_audio_seconds=2.0, min_audio_seconds=0.5)
    assert [answer["status"] for answer in model.explain(waves[:2], other)] == ["too_short", "ok"]


def test_what_is_no_processor_is_refused(pair, waves):
    model, processor = pair
    for other in (processor.tokenizer, None):
        with pytest.raises(ValueError, match=f"processor is of type {type(other).__name__}; give the model's XSER"):
            model.explain(waves[:1], other)


@pytest.mark.parametrize(
    ("emotions", "descriptors", "named"),
    [
        (["Sad", "happy", "sad"], {}, "emotions holds 'Sad' and 'sad'"),
        (["very sad", "verysad"], {}, "emotions holds 'very sad' and 'verysad'"),
        (["sad", "happy", "sad"], {}, "at least 2 different labels"),
        ("sad", {}, "emotions is 'sad'; it must be a list"),
        (["sad", "happy"], {"pitch": ["low", "Low"]}, r"descriptors\['pitch'\] holds 'low' and 'Low'"),
        (["sad", "happy"], {"pitch": "low"}, r"descriptors\['pitch'\] is 'low'; it must be a list"),
        (["sad", "happy"], {"pitch": ["low", "high"], "Pitch": ["a", "b"]}, "descriptors holds 'pitch' and 'Pitch'"),
        (["sad", "happy"], {"Emotion": ["low", "high"]}, "'Emotion', a slot of its own"),
        (["straße", "STRASSE"], {}, "holds 'straße' and 'STRASSE'"),
        (["sad", ["happy"]], {}, r"emotions \['happy'\] cannot stand in an answer"),
    ],
)
def test_labels_that_a_reader_would_take_for_one_are_refused(emotions, descriptors, named):
    with pytest.raises(ValueError, match=named):
        LabelSchema(emotions, descriptors)


@pytest.mark.parametrize(
    ("slots", "named"),
    [
        (["pich"], r"'pich' is none \(did you mean 'pitch'\?\)"),
        ("emotion", "slots is 'emotion'; it must be a list of some of"),
        (5, "slots is 5; it must be a list"),
        ([], "each at most once"),
        (["emotion", "emotion"], "each at most once"),
        ([["pitch"]], "is none"),
    ],
)
def test_slots_that_are_none_are_refused_with_the_nearest(pair, waves, slots, named):
    model, processor = pair
    with pytest.raises(ValueError, match=named):
        model.explain(waves[:1], processor, slots=slots)
    with pytest.raises(ValueError, match=named):
        XSERPipeline(model=model, processor=processor, device="cpu")(waves[0], slots=slots)
