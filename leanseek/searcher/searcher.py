"""Search an index: the one object that a program, the command line and an evaluation all ask."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from leanseek.encode import Encoder, TruncationReport
from leanseek.errors import UsageError
from leanseek.filters import parse_filter
from leanseek.indexing.configuring import given_encoder, recorded_encoder
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.explaining import explain_hits
from leanseek.searcher.fusion import Fusion, load_fusion
from leanseek.searcher.packing import Context, pack
from leanseek.searcher.ranking import Mode, Ranking, choose_mode, rank_batch
from leanseek.types import BoolArray, Hit, Int64Array, Passage, Progress

DEPTH = 100
"""Candidates asked of each side, where k is smaller."""
BLOCK = 256
"""Queries of a batch ranked together."""


class Searcher:
    """Answers queries from one generation of an index, however the index changes meanwhile.

    Safe to share between threads. Use `refresh()` to move on to the newest generation.

    >>> searcher = Searcher.open("papers.index")
    >>> [hit.id for hit in searcher.search("do statins help?", k=3)]
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        encoder: Encoder | None = None,
        fusion: Fusion | None = None,
        mode: str | None = None,
        device: str | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._encoder = encoder
        self._fusion = fusion or load_fusion("convex")
        self._device = device
        self.truncation = TruncationReport()
        """What the encoder's limit has cut off the queries so far."""
        self._asked_mode = mode
        self.mode: Mode = choose_mode(snapshot.state.settings, mode)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = None,
        fusion: str | Fusion = "convex",
        dense_weight: float | None = None,
        mode: str | None = None,
        device: str | None = None,
    ) -> Searcher:
        """Open the last committed generation of the index at `path`.

        `mode` is hybrid, dense or sparse; None is hybrid where the index has both sides. The encoder is
        loaded at the first query that needs it; `encoder` replaces the recorded one by another name of the
        same model, or is the object given to `Index.create`. `fusion` and `dense_weight`: see `load_fusion`.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, ModelError or UsageError.
        """
        if isinstance(fusion, str):
            fusion = load_fusion(fusion, dense_weight)
        elif dense_weight is not None:
            raise UsageError("dense_weight goes with a fusion given by name; set it on the fusion object")
        snapshot = Snapshot.open(Path(path), dense=mode != "sparse")
        loaded = given_encoder(snapshot.state.settings, encoder, device)
        return cls(snapshot, encoder=loaded, fusion=fusion, mode=mode, device=device)

    @property
    def generation(self) -> int:
        """The generation of the index that is being searched."""
        return self._snapshot.state.generation

    @property
    def settings(self) -> IndexSettings:
        """What the index was created with."""
        return self._snapshot.state.settings

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a filter can name: id, title and those of the metadata."""
        found = {field for segment in self._snapshot.segments for field in segment.passages.fields()}
        return ("id", "title", *sorted(found - {"id", "title"}))

    @property
    def encoder(self) -> Encoder:
        """The encoder of the index, loaded at first use. Raises UsageError where the index has no dense side."""
        if self._encoder is None:
            recorded = self.settings.encoder
            if recorded is None:
                raise UsageError("the index was made without a dense side; search it with --mode sparse")
            self._encoder = recorded_encoder(recorded, self._device, for_queries=True)
        return self._encoder

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
    ) -> list[Hit]:
        """The k best documents for a query, best first; equal scores in order of their ids.

        `filter` is a metadata condition such as `year >= 2015 and lang = "en"`, applied inside both
        searches. Of a document split into passages the best one is shown. `depth` is how many candidates
        each side gives (at least k; by default 100). A blank query gives no hits.

        Raises UsageError or FilterError.
        """
        return self.search_batch([query], k, filter=filter, mode=mode, explain=explain, depth=depth)[0]

    def search_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
        progress: Progress | None = None,
    ) -> list[list[Hit]]:
        """`search` for many queries: one list of hits for each, the same as it gives one at a time."""
        queries = queries if isinstance(queries, str) else list(queries)
        snapshot = self._snapshot
        rankings = self._rankings(snapshot, queries, k, filter, mode, depth, roll_up=True)
        results: list[list[Hit]] = []
        for query, ranking in zip(queries, rankings, strict=True):
            results.append(make_hits(snapshot, query, ranking, explain))
            if progress is not None:
                progress("searching", len(results), len(queries))
        return results

    async def asearch(
        self,
        query: str,
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
    ) -> list[Hit]:
        """`search` in a worker thread, for callers that must not block."""
        return await asyncio.to_thread(
            self.search, query, k, filter=filter, mode=mode, explain=explain, depth=depth
        )

    def context(
        self,
        query: str,
        max_tokens: int = 1500,
        *,
        k: int = 20,
        filter: str | None = None,
        mode: str | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> Context:
        """The best passages packed for a prompt of at most `max_tokens`, numbered for citation.

        Near-duplicates are left out, the parts of one document stand in their order, and a citation is
        never cut. Tokens are estimated at four characters each unless `count_tokens` counts them.
        """
        snapshot = self._snapshot
        [ranking] = self._rankings(snapshot, [query], k, filter, mode, None, roll_up=False)
        return pack(make_hits(snapshot, query, ranking), max_tokens, count_tokens or estimate_tokens)

    def refresh(self) -> bool:
        """Move on to the newest generation; True where there was one. Searches under way finish on the old."""
        newest = Snapshot.open(self._snapshot.folder, dense=self._snapshot.with_dense)
        if newest.state.generation == self.generation:
            newest.close()
            return False
        settings = newest.state.settings
        self.mode = choose_mode(settings, self._asked_mode)
        recorded = settings.encoder
        if self._encoder and (recorded is None or recorded.fingerprint != self._encoder.fingerprint):
            self._encoder = None  # the index was rebuilt with another one
        self._snapshot = newest
        return True

    def close(self) -> None:
        """Let the files go."""
        self._snapshot.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rankings(
        self,
        snapshot: Snapshot,
        queries: Sequence[str],
        k: int,
        filter: str | None,
        mode: str | None,
        depth: int | None,
        roll_up: bool,
    ) -> Iterator[Ranking]:
        if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
            raise UsageError("queries must be a list of strings; `search` takes a single one")
        if not isinstance(k, int) or k < 1:
            raise UsageError(f"k is {k!r}; it must be a whole number, at least 1")
        if depth is not None and depth < k:
            raise UsageError(f"depth is {depth}; it must be at least k, which is {k}")
        chosen = choose_mode(snapshot.state.settings, mode) if mode is not None else self.mode
        if chosen != "sparse" and not snapshot.with_dense:
            raise UsageError(f"this searcher was opened with mode='sparse'; open another for mode='{chosen}'")
        allowed = snapshot.matching(str(parse_filter(filter))) if filter is not None else None
        documents = snapshot.documents if roll_up else None
        return self._rank(snapshot, queries, k, max(k, depth or DEPTH), chosen, allowed, documents)

    def _rank(
        self,
        snapshot: Snapshot,
        queries: Sequence[str],
        k: int,
        depth: int,
        mode: Mode,
        allowed: BoolArray | None,
        documents: Int64Array | None,
    ) -> Iterator[Ranking]:
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            asked = [place for place, query in enumerate(block) if query.strip()]
            texts = [block[place] for place in asked]
            vectors = None
            if mode != "sparse":
                encoded = self.encoder.encode_queries(texts)
                vectors = encoded.vectors
                self.truncation += TruncationReport.of(encoded.tokens, self.encoder.max_tokens)
            rankings = [NOTHING] * len(block)
            reach = min(depth, max(snapshot.size, 1))
            while asked:
                found = rank_batch(snapshot, texts, vectors, reach, mode, self._fusion, allowed)
                short = []
                for row, (place, ranking) in enumerate(zip(asked, found, strict=True)):
                    best = first_of_each(ranking, documents, k)
                    rankings[place] = ranking.take(best)
                    if len(best) < k and not ranking.complete and reach < snapshot.size:
                        short.append(row)
                # Many of the candidates were parts of the same documents: look deeper.
                asked, texts = [asked[row] for row in short], [texts[row] for row in short]
                vectors = vectors[short] if vectors is not None else None
                reach = min(reach * 4, snapshot.size)
            yield from rankings


NOTHING = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None, None, complete=True)


def first_of_each(ranking: Ranking, documents: Int64Array | None, k: int) -> Int64Array:
    """Places (at most k) of the best passage of each document, best first."""
    if documents is None:
        return np.arange(min(k, len(ranking.ordinals)))
    _, first = np.unique(documents[ranking.ordinals], return_index=True)
    return np.sort(first)[:k]


def make_hits(snapshot: Snapshot, query: str, ranking: Ranking, explain: bool = False) -> list[Hit]:
    """The hits of a ranking, in its order."""
    passages = snapshot.passages.get(ranking.ordinals)
    hits = [
        Hit(
            rank=rank,
            id=stored.id,
            score=float(score),
            title=stored.title,
            text=stored.text,
            metadata=stored.metadata,
            passage=Passage(stored.number, stored.parts, stored.start) if stored.parts > 1 else None,
        )
        for rank, (stored, score) in enumerate(zip(passages, ranking.scores, strict=True), 1)
    ]
    return explain_hits(hits, ranking, query, snapshot.passages.analyzer) if explain else hits


def estimate_tokens(text: str) -> int:
    """About how many tokens a language model makes of a text: four characters each, rounded up."""
    return -(-len(text) // 4)
