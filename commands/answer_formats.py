"""Answers as text for a person, and as JSON, JSON lines and CSV for programs.

An answer is a dict of the pipeline with `file` before it. A format is a class with `write(answer)` for each answer as
it comes and `close()` after the last.
"""

import csv
import json
from typing import TextIO

BAR = 24  # characters of a bar of probability 1
MARKS = {"agree": "✓", "contradict": "✗", "can't tell": "?"}
STATUS = {"no_speech": "no speech is found", "too_short": "too short"}


class JsonFormat:
    """One object for a single recording, an array for more."""

    def __init__(self, stream: TextIO, is_single: bool):
        self.stream, self.is_single, self.answers = stream, is_single, []

    def write(self, answer: dict) -> None:
        self.answers.append(answer)

    def close(self) -> None:
        value = self.answers[0] if self.is_single and self.answers else self.answers
        self.stream.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


class JsonLinesFormat:
    """An object a line, written as soon as it is known."""

    def __init__(self, stream: TextIO, is_single: bool):
        self.stream = stream

    def write(self, answer: dict) -> None:
        self.stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
        self.stream.flush()

    def close(self) -> None:
        pass


class CsvFormat:
    """A row a recording: one column for each score, descriptor and verdict.

    Which columns there are follows from all answers, so that nothing is written before the last.
    """

    FIRST = ("file", "status", "emotion")
    LAST = ("emphasis", "transcript", "transcript_source", "explanation", "error")

    def __init__(self, stream: TextIO, is_single: bool):
        self.stream, self.rows = stream, []

    def write(self, answer: dict) -> None:
        row = {name: answer.get(name) for name in (*self.FIRST, *self.LAST)}
        if answer.get("emphasis") is not None:
            row["emphasis"] = " ".join(answer["emphasis"]) or "none"
        row |= {f"score_{emotion}": score for emotion, score in (answer.get("scores") or {}).items()}
        row |= answer.get("descriptors") or {}
        for slot, verdict in (answer.get("verification") or {}).items():
            row |= {f"{slot}_verdict": verdict["verdict"], f"{slot}_value": verdict["value"]}
        self.rows.append(row)

    def close(self) -> None:
        known = dict.fromkeys(name for row in self.rows for name in row)
        between = [name for name in known if name not in (*self.FIRST, *self.LAST)]
        writer = csv.DictWriter(self.stream, [*self.FIRST, *between, *self.LAST], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)


class TextFormat:
    """What a person reads: the emotion, the likeliest others, every descriptor with its verdict, the sentence."""

    def __init__(self, stream: TextIO, is_single: bool):
        self.stream = stream

    def write(self, answer: dict) -> None:
        self.stream.write("\n".join([str(answer["file"]), *self._lines(answer)]) + "\n\n")
        self.stream.flush()

    def close(self) -> None:
        pass

    def _lines(self, answer: dict) -> list[str]:
        if answer["status"] == "error":
            return ["  not explained: see the message above"]
        if answer["status"] != "ok":
            return [f"  {STATUS.get(answer['status'], answer['status'])}: no emotion is predicted"]
        lines = [f"  {answer['explanation']}"] if answer["explanation"] else []
        scores = answer["scores"] or {}
        width = max((len(name) for name in scores), default=0)
        for name in sorted(scores, key=scores.get, reverse=True):
            bar = "█" * round(BAR * scores[name])
            lines.append(f"  {name:<{width}}  {scores[name]:>4.0%}  {bar}".rstrip())
        verdicts = answer.get("verification") or {}
        levels = answer["descriptors"] or {}
        slots, values = (max(map(len, part), default=0) for part in (levels, levels.values()))
        for slot, level in levels.items():
            line = f"  {slot:<{slots}}  {level:<{values}}"
            if slot in verdicts:
                verdict = verdicts[slot]
                line += f"  {MARKS[verdict['verdict']]} {verdict['verdict']}: {verdict['reason']}"
            lines.append(line.rstrip())
        if answer["emphasis"]:
            lines.append(f"  stress on {', '.join(answer['emphasis'])}")
        if answer["transcript"]:
            lines.append(f"  “{answer['transcript']}” (words: {answer['transcript_source']})")
        warning = (answer.get("speaker_reference") or {}).get("warning")
        return [*lines, *([f"  reference: {warning}"] if warning else [])]


FORMATS = {"text": TextFormat, "json": JsonFormat, "jsonl": JsonLinesFormat, "csv": CsvFormat}

__all__ = ["FORMATS"]
