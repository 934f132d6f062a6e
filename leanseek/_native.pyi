"""The compiled kernels of postings (native/bm25.cpp); `leanseek.indexing.sparse.kernel` describes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leanseek.types import BoolArray, Float32Array, Int64Array

class Bm25Segment:
    def __init__(
        self,
        passages: int,
        term_runs: Int64Array,
        run_windows: NDArray[np.uint16],
        run_starts: Int64Array,
        places: NDArray[np.uint16],
        place_starts: Int64Array,
        lists: int,
        frequencies: NDArray[np.uint8],
        more: NDArray[np.uint8],
        more_starts: Int64Array,
        large_at: Int64Array,
        large: NDArray[np.int32],
        norms: Float32Array,
        lengths: NDArray[np.uint8],
        length_norms: Float32Array,
        deleted: BoolArray | None,
    ) -> None: ...

class ImpactSegment:
    def __init__(
        self,
        passages: int,
        term_runs: Int64Array,
        run_windows: NDArray[np.uint16],
        run_starts: Int64Array,
        run_impact: NDArray[np.uint8],
        places: NDArray[np.uint16],
        impacts: NDArray[np.uint8],
        deleted: BoolArray | None,
    ) -> None: ...

def search(
    segments: Sequence[Bm25Segment] | Sequence[ImpactSegment],
    terms: Sequence[Int64Array],
    weights: Float32Array,
    constant: float,
    k: int,
    allowed: BoolArray | None,
) -> tuple[Float32Array, Int64Array]: ...
def score(
    segment: Bm25Segment | ImpactSegment,
    terms: Int64Array,
    weights: Float32Array,
    constant: float,
    ordinals: Int64Array,
) -> Float32Array: ...
