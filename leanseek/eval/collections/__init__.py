"""Test collections: folders of several layouts, BEIR by name, ir_datasets by id."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
