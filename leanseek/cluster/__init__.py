"""An index in shards, on one machine or many, that answers as one index does."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
