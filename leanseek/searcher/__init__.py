"""Queries to hits: request, both sides, fusion, relevance, answer, context."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
