"""Conditions on metadata, which give the same in Python and in SQLite."""

from __future__ import annotations

import math
import operator
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import UnionType
from typing import Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np

from leanseek.types import BoolArray, Int64Array, MetadataValue, Scalar

Kind: TypeAlias = Literal["number", "string", "bool"]
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Parameters: TypeAlias = list[str | int | float]

KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "contains", "true", "false"})
NAME = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*")

_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
# Exactly the letters that SQLite's lower() changes.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_INT64 = range(-(2**63), 2**63)


class Element(NamedTuple):
    """One comparable value: what a row of the metadata table holds in `value` and `kind`.

    A number is an int of at most 64 bits or a float that is not NaN, a bool is 0 or 1.
    """

    value: str | int | float
    kind: Kind


def number_element(number: int | float) -> Element:
    """The comparable form of a number other than NaN.

    An int beyond 64 bits becomes the nearest float (an infinity beyond 1.8e308), as SQLite has no larger.
    """
    if isinstance(number, int) and number not in _INT64:
        try:
            number = float(number)
        except OverflowError:
            number = math.inf if number > 0 else -math.inf
    return Element(number, "number")


def _element(value: Scalar) -> Element | None:
    """The comparable form of one scalar, None for NaN: it equals nothing, and so counts as missing."""
    if isinstance(value, str):
        return Element(value, "string")
    if isinstance(value, bool):
        return Element(int(value), "bool")
    return None if value != value else number_element(value)


def elements(value: MetadataValue) -> tuple[Element, ...]:
    """The comparable elements of a field: none for None, NaN or an empty list.

    A store writes one row per element, with these values and kinds, so that a filter evaluated in SQLite
    agrees with `Filter.matches`.
    """
    scalars = value if isinstance(value, list) else () if value is None else (value,)
    found = (_element(scalar) for scalar in scalars if scalar is not None)
    return tuple(item for item in found if item is not None)


class ColumnSource(Protocol):
    """One segment's metadata as a table of (field, value, kind, ordinal), one row an element.

    `value` and `kind` are those of `leanseek.filters.elements`; the column `value` has no declared
    type. The built-in fields `id` and `title` have one row for every passage, of kind 'string'.
    """

    def select(self, field: str, where: str, parameters: Sequence[str | int | float]) -> Int64Array:
        """(r,) int64: the ordinals of the field's rows that satisfy `where`, in any order, perhaps repeated.

        `where` is an SQL condition over the columns `value` and `kind`; `parameters` are bound to its `?`.
        """
        ...


class Filter(ABC):
    """A condition on a document's id, title and metadata. `str()` gives an expression that parses to it."""

    __slots__ = ()

    @abstractmethod
    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        """Whether a document with these fields (its metadata, and its `id` and `title`) passes."""

    @abstractmethod
    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        """(size,) bool: True at the ordinals of a segment whose documents pass; equals `matches` on each."""


class _Leaf(Filter):
    """A condition on the elements of one field."""

    __slots__ = ()
    field: str

    @abstractmethod
    def holds(self, item: Element) -> bool:
        """Whether one element satisfies the condition."""

    @abstractmethod
    def sql(self) -> tuple[str, Parameters]:
        """The same condition for SQLite, with the values for its `?`."""

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return any(self.holds(item) for item in elements(fields.get(self.field)))

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        passed = np.zeros(size, dtype=np.bool_)
        passed[columns.select(self.field, *self.sql())] = True
        return passed


@dataclass(frozen=True, slots=True)
class Comparison(_Leaf):
    """`field OP value`. Values of different kinds are unequal and have no order between them."""

    field: str
    operator: Operator
    value: Element

    def holds(self, item: Element) -> bool:
        if self.operator == "=":
            return item == self.value
        if self.operator == "!=":
            return item != self.value
        return item.kind == self.value.kind and bool(_ORDER[self.operator](item.value, self.value.value))

    def sql(self) -> tuple[str, Parameters]:
        parameters: Parameters = [self.value.kind, self.value.value]
        if self.operator == "!=":
            return "NOT (kind = ? AND value = ?)", parameters
        return f"kind = ? AND value {self.operator} ?", parameters

    def __str__(self) -> str:
        return f"{quote_name(self.field)} {self.operator} {quote(self.value)}"


@dataclass(frozen=True, slots=True)
class Membership(_Leaf):
    """`field in (…)`: an element equal to one of the values; `negated`: an element equal to none of them."""

    field: str
    values: tuple[Element, ...]
    negated: bool = False

    def holds(self, item: Element) -> bool:
        return (item in self.values) != self.negated

    def sql(self) -> tuple[str, Parameters]:
        conditions: list[str] = []
        parameters: Parameters = []
        for kind in get_args(Kind):
            if same := [item.value for item in self.values if item.kind == kind]:
                conditions.append(f"(kind = ? AND value IN ({', '.join('?' * len(same))}))")
                parameters += [kind, *same]
        found = " OR ".join(conditions)
        return (f"NOT ({found})" if self.negated else found), parameters

    def __str__(self) -> str:
        values = ", ".join(map(quote, self.values))
        return f"{quote_name(self.field)} {'not in' if self.negated else 'in'} ({values})"


@dataclass(frozen=True, slots=True)
class Contains(_Leaf):
    """`field contains "text"`: a string with that piece; A-Z equal a-z, other letters only themselves."""

    field: str
    text: str

    def holds(self, item: Element) -> bool:
        return isinstance(item.value, str) and self.text.translate(_LOWER) in item.value.translate(_LOWER)

    def sql(self) -> tuple[str, Parameters]:
        return "kind = 'string' AND instr(lower(value), lower(?)) > 0", [self.text]

    def __str__(self) -> str:
        return f"{quote_name(self.field)} contains {quote(Element(self.text, 'string'))}"


@dataclass(frozen=True, slots=True)
class IsNull(Filter):
    """`field is null`: the field is missing, None, NaN or a list without elements; `negated`: it is not."""

    field: str
    negated: bool = False

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return bool(elements(fields.get(self.field))) == self.negated

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        passed = np.full(size, not self.negated, dtype=np.bool_)
        passed[columns.select(self.field, "1", ())] = self.negated
        return passed

    def __str__(self) -> str:
        return f"{quote_name(self.field)} is {'not null' if self.negated else 'null'}"


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All of two or more conditions."""

    operands: tuple[Filter, ...]

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return all(operand.matches(fields) for operand in self.operands)

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        return reduce(np.logical_and, (operand.mask(columns, size) for operand in self.operands))

    def __str__(self) -> str:
        return " and ".join(_bracketed(operand, And | Or) for operand in self.operands)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """Any of two or more conditions."""

    operands: tuple[Filter, ...]

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return any(operand.matches(fields) for operand in self.operands)

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        return reduce(np.logical_or, (operand.mask(columns, size) for operand in self.operands))

    def __str__(self) -> str:
        return " or ".join(_bracketed(operand, Or) for operand in self.operands)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The documents that a condition leaves out, those without its field among them."""

    operand: Filter

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return not self.operand.matches(fields)

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        return ~self.operand.mask(columns, size)

    def __str__(self) -> str:
        return f"not {_bracketed(self.operand, And | Or)}"


def _bracketed(operand: Filter, looser: type[Filter] | UnionType) -> str:
    return f"({operand})" if isinstance(operand, looser) else str(operand)


def quote_name(field: str) -> str:
    """A field name as an expression writes it, in backquotes where it is not a plain name."""
    if NAME.fullmatch(field) and field.lower() not in KEYWORDS:
        return field
    return "`" + field.replace("`", "``") + "`"


def quote(value: Element) -> str:
    """A value as an expression writes it."""
    if isinstance(value.value, str):
        return f'"{value.value.translate(_ESCAPES)}"'
    if value.kind == "bool":
        return "true" if value.value else "false"
    return repr(value.value)
