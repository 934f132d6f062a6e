"""Late interaction: queries and passages are read apart, and their tokens' vectors are compared one by one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
