"""Learned reductions of vectors: shorter vectors whose inner products with the queries are nearly the same."""

from leanseek.indexing.leanvec.learning import learn_reduction
from leanseek.indexing.leanvec.moments import split_queries
from leanseek.indexing.leanvec.reduction import Reduction

__all__ = ["Reduction", "learn_reduction", "split_queries"]
