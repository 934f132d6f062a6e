"""Hits as a context for a language model: packed into a budget, every passage under its citation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
