from .relevance_result import RelevanceResult as RelevanceResult, evaluate_relevance as evaluate_relevance
