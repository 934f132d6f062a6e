"""From the arguments of a call to a request that can be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leanseek.errors import UsageError
from leanseek.filters import parse_filter
from leanseek.searcher.batching import Request
from leanseek.searcher.ranking import choose_mode
from leanseek.searcher.relevance.choosing import choose_threshold
from leanseek.searcher.relevance.serving import Judge
from leanseek.searcher.serving import Serving

DEPTH = 100
"""Candidates asked of each side, where k is smaller."""


def make_request(
    serving: Serving,
    queries: Sequence[str],
    k: int,
    filter: str | None,
    mode: str | None,
    depth: int | None,
    roll_up: bool = True,
) -> Request:
    """How the queries are to be answered; `roll_up` makes the passages of a document one result.

    Raises UsageError or FilterError.
    """
    if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
        raise UsageError("queries must be a list of strings; `search` takes a single one")
    if not isinstance(k, int) or k < 1:
        raise UsageError(f"k is {k!r}; it must be a whole number, at least 1")
    if depth is not None and depth < k:
        raise UsageError(f"depth is {depth}; it must be at least k, which is {k}")
    snapshot = serving.snapshot
    chosen = choose_mode(snapshot.state.settings, mode) if mode is not None else serving.mode
    if chosen != "sparse" and not snapshot.with_dense:
        raise UsageError(f"this searcher was opened with mode='sparse'; open another for mode='{chosen}'")
    return Request(
        mode=chosen,
        fusion=serving.fusion,
        k=k,
        depth=max(k, depth or DEPTH),
        allowed=snapshot.matching(parse_filter(filter)) if filter is not None else None,
        documents=snapshot.documents if roll_up else None,
    )


def with_judge(
    serving: Serving, request: Request, min_probability: float | None, relevant_only: bool
) -> Request:
    """The request with its hits judged, where there is a model and a dense side to judge by.

    Raises UsageError where a least probability is asked for and there is not, or it is none.
    """
    model = serving.relevance
    threshold = choose_threshold(model, request.mode, min_probability, relevant_only)
    if model is None or request.mode == "sparse":
        return request
    snapshot, mask = serving.snapshot, request.allowed
    mask = snapshot.live if mask is None else mask
    searched = snapshot.size if mask is None else int(np.count_nonzero(mask))
    return replace(request, judge=Judge(model, searched, threshold))
