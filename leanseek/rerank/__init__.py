"""The second stage: hits that a search found, put into a better order by a slower and better judge."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.rerank.base import ByScore, Judged, Reranked, Reranker, reorder
    from leanseek.rerank.cascade import Cascade
    from leanseek.rerank.deadline import Deadline, parse_budget
    from leanseek.rerank.incontext import InContextReranker
    from leanseek.rerank.interpolated import Interpolated
    from leanseek.rerank.lateinteraction import LateInteractionReranker
    from leanseek.rerank.registry import RERANKERS, load_reranker

_HOMES = {
    "ByScore": "base",
    "Judged": "base",
    "Reranked": "base",
    "Reranker": "base",
    "reorder": "base",
    "Cascade": "cascade",
    "Deadline": "deadline",
    "parse_budget": "deadline",
    "InContextReranker": "incontext",
    "Interpolated": "interpolated",
    "LateInteractionReranker": "lateinteraction",
    "RERANKERS": "registry",
    "load_reranker": "registry",
}

__all__ = [
    "RERANKERS",
    "ByScore",
    "Cascade",
    "Deadline",
    "InContextReranker",
    "Interpolated",
    "Judged",
    "LateInteractionReranker",
    "Reranked",
    "Reranker",
    "load_reranker",
    "parse_budget",
    "reorder",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.rerank.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
