"""leanseek: documents in, hybrid answers out.

>>> import leanseek
>>> index = leanseek.Index.create("papers.index", encoder="sentence-transformers/all-MiniLM-L6-v2")
>>> index.add(leanseek.read("corpus.jsonl"))
>>> hits = leanseek.Searcher.open("papers.index").search("do statins help?")
"""

import lazy_loader

__version__ = "0.1.0"

# Names are listed in __init__.pyi and imported at first use: `leanseek --help` stays instant.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
