"""Learning from judged queries how probable it is that a candidate is relevant."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
