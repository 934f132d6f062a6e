from .engine import Effort as Effort
from .lean_index import LeanVecIndex as LeanVecIndex
from .recall import CurvePoint as CurvePoint
