"""Guards YAML files on top of each other: what wins, what joins, and which file an error names."""

import re

import pytest
import yaml

from xser.pretraining.arguments import parse_tower_config
from xser.training.arguments import parse_config, resolved_config
from xser.training.config_files import merged, read_yaml
from xser.training.options import is_given

MINIMAL = {"output_dir": "run", "data": "espeak", "audio_model": "a", "text_model": "t", "use_cpu": True}


@pytest.fixture
def write(tmp_path):
    def write(name: str, **options) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(options), encoding="utf-8")
        return str(path)

    return write


def test_the_base_is_read_first_and_the_file_wins(write):
    write("below/first.yaml", seed=1, max_steps=5, output_dir="run")
    write("second.yaml", base="below/first.yaml", seed=2, data="espeak")
    assert read_yaml(write("third.yaml", base="second.yaml", data="folder")) == {
        "seed": 2, "max_steps": 5, "output_dir": "run", "data": "folder",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("base", "own", "both"),
    [
        ({"beta": 0.01, "latent_size": 4}, {"beta": 1}, {"beta": 1, "latent_size": 4}),
        ({"beta": 0.01, "latent_size": 4}, {"beta": None}, {"latent_size": 4}),
        ({"pitch": ["low"]}, {}, {}),
        ({"asr": {"epochs": 4, "learning_rate": 1}}, {"asr": {"epochs": 2}}, {"asr": {"epochs": 2}}),
        ({"rank": 8}, False, False),
        ({"rank": 8}, None, None),
        (None, {"rank": 8}, {"rank": 8}),
    ],
    ids=["joins", "null leaves out", "empty replaces", "one level", "false", "null", "base null"],
)
def test_mappings_join_by_key_one_level_deep(base, own, both):
    assert merged({"option": base, "other": 1}, {"option": own}) == {"option": both, "other": 1}


def test_the_command_line_wins_over_all_and_the_resolved_config_has_no_base(write):
    write("base.yaml", **MINIMAL, seed=1, max_steps=5, content_bottleneck={"latent_size": 4, "beta": 0.5})
    path = write("own.yaml", base="base.yaml", seed=2, content_bottleneck={"beta": 0.25})
    groups = parse_config([path, "--seed", "3"])
    resolved = resolved_config(*groups)
    assert (resolved["seed"], resolved["max_steps"]) == (3, 5)
    assert resolved["content_bottleneck"] == {"latent_size": 4, "beta": 0.25}
    assert "base" not in resolved
    again = parse_config([write("resolved.yaml", **resolved)])
    assert resolved_config(*again) == resolved


def test_another_base_may_be_given_on_the_command_line(write):
    write("one.yaml", **MINIMAL, seed=1)
    other = write("other.yaml", **MINIMAL, seed=2)
    path = write("own.yaml", base="one.yaml", max_steps=5)
    _, _, training = parse_config([path, "--base", other])
    assert (training.seed, training.max_steps) == (2, 5)
    with pytest.raises(ValueError, match=r"base takes one YAML file, not \['a', 'b'\]"):
        parse_config([path, "--base", "a", "b"])


@pytest.mark.parametrize(
    ("tokens", "is_on"),
    [([], True), (["--use_cpu", "false"], False), (["--use_cpu", "True"], True), (["--use_cpu"], True)],
)
def test_what_a_command_line_gives_is_known_before_it_is_parsed(write, tokens, is_on):
    write("base.yaml", **MINIMAL)
    path = write("own.yaml", base="base.yaml")
    assert is_given([path, *tokens], "use_cpu", "true") == is_on
    assert not is_given([path, *tokens], "seed", "true")


def test_configs_of_towers_may_have_a_base(write):
    options = {"data": [{"corpus": "espeak"}], "output_dir": "run", "use_cpu": True, "max_steps": 7}
    write("base.yaml", **options, iterations=[{"targets": {"from": "mfcc"}, "clusters": 4}])
    _, _, training = parse_tower_config([write("own.yaml", base="base.yaml", max_steps=9)])
    assert training.max_steps == 9


def test_a_cycle_names_every_file_of_it(write):
    path = write("a.yaml", base="b.yaml")
    write("b.yaml", base="c.yaml")
    write("c.yaml", base="a.yaml")
    named = r"c\.yaml: base leads back to where it came from: .*a\.yaml → .*b\.yaml → .*c\.yaml → .*a\.yaml"
    with pytest.raises(ValueError, match=named):
        read_yaml(path)
    with pytest.raises(ValueError, match=r"self\.yaml: base leads back"):
        read_yaml(write("self.yaml", base="self.yaml"))


def test_a_missing_base_names_both_files_and_the_nearest(write):
    write("base.yaml", seed=1)
    path = write("own.yaml", base="bass.yaml")
    with pytest.raises(FileNotFoundError, match=r"own\.yaml: its base 'bass\.yaml' .* the nearest is .*base\.yaml"):
        read_yaml(path)
    write("middle.yaml", base="gone.yaml")
    with pytest.raises(FileNotFoundError, match=r"middle\.yaml: its base 'gone\.yaml'"):
        read_yaml(write("own.yaml", base="middle.yaml"))


@pytest.mark.parametrize("base", [["a.yaml", "b.yaml"], 3, "", {"a": 1}])
def test_a_base_is_one_path(write, base):
    path = write("own.yaml", base=base)
    with pytest.raises(ValueError, match=re.escape(f"own.yaml: base is {base!r}; it must be the path")):
        read_yaml(path)


def test_a_base_that_is_no_mapping_is_named(write, tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(ValueError, match=r"list\.yaml must hold 'key: value' lines, not list"):
        read_yaml(write("own.yaml", base="list.yaml"))


def test_a_key_of_the_base_that_does_not_exist_is_refused(write):
    write("base.yaml", **MINIMAL, learning_rat=1)
    path = write("own.yaml", base="base.yaml")
    with pytest.raises(ValueError, match=r"own\.yaml: unknown key 'learning_rat'; the nearest is 'learning_rate'"):
        parse_config([path])
