"""From the characters of a filter expression to its tokens, and the errors that point into it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from leanseek.errors import FilterError
from leanseek.filters.nodes import KEYWORDS, NAME

TokenKind: TypeAlias = Literal["name", "keyword", "string", "number", "operator", "bracket", "end"]

EXAMPLE = 'year >= 2015 and lang in ("en", "de") and not title contains "draft"'
_VIEW = 100
_LEAD = 60

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | `(?P<name> (?:[^`]|``)+ )`
    | (?P<number> [+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.-]) )
    | (?P<operator> ==|!=|<=|>=|=|<|> )
    | (?P<bracket> [(),] )
    | (?P<word> """
    + NAME.pattern
    + r""" )
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}


class Token(NamedTuple):
    """One piece of an expression: its meaning in `text`, where it starts, and how it was written."""

    kind: TokenKind
    text: str
    start: int
    written: str


def syntax_error(expression: str, position: int, problem: str) -> FilterError:
    """The error that shows the expression on one line, a caret under the place, and an example."""
    start = 0 if len(expression) <= _VIEW else max(0, min(position - _LEAD, len(expression) - _VIEW))
    shown = "".join(
        char if char.isprintable() else "�" if not char.isspace() else " "
        for char in expression[start : start + _VIEW]
    )
    before = "… " if start else ""
    after = " …" if start + _VIEW < len(expression) else ""
    caret = " " * (len(before) + sum(map(_columns, shown[: position - start]))) + "^"
    return FilterError(
        f"The filter cannot be read: {problem}.\n  {before}{shown}{after}\n  {caret}\nExample: {EXAMPLE}"
    )


def _columns(char: str) -> int:
    """Terminal columns of one character, so that the caret stands under the right one."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def tokens(expression: str) -> Iterator[Token]:
    """The tokens of an expression, the last of kind "end".

    Raises `FilterError` at the first character that starts no token.
    """
    position = 0
    stop = len(expression.rstrip())
    while position < stop:
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            raise _unreadable(expression, position)
        group = match.lastgroup
        text = match[group]
        start = match.start(group) - (group == "name")
        written = expression[start : match.end()]
        position = match.end()
        if any("\ud800" <= char <= "\udfff" for char in written):
            raise syntax_error(expression, start, "this holds bytes that are not valid text (UTF-8)")
        if group == "word":
            word = text.lower()
            yield (
                Token("keyword", word, start, text) if word in KEYWORDS else Token("name", text, start, text)
            )
        elif group == "name":
            yield Token("name", text.replace("``", "`"), start, written)
        elif group == "string":
            yield Token("string", _unescape(expression, text, start), start, written)
        elif group == "operator":
            yield Token("operator", "=" if text == "==" else text, start, written)
        elif group == "number":
            yield Token("number", text, start, written)
        else:
            yield Token("bracket", text, start, written)
    yield Token("end", "", stop, "")


def _unescape(expression: str, literal: str, start: int) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPED:
            problem = f"unknown escape {match[0]!r}; write \\\\ for a backslash, also \\\" \\' \\n \\r \\t"
            raise syntax_error(expression, start + 1 + match.start(), problem)
        return _ESCAPED[match[1]]

    return _ESCAPE.sub(character, literal[1:-1])


def _unreadable(expression: str, position: int) -> FilterError:
    while expression[position].isspace():
        position += 1
    char = expression[position]
    if char in "\"'`":
        return syntax_error(expression, position, f"this {char} has no closing {char}")
    if char in "0123456789.+-":
        return syntax_error(expression, position, "this is not a number; put text in quotes")
    return syntax_error(expression, position, f"{char!r} is not part of the filter language")
