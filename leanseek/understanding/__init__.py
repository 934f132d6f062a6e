"""From the query as typed to the query that is searched: operators, repeated words, suggestions; near-duplicates."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
