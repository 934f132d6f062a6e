"""Facets: how many of the documents that a search admits have each value of a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.errors import UsageError
from leanseek.filters import check_known
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.request import Request
from leanseek.types import BoolArray, Facet, Int64Array, ValueCount

MOST_VALUES: Final = 100
"""Values of a field that are returned."""


def count_facets(request: Request, fields: Sequence[str]) -> dict[str, Facet]:
    """The facets of these fields, by field, for the only query of a request.

    All documents count that its filter and its operators admit, whether or not the search returns them: each once for
    every value that it has. Equal ones are those that the filter `field = value` takes for equal.

    Raises UsageError for what is no list of names, InputError for a field that no document has.
    """
    snapshot = request.snapshot
    if not isinstance(snapshot, Snapshot):
        raise UsageError("facets are counted in one index; leave them out for a cluster, or ask its shards")
    for field in checked_fields(fields):
        if snapshot.segments:  # an empty index knows no field
            check_known(field, [segment.passages for segment in snapshot.segments], "A facet")
    allowed = request.alone(0).allowed
    counted = documents_of(snapshot.live if allowed is None else allowed, snapshot.documents)
    return {field: facet(snapshot, field, counted) for field in dict.fromkeys(fields)}


def checked_fields(fields: Sequence[str]) -> list[str]:
    """The fields themselves. Raises UsageError for what is no list of names."""
    if isinstance(fields, str) or not all(isinstance(one, str) for one in fields):
        raise UsageError(f"facets is {fields!r}; give a list of fields, such as ['year', 'lang']")
    return list(fields)


def documents_of(admitted: BoolArray | None, documents: Int64Array | None) -> BoolArray | None:
    """True for the documents of which a passage is admitted, by their numbers; None: all, or there are no numbers.

    `admitted` (n,) is None for all passages, `documents` (n,) where each passage is a document.
    """
    if admitted is None or documents is None:
        return admitted
    found = np.zeros(int(documents.max(initial=-1)) + 1, np.bool_)
    found[documents[admitted]] = True
    return found


def facet(snapshot: Snapshot, field: str, counted: BoolArray | None) -> Facet:
    """The values of a field among the documents that are `counted`, by their numbers, None for all."""
    values, numbers, documents = snapshot.column(field)
    counts = np.bincount(numbers if counted is None else numbers[counted[documents]], minlength=len(values))
    distinct = int(np.count_nonzero(counts))
    # Stable: values that are equally frequent stay in their order.
    best = np.argsort(-counts, kind="stable")[: min(distinct, MOST_VALUES)].tolist()
    return Facet(tuple(ValueCount(values[one], int(counts[one])) for one in best), distinct)
