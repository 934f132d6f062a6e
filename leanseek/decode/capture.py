"""What is recorded of a forward pass: each head's attention from the query tokens on the tokens before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from leanseek.types import Float32Array, Float64Array


class Enough(Exception):  # noqa: N818 - not an error: it ends a forward pass after the last layer that counts
    """Raised inside the deepest layer that is needed, once its attention is known."""


class Heads:
    """Which heads count: for each layer the head numbers, None for all of them."""

    def __init__(self, layers: Mapping[int, Sequence[int] | None]) -> None:
        self.layers = {layer: None if heads is None else tuple(heads) for layer, heads in layers.items()}
        self.deepest = max(self.layers)


class Capture:
    """Collects, layer by layer, the mean attention of the query tokens on the first `columns` keys.

    `weights` (b, rows) are what each of the last `rows` queries of a pass counts; a sequence's sum is 1, and
    padding has 0. With `apart` each head is recorded by itself, else the heads are summed. `positions` (n,) are those
    of all keys, where they are not in a row.
    """

    def __init__(self, heads: Heads, weights: Any, columns: int, apart: bool, positions: Any = None) -> None:
        self.heads = heads
        self.weights = weights
        self.columns = columns
        self.apart = apart
        self.positions = positions
        self.seen: dict[int, Float64Array] = {}

    def take(self, layer: int, query: Any, key: Any, mask: Any, scaling: float, **terms: Any) -> None:
        """Record a layer: `query` (b, h, rows, d), `key` (b, g, n, d), `mask` (b or 1, 1, rows, n), True where seen."""
        wanted = self.heads.layers.get(layer, ())
        chosen = range(query.shape[1]) if wanted is None else wanted
        if not chosen:
            return
        found = mean_attention(query, key, mask, scaling, self.weights, chosen, self.columns, **terms)
        self.seen[layer] = found if self.apart else found.sum(axis=1, keepdims=True)

    def total(self) -> Float64Array:
        """(b, columns) summed over heads and layers."""
        layers = [seen.sum(axis=1) for _, seen in sorted(self.seen.items())]
        return np.asarray(np.sum(layers, axis=0))

    def stacked(self) -> Float64Array:
        """(b, heads of all layers in order, columns): each head by itself. For captures made with `apart`."""
        return np.concatenate([seen for _, seen in sorted(self.seen.items())], axis=1)


class Strongest(Capture):
    """Collects, layer by layer, which key gets most attention from each of the last `rows` queries of a single prompt.

    Of equal ones the first. `stacked()` is (1, heads of all layers in order, rows).
    """

    def __init__(self, depth: int, rows: int) -> None:
        super().__init__(Heads(dict.fromkeys(range(depth))), np.zeros((1, rows)), 0, True)

    def take(self, layer: int, query: Any, key: Any, mask: Any, scaling: float, **terms: Any) -> None:
        """Record a layer. A sink beside the keys changes nothing: it lowers the attention on all alike."""
        import torch

        # In bfloat16 many scores would be equal.
        exact = torch.promote_types(query.dtype, torch.float32)
        query, key, shared = query.to(exact), key.to(exact), query.shape[1] // key.shape[1]
        heads = [
            attention_scores(query[:, [head]], key[:, [head // shared]], mask, scaling, terms.get("softcap"))
            for head in range(query.shape[1])
        ]
        self.seen[layer] = np.concatenate([one.argmax(dim=-1).cpu().numpy() for one in heads], axis=1)


class Rows(Capture):
    """Collects what each of the last `rows` queries of a single prompt attends to, as a mean over a layer's heads.

    `mean()` is (rows, n), the mean over the `layers`.
    """

    def __init__(self, layers: Sequence[int], rows: int) -> None:
        super().__init__(Heads(dict.fromkeys(layers)), np.zeros((1, rows)), 0, False)

    def take(self, layer: int, query: Any, key: Any, mask: Any, scaling: float, **terms: Any) -> None:
        """Record a layer, one head after another: the rows of all of them at once may not fit into memory."""
        import torch

        if layer not in self.heads.layers:
            return
        exact, shared = torch.promote_types(query.dtype, torch.float32), query.shape[1] // key.shape[1]
        sinks, total = terms.get("sinks"), 0.0
        for head in range(query.shape[1]):
            scores = attention_scores(
                query[:, [head]].to(exact),
                key[:, [head // shared]].to(exact),
                mask,
                scaling,
                terms.get("softcap"),
            )
            sink = None if sinks is None else sinks[head].to(exact)
            total = total + softmax(scores, sink)[0, 0]
        self.seen[layer] = (total / query.shape[1]).cpu().double().numpy()

    def mean(self) -> Float64Array:
        """(rows, n) over the layers."""
        return np.asarray(np.mean([seen for _, seen in sorted(self.seen.items())], axis=0))


class Projections(Capture):
    """Collects the queries of the last `rows` tokens of a single prompt, and the keys of all, in some `layers`.

    `found` has for each layer the queries (h, rows, d) and the keys (g, n, d), float32, after rotary positions.
    """

    def __init__(self, layers: Sequence[int], rows: int) -> None:
        super().__init__(Heads(dict.fromkeys(layers)), np.zeros((1, rows)), 0, True)
        self.found: dict[int, tuple[Float32Array, Float32Array]] = {}

    def take(self, layer: int, query: Any, key: Any, mask: Any, scaling: float, **terms: Any) -> None:
        """Record a layer. Scale, cap and sink change no order among the keys and are left out."""
        if layer in self.heads.layers:
            self.found[layer] = query[0].float().cpu().numpy(), key[0].float().cpu().numpy()


_NUMBERS = 1 << 22
"""How many attention weights are in memory at a time; more heads than fit are computed one after another."""

CURRENT: ContextVar[Capture | None] = ContextVar("leanseek_capture", default=None)
"""The capture of this thread's forward pass."""


def mean_attention(
    query: Any,
    key: Any,
    mask: Any,
    scaling: float,
    weights: Any,
    heads: Sequence[int],
    columns: int,
    softcap: float | None = None,
    sinks: Any = None,
) -> Float64Array:
    """(b, chosen heads, columns) attention after the softmax, averaged over the queries with their `weights`."""
    import torch

    # Calibration is a small difference of large sums. On the CPU the few rows cost nothing in double precision.
    exact = torch.float64 if query.device.type == "cpu" else torch.promote_types(query.dtype, torch.float32)
    shared = query.shape[1] // key.shape[1]
    step = max(1, _NUMBERS // (key.shape[0] * key.shape[2] * max(query.shape[2], key.shape[3])))
    parts = []
    for start in range(0, len(heads), step):
        chosen = torch.as_tensor(heads[start : start + step], device=query.device)
        exact_query, exact_key = query[:, chosen].to(exact), key[:, chosen // shared].to(exact)
        scores = attention_scores(exact_query, exact_key, mask, scaling, softcap)
        attention = softmax(scores, None if sinks is None else sinks[chosen][:, None, None].to(exact))
        parts.append(torch.einsum("bt,bhtn->bhn", weights.to(exact), attention[..., :columns]).cpu().double())
    return np.asarray(torch.cat(parts, dim=1).numpy())


def attention_scores(query: Any, key: Any, mask: Any, scaling: float, softcap: float | None) -> Any:
    """(b, h, rows, n) the scores before the softmax; minus infinity for keys that a query does not see."""
    import torch

    scores = query @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    return scores.masked_fill_(~mask, float("-inf"))


def softmax(scores: Any, sink: Any = None) -> Any:
    """Over the last axis of (…, n); with a `sink`, the score of one more key whose share is left out."""
    import torch

    if sink is None:
        return scores.softmax(dim=-1)
    column = sink.expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1]
