"""The compiled FM-index (native/ngrams.cpp); `leanseek.indexing.ngrams.fm_index` describes the arrays."""

import numpy as np
from numpy.typing import NDArray

from leanseek.types import Int32Array, Int64Array

def build(
    symbols: Int32Array, levels: int, rate: int
) -> tuple[NDArray[np.uint64], Int64Array, Int32Array, NDArray[np.uint64], Int32Array]: ...

class Rows:
    def __init__(
        self,
        bits: NDArray[np.uint64],
        zeros: Int64Array,
        shifts: Int32Array,
        marks: NDArray[np.uint64],
        samples: Int32Array,
        size: int,
        rate: int,
    ) -> None: ...
    def extend(self, low: int, high: int, symbol: int) -> tuple[int, int]: ...
    def next(self, low: int, high: int) -> tuple[Int32Array, Int64Array]: ...
    def locate(self, low: int, high: int) -> Int64Array: ...
    def text(self) -> Int32Array: ...
