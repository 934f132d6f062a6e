"""Systematic reviews: all candidates ranked, learning from each label, until enough of what is relevant is found."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
