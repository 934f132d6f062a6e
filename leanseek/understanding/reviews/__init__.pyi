from .recall_estimate import RecallEstimate as RecallEstimate
from .recall_estimate import check_shares as check_shares
from .recall_estimate import estimate_recall as estimate_recall
from .screening import Screening as Screening
