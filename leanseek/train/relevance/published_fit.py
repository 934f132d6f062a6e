"""Fitting the published cosine adapter: a network on the query's vector that shapes a monotone map of the cosine.

Rossi and others: "Relevance Filtering for Embedding-based Retrieval", CIKM 2024, arXiv:2408.04887. The paper's network
and loss are not published in full; what is chosen here is said below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.searcher.relevance.network import LEAST_POWER, MapName, QueryMap
from leanseek.train.relevance.material import Sample
from leanseek.train.relevance.network_fit import CHECK, one_thread
from leanseek.types import Float32Array, Float64Array, Progress

if TYPE_CHECKING:
    import torch

HIDDEN: Final = 64
STEPS: Final = 1000
RATE: Final = 3e-3
DECAY: Final = 1e-2
BATCH: Final = 40
ROUNDS: Final = 100
START_SLOPE: Final = 10.0
START_OFFSET: Final = -10.0


def fit_map(
    sources: Sequence[Sequence[Sample]],
    held_out: Sequence[Sequence[Sample]],
    kind: MapName,
    seed: int,
    progress: Progress | None = None,
) -> QueryMap:
    """The map with the least weighted cross-entropy on the held-out lists of all collections, met on the way.

    It starts as the logistic curve that fits all collections best, the same for every query, and so is never worse
    than that on the held-out lists.
    """
    import torch

    with one_thread():
        batches, watched = [tensors(part) for part in sources], [tensors(part) for part in held_out]
        slope, offset = logistic_fit([tensors(part) for part in sources], kind)
        weights = initial(batches[0].queries.shape[1], slope, offset, seed)
        optimizer = torch.optim.AdamW(list(weights.values()), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        rng = np.random.default_rng([seed, 2])
        best, least = copied(weights), loss_on(weights, watched, kind)
        for step in range(1, STEPS + 1):
            loss = torch.zeros(())
            for part in batches:
                rows = torch.from_numpy(rng.integers(0, len(part.queries), BATCH))
                loss = loss + entropy(weights, part.take(rows), kind) / len(batches)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % CHECK == 0:
                now = loss_on(weights, watched, kind)
                if now < least:
                    best, least = copied(weights), now
                if progress is not None:
                    progress("fitting the map", step, STEPS)
    arrays: dict[str, Float32Array] = {name: weight.numpy() for name, weight in best.items()}
    return QueryMap(kind, arrays["hidden"], arrays["hidden_bias"], arrays["output"], arrays["output_bias"])


class Tensors:
    """Samples as tensors: `cosines`, `labels`, `weights` (n, c) and `queries` (n, D)."""

    def __init__(
        self, cosines: torch.Tensor, queries: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> None:
        self.cosines, self.queries, self.labels, self.weights = cosines, queries, labels, weights

    def take(self, rows: torch.Tensor) -> Tensors:
        """The same for some of the lists."""
        return Tensors(self.cosines[rows], self.queries[rows], self.labels[rows], self.weights[rows])


def tensors(samples: Sequence[Sample]) -> Tensors:
    """Samples as tensors."""
    import torch

    def stacked(rows: Sequence[Float32Array]) -> torch.Tensor:
        return torch.from_numpy(np.array(rows, np.float32))

    return Tensors(
        stacked([one.evidence.dense.cosines for one in samples]),
        stacked([one.evidence.dense.query for one in samples]),
        stacked([one.labels for one in samples]),
        stacked([one.weights for one in samples]),
    )


def mapped(cosines: torch.Tensor, power: torch.Tensor, kind: MapName) -> torch.Tensor:
    """The map's form of cosines (n, c); `power` (n, 1) as `QueryMap` names it."""
    import torch

    # The slope of a root at 0 has no bound.
    base = cosines.clamp(min=1e-4)
    if kind == "linear":
        return base
    if kind == "sqrt":
        return base.sqrt()
    if kind == "quadratic":
        return base**2
    return base ** (LEAST_POWER + torch.nn.functional.softplus(power))


def entropy(weights: dict[str, torch.Tensor], part: Tensors, kind: MapName) -> torch.Tensor:
    """Weighted cross-entropy summed over a list, averaged over lists."""
    import torch
    from torch.nn import functional

    inner = torch.relu(part.queries @ weights["hidden"] + weights["hidden_bias"])
    slope, offset, power = (inner @ weights["output"] + weights["output_bias"]).split(1, dim=1)
    logits = functional.softplus(slope) * mapped(part.cosines, power, kind) + offset
    losses = functional.binary_cross_entropy_with_logits(
        logits, part.labels, weight=part.weights, reduction="sum"
    )
    return losses / len(part.queries)


def loss_on(weights: dict[str, torch.Tensor], parts: Sequence[Tensors], kind: MapName) -> float:
    """The mean of the parts' cross-entropies."""
    import torch

    with torch.no_grad():
        return float(np.mean([float(entropy(weights, part, kind)) for part in parts]))


def copied(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights as they are now."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


def logistic_fit(parts: Sequence[Tensors], kind: MapName) -> tuple[float, float]:
    """(slope, offset) of the one logistic curve over the map's form of the cosine; a power starts as 1."""
    import torch

    slope = torch.tensor(START_SLOPE, requires_grad=True)
    offset = torch.tensor(START_OFFSET, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=ROUNDS, line_search_fn="strong_wolfe")
    power = torch.full((1, 1), start_power())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.zeros(())
        for part in parts:
            logits = slope * mapped(part.cosines, power, kind) + offset
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, part.labels, weight=part.weights, reduction="sum"
            )
            loss = loss + losses / len(part.queries) / len(parts)
        loss.backward()
        return loss

    optimizer.step(closure)
    return max(float(slope.detach()), 1e-3), float(offset.detach())


def start_power() -> float:
    """What softplus turns into the power 1."""
    return float(np.log(np.expm1(1.0 - LEAST_POWER)))


def initial(dimensions: int, slope: float, offset: float, seed: int) -> dict[str, torch.Tensor]:
    """Weights of a network that gives every query the same curve."""
    import torch

    rng = np.random.default_rng([seed, 3])
    first = np.log(np.expm1(slope)) if slope < 30 else slope
    arrays: dict[str, Float64Array] = {
        "hidden": rng.normal(0.0, np.sqrt(2.0 / dimensions), (dimensions, HIDDEN)),
        "hidden_bias": np.zeros(HIDDEN),
        "output": np.zeros((HIDDEN, 3)),
        "output_bias": np.array([first, offset, start_power()]),
    }
    return {
        name: torch.from_numpy(array.astype(np.float32)).requires_grad_() for name, array in arrays.items()
    }
