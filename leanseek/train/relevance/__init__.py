"""Learning from judged queries how probable it is that a candidate is relevant."""

from __future__ import annotations

from leanseek.train.relevance.training import Form, train_relevance

__all__ = ["Form", "train_relevance"]
