"""What a decoder's attention would look at most: the keys with the largest weights, without comparing all of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
