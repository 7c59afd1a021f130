"""Answers under the grammar, in one pass: the transcript greedily, then each slot given what stands before it.

The levels of a slot are branches of a tree. One pass of the language model scores them all under an attention mask in
which a branch sees the prompt, the answer so far and itself; nothing is sampled, the cache is never copied, and what
comes out always parses: a transcript holds nothing but text until its closing quote. A score is the likelihood of a
level *with what ends it*, normalised over the levels; the likeliest stands.

Shapes: B batch, Q query tokens of a slot, K tokens in the cache, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from .answers_xser import CLOSING, OPENING, TextRule
from .bottleneck_xser import compute_dtype
from .ctc_candidates_xser import Candidates
from .grammar_xser import EMOTION, EMPHASIS, OWN_SLOTS, TRANSCRIPT, EmotionDescription, escape, one_line, quote

MAX_EMPHASISED = 8


@dataclass
class Decoding:
    """An answer in progress: the cache, what of it each row may see, and the next token's distribution."""

    cache: DynamicCache
    visible: torch.Tensor  # (B, K) bool: prompt, literals and chosen branches, not padding nor branches left behind
    position: torch.Tensor  # (B,) of the next token
    log_probs: torch.Tensor  # (B, V) of the next token

    @classmethod
    def start(cls, language_model, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> "Decoding":
        """Read left-padded prompts, (B, P, D) and (B, P)."""
        cache = DynamicCache()
        logits = language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=(attention_mask.long().cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return cls(cache, attention_mask.bool(), attention_mask.long().sum(-1), logits[:, -1].float().log_softmax(-1))

    def read(
        self,
        language_model,
        literal: Sequence[int],
        branches: Sequence[Sequence[Sequence[int]]],
        ends: Sequence[int],
        votes: Sequence[torch.Tensor] = (),
        weights: torch.Tensor | None = None,
        first_ends: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Read a slot's name and all its candidate values, keep the likeliest, and return the scores.

        Args:
            literal: tokens that come before the value, the same for every row; may be empty.
            branches: for each row, its candidates' tokens; an empty candidate is the end itself.
            ends: tokens of which one must follow a value; their likelihoods add up.
            first_ends: the same of the first candidate, where they are others.
            votes: (B, candidates) log-probabilities of others who have a say. With them the scores are a logarithmic
                opinion pool (Genest and Zidek 1986): the mean of all log-probabilities, the language model's too.
            weights: (1 + votes, B) of the language model and of each vote, instead of the mean's.

        Returns:
            (B, most candidates) log-likelihoods, -inf where a row has fewer.
        """
        device = self.visible.device
        num_rows, num_literal = len(branches), len(literal)
        width = num_literal + max(sum(map(len, row)) for row in branches)
        most = max(map(len, branches))
        # every query token: its id, its candidate (-1 literal, -2 padding), its depth, and where its prediction stands
        ids = torch.zeros(num_rows, width, dtype=torch.long)
        candidate = torch.full((num_rows, width), -2)
        depth = torch.zeros(num_rows, width, dtype=torch.long)
        last = torch.full((num_rows, most), num_literal - 1)  # the last token of each candidate; -1 is the context
        exists = torch.zeros(num_rows, most, dtype=torch.bool)
        ids[:, :num_literal] = torch.tensor(literal, dtype=torch.long)
        candidate[:, :num_literal] = -1
        depth[:, :num_literal] = torch.arange(num_literal)
        for row, candidates in enumerate(branches):
            at = num_literal
            for index, tokens in enumerate(candidates):
                exists[row, index] = True
                if tokens:
                    span = slice(at, at + len(tokens))
                    ids[row, span] = torch.tensor(tokens)
                    candidate[row, span] = index
                    depth[row, span] = num_literal + torch.arange(len(tokens))
                    at += len(tokens)
                    last[row, index] = at - 1
        ids, candidate, depth, last = (tensor.to(device) for tensor in (ids, candidate, depth, last))

        log_probs = self._extend(language_model, ids, candidate, depth)  # (B, 1 + Q, V); row 0: after the context
        # likelihood of each branch token: predicted by its predecessor, for the first of a branch the literal's end
        starts = torch.cat(
            [torch.ones_like(candidate[:, :1], dtype=torch.bool), candidate[:, 1:] != candidate[:, :-1]], 1
        )
        order = torch.arange(width, device=device).expand_as(ids)
        previous = torch.where(starts & (candidate >= 0), num_literal, order)
        rows = torch.arange(num_rows, device=device).unsqueeze(1)
        token_scores = log_probs[rows, previous, ids]
        scores = torch.zeros(num_rows, most, device=device)
        scores.scatter_add_(1, candidate.clamp(min=0), torch.where(candidate >= 0, token_scores, 0.0))
        if ends:
            after = log_probs[rows, last + 1]
            scores = scores + after[..., list(ends)].logsumexp(-1)
            if first_ends is not None:
                own = after[:, 0, list(first_ends)].logsumexp(-1) - after[:, 0, list(ends)].logsumexp(-1)
                scores[:, 0] = scores[:, 0] + own
        scores = scores.masked_fill(~exists.to(device), -torch.inf)
        if votes:
            opinions = torch.stack([scores.log_softmax(-1), *votes])
            scores = opinions.mean(0) if weights is None else (weights.unsqueeze(-1) * opinions).sum(0)

        best = scores.argmax(-1, keepdim=True)  # (B, 1)
        kept = (candidate == -1) | (candidate == best)
        self.visible = torch.cat([self.visible, kept], 1)
        self.position = self.position + kept.sum(-1)
        after_best = last.gather(1, best) + 1
        self.log_probs = log_probs.gather(1, after_best.unsqueeze(-1).expand(-1, -1, log_probs.shape[-1])).squeeze(1)
        return scores

    def write(
        self, language_model, rule: TextRule, end: int, limits: Sequence[int], skip: Sequence[bool] | None = None
    ) -> list[list[int]]:
        """Write text greedily, token by token, until `end` would follow, which is not written.

        Args:
            rule: which tokens may follow.
            limits: for each row, how many tokens it may write.
            skip: rows that write nothing.

        Returns:
            For each row the tokens that it wrote.
        """
        device, width = self.visible.device, self.log_probs.shape[-1]
        allowed, opens_escape = (_widened(each, width, device) for each in (rule.allowed, rule.opens_escape))
        allowed[0, end] = True
        limits = torch.tensor(limits, device=device)
        active = torch.ones_like(limits, dtype=torch.bool)
        if skip is not None:
            active &= ~torch.tensor(skip, device=device)
        state, written, is_written = torch.zeros_like(limits), [], []
        while True:
            token = self.log_probs.masked_fill(~allowed[state], -torch.inf).argmax(-1)
            active = active & (token != end) & (len(written) < limits)
            if not active.any():
                break
            self._append(language_model, token, active)
            state = opens_escape[state, token].long()
            written.append(token)
            is_written.append(active)
        if not written:
            return [[] for _ in limits]
        rows = zip(torch.stack(written, 1).tolist(), torch.stack(is_written, 1).tolist(), strict=True)
        return [[token for token, real in zip(*row, strict=True) if real] for row in rows]

    def _append(self, language_model, token: torch.Tensor, active: torch.Tensor) -> None:
        """One more token, (B,), for the rows that are `active`, (B,)."""
        itself = torch.ones_like(active)  # a row that is done sees its padding, not nothing
        allowed = torch.cat([self.visible, itself.unsqueeze(1)], 1).view(len(token), 1, 1, -1)
        logits = self._call(language_model, token.unsqueeze(1), allowed, self.position.unsqueeze(1))[:, -1]
        self.log_probs = torch.where(active.unsqueeze(1), logits.float().log_softmax(-1), self.log_probs)
        self.visible = torch.cat([self.visible, active.unsqueeze(1)], 1)
        self.position = self.position + active.long()

    def _extend(self, language_model, ids, candidate, depth) -> torch.Tensor:
        """Put the tree's tokens into the cache; log-probabilities after the context and after each of them."""
        if ids.shape[1] == 0:
            return self.log_probs.unsqueeze(1)
        same = candidate.unsqueeze(2) == candidate.unsqueeze(1)  # (B, Q, Q)
        causal = depth.unsqueeze(2) >= depth.unsqueeze(1)
        tree = (same | (candidate == -1).unsqueeze(1)) & causal
        tree |= torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)  # padding sees itself, not nothing
        allowed = torch.cat([self.visible.unsqueeze(1).expand(-1, ids.shape[1], -1), tree], -1).unsqueeze(1)
        logits = self._call(language_model, ids, allowed, self.position.unsqueeze(1) + depth)
        return torch.cat([self.log_probs.unsqueeze(1), logits.float().log_softmax(-1)], 1)

    def _call(self, language_model, ids, allowed, position_ids) -> torch.Tensor:
        """Logits (B, Q, V) of tokens that see what is `allowed`, (B, 1, Q, K + Q)."""
        dtype = compute_dtype(language_model)
        mask = torch.zeros(allowed.shape, dtype=dtype, device=ids.device)
        return language_model(
            input_ids=ids,
            attention_mask=mask.masked_fill(~allowed, torch.finfo(dtype).min),
            position_ids=position_ids,
            past_key_values=self.cache,
            use_cache=True,
        ).logits


def _widened(rule: np.ndarray, width: int, device) -> torch.Tensor:
    """(2, V) of the tokenizer's vocabulary to (2, width) of the language model's; placeholders beyond it fall away."""
    rule = torch.from_numpy(rule[:, :width]).to(device)
    return nn.functional.pad(rule, (0, width - rule.shape[1]))


def decode_description(
    decoding: Decoding,
    language_model,
    processor,
    slots: Sequence[str],
    transcripts: Sequence[str | None],
    limits: Sequence[int],
    heads: Mapping[str, Sequence[torch.Tensor]] | None = None,
    weights: torch.Tensor | None = None,
    candidates: Sequence[Candidates] | None = None,
    ctc_share: float = 0.0,
) -> list[tuple[EmotionDescription, dict[str, dict[str, float]]]]:
    """Fill the slots one after the other.

    Args:
        slots: those the prompt asked for, in the order of the answer.
        transcripts: for each row, the words that the user gives, which are forced; else the model writes its own.
        limits: for each row, how many tokens a transcript of its own may have.
        heads: slot → (B, values) log-probabilities of each head that is pooled with the language model there.
        weights: of the emotion's, as `vote_weights` gives them.
        candidates: of each row's transcript, under CTC; without them the language model writes it.
        ctc_share: weight of CTC's log-likelihood of each, and one less it that of the language model's.

    Returns:
        For each row the description, and for each slot with levels its distribution over them.
    """
    schema, form, num_rows = processor.schema, processor.form, len(transcripts)
    values: list[dict[str, object]] = [{} for _ in range(num_rows)]
    distributions: list[dict[str, dict[str, float]]] = [{} for _ in range(num_rows)]
    pending: list[int] = []  # what closes a transcript is read with the literal after it
    for index, slot in enumerate(slots):
        literal = pending + processor.piece_ids(form.literal(slots, index))
        after = form.literal(slots, index + 1)
        ends = processor.piece_ids(after)[:1] if after else [processor.tokenizer.eos_token_id]
        pending = []
        if slot == TRANSCRIPT:
            literal = literal + processor.piece_ids(OPENING)
            if candidates is None:
                found = _decode_transcripts(decoding, language_model, processor, literal, transcripts, limits)
            else:
                given = zip(transcripts, candidates, strict=True)
                choices = [row if text is None else [(one_line(text), 0.0)] for text, row in given]
                branches = [[processor.answer_ids(escape(text)) for text, _ in row] for row in choices]
                closing = processor.piece_ids(CLOSING)
                found = choose(decoding, language_model, literal, branches, closing, choices, ctc_share)
            pending = processor.piece_ids(CLOSING)
        elif slot == EMPHASIS:
            words = [processor.emphasisable(row[TRANSCRIPT]) for row in values]
            found = _decode_emphasis(decoding, language_model, processor, literal, ends, words)
        else:
            labels = schema.emotions if slot == EMOTION else schema.descriptors[slot]
            branches = [[processor.piece_ids(form.value(slots, index, label)) for label in labels]] * num_rows
            pooled = tuple((heads or {}).get(slot, ()))
            of_slot = weights if slot == EMOTION else None
            scores = decoding.read(language_model, literal, branches, ends, pooled, of_slot).softmax(-1).tolist()
            found = []
            for row, distribution in enumerate(scores):
                distributions[row][slot] = dict(zip(labels, distribution, strict=True))
                found.append(max(distributions[row][slot], key=distributions[row][slot].get))
        for row, value in zip(values, found, strict=True):
            row[slot] = value
    return [(_description(row), each) for row, each in zip(values, distributions, strict=True)]


def _description(values: dict) -> EmotionDescription:
    own = {slot: values.get(slot) for slot in OWN_SLOTS}
    return EmotionDescription({slot: value for slot, value in values.items() if slot not in OWN_SLOTS}, **own)


def _decode_transcripts(decoding, language_model, processor, literal, transcripts, limits) -> list[str]:
    """The transcript of each row: the user's, or what the language model writes between quotes."""
    given = [[] if text is None else processor.answer_ids(escape(one_line(text))) for text in transcripts]
    decoding.read(language_model, literal, [[ids] for ids in given], ends=())
    [end] = processor.piece_ids(CLOSING)
    skip = [text is not None for text in transcripts]
    written = decoding.write(language_model, processor.text_rule, end, limits, skip)
    return [
        processor.decode_text(ids) if text is None else one_line(text)
        for text, ids in zip(transcripts, written, strict=True)
    ]


def choose(
    decoding: Decoding,
    language_model,
    literal: Sequence[int],
    branches: Sequence[Sequence[Sequence[int]]],
    ends: Sequence[int],
    candidates: Sequence[Candidates],
    ctc_share: float,
) -> list[str]:
    """The candidate of each row that CTC and the language model together find likeliest.

    A candidate is a branch of the tree, like a level: one pass scores them all.

    Args:
        literal, branches, ends: as `Decoding.read` takes them, a branch for each candidate.
        candidates: of each row, one at least.
        ctc_share: as in `decode_description`.
    """
    by_ctc = torch.full((len(candidates), max(map(len, candidates))), -torch.inf, device=decoding.visible.device)
    for row, found in enumerate(candidates):
        by_ctc[row, : len(found)] = torch.tensor([score for _, score in found])
    weights = torch.tensor([[1 - ctc_share], [ctc_share]], device=by_ctc.device)
    best = decoding.read(language_model, literal, branches, ends, [by_ctc], weights).argmax(-1).tolist()
    return [found[index][0] for found, index in zip(candidates, best, strict=True)]


def _decode_emphasis(decoding, language_model, processor, literal, ends, words) -> list[tuple[str, ...]]:
    """No word, or one after the other of those that were said, until the model would rather go on."""
    chosen: list[list[str]] = [[] for _ in words]
    left = [list(dict.fromkeys(row)) for row in words]  # each word once, in order of speech
    none, separator = processor.piece_ids(processor.form.no_emphasis), processor.form.word_separator
    further = processor.piece_ids(f"{separator}{quote('a')}")[:1]
    branches = [[none, *(processor.piece_ids(f" {quote(word)}") for word in row)] for row in left]
    # a word may be followed by what comes after the slot, or by a further word; "none" by the first alone
    options = {"ends": [*ends, *further], "first_ends": ends}
    best = decoding.read(language_model, literal, branches, **options).argmax(-1).tolist()
    for _ in range(MAX_EMPHASISED):
        for row, index in enumerate(best):
            if index > 0:
                chosen[row].append(left[row][index - 1])
                left[row] = left[row][index:]  # words stand in order of speech
            else:
                left[row] = []
        if not any(left):
            break
        branches = [[[], *(processor.piece_ids(f"{separator}{quote(word)}") for word in row)] for row in left]
        best = decoding.read(language_model, [], branches, **options).argmax(-1).tolist()
    return [tuple(row) for row in chosen]


__all__ = ["Decoding", "choose", "decode_description"]
