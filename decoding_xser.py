"""Answers under the grammar: each slot's levels are scored by the model's own likelihood, and the likeliest stands.

The levels of a slot are branches of a tree. One pass of the language model scores them all under an attention mask in
which a branch sees the prompt, the answer so far and itself; nothing is sampled, the cache is never copied, and what
comes out always parses. A score is the likelihood of a level *with what ends it*, normalised over the levels.

Shapes: B batch, Q query tokens of a slot, K tokens in the cache, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from .audio_xser import SAMPLE_RATE, list_recordings
from .configuration_xser import LANGUAGE_MODEL
from .grammar_xser import EMOTION, EMPHASIS, NO_EMPHASIS, EmotionDescription, quote
from .prosody_xser import measure
from .verification_xser import Verifier

MAX_BYTES_PER_SECOND = 40  # of transcript: twice what fast speech needs
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
    ) -> torch.Tensor:
        """Read a slot's name and all its candidate values, keep the likeliest, and return the scores.

        Args:
            literal: tokens that come before the value, the same for every row; may be empty.
            branches: for each row, its candidates' tokens; an empty candidate is the end itself.
            ends: tokens of which one must follow a value; their likelihoods add up.
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
        token_scores = log_probs.gather(1, previous.unsqueeze(-1).expand(-1, -1, log_probs.shape[-1]))
        token_scores = token_scores.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
        scores = torch.zeros(num_rows, most, device=device)
        scores.scatter_add_(1, candidate.clamp(min=0), torch.where(candidate >= 0, token_scores, 0.0))
        if ends:
            after = log_probs.gather(1, (last + 1).unsqueeze(-1).expand(-1, -1, log_probs.shape[-1]))
            scores = scores + after[..., list(ends)].logsumexp(-1)
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

    def _extend(self, language_model, ids, candidate, depth) -> torch.Tensor:
        """Put the tree's tokens into the cache; log-probabilities after the context and after each of them."""
        if ids.shape[1] == 0:
            return self.log_probs.unsqueeze(1)
        same = candidate.unsqueeze(2) == candidate.unsqueeze(1)  # (B, Q, Q)
        causal = depth.unsqueeze(2) >= depth.unsqueeze(1)
        tree = (same | (candidate == -1).unsqueeze(1)) & causal
        tree |= torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)  # padding sees itself, not nothing
        allowed = torch.cat([self.visible.unsqueeze(1).expand(-1, ids.shape[1], -1), tree], -1).unsqueeze(1)
        dtype = language_model.get_input_embeddings().weight.dtype
        mask = torch.zeros(allowed.shape, dtype=dtype, device=ids.device)
        logits = language_model(
            input_ids=ids,
            attention_mask=mask.masked_fill(~allowed, torch.finfo(dtype).min),
            position_ids=self.position.unsqueeze(1) + depth,
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return torch.cat([self.log_probs.unsqueeze(1), logits.float().log_softmax(-1)], 1)


def decode_description(
    decoding: Decoding,
    language_model,
    processor,
    slots: Sequence[str],
    words: Sequence[Sequence[str]],
    votes: Mapping[str, torch.Tensor] | None = None,
    weights: torch.Tensor | None = None,
) -> list[tuple[EmotionDescription, dict[str, dict[str, float]]]]:
    """Fill the slots one after the other.

    Args:
        slots: those the prompt asked for, in the order of the answer.
        words: for each row, the words that may be emphasised.
        votes: stream → (B, emotions) log-probabilities that have a say in the emotion.
        weights: as `vote_weights` gives them.

    Returns:
        For each row the description, and for each slot with levels its distribution over them.
    """
    schema, num_rows = processor.schema, len(words)
    levels: list[dict[str, str]] = [{} for _ in range(num_rows)]
    emphasis: list[list[str]] = [[] for _ in range(num_rows)]
    emotions: list[str | None] = [None] * num_rows
    distributions: list[dict[str, dict[str, float]]] = [{} for _ in range(num_rows)]
    for index, slot in enumerate(slots):
        literal = processor.slot_ids(slot, first=index == 0)
        ends = [processor.tokenizer.eos_token_id]
        if index + 1 < len(slots):
            ends = processor.slot_ids(slots[index + 1], first=False)[:1]
        if slot == EMPHASIS:
            emphasis = _decode_emphasis(decoding, language_model, processor, literal, ends, words)
            continue
        labels = schema.emotions if slot == EMOTION else schema.descriptors[slot]
        branches = [[processor.piece_ids(f" {label}") for label in labels]] * num_rows
        heard = tuple((votes or {}).values()) if slot == EMOTION else ()
        scores = decoding.read(language_model, literal, branches, ends, heard, weights).softmax(-1).tolist()
        for row, distribution in enumerate(scores):
            distributions[row][slot] = dict(zip(labels, distribution, strict=True))
            best = max(distributions[row][slot], key=distributions[row][slot].get)
            if slot == EMOTION:
                emotions[row] = best
            else:
                levels[row][slot] = best
    asked = EMPHASIS in slots
    return [
        (EmotionDescription(levels[row], tuple(emphasis[row]) if asked else None, emotions[row]), distributions[row])
        for row in range(num_rows)
    ]


def _decode_emphasis(decoding, language_model, processor, literal, ends, words) -> list[list[str]]:
    """No word, or one after the other of those that were said, until the model would rather go on."""
    chosen: list[list[str]] = [[] for _ in words]
    left = [list(dict.fromkeys(row)) for row in words]  # each word once, in order of speech
    none = processor.piece_ids(f" {NO_EMPHASIS}")
    branches = [[none, *(processor.piece_ids(f" {quote(word)}") for word in row)] for row in left]
    comma = processor.piece_ids(f", {quote('a')}")[:1]
    # a value may be followed by the next slot, or by a comma and a further word
    best = decoding.read(language_model, literal, branches, [*ends, *comma]).argmax(-1).tolist()
    for _ in range(MAX_EMPHASISED):
        for row, index in enumerate(best):
            if index > 0:
                chosen[row].append(left[row][index - 1])
                left[row] = left[row][index:]  # words stand in order of speech
            else:
                left[row] = []
        if not any(left):
            break
        branches = [[[], *(processor.piece_ids(f", {quote(word)}") for word in row)] for row in left]
        scores = decoding.read(language_model, [], branches, [*ends, *comma])
        best = scores.argmax(-1).tolist()
    return chosen


@torch.no_grad()
def explain(
    model,
    processor,
    audio: Sequence,
    batch_size: int = 8,
    slots: Sequence[str] | None = None,
    transcript: bool = True,
    verifier: Verifier | None = None,
    reference=None,
    aux: Mapping[str, Sequence] | None = None,
) -> list[dict]:
    """Explain recordings.

    Args:
        audio: recordings in any form that `audio_xser.load_audio` takes.
        batch_size: recordings a pass; it does not change the answers.
        slots: the slots to ask for; all of the schema's by default.
        transcript: off saves the transcription, unless emphasis is asked for, whose words come from it, or the
            model weighs the words as text (`transcript_in_prompt`).
        verifier: measures the voice, and judges the descriptors by that.
        reference: a `SpeakerProfile` for all recordings, or one or `None` for each.
        aux: name → features of each recording, for auxiliary streams (see `XSERProcessor`).

    Returns:
        For each recording `status` (`ok`, `no_speech`, `too_short`), `emotion`, `scores` (a distribution over the
        model's emotions), `descriptors` (slot → level), `emphasis` (words), `transcript`, `explanation` (a sentence).
        Where the status is not `ok`, or a slot was not asked for, the value is `None`. With a verifier also
        `verification`, as `Verifier.verify` gives it. With `emotion_votes` also `votes`, a distribution over the
        emotions by each stream alone. Where there is a reference also `speaker_reference`: of how many
        `recordings` and `seconds` it is, and a `warning` if it is plainly of another person.

    Raises:
        ValueError: a recording cannot be read or is longer than the model's limit; it is named.
    """
    slots = processor.schema.check_slots(list(slots) if slots is not None else processor.schema.slots)
    waves = [processor.load(source) for source in list_recordings(audio)]
    profiles = list(reference) if isinstance(reference, (list, tuple)) else [reference] * len(waves)
    if len(profiles) != len(waves):
        raise ValueError(f"there are {len(profiles)} references for {len(waves)} recordings")
    for name, each in (aux or {}).items():
        if len(each) != len(waves):
            raise ValueError(f"aux[{name!r}] holds features of {len(each)} recordings; there are {len(waves)}")
    statuses = [processor.status(wave) for wave in waves]
    answers = [
        dict.fromkeys(ANSWER_KEYS) | {"status": status} | ({} if profile is None else {"speaker_reference": None})
        for status, profile in zip(statuses, profiles, strict=True)
    ]
    spoken = [index for index, status in enumerate(statuses) if status == "ok"]
    training = model.training
    model.eval()
    try:
        for start in range(0, len(spoken), batch_size):
            rows = spoken[start : start + batch_size]
            batch = [(waves[index], SAMPLE_RATE) for index in rows]
            voice = {
                "reference": [profiles[index] for index in rows],
                "aux": {name: [each[index] for index in rows] for name, each in (aux or {}).items()},
            }
            given = _explain_batch(model, processor, batch, slots, transcript, voice)
            for index, answer in zip(rows, given, strict=True):
                answers[index].update(answer)
    finally:
        model.train(training)
    if verifier is not None:
        for wave, answer in zip(waves, answers, strict=True):
            claims = answer["descriptors"]
            answer["verification"] = None if claims is None else verifier.verify(claims, wave)
    return answers


ANSWER_KEYS = ("status", "emotion", "scores", "descriptors", "emphasis", "transcript", "explanation")


def _explain_batch(model, processor, batch, slots, transcript, voice) -> list[dict]:
    inputs = processor(batch, task="describe", slots=slots, **voice).to(model.device)
    input_ids, attention_mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
    streams = model.hear(input_ids, **inputs)  # once for both prompts
    frames = [processor.num_frames(len(wave)) for wave, _ in batch]
    texts = [None] * len(batch)
    if transcript or EMPHASIS in slots or processor.transcript_in_prompt:
        texts = _transcribe(model, processor, batch, frames, streams)
    if processor.transcript_in_prompt:
        prompts = processor.prompt_ids("describe", frames, slots, _aux_frames(processor, inputs), texts)
        input_ids, attention_mask = (prompts.to(model.device)[name] for name in ("input_ids", "attention_mask"))
    decoding = Decoding.start(model.language_model, model.embed_prompt(input_ids, streams), attention_mask)
    words = [[word for word in (text or "").split() if word.isprintable()] for text in texts]
    votes = model.votes(streams) if EMOTION in slots else {}
    weights = vote_weights(model.config, votes, inputs.get("knows_speaker"))
    results = decode_description(decoding, model.language_model, processor, slots, words, votes, weights)
    answers = []
    references = _check_references(batch, voice["reference"], streams)
    voted = _tell_votes(votes, processor.schema.emotions, len(batch))
    for text, (description, distributions), reference, votes in zip(texts, results, references, voted, strict=True):
        scores = distributions.get(EMOTION)
        answers.append(
            {
                "emotion": description.emotion,
                "scores": scores,
                "descriptors": description.levels,
                "emphasis": None if description.emphasis is None else list(description.emphasis),
                "transcript": text if transcript else None,
                "explanation": description.to_sentence(scores),
                **votes,
                **reference,
            }
        )
    return answers


def _aux_frames(processor, inputs) -> list[dict[str, int]]:
    """For each recording, name → frames of each auxiliary stream."""
    lengths = {name: inputs[f"aux_{name}_mask"].sum(-1).tolist() for name in processor.aux_streams}
    return [{name: int(each[row]) for name, each in lengths.items()} for row in range(len(inputs["loudness"]))]


def vote_weights(config, votes: Mapping[str, torch.Tensor], knows_speaker: torch.Tensor | None) -> torch.Tensor | None:
    """(1 + votes, B) of the language model and of each vote; `None` where all count alike.

    Args:
        knows_speaker: (B,) 1 where there is a reference; elsewhere all count alike.
    """
    if not votes or config.vote_weights is None or knows_speaker is None:
        return None
    given = [config.vote_weights[name] for name in (LANGUAGE_MODEL, *votes)]
    given = torch.tensor(given, device=knows_speaker.device).unsqueeze(1)
    return torch.where(knows_speaker.bool(), given, 1 / len(given))


def _tell_votes(votes: Mapping[str, torch.Tensor], emotions: Sequence[str], num_rows: int) -> list[dict]:
    """What each stream says of each recording's emotion; nothing where none has a say."""
    if not votes:
        return [{}] * num_rows
    said = {name: log_probs.exp().tolist() for name, log_probs in votes.items()}
    return [
        {"votes": {name: dict(zip(emotions, each[row], strict=True)) for name, each in said.items()}}
        for row in range(num_rows)
    ]


def _check_references(batch, profiles, streams) -> list[dict]:
    """What is told of each recording's reference; nothing where it has none."""
    told = []
    for row, profile in enumerate(profiles):
        if profile is None:
            told.append({})
            continue
        distance = float(streams["descriptors"].distance[row])
        warning = profile.warning(distance, measure(batch[row][0]).pitch)
        about = {"recordings": profile.num_recordings, "seconds": profile.seconds, "warning": warning}
        told.append({"speaker_reference": about})
    return told


def _transcribe(model, processor, batch, frames, streams) -> list[str]:
    """Greedy transcripts from the content stream that is already at hand."""
    prompts = processor.prompt_ids("asr", frames).to(model.device)
    # each row stops at its own length, so that its neighbours in the batch cannot change its text
    limits = [int(8 + MAX_BYTES_PER_SECOND * len(wave) / SAMPLE_RATE) for wave, _ in batch]
    ids = model.language_model.generate(
        inputs_embeds=model.embed_prompt(prompts["input_ids"], streams),
        attention_mask=prompts["attention_mask"],
        do_sample=False,
        max_new_tokens=max(limits),
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    return [processor.decode_answer(row[:limit]) for row, limit in zip(ids, limits, strict=True)]
