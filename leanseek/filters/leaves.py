"""Conditions on single fields, which give the same in Python and in SQLite."""

from __future__ import annotations

import math
import operator
import string
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeAlias, get_args

from leanseek.filters.conditions import (
    Condition,
    Operator,
    moment_order,
    moments_among,
    moments_ordered,
    moments_within,
    none_of,
    places,
    strings_ordered,
)
from leanseek.filters.moments import span
from leanseek.filters.nodes import Element, Kind, Leaf, number_element, quote, quote_name

TextOperator: TypeAlias = Literal["contains", "starts with", "ends with"]

WORDS: Final = "words"
"""The number that `WordCount` compares."""
_ORDER: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
# Exactly the letters that SQLite's lower() changes.
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TEXTS: Final[frozenset[Kind]] = frozenset({"string", "moment"})
_IS_TEXT: Final = "kind IN ('string', 'moment')"
_TEXT: Final = "CASE kind WHEN 'moment' THEN substr(value, instr(value, ' ') + 1) ELSE value END"
"""The text of a row's string or moment."""


@dataclass(frozen=True, slots=True)
class Comparison(Leaf):
    """`field OP value`. Values of different kinds are unequal and have no order between them.

    A string that is an ISO date or time (see `span`) compares with moments as what it means, with strings as text.
    """

    field: str
    operator: Operator
    value: Element

    def holds(self, item: Element) -> bool:
        if self.operator == "=":
            return _equal(item, self.value)
        if self.operator == "!=":
            return not _equal(item, self.value)
        bounds = _span(self.value)
        if item.kind == "moment" and bounds is not None:
            order, bound = moment_order(self.operator, bounds)
            return bool(_ORDER[order](item.value, bound))
        return item.kind == self.value.kind and bool(_ORDER[self.operator](item.value, self.value.value))

    def sql(self, form: int) -> list[Condition]:
        operator = "=" if self.operator == "!=" else self.operator
        where, parameters = f"kind = ? AND value {operator} ?", [self.value.kind, self.value.stored]
        if self.value.kind == "number" and isinstance(self.value.stored, str):
            # Segments of form 0 hold such numbers as floats.
            where = f"kind = ? AND CASE typeof(value) WHEN 'text' THEN value {operator} ? ELSE value {operator} ? END"
            parameters.append(_float(self.value.value))
        found: list[Condition] = [(where, parameters)]
        if _span(self.value) is not None:
            text = str(self.value.value)
            found = (
                moments_ordered(text, operator, form)
                if operator != "="
                else [*found, moments_within(text, form)]
            )
        elif isinstance(self.value.value, str) and operator != "=":
            found = [strings_ordered(self.value.value, operator, form)]
        return [none_of(found)] if self.operator == "!=" else found

    def kinds(self) -> frozenset[Kind]:
        return _comparable(self.value)

    def __str__(self) -> str:
        return f"{quote_name(self.field)} {self.operator} {quote(self.value)}"


@dataclass(frozen=True, slots=True)
class Membership(Leaf):
    """`field in (…)`: an element equal to one of the values; `negated`: an element equal to none of them."""

    field: str
    values: tuple[Element, ...]
    negated: bool = False

    def holds(self, item: Element) -> bool:
        return any(_equal(item, value) for value in self.values) != self.negated

    def sql(self, form: int) -> list[Condition]:
        found: list[Condition] = []
        for kind in get_args(Kind):
            if same := [item.stored for item in self.values if item.kind == kind]:
                found.append((f"kind = ? AND value IN ({places(same)})", [kind, *same]))
        texts = dict.fromkeys(str(value.value) for value in self.values if _span(value) is not None)
        found += moments_among(list(texts), form)
        return [none_of(found)] if self.negated else found

    def kinds(self) -> frozenset[Kind]:
        return frozenset().union(*map(_comparable, self.values))

    def __str__(self) -> str:
        values = ", ".join(map(quote, self.values))
        return f"{quote_name(self.field)} {'not in' if self.negated else 'in'} ({values})"


@dataclass(frozen=True, slots=True)
class Range(Leaf):
    """`field in first..last`: an element from the first to the last, both included; `negated`: one that is outside.

    As in comparisons a date means its whole day, a year its whole year.
    """

    field: str
    first: Element
    last: Element
    negated: bool = False

    def holds(self, item: Element) -> bool:
        return all(bound.holds(item) for bound in self._bounds()) != self.negated

    def sql(self, form: int) -> list[Condition]:
        least, most = (bound.sql(form) for bound in self._bounds())
        found = [
            (f"({above}) AND ({below})", [*from_, *to])
            for (above, from_), (below, to) in product(least, most)
        ]
        return [none_of(found)] if self.negated else found

    def kinds(self) -> frozenset[Kind]:
        return _comparable(self.first) & _comparable(self.last)

    def is_empty(self) -> bool:
        """Whether no element can be inside: the last comes before the first, or they have no order."""
        moments = _span(self.first), _span(self.last)
        if moments[0] is not None and moments[1] is not None:
            return moments[0][0] >= moments[1][1]
        return self.first.kind != self.last.kind or not _ORDER["<="](self.first.value, self.last.value)

    def _bounds(self) -> tuple[Comparison, Comparison]:
        return Comparison(self.field, ">=", self.first), Comparison(self.field, "<=", self.last)

    def __str__(self) -> str:
        values = f"{quote(self.first)}..{quote(self.last)}"
        return f"{quote_name(self.field)} {'not in' if self.negated else 'in'} {values}"


@dataclass(frozen=True, slots=True)
class Contains(Leaf):
    """`field contains "text"`: a string with that piece, or with it as its start or end; A-Z equal a-z, other letters
    only themselves."""

    field: str
    text: str
    operator: TextOperator = "contains"

    def holds(self, item: Element) -> bool:
        if item.text is None:
            return False
        piece, text = self.text.translate(_LOWER), item.text.translate(_LOWER)
        if self.operator == "contains":
            return piece in text
        return text.startswith(piece) if self.operator == "starts with" else text.endswith(piece)

    def sql(self, form: int) -> list[Condition]:
        if self.operator != "ends with":
            place = "> 0" if self.operator == "contains" else "= 1"
            return [(f"{_IS_TEXT} AND instr(lower({_TEXT}), lower(?)) {place}", [self.text])]
        # In bytes, because SQLite counts the characters of a text only up to a NUL; an empty end is that of all.
        end = f"substr(CAST(lower({_TEXT}) AS BLOB), -length(CAST(? AS BLOB)))"
        where = f"{_IS_TEXT} AND {end} = CAST(lower(?) AS BLOB)"
        return [(where, [self.text, self.text])] if self.text else [(_IS_TEXT, [])]

    def kinds(self) -> frozenset[Kind]:
        return _TEXTS

    def __str__(self) -> str:
        return f"{quote_name(self.field)} {self.operator} {quote(Element(self.text, 'string'))}"


@dataclass(frozen=True, slots=True)
class WordCount(Leaf):
    """`words(field) = 3`: a string with so many words (see `word_count`); `condition` is `words = 3`.

    Raises ValueError for any other condition than one on the number `words`.
    """

    field: str
    condition: Comparison | Membership | Range

    def __post_init__(self) -> None:
        if self.condition.field != WORDS or self.condition.kinds() != {"number"}:
            raise ValueError(f"{self.condition} is no condition on the number {WORDS}")

    def holds(self, item: Element) -> bool:
        return item.text is not None and self.condition.holds(number_element(word_count(item.text)))

    def sql(self, form: int) -> list[Condition]:
        counted = f"(SELECT 'number' AS kind, word_count({_TEXT}) AS value)"
        return [
            (f"{_IS_TEXT} AND EXISTS (SELECT 1 FROM {counted} WHERE {where})", parameters)
            for where, parameters in self.condition.sql(form)
        ]

    def kinds(self) -> frozenset[Kind]:
        return _TEXTS

    def __str__(self) -> str:
        return f"{WORDS}({quote_name(self.field)}){str(self.condition).removeprefix(WORDS)}"


def word_count(text: str) -> int:
    """The words of a text: its pieces between white space that have a letter or digit."""
    return sum(any(map(str.isalnum, piece)) for piece in text.split())


def _span(value: Element) -> tuple[str, str] | None:
    """The moments that a value of an expression means."""
    return span(value.value) if value.kind == "string" and isinstance(value.value, str) else None


def _equal(item: Element, value: Element) -> bool:
    if item.kind == "moment" and (bounds := _span(value)) is not None:
        return bounds[0] <= str(item.value) < bounds[1]
    return item == value


def _comparable(value: Element) -> frozenset[Kind]:
    return frozenset({value.kind} if _span(value) is None else {value.kind, "moment"})


def _float(value: str | int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
