"""Re-ranking in context: a decoder reads the documents, then the query, and its attention tells what it looked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.rerank.incontext.explaining import AttentionExplanation, DocumentAttention, TokenAttention
    from leanseek.rerank.incontext.heads import Head, HeadList, published, published_for, read_heads
    from leanseek.rerank.incontext.named import load
    from leanseek.rerank.incontext.reranker import InContextReranker

_HOMES = {
    "AttentionExplanation": "explaining",
    "DocumentAttention": "explaining",
    "Head": "heads",
    "HeadList": "heads",
    "InContextReranker": "reranker",
    "TokenAttention": "explaining",
    "load": "named",
    "published": "heads",
    "published_for": "heads",
    "read_heads": "heads",
}

__all__ = [
    "AttentionExplanation",
    "DocumentAttention",
    "Head",
    "HeadList",
    "InContextReranker",
    "TokenAttention",
    "load",
    "published",
    "published_for",
    "read_heads",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.rerank.incontext.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
