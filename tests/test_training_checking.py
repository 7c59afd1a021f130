"""What a row can have wrong is found before the first step, with its place, its id and its file."""

import re
import time

import pytest
import torch
from training_corpus import make_dataset
from transformers import HubertConfig, LlamaConfig

from xser.configuration_xser import XSERConfig
from xser.grammar_xser import EmotionDescription
from xser.losses_xser import ctc_frames_needed, ctc_loss
from xser.modeling_xser import XSERForEmotionDescription
from xser.training.checking import BATCH, RowChecker
from xser.training.collator import XSERCollator
from xser.training.data import select_rows


def config(**options) -> XSERConfig:
    return XSERConfig(audio_config=HubertConfig(), text_config=LlamaConfig(), **options)


@pytest.fixture
def corpus(tmp_path):
    return make_dataset(tmp_path / "tones.arrow", 12)


def change(dataset, changes: dict[int, dict]):
    """With other values in some rows."""
    rows = lambda row, index: {  # noqa: E731
        name: {**row[name], **value} if name == "descriptors" else value
        for name, value in changes.get(index, {}).items()
    }
    return dataset.map(rows, with_indices=True, features=dataset.features)


@pytest.mark.parametrize(
    ("task", "changes", "reason"),
    [
        ("asr", {"text": "we won {token}"}, "holds the special tokens"),
        ("describe", {"descriptors": {"emphasis": ["{token}"]}}, "holds the special tokens"),
        ("describe", {"descriptors": {"emphasis": ["a\u200bb"]}}, "must be printable text"),
        ("describe", {"descriptors": {"emphasis": [" won"]}}, "without spaces at its ends"),
        ("describe", {"descriptors": {"emphasis": [""]}}, "must be printable text"),
    ],
)
def test_a_row_that_no_input_can_be_made_of_is_named_before_training(corpus, tiny_pair, task, changes, reason):
    processor = tiny_pair[1]
    filled = eval(repr(changes).replace("{token}", processor.tokenizer.eos_token))
    rows = change(corpus, {7: {**filled, "audio": {"bytes": None, "path": "clips/seven.wav"}}})
    with pytest.raises(ValueError, match=reason) as error:
        XSERCollator(processor).collate([{**rows[7], "audio": corpus[7]["audio"], "task": task, "noise_seed": 0}])
    said = re.escape(str(error.value))
    with pytest.raises(
        ValueError, match=rf"1 of 12 rows cannot train {task}: row 7 \(id 'tone7', clips/seven.wav\): {said}"
    ):
        select_rows(rows, task, config(), checker=RowChecker(processor, 2048))
    kept, reasons = select_rows(rows, task, config(), checker=RowChecker(processor, 2048), leave_out_bad_rows=True)
    assert kept["id"][:] == [f"tone{index}" for index in range(12) if index != 7]
    assert reasons == {"cannot be trained on": 1}


def test_all_bad_rows_are_counted_and_the_first_are_named(corpus, tiny_pair):
    processor = tiny_pair[1]
    rows = change(corpus, {index: {"text": f"{index} {processor.tokenizer.eos_token}"} for index in (1, 3, 5, 7, 9)})
    with pytest.raises(
        ValueError, match=r"5 of 12 rows cannot train asr: row 1 .*row 3 .*row 5 .*; and 2 more\. Mend"
    ):
        select_rows(rows, "asr", config(), checker=RowChecker(processor, 2048))


@pytest.mark.parametrize("task", ["asr", "describe"])
def test_what_is_longer_than_the_language_model_holds_is_found_to_the_token(tiny_pair, corpus, task):
    processor = tiny_pair[1]
    for row in corpus.select(range(4)):
        batch = XSERCollator(processor).collate([{**row, "task": task, "noise_seed": 0}])
        tokens = batch["input_ids"].shape[1]
        description = processor.schema.describe(row)
        for context in (tokens, tokens - 1):
            checker = RowChecker(processor, context)
            if task == "asr":
                checker.check_asr([(0, row["text"], row["duration"])])
            else:
                checker.check_describe([(0, description, row["text"], row["duration"])])
            assert bool(checker.faults) == (context < tokens)
    assert f"are {tokens} tokens, and the language model holds {tokens - 1} at once" in checker.faults[0]


def test_texts_are_tokenised_in_batches_and_each_once(tiny_pair, monkeypatch):
    processor, sizes = tiny_pair[1], []
    tokenise = processor._tokenize
    monkeypatch.setattr(processor, "_tokenize", lambda texts: sizes.append(len(texts)) or tokenise(texts))
    rows = [(index, f"the dog is at the door {index % 5_000}", 2.0) for index in range(20_000)]
    start = time.perf_counter()
    checker = RowChecker(processor, 2048, has_ctc=True)
    checker.check_asr(rows)
    assert time.perf_counter() - start < 20  # a second, as a rule
    assert sorted(sizes)[-5:] == [BATCH] * 5 and sum(sizes) < 5_100
    assert not checker.faults


def test_emphasised_words_that_are_not_said_are_pointed_out(tiny_pair):
    checker = RowChecker(tiny_pair[1], None)
    rows = [(("Won",), "we won the game"), (("lost",), "we won the game"), (("lost",), None), ((), "we won the game")]
    checker.check_describe(
        (index, EmotionDescription({}, words, "sad"), text, 1.0) for index, (words, text) in enumerate(rows)
    )
    assert checker.not_said == [1] and not checker.faults


def test_a_duration_that_is_no_number_is_no_duration(corpus):
    rows = change(corpus, {0: {"duration": float("nan")}, 1: {"duration": float("inf")}, 2: {"duration": -1.0}})
    kept, reasons = select_rows(rows, "asr", config())
    assert len(kept) == 9 and reasons == {"unknown duration": 2, "shorter than 0.1 s": 1}


# ---------------------------------------------------------------------- CTC

LETTERS = torch.tensor([[0, 1, 2, -100], [0, 0, 0, -100], [3, -100, -100, -100], [0, 1, 1, 2]])


def test_ctc_needs_a_frame_for_each_unit_and_one_between_two_of_a_kind():
    assert ctc_frames_needed(LETTERS).tolist() == [3, 5, 1, 5]
    torch.manual_seed(0)
    for frames in range(1, 7):
        nats = torch.nn.functional.ctc_loss(
            torch.randn(frames, 4, 6).log_softmax(-1), (LETTERS + 1).clamp(min=0), torch.full((4,), frames),
            torch.tensor([3, 3, 1, 4]), reduction="none",
        )  # fmt: skip
        assert (ctc_frames_needed(LETTERS) > frames).tolist() == nats.isinf().tolist()


def test_utterances_without_an_alignment_are_left_out_of_the_mean():
    torch.manual_seed(0)
    logits = torch.randn(4, 4, 6, requires_grad=True)
    mask = torch.ones(4, 4, dtype=torch.bool)
    alone = [ctc_loss(logits[[row]], mask[[row]], LETTERS[[row]]) for row in range(4)]
    assert [float(loss.detach()) == 0 for loss in alone] == [False, True, False, True]
    loss = ctc_loss(logits, mask, LETTERS)
    torch.testing.assert_close(loss, (alone[0] + alone[2]) / 2)
    loss.backward()
    assert logits.grad.isfinite().all() and not logits.grad[1].any() and logits.grad[0].any()


@pytest.mark.parametrize("unit", ["byte", "token"])
def test_rows_that_ctc_cannot_align_are_counted_as_training_meets_them(tiny_backbone_folders, corpus, unit):
    _, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), ctc_weight=0.3, ctc_unit=unit
    )
    found = {}
    for speed in (0.5, 1.0, 2.0):
        rows = [{**row, "task": "asr", "noise_seed": 0} for row in corpus]
        batch = XSERCollator(processor, speeds=(speed,)).collate(rows)
        frames = [processor.num_frames(int(samples)) for samples in batch["input_values_mask"].sum(-1)]
        found[speed] = int((ctc_frames_needed(batch["ctc_labels"]) > torch.tensor(frames)).sum())
    assert found[2.0] > found[1.0] > found[0.5] or unit == "token"

    def count(*speeds: float) -> dict[str, int]:
        checker = RowChecker(processor, None, has_ctc=True, speeds=speeds)
        select_rows(corpus, "asr", config(), checker=checker)
        return dict(checker.without_alignment)

    for speed, number in found.items():
        assert count(speed) == ({"text needs more frames than there are": number} if number else {})
    both = count(0.5, 2.0)
    assert sum(both.values()) == found[2.0]
    assert both.get("text needs more frames than there are at speed 2", 0) == found[2.0] - found[0.5]
