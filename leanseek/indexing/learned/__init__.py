"""The learned sparse side: 8-bit impacts over a model's vocabulary, searched exactly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
