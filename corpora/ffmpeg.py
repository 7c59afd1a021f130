"""The sound of a video by FFmpeg, which is a program of its own: libsndfile reads no mp4."""

import io
import os
import re
import shutil
import subprocess

import numpy as np
import soundfile

from xser.downmix_xser import Downmix

SAMPLE_RATE = 16_000
FULL_SCALE = 2**15
TIMEOUT = 120.0  # seconds; a clip takes a fraction of one
CENTRE = 2  # of front left, front right, front centre, …
WITH_CENTRE = (3, 5, 6, 7, 8)  # numbers of channels whose usual layouts begin so; with four, the third is at the back
ADDRESS = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\]\s*")  # of one of FFmpeg's objects; differs in every run


def extract_audio(path: str | os.PathLike, timeout: float = TIMEOUT) -> bytes:
    """The first sound track of a file, as a mono FLAC file of 16 kHz.

    Of surround sound the centre channel, where films have their dialogue; any other channels are mixed as those of all
    recordings are (see `downmix_xser`).

    Args:
        path: any file that FFmpeg reads.
        timeout: seconds after which FFmpeg is stopped.

    Raises:
        ImportError: there is no FFmpeg; says how to install it.
        ValueError: FFmpeg cannot read the file (with the last line that it wrote), finds no sound, or does not end.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise ImportError(
            "FFmpeg is needed for the sound of mp4 files, and no program `ffmpeg` is on PATH: install it (apt install "
            "ffmpeg, brew install ffmpeg, conda install ffmpeg), or put a wav file beside each mp4"
        )
    command = [program, "-nostdin", "-v", "error", "-threads", "1"]
    command += ["-i", f"file:{os.path.abspath(path)}", "-map", "0:a:0", "-ar", str(SAMPLE_RATE)]
    command += ["-c:a", "pcm_s16le", "-f", "wav", "pipe:1"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"FFmpeg did not end within {timeout:g} s") from error
    if done.returncode:
        raise ValueError(f"FFmpeg cannot read the file: {_last_line(done.stderr) or f'exit {done.returncode}'}")
    return _mono_flac(done.stdout)


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").split("\n")
    return next((ADDRESS.sub("", line.strip()) for line in reversed(lines) if line.strip()), "")


def _mono_flac(wav: bytes) -> bytes:
    try:
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError("FFmpeg found no sound in the file") from error
    if not len(samples):
        raise ValueError("FFmpeg found no sound in the file: its track is empty")
    if samples.shape[1] in WITH_CENTRE:
        mono = samples[:, CENTRE]
    else:
        levels = samples / np.float32(FULL_SCALE)
        mono = Downmix.of(levels).apply(levels)  # (S, C) -> (S,)
        mono = np.rint(mono * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
    flac = io.BytesIO()
    soundfile.write(flac, mono.astype(np.int16), rate, format="FLAC", subtype="PCM_16")
    return flac.getvalue()
