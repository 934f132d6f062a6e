"""How probable it is that a candidate is relevant: probabilities that mean the same for every query."""

from __future__ import annotations

from leanseek.searcher.relevance.base import LIST_DEPTH, DenseEvidence, Evidence, SparseEvidence
from leanseek.searcher.relevance.model import RelevanceModel, load_relevance

__all__ = [
    "LIST_DEPTH",
    "DenseEvidence",
    "Evidence",
    "RelevanceModel",
    "SparseEvidence",
    "load_relevance",
]
