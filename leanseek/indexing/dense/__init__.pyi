from .base import DenseIndex as DenseIndex
from .registry import DENSE_KINDS as DENSE_KINDS, check_dense as check_dense, is_lean as is_lean, open_dense as open_dense
