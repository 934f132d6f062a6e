"""A question back: where the best hits are about several things, which of them does the query mean?

It is asked only where the answer is spread: with the scores s of the first hits and their standard deviation σ, the
hits have the shares q ∝ exp(s / σ), and exp(entropy(q)) is how many of them compete; it must be `COMPETING` at least.

The options are the values of a metadata field, where the hits have few different ones, else words that some of the hits
have and others have not, and that the query lacks. Words are chosen one after another, each time the one that is worth
most:

    Σ w γ^c · (1 - p) · idf

where the sum is over the hits that have it, w is a hit's weight, 1 / (4 + rank) over the sum of all, as what the first
hits are about is likelier to be meant; c is how many options have been chosen that the hit has, so that the
options together are true of as many hits as can be; p is Σ w of the hits that have the word, and idf how rare it is in
the index. A word chosen is added to the query, twice; a value becomes a filter. Templates of questions that are filled
from the results: Zamani et al., "Generating clarifying questions for information retrieval", WWW 2020.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from leanseek.filters import Comparison, Element, elements
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.sparse.parameters import inverse_document_frequency
from leanseek.reading.outline import without_outline
from leanseek.text import Analyzer
from leanseek.types import ClarifyingOption, Float32Array, Float64Array, Int64Array, Question, content
from leanseek.understanding.operators import parse_query

if TYPE_CHECKING:
    from leanseek.searcher import Ranking, Request

BEST: Final = 200
"""Hits that a question tells apart. Of fewer the words are those of texts like the query: what is relevant, too, but
does not have the query's words has these less often, so that none of the options would fit it."""
FEWEST: Final = 10
"""With fewer hits there is nothing to ask: people see them all."""
SPREAD_OVER: Final = 100
"""Hits whose scores tell how far the answer is spread."""
COMPETING: Final = 3.0
"""Hits that must compete for a question to be asked."""
OPTIONS: Final = 5
"""Options of a question at most; with fewer than two it is none."""
RAREST, COMMONEST = 0.1, 0.5
"""The shares of the hits between which a word tells them apart."""
OVERLAP: Final = 0.7
"""Of two words that so many hits of the rarer one have in common only the better is an option."""
REPEATED: Final = 0.2
"""What a hit counts for, in place of 1, with each option that has been chosen that it has: γ."""
FILLED: Final = 0.5
"""The share of the hits that must have a field for a question on it."""
VALUES: Final = range(2, 7)
"""How many different values of a field can be asked for."""
WORD: Final = re.compile(r"(?!\d+$)\w{3,}")
"""What people recognise as a word."""

FORMS: Final[Mapping[str, str]] = {
    "lang": "In which language?",
    "language": "In which language?",
    "version": "For which version?",
    "year": "From which year?",
    "type": "Of which kind?",
    "kind": "Of which kind?",
    "category": "Of which kind?",
    "author": "By whom?",
    "source": "From which source?",
}
"""The questions on fields with these names; on others it is which of them."""
ABOUT: Final = "What is it about?"
"""The question with words as its options."""

Idf: TypeAlias = Callable[[list[str]], Sequence[float]]
"""How rare each of some terms is among the passages of the index."""


def clarify(request: Request, query: str, ranking: Ranking) -> Question | None:
    """What to ask about the only query of a request, as it was typed, with the ranking of its search."""
    if len(ranking.ordinals) < FEWEST or competing(ranking.scores) < COMPETING:
        return None
    snapshot = request.snapshot
    passages = max(snapshot.count(), 1)

    def idf(terms: list[str]) -> list[float]:
        if snapshot.state.settings.sparse is None:
            return [1.0] * len(terms)  # nobody has counted them
        return [inverse_document_frequency(passages, count) for count in snapshot.sparse.frequencies(terms)]

    hits = snapshot.passages.get(ranking.ordinals[:BEST])
    return clarifying_question(query, hits, snapshot.passages.analyzer, idf)


def competing(scores: Float32Array) -> float:
    """How many of the hits with these scores (c,), best first, compete to be the answer: 1 to c.

    Neither the scale of the scores nor what they begin from matters. Equal ones all compete.
    """
    first = scores[:SPREAD_OVER].astype(np.float64)
    spread = float(first.std())
    if not spread > 1e-9 * float(np.abs(first).max(initial=1e-300)):
        return float(len(first))
    shares = np.exp((first - first[0]) / spread)
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def clarifying_question(
    query: str, hits: Sequence[StoredPassage], analyzer: Analyzer, idf: Idf
) -> Question | None:
    """What to ask about a query with these hits, best first; None where no question tells them apart."""
    by_field = {
        field: values_of(query, field, hits)
        for field in sorted({name for hit in hits for name in without_outline(hit.metadata)})
    }
    field = max(by_field, key=lambda name: evenness(by_field[name]), default=None)
    options = by_field[field] if field is not None else []
    if not options:
        field, options = None, words_of(query, hits, analyzer, idf)
    if len(options) < 2:
        return None
    text = ABOUT if field is None else asked_of(field, {one.text for one in options})
    return Question(query, text, field, tuple(options), len(hits))


def asked_of(field: str, values: set[str]) -> str:
    """The question on a field with these values."""
    named = field.replace("_", " ")
    return FORMS.get(field.lower(), f"{named}: yes or no?" if values == {"yes", "no"} else f"Which {named}?")


def values_of(query: str, field: str, hits: Sequence[StoredPassage]) -> list[ClarifyingOption]:
    """A field's values as options, the most frequent first; none where the field does not tell the hits apart."""
    found: defaultdict[Element, set[int]] = defaultdict(set)
    for place, hit in enumerate(hits):
        for value in elements(without_outline(hit.metadata).get(field)):
            found[value].add(place)
    having = set().union(*found.values())
    if len(found) not in VALUES or len(having) < FILLED * len(hits):
        return []
    if any(value.kind == "moment" for value in found):
        return []  # a day is none of a few kinds
    ordered = sorted(found, key=lambda value: (-len(found[value]), value.kind, value.value))
    if len(found[ordered[1]]) < RAREST * len(hits):
        return []  # nearly all have the same
    return [
        ClarifyingOption(shown(value), query, str(Comparison(field, "=", value)), len(found[value]))
        for value in ordered[:OPTIONS]
    ]


def evenness(options: Sequence[ClarifyingOption]) -> float:
    """How many hits have one of the options, times their entropy."""
    counts = np.array([one.documents for one in options], np.float64)
    return float(-(counts * np.log(counts / counts.sum())).sum())


def shown(value: Element) -> str:
    """A value as people read it."""
    if value.kind == "bool":
        return "yes" if value.value else "no"
    return " ".join(str(value.value).split())


def words_of(
    query: str, hits: Sequence[StoredPassage], analyzer: Analyzer, idf: Idf
) -> list[ClarifyingOption]:
    """Words of the hits as options, in the order in which they are chosen; of equal ones the first by the alphabet."""
    texts = [content(hit.title, hit.text) for hit in hits]
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for term in dict.fromkeys(analyzer.tokens(text)):
            found[term].append(place)
    asked = set(analyzer.tokens(query))
    left = {
        term: np.array(places)
        for term, places in sorted(found.items())
        if RAREST * len(hits) <= len(places) <= COMMONEST * len(hits) and term not in asked
    }
    weights = weights_of(len(hits))
    telling = {
        term: (1 - weights[places].sum()) * rarity
        for (term, places), rarity in zip(left.items(), idf([*left]), strict=True)
    }
    counted = weights.copy()
    options: list[ClarifyingOption] = []
    while left and len(options) < OPTIONS:
        term = max(left, key=lambda term: counted[left[term]].sum() * telling[term])
        places = left.pop(term)
        text = written(term, [texts[place] for place in places], analyzer)
        if not WORD.fullmatch(text) or parse_query(text).operators:
            continue
        options.append(ClarifyingOption(text, f"{query} {text} {text}", None, len(places)))
        counted[places] *= REPEATED
        left = {other: there for other, there in left.items() if apart(places, there)}
    return options


def written(term: str, texts: Sequence[str], analyzer: Analyzer) -> str:
    """A term as most of some texts have it first."""
    found = Counter(
        text[span.start : span.end] for text in texts for span in analyzer.spans(text, {term})[:1]
    )
    return min(found, key=lambda one: (-found[one], one), default="")


def weights_of(count: int) -> Float64Array:
    """(c,) how likely each of so many hits is meant, by its rank alone; they add up to 1."""
    weights: Float64Array = 1 / np.arange(5, count + 5, dtype=np.float64)
    weights /= weights.sum()
    return weights


def apart(here: Int64Array, there: Int64Array) -> bool:
    """Whether two words' hits, given by their places, differ enough for both to be options."""
    return len(np.intersect1d(here, there)) < OVERLAP * min(len(here), len(there))
