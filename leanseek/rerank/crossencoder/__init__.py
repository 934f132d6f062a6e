"""Cross-encoders: models that read query and passage together and give the pair a score."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
