"""The compiled two-level search (native/scan.cpp); `leanseek.indexing.dense.lean.engine` uses it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leanseek.types import BoolArray, Float32Array, Int64Array

class Rows:
    def __init__(
        self,
        size: int,
        dimensions: int,
        data: NDArray[Any],
        lows: Float32Array | None,
        steps: Float32Array | None,
    ) -> None: ...

class Lists:
    def __init__(
        self,
        reduction: Float32Array,
        centroids: Float32Array,
        spreads: Float32Array,
        codebooks: Float32Array,
        starts: Int64Array,
        codes: NDArray[np.uint8],
        ordinals: NDArray[np.int32],
        size: int,
    ) -> None: ...

def search(
    lists: Lists,
    rows: Rows,
    queries: Float32Array,
    k: int,
    probes: int,
    depth: int,
    allowed: BoolArray | None,
    threads: int,
) -> tuple[Float32Array, Int64Array]: ...
def score(rows: Rows, query: Float32Array, ordinals: Int64Array) -> Float32Array: ...
def use(name: str) -> None: ...
def used() -> str: ...
