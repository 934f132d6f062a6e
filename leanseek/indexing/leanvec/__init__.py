"""Learned reductions of vectors: shorter vectors whose inner products with the queries are nearly the same."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
