"""Prompts, labels and answers, for every kind of tokenizer."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_AUDIO, make_wave
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import HubertConfig, HubertModel, PreTrainedTokenizerFast, Wav2Vec2FeatureExtractor

import xser
from xser.audio_xser import SAMPLE_RATE, AudioError, loudness_dbfs
from xser.configuration_xser import XSERConfig
from xser.grammar_xser import EmotionDescription
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import IGNORED, XSERProcessor

ROOT = Path(xser.__file__).parent

FULL = EmotionDescription(
    {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising"}, ("never", 'a"b\\c', "été"), "angry"
)
PARTIAL = EmotionDescription({"volume": "quiet"}, None, "sad")
TEXTS = [
    f'pitch: low | volume: {volume} | speed: slow normal fast | tone: falling flat rising high | emphasis: none "a", '
    f'"b" | emotion: {emotion}\nuser assistant Transcribe the speech. Describe the voice\n'
    for volume in ("loud", "quiet")
    for emotion in ("angry", "happy", "sad", "neutral", "fearful", "surprised")
]
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% if date_string is defined %}Today: {{ date_string }}\n{% endif %}{% for m in messages %}"
    "[{{ m['role'] }}]{{ m['content'] | trim }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def byte_level(special=("<s>", "</s>")):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=420, special_tokens=list(special), initial_alphabet=alphabet)
    )
    return backend


def sentence_piece(scheme, split=True):
    """BPE over SentencePiece's ▁ with bytes to fall back on, as in Mistral (`first`) and early LLaMA (`always`)."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "<s>", "</s>"]))
    model = json.loads(backend.to_str())["model"]
    vocab = model["vocab"] | {f"<0x{byte:02X}>": len(model["vocab"]) + byte for byte in range(256)}
    backend.model = models.BPE(vocab, [tuple(m) for m in model["merges"]], unk_token="<unk>", byte_fallback=True)
    return backend


def sentence_piece_by_normalizer():
    """As LLaMA 2's `tokenizer.json` has it: every stretch between special tokens gets a leading ▁."""
    backend = sentence_piece("never")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split("\n\n\n", "isolated")
    return backend


BACKENDS = {
    "byte_level": byte_level,
    "metaspace_first": lambda: sentence_piece("first"),
    "metaspace_first_unsplit": lambda: sentence_piece("first", split=False),
    "metaspace_always": lambda: sentence_piece("always"),
    "metaspace_never": lambda: sentence_piece("never"),
    "normalizer": sentence_piece_by_normalizer,
}


def wrap(backend, **options):
    unk = {"unk_token": "<unk>"} if backend.token_to_id("<unk>") is not None else {}
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", **unk, **options)


def config(**options):
    return XSERConfig(audio_config=HubertConfig(**TINY_AUDIO), **{"frame_stack": 4, **options})


def make(tokenizer=None, do_normalize=True, **options):
    extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    return XSERProcessor.from_config(config(**options), extractor, tokenizer or wrap(byte_level()))


@pytest.fixture(params=BACKENDS)
def any_processor(request):
    return make(wrap(BACKENDS[request.param]()))


@pytest.fixture(scope="module")
def processor():
    return make()


def recordings(*seconds):
    return [(make_wave(s, seed=i), SAMPLE_RATE) for i, s in enumerate(seconds)]


# Answers


@pytest.mark.parametrize(
    "description",
    [FULL, PARTIAL, EmotionDescription({"tone": "flat"}, (), None), EmotionDescription({}, None, "sad", 'où "ça" \\')],
)
def test_answer_is_its_pieces_and_is_decoded_to_itself(any_processor, description):
    pieces = any_processor.pieces(description)
    assert "".join(pieces) == description.to_text()
    ids = any_processor.answer_ids(description)
    assert ids == [index for piece in pieces for index in any_processor.piece_ids(piece)]
    eos = any_processor.tokenizer.eos_token_id
    text = any_processor.decode_answer([*ids, eos, any_processor.tokenizer.pad_token_id])
    assert EmotionDescription.from_text(text, any_processor.schema) == description


def test_pieces_are_names_values_and_stressed_words(processor):
    assert processor.pieces(EmotionDescription({"pitch": "high"}, ("a", "b"), "sad")) == [
        "pitch:", " high", " | emotion:", " sad", " | emphasis:", ' "a"', ', "b"',
    ]  # fmt: skip
    said = EmotionDescription({}, None, "sad", 'a "b')
    assert processor.pieces(said) == ["transcript:", ' "', 'a \\"b', '"', " | emotion:", " sad"]


@pytest.mark.parametrize("text", ["you never said that", "où ça — là", "", "emotion: it's 5 o'clock", "zß水🍌"])
def test_transcript_is_decoded_to_itself(any_processor, text):
    assert any_processor.decode_answer(torch.tensor(any_processor.answer_ids(text), dtype=torch.long)) == text


def test_transcript_with_special_tokens_is_refused(processor):
    with pytest.raises(ValueError, match="special tokens"):
        processor.answer_ids("he said </s> twice")


def test_vocabulary_that_cannot_write_a_label_is_refused():
    backend = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2, "pitch:": 3}, unk_token="<unk>"))
    with pytest.raises(ValueError, match="cannot write"):
        make(wrap(backend))


# Prompts


@pytest.mark.parametrize("task", ["asr", "describe"])
def test_prompt_ids_are_those_of_the_prompt_text(any_processor, task):
    ids = any_processor.prompt_ids(task, [49])["input_ids"][0].tolist()
    text = any_processor.prompt_text(task, 49)
    assert ids == any_processor.tokenizer(text, add_special_tokens=False).input_ids
    assert ids.count(any_processor.content_token_id) == 13  # ceil(49 / 4)
    assert ids.count(any_processor.descriptor_token_id) == (13 if task == "describe" else 0)


def test_a_transcript_has_the_ids_of_an_answer_to_asr(any_processor):
    description = EmotionDescription({}, None, "sad", "you never said that")
    ids, text = any_processor.answer_ids(description), any_processor.answer_ids("you never said that")
    start = len(any_processor.piece_ids("transcript:") + any_processor.piece_ids(' "'))
    assert ids[start : start + len(text)] == text


def test_a_transcript_that_is_spared_has_no_labels(processor):
    said = EmotionDescription({"pitch": "high"}, None, "sad", "you never")
    batch = processor(recordings(0.4, 0.4), targets=[said, said], spared=[True, False])
    texts = [processor.decode_answer(row[row >= 0]) for row in batch["labels"]]
    assert texts == ["pitch: high | emotion: sad", 'pitch: high | transcript: "you never" | emotion: sad']
    assert torch.equal(batch["input_ids"][0], batch["input_ids"][1])


@pytest.mark.parametrize("summary", [False, True])
def test_descriptor_tokens_are_absent_from_prompts_of_asr_or_zero(summary):
    assert "zero" not in make().prompt_text("asr", 8)
    processor = make(asr_descriptors="zero", summary_tokens=summary)
    text = processor.prompt_text("asr", 8)
    assert text.count("<|zero|>") == 2 + summary and text.count("<|content|>") == 2
    assert "zero" not in processor.prompt_text("describe", 8)


def test_a_system_prompt_opens_every_prompt():
    processor = make(system_prompt="You help.")
    for task in ("asr", "describe"):
        assert processor.prompt_text(task, 4).startswith("system:\nYou help.\nuser:\n<|content|>")


def test_prompt_names_the_slots_asked_for_in_the_order_of_the_answer(processor):
    everything = "Describe the voice: pitch, volume, speed, tone, transcript, emotion, emphasis."
    assert everything in processor.prompt_text("describe", 4)
    assert "Describe the voice: pitch, emotion." in processor.prompt_text("describe", 4, ["emotion", "pitch"])
    with pytest.raises(ValueError, match="gender"):
        processor.prompt_text("describe", 4, ["gender"])
    with pytest.raises(ValueError, match="'asr' or 'describe'"):
        processor.prompt_text("translate", 4)


def test_without_disentanglement_there_is_one_stream():
    text = make(disentangled=False).prompt_text("describe", 8)
    assert text.count("<|content|>") == 2
    assert "<|descriptors|>" not in text


def test_emotion_alone_when_the_schema_has_nothing_else():
    nothing = {"descriptors": {}, "emphasis": False, "transcript": False}
    assert "Describe the voice: emotion." in make(**nothing).prompt_text("describe", 4)


def test_plain_template_starts_as_the_tokenizer_starts_its_texts():
    assert make().prompt_text("asr", 4) == "user:\n<|content|>\nTranscribe the speech.\nassistant:\n"
    backend = byte_level()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    processor = make(wrap(backend))
    assert processor.prompt_text("asr", 4).startswith("<s>user:\n")
    assert processor.prompt_ids("asr", [4])["input_ids"][0].tolist().count(0) == 1


def test_own_chat_template_is_used_and_does_not_change_with_the_day():
    processor = make(wrap(byte_level(), chat_template=LLAMA_TEMPLATE))
    expected = "<s>Today: 26 Jul 2024\n[user]<|content|>\nTranscribe the speech.[assistant]"
    assert processor.prompt_text("asr", 4) == expected


def test_template_that_drops_the_placeholders_is_refused():
    processor = make(wrap(byte_level(), chat_template="{{ messages[0]['role'] }}"))
    with pytest.raises(ValueError, match="chat template must write <|content|> 1 times".replace("|", r"\|")):
        processor.prompt_ids("asr", [4])


@pytest.mark.parametrize("kernels", [((10, 8, 4), (5, 16, 4)), ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))])
def test_number_of_frames_is_the_audio_towers(kernels):
    options = {**TINY_AUDIO, "conv_kernel": kernels[0], "conv_stride": kernels[1]}
    options |= {"conv_dim": [16] * len(kernels[0]), "num_feat_extract_layers": len(kernels[0])}
    tower = HubertModel(HubertConfig(**options))
    processor = make()
    processor.conv_kernel, processor.conv_stride = kernels
    for samples in (400, 719, 720, 16_000, 16_001, 23_456):
        assert processor.num_frames(samples) == tower._get_feat_extract_output_lengths(torch.tensor(samples))
    assert processor.num_frames(10) == 0


# Batches


@pytest.mark.parametrize(("task", "targets"), [("asr", ["you never", "où", ""]), ("describe", [FULL, PARTIAL, FULL])])
def test_training_rows_are_prompt_answer_eos_and_only_the_answer_is_learnt(any_processor, task, targets):
    batch = any_processor(recordings(0.5, 0.9, 0.3), task=task, targets=targets, return_prompts=True)
    eos = any_processor.tokenizer.eos_token_id
    for row, target in enumerate(targets):
        ids = batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist()
        prompt = batch["prompt_input_ids"][row][batch["prompt_attention_mask"][row] == 1].tolist()
        answer = [*any_processor.answer_ids(target), eos]
        assert ids == prompt + answer
        labels = batch["labels"][row].tolist()
        assert labels[-len(answer) :] == answer
        assert set(labels[: -len(answer)]) == {IGNORED}
        assert batch["attention_mask"][row, -1] == batch["prompt_attention_mask"][row, -1] == 1  # left-padded


def test_missing_levels_are_asked_for_neither_in_the_prompt_nor_in_the_answer(processor):
    batch = processor(recordings(0.4), targets=[PARTIAL])
    text = processor.tokenizer.decode(batch["input_ids"][0])
    assert text.endswith("Describe the voice: volume, emotion.\nassistant:\nvolume: quiet | emotion: sad</s>")


def test_batch_types_and_shapes(processor):
    batch = processor(recordings(0.5, 0.25), task="asr", targets=["ab", "é"], noise_seed=[7, 2**40])
    assert batch["input_values"].shape == batch["input_values_mask"].shape == (2, 8000)
    assert batch["input_values"].dtype == batch["loudness"].dtype == torch.float32
    assert batch["input_values_mask"].sum(-1).tolist() == [8000, 4000]
    assert batch["loudness"].shape == (2,)
    assert batch["noise_seed"].tolist() == [7, 2**40]
    assert batch["ctc_labels"].tolist() == [[97, 98], [0xC3, 0xA9]]
    for name in ("input_ids", "attention_mask", "labels", "ctc_labels", "input_values_mask", "noise_seed"):
        assert batch[name].dtype == torch.int64
    longer = processor(recordings(0.5, 0.25), task="asr", targets=["abc", "é"])
    assert longer["ctc_labels"].tolist() == [[97, 98, 99], [0xC3, 0xA9, IGNORED]]
    assert "labels" not in processor(recordings(0.5))


def test_ctc_may_spell_in_the_tokens_of_the_answer(tiny_backbone_folders):
    _, processor = XSERForEmotionDescription.from_backbones(*tiny_backbone_folders, ctc_weight=0.3, ctc_unit="token")
    texts = ["the dog is at the door", "we won"]
    batch = processor(recordings(0.5, 0.25), task="asr", targets=texts)
    for row, text in zip(batch["ctc_labels"].tolist(), texts, strict=True):
        assert [unit for unit in row if unit != IGNORED] == processor.answer_ids(text)
    assert len(processor.answer_ids(texts[0])) < len(texts[0])


def test_clips_are_normalised_alone_before_padding(processor):
    clips = recordings(0.5, 0.25, 0.4)
    together = processor(clips)
    for row, (wave, rate) in enumerate(clips):
        alone = processor((wave, rate))
        length = len(wave)
        torch.testing.assert_close(together["input_values"][row, :length], alone["input_values"][0], rtol=0, atol=0)
        assert not together["input_values"][row, length:].any()
        assert together["loudness"][row] == alone["loudness"][0] == pytest.approx(loudness_dbfs(wave))
        expected = processor.feature_extractor(wave, sampling_rate=rate)["input_values"][0]
        np.testing.assert_allclose(alone["input_values"][0], expected, atol=1e-6)


def test_feature_extractor_says_whether_clips_are_normalised():
    ((wave, rate),) = recordings(0.3)
    batch = make(do_normalize=False)((wave, rate))
    np.testing.assert_array_equal(batch["input_values"][0], wave)


def test_placeholders_match_each_clip(processor):
    batch = processor(recordings(0.5, 0.31))
    for row, samples in enumerate((8000, int(0.31 * SAMPLE_RATE))):
        count = -(-processor.num_frames(samples) // 4)
        assert (batch["input_ids"][row] == processor.content_token_id).sum() == count
        assert (batch["input_ids"][row] == processor.descriptor_token_id).sum() == count


def test_status_of_silence_and_of_short_sounds():
    processor = make(voice_activity=False)
    assert processor.status(make_wave(0.5)) == "ok"
    assert processor.status(np.zeros(SAMPLE_RATE, np.float32)) == "no_speech"
    assert processor.status(1e-4 * make_wave(0.5)) == "no_speech"
    assert processor.status(make_wave(0.01)) == "too_short"
    assert processor.status(np.zeros(160, np.float32)) == "too_short"


def test_recordings_beyond_the_limits_are_refused_by_name(processor):
    long = (np.zeros(31 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    with pytest.raises(AudioError, match=r"array of shape \(496000,\) lasts 31.00 s; .* 30 s"):
        processor(long)
    with pytest.raises(AudioError, match=r"a.wav lasts 31\.00 s"):
        processor.status(long[0], "a.wav")
    with pytest.raises(AudioError, match="shorter than one frame"):
        processor((make_wave(0.01), SAMPLE_RATE))
    with pytest.raises(ValueError, match="at least one"):
        processor([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "asr", "targets": ["a", "b"]}, "2 targets for 1"),
        ({"task": "asr", "targets": [None]}, "must be of type str"),
        ({"task": "describe", "targets": ["angry"]}, "must be of type EmotionDescription"),
        ({"targets": [EmotionDescription(emotion="bored")]}, "bored"),
        ({"targets": [EmotionDescription()]}, "no slot"),
        ({"targets": [FULL], "slots": ["emotion"]}, "beside targets"),
        ({"slots": ["emotion", "emotion"]}, "at most once"),
        ({"targets": [FULL], "known": [FULL] * 2}, "known holds 2 entries for 1 recordings"),
        ({"reference": ["a.wav"]}, r"reference holds 'a\.wav'; it must be a SpeakerProfile"),
        ({"return_prompts": "no"}, "return_prompts is 'no'; it must be True or False"),
    ],
)
def test_wrong_targets_and_slots_are_refused(processor, options, message):
    with pytest.raises(ValueError, match=message):
        processor(recordings(0.3), **options)


# The processor itself


def test_config_learns_the_placeholder_ids_which_may_lie_beyond_the_vocabulary():
    tokenizer = wrap(byte_level())
    size = len(tokenizer)
    given = config()
    processor = XSERProcessor.from_config(given, Wav2Vec2FeatureExtractor(), tokenizer)
    assert (given.content_token_id, given.descriptor_token_id) == (size, size + 1)
    assert (processor.content_token_id, processor.descriptor_token_id) == (size, size + 1)
    again = XSERProcessor.from_config(given, Wav2Vec2FeatureExtractor(), tokenizer)
    assert again.content_token_id == size
    assert tokenizer.padding_side == "left"


def test_saved_processor_is_loaded_with_every_field(tmp_path, any_processor):
    options = {
        "emotions": ["calm", "angry"],
        "descriptors": {"tone": ["rising", "flat"], "pitch": ["low", "high"]},
        "emphasis": False,
        "disentangled": False,
        "frame_stack": 3,
        "min_audio_seconds": 0.2,
        "max_audio_seconds": 12,
        "silence_dbfs": -50.0,
        "voice_activity": False,
    }
    processor = make(any_processor.tokenizer, **options)
    processor.save_pretrained(tmp_path)
    loaded = XSERProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == {name: value for name, value in processor.to_dict().items() if name != "auto_map"}
    assert loaded.chat_template == processor.chat_template
    assert loaded.schema.slots == [
        "tone",
        "pitch",
        "transcript",
        "emotion",
    ]  # the order of the answer, not the alphabet's
    batches = [
        p(recordings(0.3, 0.5), targets=[EmotionDescription({"tone": "flat"}, None, "calm")] * 2, return_prompts=True)
        for p in (processor, loaded)
    ]
    assert batches[0].keys() == batches[1].keys()
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["auto_map"] == {"AutoProcessor": "processing_xser.XSERProcessor"}
    shipped = {path.name for path in tmp_path.glob("*.py")}
    needed, new = set(), {"processing_xser.py"}
    while new:
        needed |= new
        code = [(ROOT / name).read_text(encoding="utf-8") for name in new]
        new = {
            f"{name}.py" for text in code for name in re.findall(r"^from \.(\w+) import", text, re.MULTILINE)
        } - needed
    assert {"audio_xser.py", "grammar_xser.py", "prosody_xser.py"} < needed
    assert shipped == needed


def test_tokenizer_without_placeholders_or_eos_is_refused():
    shared = {
        "conv_kernel": [10],
        "conv_stride": [5],
        "frame_stack": 4,
        "emotions": ["sad", "angry"],
        "descriptors": {},
    }
    with pytest.raises(ValueError, match="from_config"):
        XSERProcessor(Wav2Vec2FeatureExtractor(), wrap(byte_level()), **shared)
    with pytest.raises(ValueError, match="eos_token"):
        make(PreTrainedTokenizerFast(tokenizer_object=byte_level()))


def test_feature_extractor_of_another_rate_and_too_low_a_limit_are_refused():
    with pytest.raises(ValueError, match="8000"):
        XSERProcessor.from_config(config(), Wav2Vec2FeatureExtractor(sampling_rate=8000), wrap(byte_level()))
    with pytest.raises(ValueError, match=r"min_audio_seconds is 0\.001"):
        make(min_audio_seconds=0.001)


@pytest.mark.parametrize(
    ("description", "scores", "sentence"),
    [
        (
            EmotionDescription(FULL.levels, ("never",), "angry"),
            {"angry": 0.816, "sad": 0.184},
            'Sounds angry (82%): high pitch, loud, fast, with a rising tone and stress on "never".',
        ),
        (
            EmotionDescription({"pitch": "normal", "volume": "normal"}, ("a", "b", "c"), "sad"),
            None,
            'Sounds sad: normal pitch, normal volume, with stress on "a", "b" and "c".',
        ),
        (EmotionDescription({"tone": "flat"}, (), None), None, "The voice: with a flat tone and no word stressed."),
        (EmotionDescription(emotion="calm"), {"calm": 1.0}, "Sounds calm (100%)."),
    ],
)
def test_explanation_is_one_sentence(description, scores, sentence):
    assert description.to_sentence(scores) == sentence
