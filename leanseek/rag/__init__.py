"""From hits to a prompt and back: questions asked in steps, searching in doubt, scores of answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
