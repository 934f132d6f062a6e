"""Facets: how many of the documents that a search admits have each value of a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.errors import UsageError
from leanseek.filters import check_known
from leanseek.indexing.metadata_column import ValueCounts
from leanseek.searcher.request import Request
from leanseek.types import Facet, ValueCount

MOST_VALUES: Final = 100
"""Values of a field that are returned."""


def count_facets(request: Request, fields: Sequence[str]) -> dict[str, Facet]:
    """The facets of these fields, by field, for the only query of a request.

    All documents count that its filter and its operators admit, whether or not the search returns them: each once for
    every value that it has. Equal ones are those that the filter `field = value` takes for equal.

    Raises UsageError for what is no list of names, InputError for a field that no document has.
    """
    snapshot, named = request.snapshot, list(dict.fromkeys(checked_fields(fields)))
    sources = snapshot.field_sources(named)
    for field in named if sources else ():  # an empty index knows no field
        check_known(field, sources, "A facet")
    counts = snapshot.value_counts(named, request.alone(0).allowed)
    return dict(zip(named, map(facet, counts), strict=True))


def checked_fields(fields: Sequence[str]) -> list[str]:
    """The fields themselves. Raises UsageError for what is no list of names."""
    if isinstance(fields, str) or not all(isinstance(one, str) for one in fields):
        raise UsageError(f"facets is {fields!r}; give a list of fields, such as ['year', 'lang']")
    return list(fields)


def facet(counts: ValueCounts) -> Facet:
    """The most frequent of the values, and how many there are."""
    distinct = int(np.count_nonzero(counts.documents))
    # Stable: values that are equally frequent stay in their order.
    best = np.argsort(-counts.documents, kind="stable")[: min(distinct, MOST_VALUES)].tolist()
    return Facet(tuple(ValueCount(counts.values[one], int(counts.documents[one])) for one in best), distinct)
