"""What a query wants, in sentences: those that set relevant documents apart from irrelevant ones.

Query to intent description (Zhang et al., "Query Understanding via Intent Description Generation", CIKM 2020): a
description comes of both kinds of documents, by their contrast. Here sentences of the relevant ones are chosen, or,
with a decoder, sentences are written and checked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from leanseek.text import split_sentences
from leanseek.types import DescribedSentence

if TYPE_CHECKING:
    from leanseek.decode import Decoder

SENTENCES: Final = 3
"""Sentences of a description at most."""
LONGEST: Final = 40
"""Words of a sentence at most; a longer one is cut into several."""
SMOOTHING: Final = 1e-3
"""Added to both probabilities of a term, so that one that irrelevant documents lack does not weigh without limit."""

INSTRUCTION: Final = """\
Someone searched for: {query}

These texts are what they want:
{relevant}

These texts are not what they want:
{irrelevant}

Write in two or three sentences which texts they want. Say what sets the first texts apart from the others."""
SHOWN: Final = 60
"""Words of each text that a decoder reads."""
MOST: Final = 120
"""Tokens that it writes at most."""

_DETACHED: Final = re.compile(r"(?<=\s)[.!?]+(?=\s)")

Tokens = Callable[[str], list[str]]
"""From a text to its terms."""


class Contrast(NamedTuple):
    """The probability of terms in the relevant and in the irrelevant documents, and how rare they are."""

    relevant: Mapping[str, float]
    irrelevant: Mapping[str, float]
    idf: Mapping[str, float]

    def of(self, term: str) -> float:
        """P(t|R) · ln((P(t|R) + ε) / (P(t|N) + ε)) · idf(t)."""
        here = self.relevant.get(term, 0.0)
        ratio = (here + SMOOTHING) / (self.irrelevant.get(term, 0.0) + SMOOTHING)
        return here * math.log(ratio) * self.idf.get(term, 0.0)

    def misleading(self, term: str) -> bool:
        """Whether the term is more frequent in irrelevant documents."""
        return self.irrelevant.get(term, 0.0) > self.relevant.get(term, 0.0)


def contrast_of(
    relevant: Iterable[Sequence[str]],
    irrelevant: Iterable[Sequence[str]],
    idf: Callable[[list[str]], list[float]],
) -> Contrast:
    """The contrast of two kinds of documents, given as lists of their terms; `idf` gives that of each of some terms."""
    here, there = shares(relevant), shares(irrelevant)
    terms = sorted(here)
    return Contrast(here, there, dict(zip(terms, idf(terms), strict=True)))


def shares(documents: Iterable[Sequence[str]]) -> dict[str, float]:
    """The mean over some documents of the share that each term has among a document's terms."""
    found: dict[str, float] = {}
    filled = [terms for terms in documents if terms]
    for terms in filled:
        for term, count in Counter(terms).items():
            found[term] = found.get(term, 0.0) + count / len(terms) / len(filled)
    return found


def best_sentences(
    documents: Iterable[tuple[str, str]], contrast: Contrast, tokens: Tokens, most: int = SENTENCES
) -> list[DescribedSentence]:
    """At most `most` sentences of documents, given as (id, text), that show the contrast best, the best first.

    Each adds Σ con(t) / √(|s| + 1) over its |s| terms, of which those in sentences already chosen count no more. Only
    sentences that add something are chosen; of equal ones the first.
    """
    left = [
        (DescribedSentence(identifier, text[start:end]), Counter(tokens(text[start:end])))
        for identifier, text in documents
        for start, end in sentences_of(text)
    ]
    chosen: list[DescribedSentence] = []
    covered: set[str] = set()
    while left and len(chosen) < most:
        gains = [
            sum(contrast.of(term) for term in terms if term not in covered) / math.sqrt(terms.total() + 1)
            for _, terms in left
        ]
        place = max(range(len(left)), key=gains.__getitem__)
        if gains[place] <= 0:
            break
        sentence, terms = left.pop(place)
        chosen.append(sentence)
        covered |= terms.keys()
    return chosen


def sentences_of(text: str) -> Iterator[tuple[int, int]]:
    """The characters [start, end) of each sentence of a text; a mark between spaces ends one, too.

    Texts whose words and marks were separated are often in lower case, where the usual rules see no sentence end.
    """
    begin = 0
    for mark in (*_DETACHED.finditer(text), None):
        end = len(text) if mark is None else mark.end()
        for start, stop in split_sentences(text[begin:end], longest=LONGEST):
            yield begin + start, begin + stop
        begin = end


def written_sentences(
    query: str,
    relevant: Sequence[str],
    irrelevant: Sequence[str],
    contrast: Contrast,
    tokens: Tokens,
    decoder: Decoder,
) -> tuple[list[DescribedSentence], int]:
    """The sentences that a decoder writes on relevant and irrelevant texts, and how many of its own were dropped.

    A sentence is kept if it has a term of a relevant document and none that is more frequent in the irrelevant ones.
    The last one is dropped where it was cut off.
    """
    prompt = INSTRUCTION.format(
        query=query, relevant=listed(relevant), irrelevant=listed(irrelevant) or "- none"
    )
    [found] = decoder.generate([decoder.chat(prompt)], most=MOST)
    text = " ".join(found.text.split())
    written = [text[start:end] for start, end in split_sentences(text)]
    whole = written if found.finished else written[:-1]
    kept = []
    for sentence in whole:
        terms = tokens(sentence)
        if any(term in contrast.relevant for term in terms) and not any(map(contrast.misleading, terms)):
            kept.append(DescribedSentence("", sentence))
    return kept[:SENTENCES], len(written) - len(kept)


def listed(texts: Sequence[str]) -> str:
    """The beginnings of at most five texts, one a line."""
    return "\n".join(f"- {' '.join(text.split(maxsplit=SHOWN)[:SHOWN])}" for text in texts[:5])
