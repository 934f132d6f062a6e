"""Exact search of the second level on a GPU, or another of torch's devices."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing.dense.lean.engine import rescored
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.types import BoolArray, Float32Array, Int64Array

_BLOCK_ROWS: Final = 16_384
_BLOCK_QUERIES: Final = 1_024
_SPARE: Final = 32
"""Candidates beyond k: a device sums in another order, so neighbours in score may change places."""


class DeviceRows:
    """The vectors of `Rows` (n, D) on one of torch's devices, as they are stored."""

    def __init__(self, rows: Rows, device: str) -> None:
        """Copy them there. Raises UsageError for a device that is not there, MissingPackageError without torch."""
        try:
            import torch
        except ImportError as error:
            raise MissingPackageError("searching on a device", "torch", "encode") from error
        try:
            self._data = torch.from_numpy(np.array(rows.data)).to(device)
            scales = rows.scales
            self._scales = (
                None if scales is None else [torch.from_numpy(np.array(s)).to(device) for s in scales]
            )
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                f"device '{device}' cannot be used: {str(error).splitlines()[0]}; 'cpu' is always there"
            ) from error
        self._torch, self._rows, self.device = torch, rows, device

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        """Scores (m, k) and ordinals (m, k) of the best of all, at least k of which are allowed.

        The scores are those of `Rows.score`. Ties come by ordinal, as far as no more than 32 vectors beyond
        the k-th are tied with it.
        """
        parts = [
            self._batch(queries[start : start + _BLOCK_QUERIES], k, allowed)
            for start in range(0, len(queries), _BLOCK_QUERIES)
        ]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _batch(
        self, queries: Float32Array, k: int, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        torch = self._torch
        batch = torch.from_numpy(queries).to(self.device)
        mask = None if allowed is None else torch.from_numpy(allowed).to(self.device)
        wanted = min(k + _SPARE, self._rows.size)
        best: Any = torch.empty((len(queries), 0), device=self.device)
        found: Any = torch.empty((len(queries), 0), dtype=torch.int64, device=self.device)
        for start in range(0, self._rows.size, _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, self._rows.size)
            products = batch @ self._data[start:stop].float().T
            if self._scales is not None:
                lows, steps = (scale[start:stop] for scale in self._scales)
                products = batch.sum(dim=1, keepdim=True) * lows + products * steps
            if mask is not None:
                products = products.masked_fill(~mask[start:stop], -torch.inf)
            ordinals = torch.arange(start, stop, device=self.device).expand_as(products)
            best, places = torch.cat([best, products], 1).topk(min(wanted, best.shape[1] + stop - start), 1)
            found = torch.cat([found, ordinals], 1).gather(1, places)
        chosen: Int64Array = found.cpu().numpy()
        real = torch.isfinite(best).cpu().numpy()
        return rescored(self._rows, queries, k, lambda row: np.sort(chosen[row, real[row]]))
