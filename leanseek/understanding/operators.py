"""The operators of a query: `"a phrase"`, `+word`, `-word` and `NOT word`; docs/operators.md has the rules.

What may well be ordinary text is taken as text: a sign before a number (-5 degrees), inside a word
(state-of-the-art) or alone, a quotation mark without its partner or behind a word (5"), NOT as the first or last
word, and everything in a query of several lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from leanseek.types import Operator

MINUS = "-\u2212\uff0d"
PLUS = "+\uff0b"
"""The signs of keyboards, of typography, and of full-width scripts."""

QUOTES = {
    '"': '"',
    "\uff02": "\uff02",
    "\u201c": '\u201d"',
    "\u201d": "\u201d",
    "\u201e": "\u201c\u201d",
    "\u00ab": "\u00bb",
    "\u00bb": "\u00ab",
}
"""What opens a phrase, and what may close it: straight, full-width, English, Swedish, German, French, Danish."""

AND, OR, NOT = "AND", "OR", "NOT"
"""Operators are in capitals. `AND` and `OR` are words, but for `AND NOT`."""

_CHUNK = re.compile(r"\S+")
_BRACKETS = re.compile(r"[(\[]*")
_NUMBER = re.compile(r"[^\w\s]*\d")


class ParsedQuery(NamedTuple):
    """A query's `text`, which is encoded and scored, and its `operators` in their order.

    The text has no excluded words, signs or marks. That of a query without operators is the query itself.
    """

    text: str
    operators: tuple[Operator, ...]


class Piece(NamedTuple):
    """Characters [start, end) of a query: a word, or a phrase in quotation marks; `words` are without sign and marks.

    `sign` is + or - where it is an operator by itself, else empty.
    """

    start: int
    end: int
    words: str
    sign: str = ""


def parse_query(query: str) -> ParsedQuery:
    """The text and the operators of a query, in time linear in its length.

    The text is blank where nothing is left to search for: of a blank query, or of one that only excludes.
    """
    if not has_marks(query):
        return ParsedQuery(query, ())
    text: list[str] = []
    operators: list[Operator] = []
    last = 0
    for piece in negated(query, pieces(query)):
        text.append(query[last : piece.start])
        last = piece.end
        written = query[piece.start : piece.end]
        if piece.sign:
            operators.append(Operator(written, piece.words, excludes=piece.sign == "-"))
        if piece.sign != "-":
            text.append(piece.words if piece.sign else written)
    if not operators:
        return ParsedQuery(query, ())
    return ParsedQuery(" ".join("".join([*text, query[last:]]).split()), tuple(operators))


def has_marks(query: str) -> bool:
    """Whether a query may have operators: it is on one line and has a mark of one."""
    return (
        any(mark in query for mark in (NOT, *MINUS, *PLUS, *QUOTES)) and len(query.strip().splitlines()) == 1
    )


def pieces(query: str) -> Iterator[Piece]:
    """The words and phrases of a query, from left to right."""
    closing = closing_marks(query)
    at = 0
    while chunk := _CHUNK.search(query, at):
        piece = phrase_at(query, chunk.start(), closing) or word_of(chunk)
        yield piece
        at = piece.end
        if piece.sign and (rest := _CHUNK.match(query, at)):
            # What follows a closing mark at once is text: the question mark of: who said "no"?
            yield Piece(at, rest.end(), rest.group())
            at = rest.end()


def closing_marks(query: str) -> Mapping[str, Sequence[int]]:
    """Where each mark may close a phrase: no letter or digit comes next."""
    found: dict[str, list[int]] = {mark: [] for marks in QUOTES.values() for mark in marks}
    for at, char in enumerate(query):
        if char in found and not query[at + 1 : at + 2].isalnum():
            found[char].append(at)
    return found


def phrase_at(query: str, start: int, closing: Mapping[str, Sequence[int]]) -> Piece | None:
    """The phrase that begins at `start`, behind a sign or opening brackets; None where none does."""
    sign = sign_of(query[start])
    brackets = _BRACKETS.match(query, start)
    opens = start + 1 if sign else brackets.end() if brackets else start
    mark = query[opens : opens + 1]
    # A straight mark before a space may be inches, or closes what was never opened.
    if mark not in QUOTES or not mark or (QUOTES[mark] == mark and query[opens + 1 : opens + 2].isspace()):
        return None
    ends = [
        places[after]
        for places in (closing[one] for one in QUOTES[mark])
        if (after := bisect_right(places, opens)) < len(places)
    ]
    words = query[opens + 1 : min(ends)].strip() if ends else ""
    if not has_word(words):
        return None
    return Piece(start if sign else opens, min(ends) + 1, words, sign or "+")


def word_of(chunk: re.Match[str]) -> Piece:
    """A piece without white space: an operator where a sign comes before a word that is no number."""
    word = chunk.group()
    sign, rest = sign_of(word[0]), word[1:]
    if sign and has_word(rest) and not sign_of(rest[0]) and not _NUMBER.match(rest):
        return Piece(*chunk.span(), rest, sign)
    return Piece(*chunk.span(), word)


def negated(query: str, found: Iterable[Piece]) -> list[Piece]:
    """The pieces, where NOT (or AND NOT) and what it excludes have become one."""
    joined: list[Piece] = []
    for piece in found:
        if is_word(joined[-1:], NOT) and len(joined) > 1 and may_be_excluded(query, piece):
            start = joined.pop().start
            if is_word(joined[-1:], AND) and len(joined) > 1:
                start = joined.pop().start
            piece = Piece(start, piece.end, piece.words, "-")
        joined.append(piece)
    return joined


def is_word(last: Sequence[Piece], word: str) -> bool:
    """Whether the last piece is this very word."""
    return bool(last) and not last[0].sign and last[0].words == word


def may_be_excluded(query: str, piece: Piece) -> bool:
    """Whether NOT can stand before a piece: a phrase or a word without a sign."""
    if piece.sign:
        return not sign_of(query[piece.start])
    return piece.words not in (AND, OR, NOT) and has_word(piece.words)


def sign_of(char: str) -> str:
    """The sign that a character is, - or +; empty for any other."""
    return "-" if char in MINUS else "+" if char in PLUS else ""


def has_word(text: str) -> bool:
    """Whether there is a letter or digit in a text."""
    return any(map(str.isalnum, text))
