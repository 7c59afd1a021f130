"""What the streams of a model hold while it hears a corpus: features for probes, and information in bits a second.

Sources: the mean latents of each stream, auxiliary ones too, what its adapter hands to the language model, and, to
compare with, what the tower holds before any bottleneck: the mean of its layers, projected at random to as many
numbers as the narrowest of its streams has (distances survive that, Johnson & Lindenstrauss 1984).

Shapes: n utterances, m words, T frames, F numbers a frame.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from xser.audio_xser import SAMPLE_RATE
from xser.corpora.espeak_synthesis import UnknownVoiceError
from xser.descriptors.align import Aligner, AlignmentError, align
from xser.evaluation.probes.targets import Token, place_of, words_of
from xser.modeling_xser import AUX_INPUT, CONTENT, DESCRIPTORS
from xser.streams_xser import StreamOutput

TOWER = "tower"
ADAPTER = ", adapter"  # after the name of a stream: what it hands to the language model
STATISTICS = 4  # over time: mean, standard deviation, highest, lowest
THIRDS = 3  # of a word
_PROJECTION_SEED = 0


@dataclass
class Heard:
    """A corpus as a model hears it.

    Attributes:
        rows: n of the one schema, without recordings.
        utterances: of each source, (n, 4 F): `STATISTICS` over the frames, one after the other.
        words: of each source, (m, 3 F): the means over the thirds of each token.
        tokens: m words of the vocabulary.
        nats: of each stream that has a bottleneck, (n,) KL in nats a frame.
        rates: of the same, (n,) frames a second.
        left_out: rows that could not be heard, and why; not_aligned: whose words could not be found, and why.
    """

    rows: list[dict] = field(default_factory=list)
    utterances: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    nats: dict[str, np.ndarray] = field(default_factory=dict)
    rates: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: list[dict] = field(default_factory=list)
    not_aligned: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Frames:
    """One source over one utterance: (T, F) values, and where each frame lies in the recording, (T,) seconds."""

    values: np.ndarray
    centres: np.ndarray

    def statistics(self) -> np.ndarray:
        """(4 F,)."""
        values = self.values
        return np.concatenate([values.mean(0), values.std(0), values.max(0), values.min(0)])

    def thirds(self, start: float, end: float) -> np.ndarray:
        """Means over the thirds of a stretch of time, (3 F,); a third between two frames is the nearest frame."""
        edges = np.linspace(start, end, THIRDS + 1)
        means = []
        for first, last in pairwise(edges):
            inside = (self.centres >= first) & (self.centres < last)
            if not inside.any():
                inside[np.abs(self.centres - (first + last) / 2).argmin()] = True
            means.append(self.values[inside].mean(0))
        return np.concatenate(means)


AlignerOf = Callable[[dict], Aligner]


def hear_corpus(
    model,
    processor,
    dataset: datasets.Dataset,
    vocabulary: list[str],
    aligner_of: AlignerOf | None,
    batch_size: int = 32,
) -> Heard:
    """Encode every recording once.

    Args:
        model: an `XSERForEmotionDescription`, in eval mode.
        processor: its `XSERProcessor`.
        dataset: rows of the one schema.
        vocabulary: the words to look up in time; an empty list for none.
        aligner_of: gives the `Aligner` that finds the words of a row, or an `AlignmentError`; `None` without
            `vocabulary`.
        batch_size: recordings a pass; it changes nothing but rounding.

    Raises:
        ValueError: no recording could be heard.
    """
    heard = Heard()
    hearing = _Hearing(model, processor)
    pooled, tokens = [], []
    with tqdm(total=len(dataset), desc="encoding", unit="utt") as bar:
        for batch in _batches(dataset, batch_size):
            for index, row, wave, sources, nats in hearing.listen(batch, heard.left_out):
                found = _find_tokens(row, wave, vocabulary, aligner_of, heard.not_aligned)
                thirds = [{name: of.thirds(*times) for name, of in sources.items()} for *_, times in found]
                pooled.append((index, row, {name: of.statistics() for name, of in sources.items()}, nats))
                tokens.append((index, found, thirds))
            bar.update(len(batch))
    if not pooled:
        first = f"the first: {heard.left_out[0]['id']}: {heard.left_out[0]['reason']}" if heard.left_out else "no rows"
        raise ValueError(f"none of the data set's {len(dataset)} recordings could be heard; {first}")
    pooled.sort(key=lambda each: each[0])  # the rows' own order again: batches are of like length
    tokens.sort(key=lambda each: each[0])
    heard.rows = [row for _, row, _, _ in pooled]
    for name in pooled[0][2]:
        heard.utterances[name] = np.stack([statistics[name] for _, _, statistics, _ in pooled]).astype(np.float32)
        words = [each[name] for _, _, thirds in tokens for each in thirds]
        heard.words[name] = np.array(words, dtype=np.float32)
    for name in pooled[0][3]:
        heard.nats[name], heard.rates[name] = np.array([nats[name] for *_, nats in pooled]).T
    for place, (_, found, _) in enumerate(tokens):
        heard.tokens += [Token(place, word, at) for word, at, _ in found]
    return heard


class _Hearing:
    """A model taken apart: the tower once, then each stream."""

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self.streams = {CONTENT: model.model.content}
        latents = [model.config.content_bottleneck["latent_size"]]
        if model.config.disentangled:
            self.streams[DESCRIPTORS] = model.model.descriptors
            latents.append(model.config.descriptor_bottleneck["latent_size"])
        width = model.config.audio_config.hidden_size
        generator = torch.Generator().manual_seed(_PROJECTION_SEED)
        self.projection = torch.randn(width, min(latents), generator=generator) / math.sqrt(width)

    def listen(self, batch: list[tuple[int, dict]], left_out: list[dict]) -> Iterator[tuple]:
        """Of what is heard: index, row without recording, wave, `Frames` of each source, `_encode`'s nats."""
        rows, waves = [], []
        for index, row in batch:
            try:
                wave = self.processor.load(row["audio"])
                status = self.processor.status(wave)
            except ValueError as error:  # AudioError is one
                left_out.append({"id": row["id"], "reason": str(error)})
                continue
            if status == "ok":
                rows.append((index, {name: value for name, value in row.items() if name != "audio"}))
                waves.append(wave)
            else:
                left_out.append({"id": row["id"], "reason": status.replace("_", " ")})
        if waves:
            encoded = self._encode(waves, [row for _, row in rows])
            for (index, row), wave, (sources, nats) in zip(rows, waves, encoded, strict=True):
                yield index, row, wave, sources, nats

    @torch.no_grad()
    def _encode(
        self, waves: list[np.ndarray], rows: list[dict]
    ) -> list[tuple[dict[str, Frames], dict[str, tuple[float, float]]]]:
        """Of each recording, `Frames` of each source, and of each stream nats a frame and frames a second.

        Features of an auxiliary stream that is not measured are in the rows, under its name, as in training.
        """
        aux = {name: [row[name] for row in rows] for name in self.processor.aux_streams if name in rows[0]}
        recordings = [(wave, SAMPLE_RATE) for wave in waves]
        inputs = self.processor(recordings, task="describe", aux=aux).to(self.model.device)
        tower, mask = self.model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
        mean_layer = torch.stack([layer.float().cpu() for layer in tower]).mean(0)
        sources, nats = {TOWER: (mean_layer @ self.projection, mask)}, {}
        outputs = {name: stream(tower, mask, inputs["loudness"], None) for name, stream in self.streams.items()}
        for name, stream in self.model.model.aux.items():
            features = inputs[f"{AUX_INPUT}{name}"], inputs[f"{AUX_INPUT}{name}_mask"]
            outputs[name] = stream(*features, None, None)
        for name, output in outputs.items():
            sources[name] = (output.bottleneck.mu, output.frame_mask)
            sources[f"{name}{ADAPTER}"] = (output.embeds, output.mask)
            if output.bottleneck.logvar is not None:
                nats[name] = _nats(output.bottleneck.mu, output.bottleneck.logvar, output.frame_mask)
        return [
            (
                {
                    name: self._frames(values[i].cpu()[of[i].cpu()], name, len(wave) / SAMPLE_RATE)
                    for name, (values, of) in sorted(sources.items())
                },
                {name: (float(values[i]), self._rate(outputs[name], name, i, wave)) for name, values in nats.items()},
            )
            for i, wave in enumerate(waves)
        ]

    def _rate(self, output: StreamOutput, name: str, row: int, wave: np.ndarray) -> float:
        """Frames a second: the tower's, or however many an auxiliary stream has of the recording."""
        if name in self.streams:
            return SAMPLE_RATE / self.processor.frames.hop
        return int(output.frame_mask[row].sum()) / len(wave) * SAMPLE_RATE

    def _frames(self, values: torch.Tensor, source: str, seconds: float) -> Frames:
        name, _, _ = source.partition(ADAPTER)
        count = len(values)
        has_summary = source.endswith(ADAPTER) and name != CONTENT and self.processor.summary_tokens
        if has_summary:
            count -= 1
        if name in self.model.model.aux:  # of any rate: spread over the recording
            centres = (np.arange(count) + 0.5) / count * seconds
        else:
            stack = self.model.config.frame_stack if source.endswith(ADAPTER) else 1
            frames = self.processor.frames
            middle = frames.first_centre + (stack - 1) / 2 * frames.hop  # of what the first sees, in samples
            centres = (middle + stack * frames.hop * np.arange(count)) / SAMPLE_RATE
        return Frames(values.float().numpy(), np.append(centres, [np.inf] * has_summary))  # a summary is at no time


def _nats(mu: torch.Tensor, logvar: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, sigma) || N(0, I)) a frame, mean over each utterance's real frames: (B, T, Z) -> (B,)."""
    a_frame = 0.5 * (mu.float() ** 2 + logvar.float().exp() - 1 - logvar.float()).sum(-1)
    return (a_frame * mask).sum(-1) / mask.sum(-1)


def _find_tokens(
    row: dict, wave: np.ndarray, vocabulary: list[str], aligner_of: AlignerOf, not_aligned: list[dict]
) -> list[tuple[str, int, tuple[float, float]]]:
    """The words of the vocabulary in a row, each with its place and its (start, end) in seconds."""
    words = words_of(row["text"])
    if not set(words).intersection(vocabulary):
        return []
    try:
        aligned = align(wave, row["text"], aligner_of(row))
    except (AlignmentError, UnknownVoiceError) as error:
        not_aligned.append({"id": row["id"], "reason": str(error)})
        return []
    return [
        (word, place_of(index, len(words)), (at.start, at.end))
        for index, (word, at) in enumerate(zip(words, aligned, strict=True))
        if word in vocabulary
    ]


def _batches(dataset: datasets.Dataset, batch_size: int) -> Iterator[list[tuple[int, dict]]]:
    """Rows with their index, of like duration together."""
    durations = [math.inf if duration is None else duration for duration in dataset["duration"]]
    order = np.argsort(durations, kind="stable")[::-1].tolist()
    for start in range(0, len(order), batch_size):
        yield [(index, dataset[index]) for index in order[start : start + batch_size]]
