"""A cross-encoder stored as its difference to the encoder it was grown from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leanseek.encode import DEFAULT_MODEL, resolve_model
from leanseek.errors import ModelError
from leanseek.rerank.crossencoder.packed import pack, unpack
from leanseek.types import Hit

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
safetensors = pytest.importorskip("safetensors.numpy")

PAIRS = [
    ("what is water", "Water is a liquid at room temperature."),
    ("who wrote the origin of species", "On the Origin of Species was written by Charles Darwin in 1859."),
    ("short", ""),
]
CHANGE = 0.003
"""About what training changes a weight by."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model whose layers were changed a little, as training does."""
    from leanseek.train.crossencoder.recipe import grown

    model = grown(str(resolve_model(DEFAULT_MODEL).path), 2, 128)
    torch.manual_seed(0)
    with torch.no_grad():
        for part in (model[0].joint, model[0].segment, model[0].importance, model[1]):
            for weights in part.parameters():
                weights.add_(torch.randn_like(weights) * CHANGE)
    folder = tmp_path_factory.mktemp("trained") / "model"
    model.save_pretrained(str(folder))
    (folder / "calibration.json").write_text('{"slope": 1.0, "intercept": 0.0, "pairs": 10}')
    return folder


@pytest.fixture(scope="module")
def packed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "model"
    pack(trained, folder)
    return folder


def scores(folder: Path) -> np.ndarray:
    from leanseek.rerank.crossencoder.torch_pairs import load_cross_encoder

    found = load_cross_encoder(folder, "cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    return np.asarray(found)


def test_unpacked_it_scores_as_before(trained: Path, packed: Path, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "model")
    np.testing.assert_allclose(scores(tmp_path / "model"), scores(trained), atol=1e-3)
    assert (tmp_path / "model" / "calibration.json").read_bytes() == (
        trained / "calibration.json"
    ).read_bytes()


def test_each_weight_is_off_by_at_most_half_a_step(trained: Path, packed: Path, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "model")
    before = safetensors.load_file(trained / "model.safetensors")
    after = safetensors.load_file(tmp_path / "model" / "model.safetensors")
    assert after.keys() == before.keys()
    for name, weights in before.items():
        most = 6 * CHANGE / 254 if name.startswith("joint.") and weights.ndim == 2 else 0.0
        assert np.abs(after[name] - weights).max() <= most, name


def test_it_is_a_small_part_of_the_model(trained: Path, packed: Path) -> None:
    size = [sum(path.stat().st_size for path in folder.rglob("*")) for folder in (trained, packed)]
    assert size[1] < 4_000_000 < size[0] / 20


def test_a_model_of_another_origin_is_not_packed(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    weights = safetensors.load_file(other / "model.safetensors")
    weights["model.embeddings.word_embeddings.weight"][7] += 1.0
    safetensors.save_file(weights, other / "model.safetensors")
    with pytest.raises(ModelError, match="was not grown from"):
        pack(other, tmp_path / "packed")


def test_another_base_is_refused(packed: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    other = tmp_path / "other"
    shutil.copytree(packed, other)
    path = other / "difference.safetensors"
    with safe_open(path, "numpy") as file:
        about = {**file.metadata(), "sha256": "0" * 64}
    safetensors.save_file(safetensors.load_file(path), path, about)
    with pytest.raises(ModelError, match="SHA-256 0000"):
        unpack(other, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", [b"", b"no tensors at all"])
def test_a_damaged_difference_is_told(packed: Path, tmp_path: Path, damage: bytes) -> None:
    other = tmp_path / "other"
    shutil.copytree(packed, other)
    (other / "difference.safetensors").write_bytes(damage)
    with pytest.raises(ModelError, match="cannot be read"):
        unpack(other, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_packaged_one_orders_real_passages_better_than_bm25(collection: Callable[[str], Path]) -> None:
    from leanseek.eval.answers import read_candidates
    from leanseek.eval.collections import open_collection
    from leanseek.eval.measures import score
    from leanseek.rerank import load_reranker
    from leanseek.rerank.crossencoder.packed import PACKAGED

    folder = collection("trec-dl-2019")
    passages = open_collection(folder)
    qrels = passages.qrels("test_full")
    [run] = (folder / "runs").glob("BM25__*.trec")
    stored = read_candidates(run, 20)
    queries = [query for query in passages.queries("test_full") if query.id in qrels]
    texts = {document.id: document.text for document in passages.documents()}
    hits = [
        [
            Hit(rank, name, -float(rank), "", texts[name], {})
            for rank, name in enumerate(stored.of(query.id), 1)
        ]
        for query in queries
    ]
    reranker = load_reranker(f"cross-encoder:torch:{PACKAGED}", "cpu", cache=False)
    found = [one.hits for one in reranker.rerank_batch([query.text for query in queries], hits)]

    def quality(lists: list[list[Hit]]) -> float:
        ranked = {
            query.id: {hit.id: -float(hit.rank) for hit in given}
            for query, given in zip(queries, lists, strict=True)
        }
        judged = {query.id: qrels[query.id] for query in queries}
        return score(ranked, judged, ["nDCG@10"]).means["nDCG@10"]

    assert quality(found) > quality(hits) + 0.03
    chances = [hit.probability for given in found for hit in given]
    assert all(chance is not None and 0 < chance < 1 for chance in chances)
