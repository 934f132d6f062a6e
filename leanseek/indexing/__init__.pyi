from .dense.lean.lean_index import LeanVecIndex as LeanVecIndex
from .index import AddReport as AddReport, CompactReport as CompactReport, Index as Index
from .info import IndexInfo as IndexInfo, describe_index as describe_index
from .settings import LeanSettings as LeanSettings, SparseSettings as SparseSettings
from .snapshot import Snapshot as Snapshot
from .verification import VerifyReport as VerifyReport, verify as verify
