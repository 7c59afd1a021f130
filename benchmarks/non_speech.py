"""Sounds that are no speech, drawn from a seed: the kinds that `voice_activity.py` is held to, and further ones.

Every function takes a generator and a number of samples at 16 kHz, and returns them, (S,) float64, at any level.
"""

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

RATE = 16_000  # Hz
SECONDS = (0.3, 10.0)
LEVELS = (-50.0, -3.0)  # dBFS, of the RMS; of the peak where that would pass full scale
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), tuple(range(12)))  # semitones
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 5, 7), (0, 3, 6))
DTMF = ((697, 770, 852, 941), (1209, 1336, 1477, 1633))  # Hz


def coloured(rng: np.random.Generator, count: int, exponent: float) -> np.ndarray:
    """Gaussian noise whose power falls with frequency to the power of `exponent`: 0 white, 1 pink, 2 brown."""
    hz = np.fft.rfftfreq(count, 1 / RATE)
    shape = np.maximum(hz, 20) ** (-exponent / 2)
    sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    return sound / max(sound.std(), 1e-12)


def band(sound: np.ndarray, low: float, high: float, order: int = 2) -> np.ndarray:
    """Between two frequencies in Hz."""
    return sosfilt(butter(order, (low, high), "bandpass", fs=RATE, output="sos"), sound)


def decay(rng, count: int, shortest: float, longest: float) -> np.ndarray:
    """An attack of some milliseconds, then an exponential decay, in seconds to 1/e."""
    time = np.arange(count) / RATE
    attack = np.minimum(time / rng.uniform(0.001, 0.02), 1)
    return attack * np.exp(-time / rng.uniform(shortest, longest))


def timbre(rng, hz: np.ndarray | float, count: int) -> np.ndarray:
    """One of sine, square, sawtooth, triangle, organ or plucked-like overtones, at `hz`, which may change."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, count)) / RATE + rng.uniform(0, 2 * np.pi)
    highest = float(np.max(hz))
    kind = rng.choice(("sine", "square", "sawtooth", "triangle", "organ", "overtones"))
    numbers = np.arange(1, max(int(min(7_500 / highest, 40)), 1) + 1)
    weights = {
        "sine": np.where(numbers == 1, 1.0, 0.0),
        "square": np.where(numbers % 2 == 1, 1 / numbers, 0.0),
        "sawtooth": 1 / numbers,
        "triangle": np.where(numbers % 2 == 1, 1 / numbers**2, 0.0),
        "organ": np.isin(numbers, (1, 2, 3, 4, 6, 8)) * rng.uniform(0.2, 1, len(numbers)),
        "overtones": rng.uniform(0.2, 1, len(numbers)) * numbers ** -rng.uniform(0.5, 2),
    }[kind]
    return sum(weight * np.sin(number * phase) for number, weight in zip(numbers, weights, strict=True) if weight)


def place(sound: np.ndarray, event: np.ndarray, start: int) -> None:
    """Add an event, cut at the sound's end."""
    event = event[: max(len(sound) - start, 0)]
    sound[start : start + len(event)] += event


def onsets(rng, count: int, shortest: float, longest: float, jitter: float = 0.0) -> list[int]:
    """Where events begin, a steady distance apart or less so."""
    step = rng.uniform(shortest, longest) * RATE
    at, found = rng.uniform(0, min(step, count / 2)), []
    while at < count:
        found.append(int(at))
        at += step * (1 + jitter * rng.uniform(-1, 1))
    return found


# The kinds that are held to a target


def noise(rng, count):
    return coloured(rng, count, rng.choice((0.0, 0.5, 1.0, 1.5, 2.0)))


def tone(rng, count):
    return timbre(rng, 2 ** rng.uniform(np.log2(60), np.log2(6_000)), count)


def clicks(rng, count):
    """One or several, of a sample or some milliseconds."""
    sound = np.zeros(count)
    starts = (
        [int(rng.integers(0, count))] if rng.random() < 0.3 else onsets(rng, count, 0.05, 1.0, rng.uniform(0, 0.8))
    )
    width = int(rng.integers(1, 80))
    click = rng.standard_normal(width) * np.hanning(width + 2)[1:-1] if width > 3 else np.ones(width)
    for start in starts:
        place(sound, click * rng.choice((-1, 1)) * rng.uniform(0.5, 1), start)
    if rng.random() < 0.5:
        sound += 10 ** (rng.uniform(-80, -50) / 20) * rng.standard_normal(count)
    return sound


def hum(rng, count):
    """50 or 60 Hz and its harmonics, with some noise."""
    hz = rng.choice((50, 60)) * (1 + 0.002 * rng.uniform(-1, 1))
    numbers = np.arange(1, rng.integers(3, 30))
    weights = rng.uniform(0, 1, len(numbers)) * numbers ** -rng.uniform(0.3, 2)
    time = np.arange(count) / RATE
    phases = rng.uniform(0, 2 * np.pi, len(numbers))
    sound = sum(w * np.sin(2 * np.pi * hz * n * time + p) for n, w, p in zip(numbers, weights, phases, strict=True))
    return sound + rng.uniform(0, 0.2) * coloured(rng, count, rng.uniform(0, 2))


def melody(rng, count):
    """Notes of a scale one after the other, some with vibrato, glides and rests."""
    sound, scale = np.zeros(count), rng.choice(len(SCALES))
    base, step = 2 ** rng.uniform(np.log2(80), np.log2(900)), rng.uniform(0.1, 0.6)
    vibrato, longest = rng.choice((0.0, rng.uniform(0.1, 0.5))), rng.uniform(0.1, 2)
    state = np.random.default_rng(int(rng.integers(2**32)))
    seed, at = int(rng.integers(2**32)), 0
    while at < count:
        length = int(RATE * step * state.choice((0.5, 1, 1, 2)))
        if state.random() > 0.1:
            semitones = SCALES[scale][state.integers(len(SCALES[scale]))] + 12 * state.integers(0, 2)
            time = np.arange(length) / RATE
            hz = base * 2 ** ((semitones + vibrato * np.sin(2 * np.pi * 5.5 * time)) / 12)
            note = timbre(np.random.default_rng(seed), hz, length)  # the same instrument throughout
            place(
                sound, note * decay(state, length, longest, longest) * np.minimum((length - time * RATE) / 200, 1), at
            )
        at += length
    return sound


def chords(rng, count):
    sound, at, seed = np.zeros(count), 0, int(rng.integers(2**32))
    base = 2 ** rng.uniform(np.log2(100), np.log2(500))
    while at < count:
        length = int(RATE * rng.uniform(0.3, 3))
        root = base * 2 ** (rng.integers(-5, 6) / 12)
        for semitones in CHORDS[rng.integers(len(CHORDS))]:
            note = timbre(np.random.default_rng(seed), root * 2 ** (semitones / 12), length)
            place(sound, note * decay(rng, length, 0.3, 5), at)
        at += length
    return sound


def drum(rng, count, which):
    """Kick: a falling sine; snare and hat: noise that decays; tom: a decaying sine."""
    if which == "kick":
        time = np.arange(count) / RATE
        hz = rng.uniform(40, 60) + rng.uniform(50, 250) * np.exp(-time / rng.uniform(0.01, 0.05))
        return np.sin(2 * np.pi * np.cumsum(hz) / RATE) * decay(rng, count, 0.05, 0.3)
    if which == "tom":
        return np.sin(2 * np.pi * rng.uniform(70, 250) * np.arange(count) / RATE) * decay(rng, count, 0.05, 0.4)
    low, high = {"snare": (200, 7_000), "hat": (5_000, 7_800), "clap": (700, 3_000)}[which]
    hit = band(rng.standard_normal(count), low, high) * decay(
        rng, count, *((0.01, 0.08) if which == "hat" else (0.04, 0.2))
    )
    if which == "snare":
        hit += 0.5 * np.sin(2 * np.pi * rng.uniform(150, 250) * np.arange(count) / RATE) * decay(rng, count, 0.03, 0.1)
    return hit


def drums(rng, count):
    """A pattern of eight or sixteen steps that repeats."""
    sound, kit = np.zeros(count), rng.choice(("kick", "snare", "hat", "tom", "clap"), int(rng.integers(1, 5)), False)
    step, steps = int(RATE * rng.uniform(0.09, 0.3)), int(rng.choice((8, 16)))
    for which in kit:
        hit = drum(rng, min(RATE, max(count, 1)), which) * rng.uniform(0.4, 1)
        pattern = rng.random(steps) < rng.uniform(0.2, 0.7)
        pattern[rng.integers(steps) if count > step * steps else 0] = True
        for number in range(count // step + 1):
            if pattern[number % steps]:
                place(sound, hit * rng.uniform(0.7, 1), number * step)
    return sound


KINDS = {
    "noise": noise,
    "tones": tone,
    "clicks": clicks,
    "hums": hum,
    "melodies": melody,
    "chords": chords,
    "drums": drums,
}


# Further kinds: reported, nothing is held to them


def engine(rng, count):
    """A low pulse whose speed wanders, through a body that resonates, with noise."""
    speed = rng.uniform(20, 120) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.1, 0.8) * np.arange(count) / RATE))
    phase = np.cumsum(speed) / RATE
    sound = np.exp(-8 * (phase % 1)) + 0.3 * np.exp(-8 * ((2 * phase) % 1)) - 0.2
    for centre in rng.uniform(100, 2_000, 3):
        sound = sound + band(sound, centre * 0.8, min(centre * 1.2, 7_900))
    return sound + rng.uniform(0.05, 0.3) * coloured(rng, count, 1.0)


def applause(rng, count):
    """Many claps."""
    sound = np.zeros(count)
    for start in rng.integers(0, count, int(rng.uniform(8, 60) * count / RATE) + 1):
        clap = rng.standard_normal(int(RATE * rng.uniform(0.005, 0.03)))
        place(sound, clap * np.exp(-np.arange(len(clap)) / 60) * rng.uniform(0.2, 1), int(start))
    low = rng.uniform(400, 1_000)
    return band(sound, low, rng.uniform(3, 7) * low, 1)


def beeps(rng, count):
    sound, hz, length = (
        np.zeros(count),
        2 ** rng.uniform(np.log2(300), np.log2(4_000)),
        int(RATE * rng.uniform(0.05, 0.5)),
    )
    beep = timbre(rng, hz, length) * np.minimum(np.minimum(np.arange(length), np.arange(length)[::-1]) / 80, 1)
    for start in onsets(rng, count, length / RATE * 1.1, length / RATE * 1.1 + 1):
        place(sound, beep, start)
    return sound


def dtmf(rng, count):
    sound, length = np.zeros(count), int(RATE * rng.uniform(0.05, 0.3))
    time = np.arange(length) / RATE
    for start in onsets(rng, count, length / RATE * 1.1, length / RATE * 2 + 0.1):
        key = sum(np.sin(2 * np.pi * rng.choice(row) * time) for row in DTMF)
        place(sound, key, start)
    return sound


def ring(rng, count):
    """Two tones together or in turn, on and off."""
    time, (low, high) = np.arange(count) / RATE, np.sort(rng.uniform(350, 2_500, 2))
    warble = np.sin(2 * np.pi * rng.uniform(8, 25) * time) > 0
    both = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
    turn = np.sin(2 * np.pi * np.cumsum(np.where(warble, low, high)) / RATE)
    return (both if rng.random() < 0.5 else turn) * (time % rng.uniform(1, 6) < rng.uniform(0.4, 2))


def siren(rng, count):
    time, low = np.arange(count) / RATE, rng.uniform(300, 900)
    rate, span = rng.uniform(0.1, 4), rng.uniform(1.2, 3)
    shape = np.sin(2 * np.pi * rate * time) if rng.random() < 0.5 else 2 * ((rate * time) % 1) - 1
    return timbre(rng, low * span ** (0.5 + 0.5 * shape), count)


def sweep(rng, count):
    ends = 2 ** rng.uniform(np.log2(60), np.log2(6_000), 2)
    return timbre(rng, np.geomspace(*ends, count), count)


def chirps(rng, count):
    """Bird-like: short glides at 2 to 6 kHz, in groups."""
    sound = np.zeros(count)
    base = rng.uniform(2_000, 5_000)
    for start in onsets(rng, count, 0.08, 0.6, 0.7):
        length = int(RATE * rng.uniform(0.03, 0.2))
        shape = np.sin(np.linspace(0, np.pi * rng.uniform(0.5, 6), length))
        hz = np.clip(base * 2 ** (rng.uniform(-0.3, 0.3) + 0.25 * shape), 500, 7_500)
        place(sound, np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.hanning(length), start)
    return sound + rng.choice((0, 0.02)) * coloured(rng, count, 1.0)


def music(rng, count):
    """Melody, chords, bass and drums together."""
    parts = [melody(rng, count), chords(rng, count), drums(rng, count)]
    return sum(rng.uniform(0.3, 1) * part / max(part.std(), 1e-9) for part in parts)


def frequency_modulated(rng, count):
    time, hz = np.arange(count) / RATE, rng.uniform(100, 1_500)
    rate, depth = rng.choice((rng.uniform(1, 10), rng.uniform(10, 400))), rng.uniform(0.1, 5)
    depth = depth if rate > 10 else depth * 0.2 * hz / rate
    return np.sin(2 * np.pi * hz * time + depth * np.sin(2 * np.pi * rate * time))


def modulated_noise(rng, count):
    """Noise that swells and fades three to six times a second, as syllables do."""
    time, rate = np.arange(count) / RATE, rng.uniform(2, 8)
    return coloured(rng, count, rng.uniform(0, 1.5)) * (1 + rng.uniform(0.5, 1) * np.sin(2 * np.pi * rate * time))


def modulated_tone(rng, count):
    time = np.arange(count) / RATE
    return timbre(rng, rng.uniform(90, 400), count) * (1 + np.sin(2 * np.pi * rng.uniform(2, 8) * time))


def typing(rng, count):
    sound = np.zeros(count)
    body = rng.uniform(1_000, 4_000)
    for start in onsets(rng, count, 0.08, 0.3, 0.7):
        for delay, gain in ((0, 1), (rng.uniform(0.03, 0.12), 0.5)):
            key = rng.standard_normal(int(RATE * 0.02)) * np.exp(-np.arange(int(RATE * 0.02)) / rng.uniform(20, 80))
            place(sound, gain * rng.uniform(0.4, 1) * band(key, body * 0.5, body * 1.6, 1), start + int(RATE * delay))
    return sound + 0.003 * rng.standard_normal(count)


def noise_bursts(rng, count):
    sound = np.zeros(count)
    for start in onsets(rng, count, 0.1, 0.8, 0.5):
        burst = coloured(rng, int(RATE * rng.uniform(0.03, 0.3)), rng.uniform(0, 2))
        place(sound, burst * np.hanning(len(burst)) * rng.uniform(0.3, 1), start)
    return sound


def offset(rng, count):
    """A constant, with the noise of a converter."""
    return 1.0 + 10 ** (rng.uniform(-60, -30) / 20) * rng.standard_normal(count)


def wind(rng, count):
    slow = np.interp(np.arange(count), np.arange(0, count + 4_000, 4_000), rng.uniform(0.1, 1, count // 4_000 + 2))
    return coloured(rng, count, 2.0) * slow + 0.1 * slow**2 * band(rng.standard_normal(count), 300, 900)


def rain(rng, count):
    drops = (rng.random(count) < rng.uniform(20, 400) / RATE) * rng.exponential(1, count)
    return band(drops, 1_000, 7_000, 1) + 0.05 * coloured(rng, count, 0.5)


def bells(rng, count):
    """Inharmonic partials that decay."""
    sound, time, ratios = np.zeros(count), np.arange(count) / RATE, np.sort(rng.uniform(1, 8, 8))
    for start in onsets(rng, count, 0.3, 2.0, 0.3):
        base = rng.uniform(200, 900)
        for ratio in ratios:
            hz = base * ratio
            if hz < 7_500:
                place(
                    sound, np.sin(2 * np.pi * hz * time) * np.exp(-time * ratio / rng.uniform(0.3, 2)) / ratio, start
                )
    return sound


def crackle(rng, count):
    """A record's surface: many small clicks over faint noise."""
    sound = (rng.random(count) < rng.uniform(5, 60) / RATE) * rng.standard_normal(count)
    return lfilter([1, 0.6, 0.2], [1], sound) + 0.01 * coloured(rng, count, 1.0)


FURTHER = {
    "engines": engine, "applause": applause, "beeps": beeps, "touch tones": dtmf, "ringing": ring, "sirens": siren,
    "sweeps": sweep, "bird-like chirps": chirps, "music": music, "frequency modulation": frequency_modulated,
    "noise at 2 to 8 Hz": modulated_noise, "tones at 2 to 8 Hz": modulated_tone, "typing": typing,
    "noise bursts": noise_bursts, "constant offset": offset, "wind": wind, "rain": rain, "bells": bells,
    "crackle": crackle,
}  # fmt: skip


def at_level(sound: np.ndarray, dbfs: float) -> np.ndarray:
    """(S,) float32 of that RMS about the mean, or of that peak where the RMS would pass full scale."""
    rms, peak = sound.std(), np.abs(sound).max()
    gain = 10 ** (dbfs / 20) / max(rms, 1e-12)
    if gain * peak > 1:
        gain = 10 ** (min(dbfs, 0.0) / 20) / peak
    return (gain * sound).astype(np.float32)


def draw(kind: str, seed: int) -> np.ndarray:
    """One sound of a kind of `KINDS` or `FURTHER`, 0.3 to 10 s, −50 to −3 dBFS: (S,) float32."""
    names = [*KINDS, *FURTHER]
    rng = np.random.default_rng([seed, names.index(kind)])
    count = int(RATE * np.exp(rng.uniform(*np.log(SECONDS))))
    sound = (KINDS | FURTHER)[kind](rng, count)
    return at_level(sound, rng.uniform(*LEVELS))
