"""Training a cross-encoder on judged queries, with hard negatives from the hybrid search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
