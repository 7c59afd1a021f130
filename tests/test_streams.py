"""Streams beside words: prosody that is measured, features that are handed in, summaries, a speaker's reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL, make_wave
from torch import nn

from xser import EmotionDescription, XSERConfig, XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import SAMPLE_RATE, loudness_dbfs
from xser.decoding_xser import decode_description
from xser.losses_xser import EMOTION_SMOOTHING, level_loss
from xser.prosody_xser import measure
from xser.streams_xser import FARTHEST, SUMMARY_HEADS, XSERSummary
from xser.voice_frames_xser import LEVEL, LEVEL_SPAN, USUAL_LEVEL, prosody_frames, usual_of
from xser.voice_measures_xser import NUM_MEASURES

FACE = 7  # made-up features a frame
PROSODY_STREAM = {"size": 5, "latent_size": 3, "hidden_size": 8, "frame_stack": 3, "context_layers": 2, "beta": 0.03}
FACE_STREAM = {"size": FACE, "latent_size": 2, "hidden_size": 8, "frame_stack": 2, "context_layers": 2, "beta": 0.05}
VOICE = {
    **SMALL,
    "descriptor_bottleneck": {"latent_size": 4, "hidden_size": 16, "beta": 0.02, "context_layers": 2},
    "aux_streams": {"prosody": PROSODY_STREAM, "face": FACE_STREAM},
    "summary_tokens": True,
    "emotion_weight": 0.7,
    "speaker_reference": True,
}
LEVELS = {"pitch": "high", "volume": "loud", "speed": "slow", "tone": "flat"}
DESCRIPTION = EmotionDescription(LEVELS, ("dog",), "sad")
FACES = [np.random.default_rng(index).normal(size=(5 + 3 * index, FACE)).astype(np.float32) for index in range(8)]


def build(folders, **options):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, folders), **{**VOICE, **options})


@pytest.fixture(scope="module")
def shared(tiny_backbone_folders, waves):
    """(model, processor, profile), in eval mode; not to be changed."""
    model, processor = build(tiny_backbone_folders)
    return model, processor, model.profile(waves[5:8], processor)


@pytest.fixture
def pair(tiny_backbone_folders):
    """A model of its own for each test, and its processor."""
    return build(tiny_backbone_folders)


def describe(processor, waves, first=0, **options):
    """A batch to learn from; the faces are those of recordings `first`, `first + 1`, …"""
    options = {"targets": [DESCRIPTION] * len(waves), "noise_seed": range(first, first + len(waves)), **options}
    return processor(waves, aux={"face": FACES[first : first + len(waves)]}, **options)


def logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        return model(**{key: value for key, value in batch.items() if "labels" not in key}).logits


# ---------------------------------------------------------------- losses


def test_a_description_has_every_term_of_the_loss_and_their_documented_sum(pair, waves):
    model, processor = pair
    model.train()
    batch = describe(processor, waves[:3])
    output = model(**batch)
    audio = {key: value for key, value in batch.items() if "labels" not in key and key != "attention_mask"}
    streams = model.hear(**audio)
    face, prosody = streams["face"].bottleneck.kl, streams["prosody"].bottleneck.kl
    torch.testing.assert_close(output.aux_kl, face + prosody)
    said = model.emotion_head(streams)
    assert list(said) == ["descriptors", "prosody", "face"]
    targets = nn.functional.one_hot(batch["emotion_labels"], len(model.config.emotions)).float()
    smooth = (1 - EMOTION_SMOOTHING) * targets + EMOTION_SMOOTHING / len(model.config.emotions)
    expected = sum(-(smooth * logits.log_softmax(-1)).sum(-1).mean() for logits in said.values())
    torch.testing.assert_close(output.emotion_loss, expected)
    torch.testing.assert_close(
        output.loss,
        output.lm_loss
        + 0.02 * output.descriptor_kl
        + 0.5 * output.level_loss
        + 0.03 * prosody
        + 0.05 * face
        + 0.7 * output.emotion_loss,
    )
    assert min(face, prosody, output.descriptor_kl, output.level_loss, output.emotion_loss) > 0
    assert output.ctc_loss is None


def test_each_stream_predicts_the_levels_by_itself(pair, waves):
    model, processor = pair
    model.train()
    batch = describe(processor, waves[:3])
    audio = {key: value for key, value in batch.items() if "labels" not in key and key != "attention_mask"}
    streams = model.hear(**audio)
    levels = model.level_head(streams)
    assert list(levels) == ["descriptors", "prosody", "face"]
    expected = sum(level_loss(logits, batch["level_labels"]) for logits in levels.values()) / 3
    torch.testing.assert_close(model(**batch).level_loss, expected)
    streams["face"].bottleneck.z = streams["face"].bottleneck.z + 1
    moved = model.level_head(streams)
    for name in levels:
        same = [torch.equal(*each) for each in zip(levels[name], moved[name], strict=True)]
        assert all(same) is (name != "face")


def test_levels_are_predicted_by_the_streams_that_the_config_names(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, level_weight=0.5, level_streams=["face"])
    model.train()
    batch = describe(processor, waves[:3])
    audio = {key: value for key, value in batch.items() if "labels" not in key and key != "attention_mask"}
    levels = model.level_head(model.hear(**audio))
    assert list(levels) == ["face"]
    output = model(**batch)
    torch.testing.assert_close(output.level_loss, level_loss(levels["face"], batch["level_labels"]))
    output.level_loss.backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {name.split(".")[2] for name in trained if name.startswith("model.aux")} == {"face"}
    assert not any(name.startswith("model.descriptors") for name in trained)


def test_a_transcription_hears_no_stream_of_the_voice(pair, waves):
    model, processor = pair
    output = model.train()(**processor(waves[:2], task="asr", targets=["we won", "the dog"], noise_seed=[0, 1]))
    output.loss.backward()
    assert output.aux_kl is output.emotion_loss is output.descriptor_kl is None
    heard = {".".join(n.split(".")[:2]) for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name for name in heard if name.startswith("model.")} == {"model.content"}
    assert "emotion_head.classifiers" not in heard


def test_a_description_teaches_all_of_the_streams_and_heads_but_content(pair, waves):
    model, processor = pair
    profile = model.profile(waves[5:8], processor)
    model.train()(**describe(processor, waves[:4], reference=profile)).loss.backward()
    without = {
        name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    }
    # a softmax over time is the same whatever is added to it, and LoRA's B is zero at first
    without = {name for name in without if not name.endswith("attention.bias") and ".lora.A" not in name}
    assert without and all(name.startswith(("model.content.", "ctc_head.")) for name in without)


def test_an_utterance_whose_emotion_is_not_known_counts_as_zero_there(pair, waves):
    model, processor = pair
    unknown = EmotionDescription(LEVELS, None, None)
    both = model(**describe(processor, waves[:2], targets=[DESCRIPTION, unknown]))
    alone = model(**describe(processor, waves[:1]))
    torch.testing.assert_close(both.emotion_loss, alone.emotion_loss / 2, rtol=1e-4, atol=1e-5)
    assert model(**describe(processor, waves[:1], targets=[unknown])).emotion_loss == 0


def test_a_loss_does_not_depend_on_the_batch(pair, waves):
    model, processor = pair
    model.train()
    together = model(**describe(processor, waves[:4]))
    alone = [model(**describe(processor, waves[index : index + 1], index)) for index in range(4)]
    for term in ("loss", "lm_loss", "descriptor_kl", "aux_kl", "level_loss", "emotion_loss"):
        expected = sum(getattr(output, term) for output in alone) / 4
        torch.testing.assert_close(getattr(together, term), expected, rtol=1e-4, atol=1e-4)


def test_each_stream_has_a_noise_of_its_own(pair, waves):
    model, processor = pair
    batch = describe(processor, waves[:1])
    audio = {key: value for key, value in batch.items() if "labels" not in key and key != "attention_mask"}
    noise = []
    for stream in model.train().hear(**audio).values():
        z = stream.bottleneck
        noise.append((((z.z - z.mu) / (0.5 * z.logvar).exp())[0]).flatten()[:8])
    for index, one in enumerate(noise):
        assert all(not torch.allclose(one, other, atol=1e-2) for other in noise[index + 1 :])


def test_a_summary_is_of_real_frames_alone():
    torch.manual_seed(0)
    summary = XSERSummary(3, 8)
    z = torch.randn(2, 6, 3)
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    found, token = summary(z, mask)
    assert found.shape == (2, (SUMMARY_HEADS + 2) * 3) and token.shape == (2, 1, 8)
    alone, alone_token = summary(z[1:, :4], mask[1:, :4])
    torch.testing.assert_close(found[1], alone[0])
    torch.testing.assert_close(token[1], alone_token[0])
    real = z[1, :4]
    torch.testing.assert_close(found[1, -6:-3], real.mean(0))
    torch.testing.assert_close(found[1, -3:], (real.var(0, correction=0) + 1e-4).sqrt())


# ---------------------------------------------------------------- auxiliary features


def test_the_answer_depends_on_the_face(shared, waves):
    model, processor, _ = shared
    batch = describe(processor, waves[:2])
    other = batch["aux_face"].clone()
    other[1, 0] += 1
    changed = logits(model, {**batch, "aux_face": other})
    before = logits(model, batch)
    assert torch.equal(changed[0], before[0]) and not torch.allclose(changed[1, -1], before[1, -1], atol=1e-6)


def test_what_stands_on_padding_is_not_heard(shared, waves):
    model, processor, _ = shared
    batch = describe(processor, waves[:2])
    other = {name: batch[name].clone() for name in ("aux_face", "aux_prosody")}
    for name, features in other.items():
        assert (batch[f"{name}_mask"] == 0).any()
        features[batch[f"{name}_mask"] == 0] = 100.0
    torch.testing.assert_close(logits(model, {**batch, **other}), logits(model, batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, r"aux\['face'\] holds features of 0 recordings; there are 2"),
        (FACES[:1], r"aux\['face'\] holds features of 1 recordings; there are 2"),
        ([FACES[0], FACES[1][:, :6]], r"aux\['face'\] .*\(8, 6\).*\(frames, 7\)"),
        ([FACES[0], FACES[1][0]], r"aux\['face'\] .*\(7,\)"),
        ([FACES[0], FACES[1][:0]], r"aux\['face'\] .*at least one frame"),
        ([FACES[0], np.where(np.eye(5, FACE), np.nan, FACES[0])], r"aux\['face'\] .*all finite"),
        ([FACES[0], np.full((3, FACE), np.inf)], r"aux\['face'\] .*all finite"),
    ],
    ids=["missing", "too few", "too narrow", "one axis", "empty", "NaN", "infinite"],
)
def test_features_that_are_not_right_are_refused_by_the_name_of_their_stream(shared, waves, rows, message):
    _, processor, _ = shared
    with pytest.raises(ValueError, match=message):
        processor(waves[:2], aux=None if rows is None else {"face": rows})


@pytest.mark.parametrize("rows", [FACES[:1], []], ids=["too few", "none"])
def test_an_explanation_refuses_features_of_other_recordings(shared, waves, rows):
    model, processor, _ = shared
    with pytest.raises(ValueError, match="face"):
        model.explain(waves[:2], processor, aux={"face": rows})


def test_an_unknown_stream_is_refused_with_those_that_are_known(shared, waves):
    _, processor, _ = shared
    with pytest.raises(ValueError, match=r"aux holds \['hands'\]; .* are \['face', 'prosody'\]"):
        processor(waves[:1], aux={"face": FACES[:1], "hands": FACES[:1]})


def test_the_model_refuses_missing_features_and_those_of_another_size(shared, waves):
    model, processor, _ = shared
    batch = dict(describe(processor, waves[:1]))
    with pytest.raises(ValueError, match="stream 'face' hears aux_face, features of size 7: they have 6"):
        model(**{**batch, "aux_face": batch["aux_face"][..., :6]})
    for name in ("aux_face", "aux_face_mask"):
        with pytest.raises(ValueError, match="stream 'face' hears aux_face, features of size 7: none were given"):
            model(**{key: value for key, value in batch.items() if key != name})


def test_prosody_is_measured_unless_it_is_given(shared, waves):
    _, processor, _ = shared
    frames = [prosody_frames(measure(wave)) for wave, _ in waves[:2]]
    measured = processor(waves[:2], aux={"face": FACES[:2]})
    given = processor(waves[:2], aux={"face": FACES[:2], "prosody": frames})
    assert torch.equal(measured["aux_prosody"], given["aux_prosody"])
    assert torch.equal(measured["aux_prosody_mask"].sum(-1), torch.tensor([len(each) for each in frames]))
    other = processor(waves[:2], aux={"face": FACES[:2], "prosody": [each[:3] for each in frames]})
    assert other["aux_prosody"].shape[1] == 3


# ---------------------------------------------------------------- prompts


def test_placeholders_are_counted_for_each_stream(shared):
    _, processor, _ = shared
    counts = processor.num_placeholders("describe", 10, {"prosody": 7, "face": 5})
    assert counts == {  # frames 10 by 5, prosody 7 by 3, face 5 by 2; a summary each but for content
        "<|content|>": 2, "<|descriptors|>": 2 + 1, "<|prosody|>": 3 + 1, "<|face|>": 3 + 1,
    }  # fmt: skip
    assert processor.num_placeholders("asr", 10, {"prosody": 7, "face": 5}) == {"<|content|>": 2}


def test_without_summaries_there_is_a_placeholder_less(tiny_backbone_folders):
    _, processor = build(tiny_backbone_folders, summary_tokens=False, emotion_weight=0)
    assert processor.num_placeholders("describe", 8, {"prosody": 6, "face": 2}) == {
        "<|content|>": 2, "<|descriptors|>": 2, "<|prosody|>": 2, "<|face|>": 1,
    }  # fmt: skip


@pytest.mark.parametrize("slots", [None, ["emotion"]])
@pytest.mark.parametrize("task", ["asr", "describe"])
def test_the_text_of_a_prompt_and_its_ids_agree(shared, waves, task, slots):
    _, processor, _ = shared
    aux = {"prosody": prosody_frames(measure(waves[0][0])), "face": FACES[0]}
    lengths = {name: len(features) for name, features in aux.items()}
    text = processor.prompt_text(task, processor.num_frames(len(waves[0][0])), slots, lengths)
    expected = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    batch = processor(waves[:1], task=task, slots=slots, aux={name: [each] for name, each in aux.items()})
    assert batch["input_ids"][0].tolist() == expected
    for token, count in processor.num_placeholders(task, processor.num_frames(len(waves[0][0])), lengths).items():
        assert text.count(token) == count


def test_the_model_knows_the_placeholders_of_the_processor(shared):
    model, processor, _ = shared
    assert model.config.aux_token_ids == processor.aux_token_ids
    ids = [model.config.content_token_id, model.config.descriptor_token_id, *model.config.aux_token_ids.values()]
    assert len(set(ids)) == 4


# ---------------------------------------------------------------- batch invariance


def references(profile, kind):
    """For eight recordings: none, the profile for all, or for every other one."""
    return {"none": [None] * 8, "all": [profile] * 8, "some": [profile, None] * 4}[kind]


@pytest.mark.parametrize("kind", ["none", "all", "some"])
def test_logits_of_a_clip_are_the_same_alone_and_padded_in_a_batch(shared, waves, kind):
    model, processor, profile = shared
    given = references(profile, kind)
    together = logits(model, describe(processor, waves, reference=given))
    for row in range(8):
        alone = logits(model, describe(processor, waves[row : row + 1], row, reference=given[row : row + 1]))
        torch.testing.assert_close(together[row, -alone.shape[1] :], alone[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "all", "some"])
def test_scores_of_a_clip_are_the_same_alone_and_padded_in_a_batch(shared, waves, kind):
    model, processor, profile = shared
    given = references(profile, kind)
    options = {"slots": ["pitch", "emotion"], "transcript": False}
    together = model.explain(waves, processor, reference=given, aux={"face": FACES}, **options)
    for row in (0, 3, 6):
        [alone] = model.explain(
            waves[row : row + 1], processor, reference=given[row], aux={"face": FACES[row : row + 1]}, **options
        )
        assert together[row]["scores"] == pytest.approx(alone["scores"], abs=1e-4)
        assert together[row]["descriptors"] == alone["descriptors"]
        has_reference = [("speaker_reference" in answer) for answer in (alone, together[row])]
        assert has_reference == [given[row] is not None] * 2


# ---------------------------------------------------------------- votes


def test_the_emotion_of_an_answer_is_the_mean_opinion_of_language_model_and_streams(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, emotion_votes=True)
    options = {"aux": {"face": FACES[:3]}, "slots": ["tone", "emotion"], "transcript": False}
    pooled = model.explain(waves[:3], processor, **options)
    model.config.emotion_votes = False
    alone = model.explain(waves[:3], processor, **options)
    for with_votes, without in zip(pooled, alone, strict=True):
        assert "votes" not in without
        opinions = [without["scores"], *with_votes["votes"].values()]
        assert list(with_votes["votes"]) == ["descriptors", "prosody", "face"]
        means = {e: np.exp(np.mean([np.log(each[e]) for each in opinions])) for e in model.config.emotions}
        expected = {emotion: mean / sum(means.values()) for emotion, mean in means.items()}
        assert with_votes["scores"] == pytest.approx(expected, abs=1e-5)
        assert with_votes["emotion"] == max(expected, key=expected.get)
        assert with_votes["descriptors"] == without["descriptors"]
        assert all(sum(opinion.values()) == pytest.approx(1) for opinion in opinions)


ONE_STREAM = {
    **SMALL,
    "disentangled": False,
    "descriptor_bottleneck": None,
    "level_weight": 0,
    "summary_tokens": True,
    "emotion_weight": 0.7,
    "emotion_votes": True,
}


def test_the_one_stream_has_a_summary_that_descriptions_and_transcriptions_hold(tiny_backbone_folders, waves):
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **ONE_STREAM)
    assert list(model.emotion_head.classifiers) == ["content"]
    output = model(**processor(waves[:2], targets=[DESCRIPTION] * 2, noise_seed=[0, 1]))
    expected = output.lm_loss + model.config.content_bottleneck["beta"] * output.content_kl + 0.7 * output.emotion_loss
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert model.model.content.summary.projector[0].weight.grad.any()
    model.zero_grad()
    transcribed = model(**processor(waves[:2], task="asr", targets=["we won", "the dog"], noise_seed=[0, 1]))
    transcribed.loss.backward()
    assert transcribed.emotion_loss is None
    assert model.model.content.summary.projector[0].weight.grad.any()


def test_the_head_on_the_one_stream_counts_in_the_answer(tiny_backbone_folders, waves):
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **ONE_STREAM)
    [answer] = model.explain(waves[:1], processor, slots=["emotion"], transcript=False)
    model.config.emotion_votes = False
    [alone] = model.explain(waves[:1], processor, slots=["emotion"], transcript=False)
    assert list(answer["votes"]) == ["content"]
    means = {e: (alone["scores"][e] * answer["votes"]["content"][e]) ** 0.5 for e in model.config.emotions}
    expected = {emotion: mean / sum(means.values()) for emotion, mean in means.items()}
    assert answer["scores"] == pytest.approx(expected, abs=1e-5)


def test_what_streams_say_of_a_clip_does_not_depend_on_the_batch(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, emotion_votes=True)
    options = {"slots": ["emotion"], "transcript": False}
    together = model.explain(waves, processor, aux={"face": FACES}, **options)
    for row in (0, 3, 6):
        [alone] = model.explain(waves[row : row + 1], processor, aux={"face": FACES[row : row + 1]}, **options)
        for name, opinion in alone["votes"].items():
            assert together[row]["votes"][name] == pytest.approx(opinion, abs=1e-4)


def test_levels_of_an_answer_are_pooled_from_language_model_and_heads(tiny_backbone_folders, waves, monkeypatch):
    model, processor = build(tiny_backbone_folders, level_weight=0.5, level_streams=["descriptors", "face"])
    model.eval()
    decoded, aux = [], {"face": FACES[:3]}

    def spied(*given):
        decoded.append(decode_description(*given))
        return decoded[-1]

    monkeypatch.setattr("xser.explain_xser.decode_description", spied)
    slot = next(slot for slot in processor.schema.slots if slot in processor.descriptors)
    for pooled in (False, True):
        model.config.level_ensemble = pooled
        answers = model.explain(waves[:3], processor, slots=[slot], transcript=False, aux=aux)
    inputs = processor(waves[:3], slots=[slot], aux=aux)
    inputs.pop("attention_mask")
    streams = model.hear(**inputs)
    heads = [logits[[*processor.descriptors].index(slot)] for logits in model.level_head(streams).values()]
    heads = [head.softmax(-1).detach().numpy() for head in heads]
    assert len(heads) == 2
    for row, ((_, alone), (_, together)) in enumerate(zip(*decoded, strict=True)):
        members = [np.array([*alone[slot].values()]), *(head[row] for head in heads)]
        means = np.exp(np.mean(np.log(members), 0))
        np.testing.assert_allclose([*together[slot].values()], means / means.sum(), atol=1e-4)
        assert answers[row]["descriptors"][slot] == processor.descriptors[slot][means.argmax()]


def test_votes_are_weighed_where_the_speaker_is_known_and_alike_elsewhere(tiny_backbone_folders, waves):
    weights = {"language_model": 0.5, "descriptors": 0.25, "prosody": 1.5, "face": 0.0}
    model, processor = build(tiny_backbone_folders, emotion_votes=True, vote_weights=weights)
    profile = model.profile(waves[5:8], processor)
    options = {"aux": {"face": FACES[:2]}, "slots": ["emotion"], "transcript": False, "reference": [profile, None]}
    weighed = model.explain(waves[:2], processor, **options)
    model.config.vote_weights = None
    alike = model.explain(waves[:2], processor, **options)
    assert weighed[1] == alike[1]
    model.config.emotion_votes = False
    [alone, _] = model.explain(waves[:2], processor, **options)
    opinions = {"language_model": alone["scores"], **alike[0]["votes"]}
    pooled = {
        emotion: np.prod([opinion[emotion] ** weights[name] for name, opinion in opinions.items()])
        for emotion in alone["scores"]
    }
    expected = {emotion: value / sum(pooled.values()) for emotion, value in pooled.items()}
    assert weighed[0]["scores"] == pytest.approx(expected, abs=1e-5)
    assert weighed[0]["scores"] != pytest.approx(alike[0]["scores"], abs=1e-4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"language_model": 1.0}, "a number of 0 or more for each of"),
        ({"language_model": 1.0, "descriptors": -1.0, "prosody": 1.0, "face": 1.0}, "a number of 0 or more"),
        ({"language_model": 0, "descriptors": 0, "prosody": 0, "face": 0}, "not all of them 0"),
        ({"language_model": 1.0, "descriptors": True, "prosody": 1.0, "face": 1.0}, "a number of 0 or more"),
    ],
)
def test_weights_of_votes_that_are_not_right_are_refused(weights, message):
    with pytest.raises(ValueError, match=f"vote_weights is .*{message}"):
        XSERConfig(**VOICE, emotion_votes=True, vote_weights=weights)


def test_nobody_votes_where_no_emotion_is_asked_for(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, emotion_votes=True)
    [answer] = model.explain(waves[:1], processor, aux={"face": FACES[:1]}, slots=["tone"], transcript=False)
    assert "votes" not in answer and answer["scores"] is None


# ---------------------------------------------------------------- reference


def usual_set_to(model, processor, profile):
    stream = model.model.descriptors
    stream.usual_mean.copy_(torch.from_numpy(profile.mean))
    stream.usual_deviation.copy_(torch.from_numpy(profile.deviation))
    processor.usual_pitch = profile.pitch


def test_streams_are_told_whether_a_reference_is_of_the_speaker(shared, waves):
    model, processor, profile = shared
    batches = [describe(processor, waves[:1], reference=replace(profile, is_speaker=each)) for each in (True, False)]
    assert [batch["knows_speaker"].tolist() for batch in batches] == [[1.0], [0.0]]
    assert torch.equal(batches[0]["reference"], batches[1]["reference"])
    assert not torch.equal(*(logits(model, batch) for batch in batches))
    mixed = describe(processor, waves[:2], reference=[None, profile])
    assert mixed["knows_speaker"].tolist() == [0.0, 1.0]


@pytest.fixture
def recording_pair(tiny_backbone_folders, waves):
    """(model, processor, profile) that hear whole recordings, in eval mode."""
    model, processor = build(tiny_backbone_folders, recording_states=True)
    model.model.descriptors.recording.usual.copy_(torch.rand(3, *model.model.descriptors.usual_mean.shape) + 0.5)
    return model, processor, model.profile(waves[5:8], processor)


def test_of_a_whole_recording_mean_and_deviation_are_told_in_usual_spreads(recording_pair, waves):
    model, processor, profile = recording_pair
    stream = model.model.descriptors
    heard = []
    stream.recording.projector.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    logits(model, describe(processor, waves[:2], reference=profile))
    spread, usual_deviation, deviation_spread = stream.recording.usual.numpy()
    for row, (wave, rate) in enumerate(waves[:2]):
        inputs = processor([(wave, rate)], task="asr")
        states = model.model.all_states(inputs["input_values"], inputs["input_values_mask"]).float().numpy()
        relative = (states - profile.mean) / profile.deviation
        expected = [relative.mean(0) / spread, (relative.std(0) - usual_deviation) / deviation_spread]
        expected = np.concatenate(expected).clip(-FARTHEST, FARTHEST).ravel()
        np.testing.assert_allclose(heard[0][row].numpy(), expected, atol=2e-2)


def test_the_whole_recording_is_told_of_a_known_speaker_alone(recording_pair, waves):
    model, processor, profile = recording_pair
    other = replace(profile, is_speaker=False)
    batches = [describe(processor, waves[:2], reference=each) for each in (None, other, profile)]
    before = [logits(model, batch) for batch in batches]
    with torch.no_grad():
        model.model.descriptors.recording.projector[-1].weight.mul_(3)
    for batch, was, is_known in zip(batches, before, (False, False, True), strict=True):
        assert torch.equal(logits(model, batch), was) is not is_known


def test_a_whole_recording_is_the_same_alone_and_in_a_batch(recording_pair, waves):
    model, processor, profile = recording_pair
    options = {"slots": ["emotion"], "transcript": False, "reference": profile}
    together = model.explain(waves, processor, aux={"face": FACES}, **options)
    for row in (0, 6):
        [alone] = model.explain(waves[row : row + 1], processor, aux={"face": FACES[row : row + 1]}, **options)
        assert alone["scores"] == pytest.approx(together[row]["scores"], abs=1e-4)


def test_a_model_that_hears_whole_recordings_is_saved_with_what_is_usual(recording_pair, tmp_path):
    model, _, _ = recording_pair
    model.save_pretrained(tmp_path)
    kept = XSERForEmotionDescription.from_pretrained(tmp_path)
    assert torch.equal(kept.model.descriptors.recording.usual, model.model.descriptors.recording.usual)


def test_whole_recordings_want_a_reference():
    with pytest.raises(
        ValueError, match="recording_states is True; it must be false where speaker_reference is false"
    ):
        XSERConfig(recording_states=True)


def test_heads_alone_have_the_loss_that_they_have_in_the_whole(pair, waves):
    model, processor = pair
    batch = describe(processor, waves[:3])
    whole, heads = model(**batch), model(**batch, heads_only=True)
    assert heads.lm_loss is None and heads.logits is None and heads.content_kl is None
    for term in ("emotion_loss", "level_loss", "descriptor_kl", "aux_kl"):
        assert torch.equal(getattr(heads, term), getattr(whole, term)), term
    betas = {name: options["beta"] for name, options in model.config.aux_streams.items()}
    assert heads.loss < whole.loss and betas
    torch.testing.assert_close(heads.loss, whole.loss - whole.lm_loss)


def test_a_reference_changes_what_is_heard(shared, waves):
    model, processor, profile = shared
    with_it = describe(processor, waves[:1], reference=profile)
    without = describe(processor, waves[:1])
    assert "reference" not in without
    assert not torch.allclose(logits(model, with_it), logits(model, without), atol=1e-4)
    assert not torch.allclose(with_it["aux_prosody"], without["aux_prosody"], atol=1e-4)


def test_a_reference_that_is_what_is_usual_and_nobodys_changes_nothing(pair, waves):
    model, processor = pair
    profile = replace(model.profile(waves[5:8], processor), is_speaker=False)
    usual_set_to(model, processor, profile)
    batches = [describe(processor, waves[:3], reference=reference) for reference in (profile, None)]
    for name in set(batches[0]) - {"reference", "knows_speaker"}:
        assert torch.equal(batches[0][name], batches[1][name]), name
    assert torch.equal(*(logits(model, batch) for batch in batches))
    options = {"aux": {"face": FACES[:3]}, "transcript": False}
    told, untold = (model.explain(waves[:3], processor, reference=each, **options) for each in (profile, None))
    for with_it, without in zip(told, untold, strict=True):
        assert with_it.pop("speaker_reference")["recordings"] == 3 and with_it == without


def test_loudness_is_relative_to_the_level_of_the_reference(pair, waves):
    model, processor = pair
    profile = replace(model.profile(waves[5:8], processor), level=-35.0)
    measured = torch.tensor([loudness_dbfs(wave) for wave, _ in waves[:2]])
    batch = describe(processor, waves[:2], reference=profile)
    torch.testing.assert_close(batch["loudness"], measured + 35.0 + USUAL_LEVEL)


def test_how_far_a_loudness_is_from_usual_is_told_in_deviations_of_the_speaker(tiny_backbone_folders, waves):
    """A speaker of three times the usual deviation is heard a third as far away, as are the levels of the frames."""
    measures = {"size": NUM_MEASURES, "latent_size": 3, "hidden_size": 8, "frame_stack": 1}
    streams = {"prosody": PROSODY_STREAM, "measures": measures}
    model, processor = build(tiny_backbone_folders, aux_streams=streams)
    own, usual = np.full((2, NUM_MEASURES), 6.0, np.float32), np.full((2, NUM_MEASURES), 2.0)
    processor.usual_measures = usual.tolist()
    profile = replace(model.profile(waves[5:8], processor), level=-35.0, measures=own, num_recordings=10**6)
    measured = torch.tensor([loudness_dbfs(wave) for wave, _ in waves[:2]])
    steady = processor(waves[:2], task="describe", reference=replace(profile, measures=own / 3))
    varied = processor(waves[:2], task="describe", reference=profile)
    torch.testing.assert_close(steady["loudness"], measured + 35.0 + USUAL_LEVEL, rtol=0, atol=1e-3)
    torch.testing.assert_close(varied["loudness"], (measured + 35.0) / 3 + USUAL_LEVEL, rtol=0, atol=1e-3)
    frames = prosody_frames(measure(waves[0][0]))
    moved = (steady["aux_prosody"] - varied["aux_prosody"])[0, : len(frames), LEVEL]
    level = usual_of(frames)[1]
    torch.testing.assert_close(moved, torch.full_like(moved, (level + 35.0) * (2 / 3) / LEVEL_SPAN), rtol=0, atol=1e-3)


def test_of_a_voice_that_nobody_knows_the_gain_tells_nothing(shared, waves):
    model, processor, _ = shared
    louder = [(wave * 2.5, rate) for wave, rate in waves[:3]]
    given, gained = (describe(processor, each) for each in (waves[:3], louder))
    assert (given["loudness"] == USUAL_LEVEL).all()
    torch.testing.assert_close(logits(model, given), logits(model, gained), rtol=0, atol=1e-3)


def test_a_model_that_hears_no_reference_hears_the_gain(tiny_backbone_folders, waves):
    model, processor = build(tiny_backbone_folders, speaker_reference=False)
    given, gained = (describe(processor, [(wave * gain, rate) for wave, rate in waves[:1]]) for gain in (1.0, 2.5))
    torch.testing.assert_close(gained["loudness"] - given["loudness"], torch.tensor([20 * np.log10(2.5)]).float())
    assert not torch.allclose(logits(model, given), logits(model, gained), atol=1e-3)
    change = (gained["aux_prosody"] - given["aux_prosody"])[0, :, 3]
    torch.testing.assert_close(change, torch.full_like(change, 2 * np.log10(2.5)), rtol=0, atol=1e-3)


def test_a_voice_that_is_louder_throughout_sounds_the_same_relative_to_itself(pair, waves):
    model, processor = pair
    frames = [prosody_frames(measure(wave)) for wave, _ in waves[:1]]
    louder = [np.concatenate([each[:, :3], each[:, 3:4] + 6, each[:, 4:]], 1) for each in frames]
    profile = model.profile(waves[5:8], processor)
    batches = [
        processor(waves[:1], aux={"face": FACES[:1], "prosody": each}, reference=replace(profile, level=level))
        for each, level in ((frames, profile.level), (louder, profile.level + 6))
    ]
    torch.testing.assert_close(batches[0]["aux_prosody"], batches[1]["aux_prosody"], rtol=0, atol=1e-5)


def test_half_a_reference_is_known_where_the_other_half_is_nan(shared, waves):
    model, processor, profile = shared
    batch = describe(processor, waves[:1], reference=profile)
    nothing = {**batch, "reference": torch.full_like(batch["reference"], torch.nan)}
    absent = {key: value for key, value in batch.items() if key != "reference"}
    assert torch.equal(logits(model, nothing), logits(model, absent))
    assert not torch.equal(logits(model, batch), logits(model, absent))


def test_a_model_without_speaker_reference_refuses_a_reference(tiny_backbone_folders, shared, waves):
    profile = shared[2]
    model, processor = build(tiny_backbone_folders, speaker_reference=False)
    for reference in (profile, [None, profile]):
        with pytest.raises(ValueError, match="speaker_reference false"):
            processor(waves[:2], aux={"face": FACES[:2]}, reference=reference)
        with pytest.raises(ValueError, match="speaker_reference false"):
            model.explain(waves[:2], processor, aux={"face": FACES[:2]}, reference=reference)
    assert "reference" not in processor(waves[:2], aux={"face": FACES[:2]}, reference=[None, None])
    assert not any("usual" in name for name in model.state_dict())


@pytest.mark.parametrize("count", [1, 3])
def test_references_of_another_number_are_refused(shared, waves, count):
    model, processor, profile = shared
    with pytest.raises(ValueError, match=f"{count} references for 2 recordings"):
        processor(waves[:2], aux={"face": FACES[:2]}, reference=[profile] * count)
    with pytest.raises(ValueError, match="reference"):
        model.explain(waves[:2], processor, aux={"face": FACES[:2]}, reference=[profile] * count)


def test_recordings_without_speech_have_the_same_keys_as_their_neighbours(shared, waves):
    model, processor, profile = shared
    silence = (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    spoken, silent = model.explain(
        [waves[0], silence], processor, reference=profile, aux={"face": FACES[:2]}, transcript=False
    )
    assert silent["status"] == "no_speech" and spoken["speaker_reference"]["recordings"] == 3
    assert silent.keys() == spoken.keys()


# ---------------------------------------------------------------- states that were heard before


def heard_before(model, processor, waves, dtype):
    heard = []
    for wave, rate in waves:
        inputs = processor([(wave, rate)], task="asr")
        states, _ = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
        heard.append((torch.stack(states, 2)[0].numpy().astype(dtype), loudness_dbfs(wave)))
    return heard


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 2e-2)])
@pytest.mark.parametrize("task", ["asr", "describe"])
def test_states_that_were_heard_before_answer_as_the_recording_does(shared, waves, task, dtype, tolerance):
    model, processor, profile = shared
    prosody = [prosody_frames(measure(wave)) for wave, _ in waves[:3]]
    options = {
        "task": task,
        "targets": ["we won"] * 3 if task == "asr" else [DESCRIPTION] * 3,
        "aux": {"face": FACES[:3], "prosody": prosody},
        "reference": [profile, None, profile],
    }
    heard = heard_before(model, processor, waves[:3], dtype)
    from_states = processor(None, heard=heard, **options)
    from_audio = processor(waves[:3], **options)
    assert "input_values" not in from_states
    same = set(from_states) - {"tower_states", "tower_mask"}
    assert same == set(from_audio) - {"input_values", "input_values_mask"}
    for name in same:
        torch.testing.assert_close(from_states[name], from_audio[name], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(logits(model, from_states), logits(model, from_audio), rtol=0, atol=tolerance)
    losses = [model(**batch) for batch in (from_states, from_audio)]
    torch.testing.assert_close(losses[0].loss, losses[1].loss, rtol=tolerance, atol=tolerance)
    alone = [processor(None, heard=heard[:1], **_first(options)), processor(waves[:1], **_first(options))]
    if dtype == np.float32:
        assert torch.equal(*(logits(model, batch) for batch in alone))


def _first(options: dict) -> dict:
    aux = {name: each[:1] for name, each in options["aux"].items()}
    return {**options, "targets": options["targets"][:1], "reference": options["reference"][:1], "aux": aux}


def test_states_that_were_heard_before_want_their_prosody(shared, waves):
    model, processor, _ = shared
    with pytest.raises(ValueError, match="prosody"):
        processor(None, heard=heard_before(model, processor, waves[:1], np.float32), aux={"face": FACES[:1]})


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("thin", [False, True])
def test_a_checkpoint_keeps_answers_to_the_bit_and_what_is_usual(pair, waves, tmp_path, thin):
    model, processor = pair
    profile = model.profile(waves[5:8], processor)
    usual_set_to(model, processor, replace(profile, mean=profile.mean + 0.25, pitch=83.5))
    model.save_pretrained(tmp_path, thin=thin)
    processor.save_pretrained(tmp_path)
    loaded, reader = XSERForEmotionDescription.from_pretrained(tmp_path), XSERProcessor.from_pretrained(tmp_path)
    stream, kept = model.model.descriptors, loaded.model.descriptors
    assert torch.equal(kept.usual_mean, stream.usual_mean) and torch.equal(
        kept.usual_deviation, stream.usual_deviation
    )
    assert not kept.usual_mean.equal(torch.zeros_like(kept.usual_mean))
    assert reader.usual_pitch == 83.5
    assert reader.aux_streams == processor.aux_streams and loaded.config.aux_streams == model.config.aux_streams
    for reference in (None, profile):
        batches = [describe(each, waves[:2], reference=reference) for each in (processor, reader)]
        assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
        assert torch.equal(logits(model, batches[0]), logits(loaded, batches[1]))
        options = {"reference": reference, "aux": {"face": FACES[:2]}}
        assert model.explain(waves[:2], processor, **options) == loaded.explain(waves[:2], reader, **options)


# ---------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"aux_streams": {"Face": {"size": 7}}}, "aux_streams is 'Face'; it must be an identifier in lower case"),
        ({"aux_streams": {"my face": {"size": 7}}}, "aux_streams is 'my face'"),
        ({"aux_streams": {"7face": {"size": 7}}}, "aux_streams is '7face'"),
        ({"aux_streams": {"": {"size": 7}}}, "aux_streams is ''"),
        ({"aux_streams": {"content": {"size": 7}}}, "aux_streams is 'content'; it must be none of"),
        ({"aux_streams": {"descriptors": {"size": 7}}}, "aux_streams is 'descriptors'"),
        ({"aux_streams": {"face": {"size": 0}}}, r"aux_streams\['face'\]\['size'\] is 0; it must be at least 1"),
        ({"aux_streams": {"face": {"size": 2.5}}}, r"aux_streams\['face'\]\['size'\] is 2.5"),
        ({"aux_streams": {"face": {"width": 7}}}, r"aux_streams\['face'\] has unknown keys \['width'\]"),
        ({"aux_streams": {"face": {"frame_stack": 0}}}, r"aux_streams\['face'\]\['frame_stack'\] is 0"),
        ({"aux_streams": {"face": {"latent_size": 0}}}, r"aux_streams\['face'\]\['latent_size'\] is 0"),
        ({"aux_streams": {"face": {"beta": -1.0}}}, r"aux_streams\['face'\]\['beta'\] is -1.0"),
        ({"aux_streams": {"face": {"dropout": 1.0}}}, r"aux_streams\['face'\]\['dropout'\] is 1.0"),
        ({"aux_streams": {"face": {"context_layers": -1}}}, r"aux_streams\['face'\]\['context_layers'\] is -1"),
        ({"descriptor_bottleneck": {"dropout": 1.0}}, r"descriptor_bottleneck\['dropout'\] is 1.0"),
        ({"descriptor_bottleneck": {"smoothing": 4}}, r"descriptor_bottleneck\['smoothing'\] is 4.* odd"),
        ({"content_bottleneck": {"smoothing": 0}}, r"content_bottleneck\['smoothing'\] is 0.* odd"),
        ({"descriptor_bottleneck": {"context_layers": -1}}, r"descriptor_bottleneck\['context_layers'\] is -1"),
        ({"emotion_weight": 1.0}, "emotion_weight is 1.0; it must be 0 where summary_tokens is false"),
        ({"summary_tokens": True, "emotion_weight": -1.0}, "emotion_weight is -1.0; it must be 0 or more"),
        ({"level_ensemble": True}, "level_ensemble is True; it must be false where level_weight is 0"),
        ({"emotion_votes": True}, "emotion_votes is True; it must be false where emotion_weight is 0"),
        ({"summary_tokens": True, "summary_dropout": 1.0}, r"summary_dropout is 1.0; it must be in \[0, 1\)"),
        ({"disentangled": False, "speaker_reference": True}, "speaker_reference is True; .* disentangled is false"),
        ({"disentangled": False, "aux_streams": {"face": {"size": 7}}}, "aux_streams is .* disentangled is false"),
        ({"speaker_reference": 1}, "speaker_reference is 1"),
    ],
)
def test_streams_that_cannot_be_are_refused_by_name(options, named):
    with pytest.raises(ValueError, match=f"XSERConfig.{named}"):
        XSERConfig(**options)


def test_a_stream_cannot_be_called_as_the_mask_of_another():
    with pytest.raises(ValueError, match="face_mask"):
        XSERConfig(aux_streams={"face": {"size": 7}, "face_mask": {"size": 7}})


def test_a_config_keeps_its_streams_and_their_order(tmp_path):
    config = XSERConfig(**{**VOICE, "level_weight": 0.5})
    config.save_pretrained(tmp_path)
    loaded = XSERConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict() and list(loaded.aux_streams) == ["prosody", "face"]
    assert loaded.aux_streams["face"]["variational"] is True  # a default
    assert XSERConfig().aux_streams == {} and XSERConfig().speaker_reference is False


def test_dropout_before_the_encoder_is_of_training_alone(tiny_backbone_folders, waves):
    bottleneck = {"latent_size": 4, "hidden_size": 16, "variational": False, "dropout": 0.5}
    model, processor = build(tiny_backbone_folders, descriptor_bottleneck=bottleneck, aux_streams={})
    batch = processor([(make_wave(0.5), SAMPLE_RATE)])
    assert torch.equal(logits(model, batch), logits(model, batch))
    model.train()
    assert not torch.equal(logits(model, batch), logits(model, batch))
