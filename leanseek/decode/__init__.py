"""Decoders: language models that write texts, say how probable a text is, and show what they attend to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
