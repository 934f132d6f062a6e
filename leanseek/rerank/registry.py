"""Re-rankers by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from leanseek.errors import UsageError
from leanseek.rerank.base import Reranker

DEFAULT_DEPTH = 100
"""How many of the best hits are re-ranked where nobody says."""

NONE = "none"


class Home(NamedTuple):
    """Where a kind of re-ranker lives: a function of (model or None, device or None) in a module.

    `reads_windows`: it also takes `long`; `keeps_scores`: it also takes `cache`; `reads_index`: it also takes `index`;
    `needs_model`: it has no model of its own to take where none is named; `takes`: what is named.
    """

    module: str
    function: str
    reads_windows: bool = False
    keeps_scores: bool = False
    reads_index: bool = False
    needs_model: bool = False
    takes: str = "MODEL"


RERANKERS: dict[str, Home] = {
    "cross-encoder": Home(
        "leanseek.rerank.crossencoder.registry", "load", reads_windows=True, keeps_scores=True
    ),
    "in-context": Home("leanseek.rerank.incontext", "load", needs_model=True),
    "late-interaction": Home("leanseek.rerank.lateinteraction.late_interaction", "load", reads_index=True),
    "interpolated": Home(
        "leanseek.rerank.combined",
        "load",
        reads_windows=True,
        keeps_scores=True,
        reads_index=True,
        needs_model=True,
        takes="RERANKER",
    ),
}
"""The kinds of re-rankers; importing one is left to who asks for it."""


def choices() -> str:
    """The names that `load_reranker` takes, for people: those whose model can be left out with it in brackets."""
    return ", ".join(
        f"{kind}:{home.takes}" if home.needs_model else f"{kind}[:{home.takes}]"
        for kind, home in RERANKERS.items()
    )


def reads_windows(name: str) -> bool:
    """Whether the re-ranker of that name can be told how to read passages that do not fit."""
    kind, _, model = name.strip().partition(":")
    home = RERANKERS.get(kind)
    if home is None or home.takes == "MODEL":
        return home is not None and home.reads_windows
    return reads_windows(model)


def load_reranker(
    name: str,
    device: str | None = None,
    *,
    long: str | None = None,
    cache: bool = True,
    index: Path | None = None,
) -> Reranker:
    """The re-ranker that `name` stands for: KIND, or KIND:MODEL with one of the kinds in `RERANKERS`.

    MODEL is a folder or a name, as the kind takes it, or for interpolated another re-ranker's name; without it the
    kind's own default is taken. `device` is "cpu", "cuda" or another of torch's; None takes the best there is.
    `long` is how a cross-encoder reads passages that do not fit: maxp (the default), firstp, top2 or extract. With
    `cache=False` no scores of earlier calls are used, nor any kept. `index` is the folder of the index that hits will
    come from: late interaction reads the token vectors that are stored there.

    Raises UsageError for an unknown kind or a `long` that it does not have, and what loading the model raises:
    ModelError, MissingPackageError.
    """
    kind, colon, model = name.strip().partition(":")
    if kind == NONE and not colon:
        raise UsageError(
            f"'{NONE}' stands for no re-ranker and loads none; leave it out, or name one: {choices()}"
        )
    if kind not in RERANKERS or (colon and not model.strip()):
        raise UsageError(f"'{name}' is not a re-ranker. Choose from: {choices()}, or {NONE}")
    home = RERANKERS[kind]
    options: dict[str, Any] = {"cache": cache} if home.keeps_scores else {}
    if home.reads_index:
        options["index"] = index
    if long is not None:
        if not home.reads_windows:
            having = ", ".join(filter(reads_windows, RERANKERS))
            raise UsageError(
                f"how long passages are read can be chosen for {having}, not for {kind}; leave it out"
            )
        options["long"] = long
    load = getattr(importlib.import_module(home.module), home.function)
    found: Reranker = load(model or None, device, **options)
    return found
