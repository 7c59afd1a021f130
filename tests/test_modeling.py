"""The model at tiny size: what is frozen, what is trained, what a loss is made of, and what padding may not change."""

import pytest
import torch
from conftest import AUDIO_MODELS, SMALL, TEXT_MODELS, TINY_AUDIO, make_wave, save_audio_backbone, save_text_backbone
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from xser import EmotionDescription, XSERForEmotionDescription, XSERProcessor
from xser.losses_xser import level_loss

DESCRIPTION = EmotionDescription({"pitch": "high", "speed": "slow"}, ("dog",), "sad")
SEEDS = list(range(8))


def asr_batch(processor, waves):
    return processor(
        waves, task="asr", targets=["the dog is at the door"] * len(waves), noise_seed=SEEDS[: len(waves)]
    )


def describe_batch(processor, waves):
    return processor(waves, task="describe", targets=[DESCRIPTION] * len(waves), noise_seed=SEEDS[: len(waves)])


def gradients(model):
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


# ---------------------------------------------------------------- backbones


@pytest.mark.parametrize("audio", AUDIO_MODELS)
@pytest.mark.parametrize("text", TEXT_MODELS)
def test_any_pair_of_backbones_trains_and_answers(tmp_path, tiny_tokenizer, waves, audio, text):
    model, processor = XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "audio", audio),
        save_text_backbone(tmp_path / "text", tiny_tokenizer, text),
        emotions=["happy", "bored"],
        **SMALL,
    )
    model.train()
    for batch in (asr_batch(processor, waves[:2]), describe_batch_of(processor, waves[:2], "bored")):
        model(**batch).loss.backward()
    assert {name.split(".")[0] for name in gradients(model)} == {"model", "language_model", "ctc_head"}
    [answer] = model.eval().explain(waves[:1], processor)
    assert set(answer["scores"]) == {"happy", "bored"}


def describe_batch_of(processor, waves, emotion):
    return processor(waves, task="describe", targets=[EmotionDescription({}, None, emotion)] * len(waves))


def test_from_backbones_keeps_the_pretrained_weights(tiny_backbone_folders, tiny_pair):
    model, _ = tiny_pair
    audio, text = tiny_backbone_folders
    tower = AUDIO_MODELS["hubert"][1].from_pretrained(audio).state_dict()
    for name, tensor in model.model.audio_tower.state_dict().items():
        assert torch.equal(tensor, tower[name]), name
    language_model = TEXT_MODELS["llama"][1].from_pretrained(text).state_dict()
    for name, tensor in model.language_model.state_dict().items():
        if ".lora." not in name:
            assert torch.equal(tensor, language_model[name]), name


def test_from_backbones_refuses_unknown_options(tiny_backbone_folders):
    with pytest.raises(
        ValueError, match=r"unknown options \['frame_stak'\] of XSERConfig: the nearest is 'frame_stack'"
    ):
        XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), frame_stak=2)


def test_new_lora_changes_nothing(tiny_pair):
    model, _ = tiny_pair
    lora_b = [p for name, p in model.named_parameters() if ".lora.B" in name]
    assert lora_b and all((p == 0).all() for p in lora_b)


# ---------------------------------------------------------------- what is frozen and what is trained


def test_frozen_is_the_tower_and_the_language_model_but_for_lora(tiny_pair):
    model, _ = tiny_pair
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("model.audio_tower") for name in trainable)
    assert all(".lora." in name for name in trainable if name.startswith("language_model"))
    assert any(name.startswith("model.descriptors") for name in trainable)


@pytest.mark.parametrize("thin", [False, True])
def test_frozen_tower_stays_frozen_after_reload(tmp_path, tiny_pair, thin):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path, thin=thin)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path).train()
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    assert loaded.training and not any(module.training for module in loaded.model.audio_tower.modules())


def test_a_config_may_unfreeze_the_backbones_for_pretraining(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), freeze_audio_tower=False, freeze_language_model=False, **SMALL
    )
    model.train()
    assert model.model.audio_tower.training and model.config.lora is None
    model(**asr_batch(processor, waves[:2])).loss.backward()
    names = gradients(model)
    assert "model.audio_tower.feature_extractor.conv_layers.0.conv.weight" in names
    assert "language_model.model.embed_tokens.weight" in names


def test_an_unfrozen_tower_drops_no_layer(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), freeze_audio_tower=False, **SMALL
    )
    assert model.config.audio_config.layerdrop > 0  # HuBERT's own default
    model.train()
    for _ in range(8):
        assert model(**asr_batch(processor, waves[:1])).loss.isfinite()


def test_asr_hears_content_alone(tiny_pair, waves):
    model, processor = tiny_pair
    model.train()
    output = model(**asr_batch(processor, waves[:2]))
    output.loss.backward()
    assert output.descriptor_kl is None
    assert not any(name.startswith("model.descriptors") for name in gradients(model))


def test_emotion_cannot_rewrite_content(tiny_pair, waves):
    model, processor = tiny_pair
    model.train()
    output = model(**describe_batch(processor, waves[:2]))
    output.loss.backward()
    names = gradients(model)
    assert not any(name.startswith("model.content") for name in names)
    assert any(name.startswith("model.descriptors") for name in names)
    torch.testing.assert_close(  # the content KL is logged, not trained
        output.loss,
        output.lm_loss
        + model.config.descriptor_bottleneck["beta"] * output.descriptor_kl
        + model.config.level_weight * output.level_loss,
    )
    assert output.content_kl > 0 and not output.content_kl.requires_grad


def test_one_stream_serves_both_tasks_where_not_disentangled(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders),
        disentangled=False,
        content_bottleneck={"latent_size": 8, "hidden_size": 16, "variational": False},
    )
    model.train()
    output = model(**describe_batch(processor, waves[:2]))
    output.loss.backward()
    assert any(name.startswith("model.content") for name in gradients(model))
    assert output.content_kl == 0 and model.model.descriptors is None


# ---------------------------------------------------------------- losses


def test_loss_is_the_documented_sum(tiny_pair, waves):
    model, processor = tiny_pair
    output = model.train()(**asr_batch(processor, waves[:3]))
    expected = (
        output.lm_loss
        + model.config.content_bottleneck["beta"] * output.content_kl
        + model.config.ctc_weight * output.ctc_loss
    )
    torch.testing.assert_close(output.loss, expected)


def test_lm_loss_is_a_mean_an_utterance_first(tiny_pair, waves):
    model, processor = tiny_pair
    texts = ["we won", "the dog is at the door you never said that to me"]
    recordings = [waves[0], waves[-1]]  # each with frames enough for its text
    together = model(**processor(recordings, task="asr", targets=texts))
    alone = [model(**processor(recordings[i : i + 1], task="asr", targets=texts[i : i + 1])) for i in range(2)]
    for term in ("lm_loss", "content_kl", "ctc_loss", "loss"):
        expected = sum(getattr(output, term) for output in alone) / 2
        torch.testing.assert_close(getattr(together, term), expected, rtol=1e-5, atol=1e-5)


def test_training_noise_does_not_depend_on_the_batch(tiny_pair, waves):
    model, processor = tiny_pair
    model.train()
    batch = describe_batch(processor, waves[:4])
    together = model(**batch)
    alone = [
        model(**processor([wave], task="describe", targets=[DESCRIPTION], noise_seed=[seed]))
        for seed, wave in zip(SEEDS, waves[:4], strict=False)
    ]
    torch.testing.assert_close(together.loss, sum(output.loss for output in alone) / 4, rtol=1e-5, atol=1e-5)
    other = model(**{**batch, "noise_seed": batch["noise_seed"] + 1000})
    assert not torch.equal(other.lm_loss, together.lm_loss)


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_a_tower_in_bfloat16_hears_what_it_hears_in_float32(tmp_path, tiny_tokenizer, groups, waves):
    torch.manual_seed(0)
    convolution = {"num_conv_pos_embeddings": 32, "num_conv_pos_embedding_groups": groups}
    HubertModel(HubertConfig(**{**TINY_AUDIO, "hidden_size": 64, **convolution})).save_pretrained(tmp_path / "audio")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path / "audio")
    text = save_text_backbone(tmp_path / "text", tiny_tokenizer)
    model, processor = XSERForEmotionDescription.from_backbones(tmp_path / "audio", text, **SMALL)
    model.eval().save_pretrained(tmp_path / "model")
    half = XSERForEmotionDescription.from_pretrained(tmp_path / "model", dtype=torch.bfloat16).eval()
    batch = processor(waves[:3])
    with torch.no_grad():
        exact, mask = model.model.encode_audio(batch["input_values"], batch["input_values_mask"])
        rounded, _ = half.model.encode_audio(batch["input_values"], batch["input_values_mask"])
    for expected, found in zip(exact, rounded, strict=True):
        error = (found.float() - expected)[mask].norm() / expected[mask].norm()
        assert error < 0.05


def test_finite_gradients_under_bfloat16_autocast(tiny_pair, waves):
    model, processor = tiny_pair
    model.train()
    for batch in (asr_batch(processor, waves), describe_batch(processor, waves)):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_levels_are_classified_on_the_descriptor_stream_alone(tiny_pair, waves):
    model, processor = tiny_pair
    batch = describe_batch(processor, waves[:2])
    assert batch["level_labels"].tolist() == [[2, -100, 0, -100]] * 2  # pitch high, speed slow
    model.train()(**batch).level_loss.backward()
    assert {".".join(name.split(".")[:2]) for name in gradients(model) if name.startswith("model")} == {
        "model.descriptors"
    }
    assert not any(name.startswith(("language_model", "ctc_head")) for name in gradients(model))


def test_level_loss_is_a_mean_over_the_known_levels_of_an_utterance():
    logits = [torch.randn(2, 3), torch.randn(2, 2)]
    labels = torch.tensor([[1, 0], [2, -100]])
    first, second = nn.functional.cross_entropy(logits[0], labels[:, 0], reduction="none")
    other = nn.functional.cross_entropy(logits[1][:1], labels[:1, 1])
    torch.testing.assert_close(level_loss(logits, labels), ((first + other) / 2 + second) / 2)


def test_ctc_over_tokens_has_a_class_for_each_and_a_blank(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(*tiny_backbone_folders, **SMALL, ctc_unit="token")
    assert model.ctc_head.out_features == model.config.text_config.vocab_size + 1
    batch = asr_batch(processor, waves[:1])
    output = model.train()(**batch)
    content = model.model(
        batch["input_values"], batch["input_values_mask"], batch["loudness"], ("content",), batch["noise_seed"]
    )["content"]
    nats = nn.functional.ctc_loss(
        model.ctc_head(content.bottleneck.z).log_softmax(-1).transpose(0, 1),
        batch["ctc_labels"] + 1,
        content.frame_mask.sum(-1),
        torch.tensor([batch["ctc_labels"].shape[1]]),
        reduction="sum",
    )
    torch.testing.assert_close(output.ctc_loss, nats / batch["ctc_labels"].shape[1])


def test_text_longer_than_its_audio_counts_no_ctc(tiny_pair):
    model, processor = tiny_pair
    batch = processor([(make_wave(0.3), 16_000)], task="asr", targets=["far too many words for so little sound " * 4])
    output = model.train()(**batch)
    output.loss.backward()
    assert output.ctc_loss == 0 and output.loss.isfinite()


# ---------------------------------------------------------------- prompts


def test_placeholders_may_lie_beyond_the_vocabulary(tiny_pair):
    model, _ = tiny_pair
    assert model.config.content_token_id >= model.config.text_config.vocab_size
    assert model.get_input_embeddings().num_embeddings == model.config.text_config.vocab_size


def test_wrong_number_of_placeholders_is_refused_with_both_numbers(tiny_pair, waves):
    model, processor = tiny_pair
    batch = processor(waves[:2], task="asr")
    first = int((batch["input_ids"][1] == model.config.content_token_id).nonzero()[0])
    batch["input_ids"][1, first] = 5
    wanted = int((batch["input_ids"][1] == model.config.content_token_id).sum())
    with pytest.raises(ValueError, match=f"utterance 1 has {wanted} content placeholders for {wanted + 1}"):
        model(**batch)


def test_placeholders_without_audio_are_refused(tiny_pair, waves):
    model, processor = tiny_pair
    batch = processor(waves[:1], task="asr")
    with pytest.raises(ValueError, match="no audio was given"):
        model(input_ids=batch["input_ids"])


# ---------------------------------------------------------------- batch invariance


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("audio", AUDIO_MODELS)
def test_a_clip_alone_and_padded_in_a_batch_answers_the_same(tmp_path, tiny_tokenizer, waves, norm, audio):
    model, processor = XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "audio", audio, norm),
        save_text_backbone(tmp_path / "text", tiny_tokenizer),
        **SMALL,
    )
    together = model.explain(waves, processor, batch_size=8)
    for wave, among in zip(waves, together, strict=True):
        [alone] = model.explain([wave], processor)
        for emotion, score in alone["scores"].items():
            assert abs(score - among["scores"][emotion]) <= 1e-4
        for key in ("emotion", "descriptors", "emphasis", "transcript"):
            assert alone[key] == among[key], key


# ---------------------------------------------------------------- generation


def test_audio_is_encoded_once_for_an_answer(tiny_pair, waves, monkeypatch):
    model, processor = tiny_pair
    calls = []
    forward = model.model.encode_audio
    monkeypatch.setattr(model.model, "encode_audio", lambda *args: calls.append(1) or forward(*args))
    model.generate(**processor(waves[:2], task="asr"), max_new_tokens=6)
    assert len(calls) == 1
    model.explain(waves[:2], processor)
    assert len(calls) == 2  # transcript and description share one pass


def test_generation_with_the_cache_is_that_of_full_passes(tiny_pair, waves):
    model, processor = tiny_pair
    batch = processor(waves[:1], task="asr")
    generated = model.generate(**batch, max_new_tokens=5, do_sample=False, eos_token_id=-1)[0].tolist()
    greedy = []
    for _ in range(5):
        with torch.no_grad():
            logits = model(**batch).logits
        greedy.append(int(logits[0, -1].argmax()))
        batch["input_ids"] = torch.cat([batch["input_ids"], torch.tensor([[greedy[-1]]])], 1)
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    assert generated == greedy


def test_forward_of_a_checkpoint_in_bfloat16_runs(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path, dtype="bfloat16")
    assert loaded.dtype == torch.bfloat16
    [answer] = loaded.explain(waves[:1], processor)
    assert abs(sum(answer["scores"].values()) - 1) < 1e-5


def test_descriptor_tokens_of_asr_are_zero_and_compute_no_stream(tiny_backbone_folders, waves):
    """As the paper's stage 1 has them."""
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, asr_descriptors="zero"
    )
    batch = processor(waves[:2], task="asr", targets=["a", "b"])
    audio = {name: batch[name] for name in ("input_values", "input_values_mask", "loudness")}
    streams = model.hear(batch["input_ids"], **audio)
    assert list(streams) == ["content"]
    embeds = model.embed_prompt(batch["input_ids"], streams)
    is_zero = batch["input_ids"] == model.config.zero_token_id
    count = [-(-processor.num_frames(len(wave)) // model.config.frame_stack) for wave, _ in waves[:2]]
    assert is_zero.sum(-1).tolist() == count
    is_content = batch["input_ids"] == model.config.content_token_id
    assert (embeds[is_zero] == 0).all() and (embeds[is_content] != 0).any(-1).all()
    model.train()(**batch).loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert any("content" in name for name in trained) and not any("descriptors" in name for name in trained)


def test_a_system_with_zero_tokens_survives_saving(tiny_backbone_folders, waves, tmp_path):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, asr_descriptors="zero", system_prompt="You help.", answer="caption"
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path), XSERProcessor.from_pretrained(tmp_path)
    again, weights = loaded[0].state_dict(), model.state_dict()
    assert again.keys() == weights.keys() and all(torch.equal(again[name], weights[name]) for name in weights)
    batches = [each(waves[:2], task="asr", targets=["a", "b"]) for each in (loaded[1], processor)]
    assert batches[0].keys() == batches[1].keys()
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
    # where weights lie in memory decides on the order of sums
    scores = [each.explain(waves[:1], of)[0]["scores"] for each, of in (loaded, (model, processor))]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
