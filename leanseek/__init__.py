"""leanseek: documents in, hybrid answers out.

>>> import leanseek
>>> index = leanseek.Index.create("papers.index", encoder="sentence-transformers/all-MiniLM-L6-v2")
>>> index.add(leanseek.read("corpus.jsonl"))
>>> hits = leanseek.Searcher.open("papers.index").search("do statins help?")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leanseek.encode import Encoder, load_encoder
    from leanseek.errors import LeanseekError
    from leanseek.indexing.chunking import Chunking
    from leanseek.indexing.dense.lean import LeanVecIndex
    from leanseek.indexing.index import AddReport, Index
    from leanseek.indexing.queries import read_queries
    from leanseek.indexing.reading import ReadReport, read
    from leanseek.indexing.settings import LeanSettings, SparseSettings
    from leanseek.indexing.verifying import verify
    from leanseek.searcher.packing import Context
    from leanseek.searcher.relevance.depth import RerankDepth
    from leanseek.searcher.relevance.model import RelevanceModel, load_relevance
    from leanseek.searcher.searcher import Searcher
    from leanseek.types import Answer, Document, Explanation, Hit, Passage, Query, Ranked, Snippet

__version__ = "0.1.0"

# Loaded at first use: `import leanseek` and `leanseek --help` stay instant.
HOMES = {
    "AddReport": "leanseek.indexing.index",
    "Answer": "leanseek.types",
    "Chunking": "leanseek.indexing.chunking",
    "Context": "leanseek.searcher.packing",
    "Document": "leanseek.types",
    "Encoder": "leanseek.encode",
    "Explanation": "leanseek.types",
    "Hit": "leanseek.types",
    "Index": "leanseek.indexing.index",
    "LeanSettings": "leanseek.indexing.settings",
    "LeanVecIndex": "leanseek.indexing.dense.lean",
    "LeanseekError": "leanseek.errors",
    "Passage": "leanseek.types",
    "Query": "leanseek.types",
    "Ranked": "leanseek.types",
    "ReadReport": "leanseek.indexing.reading",
    "RelevanceModel": "leanseek.searcher.relevance.model",
    "RerankDepth": "leanseek.searcher.relevance.depth",
    "Searcher": "leanseek.searcher.searcher",
    "Snippet": "leanseek.types",
    "SparseSettings": "leanseek.indexing.settings",
    "load_encoder": "leanseek.encode",
    "load_relevance": "leanseek.searcher.relevance.model",
    "read": "leanseek.indexing.reading",
    "read_queries": "leanseek.indexing.queries",
    "verify": "leanseek.indexing.verifying",
}

__all__ = [
    "AddReport",
    "Answer",
    "Chunking",
    "Context",
    "Document",
    "Encoder",
    "Explanation",
    "Hit",
    "Index",
    "LeanSettings",
    "LeanVecIndex",
    "LeanseekError",
    "Passage",
    "Query",
    "Ranked",
    "ReadReport",
    "RelevanceModel",
    "RerankDepth",
    "Searcher",
    "Snippet",
    "SparseSettings",
    "load_encoder",
    "load_relevance",
    "read",
    "read_queries",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        value = getattr(import_module(HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'leanseek' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *HOMES]
