"""NOTICE, training.yaml and the licence go with a model from one training to the next."""

import json
from pathlib import Path

import pytest
import yaml
from training_corpus import make_audiofolder

from xser.modeling_xser import XSERForEmotionDescription
from xser.train import main
from xser.training.provenance import Provenance, binding_terms, trained_on

TERMS = "CC BY-NC-SA 4.0: not for commercial use, name the author, pass on under the same terms"
STAGES = [{"data": "recordings of Somebody (CC BY 4.0)", "command": "python train.py first.yaml", "seed": 1}]


@pytest.fixture
def parent(tmp_path):
    folder = tmp_path / "parent"
    folder.mkdir()
    (folder / "NOTICE").write_text("Trained on the recordings of Somebody, CC BY-NC 4.0.\n")
    (folder / "training.yaml").write_text(yaml.safe_dump(STAGES))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ntags: [audio]\n---\n\n# A model\n")
    (folder / "LICENSE").write_text("The text of a licence.\n")
    return folder


@pytest.fixture
def prepared(tmp_path):
    folder = tmp_path / "prepared"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"corpus": "nemo", "licence": TERMS}))
    return folder


def test_a_chain_of_three_still_says_where_it_comes_from(parent, prepared, tmp_path):
    child, grandchild, plain = tmp_path / "child", tmp_path / "grandchild", tmp_path / "plain"
    for folder in (child, grandchild, plain):
        folder.mkdir()
    Provenance({"model": str(parent)}, ["own"]).write(
        child, {"data": "own", "seed": 2}, ["python", "train.py", "a.yaml"]
    )
    Provenance({"model": str(child)}, [str(prepared)]).write(grandchild, {"data": "prepared", "seed": 3}, ["b"])
    assert (child / "NOTICE").read_text() == (parent / "NOTICE").read_text()
    notice = (grandchild / "NOTICE").read_text()
    assert notice.startswith("Trained on the recordings of Somebody, CC BY-NC 4.0.\n\n")
    assert f"trained on nemo, whose terms are: {TERMS}" in notice
    record = yaml.safe_load((grandchild / "training.yaml").read_text())
    assert record["terms"] == [{"corpus": "nemo", "licence": TERMS}]
    assert record["parent"]["command"] == "python train.py a.yaml" and record["parent"]["seed"] == 2
    assert record["parent"]["license"] == "cc-by-nc-4.0"
    assert record["parent"]["parent"] == STAGES
    assert (grandchild / "LICENSE").read_text() == "The text of a licence.\n"
    Provenance({"model": str(grandchild)}, [str(prepared)]).write(plain, {"data": "prepared"}, [])
    assert (plain / "NOTICE").read_text() == notice  # each part once


def test_a_new_model_has_what_both_of_its_backbones_are_made_of(parent, tmp_path):
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir(), out.mkdir()
    (other / "NOTICE").write_text("A language model of Somebody else's.\n")
    (other / "training.yaml").write_text("{data: texts, command: c, seed: 0}")
    Provenance({"model": None, "audio_model": str(parent), "text_model": str(other)}, []).write(out, {}, ["d"])
    assert yaml.safe_load((out / "training.yaml").read_text())["parents"] == {
        "audio_model": STAGES,
        "text_model": {"data": "texts", "command": "c", "seed": 0},
    }
    assert (out / "NOTICE").read_text().count("Somebody") == 2


@pytest.mark.parametrize("licence", ["none is needed: it is synthesised on this machine", "that of your recordings"])
def test_data_without_terms_need_no_notice(prepared, tmp_path, licence):
    (prepared / "report.json").write_text(json.dumps({"corpus": "espeak", "licence": licence}))
    assert not binding_terms(str(prepared)) and not binding_terms("espeak")
    Provenance({"model": None}, [str(prepared), None]).write(tmp_path, {"data": "x"}, [])
    assert not (tmp_path / "NOTICE").exists()


def test_records_that_cannot_be_read_are_named(parent, prepared):
    (prepared / "report.json").write_text("{}")
    with pytest.raises(ValueError, match=r"report\.json is no report of a prepared corpus"):
        binding_terms(str(prepared))
    (parent / "training.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"training\.yaml of .*parent is not YAML"):
        Provenance({"model": str(parent)}, [])


def test_a_run_leaves_it_in_checkpoints_and_in_the_final_model(tiny_backbone_folders, parent, tmp_path):
    for part in XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders)):
        part.save_pretrained(parent)
    config = {
        "output_dir": str(tmp_path / "run"), "model": str(parent), "max_steps": 2, "per_device_train_batch_size": 4,
        "data": str(make_audiofolder(tmp_path / "tones", 8)), "corpus_options": {"cache_dir": str(tmp_path / "cache")},
        "use_cpu": True, "report_to": "none", "disable_tqdm": True, "seed": 5,
        "load_options": {"token": "hf_abcdefghijklmnop"},
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    main([str(path), "--hub_token", "hf_qrstuvwxyzabcdef"])
    for folder in (tmp_path / "run" / "final", tmp_path / "run" / "checkpoint-2"):
        assert (folder / "NOTICE").read_text() == (parent / "NOTICE").read_text()
        record = yaml.safe_load((folder / "training.yaml").read_text())
        assert record["parent"] == STAGES and record["seed"] == 5 and record["license"] == "cc-by-nc-4.0"
    written = [file for file in (tmp_path / "run").rglob("*") if file.suffix in (".yaml", ".json")]
    assert len(written) > 5 and not any("hf_" in Path(file).read_text() for file in written)


def test_the_names_of_all_corpora_go_from_one_training_to_the_next(prepared):
    assert trained_on([str(prepared), None], None, None) == ["nemo"]
    assert trained_on(["data/my_recordings", "espeak"], None, None) == ["my_recordings", "espeak"]
    assert trained_on([str(prepared), "own"], "runs/a/final", ["ravdess", "own"]) == ["ravdess", "own", "nemo"]
    assert trained_on(["own"], "checkpoints/xser-nemo", None) == ["what xser-nemo was trained on", "own"]
