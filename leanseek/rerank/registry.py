"""Re-rankers by name. Light to import: the table has names alone, and a kind's module is imported when it is loaded."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leanseek.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from leanseek.rerank.base import Reranker
    from leanseek.rerank.lateinteraction.similarity import Mix
    from leanseek.types import Progress

DEFAULT_DEPTH = 100
"""How many of the best hits are re-ranked by default."""

NONE = "none"
INTERPOLATED = "interpolated"

CHOICES: Final = {
    "long": "how long passages are read",
    "mix": "what scores are made of",
    "weight": "how much a re-ranker counts beside the search",
}
"""The options that only some kinds have; the others concern loading alone and are valid for every kind."""


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """What a re-ranker is loaded with; None stands for the kind's own default.

    - `model`: what follows the kind in its name: a model's folder or name, or another re-ranker's name.
    - `device`: "cpu", "cuda" or another of torch's; None takes the best there is.
    - `long`: how passages are read that do not fit: maxp, firstp, top2 or extract.
    - `cache`: whether scores are looked up in the score cache and stored there.
    - `index`: the folder of the index that hits will come from. Late interaction reads the token vectors stored there,
      and extracts are made by them.
    - `mix`: what late interaction's scores are made of.
    - `weight`: that of the re-ranker's scores in an interpolation, in [0, 1].
    - `progress`: called while a model is made that takes long, such as one converted from another format.
    """

    model: str | None = None
    device: str | None = None
    long: str | None = None
    cache: bool = True
    index: Path | None = None
    mix: Mix | None = None
    weight: float | None = None
    progress: Progress | None = None

    def check(self, kind: str) -> None:
        """Raise UsageError for a choice that the kind does not have."""
        for choice, what in CHOICES.items():
            if getattr(self, choice) is not None and choice not in RERANKERS[kind].choices:
                having = ", ".join(name for name, home in RERANKERS.items() if choice in home.choices)
                raise UsageError(f"{what} can be chosen for {having}, not for {kind}; leave it out")


class Home(NamedTuple):
    """Where a kind of re-ranker is: the function `load` of a module, which takes `RerankOptions`.

    `argument`: what follows the kind in a name, in brackets where it can be left out. `choices`: those of `CHOICES`
    that the kind has.
    """

    module: str
    argument: str = "[:MODEL]"
    choices: tuple[str, ...] = ()


RERANKERS: dict[str, Home] = {
    "cross-encoder": Home("leanseek.rerank.crossencoder.cross_encoder", choices=("long",)),
    "in-context": Home("leanseek.rerank.incontext.in_context"),
    "late-interaction": Home("leanseek.rerank.lateinteraction.late_interaction", choices=("mix",)),
    "learned": Home("leanseek.rerank.learned_sparse"),
    INTERPOLATED: Home("leanseek.rerank.combined", ":RERANKER[+RERANKER]", choices=("weight",)),
}


def choices() -> str:
    """The names that `load_reranker` takes, for people."""
    return ", ".join(f"{kind}{home.argument}" for kind, home in RERANKERS.items())


def reads_windows(name: str) -> bool:
    """Whether it can be chosen how the re-ranker of that name reads passages that do not fit."""
    kind, _, model = name.strip().partition(":")
    home = RERANKERS.get(kind)
    if home is None:
        return False
    return "long" in home.choices or (kind == INTERPOLATED and any(map(reads_windows, parts(model))))


def parts(name: str) -> list[str]:
    """The names in `NAME+NAME`; a + that no kind follows belongs to a name, such as that of a folder."""
    return re.split(rf"\+(?=(?:{'|'.join(RERANKERS)})(?:[:+]|$))", name.strip())


def load_reranker(
    name: str,
    device: str | None = None,
    *,
    long: str | None = None,
    cache: bool = True,
    index: Path | None = None,
    progress: Progress | None = None,
) -> Reranker:
    """The re-ranker that `name` stands for: KIND, or KIND:MODEL with one of the kinds in `RERANKERS`.

    MODEL is a folder or a name, as the kind takes it, or for interpolated another re-ranker's name; by default the
    kind's own. `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `long` is how a
    cross-encoder reads passages that do not fit: maxp (the default), firstp, top2 or extract. With `cache=False` no
    scores of earlier calls are used, nor any stored. `index` is the folder of the index that hits will come from:
    late interaction reads the token vectors that are stored there, and `extract` chooses sentences by them, too.
    `progress` is called while a model is converted, which happens once.

    Raises UsageError for an unknown kind or a `long` that it does not have, and what loading the model raises:
    ModelError, MissingPackageError.
    """
    return load_by_name(
        name, RerankOptions(device=device, long=long, cache=cache, index=index, progress=progress)
    )


def load_by_name(name: str, options: RerankOptions) -> Reranker:
    """The re-ranker that `name` stands for, with these options but for their model. Raises as `load_reranker`."""
    kind, colon, model = name.strip().partition(":")
    if kind == NONE and not colon:
        raise UsageError(
            f"'{NONE}' stands for no re-ranker and loads none; leave it out, or name one: {choices()}"
        )
    if kind not in RERANKERS or (colon and not model.strip()):
        raise UsageError(f"'{name}' is not a re-ranker. Choose from: {choices()}, or {NONE}")
    module: Any = importlib.import_module(RERANKERS[kind].module)
    found: Reranker = module.load(replace(options, model=model or None))
    return found
