"""Lengths rounded as Lucene rounds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek import Document, Index, SparseSettings
from leanseek.errors import UsageError
from leanseek.indexing.sparse import Bm25Parameters, Bm25Variant, check_sparse
from leanseek.indexing.sparse.java import java_class, requirements
from leanseek.indexing.sparse.kernel import NativeKernel, NumpyKernel, kernel_name
from leanseek.indexing.sparse.parameters import round_lengths

LOSSY = Bm25Parameters(lossy_lengths=True)


def rounded(length: int) -> int:
    """One length: what is over 24 keeps four bits, as a float of three explicit ones does."""
    bits = bin(length - 24)[2:] if length > 24 else ""
    return 24 + int(bits[:4] + "0" * len(bits[4:]), 2) if bits else length


@given(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 2000), max_size=50))
def test_lengths_keep_four_bits(lengths: list[int]) -> None:
    assert round_lengths(np.array(lengths, np.int32)).tolist() == [rounded(length) for length in lengths]


def test_known_lengths() -> None:
    lengths = np.array([0, 1, 39, 40, 41, 43, 55, 56, 59, 100, 255, 300, 1000, 10**6], np.int32)
    assert round_lengths(lengths).tolist() == [
        0, 1, 39, 40, 40, 42, 54, 56, 56, 96, 248, 280, 984, 983064,
    ]  # fmt: skip


def test_lengths_are_those_that_lucene_keeps() -> None:
    java, absent, complaint = requirements()
    if absent or java is None:
        pytest.skip(f"comparing with Lucene needs {', '.join(absent)} {complaint}".strip())
    small_float = java_class("org.apache.lucene.util.SmallFloat")
    lengths = [*range(300), *np.random.default_rng(1).integers(0, 2**31 - 1, 700).tolist()]
    kept = [small_float.byte4ToInt(small_float.intToByte4(length)) for length in lengths]
    assert round_lengths(np.array(lengths, np.int32)).tolist() == kept


@pytest.mark.parametrize("variant", list(Bm25Variant))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
@pytest.mark.skipif(kernel_name() == "numpy", reason="the kernel is not compiled")
def test_pruning_and_segments_change_nothing(variant: Bm25Variant, indexed: Any, data: st.DataObject) -> None:
    """The bounds that the compiled kernel prunes by hold for rounded lengths too."""
    texts = [
        f"{'a ' * a} {'b ' * b} {'x ' * filler}"
        for a, b, filler in data.draw(
            st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 90)), max_size=40)
        )
    ]
    cut, k = data.draw(st.integers(0, len(texts))), data.draw(st.integers(1, 5))
    parameters = Bm25Parameters(variant, lossy_lengths=True)
    whole = indexed([texts], parameters=parameters, kernel=NumpyKernel())
    parts = indexed([texts[:cut], texts[cut:]], parameters=parameters, kernel=NativeKernel())
    for query in ("a", "a b", "b x a"):
        found, expected = parts.search(query, k), whole.search(query, k)
        assert found.scores.tobytes() == expected.scores.tobytes()
        assert found.ordinals.tolist() == expected.ordinals.tolist()


def test_scores_follow_the_formula(indexed: Any) -> None:
    lengths = np.array([1, 41, 60, 100, 333])
    texts = ["t " + "x " * (length - 1) for length in lengths]
    found = indexed([texts], parameters=LOSSY).score("t", np.arange(5))
    counted = np.array([1, 40, 60, 96, 312])
    norm = 0.9 * (0.6 + 0.4 * counted / lengths.mean())
    np.testing.assert_allclose(found, np.log(1 + 0.5 / 5.5) / (1 + norm), rtol=1e-6)


def test_batches_merges_and_reopening_keep_the_scores(tmp_path: Path) -> None:
    documents = [
        Document(f"d{n:03}", f"{'alpha ' * (n % 7)}{'beta ' * (n % 5)}{'word ' * n}gamma") for n in range(200)
    ]
    wish = SparseSettings(lossy_lengths=True)
    whole = Index.create(tmp_path / "whole", encoder=None, sparse=wish)
    whole.add(documents)
    parts = Index.create(tmp_path / "parts", encoder=None, sparse=wish)
    for start in range(0, 200, 20):
        parts.add(documents[start : start + 20])

    def answers(name: str) -> list[tuple[str, float]]:
        from leanseek import Searcher

        with Searcher.open(tmp_path / name) as searcher:
            return [(hit.id, hit.score) for hit in searcher.search("alpha beta gamma", k=200)]

    expected = answers("whole")
    assert len(expected) == 200 and answers("parts") == expected
    parts.compact()
    assert answers("parts") == expected
    exact = Index.create(tmp_path / "exact", encoder=None)
    exact.add(documents)
    assert answers("exact") != expected


def test_other_back_ends_have_none() -> None:
    for backend in ("bm25s", "rank-bm25"):
        with pytest.raises(
            UsageError, match=f"{backend} has no lossy lengths. Allowed with them: bm25, lucene"
        ):
            check_sparse(SparseSettings(backend, lossy_lengths=True))


@pytest.mark.parametrize(("name", "expected"), [("scifact", 0.6789), ("vaswani", 0.4368), ("cisi", 0.3644)])
def test_ndcg_is_that_of_lucene(
    name: str, expected: float, collection: Callable[[str], Path], ndcg: Any
) -> None:
    """Anserini publishes .6789 for SciFact, flat; the others are what the back end lucene gives."""
    wish = SparseSettings(analyzer="lucene", lossy_lengths=True)
    assert ndcg(collection(name), wish) == pytest.approx(expected, abs=0.0002)
