"""Late interaction: queries and passages are read apart, and their tokens' vectors are compared one by one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.rerank.lateinteraction.loading import load
    from leanseek.rerank.lateinteraction.mixing import Mix
    from leanseek.rerank.lateinteraction.reranker import LateInteractionReranker

_HOMES = {
    "LateInteractionReranker": "reranker",
    "Mix": "mixing",
    "load": "loading",
}


__all__ = ["LateInteractionReranker", "Mix", "load"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.rerank.lateinteraction.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
