"""Real vectors that need no model: latent semantic analysis of a collection and of its queries."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

_FEATURES = 2048
_WIDTH = 96


class Real(NamedTuple):
    """Unit vectors (n, 96) of documents and (m, 96) of queries."""

    vectors: np.ndarray
    queries: np.ndarray


def _counts(texts: Iterable[str]) -> np.ndarray:
    rows = []
    for text in texts:
        row = np.zeros(_FEATURES, np.float32)
        for word in re.findall(r"[a-z]{3,}", text.lower()):
            row[zlib.crc32(word.encode()) % _FEATURES] += 1.0
        rows.append(np.log1p(row))
    return np.stack(rows)


def _lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [f"{record.get('title', '')} {record['text']}" for record in records]


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (vectors / norms).astype(np.float32)


@pytest.fixture(scope="session")
def scifact(collection: Callable[[str], Path]) -> Real:
    """5,183 abstracts, and 1,109 claims as queries."""
    folder = collection("scifact")
    documents = _counts(_lines(folder / "corpus.jsonl"))
    queries = _counts(_lines(folder / "queries.jsonl"))
    rarity = np.log(len(documents) / (1.0 + np.count_nonzero(documents, axis=0))).clip(0).astype(np.float32)
    documents *= rarity
    queries *= rarity
    basis = np.random.default_rng(0).standard_normal((_FEATURES, _WIDTH + 16)).astype(np.float32)
    for _ in range(2):
        basis = np.linalg.qr(documents.T @ (documents @ basis))[0]
    _, _, inner = np.linalg.svd(documents @ basis, full_matrices=False)
    basis = basis @ inner[:_WIDTH].T
    return Real(_unit(documents @ basis), _unit(queries @ basis))
