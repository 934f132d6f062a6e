"""The two-level dense index: short codes are scanned, vectors in full decide."""

from leanseek.indexing.dense.lean.calibrating import CurvePoint
from leanseek.indexing.dense.lean.engine import Effort
from leanseek.indexing.dense.lean.index import LeanVecIndex

__all__ = ["CurvePoint", "Effort", "LeanVecIndex"]
