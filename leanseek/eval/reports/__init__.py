"""Reports: a folder of results as one page, and as tables for Markdown, spreadsheets and papers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
