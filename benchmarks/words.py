"""Words: a model end to end, the model with a transcriber, and a plain Whisper, on the same recordings.

    python benchmarks/words.py --model DIR --whisper openai/whisper-base --corpus data/speech --split test \
        --output docs/results/words.json

WER of each, texts and references through transformers' English normaliser for Whisper, with intervals over speakers;
and the difference from the plain Whisper over the same recordings, paired. That one decodes greedily with silence up
to 30 s, language and task given, as the transcriber does. A recording that one of the three leaves out is left out of
all. Where XSER finds no speech it transcribes nothing, and all words count as missing; the plain Whisper transcribes
everything.
"""

import argparse
from pathlib import Path

import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_xser import SAMPLE_RATE, AudioError, load_audio
from xser.backbone_places_xser import place_of
from xser.backbones_xser import load_whole
from xser.corpora.cache import write_json
from xser.eval import load_rows, of_speakers
from xser.evaluation.edits import TextNormalizer, text_normalizer
from xser.evaluation.evaluator import evaluate_model, sampled
from xser.evaluation.predictions import reference_of, write_predictions
from xser.evaluation.report import NOT_KNOWN, command_line, text_table, without_place
from xser.evaluation.scoring import score
from xser.evaluation.significance import WordErrors, compare_words

COLUMNS = ("words", "n", "WER", "95% interval", "less the plain Whisper's", "95% interval of the difference")
OWN, PLAIN = "end to end", "plain {}, greedy"


@torch.no_grad()
def plain_whisper(source: str, rows: Dataset, batch_size: int, options: dict) -> list[dict]:
    """Predictions of a Whisper's own greedy decoding; recordings that cannot be read are left out."""
    source = place_of(source)
    model = load_whole(WhisperForConditionalGeneration, source, dtype=torch.float32).eval()
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    predictions = []
    for start in tqdm(range(0, len(rows), batch_size), desc="transcribing", unit="batch"):
        batch = []
        for row in rows.select(range(start, min(start + batch_size, len(rows)))):
            try:
                batch.append((row, load_audio(row["audio"])))
            except AudioError as error:
                tqdm.write(f"left out: {row['id']}: {error}")
        if not batch:
            continue
        waves = [wave for _, wave in batch]
        features = extractor(waves, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        ids = model.generate(features, num_beams=1, do_sample=False, **options)
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        predictions += [
            {"id": row["id"], "reference": reference_of(row), "emotion": None, "transcript": text.strip()}
            for (row, _), text in zip(batch, texts, strict=True)
        ]
    return predictions


def on_common(systems: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Predictions of the utterances that all systems have, in the order of the first."""
    by_id = {name: {each["id"]: each for each in of} for name, of in systems.items()}
    first, *others = by_id.values()
    common = [key for key in first if all(key in other for other in others)]
    return {name: [of[key] for key in common] for name, of in by_id.items()}


def table_row(name: str, predictions: list[dict], against: WordErrors | None, normalizer: TextNormalizer) -> tuple:
    """A row of the table; `against` is `None` for the plain Whisper itself."""
    empty = dict.fromkeys(("descriptors", "emphasis", "scores"))
    scored = score([empty | each for each in predictions], normalizer=normalizer)
    interval = scored["intervals"].get("wer")
    return (
        name,
        str(scored["n_of"]["text"]),
        f"{scored['wer']:.3f}",
        NOT_KNOWN if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}",
        NOT_KNOWN if against is None else f"{against.difference:+.3f}",
        NOT_KNOWN if against is None or against.low is None else f"{against.low:+.3f} to {against.high:+.3f}",
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--whisper", required=True, help="folder or Hub id of the plain one")
    parser.add_argument("--transcriber", default="tower", help="as of eval.py")
    parser.add_argument("--language", default="en", help="of the recordings")
    parser.add_argument("--corpus", required=True, help="name of a corpus, or a folder")
    parser.add_argument("--split", default="test", help="'all' for everything")
    parser.add_argument("--speakers", nargs="+", default=[], help="these alone")
    parser.add_argument("--limit", type=int, help="so many rows, drawn under a fixed seed")
    parser.add_argument("--spellings", help="of the normaliser: JSON file, or a Whisper's folder or Hub id")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--predictions", type=Path, help="folder to write every transcript to")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    normalizer = text_normalizer("english", arguments.spellings)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=torch.float32).eval()
    processor = XSERProcessor.from_pretrained(arguments.model)
    rows = load_rows(arguments.corpus, arguments.split, None)
    rows = sampled(of_speakers(rows, arguments.speakers) if arguments.speakers else rows, arguments.limit)

    options = {"language": arguments.language, "task": "transcribe"}
    by_another = {"transcriber": arguments.transcriber, "transcriber_options": options}
    name = without_place(arguments.transcriber)
    systems = {
        OWN: evaluate_model(model, processor, rows, arguments.batch_size)[1],
        f"with transcriber {name}": evaluate_model(model, processor, rows, arguments.batch_size, **by_another)[1],
        PLAIN.format(Path(arguments.whisper).name): plain_whisper(
            arguments.whisper, rows, arguments.batch_size, options
        ),
    }
    systems = on_common(systems)
    *others, plain = systems
    compared = {each: compare_words(systems[each], systems[plain], normalizer=normalizer) for each in others}
    table = [table_row(each, systems[each], compared.get(each), normalizer) for each in systems]
    left_out = len(rows) - len(systems[plain])
    of = next(each.of for each in compared.values())
    title = (
        f"Words of {without_place(arguments.model)} on {without_place(arguments.corpus)}, {arguments.split}: "
        f"WER by {normalizer.name}, "
        f"intervals over {of}; {left_out} recordings left out"
    )
    results = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": table}
    write_json(arguments.output, {**results, "normalizer": normalizer.name, "options": options})
    if arguments.predictions is not None:
        for each, predictions in systems.items():
            write_predictions(arguments.predictions / f"{each.replace(' ', '-').replace(',', '')}.jsonl", predictions)
    print(title, text_table(table, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
