"""Filters: what they are made of, and how conditions on single fields (`leaves`) are joined."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import UnionType
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from leanseek.filters.conditions import Condition
from leanseek.filters.moments import moment_text, stored_moment
from leanseek.types import BoolArray, Int64Array, MetadataValue, Scalar

Kind: TypeAlias = Literal["number", "string", "bool", "moment"]

BUILT_IN = ("id", "title")
"""The fields that every document has. They are strings, also where they look like a date."""
KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "contains", "true", "false"})
NAME = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*")

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_INT64 = 2**63


class Element(NamedTuple):
    """One comparable value.

    A number is an int or a float that is not NaN, a bool is 0 or 1, a moment is as `stored_moment` writes it.
    """

    value: str | int | float
    kind: Kind

    @property
    def stored(self) -> str | int | float:
        """What a row of the metadata table holds in `value`; in SQLite it has the order of the values.

        SQLite has no integers of more than 64 bits, but text sorts after all numbers: a number from 2**63 on is
        stored as its digits, which follow their count.
        """
        if isinstance(self.value, str) or self.value < _INT64:
            return self.value
        if self.value == math.inf:
            return "inf"
        digits = str(int(self.value))
        return f"{len(digits):04}{digits}"

    @classmethod
    def from_stored(cls, value: str | int | float, kind: Kind) -> Element:
        """The element of which a row holds this; ValueError where no element is stored so."""
        if kind == "number" and isinstance(value, str):
            return cls(math.inf if value == "inf" else int(value[4:]), kind)
        return cls(value, kind)

    @property
    def text(self) -> str | None:
        """The string that a string or a moment was made from; None for other kinds."""
        if self.kind == "moment":
            return moment_text(str(self.value))
        return self.value if isinstance(self.value, str) else None


def number_element(number: int | float) -> Element:
    """The comparable form of a number other than NaN.

    An int below -2**63 becomes the nearest float (-inf below -1.8e308).
    """
    if isinstance(number, int) and number < -_INT64:
        try:
            number = float(number)
        except OverflowError:
            number = -math.inf
    return Element(number, "number")


def _element(value: Scalar) -> Element | None:
    """The comparable form of one scalar, None for NaN: it equals nothing, and so counts as missing."""
    if isinstance(value, str):
        moment = stored_moment(value)
        return Element(value, "string") if moment is None else Element(moment, "moment")
    if isinstance(value, bool):
        return Element(int(value), "bool")
    return None if value != value else number_element(value)


def elements(value: MetadataValue) -> tuple[Element, ...]:
    """The comparable elements of a field: none for None, NaN or an empty list.

    A store writes one row per element, with `stored` and `kind`, so that a filter evaluated in SQLite agrees with
    `Filter.matches`.
    """
    scalars = value if isinstance(value, list) else () if value is None else (value,)
    found = (_element(scalar) for scalar in scalars if scalar is not None)
    return tuple(item for item in found if item is not None)


def field_elements(field: str, value: MetadataValue) -> tuple[Element, ...]:
    """`elements`, which for a built-in field are its string."""
    if field in BUILT_IN and isinstance(value, str):
        return (Element(value, "string"),)
    return elements(value)


class ColumnSource(Protocol):
    """One segment's metadata as a table of (field, value, kind, ordinal), one row an element.

    `value` and `kind` are those of `leanseek.filters.elements`, `value` as `stored`; the column has no declared
    type. The built-in fields `id` and `title` have one row for every passage, of kind 'string'.

    `form` is 1, or 0 for rows that have moments as strings and numbers from 2**63 on as floats. The table is to have
    the SQL functions `stored_moment`, for rows of form 0, and `word_count`.
    """

    form: int

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

    @abstractmethod
    def leaves(self) -> Iterator[Leaf | IsNull]:
        """The conditions on single fields that it is made of."""


class Leaf(Filter):
    """A condition on the elements of one field."""

    __slots__ = ()
    field: str

    @abstractmethod
    def holds(self, item: Element) -> bool:
        """Whether one element satisfies the condition."""

    @abstractmethod
    def sql(self, form: int) -> list[Condition]:
        """The same condition for SQLite, as one or more of which one holds: each steps through the index alone.

        `form` is that of the rows, see `ColumnSource`.
        """

    @abstractmethod
    def kinds(self) -> frozenset[Kind]:
        """The kinds of elements that can be equal to, or ordered with, the values of the condition."""

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return any(self.holds(item) for item in field_elements(self.field, fields.get(self.field)))

    def leaves(self) -> Iterator[Leaf | IsNull]:
        yield self

    def mask(self, columns: ColumnSource, size: int) -> BoolArray:
        passed = np.zeros(size, dtype=np.bool_)
        for where, parameters in self.sql(1 if self.field in BUILT_IN else columns.form):
            passed[columns.select(self.field, where, parameters)] = True
        return passed


@dataclass(frozen=True, slots=True)
class IsNull(Filter):
    """`field is null`: the field is missing, None, NaN or a list without elements; `negated`: it is not."""

    field: str
    negated: bool = False

    def matches(self, fields: Mapping[str, MetadataValue]) -> bool:
        return bool(elements(fields.get(self.field))) == self.negated

    def leaves(self) -> Iterator[Leaf | IsNull]:
        yield self

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

    def leaves(self) -> Iterator[Leaf | IsNull]:
        for operand in self.operands:
            yield from operand.leaves()

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

    def leaves(self) -> Iterator[Leaf | IsNull]:
        for operand in self.operands:
            yield from operand.leaves()

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

    def leaves(self) -> Iterator[Leaf | IsNull]:
        yield from self.operand.leaves()

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
    if value.text is not None:
        return f'"{value.text.translate(_ESCAPES)}"'
    if value.kind == "bool":
        return "true" if value.value else "false"
    return repr(value.value)
