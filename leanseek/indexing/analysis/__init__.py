"""Text to terms: words, stop words and stems, the same for documents and queries."""

from leanseek.indexing.analysis.base import Analyzer, Span
from leanseek.indexing.analysis.loading import analyzer_names, load_analyzer

__all__ = ["Analyzer", "Span", "analyzer_names", "load_analyzer"]
