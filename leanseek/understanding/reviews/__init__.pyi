from .recall import RecallEstimate as RecallEstimate
from .recall import check_shares as check_shares
from .recall import estimate_recall as estimate_recall
from .screening import Screening as Screening
