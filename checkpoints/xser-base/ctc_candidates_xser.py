"""The likeliest transcripts under CTC, among which the language model chooses: hybrid CTC/attention decoding.

CTC spells frame by frame and knows no words; a language model knows words and reads the audio through a narrow
adapter. CTC's candidates are scored by both, and the weighted sum decides (Watanabe et al. 2017, "Hybrid CTC/Attention
Architecture for End-to-End Speech Recognition"; here the language model stands in the place of attention). They come
from a prefix beam search (Graves 2012; Hannun et al. 2014).

Shapes: T frames, U CTC units.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from .losses_xser import BLANK

NUM_CANDIDATES = 16
BEAM = 32  # prefixes that are kept from frame to frame
LEAST = 1e-3  # probability of a unit in a frame below which no prefix is extended by it
BLANK_ALONE = 0.999  # probability of the blank above which a frame changes no prefix

Candidates = list[tuple[str, float]]  # texts and their log-likelihoods under CTC, the likeliest first


def ctc_text(text: str) -> str:
    """What CTC spells of a transcript in bytes: lower case, no punctuation but apostrophes.

    Neither is spoken. A capital is another unit to CTC, and a rare one: the first word of a sentence would be mistaken
    more often than others.
    """
    text = unicodedata.normalize("NFC", text.lower().replace("’", "'"))
    kept = (char if char.isalnum() or char == "'" or unicodedata.category(char)[0] == "M" else " " for char in text)
    return " ".join("".join(kept).split())


def beam_search(log_probs: np.ndarray, number: int = NUM_CANDIDATES) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest sequences of units of one recording, and their log-likelihoods, the likeliest first.

    Args:
        log_probs: (T, U + 1) of each frame's units; the blank comes first.
        number: how many, at most.
    """
    # prefix → log-likelihoods of the alignments that end in a blank, and of those that end in its last unit
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for frame in log_probs.astype(np.float64):
        if frame[BLANK] > np.log(BLANK_ALONE):
            beam = {prefix: (np.logaddexp(*ends) + frame[BLANK], -np.inf) for prefix, ends in beam.items()}
            continue
        units = np.flatnonzero(frame > np.log(LEAST))
        steps = [(int(unit) - 1, float(frame[unit])) for unit in units if unit != BLANK]
        longer: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (in_blank, in_unit) in beam.items():
            either = np.logaddexp(in_blank, in_unit)
            same = longer[prefix]
            same[0] = np.logaddexp(same[0], either + frame[BLANK])
            for unit, step in steps:
                repeats = bool(prefix) and prefix[-1] == unit
                if repeats:  # the same unit goes on; a second one needs a blank between
                    same[1] = np.logaddexp(same[1], in_unit + step)
                extended = longer[*prefix, unit]
                extended[1] = np.logaddexp(extended[1], (in_blank if repeats else either) + step)
        best = sorted(longer.items(), key=lambda item: -np.logaddexp(*item[1]))[:BEAM]
        beam = {prefix: (ends[0], ends[1]) for prefix, ends in best}
    ranked = [(prefix, float(np.logaddexp(*ends))) for prefix, ends in beam.items()]
    return sorted(ranked, key=lambda item: -item[1])[:number]


def spelled(processor, units: Sequence[int]) -> str:
    """The text of CTC's units: bytes of UTF-8, of which broken ones are left out, or tokens."""
    is_token = processor.ctc_unit == "token"
    text = processor.decode_answer(list(units)) if is_token else bytes(units).decode(errors="ignore")
    return " ".join(text.split())


@torch.no_grad()
def ctc_candidates(model, processor, content, wanted: Sequence[bool]) -> list[Candidates]:
    """Candidates for the transcript of each recording, each text once; none for a recording that is not `wanted`.

    Args:
        content: the `StreamOutput` of the content stream.
    """
    log_probs = model.ctc_head(content.bottleneck.z).float().log_softmax(-1).cpu().numpy()
    lengths = content.frame_mask.sum(-1).tolist()
    found: list[Candidates] = []
    for frames, length, is_wanted in zip(log_probs, lengths, wanted, strict=True):
        texts: dict[str, float] = {}
        for units, score in beam_search(frames[:length]) if is_wanted else ():
            text = spelled(processor, units)
            texts[text] = float(np.logaddexp(texts.get(text, -np.inf), score))
        found.append(sorted(texts.items(), key=lambda item: -item[1]))
    return found


__all__ = ["Candidates", "beam_search", "ctc_candidates", "ctc_text", "spelled"]
