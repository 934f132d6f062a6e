"""N-grams of the passages' words, and of a decoder's tokens: counted, located and continued, whatever their length."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
