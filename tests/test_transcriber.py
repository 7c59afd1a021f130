"""Words by another recogniser: which forms there are, whose words win, and what a recogniser that fails costs."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES, SMALL, TINY_WHISPER, make_wave, save_text_backbone
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
    pipeline,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from xser import XSERForEmotionDescription, XSERPipeline, XSERProcessor, decoding_xser, pipeline_xser
from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.commands.answer_formats import FORMATS
from xser.explain import main as explain_command
from xser.transcriber_xser import TASK, TranscriberError, load_transcriber
from xser.verification_xser import Verifier

SILENCE = (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
MARKS = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>")
REAL = os.environ.get("XSER_WHISPER_BASE")
DATA = Path(__file__).parent / "data"


def save_whisper(folder):
    """A tiny random Whisper with a tokenizer of bytes, as its makers would save it."""
    torch.manual_seed(0)
    vocabulary = {letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = WhisperTokenizer(vocab={**vocabulary, MARKS[0]: len(vocabulary)}, merges=[])
    tokenizer.add_tokens([*MARKS[1:], "<|notimestamps|>"], special_tokens=True)
    end, start, english, german, translate, transcribe = tokenizer.convert_tokens_to_ids(list(MARKS))
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    ids["begin_suppress_tokens"] = None
    model = WhisperForConditionalGeneration(WhisperConfig(**{**TINY_WHISPER, **ids, "vocab_size": len(tokenizer)}))
    config = model.generation_config
    config._from_model_config = False  # else what follows is not read again
    config.is_multilingual, config.lang_to_id = True, {"<|en|>": english, "<|de|>": german}
    config.task_to_id = {"transcribe": transcribe, "translate": translate}
    config.no_timestamps_token_id, config.max_length = len(tokenizer) - 1, 12
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=TINY_WHISPER["num_mel_bins"]).save_pretrained(folder)
    return str(folder)


def save_ctc(folder):
    """A tiny random recogniser that does not generate."""
    torch.manual_seed(0)
    letters = ["<pad>", "<unk>", "|", *"abcdefgh"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(folder / "vocab.json", pad_token="<pad>", unk_token="<unk>")
    options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    options |= {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 64), "num_feat_extract_layers": 2}
    options |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "vocab_size": len(letters)}
    Wav2Vec2ForCTC(Wav2Vec2Config(**options, pad_token_id=0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_tokenizer_folder):
    """Folders of a Whisper with its decoder, of a recogniser by CTC, and of a language model."""
    from transformers import AutoTokenizer

    root = tmp_path_factory.mktemp("recognisers")
    text = save_text_backbone(root / "text", AutoTokenizer.from_pretrained(tiny_tokenizer_folder))
    return {"whisper": save_whisper(root / "whisper"), "ctc": save_ctc(root / "ctc"), "text": str(text)}


def on_whisper(folders, **options):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(folders["whisper"], folders["text"], **{**SMALL, **options})


@pytest.fixture(scope="module")
def pair(folders):
    return on_whisper(folders)


@pytest.fixture(scope="module")
def plain(tiny_backbone_folders):
    """A model whose tower is no Whisper."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL)


@pytest.fixture
def explain(plain):
    return XSERPipeline(model=plain[0], processor=plain[1], device="cpu")


class Recogniser:
    """A function that says one sentence after the other, and remembers what it was given."""

    def __init__(self, fails_on=()):
        self.batches, self.fails_on = [], fails_on

    def __call__(self, waves):
        self.batches.append([len(wave) for wave in waves])
        if set(self.batches[-1]) & set(self.fails_on):
            raise RuntimeError("no such voice")
        return [SENTENCES[len(wave) % len(SENTENCES)] for wave in waves]


# ---------------------------------------------------------------- whose words


def test_a_function_gets_each_batch_at_once_and_its_words_are_those_that_a_user_would_give(plain, waves):
    model, processor = plain
    recogniser = Recogniser()
    answers = model.explain(waves[:5], processor, batch_size=3, transcriber=recogniser)
    assert recogniser.batches == [[len(wave) for wave, _ in part] for part in (waves[:3], waves[3:5])]
    texts = [SENTENCES[len(wave) % len(SENTENCES)] for wave, _ in waves[:5]]
    given = model.explain(waves[:5], processor, batch_size=3, transcript=texts)
    assert [answer["transcript_source"] for answer in given] == ["given"] * 5
    assert answers == [answer | {"transcript_source": "transcriber Recogniser"} for answer in given]
    own = model.explain(waves[:1], processor)[0]
    assert own["transcript_source"] == "model" and own["scores"] != answers[0]["scores"]


def test_waves_are_mono_floats_that_the_function_may_write_on(plain, waves):
    model, processor = plain

    def erase(batch):
        assert all(wave.dtype == np.float32 and wave.ndim == 1 for wave in batch)
        for wave in batch:
            wave[:] = 0
        return ["we won"] * len(batch)

    wave = waves[0][0].copy()
    model.explain([(wave, SAMPLE_RATE)], processor, transcriber=erase)
    assert np.array_equal(wave, waves[0][0])


def test_words_of_the_user_win_and_nothing_without_speech_is_transcribed(explain, waves):
    recogniser = Recogniser()
    inputs = [waves[0], SILENCE, waves[1], b"no audio", waves[2]]
    texts = [None, None, "we won the game", None, None]
    answers = explain(inputs, transcript=texts, transcriber=recogniser)
    assert recogniser.batches == [[len(waves[0][0]), len(waves[2][0])]]
    assert [answer["transcript_source"] for answer in answers] == [
        "transcriber Recogniser", None, "given", None, "transcriber Recogniser",
    ]  # fmt: skip
    assert answers[2]["transcript"] == "we won the game"
    assert [answer["status"] for answer in answers] == ["ok", "no_speech", "ok", "error", "ok"]


def test_a_transcriber_spares_the_models_own_writing(plain, waves, monkeypatch):
    skipped, write = [], decoding_xser.Decoding.write
    monkeypatch.setattr(decoding_xser.Decoding, "write", lambda *args: skipped.append(args[-1]) or write(*args))
    plain[0].explain(waves[:2], plain[1], transcriber=Recogniser())
    assert skipped == [[True, True]]


def test_a_model_without_words_in_its_answer_reports_the_transcribers(tiny_backbone_folders, waves):
    folders = map(str, tiny_backbone_folders)
    model, processor = XSERForEmotionDescription.from_backbones(*folders, **SMALL, transcript=False, emphasis=False)
    [own] = model.explain(waves[:1], processor)
    [answer] = model.explain(waves[:1], processor, transcriber=lambda batch: ["we won"])
    assert (answer["transcript"], answer["transcript_source"]) == ("we won", "transcriber <lambda>")
    assert own["transcript_source"] == "model" and own["scores"] == answer["scores"]
    assert model.explain(waves[:1], processor, transcript=False)[0]["transcript_source"] is None


def test_a_transcriber_may_find_no_words(plain, waves):
    [answer] = plain[0].explain(waves[:1], plain[1], transcriber=lambda batch: [" "])
    assert (answer["status"], answer["transcript"], answer["emphasis"]) == ("ok", "", [])
    assert answer["transcript_source"] == "transcriber <lambda>"


def test_verify_does_not_measure_by_a_transcribers_words(plain, waves, monkeypatch):
    given = []
    monkeypatch.setattr(
        Verifier, "verify", lambda self, claims, wave, transcript=None, prosody=None: given.append(transcript) or {}
    )
    texts = [None, "we won the game"]
    plain[0].explain(waves[:2], plain[1], transcriber=Recogniser(), transcript=texts, verify=True)
    assert given == texts


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_recording_that_the_transcriber_fails_on_costs_no_others(explain, waves, batch_size, caplog):
    expected = explain(waves[:4], transcriber=Recogniser())
    recogniser = Recogniser(fails_on=[len(waves[2][0])])
    answers = explain(iter(waves[:4]), transcriber=recogniser, batch_size=batch_size)
    answers = list(answers)
    assert [answer["status"] for answer in answers] == ["ok", "ok", "error", "ok"]
    for index in (0, 1, 3):
        assert answers[index]["scores"] == pytest.approx(expected[index]["scores"], abs=1e-5)
        assert answers[index]["transcript"] == expected[index]["transcript"]
    message = answers[2].pop("error")
    assert "array of shape" in message and "transcriber Recogniser failed: RuntimeError: no such voice" in message
    assert set(answers[2].values()) == {"error", None}
    if batch_size == 8:
        assert recogniser.batches == [[len(w) for w, _ in waves[:4]], *([len(w)] for w, _ in waves[:4])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "gave None, which is no string"),
        ({"text": "we won"}, "gave {'text': 'we won'}, which is no string"),
        ("we <|end|> won", "gave words that cannot be used: .*special tokens"),
        ("word " * 2000, "gave words that cannot be used: .*give the words of this recording alone"),
    ],
)
def test_words_that_an_answer_cannot_hold_are_that_recordings_error(explain, waves, text, message):
    def recogniser(batch):
        return [text if len(wave) == len(waves[0][0]) else "we won" for wave in batch]

    first, second = explain(waves[:2], transcriber=recogniser)
    assert first["status"] == "error" and second["transcript"] == "we won"
    with pytest.raises(TranscriberError, match=f"(?s)array of shape .*transcriber recogniser {message}"):
        explain(waves[0], transcriber=recogniser)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("we won", "gave 'we won' for 2 recordings"),
        (None, "gave None for 2 recordings"),
        (["we won"], "gave 1 entries for 2 recordings"),
    ],
)
def test_what_is_no_list_with_one_for_each_is_refused_by_name(plain, waves, texts, message):
    def my_recogniser(batch):
        return texts

    with pytest.raises(ValueError, match=f"transcriber my_recogniser {message}: it must give a list"):
        plain[0].explain(waves[:2], plain[1], transcriber=my_recogniser)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transcriber": len, "transcript": False}, "transcriber is .* but transcript is False"),
        ({"transcriber": 3}, "transcriber is 3; it must be 'tower', the id or folder"),
        ({"transcriber": torch.nn.Linear(1, 1)}, "transcriber is Linear.*it must be 'tower'"),
        ({"transcriber": Recogniser}, "transcriber is <class .*it must be 'tower'"),
        ({"transcriber": "tower"}, "the audio tower is a hubert, which has no decoder"),
        ({"transcriber": "no/such-recogniser"}, "transcriber no/such-recogniser cannot be loaded"),
        (
            {"transcriber": len, "transcriber_options": {"language": "en"}},
            "len is a function",
        ),
        ({"transcriber_options": {"language": "en"}}, "without a transcriber"),
        ({"transcriber": len, "transcriber_options": "en"}, "transcriber_options is 'en'; it must be a dict"),
    ],
)
def test_mistakes_are_found_before_the_first_recording(plain, explain, options, message):
    for call in (lambda: plain[0].explain(["none.wav"], plain[1], **options), lambda: explain("none.wav", **options)):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            call()


# ---------------------------------------------------------------- recognisers of transformers


def test_a_pipeline_its_folder_and_its_class_give_the_same_words(plain, folders, waves):
    model, processor = plain
    pipe = pipeline(TASK, model=folders["ctc"])
    expected = [pipe({"raw": wave, "sampling_rate": rate})["text"] for wave, rate in waves[:2]]
    for given in (pipe, folders["ctc"], Path(folders["ctc"])):
        answers = model.explain(waves[:2], processor, transcriber=given, batch_size=1)
        assert [answer["transcript"] for answer in answers] == [text.strip() for text in expected]
        assert {answer["transcript_source"] for answer in answers} == {"transcriber ctc"}
    assert any(expected)


def test_a_folder_is_loaded_once_a_pipeline_on_its_device_in_its_dtype(plain, folders, waves, monkeypatch):
    loads, load = [], pipeline_xser.load_transcriber

    def counted(model, transcriber, options=None):
        if isinstance(transcriber, str):
            loads.append(transcriber)
        return load(model, transcriber, options)

    monkeypatch.setattr(pipeline_xser, "load_transcriber", counted)
    explain = XSERPipeline(model=plain[0], processor=plain[1], device="cpu")
    explain(waves[0], transcriber=folders["ctc"])
    explain(waves[:2], transcriber=folders["ctc"])
    assert loads == [folders["ctc"]]
    [loaded] = explain._transcribers.values()
    assert loaded.pipe.model.dtype == plain[0].dtype and loaded.pipe.model.device == plain[0].device
    common = XSERPipeline(model=plain[0], processor=plain[1], device="cpu", transcriber=folders["ctc"])
    assert common(waves[0]) == explain(waves[0], transcriber=folders["ctc"])
    assert common(waves[0], transcriber=None)["transcript_source"] == "model"


def test_options_of_what_cannot_take_them_are_refused(plain, folders):
    def load(which, **options):
        return load_transcriber(plain[0], folders[which], options)

    with pytest.raises(ValueError, match="transcriber ctc is a Wav2Vec2ForCTC, which does not generate"):
        load("ctc", language="en")
    with pytest.raises(ValueError, match=r"unknown options \['langauge'\] of transcriber whisper.*'language'"):
        load("whisper", langauge="en")
    with pytest.raises(ValueError, match=r"language of transcriber whisper is 'germn' \(did you mean 'german'"):
        load("whisper", language="germn")
    with pytest.raises(ValueError, match=r"task of transcriber whisper is 'dictate'.*'transcribe'"):
        load("whisper", task="dictate")
    text = pipeline("text-generation", model=folders["text"])
    with pytest.raises(ValueError, match="pipeline of task 'text-generation'"):
        load_transcriber(plain[0], text)


# ---------------------------------------------------------------- the tower's own decoder


def greedy(folder, waves, **options) -> list[str]:
    """What the stock Whisper of a folder transcribes."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor([wave for wave, _ in waves], sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    return WhisperTokenizer.from_pretrained(folder).batch_decode(
        model.generate(features, **options), skip_special_tokens=True
    )


@pytest.mark.parametrize("padded", [False, True])
def test_a_whisper_towers_own_decoder_transcribes_as_the_stock_model(folders, waves, padded):
    model, processor = on_whisper(folders, padded=padded)
    for options in ({}, {"language": "de", "task": "translate"}):
        expected = greedy(folders["whisper"], waves[:3], **options)
        asked = {"transcriber": "tower", "transcriber_options": options}
        answers = model.explain(waves[:3], processor, batch_size=2, **asked)
        assert [answer["transcript"] for answer in answers] == [text.strip() for text in expected]
        assert {answer["transcript_source"] for answer in answers} == {"transcriber tower"}
    assert any(expected)


@pytest.mark.parametrize(("padded", "passes"), [(False, 2), (True, 1)])
def test_the_decoder_shares_the_towers_weights_and_where_it_can_its_states(folders, waves, padded, passes):
    model, processor = on_whisper(folders, padded=padded)
    transcriber = load_transcriber(model, "tower")
    assert transcriber.whisper.model.encoder is model.model.audio_tower
    counted = []
    model.model.audio_tower.layers[0].register_forward_hook(lambda *args: counted.append(len(args[1][0])))
    texts = ["we won", None, None]
    model.explain(waves[:3], processor, transcriber=transcriber, transcript=texts)
    assert counted == [3, 2][:passes]
    assert not model.model.audio_tower.layer_norm._forward_hooks


def test_a_tower_that_is_not_its_checkpoints_encoder_leaves_the_decoder_its_own(folders, waves):
    expected = [text.strip() for text in greedy(folders["whisper"], waves[:2])]
    torch.manual_seed(0)
    text = folders["text"]
    cut, processor = XSERForEmotionDescription.from_backbones(folders["whisper"], text, audio_layers=1, **SMALL)
    changed, _ = on_whisper(folders, padded=True)
    changed.model.audio_tower.layers[0].fc1.weight.data.mul_(2)
    for model in (cut, changed):
        transcriber = load_transcriber(model, "tower")
        assert transcriber.whisper.model.encoder is not model.model.audio_tower and not transcriber.reads_states
        answers = model.explain(waves[:2], processor, transcriber=transcriber)
        assert [answer["transcript"] for answer in answers] == expected


def test_the_decoder_is_loaded_only_where_it_transcribes(pair, waves, monkeypatch):
    loaded, load = [], WhisperForConditionalGeneration.from_pretrained
    monkeypatch.setattr(
        WhisperForConditionalGeneration, "from_pretrained", lambda *a, **k: loaded.append(a) or load(*a, **k)
    )
    explain = XSERPipeline(model=pair[0], processor=pair[1], device="cpu")
    explain(waves[0])
    assert loaded == []
    explain(waves[0], transcriber="tower", transcriber_options={"language": "en"})
    explain(waves[1], transcriber="tower")
    assert len(loaded) == 1


def test_a_thin_checkpoint_finds_its_decoder_and_a_full_one_by_its_id(pair, folders, waves, tmp_path):
    model, processor = pair
    expected = model.explain(waves[:1], processor, transcriber="tower")
    for thin in (True, False):
        model.save_pretrained(tmp_path / str(thin), thin=thin)
        loaded = XSERForEmotionDescription.from_pretrained(tmp_path / str(thin)).eval()
        assert loaded.explain(waves[:1], processor, transcriber="tower") == expected
    loaded.model.audio_tower.name_or_path = "gone"
    assert load_transcriber(loaded, "tower").reads_states is False
    loaded.config.audio_model_id, loaded.model.audio_tower.name_or_path = None, ""
    with pytest.raises(ValueError, match="nothing says where the tower came from"):
        loaded.explain(waves[:1], processor, transcriber="tower")


def test_a_folder_with_the_encoder_alone_has_no_decoder(folders, tmp_path):
    encoder = WhisperEncoder.from_pretrained(folders["whisper"], key_mapping={r"^model\.encoder\.": ""})
    encoder.save_pretrained(tmp_path / "encoder")
    WhisperFeatureExtractor.from_pretrained(folders["whisper"]).save_pretrained(tmp_path / "encoder")
    model, _ = XSERForEmotionDescription.from_backbones(str(tmp_path / "encoder"), folders["text"], **SMALL)
    with pytest.raises(ValueError, match=r"encoder, where the tower came from, has no decoder: .*lacks weights"):
        load_transcriber(model, "tower")


# ---------------------------------------------------------------- on the command line


def test_the_command_says_whose_words_they_are(pair, folders, tmp_path, capsys):
    import soundfile

    for part in pair:
        part.save_pretrained(tmp_path / "model")
    soundfile.write(tmp_path / "a.wav", make_wave(0.6), SAMPLE_RATE)
    asked = [str(tmp_path / "a.wav"), "--model", str(tmp_path / "model"), "--no-verify", "--transcriber"]
    for form, given in (("--json", folders["ctc"]), ("--csv", "tower")):
        options = [] if given != "tower" else ["--transcriber_options", '{"language": "de"}']
        assert explain_command([*asked, given, form, *options]) == 0
        shown = capsys.readouterr().out
        [answer] = [json.loads(shown)] if form == "--json" else csv.DictReader(io.StringIO(shown))
        assert answer["transcript_source"] == f"transcriber {Path(given).name}"
    for given in ("{language: en}", "[]"):
        with pytest.raises(ValueError, match="--transcriber_options is"):
            explain_command([*asked, "tower", "--transcriber_options", given])


@pytest.mark.parametrize("source", ["model", "given", "transcriber openai/whisper-base"])
def test_the_printed_answer_says_whose_words_they_are(source):
    answer = {"file": "a.wav", "status": "ok", "transcript": "we won", "transcript_source": source}
    answer |= dict.fromkeys(("scores", "descriptors", "emphasis", "explanation"))
    stream = io.StringIO()
    FORMATS["text"](stream, True).write(answer)
    assert f"“we won” (words: {source})" in stream.getvalue()


# ---------------------------------------------------------------- the real one


@pytest.mark.skipif(not REAL, reason="XSER_WHISPER_BASE names no folder of openai/whisper-base")
def test_the_real_decoder_transcribes_as_the_stock_model(tmp_path, tiny_tokenizer):
    text = save_text_backbone(tmp_path / "text", tiny_tokenizer)
    model, processor = XSERForEmotionDescription.from_backbones(REAL, str(text), **SMALL)
    waves = [(load_audio(path), SAMPLE_RATE) for path in sorted(DATA.glob("*.ogg"))[:2]]
    options = {"language": "en", "task": "transcribe"}
    answers = model.explain(waves, processor, transcriber="tower", transcriber_options=options)
    assert [answer["transcript"] for answer in answers] == [text.strip() for text in greedy(REAL, waves, **options)]
    assert XSERProcessor is type(processor) and all(len(answer["transcript"]) > 5 for answer in answers)
