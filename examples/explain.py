"""Explain one recording from Python, and draw it.

    python examples/explain.py --audio recording.wav --picture explanation.png

Without `--audio`, the first utterance of the synthetic test set is explained, beside its labels.
"""

import json
from pathlib import Path

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import load_audio
from xser.commands.entry import CommandParser, run_command
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.evaluation.picture import draw_explanation
from xser.evaluation.report import command_line


def main() -> None:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--model", default="checkpoints/xser-tiny")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--output", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    model = XSERForEmotionDescription.from_pretrained(arguments.model)
    processor = XSERProcessor.from_pretrained(arguments.model)
    known = {}
    source, title = arguments.audio, str(arguments.audio)
    if source is None:
        row = load_corpus("espeak", split="test", limit=1)[0]
        source, title = row["audio"], row["id"]
        known["truth"] = {key: row[key] for key in ("emotion", "descriptors", "text")}
    answer = model.explain([source], processor)[0]
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    if arguments.picture:
        print(f"drawn: {draw_explanation(answer, load_audio(source), arguments.picture, title)}")
    if arguments.output:
        write_json(arguments.output, {"command": command_line(), "title": title, **known, "answer": answer})


if __name__ == "__main__":
    run_command("explain.py", main)
