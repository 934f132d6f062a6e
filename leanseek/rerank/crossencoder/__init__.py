"""Cross-encoders: models that read query and passage together and give the pair a score."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanseek.rerank.crossencoder.calibration import Calibration, fit_calibration
    from leanseek.rerank.crossencoder.loading import load
    from leanseek.rerank.crossencoder.reranker import CrossEncoderReranker

_HOMES = {
    "Calibration": "calibration",
    "CrossEncoderReranker": "reranker",
    "fit_calibration": "calibration",
    "load": "loading",
}

__all__ = ["Calibration", "CrossEncoderReranker", "fit_calibration", "load"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"leanseek.rerank.crossencoder.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
