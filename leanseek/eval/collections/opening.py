"""`open_collection`: from what a user types to a collection."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.base import Collection
from leanseek.eval.collections.folders import KINDS, open_folder
from leanseek.eval.collections.irds import PREFIX as IRDS
from leanseek.eval.collections.irds import IrdsCollection
from leanseek.eval.collections.named import open_official
from leanseek.eval.collections.official import official, official_names
from leanseek.types import Progress

BEIR: Final = "beir:"


def silent(stage: str, done: int, total: int | None) -> None:
    """The progress of those who do not ask for it."""


def open_collection(
    name_or_path: str | os.PathLike[str], *, mirror: str | None = None, progress: Progress | None = None
) -> Collection:
    """Open a test collection.

    - a folder: BEIR's layout, MS MARCO's, or TREC's documents, topics and judgments, told by what it holds;
    - `beir:scifact`, or `scifact` where there is no folder of that name: a collection of BEIR, downloaded once
      into the cache folder, or taken from a mirror: a folder with NAME/ or NAME.zip, or the URL below which
      NAME.zip is (`mirror`, else the environment variable LEANSEEK_BEIR_MIRROR);
    - `irds:vaswani`: any data set of ir_datasets, by its id.

    Raises InputError for what is no collection or cannot be had, UsageError for a name that stands for several
    collections or an id that ir_datasets does not know, MissingPackageError, StorageError.
    """
    given = os.fspath(name_or_path)
    if given.startswith(IRDS):
        return IrdsCollection(given.removeprefix(IRDS))
    if not given.startswith(BEIR) and Path(given).exists():
        return open_folder(Path(given))
    name = given.removeprefix(BEIR)
    wanted = official(name)
    if wanted is not None:
        return open_official(wanted, mirror, progress or silent)
    close = difflib.get_close_matches(name.lower(), official_names(), 3, 0.6)
    likely = f" Did you mean {' or '.join(close)}?" if close else ""
    kinds = "\n".join(f"  {needs}" for _, needs in KINDS)
    raise InputError(
        f"'{given}' is no folder, and no collection of BEIR.{likely} BEIR's names: {', '.join(official_names())}. "
        f"Ids of ir_datasets begin with {IRDS}. What makes a folder a collection:\n{kinds}"
    )
