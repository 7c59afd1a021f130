"""Fit the decision of `activity_xser` on speech and on random sounds, and write `activity_weights_xser.py`.

    python benchmarks/voice_activity_fit.py --speechocean DIR --kokoro DIR --output activity_weights_xser.py

Speech is that of half of the speakers of speechocean and of kokoro, and of the espeak corpus' training split, as it is
and altered. Sounds come from a random synthesiser: noise, harmonics, partials, modulated tones and pulses, steady or
in events, alone or together. The sounds that the decision is tested on (`non_speech.py`) are others. The threshold
keeps `KEPT` of a quarter of the speakers, who take no part in the fit.

A recording counts as a whole: the loss is that of its windows' mean, weighted by their own evidence, so that windows
without speech in it need no label.
"""

import argparse
import csv
import multiprocessing
import textwrap
from collections.abc import Callable
from pathlib import Path

import altered_speech as altered
import numpy as np
import torch
from scipy.signal import butter, fftconvolve, lfilter, sosfilt
from torch.nn.functional import pad
from tqdm.auto import tqdm

from xser.activity_xser import LIMIT, window_statistics
from xser.audio_xser import load_audio
from xser.corpora import load_corpus

RATE = 16_000  # Hz
SEED = 7
SOUNDS, SOUND_SECONDS = 3_000, (0.25, 6.0)
ESPEAK = 600
KEPT = {"as recorded": 0.999, "altered": 0.99}
HIDDEN, STEPS, BATCH, RATE_OF_LEARNING, DECAY = 8, 2_000, 256, 2e-2, 1e-4
MAX_WINDOWS = 40  # longer recordings take no part in the fit: 6.6 s
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), tuple(range(12)))  # semitones


# Random sounds


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def coloured(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise with a slope over frequency, now and then of a band alone."""
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 30)
    sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * hertz ** -rng.uniform(-0.25, 1.25), count)
    if rng.random() < 0.4:
        low = log_uniform(rng, 60, 4_000)
        edges = low, min(low * log_uniform(rng, 1.2, 20), 7_900)
        sound = sosfilt(butter(int(rng.integers(1, 4)), edges, "bandpass", fs=RATE, output="sos"), sound)
    return sound / max(sound.std(), 1e-9)


def moving_pitch(rng: np.random.Generator, count: int, base: float) -> np.ndarray:
    """Hz over time: steady, or with vibrato, sweeping, swinging, falling or jumping."""
    time = np.arange(count) / RATE
    kind = rng.choice(("steady", "steady", "vibrato", "sweep", "swing", "saw", "drop", "jump", "wander"))
    if kind == "vibrato":
        semitones = rng.uniform(0.05, 1) * np.sin(2 * np.pi * rng.uniform(3, 9) * time)
    elif kind == "sweep":
        semitones = np.linspace(0, rng.uniform(-36, 36), count)
    elif kind == "swing":
        semitones = rng.uniform(0.5, 18) * np.sin(2 * np.pi * (log_uniform(rng, 0.1, 12) * time + rng.random()))
    elif kind == "saw":
        semitones = rng.uniform(1, 18) * ((log_uniform(rng, 0.1, 12) * time) % 1)
    elif kind == "drop":
        semitones = rng.uniform(6, 30) * np.exp(-time / log_uniform(rng, 0.01, 0.2))
    elif kind == "wander":
        places = rng.uniform(0, log_uniform(rng, 0.2, 8), int(count / RATE * log_uniform(rng, 0.2, 3)) + 4)
        semitones = np.interp(np.linspace(0, len(places) - 1, count), np.arange(len(places)), places)
    elif kind == "jump":
        semitones = rng.uniform(1, 12) * (np.sin(2 * np.pi * log_uniform(rng, 0.5, 25) * time) > 0)
    else:
        semitones = np.zeros(count)
    return np.clip(base * 2 ** (semitones / 12), 20, 7_600)


def overtones(rng: np.random.Generator, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and weights of harmonics, with resonances now and then."""
    numbers = np.arange(1, max(1, int(min(7_600 / base, log_uniform(rng, 1, 60)))) + 1)
    kind = int(rng.integers(5))
    if kind == 0:
        weights = numbers ** -rng.uniform(0.3, 2.5)
    elif kind == 1:
        weights = rng.uniform(0, 1, len(numbers))
    elif kind == 2:
        weights = (numbers % 2 == 1) * numbers ** -rng.uniform(0.5, 2.0)
    elif kind == 3:
        weights = (rng.random(len(numbers)) < 0.4) * rng.uniform(0.1, 1, len(numbers)) + 0.3 * (numbers == 1)
    else:
        weights = (numbers == 1).astype(float)
    if rng.random() < 0.35:
        for _ in range(int(rng.integers(1, 4))):
            centre, width = log_uniform(rng, 200, 4_500), rng.uniform(0.05, 0.3)
            distance = (numbers * base - centre) / (centre * width)
            weights = weights * (1 + rng.uniform(1, 10) / (1 + distance**2))
    return numbers, weights


def source(rng: np.random.Generator, count: int, base: float | None = None, kind: str | None = None) -> np.ndarray:
    """Noise, harmonics, partials out of tune that decay, a modulated tone, or pulses through resonances."""
    kind = kind or str(rng.choice(("noise", "harmonics", "harmonics", "harmonics", "partials", "modulated", "pulses")))
    if kind == "noise":
        return coloured(rng, count)
    base = base or (log_uniform(rng, 15, 300) if kind == "pulses" else log_uniform(rng, 50, 4_000))
    hertz = moving_pitch(rng, count, base) if rng.random() < 0.5 else np.full(count, base)
    phase, highest, sound = np.cumsum(hertz) / RATE * 2 * np.pi, hertz.max(), np.zeros(count)
    if kind == "harmonics":
        for number, weight in zip(*overtones(rng, base), strict=True):
            if number * highest < 7_900 and weight > 1e-4:
                sound += weight * np.sin(number * phase + rng.uniform(0, 6))
    elif kind == "partials":
        time, decay = np.arange(count) / RATE, log_uniform(rng, 0.05, 3)
        for ratio in np.sort(rng.uniform(1, 9, int(rng.integers(2, 9)))):
            if ratio * highest < 7_900:
                fading = np.exp(-time * ratio**0.5 / decay) * rng.uniform(0.2, 1)
                sound += np.sin(ratio * phase + rng.uniform(0, 6)) * fading
    elif kind == "modulated":
        ratio = rng.choice((0.5, 1, 1.41, 2, 3, rng.uniform(0.1, 5)))
        sound = np.sin(phase + log_uniform(rng, 0.2, 8) * np.sin(phase * ratio))
    else:
        sound = (np.diff(np.floor(phase / 2 / np.pi), prepend=0) > 0).astype(float)
        for _ in range(int(rng.integers(1, 4))):
            centre = log_uniform(rng, 100, 5_000)
            radius = np.exp(-np.pi * centre * rng.uniform(0.05, 0.4) / RATE)
            rung = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], sound)
            sound = sound * rng.random() + rung / max(rung.std(), 1e-9)
    return sound


def envelope(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of an event: an attack, a decay or none, and a release."""
    time = np.arange(count) / RATE
    attack, kind = np.minimum(time / log_uniform(rng, 0.001, 0.15), 1), rng.integers(3)
    if kind == 0:
        body = np.exp(-time / log_uniform(rng, 0.01, 2.5))
    elif kind == 1:
        body = np.ones(count)
    else:
        body = np.maximum(np.exp(-time / log_uniform(rng, 0.02, 0.5)), rng.uniform(0.1, 0.7))
    release = min(count, max(1, int(RATE * log_uniform(rng, 0.002, 0.1))))
    body[-release:] *= np.linspace(1, 0, release)
    return attack * body


def lasting(rng: np.random.Generator, count: int) -> np.ndarray:
    """A source throughout: steady, swelling, gated, or of random strength."""
    sound, time, kind = source(rng, count), np.arange(count) / RATE, rng.integers(6)
    if kind == 0:
        depth, rate = rng.uniform(0.2, 1), log_uniform(rng, 0.3, 20)
        sound = sound * (1 + depth * np.sin(2 * np.pi * (rate * time + rng.random())))
    elif kind == 1:
        sound = sound * (((log_uniform(rng, 0.3, 12) * time + rng.random()) % 1) < rng.uniform(0.2, 0.9))
    elif kind == 2:
        strengths = rng.random(int(count / RATE * log_uniform(rng, 0.5, 12)) + 3)
        sound = sound * np.interp(np.linspace(0, len(strengths) - 1, count), np.arange(len(strengths)), strengths)
    return sound


def events(rng: np.random.Generator, count: int) -> np.ndarray:
    """Notes, chords or hits, evenly spaced or not."""
    sound, step = np.zeros(count), log_uniform(rng, 0.06, 1.2)
    jitter, is_single = rng.choice((0, 0, rng.uniform(0, 0.9))), rng.random() < 0.12
    seconds = log_uniform(rng, 0.02, 2.0) if rng.random() < 0.5 else step * rng.uniform(0.5, 1.3)
    if rng.random() < 0.1:
        seconds = log_uniform(rng, 0.0002, 0.02)
    length = max(1, int(RATE * seconds))
    event = notes(rng, length) if rng.random() < 0.55 else hits(rng, length)
    at = rng.uniform(0, min(step, count / RATE / 2))
    while at * RATE < count:
        place = sound[int(at * RATE) :]
        piece = event()[: len(place)]
        place[: len(piece)] += piece * rng.uniform(0.4, 1)
        at += max(step * (1 + jitter * rng.uniform(-1, 1)) * rng.choice((1, 1, 1, 2)), 0.01)
        if is_single:
            break
    return sound


def notes(rng: np.random.Generator, length: int) -> Callable[[], np.ndarray]:
    """One instrument, which plays another note or chord of a scale each time."""
    kind = str(rng.choice(("harmonics", "harmonics", "harmonics", "partials", "modulated", "pulses")))
    base, instrument, scale = log_uniform(rng, 60, 1_500), int(rng.integers(2**31)), SCALES[rng.integers(len(SCALES))]
    voices, octaves = int(rng.choice((1, 1, 2, 3, 4))), int(rng.integers(1, 4))
    is_fixed, varies = rng.random() < 0.15, rng.random() < 0.3

    def note() -> np.ndarray:
        count = max(1, int(length * (rng.choice((0.5, 1, 1, 2)) if varies else 1)))
        sound = np.zeros(count)
        for _ in range(voices):
            semitones = 0 if is_fixed else scale[rng.integers(len(scale))] + 12 * int(rng.integers(octaves))
            pitch = min(base * 2 ** (semitones / 12), 5_000)
            sound += source(np.random.default_rng(instrument), count, pitch, kind)
        return sound * envelope(np.random.default_rng(instrument + 1), count)

    return note


def hits(rng: np.random.Generator, length: int) -> Callable[[], np.ndarray]:
    """One to four sounds that return."""
    kinds = ("noise", "noise", "noise", "harmonics", "partials", "pulses")
    kit = [
        source(rng, length, kind=str(rng.choice(kinds))) * envelope(rng, length) * rng.uniform(0.3, 1)
        for _ in range(int(rng.integers(1, 5)))
    ]
    return lambda: kit[rng.integers(len(kit))]


def random_sound(rng: np.random.Generator, count: int) -> np.ndarray:
    """One to three of them together, some in a room, some over noise: (S,) float32."""
    sound = np.zeros(count)
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        layer = lasting(rng, count) if rng.random() < 0.42 else events(rng, count)
        sound += layer / max(layer.std(), 1e-9) * log_uniform(rng, 0.15, 1)
    if rng.random() < 0.3:
        size = int(log_uniform(rng, 0.1, 1.2) * RATE)
        echoes = rng.standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
        echoes /= np.sqrt(np.square(echoes).sum())
        echoes[0] += 1
        sound = fftconvolve(sound, echoes)[:count]
    if sound.std() < 1e-9:
        sound = rng.standard_normal(count)
    if rng.random() < 0.6:
        sound = sound + coloured(rng, count) * sound.std() * 10 ** (-rng.uniform(10, 75) / 20)
    return (sound / sound.std() * 0.05).astype(np.float32)


# Speech


def use_of_speakers(corpus: str, speakers: set[str]) -> dict[str, str]:
    """Speaker → `fit` or `threshold`, of half and of a quarter of those of kokoro and speechocean; no others."""
    if corpus not in ("kokoro", "speechocean"):
        return {}
    names = sorted(speakers)
    return dict.fromkeys(names[::2], "fit") | dict.fromkeys(names[1::4], "threshold")


def recordings(folder: Path) -> list[tuple[str, Path]]:
    """(speaker, file) of each that `metadata.csv` has."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as table:
        return [(row["speaker"], folder / row["file_name"]) for row in csv.DictReader(table)]


def alter(wave: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """One thing or several that happen to recordings."""
    if rng.random() < 0.15:
        wave = altered.at_pitch(wave, rng.uniform(0.8, 1.4))
    if rng.random() < 0.25:
        wave = altered.with_voice_at(wave, log_uniform(rng, 100, 600), rng)
    elif rng.random() < 0.15:
        wave = altered.whispered(wave, rng)
    if rng.random() < 0.12:
        wave = altered.band_limited(wave, rng.uniform(80, 400), rng.uniform(2_500, 7_000))
    if rng.random() < 0.35:
        wave = altered.excerpt(wave, log_uniform(rng, 0.35, 3), rng)
    if rng.random() < 0.15:
        wave = altered.reverberant(wave, rng.uniform(0.15, 1.2), rng)
    if rng.random() < 0.08:
        wave = altered.clipped(wave, rng.uniform(0.01, 0.3))
    if rng.random() < 0.15:
        seconds = len(wave) / RATE * rng.uniform(1.2, 6)
        wave = altered.in_silence(wave, seconds, rng.choice((None, rng.uniform(20, 60))), rng)
    if rng.random() < 0.5:
        kind = rng.random()
        if kind < 0.55:
            noise = coloured(rng, len(wave))
        elif kind < 0.75:
            voices = [others[index] for index in rng.integers(len(others), size=int(rng.integers(3, 9)))]
            noise = altered.babble(voices, len(wave), rng)
        else:
            noise = random_sound(rng, len(wave))
        wave = altered.with_noise(wave, noise, rng.uniform(2, 25))
    if rng.random() < 0.1:
        wave = altered.in_16_bits(wave, rng.uniform(-55, -35))
    return np.asarray(wave, np.float32)


# The fit

Examples = dict[str, list[np.ndarray]]  # use → window statistics (N, D) of each recording
SPEECH: list[tuple[str, np.ndarray]] = []  # use, (S,); what processes that were forked share


def collect(folders: dict[str, Path], workers: int) -> Examples:
    """Window statistics of speech and of sounds."""
    SPEECH.clear()
    for corpus, folder in folders.items():
        found = recordings(folder)
        uses = use_of_speakers(corpus, {speaker for speaker, _ in found})
        SPEECH.extend((uses[speaker], load_audio(path)) for speaker, path in found if speaker in uses)
    SPEECH.extend(("fit", load_audio(row["audio"])) for row in load_corpus("espeak", "train", ESPEAK))
    tasks = [("speech", index, variant) for index in range(len(SPEECH)) for variant in range(2)]
    tasks += [("sound", index, 0) for index in range(SOUNDS)]
    examples: Examples = {}
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for use, statistics in tqdm(pool.imap(example, tasks, chunksize=20), total=len(tasks), unit="recording"):
            examples.setdefault(use, []).append(statistics)
    return examples


def example(task: tuple[str, int, int]) -> tuple[str, np.ndarray]:
    """One recording's statistics, by its place alone, whichever process makes it."""
    kind, index, variant = task
    rng = np.random.default_rng([SEED, ("speech", "sound").index(kind), index, variant])
    if kind == "sound":
        wave = random_sound(rng, int(RATE * log_uniform(rng, *SOUND_SECONDS)))
        return "sound", window_statistics(wave).astype(np.float32)
    use, wave = SPEECH[index]
    is_altered = variant == 1 or (use == "fit" and rng.random() < 0.5)
    if is_altered:
        wave = alter(wave, rng, [other for kind, other in SPEECH[::7] if kind == use])
    if use == "threshold":
        use = f"threshold, {'altered' if is_altered else 'as recorded'}"
    return use, window_statistics(wave).astype(np.float32)


class Judge(torch.nn.Module):
    """What `speech_evidence` computes, over batches: (B, N, D), (B, N) -> (B,)."""

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor):
        super().__init__()
        self.mean, self.scale = mean, scale
        self.hidden, self.output = torch.nn.Linear(len(mean), HIDDEN), torch.nn.Linear(HIDDEN, 1)

    def forward(self, statistics: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        standard = ((statistics - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        evidence = self.output(torch.tanh(self.hidden(standard)))[..., 0] * mask
        sums, counts = (each + pad(each, (1, 0))[:, :-1] + pad(each, (0, 1))[:, 1:] for each in (evidence, mask))
        return (sums / counts.clamp(min=1)).masked_fill(mask == 0, -1e4)


def padded(examples: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, N, D), (B, N)."""
    longest = max(len(each) for each in examples)
    rows = torch.zeros(len(examples), longest, examples[0].shape[1])
    mask = torch.zeros(len(examples), longest)
    for row, each in enumerate(examples):
        rows[row, : len(each)], mask[row, : len(each)] = torch.from_numpy(each), 1
    return rows, mask


def fit(speech: list[np.ndarray], sounds: list[np.ndarray]) -> Judge:
    torch.manual_seed(SEED)
    speech, sounds = ([each for each in kind if len(each) <= MAX_WINDOWS] for kind in (speech, sounds))
    rows, mask = padded([*speech, *sounds])
    labels = torch.cat([torch.ones(len(speech)), torch.zeros(len(sounds))])
    windows = rows[mask > 0]
    judge = Judge(windows.mean(0), windows.std(0) + 1e-6)
    optimizer = torch.optim.AdamW(judge.parameters(), RATE_OF_LEARNING, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(rows), (BATCH,))
        evidence = judge(rows[batch], mask[batch])
        pooled = (evidence.softmax(1) * evidence).sum(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(pooled, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge


@torch.no_grad()
def evidence_of(judge: Judge, examples: list[np.ndarray]) -> np.ndarray:
    return np.array([float(judge(*padded([each])).max()) for each in examples])


def as_module(judge: Judge, threshold: float) -> str:
    """The numbers as a file of Python, to four digits."""
    values = {
        "MEAN": judge.mean,
        "SCALE": judge.scale,
        "HIDDEN_WEIGHT": judge.hidden.weight.T,
        "HIDDEN_BIAS": judge.hidden.bias,
        "OUTPUT_WEIGHT": judge.output.weight[0],
    }
    lines = ['"""What `activity_xser` judges by, written by `benchmarks/voice_activity_fit.py`."""', ""]
    lines += ["import numpy as np", "", "# fmt: off"]
    for name, tensor in values.items():
        numbers = [f"{value:.4g}" for value in tensor.detach().flatten().tolist()]
        shape = f".reshape({', '.join(map(str, tensor.shape))})" if tensor.dim() > 1 else ""
        text = textwrap.wrap(", ".join(numbers), 115, break_on_hyphens=False)
        lines += [f"{name} = np.array([", *(f"    {line}" for line in text), f"]){shape}"]
    lines += [f"OUTPUT_BIAS = {judge.output.bias.item() - threshold:.4g}", "# fmt: on", ""]
    lines += [
        f"__all__ = [{', '.join(repr(name) for name in sorted([*values, 'OUTPUT_BIAS']))}]".replace("'", '"'),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speechocean", type=Path, required=True, help="its folder, with metadata.csv")
    parser.add_argument("--kokoro", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = {"kokoro": arguments.kokoro, "speechocean": arguments.speechocean}
    finish(collect(folders, arguments.workers), arguments.output)


def finish(examples: Examples, output: Path) -> None:
    """Fit, set the threshold, write."""
    judge = fit(examples["fit"], examples["sound"])
    threshold = 0.0
    for what, share in KEPT.items():
        evidence = evidence_of(judge, examples[f"threshold, {what}"])
        threshold = min(threshold, float(np.quantile(evidence, 1 - share)))
        print(f"{what}: {np.mean(evidence > 0):.4f} of {len(evidence)} kept at 0, {share} at {threshold:.2f}")
    print(f"sounds of the fit refused: {np.mean(evidence_of(judge, examples['sound']) <= threshold):.4f}")
    output.write_text(as_module(judge, threshold))


if __name__ == "__main__":
    main()
