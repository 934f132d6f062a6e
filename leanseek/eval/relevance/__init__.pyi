from .relevance_result import RelevanceResult as RelevanceResult
from .relevance_result import evaluate_relevance as evaluate_relevance
from .relevance_scores import RelevanceScores as RelevanceScores
