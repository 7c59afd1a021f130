"""Probes of disentanglement: what can be read from each stream of a model, as a table.

    python -m xser.evaluation.probes --model checkpoints/xser-tiny --corpus espeak --split test \
        --output probes.json --picture layer-mixes.png

From the content stream and the descriptor stream, what their adapters hand on, and the tower before them, probes read
words, descriptors, emotion and speaker; each figure stands beside what the same probe reaches on shuffled labels. A
stream is clean of words if they stay within that control's interval plus 0.05.
"""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from xser import XSERForEmotionDescription, XSERProcessor
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.schema import FEATURES
from xser.descriptors.align import Aligner, AlignmentError, align_by_letters
from xser.descriptors.align_espeak import EspeakAligner
from xser.descriptors.measuring import ESPEAK, WORD_TIMES
from xser.descriptors.processes import open_processes
from xser.evaluation.probe_fit import PROBES, Reading, interval_of, read
from xser.evaluation.probe_picture import draw_layer_mixes
from xser.evaluation.probe_streams import STATISTICS, Heard, hear_corpus
from xser.evaluation.probe_table import COLUMNS, clean_of_words, table_rows
from xser.evaluation.probe_targets import (
    EMOTION,
    EMPHASIS,
    SPEAKER,
    WORD_BY_WORD,
    WORDS_SAID,
    Target,
    frequent_words,
    make_targets,
    resampled_by,
)
from xser.evaluation.report import text_table
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
        JSON-able values: `n`; `probes`, one dict a reading; `gaps`, what could not be read and why; `information` of
        each stream, in nats a frame and bits a second; `layer_mixes`; `clean_of_words`, of each source behind the
        descriptor bottleneck, against both controls (None without word targets); `left_out`, `not_aligned`.

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
        readings = mapping(partial(Job.run, repeats=repeats), _jobs(found, heard))
        total = len(found) * len(heard.utterances) * len(PROBES)
        for job, reading in zip(_jobs(found, heard), tqdm(readings, "probing", total, unit="probe"), strict=True):
            folding, classes = job.target.folding, job.target.classes
            about = {"source": job.source, "target": job.target.name, "probe": job.probe}
            probes.append({**about, "classes": classes, "folds_by": folding.disjoint_in, **reading.to_dict()})
    return {
        "n": len(heard.rows),
        "probes": probes,
        "gaps": [asdict(gap) for gap in gaps],
        "information": _information(heard),
        "layer_mixes": layer_mixes(model),
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


def _information(heard: Heard) -> dict[str, dict]:
    """KL to the prior of each stream, which bounds what it says of the sound from above (Alemi et al. 2017)."""
    groups, by_speaker = resampled_by(heard.rows)
    bits = heard.frames_per_second / math.log(2)
    information = {}
    for name, nats in heard.nats.items():
        columns = np.stack([nats * bits, np.ones(len(nats))], axis=1)
        interval = interval_of(columns, groups, by_speaker, scale="log")
        information[name] = {
            "nats_per_frame": float(nats.mean()),
            "bits_per_second": float(nats.mean() * bits),
            "bits_per_second_interval": None if interval is None else asdict(interval),
            "n": len(nats),
        }
    return information


def _jobs(targets: list[Target], heard: Heard) -> Iterator[Job]:
    for target in targets:
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


def load_rows(corpus: str, split: str, limit: int | None) -> datasets.Dataset:
    """Rows of a split of a corpus, "all" for one without splits; `limit` of them, drawn under a fixed seed.

    Raises:
        ValueError: no such split, "all" of a corpus that has splits, a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be at least 1")
    dataset = load_corpus(corpus, split=None if split == "all" else split)
    if not isinstance(dataset, datasets.Dataset):
        raise ValueError(f"--split is {split!r}; {corpus} has the splits {sorted(dataset)}")
    if limit is None or limit >= len(dataset):
        return dataset
    chosen = np.random.default_rng(_LIMIT_SEED).permutation(len(dataset))[:limit]
    return dataset.select(np.sort(chosen).tolist())


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(prog="python -m xser.evaluation.probes", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of the model")
    parser.add_argument("--corpus", default="espeak", help="name of a corpus, or a folder")
    parser.add_argument("--split", default="test", help="which part of it; 'all' for one without splits")
    parser.add_argument("--limit", type=int, help="so many rows, drawn under a fixed seed")
    parser.add_argument("--targets", nargs="+", help="what to read; everything by default")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="shuffles of each control")
    parser.add_argument("--words", type=int, default=VOCABULARY, help="content words to ask for, at most")
    parser.add_argument(
        "--word_times", default=WORD_TIMES[0], help=f"what finds words in time: {' or '.join(WORD_TIMES)}"
    )
    parser.add_argument("--batch_size", type=int, default=32, help="recordings encoded at once")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that fit probes")
    parser.add_argument("--device", default="cpu", help="such as cpu, cuda or mps")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--picture", type=Path, help="PNG file of the layer mixes to write")
    arguments = parser.parse_args(argv)
    dataset = load_rows(arguments.corpus, arguments.split, arguments.limit)
    processor = XSERProcessor.from_pretrained(arguments.model)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32)
    model = model.to(arguments.device).eval()
    results = probe_model(
        model,
        processor,
        dataset,
        arguments.targets,
        arguments.repeats,
        arguments.words,
        arguments.word_times,
        arguments.batch_size,
        arguments.workers,
    )
    name = Path(arguments.model).name
    folds = ", ".join(dict.fromkeys(f"{of['target']} by {of['folds_by']}" for of in results["probes"]))
    title = (
        f"What probes read from the streams of {name} on {Path(arguments.corpus).name}, {arguments.split}: "
        f"{results['n']} utterances, controls of {arguments.repeats} shuffles; folds: {folds}"
    )
    rows = table_rows(results)
    command = shlex.join(["python", "-m", "xser.evaluation.probes", *(sys.argv[1:] if argv is None else argv)])
    write_json(arguments.output, {"title": title, "command": command, "columns": COLUMNS, "rows": rows, **results})
    if arguments.picture:
        draw_layer_mixes(results["layer_mixes"], arguments.picture, f"What the streams of {name} listen to")
    print(title, text_table(rows, COLUMNS), f"written to {arguments.output}", sep="\n")
    return results


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"xser.evaluation.probes: {error}")
