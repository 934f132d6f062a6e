"""The types that go in and come out: documents, queries, hits, answers, runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
Int64Array: TypeAlias = NDArray[np.int64]
Int32Array: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]

Scalar: TypeAlias = str | int | float | bool
MetadataValue: TypeAlias = Scalar | list[Scalar] | None
Metadata: TypeAlias = Mapping[str, MetadataValue]

Progress: TypeAlias = Callable[[str, int, "int | None"], None]
"""Called with a stage of the work, how much of it is done, and of how much (None: unknown)."""


def content(title: str, text: str) -> str:
    """The text that is searched: title and body joined by one space, as BEIR and MTEB do."""
    return f"{title} {text}".strip() if title else text


@dataclass(frozen=True, slots=True)
class Document:
    """One document as its source gives it.

    `metadata` values are strings, numbers, booleans, None or flat lists of those; nested objects are
    flattened into dotted names by the readers.
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its id in runs and judgments."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """The place of a hit's text in its document: part `number` (from 0) of `count`, at character `start`."""

    number: int
    count: int
    start: int


class Mark(NamedTuple):
    """From character `start` of a document's text on: its page, from 1, and section; None where it is not known."""

    start: int
    page: int | None = None
    heading: str | None = None


@dataclass(frozen=True, slots=True)
class Snippet:
    """A short extract; `highlights` are (start, end) character offsets into `text`."""

    text: str
    highlights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """The result of one side of the search for a hit: its score, and its rank there (None: not a candidate)."""

    rank: int | None
    score: float | None


class ExpandedTerm(NamedTuple):
    """A term of the learned side that a query and a hit share, and what it adds to the score there.

    `expansion`: the model has given it to one of the two, whose text does not have it.
    """

    term: str
    score: float
    expansion: bool


class Freshness(NamedTuple):
    """What a search by recency has made of a hit: its `date` as the metadata have it, None where there is none, and
    the `factor` in [0, 1] that its score was multiplied by."""

    date: Scalar | None
    factor: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit has its rank: the sides of the search, the query's terms in it, and an extract.

    `expanded` are the terms that the learned side has matched, those that add most first. `wordings` are the hit's rank
    and score for each wording of the query, in their order, where there are several; `sparse`, `dense` and `learned`
    are then those of the first. `freshness`: None unless the search went by recency. `interest` in [-1, 1]: how like
    the hit is to the history of a session; None without one.
    """

    sparse: Stage | None
    dense: Stage | None
    terms: tuple[str, ...]
    snippet: Snippet
    learned: Stage | None = field(default=None, kw_only=True)
    expanded: tuple[ExpandedTerm, ...] = field(default=(), kw_only=True)
    wordings: tuple[Stage, ...] = field(default=(), kw_only=True)
    freshness: Freshness | None = field(default=None, kw_only=True)
    interest: float | None = field(default=None, kw_only=True)


class TokenAttention(NamedTuple):
    """Characters `start` to `end` of a document, and the calibrated attention on them; 0 where it is not counted."""

    start: int
    end: int
    attention: float


@dataclass(frozen=True, slots=True)
class AttentionExplanation(Explanation):
    """The explanation of a hit ranked by a decoder's attention: the tokens of its title and of its text.

    Together with the tokens of the hit's number in the prompt they add up to the score that the re-ranker gave,
    where all hits were in one prompt.
    """

    title: tuple[TokenAttention, ...]
    text: tuple[TokenAttention, ...]


class Standing(NamedTuple):
    """The rank of a hit, from 1, and its score after the search or the re-ranker named `by`."""

    by: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `score` orders the list and is comparable only inside it.

    `probability` is how probable it is that the hit is relevant, in [0, 1], and comparable across queries; None
    without a relevance model. `history` of a re-ranked list is where the hit was after the search and after each
    re-ranker that scored it, and after the list was made more diverse; empty where neither was done. `copies` are the
    ids of other documents with the same text, which the hit stands for where a search collapses them. `marks` are the
    pages and sections of its text, as far as they are known, in order: places in the document, of which the first may
    be where the text begins.
    """

    rank: int
    id: str
    score: float
    title: str
    text: str
    metadata: Metadata
    passage: Passage | None = None
    explanation: Explanation | None = None
    probability: float | None = None
    history: tuple[Standing, ...] = ()
    copies: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


class Operator(NamedTuple):
    """A word or phrase that a query requires or excludes, as it was `written`; `words`: without signs and marks.

    `left` is how many documents the filter, the operators before it and this one leave; None before a search. The
    first with 0 is why nothing was found.
    """

    written: str
    words: str
    excludes: bool
    left: int | None = None


class WeightedTerm(NamedTuple):
    """A term of the index and what it counts in a query, above 0; in a text's query, how often it is there."""

    term: str
    weight: float


class DescribedSentence(NamedTuple):
    """A sentence of the document `id` that describes what a query wants; `id` is empty where a decoder wrote it."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a query wants: `sentences`, which set `relevant` documents apart from `irrelevant` ones, given by their ids.

    `terms` are those that do so most, each with its contrast. `notes` are sentences on what did not work.
    """

    sentences: tuple[DescribedSentence, ...]
    relevant: tuple[str, ...]
    irrelevant: tuple[str, ...]
    terms: tuple[WeightedTerm, ...]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(sentence.text for sentence in self.sentences)


class QueryExpansion(NamedTuple):
    """How a query was expanded: by `method`, learning from `relevant` and `irrelevant` documents, by their ids.

    `terms` are those that the sparse side was asked, the heaviest first; empty where they stay as they are. `sentences`
    are what a description added. Where nothing was found to learn from, `relevant` is empty and the query as it was.
    """

    method: str
    relevant: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()
    terms: tuple[WeightedTerm, ...] = ()
    sentences: tuple[DescribedSentence, ...] = ()


class QueryNGram(NamedTuple):
    """An n-gram that a query was searched by: how often it occurs in the index, and what it weighs."""

    text: str
    occurrences: int
    weight: float


class Constraint(NamedTuple):
    """What characters [start, end) of a query ask of a field: a `condition` of the filter language, such as
    `year > 2015`, and how sure that is, in [0, 1].

    `left` is how many documents the filter, the constraints before it and this one leave in a strict search; else None.
    """

    field: str
    condition: str
    start: int
    end: int
    confidence: float
    left: int | None = None


class Understanding(NamedTuple):
    """What a query asks of the fields of an index, and the `rest` of its words."""

    constraints: tuple[Constraint, ...]
    rest: str


class ClarifyingOption(NamedTuple):
    """An answer to a question back: `text` is shown, `query` is what to search for once it is chosen.

    `filter` is a condition to search with, such as `lang = "en"`, where the options are values of a field, else None; a
    filter that the search has already goes on to hold. `documents`: how many of the best hits the option is true of.
    """

    text: str
    query: str
    filter: str | None
    documents: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question back: which of the `options` a query means, at most five of them, the most telling first.

    `text` is the question, `field` the metadata field that the options are values of, None where they are words.
    `documents`: how many of the best hits it was made of.
    """

    query: str
    text: str
    field: str | None
    options: tuple[ClarifyingOption, ...]
    documents: int


class ValueCount(NamedTuple):
    """A value of a metadata field, and how many documents have it."""

    value: Scalar
    documents: int


class Facet(NamedTuple):
    """The values of a field among the documents that a search admits, the most frequent first.

    `distinct`: how many different values there are; only the first hundred are among the `values`.
    """

    values: tuple[ValueCount, ...]
    distinct: int


class Reached(NamedTuple):
    """How far re-ranking came: `judged` of the `asked` scores that its depth needs were computed in time."""

    judged: int
    asked: int


class Nothing(NamedTuple):
    """Why a search has no hit: `reason` for programs, `sentence` for people, which goes on after a colon."""

    reason: Literal[
        "empty_index",
        "empty_query",
        "filter",
        "operators",
        "constraints",
        "no_words",
        "unknown_words",
        "no_match",
        "threshold",
    ]
    sentence: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of a query, and the candidates left out by a least probability.

    `threshold`: that probability, None where none was given. `left_out`: how many candidates do not reach it.
    `nearest`: the most probable of them where there is no hit at all, with the rank it would have had.
    `reached`: how far the re-ranking came; None without re-ranking. `nothing`: why there is no hit; None where there is
    one. `tokens_lost`: how many tokens of the query the encoder's limit has cut off. `operators`: those of the query as
    they were understood; none where it has none, or was taken literally. `coverage`: the share of the passages that was
    searched, where a part of a cluster did not answer; None: all of them. `facets`: those asked for, by field.
    `expansion`: how the query was expanded; None where that was not asked for.
    `constraints`: what the query was understood to ask of fields; none unless the search was to understand it.
    `ngrams`: those that the query was searched by, the heaviest first; none unless the search was to use them.
    """

    hits: list[Hit]
    threshold: float | None = None
    left_out: int = 0
    nearest: Hit | None = None
    reached: Reached | None = None
    nothing: Nothing | None = None
    tokens_lost: int = 0
    operators: tuple[Operator, ...] = ()
    coverage: float | None = None
    facets: Mapping[str, Facet] = field(default_factory=dict)
    expansion: QueryExpansion | None = None
    constraints: tuple[Constraint, ...] = ()
    ngrams: tuple[QueryNGram, ...] = ()


class Ranked(NamedTuple):
    """A document of a ranking, without its text. `score` orders the list and is comparable only inside it."""

    id: str
    score: float


Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Query id → document id → grade. 0 is judged and not relevant; a negative grade is a gain of 0."""


Rankings: TypeAlias = Mapping[str, Mapping[str, float]]
"""Query id → document id → score."""


@dataclass(frozen=True, slots=True)
class Run:
    """The rankings of one system: `tag` is its name, `rankings` its scores by query and document."""

    tag: str
    rankings: Rankings


def silent(stage: str, done: int, total: int | None) -> None:
    """A `Progress` that reports nothing."""
