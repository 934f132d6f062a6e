"""From the query as typed to what is wanted: operators, expansion, suggestions, fields; near-duplicates, reviews."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
