"""A request: the queries of one call, and all that answering them needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from leanseek.encode import Encoder, LearnedEncoder, TruncationReport
from leanseek.errors import UsageError
from leanseek.indexing.creation import recorded_encoder, recorded_learned
from leanseek.indexing.learned import ImpactQuery, impact_query
from leanseek.indexing.search_source import Allowed, Documents, SearchSource
from leanseek.indexing.settings import EncoderSettings, LearnedSettings
from leanseek.searcher.diversity import POOL, check_diversity
from leanseek.searcher.field_boost import FieldTables, narrowed
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.interest import History, choose_history
from leanseek.searcher.ngram_search import NGramQueries, check_ngrams
from leanseek.searcher.ranking import Mode, SearchSides, choose_mode, search_sides
from leanseek.searcher.recency import Recency, check_dates, parse_recency
from leanseek.searcher.relevance.judge import Judge, choose_threshold
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import Constraint, Float32Array, Operator, Progress
from leanseek.understanding import parse_query, without_repeats

if TYPE_CHECKING:
    from leanseek.filters import Filter
    from leanseek.searcher.query_feedback import Expansion
    from leanseek.searcher.second_stage import SecondStage

DEPTH = 100
"""Candidates from each side, unless more results are wanted."""
BLOCK = 256
"""Queries of a batch ranked together."""


class SearchOptions(TypedDict, total=False):
    """What every search of a `Searcher` takes, by keyword.

    `filter` is a metadata condition such as `year >= 2015 and lang = "en"`, or a `Filter`, applied inside every
    side's search. `mode` is hybrid, dense, sparse or learned; by default the searcher's. `depth` is how many
    candidates each side gives (at least k; by default 100).

    `min_probability` in [0, 1] returns, of the candidates in their order, those that are at least so probably
    relevant; `relevant_only` takes the probability at which the relevance model returns 95 % of what is relevant.
    There may then be fewer than k results, or none: `Searcher.answer` says why.

    `expand` is how the query is expanded by the best hits of a first search, or by the documents named as `relevant`
    and `irrelevant`: rm3, rocchio, dense-prf or description (see `leanseek.understanding.query_expansion`). A context
    takes there, too, what comes along of its passages (see `Searcher.context`); a list for both.

    `literal` takes quotation marks, -word, +word and NOT in queries as text instead of operators; by default so do
    `rank_batch`, for evaluation, and `context`, for questions. `collapse` returns one of all hits with the same title
    and text, the best by rank; the ids of the others are its `copies`.

    `diversity` in [0, 1] puts the first results into an order in which each adds something to those before it (see
    `leanseek.searcher.diversity`); 0 leaves the order. `recency`, such as "published:90d", multiplies the score by one
    half for every half-life that a document is old by its date in that field (see `leanseek.searcher.recency`); `now`
    is the time it counts from, by default the present. Neither changes probabilities.

    `understand` links words of the query to fields of the index (see `Searcher.understand`) and raises the documents
    that have what they ask for; with `strict` it returns no others, and the words are not searched for.

    `history` are the ids of documents that were looked at in a session; what is like them is raised (see
    `leanseek.searcher.interest`). `history_weight` in [0, 1] is how much, by default 0.1.

    `ngram_weight` in [0, 1) is the share of n-grams in the scores of another mode than ngram (see
    `leanseek.searcher.ngram_search`); 0.1 is usual.
    """

    filter: str | Filter | None
    mode: str | None
    depth: int | None
    min_probability: float | None
    relevant_only: bool
    literal: bool
    collapse: bool
    diversity: float | None
    recency: str | None
    now: str | datetime | None
    expand: str | Sequence[str] | None
    relevant: Sequence[str] | None
    irrelevant: Sequence[str] | None
    understand: bool
    strict: bool
    history: Sequence[str] | None
    history_weight: float | None
    ngram_weight: float | None


class QueryEncoder:
    """The encoder of an index's queries, loaded once, by the first who needs it. Thread-safe."""

    def __init__(
        self, recorded: EncoderSettings | None, given: Encoder | None = None, device: str | None = None
    ) -> None:
        self._recorded = recorded
        self._encoder = given
        self._device = device
        self._lock = threading.Lock()
        self._truncation = TruncationReport()

    def load(self) -> Encoder:
        """The encoder itself.

        Raises UsageError where the index has no dense side, ModelError or MissingPackageError.
        """
        with self._lock:
            if self._encoder is None:
                if self._recorded is None:
                    raise UsageError("the index was made without a dense side; search it with --mode sparse")
                self._encoder = recorded_encoder(self._recorded, self._device, for_queries=True)
            return self._encoder

    def encode(self, queries: Sequence[str]) -> tuple[Float32Array, TruncationReport]:
        """(m, D) the queries' vectors, and what the encoder's limit has cut off them, which is counted too."""
        encoder = self.load()
        encoded = encoder.encode_queries(queries)
        report = TruncationReport.of(encoded.tokens, encoder.max_tokens)
        with self._lock:
            self._truncation += report
        return encoded.vectors, report

    @property
    def truncation(self) -> TruncationReport:
        """What the encoder's limit has cut off the queries so far."""
        with self._lock:
            return self._truncation

    def for_settings(self, recorded: EncoderSettings | None) -> QueryEncoder:
        """This one where it fits an index with these settings, else another."""
        mine = self._encoder or self._recorded
        if mine is not None and recorded is not None and mine.fingerprint == recorded.fingerprint:
            return self
        return QueryEncoder(recorded, device=self._device)


class LearnedQueries:
    """The learned sparse encoder of an index's queries, loaded once, by the first who needs it. Thread-safe."""

    def __init__(
        self,
        recorded: LearnedSettings | None,
        given: LearnedEncoder | None = None,
        device: str | None = None,
    ) -> None:
        self._recorded = recorded
        self._encoder = given
        self._device = device
        self._lock = threading.Lock()

    def load(self) -> LearnedEncoder:
        """The encoder itself.

        Raises UsageError where the index has no learned side, ModelError or MissingPackageError.
        """
        with self._lock:
            if self._encoder is None:
                if self._recorded is None:
                    raise UsageError(
                        "the index was made without a learned side; search it with another --mode"
                    )
                self._encoder = recorded_learned(self._recorded, self._device, for_queries=True)
            return self._encoder

    def encode(self, queries: Sequence[str]) -> tuple[list[ImpactQuery], TruncationReport]:
        """The queries as the learned side searches them, and what the encoder's limit has cut off them."""
        encoder = self.load()
        assert self._recorded is not None, "an encoder is given for an index that has the side"
        encoded = encoder.encode_queries(queries)
        found = [impact_query(encoded.row(row), self._recorded) for row in range(len(queries))]
        return found, TruncationReport.of(encoded.tokens, encoder.max_tokens)

    def for_settings(self, recorded: LearnedSettings | None) -> LearnedQueries:
        """One for an index with these settings, with the encoder of this one where it fits."""
        same = (
            recorded is not None
            and self._recorded is not None
            and self._recorded.fingerprint == recorded.fingerprint
        )
        return LearnedQueries(recorded, self._encoder if same else None, self._device)


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation of an index, and what its queries are answered with.

    A searcher moves on to a newer generation by replacing all of these at once. `search_sides` asks the sides.
    """

    snapshot: SearchSource
    encoder: QueryEncoder
    mode: Mode
    fusion: Fusion
    relevance: RelevanceModel | None
    learned: LearnedQueries = field(default_factory=lambda: LearnedQueries(None))
    tables: FieldTables = field(default_factory=FieldTables)
    ngrams: NGramQueries = field(default_factory=NGramQueries)
    search_sides: SearchSides = search_sides

    def sides(self, mode: Mode) -> frozenset[str]:
        """The sides that a search in the mode asks: in hybrid mode all that there are, but for one without a share."""
        if mode == "ngram":
            return frozenset()
        if mode != "hybrid":
            return frozenset({mode})
        settings = self.snapshot.state.settings
        asked = {"sparse"}
        if settings.dense is not None:
            asked.add("dense")
        if settings.learned is not None and getattr(self.fusion, "learned_weight", 0.0) > 0:
            asked.add("learned")
        return frozenset(asked)


@dataclass(frozen=True, slots=True)
class Request:
    """The queries of one call: at most `k` results for each, from `depth` candidates of each side.

    `allowed` (n,) is True for the passages that the filter admits, None for all. `documents` (n,) is the number of
    each passage's document, None where every passage is a result of its own. `judge` gives the results their
    probabilities, `second` re-ranks them; None leaves that out. `progress` is called with the queries answered, or
    the hits re-ranked. `cut` gets a report of each block of queries that is encoded. `operators` are those of each
    query, whose text has them no longer; empty: no query has any. `collapse`: of results with the same text only the
    first is one. `wordings` are further ones of the only query. `diversity` and `recency`: see `SearchOptions`.
    `expansion`: how the queries are expanded; None: not at all.
    `boosts`: what a query asks of fields raises what meets it. `constraints` are what each query asks of them in a
    strict search, whose text has them no longer; empty: none asks. `filter` is the one that `allowed` was made by.
    `history`: what was looked at in the session; None: nothing.
    `ngram_weight` is the share of n-grams in the scores of other sides.
    """

    generation: Generation
    queries: Sequence[str]
    k: int
    mode: Mode
    depth: int
    allowed: Allowed
    documents: Documents
    judge: Judge | None
    second: SecondStage | None
    explain: bool
    progress: Progress | None
    cut: list[TruncationReport] = field(default_factory=list)
    operators: Sequence[Sequence[Operator]] = ()
    collapse: bool = False
    wordings: Sequence[str] = ()
    diversity: float = 0.0
    recency: Recency | None = None
    expansion: Expansion | None = None
    boosts: bool = False
    constraints: Sequence[Sequence[Constraint]] = ()
    filter: Filter | None = None
    history: History | None = None
    ngram_weight: float = 0.0

    @property
    def snapshot(self) -> SearchSource:
        """The index as it is searched."""
        return self.generation.snapshot

    @property
    def sides(self) -> frozenset[str]:
        """The sides that are asked: sparse, dense, learned."""
        return self.generation.sides(self.mode)

    @property
    def threshold(self) -> float | None:
        """How probable a result must be; None: any probability will do."""
        return self.judge.threshold if self.judge is not None else None

    @property
    def reach(self) -> int:
        """How many results the search ranks: k, or as many as may be put into another order where that is more."""
        least = max(self.k, POOL) if self.diversity else self.k
        return least if self.second is None else max(least, self.second.reach)

    @property
    def most(self) -> int | None:
        """How many candidates become results; None: all, so that a threshold can drop some without a gap."""
        return self.reach if self.threshold is None else None

    def parts(self) -> Iterator[tuple[int, Request]]:
        """The queries in order, as requests that admit the same passages for all theirs; each with its first place.

        Those without operators and constraints come together, at most `BLOCK`, others alone: with what these admit as
        `allowed`, and with how many documents each leaves.
        """
        start = 0
        while start < len(self.queries):
            end = start + 1
            if self.narrows(start):
                yield start, self.alone(start)
            else:
                while end < min(start + BLOCK, len(self.queries)) and not self.narrows(end):
                    end += 1
                yield start, replace(self, queries=self.queries[start:end], operators=(), constraints=())
            start = end

    def narrows(self, place: int) -> bool:
        """Whether one of the queries has operators or, in a strict search, constraints."""
        return any(of_queries and of_queries[place] for of_queries in (self.operators, self.constraints))

    def alone(self, place: int) -> Request:
        """The request of one of the queries, with its operators and constraints applied."""
        alone = replace(self, queries=[self.queries[place]], operators=(), constraints=())
        if not self.narrows(place):
            return alone
        mask = self.allowed
        if self.constraints and self.constraints[place]:
            mask, asked = narrowed(self.snapshot, self.filter, self.constraints[place])
            alone = replace(alone, constraints=[asked])
        if self.operators and self.operators[place]:
            mask, applied = self.snapshot.narrowed(mask, self.operators[place])
            alone = replace(alone, operators=[applied])
        judge = self.judge and replace(self.judge, searched=self.snapshot.count(mask))
        return replace(alone, allowed=mask, judge=judge)


def make_request(
    generation: Generation,
    second: SecondStage | None,
    queries: Sequence[str],
    k: int,
    options: SearchOptions,
    *,
    explain: bool = False,
    roll_up: bool = True,
    probabilities: bool = True,
    literal: bool = False,
    progress: Progress | None = None,
    wordings: Sequence[str] = (),
) -> Request:
    """The request of a call with these options.

    `roll_up` makes the passages of a document one result. Without `probabilities` they are computed only where a
    threshold or the depth of re-ranking needs them. `literal`: how queries are taken where the options do not say.
    `wordings`: further ones of the only query, which are text.

    Raises UsageError or FilterError, TypeError for an unknown option.
    """
    unknown = options.keys() - SearchOptions.__annotations__.keys()
    if unknown:
        allowed = ", ".join(SearchOptions.__annotations__)
        raise TypeError(f"unknown search option {min(unknown)!r}; a search takes {allowed}")
    if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
        raise UsageError("queries must be a list of strings; `search` takes a single one")
    if not isinstance(k, int) or k < 1:
        raise UsageError(f"k is {k!r}; it must be a whole number, at least 1")
    depth, mode, filter = options.get("depth"), options.get("mode"), options.get("filter")
    if depth is not None and depth < k:
        raise UsageError(f"depth is {depth}; it must be at least k, which is {k}")
    snapshot = generation.snapshot
    chosen = choose_mode(snapshot.state.settings, mode) if mode is not None else generation.mode
    weight = check_ngrams(snapshot, chosen, options.get("ngram_weight"))
    if (chosen == "ngram" or weight) and generation.ngrams.generator is not None:
        # Before anything is searched: a generator of other tokens is an error, whatever the query.
        generation.ngrams.decoder()
    if wordings and (chosen == "ngram" or weight):
        raise UsageError(
            "n-grams are those of one query; search for its wordings one at a time, or without n-grams"
        )
    dense = "dense" in generation.sides(chosen)
    if dense and not snapshot.with_dense:
        raise UsageError(f"this searcher was opened with mode='sparse'; open another for mode='{chosen}'")
    if second is not None:
        second.check_mode(chosen)
    diversity = check_diversity(snapshot, options.get("diversity") or 0.0)
    recency = choose_recency(snapshot, options.get("recency"), options.get("now"))
    history = choose_history(snapshot, options.get("history"), options.get("history_weight"))
    matching = None
    if filter is not None:
        from leanseek.filters import parse_filter

        filter = parse_filter(filter) if isinstance(filter, str) else filter
        matching = snapshot.matching(filter)
    expansion = None
    given = options.get("expand"), options.get("relevant"), options.get("irrelevant")
    if any(given):
        from leanseek.searcher.query_feedback import choose_expansion

        if (given[1] or given[2]) and len(queries) > 1:
            raise UsageError(
                "relevant and irrelevant documents are those of one query; search for one at a time"
            )
        expansion = choose_expansion(generation, chosen, matching, *given)
    operators: list[tuple[Operator, ...]] = []
    if not options.get("literal", literal):
        queries, operators = understood(queries)
    understand, strict = options.get("understand", False), options.get("strict", False)
    constraints: list[tuple[Constraint, ...]] = []
    if strict:
        if not understand:
            raise UsageError(
                "strict is for what a query asks of fields; give understand=True too (--understand)"
            )
        queries, constraints = constrained(generation, queries)
    least, relevant_only = options.get("min_probability"), options.get("relevant_only", False)
    threshold = choose_threshold(generation.relevance, chosen, least, relevant_only)
    needed = probabilities or threshold is not None or (second is not None and second.by_probability)
    judge = None
    if needed and generation.relevance is not None and dense:
        judge = Judge(generation.relevance, snapshot.count(matching), threshold)
    return Request(
        generation=generation,
        queries=queries,
        k=k,
        mode=chosen,
        depth=max(k, depth or DEPTH, second.reach if second is not None else 0),
        allowed=matching,
        documents=snapshot.documents if roll_up else None,
        judge=judge,
        second=second,
        explain=explain,
        progress=progress,
        operators=operators,
        collapse=options.get("collapse", False),
        wordings=wordings,
        diversity=diversity,
        recency=recency,
        expansion=expansion,
        boosts=understand and not strict,
        constraints=constraints,
        filter=filter,
        history=history,
        ngram_weight=weight,
    )


def choose_recency(snapshot: SearchSource, given: str | None, now: str | datetime | None) -> Recency | None:
    """How scores fall with age, None where they do not. Raises UsageError, InputError for a field without dates."""
    if given is None:
        if now is not None:
            raise UsageError(
                "now is the time that recency counts from; give recency too, such as 'published:90d'"
            )
        return None
    recency = parse_recency(given, now)
    check_dates(snapshot, recency.field)
    return recency


def constrained(
    generation: Generation, queries: Sequence[str]
) -> tuple[list[str], list[tuple[Constraint, ...]]]:
    """The texts of queries without what they ask of fields, and that; no constraints where no query has any.

    A text of which nothing would be left stays as it is.
    """
    from leanseek.understanding import SURE, link_fields, understanding

    table = generation.tables.of(generation.snapshot)
    asked = [
        understanding(query, [one for one in link_fields(query, table) if one.confidence >= SURE])
        for query in queries
    ]
    texts = [one.rest or query for one, query in zip(asked, queries, strict=True)]
    constraints = [one.constraints for one in asked]
    return texts, constraints if any(constraints) else []


def understood(queries: Sequence[str]) -> tuple[list[str], list[tuple[Operator, ...]]]:
    """The texts of queries, without repeats, and their operators; no operators where no query has any.

    Raises UsageError for a query that only excludes.
    """
    parsed = [parse_query(query) for query in queries]
    for one in parsed:
        if one.operators and not one.text:
            written = " ".join(operator.written for operator in one.operators)
            raise UsageError(
                f"the query only excludes: {written}. Add a word to search for, as in 'pump {written}', or take the "
                "query literally (literal=True, --literal)"
            )
    operators = [one.operators for one in parsed]
    return [without_repeats(one.text) for one in parsed], operators if any(operators) else []
