"""Rare emotions: weights and draws are exact, and a weighted loss does not depend on how a batch is cut."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from xser.losses_xser import answer_loss, emotion_loss
from xser.training.balance import balanced_order, balanced_size, count_emotions, emotion_weights
from xser.training.sampler import UtteranceStream

EMOTIONS = ["sad"] * 7 + ["angry"] * 3 + [None] * 4 + ["happy"]


def test_weights_are_inverse_to_the_rows_of_an_emotion_and_one_in_the_mean():
    weights = emotion_weights(EMOTIONS)
    assert weights == {"sad": 11 / 21, "angry": 11 / 9, "happy": 11 / 3}
    assert np.mean([weights.get(emotion, 1.0) for emotion in EMOTIONS]) == pytest.approx(1)


def test_a_balanced_epoch_draws_every_emotion_as_often_and_every_row_at_least_once():
    order = balanced_order(EMOTIONS, np.random.default_rng(3))
    assert len(order) == balanced_size(EMOTIONS) == 3 * 7 + 4
    assert Counter(EMOTIONS[index] for index in order) == {"sad": 7, "angry": 7, "happy": 7, None: 4}
    draws = Counter(order.tolist())
    assert set(draws) == set(range(len(EMOTIONS)))
    assert sorted(draws[index] for index in range(7, 10)) == [2, 2, 3] and draws[14] == 7
    assert order.tolist() == balanced_order(EMOTIONS, np.random.default_rng(3)).tolist()
    assert order.tolist() != balanced_order(EMOTIONS, np.random.default_rng(4)).tolist()


def test_a_balanced_stream_is_balanced_in_every_epoch_and_seeded():
    def make(seed: int) -> UtteranceStream:
        return UtteranceStream(np.arange(15) % 4, 5, seed, "describe", 2, EMOTIONS)

    stream = make(0)
    assert stream.batches_per_epoch == 5
    for epoch in range(3):
        drawn = [index for number in range(5 * epoch, 5 * epoch + 5) for index in stream.batch(number)]
        assert Counter(EMOTIONS[index] for index in drawn) == {"sad": 7, "angry": 7, "happy": 7, None: 4}
    assert [make(0).batch(number) for number in range(9)] == [stream.batch(number) for number in range(9)]
    assert [make(1).batch(number) for number in range(9)] != [stream.batch(number) for number in range(9)]


@pytest.mark.parametrize(
    ("emotions", "message"),
    [(["sad"] * 4 + [None], "all rows with one are 'sad'"), ([None, None], "no row has one")],
)
def test_one_emotion_or_none_cannot_be_balanced(emotions, message):
    with pytest.raises(ValueError, match=f"class_balance wants at least two emotions.*{message}"):
        count_emotions(emotions)


def test_a_weighted_loss_is_the_mean_of_weighted_utterances_however_a_batch_is_cut():
    torch.manual_seed(0)
    logits, weights = torch.randn(4, 6, 9), torch.tensor([0.5, 1.0, 3.0, 1.0])
    labels = torch.randint(0, 9, (4, 6))
    labels[:, :3] = labels[1, 4:] = -100
    whole = answer_loss(logits, labels, weights)
    single = [answer_loss(logits[i : i + 1], labels[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(whole, (torch.stack(single) * weights).mean())
    halves = [answer_loss(logits[i : i + 2], labels[i : i + 2], weights[i : i + 2]) for i in (0, 2)]
    torch.testing.assert_close(whole, sum(halves) / 2)
    torch.testing.assert_close(answer_loss(logits, labels, torch.ones(4)), answer_loss(logits, labels))


def test_a_weighted_emotion_loss_weighs_each_utterance():
    logits, labels = [torch.randn(3, 4), torch.randn(3, 4)], torch.tensor([1, -100, 3])
    weights = torch.tensor([2.0, 1.0, 0.5])
    nats = sum(nn.functional.cross_entropy(each, labels, reduction="none", label_smoothing=0.1) for each in logits)
    torch.testing.assert_close(emotion_loss(logits, labels, weights), (nats * weights).mean())
