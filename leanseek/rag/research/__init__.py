"""Research: a question taken apart into a graph of simpler ones, which are searched for in turn (arXiv 2407.20183)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
