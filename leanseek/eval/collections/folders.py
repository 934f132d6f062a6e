"""Folders that hold a collection: which kind it is, and which collections lie in one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from leanseek.errors import InputError
from leanseek.eval.collections import beir, msmarco, named, trec
from leanseek.eval.collections.files import FilesCollection

KINDS: Final = (
    (beir.beir_folder, beir.NEEDS),
    (msmarco.msmarco_folder, msmarco.NEEDS),
    (trec.trec_folder, trec.NEEDS),
)


def open_folder(folder: Path) -> FilesCollection:
    """The collection in a folder, by what it holds; it is called after the folder.

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
    """Whether a folder is a collection, as far as that can be told."""
    try:
        return of_any_kind(folder) is not None
    except (InputError, OSError):
        return False


def list_collections(folder: str | os.PathLike[str] | None = None) -> list[FilesCollection]:
    """The collections that are folders of `folder` (or `folder` itself), by name; None: those downloaded so far.

    Raises InputError where `folder` is not there or is no folder.
    """
    if folder is None:
        return named.cached()
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if has_collection(root):
        return [open_folder(root)]
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return [open_folder(path) for path in inside if has_collection(path)]
