"""The loss terms on answers. Each is a mean over an utterance first, then over utterances, so that it does not depend
on how utterances are grouped into batches, steps or processes.

Shapes: B batch, P tokens, T frames, U CTC units, V vocabulary, K descriptors.
"""

from collections.abc import Sequence

import torch
from torch import nn

from .bottleneck_xser import masked_mean

IGNORE_INDEX = -100
EMOTION_SMOOTHING = 0.1  # of labels: a head that is sure of the few speakers it knows is wrong about strangers
BLANK = 0  # of CTC; unit u is class u + 1


def answer_loss(logits: torch.Tensor, labels: torch.Tensor, loss_weights: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy of the answers in nats a token, `-log q(y|z)` of the bottleneck's bound (Alemi et al. 2017).

    Args:
        logits: (B, P, V); position p predicts label p + 1.
        labels: (B, P), -100 where there is no answer.
        loss_weights: (B,) of the utterances. The mean is over utterances, not over weights: so it does not depend on
            what else is in a batch.
    """
    targets = labels[:, 1:]
    nats = nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), targets, ignore_index=IGNORE_INDEX, reduction="none"
    )
    if loss_weights is not None:
        nats = nats * loss_weights.unsqueeze(-1)
    return masked_mean(nats, targets != IGNORE_INDEX)


def ctc_frames_needed(ctc_labels: torch.Tensor) -> torch.Tensor:
    """Frames that CTC needs at least, (B, U) -> (B,): one a unit, and a blank between two of a kind."""
    is_unit = ctc_labels != IGNORE_INDEX
    repeats = (ctc_labels[:, 1:] == ctc_labels[:, :-1]) & is_unit[:, 1:]
    return is_unit.sum(-1) + repeats.sum(-1)


def ctc_loss(logits: torch.Tensor, frame_mask: torch.Tensor, ctc_labels: torch.Tensor) -> torch.Tensor:
    """CTC (Graves et al. 2006) in nats a unit, which is a UTF-8 byte or a token of the language model.

    An utterance with fewer frames than its text needs has no alignment: it is left out of the mean, which is zero
    where no utterance is left.

    Args:
        logits: (B, T, units + 1); the blank comes first.
        frame_mask: (B, T), true on real frames.
        ctc_labels: (B, U) units, -100 on padding.
    """
    frames, lengths = frame_mask.sum(-1), (ctc_labels != IGNORE_INDEX).sum(-1)
    nats = nn.functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        (ctc_labels + 1).clamp(min=0),
        frames,
        lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    fits = ctc_frames_needed(ctc_labels) <= frames
    return (nats / lengths.clamp(min=1) * fits).sum() / fits.sum().clamp(min=1)


def level_loss(logits: list[torch.Tensor], level_labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each descriptor's level in nats, mean over an utterance's known descriptors first.

    An utterance without any counts as zero.

    Args:
        logits: for each of K descriptors, (B, its levels).
        level_labels: (B, K) indices of the levels, -100 where a level is not known.
    """
    nats = [
        nn.functional.cross_entropy(each.float(), labels, ignore_index=IGNORE_INDEX, reduction="none")
        for each, labels in zip(logits, level_labels.unbind(1), strict=True)
    ]
    return masked_mean(torch.stack(nats, 1), level_labels != IGNORE_INDEX)


def emotion_loss(
    logits: Sequence[torch.Tensor],
    emotion_labels: torch.Tensor,
    loss_weights: torch.Tensor | None = None,
    soft_emotion_labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy of the emotion in nats under smoothed labels, summed over the streams that say it.

    An utterance whose emotion is not known counts as zero.

    Args:
        logits: of each stream, (B, emotions).
        emotion_labels: (B,) indices, -100 where it is not known.
        loss_weights: (B,) of the utterances, as in `answer_loss`.
        soft_emotion_labels: (B, emotions) distribution of an utterance's raters, all zeros where there is none. It
            stands for the label, and is not smoothed.
    """
    nats = [
        nn.functional.cross_entropy(
            each.float(),
            emotion_labels,
            ignore_index=IGNORE_INDEX,
            reduction="none",
            label_smoothing=EMOTION_SMOOTHING,
        )
        for each in logits
    ]
    if soft_emotion_labels is not None:
        is_rated = soft_emotion_labels.sum(-1) > 0
        soft = [-(soft_emotion_labels * each.float().log_softmax(-1)).sum(-1) for each in logits]
        nats = [torch.where(is_rated, *pair) for pair in zip(soft, nats, strict=True)]
    nats = torch.stack(nats).sum(0)
    return (nats if loss_weights is None else nats * loss_weights).mean()


def dimension_loss(predictions: Sequence[torch.Tensor], dimension_labels: torch.Tensor) -> torch.Tensor:
    """Squared error of valence, arousal and so on, mean over what is known of an utterance first, summed over streams.

    The concordance correlation, by which they are scored, is a statistic of a whole batch: a loss of it would depend
    on how utterances are grouped. An utterance of which no dimension is known counts as zero.

    Args:
        predictions: of each stream, (B, K) from 0 to 1.
        dimension_labels: (B, K) from 0 to 1, NaN where not known.
    """
    is_known = ~dimension_labels.isnan()
    labels = dimension_labels.float().nan_to_num()
    return torch.stack([masked_mean((each.float() - labels) ** 2, is_known) for each in predictions]).sum()
