"""What several test modules, and the processes they start, share."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.indexing.snapshot import Snapshot
from leanseek.types import Document

ROOT = Path(__file__).parents[1]
"""The repository."""

COPYING_DECODER = Path(__file__).parent / "rerank" / "copying_decoder"
"""A small decoder that was trained to look things up in its prompt."""

WORDS = (
    "statin cholesterol heart trial placebo wing slipstream boundary layer shock wave library index query "
    "term document ranking vector matrix orbit rocket enzyme protein kinase tumour receptor glucose insulin"
).split()


class HashEncoder:
    """An encoder of one's own, as the API allows: words hashed to directions. Fast, and true to its contract."""

    name = "test-hash-encoder"
    fingerprint = hashlib.sha256(b"test-hash-encoder").hexdigest()
    dimensions = 16
    max_tokens = 12

    def __init__(self) -> None:
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        vectors = (
            np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, self.dimensions))
        )
        tokens = np.array([len(text.split()) for text in texts], dtype=np.int32)
        return Encoded(vectors.astype(np.float32), tokens)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        self.encoded += len(texts)
        return self.encode_queries(texts)

    def _vector(self, text: str) -> np.ndarray:
        total = np.full(self.dimensions, 1e-3)
        for word in text.split()[: self.max_tokens]:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
            total += np.random.default_rng(seed).standard_normal(self.dimensions)
        return total / np.linalg.norm(total)


def make_documents(count: int, seed: int = 0, prefix: str = "d") -> list[Document]:
    """Short documents of random words; ids do not arrive in sorted order, and many texts repeat."""
    chance = random.Random(seed)
    documents = [
        Document(
            id=f"{prefix}{number}",
            text=" ".join(chance.choices(WORDS, k=chance.randint(1, 8))),
            title=chance.choice(["", "", "Trial report", "Wing"]),
            metadata={"year": 1990 + number % 30, "tags": [chance.choice("abc"), "x"]},
        )
        for number in range(count)
    ]
    chance.shuffle(documents)
    return documents


def contents_of(path: Path) -> dict[str, tuple[str, str]]:
    """Every live document of an index as committed: id to (title, text)."""
    snapshot = Snapshot.open(path)
    try:
        return {
            passage.id: (passage.title, passage.text)
            for segment in snapshot.segments
            for passage in segment.passages.get(segment.live)
        }
    finally:
        snapshot.close()


def model_of(documents: Sequence[Document]) -> dict[str, tuple[str, str]]:
    """What `contents_of` should give for these documents."""
    return {document.id: (document.title, document.text) for document in documents}
