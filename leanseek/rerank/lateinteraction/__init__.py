"""Late interaction: queries and passages are read apart, and their tokens' vectors are compared one by one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.rerank.lateinteraction.loading import load
    from leanseek.rerank.lateinteraction.mixing import Mix
    from leanseek.rerank.lateinteraction.reranker import LateInteractionReranker
    from leanseek.rerank.lateinteraction.storing import TokenReport, forget_tokens, store_tokens

_HOMES = {
    "LateInteractionReranker": "reranker",
    "Mix": "mixing",
    "TokenReport": "storing",
    "forget_tokens": "storing",
    "load": "loading",
    "store_tokens": "storing",
}


__all__ = ["LateInteractionReranker", "Mix", "TokenReport", "forget_tokens", "load", "store_tokens"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.rerank.lateinteraction.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
