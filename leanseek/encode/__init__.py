"""Text to vectors: encoders, where their models come from, the vector cache and the truncation report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
