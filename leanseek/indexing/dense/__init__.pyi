from .base import DenseIndex as DenseIndex
from .registry import DENSE as DENSE
from .registry import DenseKind as DenseKind
from .registry import check_dense as check_dense
from .registry import kind_for as kind_for
from .registry import kind_in as kind_in
