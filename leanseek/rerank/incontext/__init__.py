"""Re-ranking in context: a decoder reads the documents, then the query, and its attention scores the documents."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
