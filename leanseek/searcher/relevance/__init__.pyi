from .features import LIST_DEPTH as LIST_DEPTH
from .features import DenseEvidence as DenseEvidence
from .features import Evidence as Evidence
from .features import SparseEvidence as SparseEvidence
from .judge import choose_relevance as choose_relevance
from .model import RelevanceModel as RelevanceModel
from .model import load_relevance as load_relevance
