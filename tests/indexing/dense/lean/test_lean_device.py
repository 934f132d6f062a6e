from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing import LeanVecIndex
from leanseek.indexing.dense.lean import device as device_module

pytest.importorskip("torch")


@pytest.mark.parametrize("secondary", ["float32", "float16", "sq8"])
@pytest.mark.parametrize("block", [1000, 65_536])
def test_a_device_answers_exactly(secondary: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_BLOCK_ROWS", block)
    monkeypatch.setattr(device_module, "_BLOCK_QUERIES", 16)
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((2500, 24)).astype(np.float32)
    vectors[2400:] = vectors[5]
    queries = chance.standard_normal((40, 24)).astype(np.float32)
    index = LeanVecIndex.build(vectors, dims=8, secondary=secondary)
    exact = queries @ index.vectors(np.arange(2500)).T
    for allowed in (None, chance.random(2500) < 0.3, np.arange(2500) < 3):
        kept = exact if allowed is None else np.where(allowed, exact, -np.inf)
        scores, found = index.search(queries, 10, allowed, device="cpu")
        best = np.sort(kept, axis=1)[:, ::-1][:, :10]
        assert np.allclose(scores, best, atol=1e-5)
        assert ((found >= 0) == np.isfinite(best)).all()
        for query, row, ordinals in zip(queries, scores, found, strict=True):
            good = ordinals >= 0
            assert np.array_equal(index.score(query, ordinals[good]), row[good])
            assert np.array_equal(np.lexsort((ordinals[good], -row[good])), np.arange(good.sum()))


def test_an_exact_search_takes_no_effort_and_the_device_has_to_be_there() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    index = LeanVecIndex.build(vectors)
    with pytest.raises(UsageError, match="neither effort nor threads"):
        index.search(vectors[:2], 5, threads=1, device="cpu")
    with pytest.raises(UsageError, match="'abacus'"):
        index.search(vectors[:2], 5, device="abacus")


def test_without_torch_its_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    index = LeanVecIndex.build(np.eye(30, dtype=np.float32))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"leanseek\[encode\]"):
        index.search(np.eye(30, dtype=np.float32)[:2], 5, device="cpu")
