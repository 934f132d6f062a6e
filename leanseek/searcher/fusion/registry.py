"""Fusing the lists of a query into one."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from leanseek.errors import IndexFormatError, UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher.fusion.methods import (
    SCALES,
    AgreementFusion,
    ConvexFusion,
    DistributionFusion,
    Fusion,
    MinMaxFusion,
    MixedFusion,
    ReciprocalRankFusion,
    Scale,
    Side,
    ZScoreFusion,
    ranks,
)

__all__ = [
    "FUSIONS",
    "SCALES",
    "AgreementFusion",
    "ConvexFusion",
    "DistributionFusion",
    "Fusion",
    "MinMaxFusion",
    "MixedFusion",
    "ReciprocalRankFusion",
    "Scale",
    "Side",
    "ZScoreFusion",
    "load_fusion",
    "ranks",
]

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "convex": ConvexFusion,
    "agreement": AgreementFusion,
    "minmax": MinMaxFusion,
    "zscore": ZScoreFusion,
    "dbsf": DistributionFusion,
    "rrf": ReciprocalRankFusion,
}


def load_fusion(spec: str, dense_weight: float | None = None, learned_weight: float | None = None) -> Fusion:
    """The fusion named `convex`, `agreement`, `minmax`, `zscore`, `dbsf`, `rrf`, `rrf(k=N)` with N other than
    60, or by the scales of the sparse and the dense side, such as `theoretical+zscore` (see `MixedFusion`).

    `dense_weight` in [0, 1] is the dense side's share, the sparse side has the rest; None is the method's own
    default (0.8 for `convex` and `agreement`, else 0.5). `learned_weight` in [0, 1] is the share of the
    learned side, where an index has one, at most what the dense side leaves; at 0 it is not asked.

    Raises `UsageError` for an unknown name, a k below 1, or a weight outside [0, 1].
    """
    options: dict[str, float] = {}
    if dense_weight is not None:
        if not 0.0 <= dense_weight <= 1.0:
            raise UsageError(
                f"The dense weight is {dense_weight}; it must lie from 0 (sparse alone) to 1 (dense alone)."
            )
        options["dense_weight"] = float(dense_weight)
    if learned_weight is not None:
        if not 0.0 <= learned_weight <= 1.0:
            raise UsageError(
                f"The learned weight is {learned_weight}; it must lie from 0 (not asked) to 1 (the learned side alone)."
            )
        if dense_weight is not None and dense_weight + learned_weight > 1.0:
            raise UsageError(
                f"The dense weight is {dense_weight} and the learned weight {learned_weight}; together they may be 1 "
                "at most, and the sparse side has the rest."
            )
        options["learned_weight"] = float(learned_weight)
    wanted = spec.strip().lower()
    for sparse, dense in product(SCALES, SCALES):
        if wanted == f"{sparse}+{dense}":
            return MixedFusion(**options, sparse_scale=sparse, dense_scale=dense)
    match = re.fullmatch(r"(\w+)(?:\(k=(\d{1,9})\))?", wanted)
    name, k = match.groups() if match else ("", None)
    if name not in FUSIONS or (k is not None and (name != "rrf" or int(k) < 1)):
        raise UsageError(
            f"Unknown fusion {spec!r}. Allowed: {', '.join(FUSIONS)}, rrf(k=N) with N of at least 1, and the scales of "
            f"both sides, such as theoretical+zscore, each one of {', '.join(SCALES)}."
        )
    if k is not None:
        options["k"] = int(k)
    return FUSIONS[name](**options)


DEFAULT = "convex"
THREE_SIDED_DEFAULT = "agreement"


def default_fusion(settings: IndexSettings) -> str:
    """The name of the fusion that an index has by default."""
    return DEFAULT if settings.learned is None else THREE_SIDED_DEFAULT


def own_fusion(settings: IndexSettings) -> Fusion:
    """What the index has learned, else the default. Raises IndexFormatError for a fusion of a newer leanseek."""
    learned = settings.fusion
    if learned is None:
        return load_fusion(default_fusion(settings))
    try:
        weight = learned.learned_weight if settings.learned is not None else None
        return load_fusion(learned.fusion, learned.dense_weight, weight)
    except UsageError as error:
        raise IndexFormatError(
            f"the index fuses by {learned.fusion!r} with the weight {learned.dense_weight}, which this leanseek does "
            "not know. Upgrade it with: pip install --upgrade leanseek; or search with --fusion convex"
        ) from error
