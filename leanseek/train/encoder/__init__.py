"""Training encoders on judged queries, with hard negatives and a teacher: dense ones, and learned sparse ones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
