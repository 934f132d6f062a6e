"""The second stage: hits that a search found, put into a better order by a slower and better judge."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
