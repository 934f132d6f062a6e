"""Search an index: the one object that a program, the command line and an evaluation all ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from leanseek.encode import Encoder, LearnedEncoder, TruncationReport
from leanseek.encode.device import check_device
from leanseek.errors import UsageError
from leanseek.filters import Filter, parse_filter
from leanseek.indexing.creation import given_encoder, given_learned
from leanseek.indexing.search_source import Allowed, Counts, SearchSource, SourceState
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.answer import answers, covered, ranked_lists, worded
from leanseek.searcher.facets import count_facets
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.fusion.registry import load_fusion, own_fusion
from leanseek.searcher.ngram_search import NGramQueries, ngrams_of
from leanseek.searcher.ranking import Mode, choose_mode
from leanseek.searcher.relevance.judge import AUTO, RelevanceChoice, choose_relevance, cut
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.searcher.request import Generation, LearnedQueries, QueryEncoder, SearchOptions, make_request
from leanseek.searcher.search import check_candidates, rank_all, search_all
from leanseek.searcher.wordings import rankings_of, wordings_of
from leanseek.types import (
    Answer,
    Description,
    Document,
    Float32Array,
    Hit,
    Progress,
    Question,
    Ranked,
    Understanding,
)

if TYPE_CHECKING:
    from leanseek.decode import Decoder
    from leanseek.encode.document_transformer import DocumentTransformer
    from leanseek.indexing.ngrams import NGrams
    from leanseek.searcher.context import Compressor, Context, Guard, GuardChoice
    from leanseek.searcher.second_stage import DepthChoice, RerankerChoice, SecondStage
    from leanseek.understanding.profile import Profile
    from leanseek.understanding.suggestion import Suggester, Suggestions


class Searcher:
    """Answers queries from one generation of an index, however the index changes meanwhile.

    Safe to share between threads. Use `refresh()` to move on to the newest generation.

    >>> searcher = Searcher.open("papers.index")
    >>> [hit.id for hit in searcher.search("do statins help?", k=3)]
    """

    def __init__(
        self,
        snapshot: SearchSource,
        *,
        encoder: Encoder | None = None,
        fusion: Fusion | None = None,
        mode: str | None = None,
        device: str | None = None,
        relevance: RelevanceChoice = AUTO,
        second_stage: SecondStage | None = None,
        learned: LearnedEncoder | None = None,
        generator: str | Decoder | None = None,
    ) -> None:
        """`open` is the usual way; this takes its parts ready made, and what it raises for a choice that is none."""
        self._choices = Choices(fusion, mode, relevance)
        settings = snapshot.state.settings
        self._generation = self._choices.generation(
            snapshot,
            QueryEncoder(settings.encoder, encoder, device),
            LearnedQueries(settings.learned, learned, device),
            NGramQueries(settings.ngrams, generator),
        )
        if second_stage is not None:
            second_stage.check_mode(self._generation.mode)
        self._second = second_stage
        self._device = device
        self._compressor: Compressor | None = None
        self._refreshing = threading.Lock()
        self._learned_guard: tuple[SourceState, Guard] | None = None
        self._guarding = threading.Lock()
        self._suggesters: dict[str | None, tuple[SourceState, Suggester]] = {}
        self._suggesting = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = None,
        fusion: str | Fusion | None = None,
        dense_weight: float | None = None,
        learned: str | LearnedEncoder | None = None,
        learned_weight: float | None = None,
        mode: str | None = None,
        device: str | None = None,
        relevance: RelevanceChoice = AUTO,
        reranker: RerankerChoice = None,
        rerank_depth: DepthChoice | Sequence[DepthChoice] | None = None,
        rerank_budget: float | None = None,
        rerank_long: str | None = None,
        adaptive: bool = False,
        generator: str | Decoder | None = None,
        progress: Progress | None = None,
    ) -> Searcher:
        """Open the last committed generation of the index at `path`.

        `mode` is hybrid (all sides of the index), dense, sparse or learned; None is hybrid where the index has more
        sides than one. The encoders are loaded at the first query that needs them; `encoder` and `learned` replace the
        recorded ones by another name of the same model, or are the objects given to `Index.create`. `fusion`,
        `dense_weight` and `learned_weight`: see `load_fusion`; without any, what the index has learned
        (`train_fusion`), else `agreement` where there is a learned side and `convex` elsewhere; a
        weight alone is for `convex`.

        `relevance` tells how probable it is that a hit is relevant: "auto" is the packaged model where the index
        has its encoder and a dense side is searched, and nothing elsewhere; "default" is that model or an error;
        or the file of one, or a `RelevanceModel`. None leaves it out.

        `reranker` puts the best hits of every search into a better order: a re-ranker, its name (see
        `load_reranker`), or a list of them, each going on from the one before. `rerank_depth` is how many hits each
        judges (by default 100), "auto" those that are probable enough (see `RerankDepth`); the others stay below.
        `rerank_budget` is how many seconds a query's re-ranking may take; the order is the best reached in time.
        `rerank_long` is how cross-encoders read passages that do not fit (see `load_reranker`). With `adaptive`
        `rerank_depth` is how many passages a single re-ranker scores, and its scores lead it to passages that the
        search did not return (see `leanseek.rerank.adaptive`). `generator` is the decoder that finds n-grams for
        queries (see `leanseek.searcher.ngram_search`), by name or loaded; None: they are those of a query's own words.
        `progress` is called while a re-ranker's model is converted, which happens once. `device` is where models run
        and, if it is another than the CPU, where vectors are searched, exactly: they are copied there by the first
        query, and many queries at once (`search_batch`) are one matrix product.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, ModelError, RelevanceFileError or
        UsageError.
        """
        check_device(device)
        chosen = choose_fusion(fusion, dense_weight, learned_weight)
        second = None
        choices = (reranker, rerank_depth, rerank_budget, rerank_long)
        if adaptive or any(choice is not None for choice in choices):
            from leanseek.searcher.second_stage import choose_second_stage

            second = choose_second_stage(
                reranker,
                rerank_depth,
                rerank_budget,
                device,
                long=rerank_long,
                index=Path(path),
                adaptive=adaptive,
                progress=progress,
            )
        snapshot = Snapshot.open(Path(path), dense=mode not in ("sparse", "learned", "ngram"), device=device)
        loaded = given_encoder(snapshot.state.settings, encoder, device)
        return cls(
            snapshot,
            encoder=loaded,
            fusion=chosen,
            mode=mode,
            device=device,
            relevance=relevance,
            second_stage=second,
            learned=given_learned(snapshot.state.settings, learned, device),
            generator=generator,
        )

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self._generation.snapshot.folder

    @property
    def generation(self) -> int:
        """The generation of the index that is being searched."""
        return self._generation.snapshot.state.generation

    @property
    def size(self) -> int:
        """How many passages are searched, deleted ones included."""
        return self._generation.snapshot.size

    @property
    def settings(self) -> IndexSettings:
        """What the index was created with."""
        return self._generation.snapshot.state.settings

    @property
    def source(self) -> SearchSource:
        """What is searched: the passages of this generation. Raises UsageError once the searcher is closed."""
        return self._open_generation().snapshot

    @property
    def mode(self) -> Mode:
        """How queries are answered that do not name a mode."""
        return self._generation.mode

    @property
    def fusion(self) -> Fusion:
        """How the sides are fused in hybrid mode."""
        return self._generation.fusion

    @property
    def relevance(self) -> RelevanceModel | None:
        """What gives hits their probabilities; None where nothing does."""
        return self._generation.relevance

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a filter can name: id, title and those of the metadata."""
        return ("id", "title", *sorted(self._open_generation().snapshot.fields - {"id", "title"}))

    @property
    def encoder(self) -> Encoder:
        """The encoder of the index, loaded at first use. Raises UsageError where the index has no dense side."""
        return self._generation.encoder.load()

    @property
    def ngrams(self) -> NGrams:
        """The n-grams of the index. Raises UsageError where it has none."""
        return ngrams_of(self._open_generation().snapshot)

    @property
    def truncation(self) -> TruncationReport:
        """What this encoder's limit has cut off the queries so far."""
        return self._generation.encoder.truncation

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the re-ranking so far: passages too long, time or memory that ran out."""
        return self._second.notes if self._second is not None else ()

    def search(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """The k best documents for a query, best first; equal scores in order of their ids.

        Of a document split into passages the best one is shown, and its probability is the document's. A blank
        query gives no hits. `queries` are further wordings of the question, or all of them without a `query`: the
        ranking is of what any of them finds (see `leanseek.searcher.wordings`), re-rankers read the first, whose
        operators hold for all. `options`: see `SearchOptions` (filter, mode, depth, min_probability, relevant_only,
        literal, collapse, diversity, recency, now, understand, strict, expand, relevant, irrelevant, history,
        history_weight, ngram_weight).

        Raises UsageError or FilterError.
        """
        return self.answer(query, k, queries=queries, explain=explain, **options).hits

    def answer(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        facets: Sequence[str] = (),
        explain: bool = False,
        progress: Progress | None = None,
        **options: Unpack[SearchOptions],
    ) -> Answer:
        """`search`, with what the least probability has left out and, where no hit reaches it, what came nearest.

        Where there is no hit it says why. `facets` names fields whose values are counted among all documents that the
        filter and the query's operators admit. `progress` is called with the hits that are re-ranked.

        Raises UsageError or FilterError.
        """
        asked, *wordings = wordings_of(query, queries)
        request = make_request(
            self._open_generation(),
            self._second,
            [asked],
            k,
            options,
            explain=explain,
            progress=progress,
            wordings=wordings,
        )
        counted = count_facets(request, facets) if facets else {}
        [answer] = answers(request, rankings_of(request))
        lost = sum(report.tokens_lost for report in request.cut)
        if lost or counted:
            answer = replace(answer, tokens_lost=lost, facets=counted)
        if answer.hits:
            return answer
        from leanseek.searcher.nothing import why_nothing

        return replace(answer, nothing=why_nothing(request, worded(request, request.queries[0]), answer))

    def understand(self, query: str, **options: Unpack[SearchOptions]) -> Understanding:
        """What a query asks of fields of the index, and the rest of its words: `statin trials after 2015`.

        Values, years, comparisons, and the letters and number of words of a title are linked by the words; a title by
        the hits too, for which the query is searched with the `options` (those of `search`). A search does the same
        with `understand`. Characters are those of the query without its operators.

        Raises UsageError or FilterError.
        """
        from leanseek.understanding import understanding

        options = {**options, "understand": True, "strict": False}
        request = make_request(self._open_generation(), None, [query], 1, options, probabilities=False)
        [ranking] = rankings_of(request)
        return understanding(request.queries[0], ranking.constraints)

    def clarify(self, query: str, **options: Unpack[SearchOptions]) -> Question | None:
        """A question back, where the best hits of a search are about several things; None where there is none to ask.

        Each of its options, at most five, has the query and the filter to search with once it is chosen. `options` are
        those of `search`. See `leanseek.understanding.clarification`.

        Raises UsageError or FilterError.
        """
        from leanseek.understanding.clarification import BEST, clarify

        if options.get("depth") is not None:
            options = {**options, "depth": max(options["depth"] or 0, BEST)}
        request = make_request(self._open_generation(), None, [query], BEST, options, probabilities=False)
        [ranking] = rankings_of(request)
        return clarify(request, query, cut(ranking, request.threshold, BEST).kept)

    def search_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        explain: bool = False,
        progress: Progress | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """`search` for many queries: one list of hits for each, the same as it gives one at a time."""
        request = make_request(
            self._open_generation(),
            self._second,
            as_list(queries),
            k,
            options,
            explain=explain,
            progress=progress,
        )
        return [answer.hits for answer in answers(request, search_all(request))]

    def rank_batch(
        self,
        queries: Iterable[str],
        k: int = 1000,
        *,
        candidates: Sequence[Sequence[str]] | None = None,
        progress: Progress | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Ranked]]:
        """The documents that `search_batch` finds, in the same order with the same scores, without their texts.

        `candidates` gives for each query the ids of the documents to rank instead of searching: how a stored
        run is re-ranked. Each gets the exact score of every side of the mode; one that shares no term with the
        query has 0 on the sparse side. Ids that the index does not have are left out (`missing` names them), as
        are documents that the filter excludes; a blank query ranks nothing.

        Probabilities are computed only where a threshold or the depth of re-ranking needs them, which saves time.

        Raises UsageError or FilterError; UsageError too where none of all the candidates is in the index.
        """
        request = make_request(
            self._open_generation(),
            self._second,
            as_list(queries),
            k,
            options,
            probabilities=False,
            literal=True,
            progress=progress,
        )
        if candidates is None:
            return list(ranked_lists(request, search_all(request)))
        check_candidates(candidates, len(request.queries), options.get("depth"))
        if self._second is not None and self._second.adaptive:
            raise UsageError(
                "adaptive re-ranking finds its own candidates in the index; leave out either it or the candidates"
            )
        return list(ranked_lists(request, rank_all(request, candidates)))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the document ids that the index does not have, each once, in the order given."""
        wanted = list(dict.fromkeys(ids))
        here = self._open_generation().snapshot.find(wanted)
        return [identifier for identifier in wanted if identifier not in here]

    def ids(self, *, filter: str | Filter | None = None) -> list[str]:
        """The ids of all documents that the filter admits, each once. Raises FilterError."""
        snapshot = self._open_generation().snapshot
        return snapshot.ids(admitted(snapshot, filter))

    def count(self, *, filter: str | Filter | None = None) -> Counts:
        """How many documents, and how many passages, the filter admits. Raises FilterError."""
        snapshot = self._open_generation().snapshot
        allowed = admitted(snapshot, filter)
        return Counts(snapshot.count_documents(allowed), snapshot.count(allowed))

    def examples(self, *, filter: str | Filter | None = None) -> Mapping[str, Mapping[str, Any]]:
        """An example of each kind of value that a field has, by field, from the documents that the filter admits.

        Raises FilterError.
        """
        snapshot = self._open_generation().snapshot
        return snapshot.examples(admitted(snapshot, filter))

    def idf(self, words: Iterable[str]) -> Float32Array:
        """(n,) how rare each of the words is among the passages; the most of its terms where it has several.

        0 for one that no passage has, and for a stop word. Raises UsageError where the index has no sparse side.
        """
        sparse = self._open_generation().snapshot.sparse
        return np.array([sparse.idf(word).max(initial=0.0) for word in as_list(words)], dtype=np.float32)

    def documents(self, ids: Iterable[str], *, filter: str | Filter | None = None) -> list[Document]:
        """Those of the documents that the index has and the filter admits, whole and in the order given.

        Raises FilterError.
        """
        snapshot = self._open_generation().snapshot
        return snapshot.whole(as_list(ids), admitted(snapshot, filter))

    def similar(
        self,
        id: str | None = None,
        k: int = 10,
        *,
        text: str | None = None,
        title: str = "",
        filter: str | Filter | None = None,
        encoder: str | os.PathLike[str] | DocumentTransformer | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """The k documents most alike to a document of the index, or to a text, best first; equal ones by their ids.

        All passages of the two documents are compared (see `leanseek.searcher.likeness`), so that an index of long
        documents is made with `chunk_words`; with an `encoder`, the folder that `leanseek train documents` has written,
        or what `load_document_transformer` made of it, the vectors that it gives them are compared instead. `score` is
        the likeness in [-1, 1], the same from either side. A hit shows the passage that is nearest to one of the
        document's; with `explain` it has an extract of it. The document itself is left out, a blank text is like
        nothing.

        Raises UsageError for an unknown id, and where the index has no vectors; FilterError; ModelError for an
        `encoder` that is none, or belongs to other vectors.
        """
        from leanseek.searcher.likeness import blocks_of, fitting_transformer, similar_hits

        if not isinstance(k, int) or k < 1:
            raise UsageError(f"k is {k!r}; it must be a whole number, at least 1")
        generation = self._open_generation()
        blocks = blocks_of(generation, id, text, title)
        transformer = None if encoder is None else fitting_transformer(generation, encoder, self._device)
        return similar_hits(
            generation.snapshot,
            blocks,
            k,
            allowed=admitted(generation.snapshot, filter),
            without=id,
            transformer=transformer,
            explain=explain,
        )

    def describe(
        self,
        query: str,
        *,
        relevant: Sequence[str] | None = None,
        irrelevant: Sequence[str] | None = None,
        generator: Decoder | None = None,
        filter: str | Filter | None = None,
        mode: str | None = None,
        literal: bool = False,
    ) -> Description:
        """What a query wants, in at most three sentences that set relevant documents apart from irrelevant ones.

        `relevant` and `irrelevant` are ids; without them the best three hits, and those of the ranks 20 to 50, stand
        for them. The sentences are the documents' own, or written by a `generator` (see `load_decoder`), of whose
        sentences those remain that hold no term that irrelevant documents have more often.

        Raises UsageError where nothing is relevant, or an id is not in the index; FilterError.
        """
        from leanseek.searcher.query_feedback import describe

        options: SearchOptions = {
            "filter": filter,
            "mode": mode,
            "literal": literal,
            "expand": "description",
            "relevant": relevant,
            "irrelevant": irrelevant,
        }
        request = make_request(self._open_generation(), None, [query], 10, options, probabilities=False)
        return describe(request, generator)

    async def asearch(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """`search` in a worker thread, for callers that must not block."""
        import asyncio  # a tenth of the time that a search from the command line takes to start

        return await asyncio.to_thread(self.search, query, k, queries=queries, explain=explain, **options)

    def context(
        self,
        query: str | None = None,
        max_tokens: int = 1500,
        *,
        queries: Sequence[str] | None = None,
        k: int = 20,
        count_tokens: Callable[[str], int] | None = None,
        compress: float | None = None,
        guard: GuardChoice = "off",
        **options: Unpack[SearchOptions],
    ) -> Context:
        """The best passages packed for a prompt of at most `max_tokens`, numbered for citation.

        Near-duplicates are left out, the parts of one document follow in their order, and a citation is never
        cut. Tokens are estimated at four characters each unless `count_tokens` counts them. With
        `min_probability` or `relevant_only` an empty context means that nothing relevant is in the index. `queries`
        are further wordings of the question, see `search`.

        `expand` adds neighbours of the passages found in documents that were split, as far as they fit: "window:N",
        N passages on either side, which come before hits that are ranked further below; "document", the whole
        documents, best first. "passage" adds none. The name of a query expansion expands the query instead, and a list
        of both does both. `Context.notes` say what does not fit, or why there is nothing.

        `compress` keeps that share of each passage's words, above 0 and at most 1: the sentences that answer, in
        order, and at least one. They are compared with the query by the vectors of their tokens, which are read from
        the index where it has them (see `store_tokens`), or by their words where the index has no encoder.

        `guard` looks for strategic text in what is packed: sequences of random tokens, instructions to a model, and
        hidden characters. "mark" says in `Context.notes` in which documents it is and what, "drop" leaves these
        documents out too, "off" does not look. What is usual is learned from the index's own texts, once a generation.

        Raises UsageError or FilterError.
        """
        from leanseek.searcher.context import (
            Compressor,
            check_guard,
            check_share,
            distinct,
            expanded,
            guarded,
            pack,
            parse_expansion,
        )

        check_guard(guard)
        passages = None
        if options.get("expand") is not None:
            from leanseek.searcher.query_feedback import divided

            passages, method = divided(options["expand"])
            options = {**options, "expand": method}
        expansion = parse_expansion(passages or "passage")
        asked, *wordings = wordings_of(query, queries)
        if compress is not None:
            check_share(compress)
        request = make_request(
            self._open_generation(),
            self._second,
            [asked],
            k,
            options,
            roll_up=False,
            literal=True,
            wordings=wordings,
        )
        [answer] = answers(request, rankings_of(request))
        hits = answer.hits
        if expansion.window != 0:
            hits = expanded(distinct(hits), expansion, request.snapshot, max_tokens)
        shorten = None
        if compress is not None and hits:
            if self._compressor is None:
                self._compressor = Compressor(self._device)
            shorten = self._compressor(request, hits, compress)
        count = count_tokens or estimate_tokens

        def packing(chosen: Sequence[Hit]) -> Context:
            return pack(chosen, max_tokens, count, whole=expansion.window is None, shorten=shorten)

        if guard == "off" or not hits:
            packed = packing(hits)
        else:
            packed = guarded(self._guard(request.snapshot), hits, packing, drop=guard == "drop")
        notes = [*(shorten.notes if shorten is not None else ()), *packed.notes]
        if answer.coverage is not None:
            notes.append(covered(answer.coverage))
        if not hits:
            from leanseek.searcher.nothing import why_nothing

            notes.append(f"nothing was found: {why_nothing(request, request.queries[0], answer).sentence}")
        elif expansion.window and all(hit.passage is None for hit in hits):
            notes.append("no document that was found is split into passages: there is nothing to expand")
        return replace(packed, notes=tuple(notes))

    def _guard(self, snapshot: SearchSource) -> Guard:
        """What has learned from the texts of a snapshot."""
        from leanseek.searcher.context import Guard

        with self._guarding:
            if self._learned_guard is None or self._learned_guard[0] is not snapshot.state:
                self._learned_guard = snapshot.state, Guard.of(snapshot)
            return self._learned_guard[1]

    def suggest(
        self,
        text: str,
        k: int = 8,
        *,
        log: str | os.PathLike[str] | None = None,
        profile: Profile | None = None,
        progress: Progress | None = None,
    ) -> Suggestions:
        """At most k queries to suggest for what has been typed: completions first, then next questions.

        Each has a hit: one that is relevant by the relevance model's threshold, or in an index without one that has
        most of the suggestion's words. They are titles, questions and phrases of the documents, and the queries of
        `log`, a file with one a line. `profile` prefers what is near to documents that its owner has opened. See
        `leanseek.understanding.suggestion`. `corrected` is the text without typing mistakes, where nothing completes it
        as it is.

        The first call for a generation of the index collects and searches for all that can be suggested, which takes as
        long as a few thousand searches and is stored in the cache folder; `progress` is called with the searches done.
        A log is read once.

        Raises UsageError for a k outside 1 to 100, InputError for a log that cannot be read.
        """
        from leanseek.understanding.suggestion import Suggester, check_count

        check_count(k)
        generation, name = self._open_generation(), None if log is None else os.fspath(log)
        with self._suggesting:
            known = self._suggesters.get(name)
            if known is None or known[0] is not generation.snapshot.state:
                known = generation.snapshot.state, Suggester.of(generation, log, progress)
                self._suggesters[name] = known
        return known[1].suggest(text, k, profile, generation.snapshot)

    def corrected(self, query: str) -> str | None:
        """The query without typing mistakes: each word that the index does not have, and that is one edit from a word
        that it has, replaced by that. None where there is nothing to correct. See `leanseek.understanding.spelling`.
        """
        from leanseek.understanding.spelling import corrected

        return corrected(self._open_generation().snapshot, query)

    def refresh(self) -> bool:
        """Move on to the newest generation; True where there was one. Searches under way finish on the old."""
        with self._refreshing:
            current = self._open_generation()
            newest = self._newest(current.snapshot)
            settings = newest.state.settings
            try:
                if newest.state.generation == current.snapshot.state.generation:
                    newest.close()
                    return False
                encoder = current.encoder.for_settings(settings.encoder)
                learned = current.learned.for_settings(settings.learned)
                ngrams = current.ngrams.for_settings(settings.ngrams)
                self._generation = self._choices.generation(newest, encoder, learned, ngrams)
            except BaseException:
                newest.close()
                raise
        return True

    def close(self) -> None:
        """Let the files go. Whatever is asked afterwards, and what is under way, raises UsageError."""
        with self._refreshing:
            self._closed = True
            self._generation.snapshot.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _newest(self, current: SearchSource) -> SearchSource:
        return Snapshot.open(current.folder, dense=current.with_dense, device=self._device)

    def _open_generation(self) -> Generation:
        if self._closed:
            raise UsageError("this searcher is closed; open another with Searcher.open")
        return self._generation


@dataclass(frozen=True, slots=True)
class Choices:
    """What a searcher was opened with, None where the index decides; kept for the generations to come."""

    fusion: Fusion | None
    mode: str | None
    relevance: RelevanceChoice

    def generation(
        self,
        snapshot: SearchSource,
        encoder: QueryEncoder,
        learned: LearnedQueries,
        ngrams: NGramQueries,
    ) -> Generation:
        """What queries of the snapshot are answered with. Raises as `Searcher.open` does for unfit choices."""
        settings = snapshot.state.settings
        mode = choose_mode(settings, self.mode)
        fusion = self.fusion or own_fusion(settings)
        relevance = choose_relevance(self.relevance, settings, mode)
        return Generation(snapshot, encoder, mode, fusion, relevance, learned, ngrams=ngrams)


def choose_fusion(
    fusion: str | Fusion | None, dense_weight: float | None, learned_weight: float | None
) -> Fusion | None:
    """The fusion given or named; None: the index decides. Raises UsageError for weights beside a fusion object."""
    weights = {"dense_weight": dense_weight, "learned_weight": learned_weight}
    given = [name for name, weight in weights.items() if weight is not None]
    if fusion is None and given:
        fusion = "convex"
    if isinstance(fusion, str):
        return load_fusion(fusion, dense_weight, learned_weight)
    if given:
        raise UsageError(f"{given[0]} goes with a fusion given by name; set it on the fusion object")
    return fusion


def admitted(snapshot: SearchSource, filter: str | Filter | None) -> Allowed:
    """What of a snapshot a filter admits, None for all. Raises FilterError."""
    if filter is None:
        return None
    return snapshot.matching(parse_filter(filter) if isinstance(filter, str) else filter)


def as_list(queries: Iterable[str]) -> Sequence[str]:
    """The queries as a list; a single string stays one, which a request refuses."""
    return queries if isinstance(queries, str) else list(queries)


def estimate_tokens(text: str) -> int:
    """About how many tokens a language model makes of a text: four characters each, rounded up."""
    return -(-len(text) // 4)
