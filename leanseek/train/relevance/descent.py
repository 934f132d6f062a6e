"""Gradient descent on the cross-entropy of lists: what fitting the network and the published map have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from leanseek.types import Float64Array, Progress

if TYPE_CHECKING:
    import torch

CHECK: Final = 50
"""Steps between two losses on the held-out lists."""


class Tensors(NamedTuple):
    """n lists of c candidates: inputs of the `candidates` (n, c) or (n, c, f) and of the `lists` (n, g), with `labels`
    and `weights` (n, c)."""

    candidates: torch.Tensor
    lists: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    def take(self, rows: torch.Tensor) -> Tensors:
        """The same for some of the lists."""
        return Tensors(*(tensor[rows] for tensor in self))


Weights = dict[str, "torch.Tensor"]


def parameters(arrays: Mapping[str, Float64Array]) -> Weights:
    """Float32 tensors that gradients are taken of."""
    import torch

    return {
        name: torch.from_numpy(array.astype(np.float32)).requires_grad_() for name, array in arrays.items()
    }


def cross_entropy(logits: torch.Tensor, part: Tensors) -> torch.Tensor:
    """Weighted cross-entropy of logits (n, c), summed over a list, averaged over lists."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    losses = binary_cross_entropy_with_logits(logits, part.labels, weight=part.weights, reduction="sum")
    return losses / len(part.labels)


def mean_loss(loss: Callable[[Tensors], torch.Tensor], parts: Sequence[Tensors]) -> float:
    """The mean of the parts' losses."""
    import torch

    with torch.no_grad():
        return float(np.mean([float(loss(part)) for part in parts]))


def descend(
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    steps: int,
    loss: Callable[[], torch.Tensor],
    held_out: Callable[[], float],
    least: float,
    progress: Progress | None,
    stage: str,
) -> Weights:
    """The weights with the least loss on held-out lists, met every `CHECK` steps; those it starts from where none
    has less than `least`."""
    best = _copied(weights)
    for step in range(1, steps + 1):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % CHECK == 0 or step == steps:
            now = held_out()
            if now < least:
                best, least = _copied(weights), now
            if progress is not None:
                progress(stage, step, steps)
    return best


def _copied(weights: Weights) -> Weights:
    return {name: weight.detach().clone() for name, weight in weights.items()}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch sums in one thread: in the same order every time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
