"""Relevance models measured: probabilities against what judges said."""

from __future__ import annotations

from leanseek.eval.relevance.evaluating import RelevanceResult, evaluate_relevance

__all__ = ["RelevanceResult", "evaluate_relevance"]
