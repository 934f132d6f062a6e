from .dims import ChosenDims as ChosenDims
from .dims import DimsPoint as DimsPoint
from .dims import choose_dims as choose_dims
from .linear import split_queries as split_queries
from .piecewise import PiecewiseReduction as PiecewiseReduction
from .piecewise import learn_piecewise as learn_piecewise
from .reduction import Reduction as Reduction
from .reduction import learn_reduction as learn_reduction
