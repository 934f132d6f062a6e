"""The same documents as one index and as shards, and what the two must have in common."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import HashEncoder, HashExpander, InGroups

from leanseek import Document, Index
from leanseek.cluster import InProcess, Question, route
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.relevance.features import Usual
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Level, Provenance, RelevanceModel

Build = Callable[..., Path]


def build(path: Path, parts: Iterable[Sequence[Document]], gone: Sequence[str] = (), **options: Any) -> Path:
    """An index of one segment for each part, some of its documents deleted again."""
    made = {"encoder": HashEncoder(), "learned": HashExpander(), "dense": "flat", **options}
    index = Index.create(path, **made)
    for part in parts:
        index.add(list(part), cache=False)
    here = {document.id for part in parts for document in part}
    if doomed := [one for one in gone if one in here]:
        index.delete(doomed)
    return path


@pytest.fixture(scope="session")
def cluster() -> Callable[..., InProcess]:
    """`cluster(folder, documents, shards, gone=…)` makes the shards in a folder, odd ones of two segments each."""

    def make(
        folder: Path, documents: Sequence[Document], shards: int, gone: Sequence[str] = (), **options: Any
    ) -> InProcess:
        folders = []
        for shard in range(shards):
            mine = [document for document in documents if route(document.id, shards) == shard]
            half = len(mine) // 3 if shard % 2 else 0
            parts = [part for part in (mine[:half], mine[half:]) if part]
            folders.append(build(folder / f"{shard:04}", parts, gone, **options))
        return InGroups.open(folders)

    return make


@pytest.fixture(scope="session")
def one_index() -> Build:
    """`build`."""
    return build


class Travelling(InProcess):
    """Shards that share nothing with who asks: questions and answers are copied on their way."""

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Any]], deadline: float | None = None
    ) -> dict[int, Any]:
        answers = super().ask(epoch, pickle.loads(pickle.dumps(dict(questions))), deadline)
        copied: dict[int, Any] = pickle.loads(pickle.dumps(answers))
        return copied


@pytest.fixture(scope="session")
def travelling() -> type[InProcess]:
    """`Travelling`."""
    return Travelling


def judging(fingerprint: str = HashEncoder.fingerprint) -> RelevanceModel:
    """A relevance model for the test encoder that looks at all that a list tells."""
    curve = ListCurve(
        lexical=0.4, matched=1.5, rank=0.5, lead=0.6, slope=1.1, offset=-2.5, breadth=0.1, best=3.0
    )
    return RelevanceModel(
        fingerprint,
        {"dense": 0.05, "hybrid": 0.05},
        Provenance(("made",), (), "all", 0, 0),
        curve,
        curve,
        Usual(0.05, 0.25),
        Level(0.4, 10),
    )


@pytest.fixture(scope="session")
def relevance() -> RelevanceModel:
    """`judging`."""
    return judging()


class KnownVectors:
    """The encoder of an index, whose documents' vectors are looked up in it: shards are made without encoding again."""

    def __init__(self, index: Path, encoder: Any) -> None:
        self.encoder = encoder
        for name in ("name", "fingerprint", "dimensions", "max_tokens"):
            setattr(self, name, getattr(encoder, name))
        snapshot = Snapshot.open(index)
        every = np.arange(snapshot.size)
        vectors = snapshot.vectors(every)
        texts = [text for one in snapshot.segments for text in one.passages.contents(np.arange(one.size))]
        self.known = {text: vectors[place] for place, text in enumerate(texts)}
        snapshot.close()

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self.encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Any:
        from leanseek.encode.base import Encoded

        vectors = np.array([self.known[text] for text in texts], np.float32).reshape(-1, self.dimensions)  # type: ignore[attr-defined]
        return Encoded(vectors, np.ones(len(texts), np.int32))


@pytest.fixture(scope="session")
def known_vectors() -> type[KnownVectors]:
    """`KnownVectors`."""
    return KnownVectors
