"""The back ends by name, all over the same source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing.settings import SparseSettings
from leanseek.indexing.sparse import check_sparse, kernel_name, open_sparse

VARIANTS = ["lucene", "robertson", "atire", "bm25l", "bm25plus"]


@dataclass
class Passage:
    title: str
    text: str


@dataclass
class Part:
    postings: Any
    deleted: Any
    size: int


class Source:
    """Two segments with deletions, and ids that do not follow the ordinals."""

    def __init__(self, segment: Any, analyzer: Any, texts: list[str], cut: int, gone: list[int]) -> None:
        self.analyzer = analyzer
        self._texts = texts
        deleted = np.zeros(len(texts), np.bool_)
        deleted[gone] = True
        self.segments = (
            Part(segment(texts[:cut], analyzer), deleted[:cut], cut),
            Part(
                segment(texts[cut:], analyzer),
                deleted[cut:] if any(deleted[cut:]) else None,
                len(texts) - cut,
            ),
        )
        names = [f"b{n:04}" for n in range(cut)] + [f"a{n:04}" for n in range(len(texts) - cut)]
        self._keys = [(name, 0) for name in names]

    def get(self, ordinals: np.ndarray) -> list[Passage]:
        return [Passage(*self._texts[o].split(" ", 1)) for o in ordinals.tolist()]

    def keys(self, ordinals: np.ndarray) -> list[tuple[str, int]]:
        return [self._keys[o] for o in ordinals.tolist()]


@pytest.fixture(scope="module")
def source(segment: Any, simple: Any, many_texts: list[str]) -> Source:
    texts = [text for text in many_texts[:900] if " " in text]
    return Source(segment, simple, [*texts, "w1 w1", "w1 w1"], 300, [0, 5, 17, 301])


@pytest.mark.parametrize("backend", ["bm25s", "rank-bm25"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_back_ends_agree(backend: str, variant: str, source: Source, many_queries: list[str]) -> None:
    pytest.importorskip(backend.replace("-", "_"))
    if (backend, variant) == ("rank-bm25", "bm25l"):
        with pytest.raises(UsageError, match="another formula"):
            open_sparse(SparseSettings(backend, "simple", variant), source)
        return
    ours = open_sparse(SparseSettings("bm25", "simple", variant), source)
    peer = open_sparse(SparseSettings(backend, "simple", variant), source)
    assert peer.size == ours.size
    allowed = np.arange(ours.size) % 3 > 0
    for query in [*many_queries[:14], "", "nowhere"]:
        for mask in (None, allowed):
            found, expected = peer.search(query, 2000, mask), ours.search(query, 2000, mask)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
            assert sorted(found.ordinals) == sorted(expected.ordinals)
            np.testing.assert_allclose(peer.score(query, expected.ordinals), expected.scores, atol=1e-4)
    assert len(peer.search_batch(many_queries[:3], 4)) == 3
    assert peer.search("w1", 1).ordinals.tolist() == ours.search("w1", 1).ordinals.tolist()
    assert peer.score("w1", np.array([0])).tolist() == [0]  # deleted


@pytest.mark.parametrize("backend", ["bm25", "bm25s", "rank-bm25"])
def test_without_any_term(backend: str, segment: Any, simple: Any) -> None:
    for texts in (["! !", "? ?"], []):
        empty = Source(segment, simple, texts, 0, [])
        index = open_sparse(SparseSettings(backend, "simple"), empty)
        assert index.search("word", 5).ordinals.tolist() == []
        assert index.score("word", np.arange(len(texts))).tolist() == [0] * len(texts)


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    check_sparse(SparseSettings())
    with pytest.raises(
        UsageError, match=r"unknown sparse back end 'tantivy'. Allowed: bm25, bm25s, rank-bm25"
    ):
        check_sparse(SparseSettings("tantivy"))
    with pytest.raises(UsageError, match=r"unknown BM25 variant 'bm26'\. Allowed: lucene, robertson, atire"):
        check_sparse(SparseSettings(variant="bm26"))
    with pytest.raises(UsageError, match="k1 is -1"):
        check_sparse(SparseSettings(k1=-1))
    import leanseek.indexing.sparse.registry as opening

    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"leanseek\[peers\]"):
        check_sparse(SparseSettings("bm25s"))


def test_kernel_has_a_name() -> None:
    assert kernel_name() in ("native", "numpy")
