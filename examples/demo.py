"""What XSER does, in minutes: evaluate, explain, fine-tune (`make demo`, or `make demo AUDIO=recording.wav`).

1. Evaluates the shipped model on synthetic sentences that it has not heard, beside the best possible.
2. Explains two of them, and your recording if you give one, and draws a picture. The synthetic ones are explained by
   the model that was trained on such voices, yours by the one that was trained on real ones.
3. Fine-tunes for a minute on voices and accents it has never heard, and shows before and after.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import load_audio
from xser.corpora import load_corpus
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.picture import draw_explanation
from xser.evaluation.report import figure_rows, read_json, text_table

ROOT = Path(__file__).parent.parent
REAL_VOICES = ROOT / "checkpoints" / "xser-nemo"  # for the recordings of users
RESULTS = ROOT / "docs" / "results"
NUM_TEST, NUM_UNSEEN = 1000, 300
SHOWN = ("emotion, UA", "UA, best possible", "accuracy", "WER")


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def load(folder: Path) -> tuple[XSERForEmotionDescription, XSERProcessor]:
    """A model, in float32, and its processor."""
    if not folder.is_dir():
        sys.exit(f"demo: {folder} is not there; how it is made stands in docs/training.md")
    model = XSERForEmotionDescription.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), XSERProcessor.from_pretrained(folder)


def explain(model, processor, source, title: str, out: Path, truth: dict | None = None) -> Path:
    """Explain one recording: the dict to the terminal, the picture to `out`."""
    answer = model.explain([source], processor)[0]
    print(f"\n{title}")
    if truth is not None:
        print(f"what was drawn: {json.dumps(truth, ensure_ascii=False)}")
    if answer["scores"] is not None:
        answer["scores"] = {name: round(score, 3) for name, score in answer["scores"].items()}
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return draw_explanation(answer, load_audio(source), out, title)


def about_strangers() -> str:
    """What the answer of the model of real voices is worth for a voice that it has never heard."""
    names = (REAL_VOICES.name, f"{REAL_VOICES.name}-reference")
    without, with_reference = (read_json(RESULTS / f"{name}.json")["ua"] for name in names)
    return (
        f"({REAL_VOICES.name} learned from six actors who spoke Polish. Of one it had never heard it knew\n"
        f"{without:.0%} of the emotions, {with_reference:.0%} where it knew what is usual for the voice; guessing\n"
        "gives 17%. Other languages, and feelings that nobody acts, were not measured: trust it less there.\n"
        "Its transcript is worth nothing.)"
    )


def adapt(model: Path, out: Path) -> Path:
    """Fine-tune by train.py; the folder of the new model."""
    options = ["configs/demo-finetune.yaml", "--model", str(model), "--output_dir", str(out)]
    print(f"python train.py {' '.join(options)}", flush=True)
    subprocess.run([sys.executable, "train.py", *options], cwd=ROOT, check=True)
    return out / "final"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, help="a recording of your own")
    parser.add_argument("--model", type=Path, default=ROOT / "checkpoints" / "xser-tiny", help="the model to show")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures and the adapted model")
    arguments = parser.parse_args()
    started, out = time.perf_counter(), arguments.out
    model, processor = load(arguments.model)
    wave = load_audio(arguments.audio) if arguments.audio else None  # a bad file shows now, not minutes later
    own = load(REAL_VOICES) if arguments.audio else None

    heading(f"1/3  Evaluation on {NUM_TEST} held-out sentences")
    test = load_corpus("espeak", split="test")
    figures, _ = evaluate_model(model, processor, test, limit=NUM_TEST)
    print(text_table(figure_rows(figures), ("figure", "value", "n")))

    heading("2/3  Explanations")
    pictures = []
    for number, row in enumerate(test.select(range(2)), start=1):
        truth = {"emotion": row["emotion"], **row["descriptors"], "text": row["text"]}
        path = out / f"explanation-{number}.png"
        pictures.append(explain(model, processor, row["audio"], f"synthetic recording {number}", path, truth))
    if wave is not None:
        path = out / f"{arguments.audio.stem}.png"
        pictures.append(explain(*own, (wave, 16_000), f"{arguments.audio.name}, by {REAL_VOICES.name}", path))
        print(about_strangers())

    heading("3/3  A minute of fine-tuning on voices and accents never heard")
    unseen = load_corpus("espeak", split="test_unseen", limit=NUM_UNSEEN)
    before, _ = evaluate_model(model, processor, unseen)
    adapted = load(adapt(arguments.model.resolve(), out.resolve() / "adapted"))
    after, _ = evaluate_model(*adapted, unseen)

    heading("What came out")
    evaluations = (figures, before, after)
    columns = [{figure: value.split(" ")[0] for figure, value, _ in figure_rows(each)} for each in evaluations]
    shown = [figure for figure in columns[0] if any(part in figure for part in SHOWN)]
    rows = [(figure, *(column.get(figure, "") for column in columns)) for figure in shown]
    rows.append(("utterances", *(str(each["n"]) for each in evaluations)))
    print(text_table(rows, ("", "known voices", "new voices, before", "and after")))
    print(f"\npictures: {', '.join(map(str, pictures))}")
    print(f"the adapted model: {out / 'adapted' / 'final'}")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
