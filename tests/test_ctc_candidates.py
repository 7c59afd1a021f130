"""CTC's candidates are the likeliest texts, and the one is chosen that CTC and the language model together prefer."""

from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
import torch
from conftest import SMALL

from xser.configuration_xser import XSERConfig
from xser.ctc_candidates_xser import beam_search, ctc_candidates, ctc_text, spelled
from xser.modeling_xser import XSERForEmotionDescription

CTC = {**SMALL, "ctc_weight": 1.0, "emphasis": False}


def every_text(log_probs):
    """Units → log-likelihood, by summing over all alignments."""
    total = defaultdict(lambda: -np.inf)
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        units = tuple(unit - 1 for unit, _ in groupby(path) if unit)
        total[units] = np.logaddexp(
            total[units], sum(frame[unit] for frame, unit in zip(log_probs, path, strict=True))
        )
    return total


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_the_likeliest_texts_with_their_likelihoods(seed):
    log_probs = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1).numpy()
    expected = sorted(every_text(log_probs).items(), key=lambda item: -item[1])[:4]
    found = beam_search(log_probs, 4)
    assert [units for units, _ in found] == [units for units, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=0.01)


def test_a_frame_of_silence_separates_two_units_of_a_kind():
    frames = np.log(np.full((3, 3), 1e-9))
    frames[[0, 1, 2], [1, 0, 1]] = np.log(0.99999)
    assert beam_search(frames)[0][0] == (0, 0)
    assert beam_search(frames[[0, 2]])[0][0] == (0,)


def test_frames_of_silence_alone_spell_nothing():
    frames = np.log(np.full((7, 3), 1e-5))
    frames[:, 0] = np.log(0.9999)
    assert beam_search(frames) == [((), pytest.approx(7 * np.log(0.9999)))]


@pytest.fixture(scope="module")
def taken(tiny_backbone_folders):
    torch.manual_seed(0)
    folders = map(str, tiny_backbone_folders)
    model, processor = XSERForEmotionDescription.from_backbones(*folders, **CTC, ctc_share=0.5)
    generator = np.random.default_rng(0)
    waves = [(generator.normal(0, 0.1, size).astype(np.float32), 16_000) for size in (16_000, 24_000)]
    return model.eval(), processor, waves


def content_of(model, processor, waves):
    """The content stream of recordings."""
    inputs = processor(waves)
    audio = {name: inputs[name] for name in ("input_values", "input_values_mask", "loudness")}
    return model.model(streams=("content",), **audio)["content"]


def spell(model, monkeypatch, *texts):
    """Let every recording be spelled as these texts, which are equally likely under CTC."""
    scores = [(text, float(np.log(1 / len(texts)))) for text in texts]
    monkeypatch.setattr(
        "xser.explain_xser.ctc_candidates",
        lambda model, processor, content, wanted: [scores if each else [] for each in wanted],
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Ah! That’s it -- twenty-one, 3 p.m.", "ah that's it twenty one 3 p m"),
        ("ÉTÉ à Łódź", "été à łódź"),
        ("e\u0301te\u0301", "été"),
        ("हिन्दी भाषा।", "हिन्दी भाषा"),
        ("...", ""),
    ],
)
def test_ctc_spells_what_is_spoken(text, expected):
    assert ctc_text(text) == expected


def test_ctc_is_trained_on_what_is_spoken(taken):
    _, processor, waves = taken
    batch = processor(waves[:1], task="asr", targets=["We won, Ben!"])
    assert bytes(batch["ctc_labels"][0].tolist()).decode() == "we won ben"


def test_bytes_that_are_no_text_are_left_out(taken):
    assert spelled(taken[1], [*"zoë ".encode(), 0xC3, *b" \nhi"]) == "zoë hi"


def test_the_language_model_decides_between_candidates_that_ctc_finds_alike(taken, monkeypatch):
    model, processor, waves = taken
    for text in ("we are late", "wear a lute", "xq"):
        spell(model, monkeypatch, text)
        [answer] = model.explain(waves[:1], processor, slots=["transcript"])
        assert answer["transcript"] == text and answer["transcript_source"] == "model"
    texts = ["we are late", "wear a lute", "xq"]
    chosen = {}
    for order in (texts, texts[::-1]):
        spell(model, monkeypatch, *order)
        chosen[order[0]] = model.explain(waves[:1], processor, slots=["transcript"])[0]["transcript"]
    assert len({*chosen.values()}) == 1


@pytest.mark.parametrize("share, likeliest", [(0.999, "by ctc"), (0.001, "a")])
def test_the_share_of_ctc_decides_how_much_its_likelihood_counts(taken, monkeypatch, share, likeliest):
    model, processor, waves = taken
    monkeypatch.setattr(model.config, "ctc_share", share)
    candidates = [("by ctc", -1.0), ("a", -60.0)]
    monkeypatch.setattr("xser.explain_xser.ctc_candidates", lambda *arguments: [candidates])
    found = model.explain(waves[:1], processor, slots=["transcript"])[0]["transcript"]
    assert found == likeliest  # a shorter text is likelier to an untrained model


def test_answers_do_not_depend_on_the_batch_and_words_that_are_given_stay(taken):
    model, processor, waves = taken
    together = model.explain(waves, processor, transcript=[None, "these words"])
    alone = [
        model.explain([wave], processor, transcript=[text])[0]
        for wave, text in zip(waves, [None, "these words"], strict=True)
    ]
    assert [each["transcript"] for each in together] == [each["transcript"] for each in alone]
    assert [each["emotion"] for each in together] == [each["emotion"] for each in alone]
    assert together[1]["transcript"] == "these words" and together[1]["transcript_source"] == "given"


def test_a_transcript_is_one_of_the_candidates(taken):
    model, processor, waves = taken
    content = content_of(model, processor, waves)
    candidates = ctc_candidates(model, processor, content, [True, True])
    assert all(len(dict(row)) == len(row) > 1 and row == sorted(row, key=lambda each: -each[1]) for row in candidates)
    answers = model.explain(waves, processor)
    assert all(answer["transcript"] in dict(row) for answer, row in zip(answers, candidates, strict=True))


def test_a_model_whose_answers_hold_no_words_chooses_among_them_too(tiny_backbone_folders, taken):
    torch.manual_seed(0)
    folders = map(str, tiny_backbone_folders)
    model, processor = XSERForEmotionDescription.from_backbones(*folders, **CTC, ctc_share=0.5, transcript=False)
    [answer] = model.eval().explain(taken[2][:1], processor)
    content = content_of(model, processor, taken[2][:1])
    assert answer["transcript"] in dict(ctc_candidates(model, processor, content, [True])[0])


@pytest.mark.parametrize("options", [{"ctc_weight": 0.0, "ctc_share": 0.5}, {"ctc_share": 1.0}, {"ctc_share": -0.1}])
def test_a_share_without_ctc_or_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="ctc_share is"):
        XSERConfig(**{"ctc_weight": 1.0, **options})
