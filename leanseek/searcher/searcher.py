"""Search an index: the one object that a program, the command line and an evaluation all ask."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from leanseek.encode import Encoder, TruncationReport
from leanseek.errors import UsageError
from leanseek.indexing.creation import given_encoder
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.answer import finish, finish_ranked, make_answer
from leanseek.searcher.context import Context, pack
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.fusion.registry import load_fusion, own_fusion
from leanseek.searcher.ranking import Mode, choose_mode
from leanseek.searcher.relevance.judge import AUTO, RelevanceChoice, choose_relevance, cut
from leanseek.searcher.request import QueryEncoder, Request, Serving, make_request, with_judge
from leanseek.searcher.search import check_candidates, rank_all, search_all
from leanseek.searcher.second_stage import DepthChoice, RerankerChoice, choose_second_stage
from leanseek.types import Answer, Hit, Progress, Ranked


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
        relevance: RelevanceChoice = AUTO,
        reranker: RerankerChoice = None,
        rerank_depth: DepthChoice | Sequence[DepthChoice] | None = None,
        rerank_budget: float | None = None,
    ) -> None:
        self._asked_fusion = fusion
        self._asked_mode = mode
        self._asked_relevance = relevance
        settings = snapshot.state.settings
        chosen = choose_mode(settings, mode)
        self._serving = Serving(
            snapshot,
            QueryEncoder(settings.encoder, encoder, device),
            chosen,
            fusion or own_fusion(settings),
            choose_relevance(relevance, settings, chosen),
        )
        self._second = choose_second_stage(
            reranker, rerank_depth, rerank_budget, device, index=snapshot.folder
        )
        self._refreshing = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = None,
        fusion: str | Fusion | None = None,
        dense_weight: float | None = None,
        mode: str | None = None,
        device: str | None = None,
        relevance: RelevanceChoice = AUTO,
        reranker: RerankerChoice = None,
        rerank_depth: DepthChoice | Sequence[DepthChoice] | None = None,
        rerank_budget: float | None = None,
    ) -> Searcher:
        """Open the last committed generation of the index at `path`.

        `mode` is hybrid, dense or sparse; None is hybrid where the index has both sides. The encoder is
        loaded at the first query that needs it; `encoder` replaces the recorded one by another name of the
        same model, or is the object given to `Index.create`. `fusion` and `dense_weight`: see `load_fusion`; without
        either, what the index has learned (`train_fusion`), else `convex`, which is also what a weight alone is for.

        `relevance` tells how probable it is that a hit is relevant: "auto" is the packaged model where the index
        has its encoder and a dense side is searched, and nothing elsewhere; "default" is that model or an error;
        or the file of one, or a `RelevanceModel`. None leaves it out.

        `reranker` puts the best hits of every search into a better order: a re-ranker, its name (see
        `load_reranker`), or a list of them, each going on from the one before. `rerank_depth` is how many hits each
        judges (by default 100), "auto" those that are probable enough (see `RerankDepth`); the others stay below.
        `rerank_budget` is how many seconds a query's re-ranking may take; the order is the best reached in time.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, ModelError, RelevanceFileError or
        UsageError.
        """
        if fusion is None and dense_weight is not None:
            fusion = "convex"
        if isinstance(fusion, str):
            fusion = load_fusion(fusion, dense_weight)
        elif dense_weight is not None:
            raise UsageError("dense_weight goes with a fusion given by name; set it on the fusion object")
        second = choose_second_stage(reranker, rerank_depth, rerank_budget, device, index=Path(path))
        snapshot = Snapshot.open(Path(path), dense=mode != "sparse")
        loaded = given_encoder(snapshot.state.settings, encoder, device)
        return cls(
            snapshot,
            encoder=loaded,
            fusion=fusion,
            mode=mode,
            device=device,
            relevance=relevance,
            reranker=second,
        )

    @property
    def generation(self) -> int:
        """The generation of the index that is being searched."""
        return self._serving.snapshot.state.generation

    @property
    def settings(self) -> IndexSettings:
        """What the index was created with."""
        return self._serving.snapshot.state.settings

    @property
    def mode(self) -> Mode:
        """How queries are answered that do not name a mode."""
        return self._serving.mode

    @property
    def fusion(self) -> Fusion:
        """How the two sides are fused in hybrid mode."""
        return self._serving.fusion

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a filter can name: id, title and those of the metadata."""
        segments = self._open_serving().snapshot.segments
        found = {field for segment in segments for field in segment.passages.fields()}
        return ("id", "title", *sorted(found - {"id", "title"}))

    @property
    def encoder(self) -> Encoder:
        """The encoder of the index, loaded at first use. Raises UsageError where the index has no dense side."""
        return self._serving.encoder.load()

    @property
    def truncation(self) -> TruncationReport:
        """What this encoder's limit has cut off the queries so far."""
        return self._serving.encoder.truncation

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the re-ranking so far: passages too long, time or memory that ran out."""
        return self._second.notes if self._second is not None else ()

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
        min_probability: float | None = None,
        relevant_only: bool = False,
    ) -> list[Hit]:
        """The k best documents for a query, best first; equal scores in order of their ids.

        `filter` is a metadata condition such as `year >= 2015 and lang = "en"`, applied inside both
        searches. Of a document split into passages the best one is shown, and its probability is the
        document's. `depth` is how many candidates each side gives (at least k; by default 100). A blank query
        gives no hits.

        `min_probability` in [0, 1] keeps, of the candidates in their order, those that are at least so probably
        relevant; `relevant_only` takes the probability that the relevance model keeps 95 % of what is relevant
        with. There may then be fewer than k hits, or none: `answer` tells why.

        Raises UsageError or FilterError.
        """
        return self.answer(
            query,
            k,
            filter=filter,
            mode=mode,
            explain=explain,
            depth=depth,
            min_probability=min_probability,
            relevant_only=relevant_only,
        ).hits

    def answer(
        self,
        query: str,
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
        min_probability: float | None = None,
        relevant_only: bool = False,
        progress: Progress | None = None,
    ) -> Answer:
        """`search`, with what the least probability has left out and, where nothing is left, what came nearest.

        `progress` is told of the hits that are re-ranked.

        Raises UsageError or FilterError.
        """
        serving = self._open_serving()
        request = make_request(serving, [query], k, filter, mode, depth)
        request = with_judge(serving, self._deepened(request), min_probability, relevant_only)
        [ranking] = search_all(serving, [query], request)
        return make_answer(
            serving.snapshot,
            query,
            ranking,
            request,
            k,
            explain=explain,
            second=self._second,
            progress=progress,
        )

    def search_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
        min_probability: float | None = None,
        relevant_only: bool = False,
        progress: Progress | None = None,
    ) -> list[list[Hit]]:
        """`search` for many queries: one list of hits for each, the same as it gives one at a time."""
        queries = queries if isinstance(queries, str) else list(queries)
        serving = self._open_serving()
        request = make_request(serving, queries, k, filter, mode, depth)
        request = with_judge(serving, self._deepened(request), min_probability, relevant_only)
        rankings = search_all(serving, queries, request)
        kept = (cut(ranking, request.threshold, request.k).kept for ranking in rankings)
        results: list[list[Hit]] = []
        for hits, _ in finish(
            serving.snapshot, queries, kept, k, explain=explain, second=self._second, progress=progress
        ):
            results.append(hits)
            if progress is not None and self._second is None:
                progress("searching", len(results), len(queries))
        return results

    def rank_batch(
        self,
        queries: Iterable[str],
        k: int = 1000,
        *,
        filter: str | None = None,
        mode: str | None = None,
        depth: int | None = None,
        candidates: Sequence[Sequence[str]] | None = None,
        min_probability: float | None = None,
        relevant_only: bool = False,
        progress: Progress | None = None,
    ) -> list[list[Ranked]]:
        """The documents that `search_batch` finds, in the same order with the same scores, without their texts.

        `candidates` gives for each query the ids of the documents to rank instead of searching: how a stored
        run is re-ranked. Each gets the exact score of every side that the mode asks; one that shares no term
        with the query has 0 on the sparse side. Ids that the index does not have are left out (`missing`
        tells them), as are documents that `filter` excludes; a blank query ranks nothing.

        `min_probability` and `relevant_only` leave documents out as `search` does. Without them no probabilities are
        computed (but where they say how deep to re-rank), which saves the time.

        Raises UsageError or FilterError; UsageError too where none of all the candidates is in the index.
        """
        queries = queries if isinstance(queries, str) else list(queries)
        serving = self._open_serving()
        request = self._deepened(make_request(serving, queries, k, filter, mode, depth))
        by_probability = self._second is not None and self._second.by_probability
        if min_probability is not None or relevant_only or by_probability:
            request = with_judge(serving, request, min_probability, relevant_only)
        if candidates is None:
            rankings = search_all(serving, queries, request)
        else:
            check_candidates(candidates, len(queries), depth)
            rankings = rank_all(serving, queries, candidates, request)
        kept = (cut(ranking, request.threshold, request.k).kept for ranking in rankings)
        results: list[list[Ranked]] = []
        for found in finish_ranked(
            serving.snapshot, queries, kept, k, second=self._second, progress=progress
        ):
            results.append(found)
            if progress is not None and self._second is None:
                progress("searching", len(results), len(queries))
        return results

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the document ids that the index does not have, each once, in the order given."""
        wanted = list(dict.fromkeys(ids))
        here = self._open_serving().snapshot.find(wanted)
        return [identifier for identifier in wanted if identifier not in here]

    async def asearch(
        self,
        query: str,
        k: int = 10,
        *,
        filter: str | None = None,
        mode: str | None = None,
        explain: bool = False,
        depth: int | None = None,
        min_probability: float | None = None,
        relevant_only: bool = False,
    ) -> list[Hit]:
        """`search` in a worker thread, for callers that must not block."""
        return await asyncio.to_thread(
            self.search,
            query,
            k,
            filter=filter,
            mode=mode,
            explain=explain,
            depth=depth,
            min_probability=min_probability,
            relevant_only=relevant_only,
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
        min_probability: float | None = None,
        relevant_only: bool = False,
    ) -> Context:
        """The best passages packed for a prompt of at most `max_tokens`, numbered for citation.

        Near-duplicates are left out, the parts of one document stand in their order, and a citation is
        never cut. Tokens are estimated at four characters each unless `count_tokens` counts them.
        `min_probability` and `relevant_only` leave passages out as `search` does: a context without any tells
        the prompt's writer that nothing relevant is there.
        """
        serving = self._open_serving()
        request = make_request(serving, [query], k, filter, mode, None, roll_up=False)
        request = with_judge(serving, self._deepened(request), min_probability, relevant_only)
        [ranking] = search_all(serving, [query], request)
        kept = cut(ranking, request.threshold, request.k).kept
        [(hits, _)] = finish(serving.snapshot, [query], [kept], k, second=self._second)
        return pack(hits, max_tokens, count_tokens or estimate_tokens)

    def refresh(self) -> bool:
        """Move on to the newest generation; True where there was one. Searches under way finish on the old."""
        with self._refreshing:
            current = self._open_serving()
            newest = Snapshot.open(current.snapshot.folder, dense=current.snapshot.with_dense)
            settings = newest.state.settings
            try:
                if newest.state.generation == current.snapshot.state.generation:
                    newest.close()
                    return False
                mode = choose_mode(settings, self._asked_mode)
                fusion = self._asked_fusion or own_fusion(settings)
                relevance = choose_relevance(self._asked_relevance, settings, mode)
            except BaseException:
                newest.close()
                raise
            encoder = current.encoder.for_settings(settings.encoder)
            self._serving = Serving(newest, encoder, mode, fusion, relevance)
        return True

    def close(self) -> None:
        """Let the files go. Whatever is asked afterwards, and what is under way, raises UsageError."""
        with self._refreshing:
            self._closed = True
            self._serving.snapshot.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deepened(self, request: Request) -> Request:
        """The request for as many results as the second stage may judge, which are cut to k after it."""
        return self._second.deepened(request) if self._second is not None else request

    def _open_serving(self) -> Serving:
        if self._closed:
            raise UsageError("this searcher is closed; open another with Searcher.open")
        return self._serving


def estimate_tokens(text: str) -> int:
    """About how many tokens a language model makes of a text: four characters each, rounded up."""
    return -(-len(text) // 4)
