"""The published cosine adapter: a network on the query's vector that shapes a monotone map of the cosine.

Rossi and others: "Relevance Filtering for Embedding-based Retrieval", CIKM 2024, arXiv:2408.04887. The paper's network
and loss are not published in full; the choices made here are described below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.searcher.relevance.query_map import LEAST_POWER, MapName, QueryMap
from leanseek.train.relevance.descent import (
    Tensors,
    Weights,
    cross_entropy,
    descend,
    mean_loss,
    one_thread,
    parameters,
)
from leanseek.train.relevance.material import Sample
from leanseek.types import Float32Array, Progress

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
        slope, offset = logistic_fit(batches, kind)
        weights = initial(batches[0].lists.shape[1], slope, offset, seed)
        optimizer = torch.optim.AdamW(list(weights.values()), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        rng = np.random.default_rng([seed, 2])

        def loss() -> torch.Tensor:
            total = torch.zeros(())
            for part in batches:
                rows = torch.from_numpy(rng.integers(0, len(part.lists), BATCH))
                total = total + entropy(weights, part.take(rows), kind) / len(batches)
            return total

        def held() -> float:
            return loss_on(weights, watched, kind)

        best = descend(weights, optimizer, schedule, STEPS, loss, held, held(), progress, "fitting the map")
    arrays: dict[str, Float32Array] = {name: weight.numpy() for name, weight in best.items()}
    return QueryMap(kind, arrays["hidden"], arrays["hidden_bias"], arrays["output"], arrays["output_bias"])


def tensors(samples: Sequence[Sample]) -> Tensors:
    """The samples with cosines as `candidates` and queries' vectors as `lists`."""
    import torch

    def stacked(rows: Sequence[Float32Array]) -> torch.Tensor:
        return torch.from_numpy(np.array(rows, np.float32))

    return Tensors(
        stacked([one.evidence.dense.cosines for one in samples]),
        stacked([one.evidence.dense.query for one in samples]),
        stacked([one.labels for one in samples]),
        stacked([one.weights for one in samples]),
    )


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
            logits = slope * mapped(part.candidates, power, kind) + offset
            loss = loss + cross_entropy(logits, part) / len(parts)
        loss.backward()
        return loss

    optimizer.step(closure)
    return max(float(slope.detach()), 1e-3), float(offset.detach())


def start_power() -> float:
    """What softplus turns into the power 1."""
    return float(np.log(np.expm1(1.0 - LEAST_POWER)))


def initial(dimensions: int, slope: float, offset: float, seed: int) -> Weights:
    """Weights of a network that gives every query the same curve."""
    rng = np.random.default_rng([seed, 3])
    first = np.log(np.expm1(slope)) if slope < 30 else slope
    return parameters(
        {
            "hidden": rng.normal(0.0, np.sqrt(2.0 / dimensions), (dimensions, HIDDEN)),
            "hidden_bias": np.zeros(HIDDEN),
            "output": np.zeros((HIDDEN, 3)),
            "output_bias": np.array([first, offset, start_power()]),
        }
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


def entropy(weights: Weights, part: Tensors, kind: MapName) -> torch.Tensor:
    """Weighted cross-entropy of the map that the weights give, summed over a list, averaged over lists."""
    import torch

    inner = torch.relu(part.lists @ weights["hidden"] + weights["hidden_bias"])
    slope, offset, power = (inner @ weights["output"] + weights["output_bias"]).split(1, dim=1)
    logits = torch.nn.functional.softplus(slope) * mapped(part.candidates, power, kind) + offset
    return cross_entropy(logits, part)


def loss_on(weights: Weights, parts: Sequence[Tensors], kind: MapName) -> float:
    """The mean of the parts' cross-entropies."""
    return mean_loss(lambda part: entropy(weights, part, kind), parts)
