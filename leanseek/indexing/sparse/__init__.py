"""Sparse (lexical) search: BM25 over memory-mapped postings, and other projects' BM25 beside it, Lucene's too."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
