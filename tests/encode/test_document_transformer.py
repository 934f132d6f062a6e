"""One vector of a document's blocks: what it starts as, what it may see, and its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek.encode import load_document_transformer
from leanseek.encode.models import holds_document_encoder
from leanseek.errors import ModelError

torch = pytest.importorskip("torch")

from leanseek.encode.document_transformer import DocumentTransformer, same_sizes  # noqa: E402

SIZES = [3, 1, 5, 3]


def learned(seed: int = 0) -> DocumentTransformer:
    """One with random weights everywhere, so that every part of it counts."""
    torch.manual_seed(seed)
    model = DocumentTransformer(6, 8, layers=2, width=16, encoder="of a test")
    for layer in (model.leave, model.weigh):
        torch.nn.init.normal_(layer.weight)
    model.eval()
    return model


def blocks(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(seed).standard_normal((sum(SIZES), 6)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.cumsum([0, *SIZES])[:-1]


def test_before_training_it_is_the_mean_of_the_blocks() -> None:
    vectors, starts = blocks()
    found = DocumentTransformer(6, 8, layers=1, width=16).eval().vectors(vectors, starts)
    for one, parts in zip(found, np.split(vectors, starts[1:]), strict=True):
        mean = parts.mean(0)
        np.testing.assert_allclose(one, mean / np.linalg.norm(mean), atol=1e-6)


def test_documents_together_give_what_each_gives_alone_and_what_padded_ones_give() -> None:
    model, (vectors, starts) = learned(), blocks()
    together = model.vectors(vectors, starts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    parts = np.split(vectors, starts[1:])
    alone = [model.vectors(part, np.zeros(1, np.int64))[0] for part in parts]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    # Whatever stands in the padding.
    padded = np.full((len(SIZES), max(SIZES), 6), 7, np.float32)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    present = torch.arange(max(SIZES)) < torch.tensor(SIZES)[:, None]
    with torch.no_grad():
        found = model({"blocks": torch.from_numpy(padded), "present": present})["sentence_embedding"]
    np.testing.assert_allclose(found.numpy(), together, atol=1e-5)
    # Places count, and so does every block.
    assert np.abs(model.vectors(parts[2][::-1].copy(), np.zeros(1, np.int64))[0] - together[2]).max() > 1e-3


def test_a_masked_block_is_not_seen() -> None:
    model = learned()
    given = torch.from_numpy(blocks()[0][:5])[None].clone()
    present, masked = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 5, dtype=torch.bool)
    masked[0, 2] = True
    with torch.no_grad():
        hidden, seen = model.expected(given, present, masked), model.states(given, present)
        assert hidden.shape == (1, 6)
        given[0, 2] *= -1
        np.testing.assert_array_equal(model.expected(given, present, masked), hidden)
        assert (model.states(given, present) - seen).abs().max() > 1e-3
        given[0, 3] *= -1
        assert (model.expected(given, present, masked) - hidden).abs().max() > 1e-3


def test_batches_have_documents_of_one_size() -> None:
    assert same_sizes([3, 1, 3, 2]) == [[1], [3], [0, 2]]
    assert [len(places) for places in same_sizes([1000] * 5)] == [2, 2, 1]


def test_its_folder_and_what_is_none(tmp_path: Path) -> None:
    model, (vectors, starts) = learned(), blocks()
    model.save(str(tmp_path))
    loaded = load_document_transformer(tmp_path)
    np.testing.assert_array_equal(loaded.vectors(vectors, starts), model.vectors(vectors, starts))
    assert loaded.encoder == "of a test" and holds_document_encoder(tmp_path)
    assert not holds_document_encoder(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="holds no document encoder"):
        load_document_transformer(tmp_path / "nowhere")
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_document_transformer(tmp_path)
