"""Token vectors of an index's passages, reduced and quantised, in a folder beside the catalog.

They can be made again at any time, so no catalog names them. They are found by what a passage says, not by where it
stands: adding, deleting and compacting leave them right, and a passage that is not among them is merely absent.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
