"""What goes in and what comes out: documents, queries and hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

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
"""Called with a stage of the work, how much of it is done, and of how much (None: not known)."""


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
    """A query with the identifier that a run file and its judgments know it by."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Where a hit's text stands in its document: part `number` (from 0) of `count`, at character `start`."""

    number: int
    count: int
    start: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """A short extract; `highlights` are (start, end) character offsets into `text`."""

    text: str
    highlights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """What one side of the search said of a hit: its score, and its rank there (None: not a candidate)."""

    rank: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit is where it is."""

    sparse: Stage | None
    dense: Stage | None
    terms: tuple[str, ...]
    snippet: Snippet


class TokenAttention(NamedTuple):
    """Characters `start` to `end` of a document, and the calibrated attention on them; 0 where it is not counted."""

    start: int
    end: int
    attention: float


@dataclass(frozen=True, slots=True)
class AttentionExplanation(Explanation):
    """Why a hit is where it is, when a decoder's attention put it there: the tokens of its title and of its text.

    Together with the tokens of the hit's number in the prompt they add up to the score that the re-ranker gave,
    where all hits stood in one prompt.
    """

    title: tuple[TokenAttention, ...]
    text: tuple[TokenAttention, ...]


class Standing(NamedTuple):
    """Where a hit stood, from 1, and with what score, after the search or the re-ranker named `by`."""

    by: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `score` orders the list and is comparable only inside it.

    `probability` is how probable it is that the hit is relevant, in [0, 1], and comparable across queries; None
    where no relevance model judged it. `history` tells of a re-ranked list where the hit stood after the search
    and after each re-ranker that judged it; empty where nothing was re-ranked.
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


class Reached(NamedTuple):
    """How far re-ranking came: `judged` of the `asked` judgments that its depth wants were made in time."""

    judged: int
    asked: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of a query, and what the least probability that was asked for kept back.

    `threshold`: that probability, None where none was asked for. `left_out`: how many candidates do not reach
    it. `nearest`: the most probable of them where there is no hit at all, with the rank it would have had.
    `reached`: how far the re-ranking came; None where there was none.
    """

    hits: list[Hit]
    threshold: float | None = None
    left_out: int = 0
    nearest: Hit | None = None
    reached: Reached | None = None


class Ranked(NamedTuple):
    """A document of a ranking, without its text. `score` orders the list and is comparable only inside it."""

    id: str
    score: float


Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Query id → document id → grade. 0 is judged and not relevant; a negative grade counts as 0 gain."""


Rankings: TypeAlias = Mapping[str, Mapping[str, float]]
"""Query id → document id → score."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one system answered: `tag` is its name, `rankings` its scores by query and document."""

    tag: str
    rankings: Rankings


def silent(stage: str, done: int, total: int | None) -> None:
    """The progress of callers who did not ask for any."""
