"""Collections by name: folders of any layout, BEIR's, ir_datasets', Qilin's."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.answer_report import QILIN
from leanseek.eval.base import Collection
from leanseek.eval.collections.archives import cached, open_official
from leanseek.eval.collections.collection_files import FilesCollection
from leanseek.eval.collections.irds import PREFIX as IRDS
from leanseek.eval.collections.irds import IrdsCollection
from leanseek.eval.collections.layouts import (
    BEIR_NEEDS,
    MS_MARCO_NEEDS,
    TREC_NEEDS,
    beir_folder,
    msmarco_folder,
    trec_folder,
)
from leanseek.eval.collections.official import official, official_names
from leanseek.eval.collections.qilin import QilinCollection
from leanseek.types import Progress, silent

KINDS: Final = (
    (beir_folder, BEIR_NEEDS),
    (msmarco_folder, MS_MARCO_NEEDS),
    (trec_folder, TREC_NEEDS),
)
BEIR: Final = "beir:"


def open_collection(
    name_or_path: str | os.PathLike[str], *, mirror: str | None = None, progress: Progress | None = None
) -> Collection:
    """Open a test collection.

    - a folder: BEIR's layout, MS MARCO's, or TREC's documents, topics and judgments, recognised by its files;
    - `beir:scifact`, or `scifact` where there is no folder of that name: a collection of BEIR, downloaded once
      into the cache folder, or taken from a mirror: a folder with NAME/ or NAME.zip, or the URL below which
      NAME.zip is (`mirror`, else the environment variable LEANSEEK_BEIR_MIRROR);
    - `irds:vaswani`: any data set of ir_datasets, by its id;
    - `qilin:FOLDER`: Qilin's folder, with sessions and answers (see `QilinCollection`).

    Raises InputError for what is no collection or cannot be downloaded, UsageError for a name that stands for several
    collections or an id that ir_datasets does not know, MissingPackageError, StorageError.
    """
    given = os.fspath(name_or_path)
    if given.startswith(IRDS):
        return IrdsCollection(given.removeprefix(IRDS))
    if given.startswith(QILIN):
        return QilinCollection(Path(given.removeprefix(QILIN)).expanduser())
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
        f"Ids of ir_datasets begin with {IRDS}, a folder of Qilin with {QILIN}. What makes a folder a "
        f"collection:\n{kinds}"
    )


def list_collections(folder: str | os.PathLike[str] | None = None) -> list[FilesCollection]:
    """The collections that are folders of `folder` (or `folder` itself), by name; None: those downloaded so far.

    Raises InputError where `folder` is no folder.
    """
    if folder is None:
        return cached()
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if has_collection(root):
        return [open_folder(root)]
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return [open_folder(path) for path in inside if has_collection(path)]


def open_folder(folder: Path) -> FilesCollection:
    """The collection in a folder, recognised by its files and named after the folder.

    Raises InputError where it is no folder or no kind fits, listing what each needs.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: a collection is a folder, and this is a file; name the folder it is in")
    found = of_any_kind(folder)
    if found is not None:
        return found
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and has_collection(path)]
    needs = "\n".join(f"  {need}" for _, need in KINDS)
    if inside:
        shown = ", ".join(inside[:20])
        raise InputError(f"{folder} is no collection, but holds {len(inside)}: {shown}. Name one of them.")
    raise InputError(f"{folder} holds no collection. What makes one:\n{needs}")


def of_any_kind(folder: Path) -> FilesCollection | None:
    """The collection that the folder is, or None."""
    name = folder.resolve().name
    return next((found for kind, _ in KINDS if (found := kind(folder, name)) is not None), None)


def has_collection(folder: Path) -> bool:
    """Whether a folder is a collection; False where it cannot be read."""
    try:
        return of_any_kind(folder) is not None
    except (InputError, OSError):
        return False
