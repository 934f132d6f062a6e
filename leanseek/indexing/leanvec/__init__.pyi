from .dims import ChosenDims as ChosenDims, DimsPoint as DimsPoint, choose_dims as choose_dims
from .linear import split_queries as split_queries
from .piecewise import PiecewiseReduction as PiecewiseReduction, learn_piecewise as learn_piecewise
from .reduction import Reduction as Reduction, learn_reduction as learn_reduction
