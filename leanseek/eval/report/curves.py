"""Recall and precision over k, and precision over recall."""

from __future__ import annotations

from leanseek.eval.base import Qrels, Rankings
from leanseek.eval.measures import score
from leanseek.eval.report.study import Curves

DEPTHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
LEVELS = tuple(step / 10 for step in range(11))


def curves(rankings: Rankings, qrels: Qrels, k: int) -> Curves:
    """The curves of one run whose rankings reach down to k; averaged over all judged queries."""
    depths = tuple(depth for depth in DEPTHS if depth <= k) or (1,)
    recall = [f"R@{depth}" for depth in depths]
    precision = [f"P@{depth}" for depth in depths]
    interpolated = [f"IPrec@{level:.1f}" for level in LEVELS]
    means = score(rankings, qrels, [*recall, *precision, *interpolated]).means
    return Curves(
        depths=depths,
        recall=tuple(means[name] for name in recall),
        precision=tuple(means[name] for name in precision),
        levels=LEVELS,
        interpolated=tuple(means[name] for name in interpolated),
    )
