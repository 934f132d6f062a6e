"""Text to vectors: encoders, where their models come from, the vector cache and the truncation report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.encode.base import Encoded, Encoder
    from leanseek.encode.cache import VectorCache
    from leanseek.encode.corpus import encode_corpus
    from leanseek.encode.folders import cache_folder
    from leanseek.encode.models import DEFAULT_MODEL, ResolvedModel, resolve_model
    from leanseek.encode.registry import load_encoder, load_query_encoder, prepare_queries
    from leanseek.encode.report import TruncationReport

_HOMES = {
    "Encoded": "base",
    "Encoder": "base",
    "VectorCache": "cache",
    "encode_corpus": "corpus",
    "cache_folder": "folders",
    "DEFAULT_MODEL": "models",
    "ResolvedModel": "models",
    "resolve_model": "models",
    "load_encoder": "registry",
    "load_query_encoder": "registry",
    "prepare_queries": "registry",
    "TruncationReport": "report",
}

__all__ = [
    "DEFAULT_MODEL",
    "Encoded",
    "Encoder",
    "ResolvedModel",
    "TruncationReport",
    "VectorCache",
    "cache_folder",
    "encode_corpus",
    "load_encoder",
    "load_query_encoder",
    "prepare_queries",
    "resolve_model",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.encode.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
