"""Pooling over layers, against plain arithmetic on the states that transformers gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rerank.incontext_support import SIZES, tokenizer

from leanseek.encode import load_encoder
from leanseek.errors import ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers", minversion="6")

TEXTS = ["wing flow", "the boundary layer of a flat plate", "heat " * 9]


def pooled_model(network: Any, words: Any, kind: str, folder: Path) -> Path:
    """A model with a pooling over layers, all of whose weights are random."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    from leanseek.encode.layer_pooling import LayerPooling

    words.chat_template = None
    network.config.output_hidden_states = True
    network.save_pretrained(folder / "base")
    words.save_pretrained(folder / "base")
    config = network.config
    pooling = LayerPooling(kind, config.num_hidden_layers, config.hidden_size, latents=3)
    with torch.no_grad():
        for name, weights in pooling.state_dict().items():
            weights.copy_(
                0.3 * torch.randn_like(weights).abs_() + 0.1
                if name == "spread"
                else 0.3 * torch.randn_like(weights)
            )
    modules = [Transformer(str(folder / "base")), pooling]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"))
    return folder / "model"


def networks() -> dict[str, Any]:
    import transformers

    torch.manual_seed(2)
    sizes = {
        key: SIZES[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    }
    return {
        "bert": transformers.BertModel(
            transformers.BertConfig(**sizes, intermediate_size=32, initializer_range=0.5)
        ).eval(),
        "llama": transformers.LlamaModel(transformers.LlamaConfig(**SIZES)).eval(),
    }


def softmax(scores: Any) -> Any:
    odds = np.exp(scores - scores.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def expected(network: Any, words: Any, kind: str, weights: dict[str, Any], text: str) -> Any:
    """The vector by the formulas, one head and one latent at a time."""
    with torch.no_grad():
        given = words(text, return_tensors="pt", return_token_type_ids=False)
        layers = network(**given, output_hidden_states=True).hidden_states[1:]
    means = np.stack([layer[0].numpy().mean(axis=0) for layer in layers]).astype(np.float64)
    if kind == "mix":
        vector = softmax(weights["weights"]) @ means
        return vector / np.linalg.norm(vector)
    placed = (means - weights["centre"]) / weights["spread"] + weights["places"]
    keys, values = placed @ weights["key.weight"].T, placed @ weights["value.weight"].T
    width, found = means.shape[1] // 8, np.zeros(means.shape[1])
    for latent in weights["asking"]:
        for head in range(8):
            part = slice(head * width, (head + 1) * width)
            attention = softmax(keys[:, part] @ latent[part] / width**0.5)
            found[part] += attention @ values[:, part] / len(weights["asking"])
    vector = means[-1] / np.linalg.norm(means[-1]) + weights["out.weight"] @ found + weights["out.bias"]
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("kind", ["mix", "layers"])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_vectors_are_what_the_formulas_say(family: str, kind: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    network, words = networks()[family], tokenizer()
    folder = pooled_model(network, words, kind, tmp_path)
    weights = load_file(folder / "1_LayerPooling" / "model.safetensors")
    encoder = load_encoder(str(folder), "cpu")
    found = encoder.encode_documents(TEXTS).vectors
    for vector, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(vector, expected(network, words, kind, weights, text), atol=2e-5)
    if family == "bert" and kind == "layers":
        pytest.importorskip("onnxscript")
        by_onnx = load_encoder(f"onnx:{folder}", "cpu").encode_documents(TEXTS).vectors
        np.testing.assert_allclose(by_onnx, found, atol=1e-5)


def test_the_pooling_counts_in_the_fingerprint_and_starts_as_the_last_layer(tmp_path: Path) -> None:
    from leanseek.encode.layer_pooling import LAST_AT_FIRST, LayerPooling

    network, words = networks()["bert"], tokenizer()
    folders = [pooled_model(network, words, kind, tmp_path / kind) for kind in ("mix", "layers")]
    assert len({load_encoder(str(folder), "cpu").fingerprint for folder in folders}) == 2
    means = torch.randn(5, 4, 16)
    last = torch.nn.functional.normalize(means[:, -1], dim=1)
    torch.testing.assert_close(LayerPooling("layers", 4, 16).pooled(means), last)
    assert LayerPooling("mix", 4, 16).weights.softmax(0)[-1].item() == pytest.approx(LAST_AT_FIRST)
    assert LayerPooling("mix", 1, 16).weights.softmax(0).item() == 1.0


def test_a_folder_with_the_code_of_others_beside_ours_is_refused(tmp_path: Path) -> None:
    folder = pooled_model(networks()["bert"], tokenizer(), "mix", tmp_path)
    listing = json.loads((folder / "modules.json").read_text())
    listing.append({"idx": 2, "name": "2", "path": "2_Other", "type": "elsewhere.Module"})
    (folder / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(ModelError, match="code of others"):
        load_encoder(str(folder), "cpu")
