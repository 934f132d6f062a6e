"""Token vectors of an index's passages, reduced and quantised, in a folder beside the catalog.

They can be made again at any time, so the catalog does not name them. They are found by a passage's content, not by
its place: adding, deleting and compacting leave them valid, and a new passage is merely absent.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
