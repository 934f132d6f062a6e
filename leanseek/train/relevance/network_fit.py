"""The monotone network of a relevance model, and the gate that closes on lists of foreign queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from leanseek.searcher.relevance.network import MonotoneNetwork
from leanseek.train.relevance.descent import (
    Tensors,
    Weights,
    cross_entropy,
    descend,
    mean_loss,
    one_thread,
    parameters,
)
from leanseek.train.relevance.material import Examples, Source
from leanseek.types import Float32Array, Float64Array, Progress

if TYPE_CHECKING:
    import torch

RATE: Final = 0.03
WARM_UP: Final = 0.15
DECAY: Final = 0.01
"""Weight of the squared weights of list features: what bends a list is kept small, for it transfers worst."""

BATCH: Final = 40
"""Lists of each collection in a step."""
FEWER: Final = 0.3
"""Share of them that are among fewer passages."""
GATE_PLACE: Final = -3.25
GATE_STEEPNESS: Final = 8.0
GATE_DEPTH: Final = 14.0
"""The gate closes below that log odds of something to be found, so steeply, and takes so much off the log odds: the
place at which it closed on nine in ten foreign lists of the training collections and on hardly any of their own."""
RIDGE: Final = 1.0
ROUNDS: Final = 30
"""Newton steps at most when the gate is fitted."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a network is fitted: `hidden` units, so many `steps`, from a `seed`; `gate` are the list features that detect
    foreign lists, none for no gate."""

    hidden: int
    steps: int
    seed: int
    gate: tuple[int, ...] = ()


def fit_network(
    sources: Sequence[Source],
    held_out: Sequence[Examples],
    how: Fitting,
    progress: Progress | None = None,
    stage: str = "fitting",
) -> MonotoneNetwork:
    """The network with the least weighted cross-entropy on the held-out lists of all collections, met on the way.

    All collections count alike. The lists of foreign queries shape only the gate.
    """
    import torch

    scaling = Scaling.of(sources)
    with one_thread():
        batches = [[tensors(part, scaling) for part in (source.own, source.fewer)] for source in sources]
        watched = [tensors(part, scaling) for part in held_out]
        weights = initial(sources[0].own, how)
        optimizer = torch.optim.Adam(list(weights.values()), lr=RATE, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, RATE, total_steps=how.steps, pct_start=WARM_UP
        )
        rng = np.random.default_rng([how.seed, 1])
        fewer = round(BATCH * FEWER)

        def loss() -> torch.Tensor:
            total = torch.zeros(())
            for own, less in batches:
                for part, count in ((own, BATCH - fewer), (less, fewer)):
                    if len(part.lists):
                        rows = torch.from_numpy(rng.integers(0, len(part.lists), count))
                        total = total + entropy(weights, part.take(rows)) * count / (BATCH * len(batches))
            return total + DECAY * (weights["list_hidden"] ** 2).sum()

        def held() -> float:
            return mean_loss(lambda part: entropy(weights, part), watched)

        best = descend(weights, optimizer, schedule, how.steps, loss, held, np.inf, progress, stage)
    network = scaling.network(best)
    return closed(network, sources, how.gate) if how.gate else network


@dataclass(frozen=True, slots=True)
class Scaling:
    """Centres and scales of candidate features (f,) and of list features (g,)."""

    candidate_centre: Float64Array
    candidate_scale: Float64Array
    list_centre: Float64Array
    list_scale: Float64Array

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Scaling:
        """Means and standard deviations over all candidates with weight, and over own and foreign lists."""
        counted = np.concatenate([source.own.candidates[source.own.weights > 0] for source in sources])
        foreign = [source.foreign.lists for source in sources if source.foreign is not None]
        lists = np.concatenate([*(source.own.lists for source in sources), *foreign])
        return cls(
            counted.mean(0, np.float64),
            counted.std(0, np.float64) + 1e-6,
            lists.mean(0, np.float64),
            lists.std(0, np.float64) + 1e-2,
        )

    def lists(self, whole: Float32Array) -> Float32Array:
        """List features (n, g) as `MonotoneNetwork` scales them."""
        scaled: Float32Array = (4.0 * np.tanh((whole - self.list_centre) / (4.0 * self.list_scale))).astype(
            np.float32
        )
        return scaled

    def candidates(self, features: Float32Array) -> Float32Array:
        """Candidate features (n, c, f), centred and scaled."""
        scaled: Float32Array = ((features - self.candidate_centre) / self.candidate_scale).astype(np.float32)
        return scaled

    def network(self, weights: Weights) -> MonotoneNetwork:
        """The network that takes the features as they are."""
        import torch

        direct, inner, output = (
            torch.nn.functional.softplus(weights[name].double()).numpy()
            for name in ("direct", "candidate_hidden", "output")
        )
        others = {name: weights[name].double().numpy() for name in ("list_hidden", "hidden_bias", "bias")}
        shift = self.candidate_centre / self.candidate_scale
        none = np.zeros(len(self.list_centre))
        arrays = {
            "centre": self.list_centre,
            "scale": self.list_scale,
            "direct": direct / self.candidate_scale,
            "candidate_hidden": inner / self.candidate_scale[:, None],
            "list_hidden": others["list_hidden"],
            "hidden_bias": others["hidden_bias"] - shift @ inner,
            "output": output,
            "bias": others["bias"] - shift @ direct,
            "gate": none,
            "gate_pairs": np.outer(none, none),
            "gate_bias": np.zeros(1),
            "depth": np.zeros(1),
        }
        return MonotoneNetwork(**{name: array.astype(np.float32) for name, array in arrays.items()})


def tensors(part: Examples, scaling: Scaling) -> Tensors:
    """Scaled examples as tensors."""
    import torch

    return Tensors(
        torch.from_numpy(scaling.candidates(part.candidates)),
        torch.from_numpy(scaling.lists(part.lists)),
        torch.from_numpy(part.labels),
        torch.from_numpy(part.weights),
    )


def initial(part: Examples, how: Fitting) -> Weights:
    """Weights to begin with; those that must not be negative are softplus of what is fitted."""
    features, lists = part.candidates.shape[2], part.lists.shape[1]
    rng = np.random.default_rng([how.seed, 0])
    return parameters(
        {
            "direct": np.full(features, -1.0),
            "candidate_hidden": rng.normal(-1.0, 1.0, (features, how.hidden)),
            "output": np.full(how.hidden, -1.0),
            "list_hidden": rng.uniform(-1.0, 1.0, (lists, how.hidden)) / np.sqrt(lists),
            "hidden_bias": rng.uniform(-1.0, 1.0, how.hidden) / np.sqrt(lists),
            "bias": np.full(1, -8.0),
        }
    )


def entropy(weights: Weights, part: Tensors) -> torch.Tensor:
    """Weighted cross-entropy of the network with these weights, summed over a list, averaged over lists."""
    import torch

    rising = torch.nn.functional.softplus
    shift = part.lists @ weights["list_hidden"] + weights["hidden_bias"]
    hidden = torch.tanh(part.candidates @ rising(weights["candidate_hidden"]) + shift[:, None])
    logits = part.candidates @ rising(weights["direct"]) + hidden @ rising(weights["output"])
    return cross_entropy(logits + weights["bias"], part)


def closed(network: MonotoneNetwork, sources: Sequence[Source], used: tuple[int, ...]) -> MonotoneNetwork:
    """The network with a gate that closes on lists that look like those of foreign queries."""
    pairs = [(source.own.lists, source.foreign.lists) for source in sources if source.foreign is not None]
    if not pairs or not any(len(foreign) for _, foreign in pairs):
        return network
    scaled = [
        tuple(4.0 * np.tanh((lists - network.centre) / (4.0 * network.scale)) for lists in pair)
        for pair in pairs
    ]
    weights = [
        *(np.full(len(own), 1.0 / max(len(own), 1)) for own, _ in pairs),
        *(np.full(len(foreign), 1.0 / max(len(foreign), 1)) for _, foreign in pairs),
    ]
    flat = np.concatenate(weights)
    gate = fit_gate(
        np.concatenate([own for own, _ in scaled]),
        np.concatenate([foreign for _, foreign in scaled]),
        flat * len(flat) / flat.sum(),
        used,
    )
    return replace(
        network,
        gate=(GATE_STEEPNESS * gate.weights).astype(np.float32),
        gate_pairs=(GATE_STEEPNESS * gate.pairs).astype(np.float32),
        gate_bias=np.array([GATE_STEEPNESS * (gate.bias - GATE_PLACE)], np.float32),
        depth=np.array([GATE_DEPTH], np.float32),
    )


class Gate(NamedTuple):
    """Log odds that something is to be found, of scaled list features u (g,): u . weights + u . pairs . u + bias."""

    weights: Float64Array
    pairs: Float64Array
    bias: float


def fit_gate(own: Float32Array, foreign: Float32Array, weights: Float64Array, used: tuple[int, ...]) -> Gate:
    """Logistic regression of own (n, g) against foreign (m, g) lists by the scaled features `used` and their products.

    How high a cosine must be for something to be found depends on how many passages there are, and how they lie: hence
    the products, which halve what a straight line loses, on collections that it has not seen too.

    `weights` (n + m,) are the lists', and sum to their number. Ridge regularised, by Newton's method.
    """
    inputs = np.concatenate([own, foreign]).astype(np.float64)[:, used]
    centre, scale = inputs.mean(0), inputs.std(0) + 1e-6
    left, right = np.triu_indices(len(used))
    even = (inputs - centre) / scale
    design = np.column_stack([even, even[:, left] * even[:, right], np.ones(len(inputs))])
    found = regression(design, np.repeat([1.0, 0.0], [len(own), len(foreign)]), weights)

    flat = found[: len(used)] / scale
    square = np.zeros((len(used), len(used)))
    square[left, right] = found[len(used) : -1] / scale[left] / scale[right]
    square = (square + square.T) / 2
    places = list(used)
    whole, pairs = np.zeros(own.shape[1]), np.zeros((own.shape[1], own.shape[1]))
    whole[places] = flat - 2 * square @ centre
    pairs[np.ix_(places, places)] = square
    return Gate(whole, pairs, float(found[-1] - flat @ centre + centre @ square @ centre))


def regression(design: Float64Array, labels: Float64Array, weights: Float64Array) -> Float64Array:
    """Coefficients (p,) of a weighted logistic regression on a design (n, p) whose last column is the constant."""
    ridge = np.diag([*([RIDGE] * (design.shape[1] - 1)), 1e-6])
    found = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        slope = design.T @ (weights * (labels - chance)) - ridge @ found
        curvature = (design * (weights * chance * (1.0 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        # Where classes are far apart a whole step may overshoot.
        found = found + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return found
