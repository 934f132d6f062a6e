"""The part of a text that shows best why it was found, with the query's terms marked."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from leanseek.errors import UsageError
from leanseek.text.sentences import Word, ends_sentence, word_ends
from leanseek.types import Snippet

PIECE = 100_000
"""Characters looked at in one go. An extract lies inside the first piece that has any of the terms."""

ELLIPSIS = "…"
_REACH = 1_000
_UNITS = 1_000_000
"""Weights are summed in integers of this fraction: a sum must not depend on the windows before it."""


class TermSpan(Protocol):
    """A term and the characters [start, end) of the text it comes from."""

    @property
    def token(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class TermAnalyzer(Protocol):
    """What snippets need of an analyser."""

    def tokens(self, text: str) -> Sequence[str]:
        """The terms of a text, in order."""
        ...

    def spans(self, text: str, only: Container[str]) -> Sequence[TermSpan]:
        """Those among these terms, with their places."""
        ...


class _Match(NamedTuple):
    """A query's term at the words [first, last] and the characters [start, end) of a piece."""

    term: str
    first: int
    last: int
    start: int
    end: int


def matched_terms(text: str, analyzer: TermAnalyzer, terms: Collection[str]) -> tuple[str, ...]:
    """Those of the terms that the whole text has, each once, in the order of `terms`."""
    wanted = set(terms)
    missing = set(wanted)
    for start, end in _pieces(text):
        if not missing:
            break
        missing.difference_update(analyzer.tokens(text[start:end]))
    return tuple(term for term in dict.fromkeys(terms) if term not in missing)


def snippet(
    text: str,
    analyzer: TermAnalyzer,
    terms: Collection[str],
    words: int = 40,
    weights: Mapping[str, float] | None = None,
) -> Snippet:
    """An extract of at most `words` words around the query's terms (as the analyser gives them).

    Of all windows it is the one whose distinct terms weigh most, then with most occurrences, then the first.
    `weights` are not negative, such as each term's idf; a term without one weighs 1. The extract begins and
    ends with sentences where that costs no match, else between words, with … where the text goes on; white
    space is collapsed. A text without the terms gives its beginning, without highlights.

    Time is linear in the text. It is looked through in pieces of 100,000 characters, up to the first that has
    any of the terms; later pieces do not compete.

    Raises `UsageError` if `words` is below 1.
    """
    if words < 1:
        raise UsageError(f"A snippet of {words} words was asked for; give at least 1 (40 is usual).")
    text = text.strip()
    wanted = set(terms)
    start, end = _first_piece_with(wanted, text, analyzer)
    piece = text[start:end]
    if not piece:
        return Snippet("")
    ends = word_ends(piece)
    matches = _locate(analyzer.spans(piece, wanted), ends)
    first, last = 0, len(ends) - 1
    if len(ends) > words:
        window = _best_window(matches, words, weights or {}) if matches else (0, 0)
        first, last = _widened(piece, ends, window, words)
    before = f"{ELLIPSIS} " if start or first else ""
    after = f" {ELLIPSIS}" if end < len(text) or last + 1 < len(ends) else ""
    shown = [match for match in matches if first <= match.first and match.last <= last]
    return _extract(piece, ends[first - 1] if first else 0, ends[last], shown, before, after)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """The text's pieces [start, end), which end before white space where there is some in reach."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            end = next((cut for cut in range(end, end - _REACH, -1) if text[cut].isspace()), end)
        yield start, min(end, len(text))
        start = end


def _first_piece_with(wanted: set[str], text: str, analyzer: TermAnalyzer) -> tuple[int, int]:
    """The first piece that has any of the terms, or else the first."""
    if len(text) <= PIECE:
        return 0, len(text)
    pieces = list(_pieces(text))
    having = (
        (start, end) for start, end in pieces if not wanted.isdisjoint(analyzer.tokens(text[start:end]))
    )
    return next(having, pieces[0])


def _locate(spans: Sequence[TermSpan], ends: Sequence[int]) -> list[_Match]:
    """The matches at the words that end at `ends`."""
    return [
        _Match(
            span.token,
            bisect_right(ends, span.start),
            bisect_right(ends, span.end - 1),
            span.start,
            span.end,
        )
        for span in spans
    ]


def _best_window(matches: Sequence[_Match], words: int, weights: Mapping[str, float]) -> tuple[int, int]:
    """The first and last word of the matches in the best window; a window starts with one of the matches."""
    best = (-1, 0)
    window = (0, 0)
    inside: Counter[str] = Counter()
    weight = end = 0
    for number, match in enumerate(matches):
        while end < len(matches) and matches[end].last < match.first + words:
            term = matches[end].term
            weight += 0 if inside[term] else round(weights.get(term, 1.0) * _UNITS)
            inside[term] += 1
            end += 1
        if (weight, end - number) > best:
            best = (weight, end - number)
            window = (match.first, max((m.last for m in matches[number:end]), default=match.first))
        if end > number:
            inside[match.term] -= 1
            weight -= 0 if inside[match.term] else round(weights.get(match.term, 1.0) * _UNITS)
        else:
            # A match longer than any window: the next one starts anew.
            end = number + 1
    return window


def _widened(text: str, ends: Sequence[int], window: tuple[int, int], size: int) -> tuple[int, int]:
    """The window with the words around it, `size` in all, from a sentence's start and to an end if near.

    The text has more than `size` words, which end at `ends`.
    """
    first, last = window
    spare = size - (last - first + 1)
    # An extract much under its size says too little, even if it begins and ends well.
    least = 2 * size // 3
    # The words that may be within, one before and one after them; of a long text there are many more.
    base = max(first - spare - 1, 0)
    words = [_word(text, ends, at) for at in range(base, min(first + size + 1, len(ends)))]
    reach = range(first, max(first - spare, 0) - 1, -1)
    sentences = [at for at in reach if at == 0 or ends_sentence(text, words, at - 1 - base)]
    if sentences:
        start = next((at for at in sentences if at <= len(ends) - least), sentences[-1])
    else:
        start = min(first - spare // 2, len(ends) - size)
    limit = min(start + size, len(ends)) - 1
    shortest = max(last, min(start + least, limit))
    closing = (at for at in range(limit, shortest - 1, -1) if ends_sentence(text, words, at - base))
    return start, next(closing, limit)


def _word(text: str, ends: Sequence[int], number: int) -> Word:
    """One of the words that end at `ends`."""
    start, end = ends[number - 1] if number else 0, ends[number]
    return Word(end - len(text[start:end].lstrip()), end)


def _extract(text: str, start: int, end: int, matches: Sequence[_Match], before: str, after: str) -> Snippet:
    """The characters [start, end) with their white space collapsed, and where the matches stand in that."""
    start += len(text[start:end]) - len(text[start:end].lstrip())
    extract = " ".join(text[start:end].split())
    even = len(extract) == end - start
    highlights: list[tuple[int, int]] = []
    for match in sorted(matches, key=lambda match: (match.start, match.end)):
        first, last = match.start - start, match.end - start
        if not even:
            first, last = (_collapsed(text[start:end], place) for place in (first, last - 1))
            last += 1
        first, last = first + len(before), last + len(before)
        if highlights and first < highlights[-1][1]:
            first, last = highlights[-1][0], max(last, highlights.pop()[1])
        highlights.append((first, last))
    return Snippet(f"{before}{extract}{after}", tuple(highlights))


def _collapsed(text: str, place: int) -> int:
    """Where a character, which is none of white space, stands once the text's white space is collapsed."""
    words = text[:place].split()
    return sum(map(len, words)) + len(words) - (place > 0 and not text[place - 1].isspace())
