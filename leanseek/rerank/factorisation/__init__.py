"""The nearest items by an expensive scorer, found with few of its calls: a few scores tell of all the others.

A cross-encoder's scores of queries with items make a matrix of nearly low rank. `AnncurIndex` learns its rows'
space from anchor queries scored beforehand with all items; `Axn` takes the items' dense vectors for it, which an
index has already, and needs nothing beforehand. Both then spend a budget of calls on a query and give the best of
what was scored, so each score that comes back is exact.
"""

from leanseek.rerank.factorisation.anncur import AnncurIndex
from leanseek.rerank.factorisation.axn import Axn
from leanseek.rerank.factorisation.calls import Found, PairScores, scores_of
from leanseek.rerank.factorisation.fitting import LeastSquares, Ridge

__all__ = ["AnncurIndex", "Axn", "Found", "LeastSquares", "PairScores", "Ridge", "scores_of"]
