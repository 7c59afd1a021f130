"""What is asked of single recordings: words, references and genders of their own; anything else is refused."""

import threading
from dataclasses import replace

import datasets
import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL
from transformers import AutoProcessor

from xser import XSERForEmotionDescription, XSERPipeline, XSERProcessor, answers_xser, decoding_xser
from xser.audio_xser import SAMPLE_RATE, AudioError
from xser.calibration_xser import Calibration, Reference
from xser.checks_xser import known_gender
from xser.decoding_xser import Decoding
from xser.options_xser import UnknownOptionError
from xser.profile_xser import make_profile
from xser.verification_xser import Verifier

WORDS = "the dog never came home"
WORDS_OF_TWO = [WORDS, "we won the game"]
SILENCE = (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)


@pytest.fixture(scope="module")
def reader(tiny_backbone_folders):
    """A model that takes references."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, speaker_reference=True)


@pytest.fixture(scope="module")
def plain(tiny_backbone_folders):
    """A model that takes none."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL)


@pytest.fixture(params=["reader", "plain"])
def pair(request):
    return request.getfixturevalue(request.param)


def pipeline_of(pair, **options) -> XSERPipeline:
    return XSERPipeline(model=pair[0], processor=pair[1], device="cpu", **options)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    """Recordings of two voices, a low and a high one: name → paths."""
    folder, paths = tmp_path_factory.mktemp("speakers"), {}
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for name, hertz in (("low", 100.0), ("high", 260.0)):
        for index in range(3):
            pitch = hertz * (1 + 0.02 * index)
            wave = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6)) * 0.1
            wave = np.pad(wave, 4_000) + np.random.default_rng(index).standard_normal(SAMPLE_RATE + 8_000) * 1e-4
            paths.setdefault(name, []).append(str(folder / f"{name}{index}.wav"))
            soundfile.write(paths[name][-1], wave.astype(np.float32), SAMPLE_RATE)
    return paths


# ---------------------------------------------------------------- transcripts


def test_words_that_the_user_gives_are_reported_and_emphasised(pair, waves):
    model, processor = pair
    text = "Where  did\tyou\nput\u200b it?"
    [answer] = model.explain(waves[:1], processor, transcript=text)
    assert answer["transcript"] == text
    assert set(answer["emphasis"]) <= {"Where", "did", "you", "put", "it?"}
    assert pipeline_of(pair)(waves[0], transcript=text) == answer
    assert pipeline_of(pair)([waves[0]], transcript=[text]) == [answer]


def test_emphasis_is_picked_from_the_users_words(plain, waves, monkeypatch):
    offered, decode = [], decoding_xser._decode_emphasis
    monkeypatch.setattr(decoding_xser, "_decode_emphasis", lambda *args: offered.append(args[-1]) or decode(*args))
    plain[0].explain(waves[:2], plain[1], transcript=[WORDS, "no"])
    assert offered == [[WORDS.split(), ["no"]]]


def test_the_emotion_is_weighed_by_the_users_words(reader, waves):
    model, processor = reader
    [own] = model.explain(waves[4:5], processor)
    [other] = model.explain(waves[4:5], processor, transcript=WORDS)
    assert max(abs(other["scores"][name] - own["scores"][name]) for name in own["scores"]) > 1e-4


def test_given_words_cost_no_transcription_and_the_others_are_transcribed(pair, waves, monkeypatch):
    model, processor = pair
    expected = model.explain(waves[:3], processor)
    skipped, write = [], Decoding.write
    monkeypatch.setattr(Decoding, "write", lambda *args: skipped.append(args[-1]) or write(*args))
    model.explain(waves[:3], processor, transcript=[WORDS] * 3)
    answers = model.explain(waves[:3], processor, transcript=[None, WORDS, None])
    assert skipped == [[True] * 3, [False, True, False]]
    assert [answer["transcript"] for answer in answers] == [
        expected[0]["transcript"],
        WORDS,
        expected[2]["transcript"],
    ]
    for index in (0, 2):
        assert answers[index]["scores"] == pytest.approx(expected[index]["scores"], abs=1e-5)


def test_words_go_with_their_recordings_whatever_fails_beside_them(pair, waves, tmp_path):
    """Over batches, with recordings that cannot be read and others that hold no speech."""
    model, processor = pair
    recordings = [waves[0], tmp_path / "none.wav", SILENCE, waves[1], b"", waves[2], waves[3], SILENCE]
    texts = ["w zero", "w one", "w two", None, "w four", "w five", "w six", "w seven"]
    alone = {
        index: model.explain([recordings[index]], processor, transcript=[texts[index]])[0] for index in (0, 3, 5, 6)
    }
    for batch_size in (1, 2, 3, 8):
        answers = pipeline_of(pair)(recordings, transcript=texts, batch_size=batch_size)
        assert [answer["status"] for answer in answers] == [
            "ok", "error", "no_speech", "ok", "error", "ok", "ok", "no_speech",
        ]  # fmt: skip
        for index, answer in enumerate(answers):
            assert answer["transcript"] == (alone[index]["transcript"] if index in alone else None)
        for index, expected in alone.items():
            assert answers[index]["scores"] == pytest.approx(expected["scores"], abs=1e-5)


@pytest.mark.parametrize("form", [list, tuple, np.array, lambda texts: datasets.Dataset.from_dict({"t": texts})["t"]])
def test_transcripts_may_be_any_list_of_known_length(plain, waves, form):
    model, processor = plain
    answers = model.explain(waves[:2], processor, transcript=form(["one word", "no"]), slots=["emotion"])
    assert [answer["transcript"] for answer in answers] == ["one word", "no"]


def test_verify_is_given_the_users_words_and_never_the_models_own(pair, waves, monkeypatch):
    model, processor = pair
    given = []

    def verify(self, descriptors, wave, transcript=None, prosody=None):
        given.append(transcript)
        return {}

    monkeypatch.setattr(Verifier, "verify", verify)
    model.explain(waves[:3], processor, transcript=[None, WORDS, None], verify=True)
    model.explain(waves[:1], processor, verify=True)
    assert given == [None, WORDS, None, None]


@pytest.mark.parametrize(
    ("transcript", "message"),
    [
        ("", "the transcript of recording 0 .* is '', which holds no word"),
        (" \n\u200b", "holds no word"),
        (["no", "  "], r"the transcript of recording 1 \(array of shape \(10080,\)\) is '  ', which holds no word"),
        (["no"], "transcript holds 1 entries for 2 recordings"),
        (["no"] * 3, "transcript holds 3 entries for 2 recordings"),
        ("one for two", "transcript is 'one for two' for 2 recordings: give a list"),
        (["no", True], "the transcript of recording 1 .* is True; it must be a string, or None"),
        (["no", 5.0], "is 5.0; it must be a string"),
        (["no", b"words"], "is b'words'; it must be a string"),
        (["no", float("nan")], "is nan; it must be a string"),
        (None, "transcript is None; it must be True, False, a string, or a list"),
        (1, "transcript is 1; it must be True, False"),
        (0.0, "transcript is 0.0; it must be True, False"),
        (b"words", "transcript is b'words'"),
        ({"a": "b"}, "transcript is {'a': 'b'}"),
        (np.True_, "transcript is np.True_"),
        (
            ["no", "he said <|end|> twice"],
            r"of recording 1 .* cannot be used: .* holds \['<\|end\|>'\], special tokens",
        ),
        (["no", "<|content|>"], "special tokens"),
        (["no", "a\ud800b"], "surrogates, which are no text"),
        (["no", "la " * 3_000], "has [0-9]+ tokens; it may have 1024: give the words of this recording alone"),
    ],
)
def test_a_transcript_that_is_none_is_refused_by_name(pair, waves, transcript, message):
    model, processor = pair
    recordings = waves[:1] if transcript in ("", " \n\u200b") else waves[:2]
    with pytest.raises(ValueError, match=message):
        model.explain(recordings, processor, transcript=transcript)
    with pytest.raises(ValueError, match=message):
        pipeline_of(pair)(recordings, transcript=transcript)


def test_files_are_named_where_their_transcript_is_refused(plain, speakers):
    with pytest.raises(ValueError, match=r"the transcript of recording 2 \(.*low2\.wav\) is ''"):
        pipeline_of(plain)(speakers["low"], transcript=["a", "b", ""])


@pytest.mark.parametrize("transcript", ["a generator", ["a", "b"], None, 1])
def test_a_generator_takes_true_or_false_alone(plain, waves, transcript):
    with pytest.raises(ValueError, match="transcript is"):
        pipeline_of(plain)(iter(waves[:2]), transcript=transcript)
    assert [answer["transcript"] for answer in pipeline_of(plain)(iter(waves[:2]), transcript=False)] == [None, None]


@pytest.mark.parametrize("transcript", ["for every call", ["a"], 1, None])
def test_a_pipeline_itself_takes_no_transcript(plain, transcript):
    with pytest.raises(ValueError, match="transcript of every call is"):
        pipeline_of(plain, transcript=transcript)


def test_words_of_the_model_that_spell_a_special_token_are_not_emphasised(plain, waves, monkeypatch):
    """A model may spell one with ordinary tokens; it would cost the batch."""
    model, processor = plain
    monkeypatch.setattr(processor, "decode_text", lambda ids: "we <|end|> won")
    [answer] = model.explain(waves[:1], processor)
    assert answer["transcript"] == "we <|end|> won" and set(answer["emphasis"]) <= {"we", "won"}


# ---------------------------------------------------------------- references


def test_each_recording_is_answered_and_verified_by_its_own_reference(reader, speakers):
    model, processor = reader
    low = make_profile(model, processor, speakers["low"])
    recordings = [speakers["low"][0], speakers["high"][0], speakers["low"][1], speakers["high"][1]]
    references = [low, speakers["high"], None, low.usual]
    answers = model.explain(recordings, processor, reference=references, verify=True)
    assert pipeline_of(reader)(recordings, reference=references, verify=True, batch_size=4) == answers
    assert ["speaker_reference" in answer for answer in answers] == [True, True, False, False]
    for recording, reference, answer in zip(recordings, references, answers, strict=True):
        [alone] = model.explain([recording], processor, reference=reference, verify=True)
        assert alone["verification"] == answer["verification"] and alone["descriptors"] == answer["descriptors"]
        assert alone["scores"] == pytest.approx(answer["scores"], abs=1e-5)
    bases = [answer["verification"]["pitch"]["basis"] for answer in answers]
    assert bases == ["speaker", "speaker", "corpus", "speaker"]


def test_references_go_with_their_recordings_whatever_fails_beside_them(reader, speakers, tmp_path):
    recordings = [speakers["low"][0], tmp_path / "none.wav", SILENCE, speakers["high"][0]]
    profiles = [make_profile(*reader, speakers[name]) for name in ("low", "high")]
    path = tmp_path / "high.safetensors"
    profiles[1].save(path)
    references, genders = [profiles[0], None, profiles[0], str(path)], [None, "f", "m", None]
    alone = [
        pipeline_of(reader)(recordings[i], reference=references[i], verify=True, gender=genders[i]) for i in (0, 3)
    ]
    for size in (1, 2, 4):
        answers = pipeline_of(reader)(recordings, reference=references, verify=True, gender=genders, batch_size=size)
        assert [answer["status"] for answer in answers] == ["ok", "error", "no_speech", "ok"]
        assert ["speaker_reference" in answer for answer in answers] == [True, False, True, True]
        assert [answers[0]["verification"], answers[3]["verification"]] == [each["verification"] for each in alone]


def test_a_list_of_recordings_is_of_one_speaker(pair, speakers):
    model, processor = pair
    recordings = [*speakers["low"][:2], speakers["high"][0]]  # as many as there are in the reference
    one = model.explain(recordings, processor, reference=speakers["low"], verify=True)
    each = model.explain(recordings, processor, reference=[speakers["low"]] * 3, verify=True)
    assert one == each
    column = datasets.Dataset.from_dict({"path": speakers["low"]})["path"]
    assert model.explain(recordings, processor, reference=column, verify=True) == one
    assert pipeline_of(pair)(iter(recordings), reference=iter(speakers["low"]), verify=True).__next__() == one[0]


def test_a_reference_that_comes_twice_is_measured_once(reader, speakers, monkeypatch):
    model, processor = reader
    made, profile = [], model.profile
    monkeypatch.setattr(model, "profile", lambda *arguments: made.append(1) or profile(*arguments))
    model.explain(speakers["low"], processor, reference=[list(speakers["low"]) for _ in range(3)])
    assert made == [1]


@pytest.mark.parametrize("which", ["reader", "plain"])
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (["low"], "reference holds 1 entries for 2 recordings"),
        (["low", None, None], "reference holds 3 entries for 2 recordings"),
        (["low", "a.wav"], r"reference\[1\] is a recording among references: .* SpeakerProfile"),
        (["a.wav", None], r"reference\[0\] is a recording among references"),
        (["low", 5], r"the reference of recording 1 \(.*high0\.wav\): reference is 5; it must be None, a Speaker"),
        (5, "reference is 5; it must be None, a SpeakerProfile"),
        (["low", []], "the reference of recording 1 .*at least 3 recordings"),
        (["low", ["a.wav"] * 3], r"the reference of recording 1 .*a\.wav does not exist"),
        (["low", "none.safetensors"], r"the reference of recording 1 .*none\.safetensors does not exist"),
        ([], "at least 3 recordings"),
    ],
)
def test_other_references_are_refused_before_anything_is_explained(request, speakers, which, reference, message):
    pair = request.getfixturevalue(which)
    if isinstance(reference, list):
        reference = [speakers["low"] if each == "low" else each for each in reference]
    recordings = [speakers["low"][0], speakers["high"][0]]
    for explain in (lambda *args, **options: pair[0].explain(args[0], pair[1], **options), pipeline_of(pair)):
        with pytest.raises(ValueError, match=message):
            explain(recordings, reference=reference, verify=True)


def test_what_would_be_ignored_is_refused(reader, plain, speakers):
    usual = Reference({"pitch": 80.0}, {"pitch": 1.0})
    profile = make_profile(*reader, speakers["low"])
    for pair, options in (
        (plain, {"reference": [None, speakers["low"]]}),
        (plain, {"reference": [None, profile]}),
        (reader, {"reference": [profile, usual]}),
        (reader, {"gender": [None, "f"]}),
        (plain, {"gender": "f"}),
    ):
        with pytest.raises(ValueError, match="for verify=True alone"):
            pair[0].explain(speakers["low"][:2], pair[1], **options)
        with pytest.raises(ValueError, match="for verify=True alone"):
            pipeline_of(pair)(speakers["low"][:2], **options)


@pytest.mark.parametrize("name", ["reference", "gender"])
def test_neither_a_generator_nor_a_pipeline_takes_one_for_each(plain, waves, speakers, name):
    value = {"reference": [None, speakers["low"]], "gender": ["f", "m"]}[name]
    with pytest.raises(ValueError, match=f"{name} is given for single recordings"):
        pipeline_of(plain)(iter(waves[:2]), verify=True, **{name: value})
    with pytest.raises(ValueError, match=f"{name} .* every call"):
        pipeline_of(plain, verify=True, **{name: value})


def test_nothing_to_explain_is_no_error_with_lists_either(pair):
    assert pipeline_of(pair)([], transcript=[], reference=[], gender=[], verify=True) == []


# ---------------------------------------------------------------- gender and flags


@pytest.mark.parametrize("gender", ["F", "female", "Female", " woman "])
def test_a_gender_is_known_in_its_usual_spellings(plain, waves, gender):
    explain = pipeline_of(plain)
    expected = explain(waves[0], verify=True, gender="female")["verification"]
    assert explain(waves[0], verify=True, gender=gender)["verification"] == expected
    assert known_gender(gender, ["male", "female"]) == "female"
    assert known_gender("M", ["F", "m"]) == "m" and known_gender("Female", ["FEMALE"]) == "FEMALE"
    assert known_gender(gender, ["F", "M"]) == "F"  # the groups are the calibration's


def test_each_recording_is_verified_by_its_speakers_gender(plain, speakers):
    recordings = [speakers["low"][0]] * 3
    answers = pipeline_of(plain)(recordings, verify=True, gender=["m", None, "f"], batch_size=2)
    found = [answer["verification"]["pitch"]["basis"] for answer in answers]
    assert found == ["gender", "corpus", "gender"]
    cuts = [answer["verification"]["pitch"]["cuts"] for answer in answers]
    assert cuts[0] < cuts[1] < cuts[2]


@pytest.mark.parametrize(
    ("gender", "message"),
    [
        ("femal", r"gender is 'femal' \(did you mean 'female'\?\); it must be one of \['female', 'male'\]"),
        ("", "gender is ''; it must be one of"),
        ("x", "gender is 'x'; it must be one of"),
        (1, "gender is 1; it must be one of"),
        (["m", "femal"], r"recording 1 \(.*\) cannot be verified: gender is 'femal'"),
        (["m"], "gender holds 1 entries for 2 recordings"),
    ],
)
def test_a_gender_that_the_calibration_does_not_know_is_refused(plain, waves, gender, message):
    for explain in (lambda *args, **options: plain[0].explain(args[0], plain[1], **options), pipeline_of(plain)):
        with pytest.raises(ValueError, match=message):
            explain(waves[:2], verify=True, gender=gender)


def test_a_calibration_without_genders_says_so():
    calibration = {**Calibration.default().to_dict(), "genders": {}}
    with pytest.raises(ValueError, match="it must be left out, for the calibration knows no genders"):
        Verifier(calibration, {"pitch": ["low", "high"]}, gender="female")


@pytest.mark.parametrize("value", ["no", "yes", 1, 0, None, np.True_, [True]])
def test_verify_is_true_or_false(plain, waves, value):
    with pytest.raises(ValueError, match=r"verify is .*; it must be True or False"):
        plain[0].explain(waves[:1], plain[1], verify=value)
    with pytest.raises(ValueError, match="verify is"):
        pipeline_of(plain)(waves[0], verify=value)
    with pytest.raises(ValueError, match="verify is"):
        pipeline_of(plain, verify=value)


@pytest.mark.parametrize("value", [0, -1, True, False, 2.5, "4", float("nan"), [1]])
def test_a_batch_holds_one_recording_or_more(plain, waves, value):
    message = "batch_size is .*; it must be a whole number, at least 1"
    with pytest.raises(ValueError, match=message):
        plain[0].explain(waves[:1], plain[1], batch_size=value)
    with pytest.raises(ValueError, match=message):
        pipeline_of(plain)(waves[:1], batch_size=value)
    with pytest.raises(ValueError, match=message):
        pipeline_of(plain, batch_size=value)(waves[:1])


def test_a_single_recording_for_a_list_is_refused(plain, speakers, waves):
    for audio in (speakers["low"][0], waves[0], {"path": speakers["low"][0]}, b"RIFF", 5):
        with pytest.raises(ValueError, match=r"audio is .*: give a list of recordings"):
            plain[0].explain(audio, plain[1])


# ---------------------------------------------------------------- unknown options


def test_unknown_options_are_refused_with_the_nearest_everywhere(plain, waves, tmp_path):
    model, processor = plain
    explain = pipeline_of(plain)
    processor.save_pretrained(tmp_path)
    cases = [
        (lambda: model.explain(waves[:1], processor, trancript="x"), "transcript"),
        (lambda: model.explain(waves[:1], processor, batchsize=2), "batch_size"),
        (lambda: explain(waves[0], trancript="x"), "transcript"),
        (lambda: explain(waves[:1], veryfy=True), "verify"),
        (lambda: explain(iter(waves), refrence=[]), "reference"),
        (lambda: pipeline_of(plain, slot=["pitch"]), "slots"),
        (lambda: processor(waves[:1], wordings=[1]), "wording"),
        (lambda: processor(waves[:1], tasks="asr"), "task"),
        (lambda: XSERProcessor(None, None, [1], [1], frame_stak=2, emotions=[], descriptors={}), "frame_stack"),
        (lambda: XSERProcessor.from_pretrained(tmp_path, max_audio_second=3), "max_audio_seconds"),
        (lambda: AutoProcessor.from_pretrained(tmp_path, max_audio_second=3), "max_audio_seconds"),
    ]
    for call, right in cases:
        for error in (TypeError, ValueError):
            with pytest.raises(error, match=rf"unknown options \['\w+'\] of .*: the nearest is '{right}'"):
                call()


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"binary_output": True}, {"max_new_tokens": 5}])
def test_options_of_other_pipelines_are_refused_not_ignored(plain, options):
    with pytest.raises(UnknownOptionError, match=next(iter(options))):
        pipeline_of(plain, **options)


def test_options_of_loading_and_of_the_parts_reach_them(plain, tmp_path):
    plain[1].save_pretrained(tmp_path)
    options = {"token": None, "revision": "main", "local_files_only": True, "dtype": torch.float32, "use_fast": True}
    options |= {"model_max_length": 77, "do_normalize": False, "max_audio_seconds": 3.0}
    for auto in (AutoProcessor, XSERProcessor):
        loaded = auto.from_pretrained(tmp_path, trust_remote_code=False, **options)
        assert loaded.max_audio_seconds == 3 and loaded.tokenizer.model_max_length == 77
        assert not loaded.feature_extractor.do_normalize
    loaded.save_pretrained(tmp_path / "again")
    assert "max_audio_seconds" not in (tmp_path / "again" / "tokenizer_config.json").read_text()
    assert XSERProcessor.from_pretrained(tmp_path / "again").max_audio_seconds == 3
    model, processor = plain
    XSERPipeline(model=model, processor=processor, device="cpu", local_files_only=True)  # as `pipeline` hands it on


def test_an_unknown_field_of_a_saved_processor_is_refused(plain, tmp_path):
    plain[1].save_pretrained(tmp_path)
    file = tmp_path / "processor_config.json"
    file.write_text(file.read_text().replace('"max_audio_seconds"', '"max_audio_second"'))
    with pytest.raises(ValueError, match=r"\['max_audio_second'\] of processor_config\.json: the nearest is"):
        XSERProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"emphasis": "no"}, "emphasis is 'no'; it must be True or False"),
        ({"max_audio_seconds": "3"}, "max_audio_seconds is '3'; it must be a finite number"),
        ({"max_audio_seconds": -3.0}, "the first must lie between 0 and the second"),
        ({"silence_dbfs": 3.0}, "silence_dbfs is 3.0; it must lie below 0"),
    ],
)
def test_fields_of_a_processor_are_checked(plain, tmp_path, fields, message):
    plain[1].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        XSERProcessor.from_pretrained(tmp_path, **fields)


# ---------------------------------------------------------------- one error costs no other


def test_a_recording_beyond_the_limit_is_an_error_of_its_own(plain, waves):
    long = (np.full(45 * SAMPLE_RATE, 0.1, np.float32), SAMPLE_RATE)
    explain = pipeline_of(plain)
    with pytest.raises(AudioError) as alone:
        explain(long)
    answers = explain([waves[0], long, waves[1]])
    assert [answer["status"] for answer in answers] == ["ok", "error", "ok"]
    assert answers[1]["error"] == str(alone.value)
    assert "45.00 s" in answers[1]["error"] and "30 s" in answers[1]["error"]


def test_others_may_pad_and_truncate_with_the_tokenizer_meanwhile(plain, waves):
    """The state of padding and truncation lies on a tokenizer: ours is a copy of the user's."""
    model, processor = plain
    expected = model.explain(waves[:2], processor, transcript=WORDS_OF_TWO)
    prompts = processor.prompt_ids("describe", [4])["input_ids"].tolist()
    processor.tokenizer([WORDS, "a"], padding="max_length", truncation=True, max_length=2)
    processor._prompts.clear()
    assert processor.prompt_ids("describe", [4])["input_ids"].tolist() == prompts
    stop, errors, answers = threading.Event(), [], []

    def pad():
        while not stop.is_set():
            processor.tokenizer([WORDS, "a"], padding=True, truncation=True, max_length=2)
            processor.tokenizer(["a"])

    def explain():
        try:
            for _ in range(3):
                answers.append(model.explain(waves[:2], processor, transcript=WORDS_OF_TWO))
                processor._pieces.clear()
                processor._prompts.clear()
        except Exception as error:  # for the main thread to raise
            errors.append(error)

    threads = [threading.Thread(target=explain) for _ in range(3)]
    noise = threading.Thread(target=pad)
    noise.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    noise.join()
    assert not errors
    assert answers == [expected] * 9


def test_a_profile_of_another_model_among_many_is_refused_before_anything_is_explained(reader, speakers):
    model, processor = reader
    profile = make_profile(model, processor, speakers["low"])
    other = replace(profile, mean=profile.mean[1:], deviation=profile.deviation[1:])
    with pytest.raises(
        ValueError, match=r"the reference of recording 1 .*holds \(layers, width\) \(2, 32\), .*\(3, 32\)"
    ):
        pipeline_of(reader)(speakers["low"][:2], reference=[profile, other], batch_size=1)


def test_pieces_that_are_kept_are_bounded(plain, monkeypatch):
    """A transcript's words are any words: a server would keep them for ever."""
    monkeypatch.setattr(answers_xser, "MAX_PIECES", 5)
    processor = plain[1]
    ids = [processor.piece_ids(f' "{word}"') for word in WORDS.split() * 3]
    assert ids == ids[:5] * 3 and len(processor._pieces) <= 5
