"""Search by n-grams of a query: those of its own words, or those of the index that a decoder finds probable.

An n-gram weighs how much more probable it is for the query than in the collection (Bevilacqua et al.: "Autoregressive
Search Engines: Generating Substrings as Document Identifiers", SEAL, NeurIPS 2022, arXiv:2204.10628). This complements
BM25 and the dense side and does not replace them: docs/ngrams.md has the measurements.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.occurrence import LEFT_OUT, Sequences, chunks
from leanseek.indexing.settings import NGramSettings
from leanseek.searcher.ranking import Ranking, raised
from leanseek.types import Float32Array, Int64Array, QueryNGram, content

if TYPE_CHECKING:
    from leanseek.decode import Decoder
    from leanseek.indexing.ngrams import NGrams
    from leanseek.indexing.ngrams.ngram_index import Found, TokenNGrams
    from leanseek.indexing.search_source import Allowed, SearchSource
    from leanseek.searcher.request import Request

ALPHA: Final = 2.0
BETA: Final = 0.8
SMOOTHING: Final = 5
"""SEAL's: the power of an n-gram's weight, how much less tokens that were seen count, what is added to each count."""

FETCHED: Final = 1_500
"""N-grams that occur more often only add to the scores of passages that others find, unless there are no others."""
SCORED: Final = 1_500
"""Passages that are scored: those with the heaviest n-grams."""
LIKELIHOOD: Final = 0.9
"""How probable an n-gram that the query has is taken to be."""
REMEMBERED: Final = 64
"""Queries whose n-grams are remembered."""
LONGEST: Final = 10
"""Words of a query's n-grams at most."""

PROMPT: Final = """\
Question: how do statins lower cholesterol
Passage: Statins lower cholesterol by blocking an enzyme of the liver.
Question: when did the first jumbo jet take off
Passage: The Boeing 747 first flew on February 9, 1969.
Question: {query}
Passage:"""
ANYTHING: Final = "what is this about"
"""What the decoder reads, and the query that shows which n-grams it writes whatever the query."""


class WeightedNGram(NamedTuple):
    """An n-gram by its `tokens`, what it weighs, and where it is found."""

    tokens: tuple[int, ...]
    shown: QueryNGram
    found: Found


class NGramQuery(NamedTuple):
    """The n-grams of a query, the heaviest first, in `source`; `tokens_of` gives the tokens of texts."""

    ngrams: tuple[WeightedNGram, ...]
    source: TokenNGrams
    tokens_of: Callable[[Sequence[str]], list[Sequence[int]]]


class NGramQueries:
    """Makes the n-grams that queries are searched by: of their words, or with a `generator` those that a decoder finds.

    The decoder is loaded by the first who needs it. Thread-safe.
    """

    def __init__(self, recorded: NGramSettings | None = None, generator: str | Decoder | None = None) -> None:
        self.generator = generator
        self._recorded = recorded
        self._decoder: Decoder | None = None
        self._known: dict[str, NGramQuery] = {}
        self._lock = threading.Lock()

    def query(self, snapshot: SearchSource, text: str) -> NGramQuery:
        """The n-grams of a query's text in the only snapshot that this is for; the last few are remembered.

        Raises UsageError where the index has no n-grams, or none of the decoder's tokens; what `load_decoder` raises.
        """
        with self._lock:
            if text in self._known:
                return self._known[text]
        ngrams = ngrams_of(snapshot)
        if self.generator is None:
            found = of_words(text, ngrams, Sequences(snapshot.passages.analyzer))
        else:
            found = generated(text, ngrams, self.decoder())
        with self._lock:
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[text] = found
        return found

    def decoder(self) -> Decoder:
        """The generator. Raises UsageError where the index's n-grams are not of its tokens."""
        with self._lock:
            if self._decoder is None:
                assert self.generator is not None, "there is a generator"
                check_generator(self._recorded, self.generator)
                from leanseek.decode import load_decoder

                named = isinstance(self.generator, str)
                decoder = load_decoder(self.generator, precision="fast" if named else None)
                check_tokens(self._recorded, decoder)
                self._decoder = decoder
            return self._decoder

    def for_settings(self, recorded: NGramSettings | None) -> NGramQueries:
        """One for an index with these settings, with the decoder of this one."""
        with self._lock:
            return NGramQueries(recorded, self._decoder or self.generator)


def check_ngrams(snapshot: SearchSource, mode: str, weight: float | None) -> float:
    """The share of n-grams in the scores of a mode. Raises UsageError where it is none, or there are no n-grams."""
    if weight is None or (weight == 0 and mode != "ngram"):
        return 0.0
    if mode == "ngram":
        raise UsageError(
            "ngram_weight is for other modes, whose scores n-grams add to; mode ngram searches by them alone"
        )
    if not 0 < weight < 1:
        raise UsageError(f"ngram_weight is {weight}; it must be at least 0 and below 1 (0.1 is usual)")
    ngrams_of(snapshot)
    return weight


def ngrams_of(snapshot: SearchSource) -> NGrams:
    """The n-grams of what is searched. Raises UsageError where there are none."""
    found: NGrams | None = getattr(snapshot, "ngrams", None)
    if found is None:
        raise UsageError("a cluster has no search by n-grams; search an index of its documents")
    return found


def check_generator(recorded: NGramSettings | None, generator: str | Decoder) -> None:
    """Raise UsageError where an index has no n-grams of a decoder's tokens."""
    name = generator if isinstance(generator, str) else generator.name
    if recorded is None:
        raise UsageError(f"the index was made without n-grams; index again with --ngrams --generator {name}")
    if recorded.generator is None:
        raise UsageError(
            f"the index has n-grams of words alone; index again with --ngrams --generator {name}, or search without "
            "--generator: by the n-grams of the query's own words"
        )


def check_tokens(recorded: NGramSettings | None, decoder: Decoder) -> None:
    """Raise UsageError where an index's n-grams are of other tokens than the decoder's."""
    from leanseek.indexing.ngrams.decoder_tokens import vocabulary_digest

    assert recorded is not None, "checked before"
    if vocabulary_digest(decoder.tokenizer.get_vocab()) != recorded.vocabulary:
        raise UsageError(
            f"the index has n-grams of the tokens of '{recorded.generator}', and '{decoder.name}' has others; search "
            f"with --generator {recorded.generator}, or index again with --ngrams --generator {decoder.name}"
        )


def of_words(text: str, ngrams: NGrams, sequences: Sequences) -> NGramQuery:
    """The n-grams of a query's own words that the index has, but for those of left-out words alone."""
    places = sequences.places(text)
    # A word of the query is the number of the first like it.
    numbers = {term: place for place in range(len(places) - 1, -1, -1) for term in places[place]}
    tokens = tuple(min(numbers[term] for term in place) for place in places)
    source = ngrams.words
    total = source.total
    weighted: dict[tuple[int, ...], WeightedNGram] = {}
    for start in range(len(places)):
        for end in range(start + 1, min(start + LONGEST, len(places)) + 1):
            ngram = tokens[start:end]
            if ngram in weighted or all(min(place).startswith(LEFT_OUT) for place in places[start:end]):
                continue
            found = ngrams.find_places(places[start:end])
            if not (count := source.count(found)):
                break
            shown = " ".join(min(place).removeprefix(LEFT_OUT) for place in places[start:end])
            weight = weight_of(math.log(LIKELIHOOD), count, total, end - start)
            weighted[ngram] = WeightedNGram(ngram, QueryNGram(shown, count, weight), found)

    words = QueryWords(numbers, sequences)
    return NGramQuery(heaviest_first(weighted.values()), source, words.of_texts)


class QueryWords(dict[str, tuple[int, ...]]):
    """The words of texts, between two spaces at a time, as the numbers of those that a query has; -1 for others."""

    def __init__(self, numbers: Mapping[str, int], sequences: Sequences) -> None:
        super().__init__()
        self._numbers = numbers
        self._sequences = sequences

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        known = self._numbers
        self[chunk] = found = tuple(
            min((known[term] for term in place if term in known), default=-1)
            for place in self._sequences.of_chunk(chunk)
        )
        return found

    def of_texts(self, texts: Sequence[str]) -> list[Sequence[int]]:
        """The words of each text."""
        return [[word for chunk in chunks(text) for word in self[chunk]] for text in texts]


def generated(text: str, ngrams: NGrams, decoder: Decoder) -> NGramQuery:
    """The n-grams of the index that a decoder finds probable in a passage that answers the query."""
    from leanseek.decode.ngram_beams import generate_ngrams

    source = ngrams.tokens
    assert source is not None, "checked when the decoder was loaded"
    total = source.total
    weighted = []
    for one in generate_ngrams(
        decoder, PROMPT.format(query=text), source, other=PROMPT.format(query=ANYTHING)
    ):
        # What occurs in deleted passages alone is not there.
        if count := source.count(one.state):
            weight = weight_of(one.log_probability, count, total, len(one.tokens), one.otherwise)
            shown = QueryNGram(decoder.tokenizer.decode(one.tokens), count, weight)
            weighted.append(WeightedNGram(one.tokens, shown, one.state))

    def tokens_of(texts: Sequence[str]) -> list[Sequence[int]]:
        return list(decoder.tokenizer([f" {one}" for one in texts], add_special_tokens=False)["input_ids"])

    return NGramQuery(heaviest_first(weighted), source, tokens_of)


def weight_of(
    log_probability: float, count: int, total: int, length: int, otherwise: float = -math.inf
) -> float:
    """What an n-gram weighs: max(0, log odds for the query - log odds in the collection), from two tokens on squared.

    In the collection it is as probable as it occurs `count` times among `total` tokens, both smoothed, or as its
    logarithm `otherwise`, which a decoder gives it without the query, if that is more.
    """
    here = min(log_probability, math.log(1 - 1e-9))
    there = max((count + SMOOTHING) / (total + SMOOTHING), math.exp(otherwise))
    odds = here - math.log1p(-math.exp(here)) - math.log(there) + math.log1p(-min(there, 1 - 1e-9))
    return float(max(0.0, odds) ** (ALPHA if length > 1 else 1.0))


def heaviest_first(ngrams: Iterable[WeightedNGram]) -> tuple[WeightedNGram, ...]:
    """Those that weigh something, the heaviest first; equal ones by their tokens."""
    return tuple(
        sorted(
            (one for one in ngrams if one.shown.weight > 0), key=lambda one: (-one.shown.weight, one.tokens)
        )
    )


def ranked_by_ngrams(request: Request, text: str, depth: int, ordinals: Int64Array | None = None) -> Ranking:
    """The ranking of a query's text by n-grams alone: of the best passages, or of those at global `ordinals` (c,)."""
    snapshot = request.snapshot
    query = request.generation.ngrams.query(snapshot, text)
    if ordinals is None:
        ordinals = fetched(query, request.allowed)
    ordinals = snapshot.passages.in_order(ordinals)
    scores = score_ngrams(snapshot, query, ordinals)
    order = np.argsort(-scores, kind="stable")[:depth]
    shown = tuple(one.shown for one in query.ngrams)
    # All that was fetched is ranked at once: a deeper search finds no more.
    return Ranking(ordinals[order], scores[order], None, None, len(ordinals) <= depth, ngrams=shown)


def with_ngrams(ranking: Ranking, request: Request, text: str) -> Ranking:
    """The ranking with n-grams added to its scores, where the request asks for that: fused at its weight.

    The score of a passage gains, at most, the distance between the best and the least times w / (1 - w): its share of
    the best score by n-grams.
    """
    weight = request.ngram_weight
    if not weight:
        return ranking
    query = request.generation.ngrams.query(request.snapshot, text)
    found = score_ngrams(request.snapshot, query, ranking.ordinals)
    ranking = ranking._replace(ngrams=tuple(one.shown for one in query.ngrams))
    if not found.any():
        return ranking
    return raised(ranking, found.astype(np.float64) / float(found.max()), weight, request.snapshot)


def fetched(query: NGramQuery, allowed: Allowed) -> Int64Array:
    """(c,) ascending: the global ordinals of the passages with the heaviest rare n-grams; `allowed` keeps some."""
    rare = [one for one in query.ngrams if one.shown.occurrences <= FETCHED]
    rare = rare or sorted(query.ngrams, key=lambda one: one.shown.occurrences)[:1]
    passages = [np.unique(query.source.locate(one.found).passages) for one in rare]
    if not passages:
        return np.zeros(0, np.int64)
    ordinals, places = np.unique(np.concatenate(passages), return_inverse=True)
    weights = np.bincount(places, np.repeat([one.shown.weight for one in rare], [*map(len, passages)]))
    if allowed is not None:
        kept = allowed[ordinals]
        ordinals, weights = ordinals[kept], weights[kept]
    return np.sort(ordinals[np.lexsort((ordinals, -weights))[:SCORED]])


def score_ngrams(snapshot: SearchSource, query: NGramQuery, ordinals: Int64Array) -> Float32Array:
    """(c,) the scores of passages at global ordinals (c,)."""
    if not len(ordinals) or not query.ngrams:
        return np.zeros(len(ordinals), np.float32)
    texts = [content(passage.title, passage.text) for passage in snapshot.passages.get(ordinals)]
    weights = {one.tokens: one.shown.weight for one in query.ngrams}
    return np.array([score_text(tokens, weights) for tokens in query.tokens_of(texts)], np.float32)


def score_text(text: Sequence[int], weights: dict[tuple[int, ...], float]) -> float:
    """The sum of the weights of n-grams in a text, given the heaviest first, each where no heavier one stands.

    An n-gram of n tokens of which m are in no heavier one counts 1 - β + β m / n of its weight.
    """
    lengths = sorted({len(one) for one in weights})
    first = {one[0] for one in weights}
    places: dict[tuple[int, ...], list[int]] = {}
    for start, token in enumerate(text):
        if token in first:
            for length in lengths:
                ngram = tuple(text[start : start + length])
                if len(ngram) == length and ngram in weights:
                    places.setdefault(ngram, []).append(start)
    taken: set[int] = set()
    seen: set[int] = set()
    score = 0.0
    for ngram, weight in weights.items():
        for start in places.get(ngram, ()):
            span = range(start, start + len(ngram))
            if taken.isdisjoint(span):
                distinct = set(ngram)
                score += weight * (1 - BETA + BETA * len(distinct - seen) / len(distinct))
                taken.update(span)
                seen |= distinct
                break
    return score
