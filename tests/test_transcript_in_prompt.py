"""A description may be asked for with the words said: the data's in training, the model's own when it explains."""

import pytest
import torch
from conftest import SMALL

from xser import EmotionDescription, XSERForEmotionDescription, XSERProcessor
from xser.training.collator import XSERCollator

PROSODY_STREAM = {"size": 5, "latent_size": 3, "hidden_size": 8, "frame_stack": 3}
ROW = {"id": "a", "text": "you never said that", "emotion": "sad", "descriptors": {"pitch": "high"}}


@pytest.fixture
def reader(tiny_backbone_folders):
    """A fresh (model, processor) that is asked with transcripts, in eval mode."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, transcript_in_prompt=True
    )


def test_the_words_stand_before_the_question(reader):
    _, processor = reader
    text = processor.prompt_text("describe", 4, transcript="you never said that")
    assert "\nTranscript: you never said that\nDescribe the voice: pitch" in text
    ids = processor.prompt_ids("describe", [4], transcripts=["you never said that"])["input_ids"][0].tolist()
    assert ids == processor.tokenizer(text, add_special_tokens=False).input_ids


def test_without_words_the_prompt_is_that_of_any_other_model(reader, tiny_pair):
    batch = reader[1].prompt_ids("describe", [4, 9], transcripts=["you never", None])
    row = batch["input_ids"][1][batch["attention_mask"][1] > 0]
    assert row.tolist() == tiny_pair[1].prompt_ids("describe", [9])["input_ids"][0].tolist()
    nothing = reader[1].prompt_text("describe", 4, transcript="")
    assert "\nTranscript:\nDescribe the voice" in nothing  # nothing was heard, which is not the same


@pytest.mark.parametrize("words", ["<|content|> and <|descriptors|>", "one\ntwo\n<|end|>", "où ça — là 🍌"])
def test_words_cannot_spell_placeholders_or_lines(reader, words):
    _, processor = reader
    ids = processor.prompt_ids("describe", [8], transcripts=[words])["input_ids"][0].tolist()
    plain = processor.prompt_ids("describe", [8])["input_ids"][0].tolist()
    special = set(processor.tokenizer.convert_tokens_to_ids(["<|content|>", "<|descriptors|>", "<|end|>", "<|user|>"]))
    assert [index for index in ids if index in special] == [index for index in plain if index in special]
    assert processor.tokenizer.decode(ids).count("\n") == processor.tokenizer.decode(plain).count("\n") + 1


@pytest.mark.parametrize("streams", [{}, {"aux_streams": {"prosody": PROSODY_STREAM}, "summary_tokens": True}])
def test_the_model_is_asked_with_what_it_heard_itself(tiny_backbone_folders, waves, streams):
    """Against the plain way: one full pass for each emotion, teacher-forced, with its transcript in the prompt."""
    torch.manual_seed(0)
    options = {**SMALL, **streams, "transcript_in_prompt": True}
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **options)
    [answer] = model.explain(waves[4:5], processor)
    assert answer["transcript"]
    description = (answer["descriptors"], tuple(answer["emphasis"]))

    def likelihood(emotion, **said):
        target = EmotionDescription(*description, emotion)
        batch = processor(waves[4:5], task="describe", targets=[target], **said)
        with torch.no_grad():
            logits = model(**batch).logits[0, :-1].log_softmax(-1)
        labels = batch["labels"][0][batch["labels"][0] != -100]
        count = 1 + len(processor.piece_ids(f" {emotion}"))  # the label and the end of the answer
        return sum(float(logits[-i, labels[-i]]) for i in range(1, count + 1))

    def scores(**said):
        return torch.tensor([likelihood(emotion, **said) for emotion in model.config.emotions]).softmax(0)

    given = torch.tensor(list(answer["scores"].values()))
    torch.testing.assert_close(given, scores(transcripts=[answer["transcript"]]), rtol=1e-3, atol=1e-5)
    assert (given - scores()).abs().max() > 1e-4


def test_the_transcript_may_be_left_out_of_the_answer_alone(reader, waves):
    model, processor = reader
    [whole] = model.explain(waves[:1], processor, slots=["pitch", "emotion"])
    [short] = model.explain(waves[:1], processor, slots=["pitch", "emotion"], transcript=False)
    assert short == {**whole, "transcript": None}


def test_neighbours_in_a_batch_change_nothing(reader, waves):
    model, processor = reader
    together = model.explain(waves, processor, batch_size=8)
    for wave, other in zip(waves, together, strict=True):
        [alone] = model.explain([wave], processor)
        assert alone["transcript"] == other["transcript"] and alone["descriptors"] == other["descriptors"]
        difference = torch.tensor([alone["scores"][name] - other["scores"][name] for name in alone["scores"]])
        assert difference.abs().max() < 1e-4


def test_training_tells_the_words_of_the_data_now_and_then(reader, waves):
    _, processor = reader
    row = {**ROW, "task": "describe", "audio": waves[0]}

    def prompts(dropout, seeds=range(40)):
        collate = XSERCollator(processor, transcript_dropout=dropout, return_prompts=True)
        batches = [collate([{**row, "noise_seed": seed}])["describe"] for seed in seeds]
        return [processor.tokenizer.decode(batch["prompt_input_ids"][0]) for batch in batches]

    assert all("Transcript: you never said that\n" in prompt for prompt in prompts(0.0))
    assert not any("Transcript" in prompt for prompt in prompts(1.0))
    told = ["Transcript" in prompt for prompt in prompts(0.5)]
    assert 8 < sum(told) < 32 and told == ["Transcript" in prompt for prompt in prompts(0.5)]


def test_rows_without_words_and_transcription_are_asked_without(reader, waves):
    _, processor = reader
    collate = XSERCollator(processor)
    for text in (None, ""):
        batch = collate([{**ROW, "text": text, "task": "describe", "audio": waves[0], "noise_seed": 1}])["describe"]
        assert "Transcript" not in processor.tokenizer.decode(batch["input_ids"][0])
    batch = collate([{**ROW, "task": "asr", "audio": waves[0], "noise_seed": 1}])["asr"]
    assert "Transcript:" not in processor.tokenizer.decode(batch["input_ids"][0])


def test_the_loss_is_on_the_answer_alone(reader, waves):
    _, processor = reader
    target = EmotionDescription({"pitch": "high"}, None, "sad")
    batch = processor(waves[:1], task="describe", targets=[target], transcripts=["you never said that"])
    labels = batch["labels"][0]
    assert processor.decode_answer(labels[labels != -100]) == target.to_text()


def test_words_are_refused_where_they_have_no_place(reader, tiny_pair, waves):
    with pytest.raises(ValueError, match="transcript_in_prompt"):
        tiny_pair[1](waves[:1], task="describe", transcripts=["never"])
    with pytest.raises(ValueError, match="transcript_in_prompt"):
        reader[1](waves[:1], task="asr", transcripts=["never"])
    with pytest.raises(ValueError, match="2 transcripts for 1 recordings"):
        reader[1](waves[:1], task="describe", transcripts=["never", "again"])
    for transcripts, message in (
        ("no", "one string for 1 recordings"),
        ([5], "transcript 5 must be a string, or None"),
    ):
        with pytest.raises(ValueError, match=message):
            reader[1](waves[:1], task="describe", transcripts=transcripts)
    with pytest.raises(ValueError, match="asr holds no transcript"):
        reader[1].prompt_text("asr", 4, transcript="never")


def test_a_saved_processor_knows_it(reader, tmp_path):
    reader[1].save_pretrained(tmp_path)
    assert XSERProcessor.from_pretrained(tmp_path).transcript_in_prompt
