from .features import DenseEvidence as DenseEvidence, Evidence as Evidence, LIST_DEPTH as LIST_DEPTH, SparseEvidence as SparseEvidence
from .model import RelevanceModel as RelevanceModel, load_relevance as load_relevance
