"""What a card's metadata says of the figures, and whether the Hub's own reader takes it."""

import yaml
from huggingface_hub import ModelCard

from xser.publishing.card import render_card
from xser.publishing.choosing import License

CONFIG = {
    "audio_config": {"model_type": "hubert", "num_hidden_layers": 2, "hidden_size": 8},
    "text_config": {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8},
    "freeze_audio_tower": True,
    "lora": None,
    "emotions": ["sad", "angry"],
    "descriptors": {"pitch": ["low", "high"]},
    "min_audio_seconds": 0.1,
    "max_audio_seconds": 30,
}
EVALUATION = {
    "command": "python eval.py",
    "corpus": "data/nemo",
    "split": "test",
    "n": 10,
    "left_out": [],
    "ua": 0.81234,
    "ua_interval": [0.7, 0.9],
    "ua_interval_of": "speakers",
    "wa": 0.8,
    "macro_f1": 0.79996,
    "wer": 0.125,
    "cer": None,
    "recall": {"sad": 0.8},
    "descriptors": {"pitch": 0.75},
    "intervals": {
        "ua": {"low": 0.7, "high": 0.9, "of": "speakers"},
        "macro_f1": {"low": 0.65, "high": 0.88, "of": "speakers"},
        "pitch.accuracy": {"low": 0.5, "high": 0.91, "of": "utterances"},
    },
    "n_of": {"emotion": 10, "text": 9, "pitch": 8, "recall": {"sad": 10}},
}


def card(*evaluations):
    return render_card("someone/xser-test", CONFIG, 100, list(evaluations), [], [], License("apache-2.0"))


def metadata(text):
    return yaml.safe_load(text.split("---\n", 2)[1])


def test_figures_stand_in_the_model_index_with_interval_and_n():
    (result,) = metadata(card(EVALUATION))["model-index"][0]["results"]
    assert result["metrics"] == [
        {
            "type": "unweighted_accuracy",
            "name": "UA (95% interval 0.700 to 0.900 over speakers, n 10)",
            "value": 0.8123,
        },
        {"type": "accuracy", "name": "WA", "value": 0.8},
        {
            "type": "f1",
            "name": "macro F1 (95% interval 0.650 to 0.880 over speakers, n 10)",
            "value": 0.8,
            "args": {"average": "macro"},
        },
        {"type": "wer", "name": "WER", "value": 0.125},
        {
            "type": "accuracy",
            "name": "accuracy of pitch (95% interval 0.500 to 0.910 over utterances, n 8)",
            "value": 0.75,
        },
    ]


def test_only_what_was_measured_is_called_a_metric():
    assert metadata(card(EVALUATION))["metrics"] == ["unweighted_accuracy", "accuracy", "f1", "wer"]
    words = EVALUATION | {"cer": 0.05}
    assert metadata(card(EVALUATION, words))["metrics"][-1] == "cer"
    (_, second) = metadata(card(EVALUATION, words))["model-index"][0]["results"]
    assert {"type": "cer", "name": "CER", "value": 0.05} in second["metrics"]


def test_the_hub_reads_every_figure():
    read = ModelCard(card(EVALUATION | {"cer": 0.05})).data.eval_results
    assert {(r.metric_type, r.metric_value) for r in read} == {
        *(("unweighted_accuracy", 0.8123), ("accuracy", 0.8), ("f1", 0.8), ("wer", 0.125), ("cer", 0.05)),
        ("accuracy", 0.75),
    }
    assert {r.dataset_name for r in read} == {"nemo"} and {r.dataset_split for r in read} == {"test"}
    (macro,) = [r for r in read if r.metric_type == "f1"]
    assert macro.metric_args == {"average": "macro"}
