from .relevance_result import RelevanceResult as RelevanceResult
from .relevance_result import evaluate_relevance as evaluate_relevance
