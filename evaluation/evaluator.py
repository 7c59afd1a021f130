"""evaluate_model: a model's figures on one data set, each with the number of utterances behind it."""

import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version

import datasets
import numpy as np
from tqdm import tqdm

from xser.agreement_xser import matching_processor
from xser.audio_xser import SAMPLE_RATE
from xser.checks_xser import check_batch_size
from xser.corpora.espeak import bayes_emotion, ceiling
from xser.evaluation.captions import Captioner
from xser.evaluation.conditions import AS_RECORDED, CONDITIONS, perturb
from xser.evaluation.edits import TextNormalizer
from xser.evaluation.predictions import reference_of
from xser.evaluation.ratings import score_dimensions, score_ratings
from xser.evaluation.references import SpeakerProfiles, parse_reference, told_reference
from xser.evaluation.scoring import score, wording
from xser.grammar_xser import AGE, EMOTION, GENDER, TRANSCRIPT, EmotionDescription, LabelSchema
from xser.training.metrics import metric
from xser.transcriber_xser import asked_transcriber, load_transcriber

SAMPLE_SEED = 0  # of the sample that `limit` draws


def evaluate_model(
    model,
    processor,
    dataset: datasets.Dataset,
    batch_size: int = 32,
    limit: int | None = None,
    condition: str = AS_RECORDED,
    progress: bool = True,
    reference: str | int | None = None,
    slots: Sequence[str] | None = None,
    transcriber=None,
    transcriber_options: Mapping | None = None,
    normalizer: TextNormalizer | None = None,
    verify: bool = False,
) -> tuple[dict, list[dict]]:
    """Explain every row of `dataset` and compare with what is known of it.

    Args:
        model: an `XSERForEmotionDescription`.
        processor: its `XSERProcessor`.
        dataset: rows of the one schema (`xser.corpora.schema.FEATURES`).
        batch_size: recordings explained at once; answers do not depend on it.
        limit: how many rows to evaluate, drawn at random under a fixed seed; `None` for all.
        condition: what is done to the recordings before, one of `conditions.CONDITIONS`.
        progress: show a bar.
        reference: what voices are heard relative to: "all" of the speaker's recordings, or so many of them (see
            `references`); `None` for nothing but the training data.
        slots: the answer's slots to ask for, the emotion among them; what the data set knows by default.
        transcriber, transcriber_options: another recogniser for the words, as of `explain`.
        normalizer: of texts, before words are compared; as they are written by default.
        verify: also hold the levels of every answer against what is measured; see `claims`.

    Returns:
        The figures (accuracies and rates from 0 to 1, `None` where no row has what it takes):
            n: utterances evaluated.
            all that `scoring.score` gives: ua, wa, macro_f1, wer, descriptors, ece, … with intervals and gaps.
            dimensions, ratings: how near to what raters said, as `ratings` gives it; `None` without.
            wording: ROUGE-L, METEOR and BLEU of the descriptors as a sentence.
            ua_ceiling: the UA that the best possible guess from everything audible reaches over the whole corpus, and
            ua_bayes: over these very rows; both known for `espeak` alone.
            speaker_reference: what voices were heard relative to, as a sentence.
            slots: what was asked for: what the data set knows of some row, as training asks for what a row knows.
            transcriber: its name, with transcriber_options; `None` where the model's own words were measured.
            status: how often each status came; left_out: rows that could not be evaluated, each with its reason.
            speech_seconds, wall_seconds, versions: what it took.
        and one prediction a row, in the order of `dataset`: `id`, `reference` and the explanation's own fields.

    Raises:
        ValueError: `limit` or `batch_size` is below 1, `slots` are not the model's or lack the emotion, the processor
            is another model's, there is a transcriber and no words are asked for, or no row could be evaluated.
    """
    given = (dataset, batch_size, limit, condition, progress, [reference], slots, transcriber)
    [found] = evaluate_references(model, processor, *given, transcriber_options, normalizer, verify)
    return found


def evaluate_references(
    model,
    processor,
    dataset: datasets.Dataset,
    batch_size: int = 32,
    limit: int | None = None,
    condition: str = AS_RECORDED,
    progress: bool = True,
    references: Sequence[str | int | None] = (None,),
    slots: Sequence[str] | None = None,
    transcriber=None,
    transcriber_options: Mapping | None = None,
    normalizer: TextNormalizer | None = None,
    verify: bool = False,
) -> list[tuple[dict, list[dict]]]:
    """What `evaluate_model` gives with each of some references; a recording is encoded once for all of them.

    Args:
        references: each as `reference` there; the other arguments are the same. `wall_seconds` is of all together.
    """
    check_batch_size(batch_size)
    processor = matching_processor(processor, model.config)
    if condition not in CONDITIONS:
        raise ValueError(f"condition is {condition!r}; it must be one of {list(CONDITIONS)}")
    dataset = sampled(dataset, limit)
    started = time.perf_counter()
    answers, left_out, speech_seconds = [{} for _ in references], [[] for _ in references], 0.0
    schema, transcribe = processor.schema, any(text is not None for text in dataset["text"])
    if slots is None:
        asked = _known_slots(dataset, schema)
    else:
        asked, schema = schema.check_slots(slots), schema.only(slots)
        transcribe = TRANSCRIPT in asked
        if EMOTION not in asked:
            raise ValueError(f"slots {asked} lack {EMOTION!r}, which every evaluation is of: add it")
    if transcriber is not None and not transcribe:
        if slots is not None:
            raise ValueError(f"slots {asked} lack {TRANSCRIPT!r}, which the transcriber fills: add it")
        transcribe = True  # for what is conditioned on words
    load = partial(load_transcriber, model)
    transcriber = asked_transcriber(transcriber, transcriber_options, transcribe, load)
    also = {} if transcriber is None else {"transcriber": transcriber}
    if verify:  # which a classifier does not know
        also["verify"] = True
    profiles = _profiles_of_each(model, processor, dataset, references, verify)
    with tqdm(total=len(dataset), unit="utterance", desc="explaining", disable=not progress) as bar:
        for batch in _batches(dataset, batch_size):
            rows, waves = [], []
            for index, row in batch:
                try:
                    known = processor.schema.describe(row)
                    wave = perturb(processor.load(row["audio"]), condition, row["id"])
                except ValueError as error:  # AudioError is one
                    for each in left_out:
                        each.append({"id": row["id"], "reason": str(error)})
                else:
                    rows.append((index, row, known))
                    waves.append((wave, SAMPLE_RATE))
            if waves:
                is_shared = len(references) > 1
                recordings = model.encode(waves, processor, batch_size=batch_size) if is_shared else waves
                for of_rows, answered, missing in zip(profiles, answers, left_out, strict=True):
                    explained = model.explain(
                        recordings,
                        processor,
                        batch_size=batch_size,
                        slots=asked,
                        transcript=transcribe,
                        reference=[of_rows.get(row["id"]) for _, row, _ in rows],
                        **also,
                    )
                    for (index, row, known), answer in zip(rows, explained, strict=True):
                        if answer["status"] == "error":
                            missing.append({"id": row["id"], "reason": answer["error"]})
                        else:
                            answered[index] = row, known, answer
                speech_seconds += sum(len(wave) for wave, _ in waves) / SAMPLE_RATE
            bar.update(len(batch))
    about = {
        "transcriber": None if transcriber is None else transcriber.name,
        "transcriber_options": dict(getattr(transcriber, "options", {})),
        "speech_seconds": round(speech_seconds, 1),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("xser", "torch", "transformers")},
        },
    }
    captioner = Captioner(dataset, processor.schema) if slots is None else None
    return [
        _figures(dataset, answered, missing, captioner, asked, schema, normalizer, told_reference(reference), about)
        for reference, answered, missing in zip(references, answers, left_out, strict=True)
    ]


def _profiles_of_each(model, processor, dataset, references: Sequence, verify: bool) -> list[dict]:
    """For each reference, id → profile; nothing where there is none."""
    for reference in references:
        if reference is not None:
            parse_reference(reference)  # before anything is encoded
    if all(reference is None for reference in references):
        return [{} for _ in references]
    profiles = SpeakerProfiles(model, processor, dataset, verify)
    return [{} if reference is None else profiles.of(reference) for reference in references]


def _figures(
    dataset: datasets.Dataset,
    answers: dict[int, tuple],
    left_out: list[dict],
    captioner: Captioner | None,
    asked: list[str],
    schema: LabelSchema,
    normalizer: TextNormalizer | None,
    reference: str,
    about: dict,
) -> tuple[dict, list[dict]]:
    """The figures of the answers with one reference, and one prediction a row."""
    if not answers:
        first = f"the first: {left_out[0]['id']}: {left_out[0]['reason']}" if left_out else "it is empty"
        raise ValueError(f"none of the data set's {len(dataset)} rows could be evaluated; {first}")
    predictions = [_prediction(*answers[index], captioner) for index in sorted(answers)]
    scored = score(predictions, schema, normalizer=normalizer)
    if captioner is None:
        scored["gaps"]["captions"] = f"only {asked} were asked for"
    elif captioner.gap is not None:
        scored["gaps"]["captions"] = captioner.gap
    results = {
        "n": len(predictions),
        **scored,
        "dimensions": score_dimensions(predictions),
        "ratings": score_ratings(predictions),
        "wording": wording(predictions, [slot for slot in asked if slot not in (EMOTION, TRANSCRIPT)]),
        **_best_possible([answers[index][0] for index in sorted(answers)]),
        "speaker_reference": reference,
        "slots": asked,
        "transcriber": about["transcriber"],
        "transcriber_options": about["transcriber_options"],
        "status": dict(Counter(prediction["status"] for prediction in predictions)),
        "left_out": left_out,
        **{name: about[name] for name in ("speech_seconds", "wall_seconds", "versions")},
    }
    return results, predictions


def sampled(dataset: datasets.Dataset, limit: int | None) -> datasets.Dataset:
    """`limit` rows, drawn at random under a fixed seed, in their order; all for `None`.

    Raises:
        ValueError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be at least 1")
    if limit is None or limit >= len(dataset):
        return dataset
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(dataset))[:limit]
    return dataset.select(np.sort(chosen).tolist())


def _known_slots(dataset: datasets.Dataset, schema: LabelSchema) -> list[str]:
    """Slots of the schema that some row has a label for, and the emotion."""
    known = {slot for row in dataset["descriptors"] for slot, level in (row or {}).items() if level is not None}
    known |= {slot for slot in (AGE, GENDER) if any(value is not None for value in dataset[slot])}
    return [slot for slot in schema.slots if slot in known or slot == EMOTION]


def _batches(dataset: datasets.Dataset, batch_size: int) -> Iterator[list[tuple[int, dict]]]:
    """Rows with their index, of like duration together; the longest first: memory runs short at once or never."""
    durations = [duration if duration is not None else float("inf") for duration in dataset["duration"]]
    order = np.argsort(durations, kind="stable")[::-1].tolist()
    for start in range(0, len(order), batch_size):
        yield [(index, dataset[index]) for index in order[start : start + batch_size]]


def _prediction(row: dict, known: EmotionDescription, answer: dict, captioner: Captioner | None) -> dict:
    """An answer beside what is known of its row, columns that the schema has as descriptors among these."""
    reference = reference_of(row)
    reference["descriptors"] |= {slot: known.levels[slot] for slot in (AGE, GENDER) if slot in known.levels}
    prediction = {"id": row["id"], "reference": reference, **answer}
    return prediction if captioner is None else captioner.add(prediction, row)


def _best_possible(rows: list[dict]) -> dict:
    """Known ceilings of the UA: of the corpus, and of the best possible guess on these rows."""
    rows = [row for row in rows if row["emotion"] is not None]
    if not rows or {row["corpus"] for row in rows} != {"espeak"}:
        return {"ua_ceiling": None, "ua_bayes": None}
    guesses, truth = [bayes_emotion(row) for row in rows], [row["emotion"] for row in rows]
    bayes = metric("unweighted_accuracy").compute(predictions=guesses, references=truth)
    return {"ua_ceiling": ceiling()["ua"], "ua_bayes": bayes["unweighted_accuracy"]}
