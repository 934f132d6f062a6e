"""A metadata field of all passages as one column, which counts its values at the speed of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leanseek.filters import Element
from leanseek.indexing.passage_store import PassageStore
from leanseek.types import BoolArray, Int64Array, Scalar


class Column(NamedTuple):
    """The distinct `values` of a field, in the order of `place_of`; the one at `numbers[i]` is had by `documents[i]`.

    A document has a value once, also where a list repeats it, or several of its passages have it.
    """

    values: list[Scalar]
    numbers: Int64Array
    documents: Int64Array


class ValueCounts(NamedTuple):
    """Distinct `values` in the order of `place_of`, and how many `documents` (v,) have each, perhaps none."""

    values: Sequence[Scalar]
    documents: Int64Array

    def found(self) -> ValueCounts:
        """Those that a document has."""
        places = np.flatnonzero(self.documents)
        return ValueCounts([self.values[place] for place in places.tolist()], self.documents[places])


def counted(column: Column, documents: BoolArray | None) -> ValueCounts:
    """How many of the documents that are True, by their numbers, have each value; None: of all."""
    numbers = column.numbers if documents is None else column.numbers[documents[column.documents]]
    return ValueCounts(column.values, np.bincount(numbers, minlength=len(column.values)))


def merged_counts(parts: Sequence[ValueCounts]) -> ValueCounts:
    """The counts of a field over parts of a collection that have no document in common."""
    totals: dict[tuple[bool, Scalar], int] = {}
    for part in parts:
        for value, count in zip(part.values, part.documents.tolist(), strict=True):
            key = isinstance(value, bool), value
            totals[key] = totals.get(key, 0) + count
    order = sorted(totals, key=lambda key: place_of(key[1]))
    return ValueCounts([value for _, value in order], np.array([totals[key] for key in order], np.int64))


def documents_of(admitted: BoolArray | None, documents: Int64Array | None) -> BoolArray | None:
    """True for the documents of which a passage is admitted, by their numbers; None: all, or there are no numbers.

    `admitted` (n,) is None for all passages, `documents` (n,) where each passage is a document.
    """
    if admitted is None or documents is None:
        return admitted
    found = np.zeros(int(documents.max(initial=-1)) + 1, np.bool_)
    found[documents[admitted]] = True
    return found


def read_column(
    stores: Sequence[PassageStore], bases: Int64Array, documents: Int64Array | None, field: str
) -> Column:
    """The column of a field, or of id or title, over segments whose global ordinals begin at `bases`.

    `documents` (n,) is the number of each passage's document, None where every passage is one.
    """
    known: dict[tuple[bool, Scalar], int] = {}
    numbers, ordinals = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for base, store in zip(bases.tolist(), stores, strict=False):
        elements, mine, here = store.values(field)
        # True and 1 are equal in Python.
        values = ((isinstance(value, bool), value) for value in map(scalar, elements))
        places = np.array([known.setdefault(value, len(known)) for value in values], np.int64)
        numbers.append(places[mine])
        ordinals.append(here + base)
    order = sorted(range(len(known)), key=[place_of(value) for _, value in known].__getitem__)
    place = np.empty(len(known), np.int64)
    place[order] = np.arange(len(known))
    width = max(len(known), 1)
    owners = np.concatenate(ordinals)
    if documents is not None:
        owners = documents[owners]
    once = np.unique(owners * width + place[np.concatenate(numbers)])
    distinct = [value for _, value in known]
    return Column([distinct[one] for one in order], once % width, once // width)


def scalar(element: Element) -> Scalar:
    """An element as metadata have it; a number without a fraction as a whole one."""
    if element.text is not None:
        return element.text
    if element.kind == "bool":
        return bool(element.value)
    value = element.value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def place_of(value: Scalar) -> tuple[int, Scalar]:
    """What orders values of any kind: booleans, numbers, strings."""
    return (2 if isinstance(value, str) else 0 if isinstance(value, bool) else 1), value
