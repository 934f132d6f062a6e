"""How good an answer is: whether its passages support it, and whether it says what a reference says.

These are the two rewards of PORAG (arXiv 2504.01281), retrieval fidelity and response quality, as scores.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from leanseek.errors import UsageError
from leanseek.searcher.context.packing import Cited, Context
from leanseek.text.sentences import PASSAGE, split_sentences
from leanseek.types import Hit, Progress

if TYPE_CHECKING:
    from leanseek.rerank import ByScore

SUPPORTED: Final = 0.2
"""The probability from which on a passage supports a sentence, by default; chosen on dev splits of WikiQA and SelQA."""

Passages: TypeAlias = "Context | str | Sequence[str | Cited]"
"""What an answer was written from: a context, or passages numbered from 1, or a single one."""

_CITATION = re.compile(r"(?<!\s)\s*\[\s*\d{1,9}(?:\s*[,;–-]\s*\d{1,9})*\s*\]")
_CITED = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
_RANGE = 100
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Statement(NamedTuple):
    """A sentence of an answer, without its citations, and the numbers of the passages that it cites."""

    text: str
    cited: tuple[int, ...]


class Support(NamedTuple):
    """A sentence of an answer and the passage that supports it most, by its number; None where there is no passage.

    `unknown` are numbers that it cites and the context does not have.
    """

    sentence: str
    cited: tuple[int, ...]
    passage: int | None
    probability: float
    supported: bool
    unknown: tuple[int, ...] = ()


def fidelity(
    answer: str, context: Passages, *, threshold: float = SUPPORTED, judge: ByScore | None = None
) -> float:
    """The share of the answer's sentences that its passages support; 0 for an answer without sentences.

    See `supports`, which has the sentences and the arguments.
    """
    return supported_share(supports(answer, context, threshold=threshold, judge=judge))


def supports(
    answer: str, context: Passages, *, threshold: float = SUPPORTED, judge: ByScore | None = None
) -> tuple[Support, ...]:
    """Each sentence of the answer, and whether a passage supports it.

    A sentence that cites passages, as `[1]`, `[1, 3]` or `[1-3]`, is compared with these alone, another one with all. A
    passage supports it where the cross-encoder (`judge`, by default the packaged one) gives the two a probability of
    at least `threshold`, and where it has every number in the sentence. A citation that the context does not have
    supports nothing.

    Raises UsageError for a threshold outside 0 to 1 and for a judge without probabilities, and what loading raises.
    """
    return check_answers([(answer, context)], threshold=threshold, judge=judge)[0]


def check_answers(
    answers: Sequence[tuple[str, Passages]],
    *,
    threshold: float = SUPPORTED,
    judge: ByScore | None = None,
    progress: Progress | None = None,
) -> list[tuple[Support, ...]]:
    """`supports` for many answers, each with its context; one list of sentences for each."""
    if not 0 <= threshold <= 1:
        raise UsageError(f"the threshold is {threshold}; give a probability from 0 to 1")
    statements, hits, owners = [], [], []
    for owner, (answer, context) in enumerate(answers):
        passages = numbered(context)
        for statement in statements_of(answer):
            statements.append(statement)
            owners.append((owner, passages))
            wanted = statement.cited or tuple(passages)
            hits.append(
                [
                    Hit(rank, str(number), 0.0, "", passages[number], {})
                    for rank, number in enumerate((one for one in wanted if one in passages), 1)
                ]
            )
    found: list[list[Support]] = [[] for _ in answers]
    for statement, given, (owner, passages), probabilities in zip(
        statements, hits, owners, probabilities_of(statements, hits, judge, progress), strict=True
    ):
        # The first of equal ones: a passage that has the sentence's numbers before others.
        ranked = [
            (has_numbers(statement.text, hit.text), probability, -place)
            for place, (hit, probability) in enumerate(zip(given, probabilities, strict=True))
        ]
        numbers, probability, place = max(ranked, default=(False, 0.0, 0))
        found[owner].append(
            Support(
                statement.text,
                statement.cited,
                int(given[-place].id) if given else None,
                probability,
                numbers and probability >= threshold,
                tuple(number for number in statement.cited if number not in passages),
            )
        )
    return [tuple(one) for one in found]


def supported_share(sentences: Sequence[Support]) -> float:
    """The share of the sentences that are supported; 0 where there are none."""
    return sum(one.supported for one in sentences) / len(sentences) if sentences else 0.0


def quality(answer: str, reference: str | Sequence[str]) -> float:
    """Token F1 of the answer, without its citations, and a reference, the best of several; in [0, 1].

    Words are compared as SQuAD does: lower case, without punctuation and English articles (Rajpurkar et al., EMNLP
    2016). Two texts without words are equal. Raises UsageError where there is no reference.
    """
    references = [reference] if isinstance(reference, str) else list(reference)
    if not references:
        raise UsageError("there is no reference to compare the answer with; give at least one")
    words = normalised(_CITATION.sub(" ", answer))
    return max(f1(words, normalised(one)) for one in references)


def normalised(text: str) -> list[str]:
    """The words of a text as SQuAD compares them."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(one: Sequence[str], other: Sequence[str]) -> float:
    """Of two lists of words, each counted as often as both have it; 1 where both are empty."""
    if not one or not other:
        return float(not one and not other)
    return 2 * (Counter(one) & Counter(other)).total() / (len(one) + len(other))


def statements_of(answer: str) -> list[Statement]:
    """The sentences of an answer that have words, and what each cites; a citation after its full stop is its own."""
    plain, places = "", list[tuple[int, str]]()
    last = 0
    for match in _CITATION.finditer(answer):
        plain += answer[last : match.start()]
        places.append((len(plain.rstrip()), match[0]))
        last = match.end()
    plain += answer[last:]
    sentences = [one for one in split_sentences(plain, PASSAGE) if _WORD.search(plain, one.start, one.end)]
    cited: list[list[int]] = [[] for _ in sentences]
    for place, text in places if sentences else ():
        # The sentence that it stands in or after; the first one where it stands before all.
        number = max((n for n, one in enumerate(sentences) if one.start < place), default=0)
        cited[number] += citations(text)
    return [
        Statement(" ".join(plain[one.start : one.end].split()), tuple(dict.fromkeys(numbers)))
        for one, numbers in zip(sentences, cited, strict=True)
    ]


def citations(text: str) -> list[int]:
    """The numbers in a citation such as `[1, 3-5]`; of a range that is none the two ends."""
    found: list[int] = []
    for first, last in _CITED.findall(text):
        begin, end = int(first), int(last or first)
        found += range(begin, end + 1) if begin <= end < begin + _RANGE else (begin, end)
    return found


def numbered(context: Passages) -> dict[int, str]:
    """The passages by their numbers, those without words left out; a title stands before its text."""
    if isinstance(context, str):
        context = [context]
    passages = context.passages if isinstance(context, Context) else context
    found = {}
    for number, one in enumerate(passages, 1):
        if isinstance(one, Cited):
            number, text = one.number, f"{one.title} {one.text}" if one.title else one.text
        else:
            text = one
        if _WORD.search(text):
            found[number] = text
    return found


def has_numbers(sentence: str, passage: str) -> bool:
    """Whether all numbers of the sentence are in the passage."""
    return numbers_in(sentence) <= numbers_in(passage)


def numbers_in(text: str) -> set[str]:
    """The numbers in a text; 1,000 and 1000 are the same."""
    return {match.replace(",", "") for match in _NUMBER.findall(text)}


def probabilities_of(
    statements: Sequence[Statement],
    hits: Sequence[Sequence[Hit]],
    judge: ByScore | None,
    progress: Progress | None = None,
) -> list[list[float]]:
    """How probable it is that each of the hits supports its statement."""
    if not any(hits):
        return [[] for _ in statements]
    judged = (judge or packaged_judge()).judge([one.text for one in statements], hits, progress=progress)
    found = []
    for given, one in zip(hits, judged, strict=True):
        if given and (one.probabilities is None or np.isnan(one.probabilities).any()):
            raise UsageError(
                "the judge gives no probabilities; take one with a calibration, such as load_reranker('cross-encoder')"
            )
        found.append([] if one.probabilities is None else one.probabilities.tolist())
    return found


@cache
def packaged_judge() -> ByScore:
    """The packaged cross-encoder, loaded once."""
    from leanseek.rerank import ByScore, load_reranker

    found = load_reranker("cross-encoder")
    assert isinstance(found, ByScore)
    return found
