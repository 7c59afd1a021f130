"""The paper's tables 1 to 3, row by row, with the figures as published.

Chen et al., "Towards LLM-Empowered Fine-Grained Speech Descriptors for Explainable Emotion Recognition", INTERSPEECH
2025, arXiv 2505.23236. All figures are in percent; the paper does not say what its CIDEr is a percentage of. Its UA on
MELD is accuracy, by comparison with other papers (the mean recall of HuBERT-large is 24 there): it compares with WA.
"""

from dataclasses import dataclass, field

IEMOCAP, MELD, EMOSEC = "IEMOCAP", "MELD", "EMOSEC"
RECOGNITION = ("ua", "wer")
CAPTIONS = ("bleu", "meteor", "rouge_l", "cider", "spice")
FIGURES = (*RECOGNITION, *CAPTIONS)
TITLES = {
    "ua": "UA",
    "wer": "WER",
    "bleu": "B@4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
    "spice": "SPICE",
}
FULL = "full"


@dataclass(frozen=True)
class System:
    """A system of the paper that `configs/paper/NAME.yaml` trains.

    Attributes:
        what: one line.
        has_asr: whether it writes transcripts; where not, there is no WER.
    """

    what: str
    has_asr: bool = True


SYSTEMS = {
    FULL: System("two streams, ASR and description in turns, descriptors, beta 1e-2"),
    "no_descriptors": System("two streams in turns, emotion and transcript without descriptors"),
    "no_asr": System("two streams, one stage: description alone", has_asr=False),
    "alternating_only": System("one stream, ASR and description in turns"),
    "two_stage": System("two streams, ASR to its end, then description"),
    "beta_1": System("full, beta 1"),
    "beta_0.1": System("full, beta 1e-1"),
    "beta_0.001": System("full, beta 1e-3"),
    "beta_0.0001": System("full, beta 1e-4"),
    "classifier_hubert": System("HuBERT-large with a classifier and CTC"),
    "classifier_wavlm": System("WavLM-large with a classifier and CTC"),
    "classifier_wav2vec2": System("wav2vec2-large with a classifier and CTC"),
}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: its name there.
        system: one of `SYSTEMS`, or the name of a system of others.
        published: data set → figure → percent, as published.
    """

    label: str
    system: str
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether a preset trains it."""
        return self.system in SYSTEMS


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        title: what it compares.
        figures: names of its figures, in the paper's order.
    """

    title: str
    figures: tuple[str, ...]
    rows: tuple[Row, ...]


def _recognition(iemocap: tuple = (), meld: tuple = ()) -> dict[str, dict[str, float]]:
    """UA, and WER where there is one, on both corpora."""
    found = {IEMOCAP: dict(zip(RECOGNITION, iemocap, strict=False)), MELD: dict(zip(RECOGNITION, meld, strict=False))}
    return {data: figures for data, figures in found.items() if figures}


def _captions(*values: float) -> dict[str, dict[str, float]]:
    """B@4, METEOR, ROUGE-L, CIDEr and SPICE, or the first of them."""
    return {EMOSEC: dict(zip(CAPTIONS, values, strict=False))}


_SED = {
    FULL: _captions(10.3, 22.1, 30.4, 19.3, 9.0),
    "no_asr": _captions(10.2, 22.0, 30.1, 19.2, 8.8),
    "alternating_only": _captions(7.1, 15.8, 24.1, 10.7, 5.9),
    "two_stage": _captions(8.0, 17.9, 26.7, 16.3, 5.1),
    "beta_1": _captions(7.8),
    "beta_0.1": _captions(9.8),
    "beta_0.001": _captions(10.4),
    "beta_0.0001": _captions(10.0),
}
_SER = {
    FULL: _recognition((77.6, 11.1), (60.1, 25.3)),
    "no_descriptors": _recognition((70.6, 18.9), (53.3, 29.6)),
    "no_asr": _recognition((75.5,), (56.5,)),
    "alternating_only": _recognition((73.6, 24.3), (56.4, 29.9)),
    "two_stage": _recognition((76.8, 10.7), (59.1, 25.0)),
    "beta_1": _recognition((72.8,), (53.5,)),
    "beta_0.1": _recognition((77.3,), (59.7,)),
    "beta_0.001": _recognition((77.4,), (60.2,)),
    "beta_0.0001": _recognition((77.1,), (59.8,)),
    "classifier_hubert": _recognition((64.6,), (53.2,)),
    "classifier_wavlm": _recognition((68.9,), (54.6,)),
    "classifier_wav2vec2": _recognition((69.3,), (54.8,)),
}


def _both(label: str, system: str) -> Row:
    return Row(label, system, _SER[system] | _SED.get(system, {}))


TABLES = {
    "1": Table(
        "Table 1: descriptions of speech",
        CAPTIONS,
        (
            Row("P1", "HTSAT-BART", _captions(4.5)),
            Row("P2", "NoAudioCap", _captions(6.7)),
            Row("P3", "SECap", _captions(7.4)),
            Row("P4", "AlignCap", _captions(9.8)),
            Row("Sys.1", "alternating_only", _SED["alternating_only"]),
            Row("Sys.2", "no_asr", _SED["no_asr"]),
            Row("Sys.3", FULL, _SED[FULL]),
        ),
    ),
    "2": Table(
        "Table 2: speech emotion recognition",
        RECOGNITION,
        (
            Row("P1", "SALMONN", _recognition((67.0,), (32.9,))),
            Row("P2", "Qwen-Audio", _recognition((), (55.7,))),
            Row("P3", "WavLLM", _recognition((72.0,))),
            Row("P4", "Whisper+LLaMA", _recognition((77.2,))),
            Row("P5", "BLSP-Emo", _recognition((78.6,), (56.4,))),
            Row("P6", "orthogonal constraint", _recognition((74.8,))),
            Row("P7", "two-stage VIB", _recognition((64.8,))),
            Row("P8", "wav2vec2 multi-task", _recognition((77.5,))),
            Row("Sys.1", "classifier_hubert", _SER["classifier_hubert"]),
            Row("Sys.2", "classifier_wavlm", _SER["classifier_wavlm"]),
            Row("Sys.3", "classifier_wav2vec2", _SER["classifier_wav2vec2"]),
            Row("Sys.4", "alternating_only", _SER["alternating_only"]),
            Row("Sys.5", "no_descriptors", _SER["no_descriptors"]),
            Row("Sys.6", "no_asr", _SER["no_asr"]),
            Row("Sys.7", FULL, _SER[FULL]),
        ),
    ),
    "3": Table(
        "Table 3: what each part adds, and beta",
        FIGURES,
        (
            _both("Sys.1", "no_asr"),
            _both("Sys.2", "two_stage"),
            _both("Sys.3", "no_descriptors"),
            _both("Sys.4", FULL),
            _both("Sys.5", "beta_1"),
            _both("Sys.6", "beta_0.1"),
            _both("Sys.7", "beta_0.001"),
            _both("Sys.8", "beta_0.0001"),
        ),
    ),
}


def places_of(system: str) -> list[str]:
    """Where a system stands in the paper, such as `["table 2, Sys.7", "table 3, Sys.4"]`."""
    return [
        f"table {number}, {row.label}"
        for number, table in TABLES.items()
        for row in table.rows
        if row.system == system
    ]
