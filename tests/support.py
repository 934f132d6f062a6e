"""What several test modules, and the processes they start, share."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.cluster import InProcess, Question
from leanseek.encode.base import Encoded
from leanseek.encode.learned_vectors import LearnedVector, LearnedVectors
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.relevance.features import Evidence
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import Document, Float32Array

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


class Curve(RelevanceModel):
    """A relevance model for the test encoder: the higher the cosine, the more probable."""

    def __init__(self) -> None:
        object.__setattr__(self, "fingerprint", HashEncoder.fingerprint)

    def threshold(self, mode: str) -> float:
        return 0.5

    def probabilities(self, evidence: Evidence) -> np.ndarray:
        found: np.ndarray = 1 / (1 + np.exp(-12.0 * (evidence.dense.cosines.astype(np.float64) - 0.5)))
        return found


class HashExpander:
    """A learned sparse encoder of one's own: a text's words and, lighter, two that go with each of them."""

    name = "test-hash-expander"
    fingerprint = hashlib.sha256(b"test-hash-expander").hexdigest()
    vocabulary = 3 * len(WORDS)
    max_tokens = 6

    def __init__(self) -> None:
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> LearnedVectors:
        return LearnedVectors.of([self._vector(text) for text in texts])

    def encode_documents(self, texts: Sequence[str]) -> LearnedVectors:
        self.encoded += len(texts)
        return self.encode_queries(texts)

    def words(self, terms: np.ndarray) -> list[str]:
        return [WORDS[term // 3] + "'" * (term % 3) for term in terms.tolist()]

    def own_terms(self, text: str) -> np.ndarray:
        return np.unique([3 * WORDS.index(word) for word in text.lower().split() if word in WORDS]).astype(
            np.int32
        )

    def _vector(self, text: str) -> LearnedVector:
        words = text.lower().split()
        weights: dict[int, float] = {}
        for word in words[: self.max_tokens]:
            digest = hashlib.sha256(word.encode()).digest()
            if word.strip("'") in WORDS:
                term = 3 * WORDS.index(word.strip("'"))
                for more, share in ((0, 1.0), (1, 0.4), (3 * (digest[0] % len(WORDS)) + 2 - term, 0.1)):
                    weights[term + more] = weights.get(term + more, 0.0) + share * (1 + digest[1] / 300)
        terms = sorted(weights)
        return LearnedVector(
            np.array(terms, np.int32),
            np.log1p(np.array([weights[term] for term in terms])).astype(np.float32),
            len(words),
        )


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


def clustered_vectors(count: int, width: int, seed: int, falling: float = 0.9) -> Float32Array:
    """Unit vectors that lie together in 60 groups, with variances that fall, as embeddings have them."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, width))
    noise = chance.standard_normal((count, width))
    made = (centres[chance.integers(0, 60, count)] + noise) * falling ** np.arange(width)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def write_collection(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    judged: Mapping[str, Sequence[str]],
    split: str,
) -> Path:
    """A BEIR folder of texts by id, with the relevant documents of each query in a split."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = [json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    pairs = "".join(f"{query}\t{one}\t1\n" for query, relevant in judged.items() for one in relevant)
    (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{pairs}")
    return folder


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


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF of one line a page, written by hand."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    body = "%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    trailer = (
        f"trailer\n<< /Size {count} /Root 1 0 R /Info {count - 1} 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    return f"{body}xref\n0 {count}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")


class InGroups(InProcess):
    """Shards asked as by several hosts: even ones together, odd ones together."""

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Any]], deadline: float | None = None
    ) -> dict[int, Any]:
        groups = [{shard: one for shard, one in questions.items() if shard % 2 == odd} for odd in (0, 1)]
        found: dict[int, Any] = {}
        for group in groups:
            if group or not questions:
                found |= super().ask(epoch, group, deadline)
        return found
