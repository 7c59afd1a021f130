"""Guards the classifier rows: the same batches, what trains and what stays, and the same file of predictions."""

import json

import pytest
import torch
import yaml
from conftest import make_wave, save_audio_backbone
from safetensors.torch import load_file
from training_corpus import TEXTS, make_audiofolder

from xser.eval import main as evaluate
from xser.evaluation.predictions import read_predictions
from xser.grammar_xser import EmotionDescription
from xser.processing_xser import XSERProcessor
from xser.train import main
from xser.training.arguments import parse_config
from xser.training.classifier import build_classifier, byte_tokenizer, is_classifier, load_classifier, spelt

EMOTIONS = ["angry", "happy", "sad", "neutral", "fearful", "surprised"]
TOWER = "model.audio_tower."


@pytest.fixture
def pair(tiny_backbone_folders):
    torch.manual_seed(0)
    return build_classifier(
        str(tiny_backbone_folders[0]), emotions=EMOTIONS, ctc_weight=0.5, voice_activity=False, max_audio_seconds=20.0
    )


@pytest.fixture
def write(tmp_path, tiny_backbone_folders):
    """A config of two steps on tones; `changes` are further options."""

    def write(**changes) -> str:
        data = tmp_path / "tones"
        options = {
            "base": "configs/paper/classifier_hubert.yaml",
            "audio_model": str(tiny_backbone_folders[0]),
            "output_dir": str(tmp_path / "run"),
            "data": str(data if data.exists() else make_audiofolder(data)),
            "corpus_options": {"cache_dir": str(tmp_path / "cache")},
            "emotions": EMOTIONS,
            "train_split": None,
            "test_speakers": ["s0"],
            "max_steps": 2,
            "per_device_train_batch_size": 4,
            "warmup_steps": 0,
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            **changes,
        }
        options["base"] = f"{__file__.rsplit('/', 2)[0]}/{options['base']}"
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(options))
        return str(path)

    return write


@pytest.mark.parametrize("text", [*TEXTS, "zażółć “gęślą” jaźń", "你好 🙂", ' a"\\ '])
def test_bytes_write_every_text(text):
    tokenizer = byte_tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode()) and tokenizer.decode(ids) == text
    assert len(tokenizer) == 258


def test_greedy_ctc_drops_repeats_and_blanks():
    frames = [0, 0, *[ord("l") + 1] * 3, 0, ord("l") + 1, ord("o") + 1, 0]
    assert spelt(torch.tensor(frames)) == "llo"
    assert spelt(torch.zeros(4, dtype=torch.long)) == ""
    assert spelt(torch.tensor([byte + 1 for byte in "ż".encode()])) == "ż"
    assert spelt(torch.tensor([0xC5 + 1])) == "�"


def test_the_loss_is_the_sum_of_its_terms_by_hand(pair, waves):
    model, processor = pair
    targets = [EmotionDescription(emotion=emotion) for emotion in ("sad", "happy")]
    describe = processor(waves[:2], task="describe", targets=targets)
    output = model(**describe)
    frames, mask = model.model(describe["input_values"], describe["input_values_mask"])
    means = torch.stack([each[real].mean(0) for each, real in zip(frames, mask, strict=True)])
    wanted = torch.nn.functional.cross_entropy(model.emotion_head(means), torch.tensor([2, 1]))
    assert output.loss == output.emotion_loss and output.ctc_loss is None
    assert output.emotion_loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    asr = processor(waves[:2], task="asr", targets=TEXTS[:2])
    output = model(**asr)
    assert output.emotion_loss is None
    assert output.loss.item() == pytest.approx(0.5 * output.ctc_loss.item())


def test_an_emotion_that_is_not_known_counts_as_zero(pair, waves):
    model, processor = pair
    target = EmotionDescription(emotion="sad")
    inputs = dict(processor(waves[:2], task="describe", targets=[target, target]))
    both, one = inputs["emotion_labels"].clone(), inputs["emotion_labels"].clone()
    one[1] = -100
    with torch.no_grad():
        alone = model(**{**inputs, "emotion_labels": one}).loss * 2
        rest = model(**{**inputs, "emotion_labels": both}).loss * 2 - alone
    assert alone > 0 and rest > 0


@pytest.mark.parametrize("kind, norm", [("hubert", "group"), ("wav2vec2", "group"), ("wavlm", "layer")])
def test_padding_changes_no_answer(tmp_path, waves, kind, norm):
    torch.manual_seed(0)
    folder = save_audio_backbone(tmp_path / "tower", kind, norm)
    model, processor = build_classifier(str(folder), emotions=EMOTIONS, ctc_weight=1.0, voice_activity=False)
    together = model.explain(waves[:3], processor)
    for wave, answer in zip(waves[:3], together, strict=True):
        alone = model.explain([wave], processor)[0]
        assert alone["emotion"] == answer["emotion"] and alone["transcript"] == answer["transcript"]
        assert alone["scores"] == pytest.approx(answer["scores"], abs=1e-5)


def test_explanations_are_distributions_and_say_what_is_not_spoken(pair):
    model, processor = pair
    quiet, spoken = model.explain([(make_wave(1.0) * 0, 16_000), (make_wave(1.0), 16_000)], processor)
    assert quiet["status"] == "no_speech" and quiet["emotion"] is None and quiet["scores"] is None
    assert list(spoken["scores"]) == EMOTIONS and sum(spoken["scores"].values()) == pytest.approx(1)
    assert spoken["emotion"] == max(spoken["scores"], key=spoken["scores"].get)
    assert isinstance(spoken["transcript"], str)
    assert model.explain([(make_wave(1.0), 16_000)], processor, transcript=False)[0]["transcript"] is None
    with pytest.raises(ValueError, match="a classifier reads none"):
        model.explain([(make_wave(1.0), 16_000)], processor, reference=[[1]])


@pytest.mark.parametrize("freeze", [True, False])
def test_heads_train_and_the_tower_only_where_it_is_not_frozen(write, tmp_path, freeze):
    start = parse_config([write(freeze_audio_tower=freeze)])[0]
    torch.manual_seed(1)  # the run's own seed
    metrics = main([write(freeze_audio_tower=freeze, save_strategy="no"), "--learning_rate", "0.01"])
    assert {"eval_asr_wer", "eval_describe_ua", "eval_asr_ctc_loss", "eval_describe_emotion_loss"} <= metrics.keys()
    after = load_file(tmp_path / "run" / "final" / "model.safetensors")
    before, _ = build_classifier(start.audio_model, emotions=EMOTIONS, ctc_weight=1.0)
    tower = before.state_dict()
    moved = {name for name in after if name.startswith(TOWER) and not after[name].equal(tower[name])}
    assert bool(moved) != freeze
    for name in ("model.layer_mix.scores", "model.layer_norm.bias", "emotion_head.bias", "ctc_head.bias"):
        assert after[name].any(), f"{name} is as it was made"


def test_its_predictions_are_a_file_as_any_other(write, tmp_path):
    main([write(save_strategy="no")])
    final = tmp_path / "run" / "final"
    fields = json.loads((final / "processor_config.json").read_text())
    (final / "processor_config.json").write_text(
        json.dumps({**fields, "voice_activity": False})
    )  # tones are no speech
    assert is_classifier(final) and not is_classifier(tmp_path)
    model, processor = load_classifier(final), XSERProcessor.from_pretrained(final)
    assert not any(p.requires_grad for p in model.model.audio_tower.parameters())
    output, file = tmp_path / "results.json", tmp_path / "predictions.jsonl"
    options = ["--corpus_options", json.dumps({"cache_dir": str(tmp_path / "cache")}), "--split", "train"]
    options += ["--corpus", str(tmp_path / "tones"), "--output", str(output), "--predictions", str(file)]
    results = evaluate(["--model", str(final), *options])
    predictions = read_predictions(file)
    assert results["n"] == len(predictions) == 24 and results["ua"] is not None and results["wer"] is not None
    with pytest.raises(ValueError, match=r"--verify is given, but .* is a classifier"):
        evaluate(["--model", str(final), *options, "--verify"])
    for prediction in predictions[::8]:
        answer = model.explain([str(tmp_path / "tones" / f"{prediction['id']}.wav")], processor)[0]
        assert prediction["emotion"] == answer["emotion"] and prediction["transcript"] == answer["transcript"]
        assert prediction["scores"] == pytest.approx(answer["scores"], abs=1e-5)


def test_states_that_were_encoded_before_give_the_same_losses(write, tmp_path):
    losses = []
    for keep in (False, True):
        run = tmp_path / f"run-{keep}"
        main([write(keep_states=keep, output_dir=str(run), logging_steps=1, save_steps=2, save_strategy="steps")])
        state = json.loads((run / "checkpoint-2" / "trainer_state.json").read_text())
        losses.append([log["loss"] for log in state["log_history"] if "loss" in log])
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


def test_a_run_goes_on_from_its_checkpoint(write, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = {"save_strategy": "steps", "save_steps": 2, "lr_scheduler_type": "constant"}
    main([write(**options, max_steps=4, output_dir=str(whole))])
    main([write(**options, max_steps=2, output_dir=str(stopped))])
    main([write(**options, max_steps=4, output_dir=str(stopped), resume_from_checkpoint=True)])
    weights = [load_file(run / "final" / "model.safetensors") for run in (whole, stopped)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_model": "t"}, "which has no text_model: leave them out"),
        ({"lora": {"rank": 4}, "frame_stack": 5}, "which has no frame_stack, lora"),
        ({"descriptors": {"pitch": ["low", "high"]}}, "which has no descriptors"),
        ({"audio_model": None}, "audio_model is missing"),
        ({"export_backbones": True}, "export_backbones is True, but system is 'classifier'"),
        ({"thin_checkpoints": True}, "thin_checkpoints is True, but system is 'classifier'"),
        ({"system": "clasifier"}, r"system is 'clasifier'; it must be one of \['xser', 'classifier'\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_classifier_does_not_have_is_refused(write, options, message):
    with pytest.raises(ValueError, match=message):
        parse_config([write(**options)])
