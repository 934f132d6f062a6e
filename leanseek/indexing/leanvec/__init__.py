"""Learned reductions of vectors: shorter vectors whose inner products with the queries are nearly the same."""

from leanseek.indexing.leanvec.dims import ChosenDims, DimsPoint, choose_dims
from leanseek.indexing.leanvec.learning import learn_reduction
from leanseek.indexing.leanvec.moments import split_queries
from leanseek.indexing.leanvec.piecewise import PiecewiseReduction, learn_piecewise
from leanseek.indexing.leanvec.reduction import Reduction

__all__ = [
    "ChosenDims",
    "DimsPoint",
    "PiecewiseReduction",
    "Reduction",
    "choose_dims",
    "learn_piecewise",
    "learn_reduction",
    "split_queries",
]
