"""Re-rankers by name."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from leanseek.errors import UsageError
from leanseek.rerank.base import Reranker

DEFAULT_DEPTH = 100
"""How many of the best hits are re-ranked where nobody says."""

NONE = "none"


class Home(NamedTuple):
    """Where a kind of re-ranker lives: a function of (model or None, device or None) in a module."""

    module: str
    function: str


RERANKERS: dict[str, Home] = {
    "cross-encoder": Home("leanseek.rerank.crossencoder.loading", "load"),
    "in-context": Home("leanseek.rerank.incontext", "load"),
}
"""The kinds of re-rankers; importing one is left to who asks for it."""


def load_reranker(name: str, device: str | None = None) -> Reranker:
    """The re-ranker that `name` stands for: KIND, or KIND:MODEL with one of the kinds in `RERANKERS`.

    MODEL is a folder or a name, as the kind takes it; without it the kind's own default is taken. `device` is
    "cpu", "cuda" or another of torch's; None takes the best there is.

    Raises UsageError for an unknown kind, and what loading the model raises: ModelError, MissingPackageError.
    """
    kind, colon, model = name.strip().partition(":")
    if kind not in RERANKERS or (colon and not model.strip()):
        kinds = ", ".join(f"{known}[:MODEL]" for known in RERANKERS)
        raise UsageError(f"'{name}' is not a re-ranker. Choose from: {kinds}, or {NONE}")
    home = RERANKERS[kind]
    found: Reranker = getattr(importlib.import_module(home.module), home.function)(model or None, device)
    return found
