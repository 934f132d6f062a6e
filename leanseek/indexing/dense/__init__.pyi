from .base import DenseIndex as DenseIndex
from .registry import DENSE_KINDS as DENSE_KINDS
from .registry import check_dense as check_dense
from .registry import is_lean as is_lean
from .registry import open_dense as open_dense
