"""On whose terms a model is published: what its folder says, at any depth, and no licence that contradicts it."""

import json

import pytest
import yaml
from publishing_folder import metadata, publish, save

from xser.publishing.choosing import License, chosen_license
from xser.publishing.licenses import HUB_LICENSES, contradicted, implied, terms_in
from xser.publishing.problems import PublishError
from xser.publishing.provenance import read_provenance

NEMO = "These weights were trained on nEMO (CC BY-NC-SA 4.0). The code beside them is Apache-2.0.\n"
STAGE = {"data": "espeak, train", "command": "python train.py configs/tiny.yaml", "seed": 7}


@pytest.fixture
def model(tmp_path):
    """A folder with nothing but a config, for what reads records alone."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def license_of(folder, given=None, **others):
    return chosen_license(read_provenance(folder), License(given, where="--license", **others))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("under CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("https://creativecommons.org/licenses/by-nc/3.0/", "cc-by-nc-3.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "cc-by-nc-sa-4.0"),
        ("Creative Commons Attribution Non Commercial No Derivatives 4.0", "cc-by-nc-nd-4.0"),
        ("CC-BY-4.0", "cc-by-4.0"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("the MIT licence", "mit"),
        ("code GPL-3.0", "gpl-3.0"),
        ("ODbL 1.0", "odbl"),
        ("Llama 3.1 Community License Agreement", "llama3.1"),
        ("CC0", "cc0-1.0"),
    ],
)
def test_licences_are_found_in_words(text, name):
    assert [terms.license for terms in terms_in(text, "NOTICE") if terms.license] in ([name], [name, name])


def test_a_place_is_told_by_its_line():
    (terms,) = terms_in("one\ntwo CC BY 4.0\n", "NOTICE")
    assert str(terms) == "cc-by-4.0 (NOTICE, line 2)"


@pytest.mark.parametrize(
    ("text", "broken", "kept"),
    [
        (
            "CC BY-NC-SA 4.0",
            ["apache-2.0", "mit", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "other"],
            ["cc-by-nc-sa-4.0"],
        ),
        ("CC BY-NC 4.0", ["apache-2.0", "cc-by-sa-4.0", "unknown"], ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "other"]),
        ("CC BY 4.0", ["cc0-1.0", "unlicense"], ["cc-by-4.0", "apache-2.0", "cc-by-nc-4.0"]),
        ("academic research only", ["apache-2.0", "cc-by-sa-4.0"], ["cc-by-nc-4.0", "other"]),
        ("not for commercial use", ["openrail", "mit"], ["cc-by-nc-sa-4.0"]),
        ("CC BY-NC-ND 4.0", ["cc-by-nc-4.0"], ["cc-by-nc-nd-4.0"]),
        ("GPL-3.0", ["apache-2.0", "cc-by-4.0"], ["gpl-3.0", "other"]),
        ("ODbL 1.0", ["apache-2.0", "other"], ["odbl"]),
        ("ODbL 1.0 and CC BY-NC-SA 4.0", ["odbl", "cc-by-nc-sa-4.0", "mit"], ["other"]),
        ("CC0", [], ["apache-2.0", "cc0-1.0", "cc-by-nc-4.0"]),
    ],
)
def test_a_licence_must_keep_the_terms(text, broken, kept):
    terms = terms_in(text, "NOTICE")
    assert [name for name in broken if not contradicted(name, terms)] == []
    assert [name for name in kept if contradicted(name, terms)] == []


def test_every_licence_of_the_hub_keeps_its_own_terms():
    for name in set(HUB_LICENSES) - {"other"}:
        terms = [term for term in terms_in(f"license: {name}", "x") if term.license]
        assert implied(terms) == [name] or not terms, name


def test_what_was_trained_on_nemo_cannot_be_published_as_apache(model):
    (model / "NOTICE").write_text(NEMO)
    license, problems = license_of(model)
    assert license.id == "cc-by-nc-sa-4.0" and license.where == "NOTICE" and not problems
    _, (problem,) = license_of(model, "apache-2.0")
    assert str(problem).startswith("--license is 'apache-2.0': it contradicts cc-by-nc-sa-4.0 (NOTICE)")
    assert "give --license cc-by-nc-sa-4.0" in str(problem)


def test_a_card_does_not_win_over_a_notice(model):
    (model / "NOTICE").write_text(NEMO)
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    _, (problem,) = license_of(model)
    assert str(problem).startswith("README.md: license is 'apache-2.0': it contradicts cc-by-nc-sa-4.0 (NOTICE)")


def test_a_licence_given_against_the_card_is_refused_with_both(model):
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    assert license_of(model)[0].id == "mit"
    assert not license_of(model, "mit")[1]
    _, (problem,) = license_of(model, "apache-2.0")
    assert str(problem).startswith("--license is 'apache-2.0': README.md says license 'mit'")


def test_where_nothing_says_a_licence_one_must_be_given(model):
    license, (problem,) = license_of(model)
    assert license.id is None and "give the licence" in str(problem) and str(problem).startswith("--license is None")
    assert license_of(model, "apache-2.0") == (License("apache-2.0", where="--license"), [])


def test_where_several_would_do_one_must_be_chosen(model):
    (model / "NOTICE").write_text("The data is CC BY 4.0, the code Apache-2.0.\n")
    _, (problem,) = license_of(model)
    assert "cc-by-4.0 (NOTICE); apache-2.0 (NOTICE)" in str(problem)
    assert not license_of(model, "apache-2.0")[1]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_terms_of_a_parent_hold_at_any_depth(model, depth):
    record = [{**STAGE, "data": "nEMO (CC BY-NC-SA 4.0), six speakers"}]
    for level in range(depth):
        record = {"data": f"recordings-{level}", "seed": level, "parent": record}
    (model / "training.yaml").write_text(yaml.safe_dump(record))
    assert license_of(model)[0].id == "cc-by-nc-sa-4.0"
    _, (problem,) = license_of(model, "mit")
    assert "training.yaml: parent" + ".parent" * (depth - 1) + "[0].data" in str(problem)
    stages = read_provenance(model).stages
    assert [stage["data"].split(",")[0] for stage in stages] == [
        "nEMO (CC BY-NC-SA 4.0)",
        *(f"recordings-{level}" for level in range(depth)),
    ]


@pytest.mark.parametrize("key", ["license", "licence"])
def test_a_licence_may_stand_in_a_field_of_a_record(model, key):
    (model / "training.yaml").write_text(yaml.safe_dump({"data": "x", key: "cc-by-nc-4.0"}))
    assert license_of(model)[0].id == "cc-by-nc-4.0"
    _, (problem,) = license_of(model, "mit")
    assert f"cc-by-nc-4.0 (training.yaml: {key})" in str(problem)


def test_the_licence_of_a_parent_is_not_that_of_recordings_that_came_after(model):
    (model / "training.yaml").write_text(yaml.safe_dump({"data": "mine", "parent": [{**STAGE, "license": "mit"}]}))
    _, (problem,) = license_of(model)
    assert "mit (training.yaml: parent[0].license): give the licence" in str(problem)
    assert not license_of(model, "cc-by-nc-4.0")[1]


def test_backbones_count_where_they_lie_and_in_the_cache_of_the_hub(model, monkeypatch):
    tower, cache = model.parent / "tower", model.parent / "hub"
    snapshot = cache / "models--someone--llama" / "snapshots" / "abc"
    for folder in (tower, snapshot, cache / "models--someone--llama" / "refs"):
        folder.mkdir(parents=True)
    for folder in (tower, snapshot):
        (folder / "config.json").write_text("{}")
    (cache / "models--someone--llama" / "refs" / "main").write_text("abc")
    (tower / "NOTICE").write_text("Pretrained on X, CC BY-NC 4.0.\n")
    (snapshot / "README.md").write_text("---\nlicense: llama3.1\n---\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    ids = {"audio_model_id": str(tower), "text_model_id": "someone/llama"}
    (model / "config.json").write_text(json.dumps(ids))
    _, (problem,) = license_of(model, "mit")
    assert "cc-by-nc-4.0 (tower/NOTICE)" in str(problem) and "llama3.1 (abc/README.md)" in str(problem)


@pytest.mark.parametrize("named", ["parent", "model"])
def test_checkpoints_that_are_named_by_their_folder_are_read_there(model, named):
    grandparent, parent = model.parent / "nemo", model.parent / "first"
    for folder in (grandparent, parent):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    (grandparent / "NOTICE").write_text(NEMO)
    (parent / "training.yaml").write_text(yaml.safe_dump({"data": "a", named: str(grandparent)}))
    (model / "training.yaml").write_text(yaml.safe_dump({"data": "b", named: str(parent)}))
    (model / "NOTICE").write_text("Trained on the recordings of Somebody.\n")
    whole = read_provenance(model)
    assert whole.notice == f"Trained on the recordings of Somebody.\n\n{NEMO}"
    _, (problem,) = license_of(model, "apache-2.0")
    assert "nemo/NOTICE" in str(problem)


@pytest.mark.parametrize("named", ["parent", "model"])
def test_records_of_checkpoints_named_by_their_folder_are_put_into_the_published_one(model, named):
    parent = model.parent / "first"
    parent.mkdir()
    (parent / "config.json").write_text("{}")
    (parent / "training.yaml").write_text(yaml.safe_dump([STAGE]))
    (model / "training.yaml").write_text(yaml.safe_dump({"data": "mine", "seed": 1, named: str(parent)}))
    whole = read_provenance(model)
    assert [stage["data"].split(";")[0] for stage in whole.stages] == [STAGE["data"], "mine"]
    assert whole.training["parent"] == [STAGE] and str(parent) not in str(whole.training)


def test_records_of_backbones_come_before_that_of_the_model(model):
    nemo = [{**STAGE, "data": "nEMO (CC BY-NC-SA 4.0)"}]
    record = {
        "data": "mine",
        "command": "train.py configs/mine.yaml",
        "audio_model": "someone/tower",
        "terms": [{"corpus": "ravdess", "licence": "CC BY-NC-SA 4.0: no commercial use"}],
        "parents": {"audio_model": {"data": "speech", "parent": [STAGE]}, "text_model": [STAGE, *nemo]},
    }
    (model / "training.yaml").write_text(yaml.safe_dump(record))
    whole = read_provenance(model)
    assert [stage["data"] for stage in whole.stages] == [STAGE["data"], "speech", nemo[0]["data"], "mine"]
    assert whole.base_models == ["someone/tower"] and license_of(model)[0].id == "cc-by-nc-sa-4.0"
    named = {str(term) for term in whole.terms}
    assert "cc-by-nc-sa-4.0 (training.yaml: terms[0].licence)" in named
    assert "cc-by-nc-sa-4.0 (training.yaml: parents.text_model[1].data)" in named


def test_a_record_that_names_no_data_says_so(model):
    (model / "training.yaml").write_text(yaml.safe_dump({"parent": [STAGE]}))
    assert read_provenance(model).stages[-1]["data"] == "data that the record does not name"


def test_a_run_without_a_record_has_the_config_beside_it(model):
    (model.parent / "environment.json").write_text("{}")
    (model.parent / "config.yaml").write_text(yaml.safe_dump({"data": "mine", "model": "checkpoints/xser-nemo"}))
    assert license_of(model)[0].id == "cc-by-nc-sa-4.0"


def test_folders_that_name_each_other_come_to_an_end(model):
    (model / "training.yaml").write_text(yaml.safe_dump({"data": "b", "parent": str(model)}))
    assert read_provenance(model).stages[-1]["data"] == "b"


def test_notice_and_record_go_into_repository_and_card(tiny_pair, tmp_path):
    saved = save(tiny_pair, tmp_path / "model")
    (saved / "NOTICE").write_text(NEMO)
    record = {
        "data": str(tmp_path / "my recordings"),
        "seed": 3,
        "model": "someone/xser-base",
        "hub_token": "hf_" + "a" * 30,
        "parent": [STAGE],
    }
    (saved / "training.yaml").write_text(yaml.safe_dump(record))
    (saved / "README.md").write_text("---\nlanguage: [pl]\ndatasets: amu-cai/nEMO\ntags: [mine]\n---\n")
    out = publish(saved, tmp_path / "out", license=None)
    data, card = metadata(out), (out / "README.md").read_text()
    assert data["license"] == "cc-by-nc-sa-4.0" and data["base_model"] == ["someone/xser-base"]
    assert data["language"] == ["pl"] and data["datasets"] == "amu-cai/nEMO" and data["tags"][-1] == "mine"
    assert f"## Licence and attribution\n\n{NEMO}" in card and (out / "NOTICE").read_text() == NEMO
    assert (
        "- espeak, train: `python train.py configs/tiny.yaml`, seed 7\n- my recordings; from someone/xser-base:"
        in card
    )
    published = yaml.safe_load((out / "training.yaml").read_text())
    assert published["parent"] == [STAGE] and published["data"] == "my recordings" and "hub_token" not in published


def test_terms_of_ones_own_need_a_name_and_a_link(model):
    (model / "NOTICE").write_text("IEMOCAP: academic research only.\n")
    _, problems = license_of(model, "other")
    assert [problem.where for problem in problems] == ["--license_name", "--license_link"]
    assert not license_of(model, "other", name="iemocap-research", link="LICENSE")[1]
    _, (problem,) = license_of(model, "other", name="apache-2.0", link="LICENSE")
    assert "that is a licence of the Hub's: give apache-2.0" in str(problem)


def test_own_terms_stand_in_the_card(tiny_pair, tmp_path):
    saved = save(tiny_pair, tmp_path / "model")
    (saved / "LICENSE").write_text("Ask us.\n")
    out = publish(saved, tmp_path / "out", license="other", license_name="ask-us-1.0", license_link="LICENSE")
    data = metadata(out)
    assert (data["license"], data["license_name"], data["license_link"]) == ("other", "ask-us-1.0", "LICENSE")
    assert (out / "LICENSE").read_text() == "Ask us.\n" and "ask-us-1.0: LICENSE" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "meant"), [("apache2", "apache-2.0"), ("Apache 2.0", "apache-2.0"), ("CC BY 4.0", "cc-by-4.0")]
)
def test_a_licence_that_the_hub_does_not_know_is_refused_with_the_nearest(model, given, meant):
    _, (problem,) = license_of(model, given)
    assert str(problem).startswith(f"--license is {given!r}: the Hub knows no such licence; did you mean {meant}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1\na: 2\n", "'a' comes twice"),
        ("- x\n -y: [\n", "is not YAML"),
        ("just words", None),
        ("b: {c: 1, c: 2}", "'c' comes twice"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(model, content, says):
    (model / "training.yaml").write_text(content)
    if says is None:
        assert read_provenance(model).stages == []
    else:
        with pytest.raises(PublishError, match=f"training.yaml.*{says}"):
            read_provenance(model)
