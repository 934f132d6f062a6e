"""The whole pipeline over a corpus of another package: what the adapters share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import UsageError
from leanseek.eval.provenance import digest
from leanseek.indexing.creation import make_plan
from leanseek.indexing.index import Index
from leanseek.indexing.settings import IndexSettings, SparseSettings
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.ranking import choose_mode
from leanseek.searcher.searcher import Searcher
from leanseek.types import Document, Query


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """How a pipeline indexes and searches; the fields are those of `Index.create` and `Searcher.open`."""

    encoder: str | Encoder | None = DEFAULT_MODEL
    sparse: SparseSettings | None = field(default_factory=SparseSettings)
    chunk_words: int | None = None
    chunk_overlap: int = 0
    mode: str | None = None
    fusion: str = "convex"
    dense_weight: float | None = None
    depth: int | None = None
    device: str | None = None


class Pipeline:
    """Indexes one corpus after another in a temporary folder, and searches the last one.

    Vectors go through the vector cache, so a corpus that was seen before is not encoded again. The folder is
    removed by `close`, by the next `index`, or at the program's end.

    >>> with Pipeline(PipelineSettings(encoder=None)) as pipeline:
    ...     pipeline.index([Document("d1", "Statins lower cholesterol.")])
    ...     pipeline.rank([Query("q1", "statins")], k=10)
    """

    def __init__(self, settings: PipelineSettings = PipelineSettings()) -> None:
        """Check the settings and load the encoder. Raises UsageError, ModelError or MissingPackageError."""
        self.settings = settings
        self._plan = make_plan(
            encoder=settings.encoder,
            sparse=settings.sparse,
            chunk_words=settings.chunk_words,
            chunk_overlap=settings.chunk_overlap,
            device=settings.device,
        )
        self.mode = choose_mode(self._plan.settings, settings.mode)
        """The mode that the settings imply: hybrid, dense or sparse."""
        load_fusion(settings.fusion, settings.dense_weight)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._searcher: Searcher | None = None

    @property
    def index_settings(self) -> IndexSettings:
        """The settings of an index; its `encoder` is the description of the one that was loaded."""
        return self._plan.settings

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all settings that a ranking depends on, hexadecimal."""
        searching = {
            "mode": self.mode,
            "fusion": self.settings.fusion,
            "dense_weight": self.settings.dense_weight,
            "depth": self.settings.depth,
        }
        index = asdict(self._plan.settings)
        del index["learned"]  # pipelines have no learned side
        return digest({"index": index, "search": searching})

    def index(self, documents: Iterable[Document]) -> None:
        """Index a corpus; what was indexed before is dropped. Raises DuplicateIdError, InputError or StorageError."""
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="leanseek-", ignore_cleanup_errors=True)
        path = Path(self._folder.name) / "index"
        Index.make(path, documents, self._plan)
        self._searcher = Searcher.open(
            path,
            encoder=self._plan.encoder,
            fusion=self.settings.fusion,
            dense_weight=self.settings.dense_weight,
            mode=self.mode,
        )

    def rank(
        self, queries: Sequence[Query], k: int, candidates: Sequence[Sequence[str]] | None = None
    ) -> dict[str, dict[str, float]]:
        """Query id → document id → score, at most k a query; see `ranked`. Raises UsageError before `index`."""
        if self._searcher is None:
            raise UsageError("nothing is indexed yet; call index(documents) first")
        return ranked(self._searcher, queries, k, depth=self.settings.depth, candidates=candidates)

    def close(self) -> None:
        """Close the index and remove its folder."""
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ranked(
    searcher: Searcher,
    queries: Sequence[Query],
    k: int,
    *,
    depth: int | None = None,
    candidates: Sequence[Sequence[str]] | None = None,
) -> dict[str, dict[str, float]]:
    """Query id → document id → score, best first, at most k documents a query.

    A query without hits has an empty ranking, so that an evaluator scores it 0 instead of leaving it out. `depth` is
    the number of candidates of each side, at least k; `candidates`, where given, are ranked without a search.
    """
    deep = max(k, depth) if depth is not None and candidates is None else None
    rankings = searcher.rank_batch([query.text for query in queries], k, depth=deep, candidates=candidates)
    return {
        query.id: {document.id: float(document.score) for document in ranking}
        for query, ranking in zip(queries, rankings, strict=True)
    }


def make_documents(rows: Iterable[tuple[str, Mapping[str, str | None]]]) -> Iterator[Document]:
    """Ids and rows of BEIR's or MTEB's corpora as documents; an absent title or text is empty.

    Rows without either are left out, as by leanseek's readers: they cannot be found, but would change BM25's
    statistics.
    """
    for id, row in rows:
        document = Document(id=id, title=row.get("title") or "", text=row.get("text") or "")
        if document.title.strip() or document.text.strip():
            yield document
