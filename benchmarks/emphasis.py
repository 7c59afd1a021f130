"""Is the stressed word found? On synthetic sentences of which one word is stressed, and on others of which none is.

    python benchmarks/emphasis.py --output docs/results/emphasis.json

By aligner: letters (no weights), eSpeak NG (which also spoke these sentences, in other voices: its word times flatter
it), and CTC of a model that was trained on sentences like these.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.audio_xser import load_audio
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.descriptors.align import Aligner, align, align_by_letters
from xser.descriptors.align_ctc import CTCAligner
from xser.descriptors.align_espeak import EspeakAligner
from xser.descriptors.emphasis import emphasised, prominence
from xser.evaluation.report import command_line, text_table
from xser.prosody_xser import measure

TARGET = 0.85
COLUMNS = (
    "word times by",
    "one word stressed, n",
    "it is the most prominent",
    "target",
    "it alone is told",
    "told others or none",
    "no word stressed, n",
    "none is told",
    "false alarms",
    "alignment, ms of CPU a recording",
)


def judge(aligner: Aligner, recordings: list[tuple]) -> tuple[str, ...]:
    """A row of the table: shares of `recordings`, each (wave, prosody, text, stressed words)."""
    first, alone, wrong, none, alarms, seconds = [], [], [], [], [], 0.0
    for wave, prosody, text, stressed in tqdm(recordings, leave=False):
        started = time.process_time()
        words = align(wave, text, aligner)
        seconds += time.process_time() - started
        told = emphasised(prosody, words)
        if stressed:
            first.append(words[int(np.nanargmax(prominence(prosody, words)))].text == stressed[0])
            alone.append(told == stressed)
            wrong.append(told is not None and told != stressed)
        else:
            none.append(told == [])
            alarms.append(bool(told))
    shares = [f"{np.mean(values):.3f}" if values else "" for values in (first, alone, wrong, none, alarms)]
    found, *told_shares = shares[:3]
    cost = f"{1000 * seconds / len(recordings):.0f}"
    return str(len(first)), found, f"at least {TARGET}", *told_shares, str(len(none)), *shares[3:], cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="checkpoints/xser-tiny", help="whose CTC gives word times")
    parser.add_argument("--split", default="test", help="test, or test_unseen for other voices")
    parser.add_argument("--limit", type=int, help="only the first so many sentences")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    recordings = []
    for row in tqdm(load_corpus("espeak", split=arguments.split, limit=arguments.limit), leave=False):
        wave = load_audio(row["audio"])
        recordings.append((wave, measure(wave), row["text"], row["descriptors"]["emphasis"]))
    aligners = {
        "letters": align_by_letters,
        "eSpeak NG": EspeakAligner("en-us"),
        f"CTC of {arguments.model}": CTCAligner.from_pretrained(arguments.model),
    }
    rows = [(name, *judge(aligner, recordings)) for name, aligner in aligners.items()]
    title = f"The stressed word, on the {arguments.split} split of the espeak corpus"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
