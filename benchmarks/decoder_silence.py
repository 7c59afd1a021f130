"""How much silence a Whisper decoder wants after a recording in the states that it reads: WER by seconds of it.

    python benchmarks/decoder_silence.py --whisper openai/whisper-base --corpus data/speech --output silence.json

XSER's streams read states of the recording's true length (0 s); the stock encoder's have silence up to 30 s. One
recording of each of `--limit` speakers, drawn under a fixed seed; greedy decoding of at most 100 tokens, language and
task given; texts through transformers' English normaliser.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoTokenizer, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from xser.audio_tower_xser import audio_tower
from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.backbone_places_xser import place_of
from xser.backbones_xser import load_whole
from xser.corpora.cache import write_json
from xser.eval import load_rows
from xser.evaluation.edits import count_word_edits, text_normalizer
from xser.evaluation.report import command_line, text_table, without_place

COLUMNS = ("seconds of silence", "recordings", "WER")
ALL = 30.0  # s: up to which it is filled
LONGEST = 100  # tokens


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", required=True, help="folder or Hub id")
    parser.add_argument("--corpus", required=True, help="folder of recordings with texts and speakers")
    parser.add_argument("--language", default="en", help="of the recordings")
    parser.add_argument("--silence", type=float, nargs="+", default=[0.0, 1.0, 3.0, ALL])
    parser.add_argument("--limit", type=int, default=10, help="speakers")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    rows = load_rows(arguments.corpus, "all", None)
    first = {speaker: index for index, speaker in reversed(list(enumerate(rows["speaker"])))}
    chosen = np.random.default_rng(0).permutation(sorted(first.values()))[: arguments.limit]
    rows = rows.select(sorted(chosen.tolist()))
    waves = [torch.from_numpy(load_audio(audio)).unsqueeze(0) for audio in rows["audio"]]
    normalize = text_normalizer("english")
    said = [normalize(text) for text in rows["text"]]

    place = place_of(arguments.whisper)
    model = load_whole(WhisperForConditionalGeneration, place, dtype=torch.float32).eval()
    tokenizer, kind = AutoTokenizer.from_pretrained(place), audio_tower(model.config)
    options = {"language": arguments.language, "task": "transcribe", "max_new_tokens": LONGEST}

    @torch.no_grad()
    def transcript(wave: torch.Tensor, seconds: float) -> str:  # (1, S)
        silence = min(int(seconds * SAMPLE_RATE), kind.max_samples - wave.shape[1])
        states = kind.encode(model.model.encoder, torch.nn.functional.pad(wave, (0, silence)))[-1]
        ids = model.generate(encoder_outputs=BaseModelOutput(last_hidden_state=states), **options)
        return normalize(tokenizer.decode(ids[0], skip_special_tokens=True))

    table = []
    for seconds in arguments.silence:
        found = [transcript(wave, seconds) for wave in tqdm(waves, desc=f"{seconds:g} s", unit="recording")]
        edits, words = count_word_edits(found, said).sum(0)
        name = "up to 30 s" if seconds >= ALL else f"{seconds:g}"
        table.append((name, str(len(waves)), f"{edits / words:.2f}"))
    whisper, corpus = without_place(arguments.whisper), without_place(arguments.corpus)
    title = f"Silence after a recording, and the words of {whisper} on {corpus}"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": table})
    print(title, text_table(table, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
