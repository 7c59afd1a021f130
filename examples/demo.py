"""What XSER does, in minutes: explain, evaluate, fine-tune (`make demo`, or `make demo AUDIO=recording.wav`).

1. Explains a recording, within seconds, and draws a picture: yours, by the model for real voices, or a synthetic one.
2. Evaluates the model of synthetic speech on held-out sentences, beside the best possible.
3. Fine-tunes it for a minute on voices and accents that its training lacks, and shows before and after.
"""

import subprocess
import sys
import time
from pathlib import Path

from xser.commands.answer_formats import TextFormat
from xser.commands.entry import CommandParser, run_command
from xser.commands.models import about, choose_model, find_model, load_pipeline, quiet

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
NUM_TEST, NUM_UNSEEN = 300, 60
SHOWN = ("emotion, UA", "UA, best possible", "accuracy", "WER")


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def first_synthetic() -> dict:
    """The first utterance of the synthetic test set."""
    from xser.corpora import load_corpus

    return load_corpus("espeak", split="test", limit=NUM_TEST)[0]


def explain(explainer, source, title: str, picture: Path, truth: dict | None = None) -> None:
    """Explain one recording: the answer to the terminal, the picture to `picture`."""
    from xser.audio_xser import load_audio
    from xser.evaluation.picture import draw_explanation

    answer = explainer(source, verify=True)
    TextFormat(sys.stdout, is_single=True).write({"file": title, **answer})
    if truth is not None:
        print(f"labels: {', '.join(f'{name} {value}' for name, value in truth.items())}")
    draw_explanation(answer, load_audio(source), picture, title)
    print(f"picture: {picture}", flush=True)


def about_unseen_speakers() -> str:
    """How far to trust the model for real voices on an unseen speaker."""
    from xser.evaluation.report import read_json

    names = ("xser-nemo", "xser-nemo-reference")
    without, with_reference = (read_json(RESULTS / f"{name}.json")["ua"] for name in names)
    return (
        f"(xser-nemo is trained on six actors who speak Polish. For a seventh it predicts {without:.0%} of six\n"
        f"emotions, {with_reference:.0%} with a reference; chance is 17%. Other languages, and emotions that are not\n"
        "acted, are not measured. Its transcript is not to be used.)"
    )


def fine_tune(model: str, out: Path) -> str:
    """Fine-tune by train.py; the folder of the new model."""
    options = ["configs/demo-finetune.yaml", "--model", model, "--output_dir", str(out)]
    print(f"xser train {' '.join(options)}", flush=True)
    subprocess.run([sys.executable, "-m", "xser", "train", *options], cwd=ROOT, check=True)
    return str(out / "final")


def evaluate(explainer, split: str, limit: int) -> dict:
    """The figures of a model on the first utterances of a split."""
    from xser.corpora import load_corpus
    from xser.evaluation.evaluator import evaluate_model

    figures, _ = evaluate_model(explainer.model, explainer.processor, load_corpus("espeak", split=split, limit=limit))
    return figures


def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, help="a recording of your own")
    parser.add_argument("--model", default=str(ROOT / "checkpoints" / "xser-tiny"), help="the model to show")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures and the new model")
    arguments = parser.parse_args(argv)
    started, out, model = time.perf_counter(), arguments.out, find_model(arguments.model)

    heading("1/3  An explanation")
    if arguments.audio is not None:
        own = choose_model()
        print(f"model: {own}")
        title = f"{arguments.audio.name}, by {about(own.model)}"
        explain(load_pipeline(own.model), arguments.audio, title, out / f"{arguments.audio.stem}.png")
        if Path(own.model).name == "xser-nemo":
            print(about_unseen_speakers())
    with quiet():
        explainer = load_pipeline(model)
    if arguments.audio is None:
        row = first_synthetic()
        truth = {"emotion": row["emotion"], **row["descriptors"], "text": repr(row["text"])}
        explain(explainer, row["audio"], f"synthetic speech, by {about(model)}", out / "explanation.png", truth)

    from xser.evaluation.report import figure_rows, text_table

    heading(f"2/3  Evaluation on {NUM_TEST} held-out sentences")
    figures = evaluate(explainer, "test", NUM_TEST)
    print(text_table(figure_rows(figures), ("figure", "value", "n")))

    heading("3/3  A minute of fine-tuning on unseen voices and accents")
    before = evaluate(explainer, "test_unseen", NUM_UNSEEN)
    tuned = fine_tune(str(Path(model).resolve()), out.resolve() / "adapted")
    after = evaluate(load_pipeline(tuned), "test_unseen", NUM_UNSEEN)

    heading("What came out")
    evaluations = (figures, before, after)
    columns = [{figure: value.split(" ")[0] for figure, value, _ in figure_rows(each)} for each in evaluations]
    shown = [figure for figure in columns[0] if any(part in figure for part in SHOWN)]
    rows = [(figure, *(column.get(figure, "") for column in columns)) for figure in shown]
    rows.append(("utterances", *(str(each["n"]) for each in evaluations)))
    print(text_table(rows, ("", "seen voices", "unseen, before", "unseen, after")))
    print(f"\nthe fine-tuned model: {out / 'adapted' / 'final'}")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes; all 1,500 sentences: make results")


if __name__ == "__main__":
    run_command("demo", main)
