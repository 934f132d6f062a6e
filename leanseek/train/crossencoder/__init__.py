"""Training a cross-encoder from judged queries, with hard negatives out of our own hybrid search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
