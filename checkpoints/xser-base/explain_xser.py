"""`model.explain`: recordings in, what each sounds like and why out.

A batch of recordings is encoded once, and its answers are decoded in one pass under the grammar (`decoding_xser`): the
transcript, unless the user or another recogniser gives it, is a slot like the others. Nothing of a call is left on the
model.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from .agreement_xser import matching_processor
from .audio_xser import SAMPLE_RATE
from .checks_xser import check_batch_size, known_options_only, one_for_each
from .configuration_xser import LANGUAGE_MODEL
from .ctc_candidates_xser import ctc_candidates
from .decoding_xser import Decoding, choose, decode_description
from .encoded_xser import EncodedAudio, listed, load, with_states
from .eval_mode_xser import in_eval_mode
from .grammar_xser import EMOTION, EMPHASIS, TRANSCRIPT
from .options_xser import refuse_unknown
from .request_xser import Request, context_of, each_request, place
from .tower_transcriber_xser import record_states
from .transcriber_xser import (
    BY_MODEL,
    GIVEN,
    Transcriber,
    Transcription,
    asked_transcriber,
    load_transcriber,
    transcribe_each,
)

ANSWER_KEYS = (
    *("status", "emotion", "scores", "descriptors", "emphasis", "transcript", "transcript_source"),
    "explanation",
)
MAX_BYTES_PER_SECOND = 40  # of transcript: twice what fast speech needs
CONTENT = "content"  # the stream of words


@known_options_only
@torch.no_grad()
def explain(
    model,
    processor,
    audio: Sequence,
    batch_size: int = 8,
    slots: Sequence[str] | None = None,
    transcript: bool | str | Sequence[str | None] = True,
    verify: bool = False,
    reference=None,
    gender: str | Sequence[str | None] | None = None,
    aux: Mapping[str, Sequence] | None = None,
    transcriber=None,
    transcriber_options: Mapping | None = None,
) -> list[dict]:
    """Explain recordings.

    The model stays in its mode, and answers as in eval mode; many threads may explain with it at once, and another may
    train it.

    Args:
        audio: a list of recordings in any form that `audio_xser.load_audio` takes, or as `model.encode` gives them.
        processor: the model's; one with the same labels in another order gives the same answers.
        batch_size: recordings a pass; it does not change the answers.
        slots: the slots to ask for; all of the model's by default.
        transcript: the words of a single recording, or a list with those of each, `None` where they are not known.
            They stand for the model's own transcript everywhere: in the answer that the model goes on from, in the
            words that may be emphasised, in `verify`, and in what is returned, as they are given. Recordings without,
            and all for `True`, are transcribed by the model. `False` asks for none, which costs nothing, unless
            emphasis is asked for, whose words come from it.
        verify: also measure the voice, and judge the descriptors by that.
        reference: of the speakers, without labels: one for all recordings, or a list with one for each. One is `None`,
            a `SpeakerProfile` or the .safetensors file it was saved to, a `Reference`, or a list of three or more
            recordings. A model made with `speaker_reference` takes profiles and recordings; `verify` takes all.
        gender: of the speakers, stands in where there is no reference: one for all recordings, or a list with one or
            `None` for each. Only with `verify`.
        aux: name → features of each recording, for auxiliary streams (see `XSERProcessor`).
        transcriber: another recogniser, whose words stand for the model's own in the answer and in what follows from
            them, where the user gives none: the id or folder of one, an `automatic-speech-recognition` pipeline, a
            function from a list of (S,) float32 waves at 16 kHz to a list of strings, or "tower" for the decoder of
            the model's own Whisper. An id is loaded at each call; `load_transcriber` gives one that stays loaded.
            `verify` does not measure by its words.
        transcriber_options: of its `generate`, such as `language` and `task`.

    Returns:
        For each recording `status` (`ok`, `no_speech`, `too_short`), `emotion`, `scores` (a distribution over the
        model's emotions), `descriptors` (slot → level), `emphasis` (words), `transcript`, `transcript_source`
        (`model`, `given` or `transcriber NAME`), `explanation` (a sentence).
        Where the status is not `ok`, or a slot was not asked for, the value is `None`. Where the transcriber fails on
        a recording, its status is `error`, and `error` says why; the others are answered. With `verify` also
        `verification`, as `Verifier.verify` gives it. With `dimensions` also those, name → number from 0 to 1. With
        `emotion_votes` also `votes`, a distribution over the
        emotions by each stream alone. Where the model takes a reference of the recording's speaker also
        `speaker_reference`: of how many `recordings` and `seconds` it is, and a `warning` if it is plainly of another
        person.

    Raises:
        AudioError: a recording cannot be read or is longer than the model's limit; it is named.
        ValueError: an option is not right or would be ignored, the processor is of another model, or the transcriber
            gives no list with one for each; they are named.
    """
    processor = matching_processor(processor, model.config)
    batch_size = check_batch_size(batch_size)
    slots = _slots_asked(processor.schema, slots, transcript)
    sources = listed(audio)
    places = [place(index, source) for index, source in enumerate(sources)]
    requests = each_request(model, processor, places, transcript, verify, reference, gender)
    aux = _aux_of_each(processor, aux, len(sources))
    transcriber = asked_transcriber(transcriber, transcriber_options, transcript, partial(load_transcriber, model))
    recordings = [load(processor, source) for source in sources]
    answers = [
        empty_answer(recording.status, request, model.config)
        for recording, request in zip(recordings, requests, strict=True)
    ]
    spoken = [index for index, each in enumerate(recordings) if each.status == "ok"]
    evaluated = in_eval_mode(model)
    last_states = record_states(evaluated) if transcriber is not None and transcriber.reads_states else None
    for start in range(0, len(spoken), batch_size):
        rows = spoken[start : start + batch_size]
        batch = with_states(evaluated, processor, [recordings[index] for index in rows], last_states)
        features = {name: [each[index] for index in rows] for name, each in aux.items()}
        asked = [requests[index] for index in rows]
        given = _explain_batch(evaluated, processor, batch, slots, asked, features, transcriber)
        for recording, index, answer in zip(batch, rows, given, strict=True):
            answers[index].update(answer)
            claims, request = answer["descriptors"], requests[index]
            if request.verifier is not None and claims is not None:
                verified = request.verifier.verify(claims, recording.wave, request.words, prosody=recording.prosody)
                answers[index]["verification"] = verified
    return answers


def _slots_asked(schema, slots: Sequence[str] | None, transcript) -> list[str]:
    """The slots of the answer; `transcript` decides on its own slot, which emphasis needs."""
    asked = schema.check_slots(schema.slots if slots is None else slots)
    if not schema.transcript:
        return asked
    if slots is not None and TRANSCRIPT in asked and transcript is False:
        raise ValueError(f"slots {asked} asks for the transcript, but transcript is False: leave one of them out")
    is_wanted = EMPHASIS in asked or transcript is not False
    return schema.check_slots([*(slot for slot in asked if slot != TRANSCRIPT), *([TRANSCRIPT] if is_wanted else [])])


def empty_answer(status: str, request: Request, config) -> dict:
    """All keys of an answer to `request`, with nothing but the status."""
    keys = (*ANSWER_KEYS, *(["verification"] if request.verifier is not None else []))
    keys += ("dimensions",) if config.dimensions else ()
    keys += ("speaker_reference",) if request.profile(config) is not None else ()
    return {**dict.fromkeys(keys), "status": status}


def _aux_of_each(processor, aux, count: int) -> dict[str, list]:
    aux = dict(aux or {})
    refuse_unknown(aux, processor.aux_streams, "aux")
    return {name: one_for_each(f"aux[{name!r}]", each, count) for name, each in aux.items()}


def _explain_batch(
    model,
    processor,
    batch: Sequence[EncodedAudio],
    slots,
    requests: Sequence[Request],
    aux,
    transcriber: Transcriber | None,
) -> list[dict]:
    profiles = [request.profile(model.config) for request in requests]
    sizes = {name: processor.aux_streams[name]["size"] for name in processor.measured_streams(aux)}
    aux = aux | {name: [each.features(name, size) for each in batch] for name, size in sizes.items()}
    encoded = [(each.states, each.loudness) for each in batch]
    inputs = processor(None, task="describe", slots=slots, reference=profiles, aux=aux, heard=encoded)
    inputs = inputs.to(model.device)
    input_ids, attention_mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
    streams = model.hear(input_ids, **inputs)
    words = _words_of_each(model, processor, batch, requests, transcriber)
    texts = [each.text if each.error is None else "" for each in words]  # a row that fails costs no words
    # each row stops at its own length, so that its neighbours in the batch cannot change its text
    limits = [int(8 + MAX_BYTES_PER_SECOND * len(each.wave) / SAMPLE_RATE) for each in batch]
    decoding = Decoding.start(model.language_model, model.embed_prompt(input_ids, streams), attention_mask)
    votes = model.votes(streams) if EMOTION in slots else {}
    weights = vote_weights(model.config, votes, inputs.get("knows_speaker"))
    heads = {EMOTION: [*votes.values()], **model.level_ensemble(streams)}
    candidates, share = None, model.config.ctc_share
    if share and TRANSCRIPT in slots:
        candidates = ctc_candidates(model, processor, streams[CONTENT], [text is None for text in texts])
    results = decode_description(
        decoding, model.language_model, processor, slots, texts, limits, heads, weights, candidates, share
    )
    if TRANSCRIPT in slots:
        own = [description.transcript for description, _ in results]
    else:
        wanted = [each.source == BY_MODEL for each in words]
        own = _transcribe(model, processor, batch, limits, streams, wanted)
    voted = _tell_votes(votes, processor.schema.emotions, len(batch))
    dimensions = _dimensions_of_each(model, streams, len(batch))
    answers = []
    for row, (description, distributions) in enumerate(results):
        if words[row].error is not None:
            answers.append({**empty_answer("error", requests[row], model.config), "error": words[row].error})
            continue
        scores = distributions.get(EMOTION)
        answers.append(
            {
                "emotion": description.emotion,
                "scores": scores,
                "descriptors": description.levels,
                "emphasis": None if description.emphasis is None else list(description.emphasis),
                "transcript": own[row] if words[row].source == BY_MODEL else texts[row],
                "transcript_source": words[row].source,
                "explanation": description.to_sentence(scores),
                **voted[row],
                **dimensions[row],
                **_check_reference(batch[row], profiles[row], streams, row),
            }
        )
    return answers


def _words_of_each(
    model, processor, batch: Sequence[EncodedAudio], requests: Sequence[Request], transcriber: Transcriber | None
) -> list[Transcription]:
    """What is known of each recording's words before the model answers, and who knows them."""
    words = [
        Transcription(request.words, (GIVEN if request.words else BY_MODEL) if request.transcript else None)
        for request in requests
    ]
    rows = [] if transcriber is None else [row for row, each in enumerate(words) if each.source == BY_MODEL]
    if rows:
        check = partial(processor.check_transcript, context=context_of(model.config))
        waves, states = [batch[row].wave for row in rows], [batch[row].last_state for row in rows]
        last = None if any(state is None for state in states) else torch.stack(states)
        found = transcribe_each(transcriber, waves, last, check)
        for row, each in zip(rows, found, strict=True):
            words[row] = each
    return words


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


def _dimensions_of_each(model, streams, num_rows: int) -> list[dict]:
    """Valence, arousal and so on of each recording; nothing of a model that does not predict them."""
    if model.dimension_head is None:
        return [{}] * num_rows
    mean = torch.stack([*model.dimension_head(streams).values()]).mean(0)
    return [{"dimensions": dict(zip(model.config.dimensions, row, strict=True))} for row in mean.tolist()]


def _check_reference(recording: EncodedAudio, profile, streams, row: int) -> dict:
    """What is said of a recording's reference; nothing where it has none."""
    if profile is None:
        return {}
    warning = profile.warning(float(streams["descriptors"].distance[row]), recording.prosody.pitch)
    about = {"recordings": profile.num_recordings, "seconds": profile.seconds, "warning": warning}
    return {"speaker_reference": about}


def _transcribe(model, processor, batch, limits, streams, wanted: Sequence[bool]) -> list[str | None]:
    """Transcripts by the prompt of ASR, of a model whose answers hold none, from the content stream at hand."""
    if not any(wanted):
        return [None] * len(wanted)
    frames = [len(each.states) for each in batch]
    prompts = processor.prompt_ids("asr", frames).to(model.device)
    embeds = model.embed_prompt(prompts["input_ids"], {CONTENT: streams[CONTENT]})
    decoding = Decoding.start(model.language_model, embeds, prompts["attention_mask"])
    end, skip = processor.tokenizer.eos_token_id, [not each for each in wanted]
    if model.config.ctc_share:
        candidates = ctc_candidates(model, processor, streams[CONTENT], [True] * len(wanted))
        branches = [[processor.answer_ids(text) for text, _ in row] for row in candidates]
        share = model.config.ctc_share
        found = choose(decoding, model.language_model, [], branches, [end], candidates, share)
        return [text if each else None for text, each in zip(found, wanted, strict=True)]
    rows = decoding.write(model.language_model, processor.any_text_rule, end, limits, skip)
    return [processor.decode_answer(ids) if each else None for ids, each in zip(rows, wanted, strict=True)]


__all__ = ["ANSWER_KEYS", "empty_answer", "explain"]
