"""Queries that learn from documents: what the best hits, or documents known to be relevant, have in common.

Each method takes `Feedback` and gives the query's terms with their weights, its vector, or both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Protocol

import numpy as np

from leanseek.errors import UsageError
from leanseek.types import DescribedSentence, Description, Float32Array, WeightedTerm
from leanseek.understanding.description import Contrast, best_sentences, contrast_of, written_sentences

if TYPE_CHECKING:
    from leanseek.decode import Decoder

TERM_LENGTHS: Final = range(2, 21)
"""How long the terms are that RM3 and Rocchio take from documents."""
COMMON: Final = 0.1
"""Terms in more than this share of the passages are none that they take."""

TERMS_SHOWN: Final = 10
"""Terms of a description's report."""


class FeedbackDocument(NamedTuple):
    """A document, or a passage, as feedback: its text, its `score` in the search (1 where it was named), its vector."""

    id: str
    text: str
    score: float
    vector: Float32Array | None


@dataclass(frozen=True)
class Feedback:
    """A query, its `vector` (D,) where the search has a dense side, and the documents it learns from, best first.

    `tokens` makes terms of a text, `shares` gives the share of all passages that have each of some terms, `idf` how
    rare each is, `encode` the vector (D,) of a text. `ascii_only`: terms with other letters than a to z are taken from
    no document.
    """

    query: str
    vector: Float32Array | None
    relevant: Sequence[FeedbackDocument]
    irrelevant: Sequence[FeedbackDocument]
    tokens: Callable[[str], list[str]]
    shares: Callable[[Sequence[str]], Sequence[float]]
    idf: Callable[[list[str]], list[float]]
    encode: Callable[[str], Float32Array]
    ascii_only: bool = True

    @cached_property
    def terms(self) -> Counter[str]:
        """The query's own terms."""
        return Counter(self.tokens(self.query))

    def counts(self, documents: Sequence[FeedbackDocument]) -> list[dict[str, int]]:
        """How often each document has the terms that can expand a query."""
        counted = [Counter(self.tokens(one.text)) for one in documents]
        vocabulary = sorted({term for terms in counted for term in terms if self._fits(term)})
        common = {
            term for term, share in zip(vocabulary, self.shares(vocabulary), strict=True) if share > COMMON
        }
        kept = set(vocabulary) - common
        return [{term: count for term, count in terms.items() if term in kept} for terms in counted]

    def _fits(self, term: str) -> bool:
        if len(term) not in TERM_LENGTHS:
            return False
        return term.isalnum() if term.isascii() else not self.ascii_only

    def contrast(self) -> Contrast:
        """What sets the relevant documents apart from the irrelevant ones; the query counts as one of the former."""
        relevant = [self.tokens(text) for text in (*(one.text for one in self.relevant), self.query)]
        return contrast_of(relevant, [self.tokens(one.text) for one in self.irrelevant], self.idf)


class Expanded(NamedTuple):
    """A query after expansion: its `terms` with their weights, its `vector` (D,), None for what stays as it was.

    `sentences` are those that it was expanded by.
    """

    terms: Mapping[str, float] | None = None
    vector: Float32Array | None = None
    sentences: tuple[DescribedSentence, ...] = ()


class QueryExpander(Protocol):
    """A method. `sides` are those whose query it changes; `learns_from_irrelevant`: those documents count, too.

    `hits` is how many of the best hits are the relevant documents where none are named, `others` the ranks, from 0, of
    those that are the irrelevant ones.
    """

    sides: ClassVar[frozenset[str]]
    learns_from_irrelevant: ClassVar[bool]
    others: ClassVar[range]

    @property
    def hits(self) -> int: ...

    def expand(self, feedback: Feedback) -> Expanded:
        """The query of the feedback, which has at least one relevant document, expanded."""
        ...


@dataclass(frozen=True, slots=True)
class Rm3:
    """RM3 (Abdul-Jaleel et al., TREC 2004) as Anserini computes it, with its parameters.

    P(t) = λ·P(t|Q) + (1 - λ)·Σ_d P(t|d)·score(d), the sum scaled to 1 over its best `terms`, and P(t|d) over the
    document's `terms` most frequent ones; `weight` is λ. A document's terms have 2 to 20 letters and digits and are in
    at most a tenth of all passages. Equal ones go by name, where Anserini leaves them to a hash table's order.
    """

    sides: ClassVar[frozenset[str]] = frozenset({"sparse"})
    learns_from_irrelevant: ClassVar[bool] = False
    others: ClassVar[range] = range(0)

    hits: int = 10
    terms: int = 10
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.weight > 1:
            raise UsageError(f"weight of rm3 is {self.weight:g}; it must be from 0 to 1")

    def expand(self, feedback: Feedback) -> Expanded:
        """See QueryExpander."""
        model: dict[str, float] = {}
        for counts, document in zip(feedback.counts(feedback.relevant), feedback.relevant, strict=True):
            frequent = heaviest(counts, self.terms)
            total = sum(frequent.values())
            for term, count in frequent.items():
                model[term] = model.get(term, 0.0) + count / total * max(document.score, 0.0)
        return Expanded(
            mixed(
                [
                    (self.weight, to_one(feedback.terms)),
                    (1 - self.weight, to_one(heaviest(model, self.terms))),
                ]
            )
        )


@dataclass(frozen=True, slots=True)
class Rocchio:
    """Rocchio (1971): the query moves towards the mean of the relevant documents and away from that of the irrelevant.

    q' = α·q + β·mean(R) - γ·mean(N), with vectors of length 1: embeddings on the dense side, and on the sparse side
    the frequencies of each document's `terms` most frequent terms. Terms whose weight is not above 0 are left out.
    """

    sides: ClassVar[frozenset[str]] = frozenset({"sparse", "dense"})
    learns_from_irrelevant: ClassVar[bool] = True
    others: ClassVar[range] = range(0)

    hits: int = 10
    terms: int = 10
    alpha: float = 1.0
    beta: float = 0.75
    gamma: float = 0.15

    def expand(self, feedback: Feedback) -> Expanded:
        """See QueryExpander."""
        parts = [(self.alpha, [to_unit(feedback.terms)])]
        for weight, documents in ((self.beta, feedback.relevant), (-self.gamma, feedback.irrelevant)):
            vectors = [to_unit(heaviest(counts, self.terms)) for counts in feedback.counts(documents)]
            parts.append((weight, vectors))
        terms = mixed([(weight / len(vectors), one) for weight, vectors in parts for one in vectors])
        return Expanded(terms, self._moved(feedback))

    def _moved(self, feedback: Feedback) -> Float32Array | None:
        if feedback.vector is None:
            return None
        moved = self.alpha * feedback.vector + self.beta * centre(feedback.relevant)
        if feedback.irrelevant:
            moved = moved - self.gamma * centre(feedback.irrelevant)
        return unit(moved)


@dataclass(frozen=True, slots=True)
class DensePrf:
    """The mean of the query's vector and those of the best hits (Li et al., TOIS 2023: "Vector PRF, average")."""

    sides: ClassVar[frozenset[str]] = frozenset({"dense"})
    learns_from_irrelevant: ClassVar[bool] = False
    others: ClassVar[range] = range(0)

    hits: int = 3

    def expand(self, feedback: Feedback) -> Expanded:
        """See QueryExpander."""
        if feedback.vector is None:
            return Expanded()
        vectors = [feedback.vector, *(one.vector for one in feedback.relevant if one.vector is not None)]
        return Expanded(vector=unit(np.mean(vectors, axis=0)))


@dataclass(frozen=True, slots=True)
class Describing:
    """The query and the sentences that describe what it wants; see `description`.

    The sentences' terms, each by its contrast, count together as much as `weight` terms of the query, and their vector
    `share` times as much as the query's.
    """

    sides: ClassVar[frozenset[str]] = frozenset({"sparse", "dense"})
    learns_from_irrelevant: ClassVar[bool] = True
    others: ClassVar[range] = range(19, 50)

    hits: int = 3
    sentences: int = 3
    weight: float = 3.0
    share: float = 0.5

    def expand(self, feedback: Feedback) -> Expanded:
        """See QueryExpander."""
        documents = [(one.id, one.text) for one in feedback.relevant]
        contrast = feedback.contrast()
        chosen = best_sentences(documents, contrast, feedback.tokens, self.sentences)
        if not chosen:
            return Expanded()
        text = " ".join(one.text for one in chosen)
        added = {term: max(contrast.of(term), 0.0) for term in feedback.tokens(text)}
        terms = mixed([(1.0, feedback.terms), (self.weight, to_one(added))])
        vector = None
        if feedback.vector is not None:
            vector = unit(feedback.vector + self.share * feedback.encode(text))
        return Expanded(terms, vector, tuple(chosen))


EXPANDERS: Final[dict[str, type[QueryExpander]]] = {
    "rm3": Rm3,
    "rocchio": Rocchio,
    "dense-prf": DensePrf,
    "description": Describing,
}

_SPEC: Final = re.compile(r"([a-z0-9-]+)(?:\((.*)\))?")


def load_expander(spec: str) -> QueryExpander:
    """The expander of a name, with other parameters in brackets: `rm3`, `rm3(terms=20, weight=.6)`.

    Raises UsageError for an unknown name or parameter, or a value that is none.
    """
    found = _SPEC.fullmatch(spec.strip().lower())
    if found is None or found[1] not in EXPANDERS:
        raise UsageError(f"there is no query expansion {spec!r}; choose from {', '.join(EXPANDERS)}")
    kind = EXPANDERS[found[1]]
    kinds: dict[str, type[int] | type[float]] = {
        field.name: int if isinstance(field.default, int) else float
        for field in fields(kind)  # type: ignore[arg-type]
    }
    values: dict[str, float] = {}
    for part in (found[2] or "").split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if name not in kinds:
            raise UsageError(f"{found[1]} has no parameter {name!r}; it has {', '.join(kinds)}")
        try:
            values[name] = kinds[name](value)
        except ValueError:
            values[name] = -1.0
        if not 0 <= values[name] < float("inf") or (kinds[name] is int and not values[name]):
            wanted = "a whole number, at least 1" if kinds[name] is int else "a number, 0 or more"
            raise UsageError(f"{name} of {found[1]} is {value!r}; it must be {wanted}")
    return kind(**values)


def describe_feedback(feedback: Feedback, decoder: Decoder | None = None) -> Description:
    """What the query of the feedback wants: in sentences of its relevant documents, or in those of a decoder.

    Where none of the decoder's sentences is left by the check, the documents' own are taken, and the notes say so.
    """
    contrast = feedback.contrast()
    chosen: list[DescribedSentence] = []
    notes: tuple[str, ...] = ()
    if decoder is not None:
        relevant, irrelevant = (
            [one.text for one in documents] for documents in (feedback.relevant, feedback.irrelevant)
        )
        chosen, dropped = written_sentences(
            feedback.query, relevant, irrelevant, contrast, feedback.tokens, decoder
        )
        if dropped:
            rest = "" if chosen else "; the sentences are the documents' own"
            notes = (
                f"{dropped} of the decoder's sentences did not set relevant documents apart, or were cut off{rest}",
            )
    if not chosen:
        documents = [(one.id, one.text) for one in feedback.relevant]
        chosen = best_sentences(documents, contrast, feedback.tokens)
    terms = heaviest({term: contrast.of(term) for term in contrast.relevant}, TERMS_SHOWN)
    return Description(
        tuple(chosen),
        tuple(dict.fromkeys(one.id for one in feedback.relevant)),
        tuple(dict.fromkeys(one.id for one in feedback.irrelevant)),
        tuple(WeightedTerm(term, value) for term, value in terms.items() if value > 0),
        notes,
    )


def heaviest(weights: Mapping[str, float], most: int) -> dict[str, float]:
    """The `most` heaviest terms, equal ones by name."""
    return dict(sorted(weights.items(), key=lambda one: (-one[1], one[0]))[:most])


def to_one(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights scaled so that they add up to 1; those of nothing are nothing."""
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()} if total else {}


def to_unit(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as a vector of length 1."""
    length = sum(weight * weight for weight in weights.values()) ** 0.5
    return {term: weight / length for term, weight in weights.items()} if length else {}


def mixed(parts: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    """The sum of weighted vectors of terms, where it is above 0."""
    total: dict[str, float] = {}
    for share, weights in parts:
        for term, weight in weights.items():
            total[term] = total.get(term, 0.0) + share * weight
    return {term: weight for term, weight in total.items() if weight > 0}


def centre(documents: Sequence[FeedbackDocument]) -> Float32Array:
    """(D,) the mean of the documents' vectors."""
    found: Float32Array = np.mean([one.vector for one in documents if one.vector is not None], axis=0)
    return found


def unit(vector: Float32Array) -> Float32Array:
    """(D,) the vector with length 1; zero stays zero."""
    length = float(np.linalg.norm(vector))
    found: Float32Array = (vector / length if length else vector).astype(np.float32)
    return found
