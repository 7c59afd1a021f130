"""What probes read from the streams of a model, and how much information these carry."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

import datasets
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from xser.corpora.processes import open_processes
from xser.corpora.schema import FEATURES
from xser.descriptors.align import Aligner, AlignmentError, align_by_letters
from xser.descriptors.align_espeak import EspeakAligner
from xser.descriptors.measuring import ESPEAK, WORD_TIMES
from xser.evaluation.probes.fit import PROBES, Reading, interval_of, read
from xser.evaluation.probes.streams import STATISTICS, Heard, hear_corpus
from xser.evaluation.probes.table import clean_of_words
from xser.evaluation.probes.targets import (
    EMOTION,
    EMPHASIS,
    LABELS,
    SPEAKER,
    WORD_BY_WORD,
    WORDS_SAID,
    Target,
    frequent_words,
    level_features,
    make_targets,
    resampled_by,
)
from xser.modeling_xser import CONTENT, DESCRIPTORS

REPEATS = 20
VOCABULARY = 40  # words
_LIMIT_SEED = 0


@dataclass(frozen=True)
class Job:
    """One probe of one source for one target, as it crosses over to another process."""

    source: str
    target: Target
    probe: str
    features: np.ndarray

    def run(self, repeats: int) -> Reading:
        with threadpool_limits(1):  # matrices are small, and other processes have the other cores
            return read(self.features, self.target.labels, self.target.folding.folds, self.probe, repeats)


def probe_model(
    model,
    processor,
    dataset: datasets.Dataset,
    targets: list[str] | None = None,
    repeats: int = REPEATS,
    vocabulary_size: int = VOCABULARY,
    word_times: str = WORD_TIMES[0],
    batch_size: int = 32,
    workers: int | None = 1,
) -> dict:
    """Read every target from every source by every probe.

    Args:
        model: an `XSERForEmotionDescription`, in eval mode.
        processor: its `XSERProcessor`.
        dataset: rows of the one schema.
        targets: some of `known_targets(processor)`; all of them by default.
        repeats: of each control.
        vocabulary_size: how many content words are asked for, at most.
        word_times: what finds words in the recordings, one of `WORD_TIMES`.
        batch_size: recordings encoded at once.
        workers: processes that fit probes; as many as there are cores if None.

    Returns:
        JSON-able values: `n`; `probes`, one dict a reading, of words said from the known levels of the descriptors as
        well, which is what a stream tells of words that tells these levels and nothing else; `gaps`, what could not be
        read and why; `information` of each stream, in nats a frame and bits a second; `layer_mixes` of
        `mixed_layers`;
        `clean_of_words`, of each source behind the bottleneck of a stream of the voice, against both controls (None
        without word targets); `left_out`, `not_aligned`.

    Raises:
        ValueError: columns that the schema has are missing, an unknown target, probe option or word_times, or nothing
            could be heard.
    """
    _check(dataset, targets, known_targets(processor), repeats, vocabulary_size, word_times, batch_size)
    names = targets or known_targets(processor)
    asks_for_words = bool({WORDS_SAID, WORD_BY_WORD}.intersection(names))
    vocabulary = frequent_words(dataset["text"][:], vocabulary_size) if asks_for_words else []
    heard = hear_corpus(
        model,
        processor,
        dataset,
        vocabulary if WORD_BY_WORD in names else [],
        partial(_aligner_of, word_times),
        batch_size,
    )
    found, gaps = make_targets(names, heard.rows, vocabulary, heard.tokens)
    probes = []
    with open_processes(workers) as mapping:
        jobs = list(_jobs(found, heard, processor.descriptors))
        readings = mapping(partial(Job.run, repeats=repeats), jobs)
        for job, reading in zip(jobs, tqdm(readings, "probing", len(jobs), unit="probe"), strict=True):
            folding, classes = job.target.folding, job.target.classes
            about = {"source": job.source, "target": job.target.name, "probe": job.probe}
            probes.append({**about, "classes": classes, "folds_by": folding.disjoint_in, **reading.to_dict()})
    return {
        "n": len(heard.rows),
        "probes": probes,
        "gaps": [asdict(gap) for gap in gaps],
        "information": information_of(heard),
        "layer_mixes": layer_mixes(model),
        "mixed_layers": model.config.used_layers,
        "clean_of_words": clean_of_words(probes),
        "left_out": heard.left_out,
        "not_aligned": heard.not_aligned,
    }


def known_targets(processor) -> list[str]:
    """What can be asked for: words, each slot of the model's schema that is a descriptor, emotion, speaker."""
    emphasis = [EMPHASIS] if processor.emphasis else []
    return [WORDS_SAID, WORD_BY_WORD, *processor.descriptors, *emphasis, EMOTION, SPEAKER]


def layer_mixes(model) -> dict[str, list[float]]:
    """The softmax weights of each stream's mix of the tower's hidden states."""
    streams = {CONTENT: model.model.content, DESCRIPTORS: model.model.descriptors}
    return {
        name: stream.layer_mix.scores.detach().float().softmax(-1).tolist()
        for name, stream in streams.items()
        if stream is not None
    }


def information_of(heard: Heard) -> dict[str, dict]:
    """KL to the prior of each stream that has one, which bounds what it says of the sound (Alemi et al. 2017).

    Returns:
        stream → `nats_per_frame`, `bits_per_second` (nats a frame / ln 2, times frames a second), its 95% interval
        `bits_per_second_interval`, and `n` utterances.
    """
    groups, by_speaker = resampled_by(heard.rows)
    information = {}
    for name, nats in heard.nats.items():
        bits = nats * heard.rates[name] / math.log(2)
        columns = np.stack([bits, np.ones(len(nats))], axis=1)
        interval = interval_of(columns, groups, by_speaker, scale="log")
        information[name] = {
            "nats_per_frame": float(nats.mean()),
            "bits_per_second": float(bits.mean()),
            "bits_per_second_interval": None if interval is None else asdict(interval),
            "n": len(nats),
        }
    return information


def _jobs(targets: list[Target], heard: Heard, descriptors: dict[str, list[str]]) -> Iterator[Job]:
    levels = level_features(heard.rows, descriptors)
    for target in targets:
        for probe in PROBES if target.name == WORDS_SAID and levels.any() else ():
            yield Job(LABELS, target, probe, levels[target.items])
        for source, statistics in heard.utterances.items():
            if target.name == WORD_BY_WORD:
                features = heard.words[source]
            elif target.name == WORDS_SAID:
                features = statistics
            else:  # mean and standard deviation; a word is also told by what is heard only for a moment
                features = statistics[:, : statistics.shape[1] * 2 // STATISTICS]
            for probe in PROBES:
                yield Job(source, target, probe, features[target.items])


def _aligner_of(word_times: str, row: dict) -> Aligner:
    if word_times != ESPEAK:
        return align_by_letters
    if row["language"] is None:
        raise AlignmentError("the row names no language, which eSpeak NG needs")
    return EspeakAligner(row["language"])


def _check(dataset, targets, known, repeats, vocabulary_size, word_times, batch_size) -> None:
    missing = sorted(set(FEATURES) - set(dataset.column_names))
    if missing:
        raise ValueError(f"the data set lacks the columns {missing} of the one schema; it has {dataset.column_names}")
    unknown = sorted(set(targets or []) - set(known))
    if unknown:
        raise ValueError(f"targets {unknown} are unknown; there are {known}")
    if word_times not in WORD_TIMES:
        raise ValueError(f"word_times is {word_times!r}; it must be one of {list(WORD_TIMES)}")
    for name, value, least in (
        ("repeats", repeats, 2),
        ("vocabulary_size", vocabulary_size, 2),
        ("batch_size", batch_size, 1),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
