"""The parser of filter expressions, with errors that point into them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast

from leanseek.errors import FilterError
from leanseek.filters.conditions import Operator
from leanseek.filters.leaves import (
    WORDS,
    Comparison,
    Contains,
    Membership,
    Range,
    TextOperator,
    WordCount,
)
from leanseek.filters.nodes import (
    BUILT_IN,
    KEYWORDS,
    NAME,
    And,
    Element,
    Filter,
    IsNull,
    Not,
    Or,
    number_element,
)

MAX_DEPTH = 64
"""How deep brackets and `not` may nest: far beyond use, and safe for any thread's stack."""
MAX_CONDITIONS = 10_000
"""How many conditions one expression may have: each is a query to every segment."""
MAX_VALUES = 10_000
"""How many values one `in (…)` may list: what SQLite binds at once, with room to spare."""

TokenKind: TypeAlias = Literal["name", "keyword", "string", "number", "operator", "bracket", "end"]

EXAMPLE = 'year >= 2015 and lang in ("en", "de") and not title contains "draft"'
_VIEW = 100
_LEAD = 60

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | `(?P<name> (?:[^`]|``)+ )`
    | (?P<number> [+-]?(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w-]|\.(?!\.(?!\.))) )
    | (?P<operator> ==|!=|<=|>=|=|<|> )
    | (?P<bracket> [(),]|\.\. )
    | (?P<word> """
    + NAME.pattern
    + r""" )
    )""",
    re.VERBOSE | re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}


def parse_filter(text: str) -> Filter:
    """The filter that an expression such as `year >= 2015 and lang in ("en", "de")` means.

    - A condition holds if any element of the field satisfies it; it is false where the field is missing. So
      `lang != "en"` needs some language other than "en", while `not lang = "en"` also
      passes documents without a language.
    - Numbers compare with numbers, strings with strings by code point; a number never equals a string. Booleans
      only have = and !=.
    - ISO dates and times compare as moments, whatever their zone and the digits of their fraction; without a zone
      they are in UTC. A date in the expression means its whole day in UTC: `when <= "2024-03-01"` includes the
      evening of that day; `"2024-03"` is a month and `"2024"` a year.
    - `in 1990..2000` has both ends inside.
    - `contains`, `starts with` and `ends with` look for a piece of a string; A-Z equal a-z.
    - `words(title) = 3` compares the number of words of a string, see `word_count`.
    - `id` and `title` are the document's own, and always strings.

    Raises `FilterError` for anything else, pointing at the place.
    """
    return _Parser(text).filter()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = next(self._tokens)
        self._depth = 0
        self._conditions = 0

    def filter(self) -> Filter:
        if self._ahead().kind == "end":
            raise self._error(self._ahead(), "it is empty")
        parsed = self._or()
        if self._ahead().kind != "end":
            raise self._expected("'and', 'or' or the end")
        return parsed

    def _ahead(self) -> Token:
        return self._next

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _accept(self, text: str) -> bool:
        """Step over a keyword or bracket if it comes next."""
        found = self._ahead().kind in ("keyword", "bracket") and self._ahead().text == text
        if found:
            self._take()
        return found

    def _require(self, text: str, expected: str) -> None:
        if not self._accept(text):
            raise self._expected(expected)

    def _error(self, token: Token, problem: str) -> FilterError:
        return syntax_error(self._text, token.start, problem)

    def _expected(self, expected: str, hint: str = "") -> FilterError:
        token = self._ahead()
        found = "the end" if token.kind == "end" else token.written
        found = found if len(found) <= 40 else f"{found[:40]}…"
        return self._error(token, f"expected {expected}, found {found}{hint}")

    def _or(self) -> Filter:
        operands = [self._and()]
        while self._accept("or"):
            operands.append(self._and())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _and(self) -> Filter:
        operands = [self._not()]
        while self._accept("and"):
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _not(self) -> Filter:
        opening = self._ahead()
        if self._accept("not"):
            self._descend(opening)
            operand = self._not()
            self._depth -= 1
            return Not(operand)
        if self._accept("("):
            self._descend(opening)
            inner = self._or()
            self._depth -= 1
            self._require(")", "'and', 'or' or ')'")
            return inner
        return self._condition()

    def _descend(self, opening: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(opening, f"brackets and 'not' nest more than {MAX_DEPTH} deep")

    def _condition(self) -> Filter:
        if self._ahead().kind != "name":
            quoted = self._ahead().kind in ("string", "keyword")
            raise self._expected(
                "a field name", " (put a field of that name in `backquotes`)" if quoted else ""
            )
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise self._error(
                self._ahead(), f"more than {MAX_CONDITIONS} conditions; list values with 'in (…)'"
            )
        name = self._take()
        if name.written.lower() == WORDS and self._accept("("):
            return self._word_count()
        field = name.text
        if self._ahead().kind == "operator":
            return self._comparison(field)
        if (operator := self._text_operator()) is not None:
            if self._ahead().kind != "string":
                raise self._expected(f"a string in quotes after '{operator}'")
            return Contains(field, self._take().text, operator)
        if self._accept("is"):
            negated = self._accept("not")
            self._require("null", "'null'" if negated else "'null' or 'not null' (compare values with =)")
            return IsNull(field, negated)
        negated = self._accept("not")
        if self._accept("in"):
            return self._membership(field, negated)
        if negated:
            raise self._expected("'in' after 'not' (for another condition put 'not' before the field)")
        raise self._expected(
            "=, !=, <, <=, >, >=, 'in', 'not in', 'contains', 'starts with', 'ends with' or 'is'"
        )

    def _comparison(self, field: str) -> Comparison:
        comparison = cast(Operator, self._take().text)
        return Comparison(field, comparison, self._value(field, comparison))

    def _text_operator(self) -> TextOperator | None:
        """Step over an operator on texts if one comes next."""
        if self._accept("contains"):
            return "contains"
        token = self._ahead()
        for operator, first in (("starts with", "starts"), ("ends with", "ends")):
            # These are words of the language here alone, so that a field may be called so.
            if token.written.lower() == first:
                self._take()
                if self._ahead().written.lower() != "with":
                    raise self._expected(f"'with' after '{first}'")
                self._take()
                return cast(TextOperator, operator)
        return None

    def _word_count(self) -> Filter:
        """What follows `words(`."""
        if self._ahead().kind != "name":
            raise self._expected("the name of a field in 'words(…)'")
        field = self._take().text
        self._require(")", "')' after the name of the field")
        start = self._ahead()
        if start.kind == "operator":
            condition: Comparison | Membership | Range = self._comparison(WORDS)
        else:
            negated = self._accept("not")
            self._require("in", "=, !=, <, <=, >, >=, 'in' or 'not in' and a number of words")
            condition = self._membership(WORDS, negated)
        if condition.kinds() != {"number"}:
            raise self._error(start, "the words of a text are a number, such as words(title) = 3")
        return WordCount(field, condition)

    def _membership(self, field: str, negated: bool) -> Membership | Range:
        if self._ahead().text != "(" or self._ahead().kind != "bracket":
            return self._range(field, negated)
        self._take()
        values = [self._value(field, "=")]
        while self._accept(","):
            if len(values) == MAX_VALUES:
                raise self._error(
                    self._ahead(), f"more than {MAX_VALUES} values in one list; join two with 'or'"
                )
            values.append(self._value(field, "="))
        self._require(")", "',' or ')'")
        return Membership(field, tuple(values), negated)

    def _range(self, field: str, negated: bool) -> Range:
        start = self._ahead()
        if start.kind not in ("string", "number"):
            raise self._expected("'(' and a list of values, or a range such as 1990..2000")
        first = self._value(field, "<=")
        self._require("..", "'..' and the end of the range (a list of values stands in brackets)")
        found = Range(field, first, self._value(field, "<="), negated)
        if found.is_empty():
            raise self._error(start, "nothing is in this range: its end must not come before its start")
        return found

    def _value(self, field: str, comparison: Operator) -> Element:
        token = self._ahead()
        if token.kind == "string":
            value = Element(token.text, "string")
        elif token.kind == "number":
            value = self._number(token)
        elif token.kind == "keyword" and token.text in ("true", "false"):
            value = Element(int(token.text == "true"), "bool")
            if comparison not in ("=", "!="):
                raise self._error(
                    token, f"true and false have no order; use = or != in place of {comparison}"
                )
        elif token.kind == "keyword" and token.text == "null":
            raise self._error(token, "null is no value; write 'is null' or 'is not null'")
        else:
            hint = f'; put text in quotes: "{token.text}"' if token.kind == "name" else ""
            raise self._expected("a value (a string in quotes, a number, true or false)", hint)
        if field in BUILT_IN and value.kind != "string":
            raise self._error(
                token, f'{field} is always a string; put the value in quotes: "{token.written}"'
            )
        self._take()
        return value

    def _number(self, token: Token) -> Element:
        # Digits beyond any float are refused before int(), which has a limit and an error of its own.
        number = float(token.text)
        if math.isinf(number):
            raise self._error(token, "this number is too large")
        digits = token.text.lstrip("+-")
        if not digits.isdigit():
            return Element(number, "number")
        whole = int(digits.lstrip("0") or "0")
        return number_element(-whole if token.text.startswith("-") else whole)


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
    """Terminal columns of one character, so that the caret is under the right one."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def tokens(expression: str) -> Iterator[Token]:
    """The tokens of an expression, the last of kind "end".

    Raises `FilterError` at the first character that starts no token.
    """
    position = 0
    stop = len(expression.rstrip())
    surrogate = _SURROGATE.search(expression)
    unsound = len(expression) if surrogate is None else surrogate.start()
    while position < stop:
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            raise _unreadable(expression, position)
        group = match.lastgroup
        text = match[group]
        start = match.start(group) - (group == "name")
        written = expression[start : match.end()]
        position = match.end()
        if position > unsound:
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
