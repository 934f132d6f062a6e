"""Fusing the sparse and the dense list of a query into one."""

from __future__ import annotations

import re
from collections.abc import Callable

from leanseek.errors import UsageError
from leanseek.searcher.fusion.base import Fusion, Side
from leanseek.searcher.fusion.distribution import DistributionFusion
from leanseek.searcher.fusion.rrf import ReciprocalRankFusion, ranks
from leanseek.searcher.fusion.scaled import ConvexFusion, MinMaxFusion, ZScoreFusion

__all__ = [
    "FUSIONS",
    "ConvexFusion",
    "DistributionFusion",
    "Fusion",
    "MinMaxFusion",
    "ReciprocalRankFusion",
    "Side",
    "ZScoreFusion",
    "load_fusion",
    "ranks",
]

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "convex": ConvexFusion,
    "minmax": MinMaxFusion,
    "zscore": ZScoreFusion,
    "dbsf": DistributionFusion,
    "rrf": ReciprocalRankFusion,
}


def load_fusion(spec: str, dense_weight: float | None = None) -> Fusion:
    """The fusion named `convex`, `minmax`, `zscore`, `dbsf`, `rrf`, or `rrf(k=N)` with N other than 60.

    `dense_weight` in [0, 1] is the dense side's share, the sparse side has the rest; None is the method's own
    default (0.8 for `convex`, else 0.5).

    Raises `UsageError` for an unknown name, a k below 1, or a weight outside [0, 1].
    """
    match = re.fullmatch(r"(\w+)(?:\(k=(\d{1,9})\))?", spec.strip().lower())
    name, k = match.groups() if match else ("", None)
    if name not in FUSIONS or (k is not None and (name != "rrf" or int(k) < 1)):
        raise UsageError(
            f"Unknown fusion {spec!r}. Allowed: {', '.join(FUSIONS)}, and rrf(k=N) with N of at least 1."
        )
    options: dict[str, float] = {}
    if dense_weight is not None:
        if not 0.0 <= dense_weight <= 1.0:
            raise UsageError(
                f"The dense weight is {dense_weight}; it must lie from 0 (sparse alone) to 1 (dense alone)."
            )
        options["dense_weight"] = float(dense_weight)
    if k is not None:
        options["k"] = int(k)
    return FUSIONS[name](**options)
