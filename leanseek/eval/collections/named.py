"""BEIR's collections by name: from a mirror, else from the cache, else from the official server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from filelock import FileLock

from leanseek.encode.folders import cache_folder
from leanseek.errors import InputError
from leanseek.eval.collections.beir import beir_folder
from leanseek.eval.collections.downloading import UnreachableError, digest, download
from leanseek.eval.collections.files import FilesCollection
from leanseek.eval.collections.official import OFFICIAL_URL, Official, official, official_names
from leanseek.eval.collections.unpacking import unpack
from leanseek.types import Progress

MIRROR: Final = "LEANSEEK_BEIR_MIRROR"
HOW_TO_MIRROR: Final = (
    f"Give a mirror with --mirror, mirror= or {MIRROR}: a folder that has NAME/ or NAME.zip, or the URL below "
    "which NAME.zip is. Or name the folder that holds the collection."
)


def beir_cache() -> Path:
    """Where downloaded collections are kept."""
    return cache_folder() / "beir"


def open_official(wanted: Official, mirror: str | None, progress: Progress) -> FilesCollection:
    """Open a collection of BEIR, fetching it first where it is not there yet.

    Raises InputError where it cannot be had, telling what was tried; StorageError where it cannot be kept.
    """
    mirror = mirror or os.environ.get(MIRROR) or None
    root = None
    if mirror is not None and not is_url(mirror):
        root = Path(mirror).expanduser() / wanted.archive
        if not root.is_dir():
            root = from_archive(wanted, root.with_name(f"{wanted.archive}.zip"), mirror, progress)
    else:
        root = beir_cache() / wanted.archive
        if not root.is_dir():
            fetch(wanted, root, mirror, progress)
    found = beir_folder(root / wanted.folder if wanted.folder else root, wanted.name)
    if found is None:
        raise InputError(f"{root / wanted.folder}: the collection has no corpus.jsonl there. {HOW_TO_MIRROR}")
    return found


def from_archive(wanted: Official, archive: Path, mirror: str, progress: Progress) -> Path:
    """Unpack a mirror's archive into the cache; returns the folder."""
    target = beir_cache() / wanted.archive
    if target.is_dir():
        return target
    if not archive.is_file():
        raise InputError(
            f"the mirror {mirror} has neither {archive.stem}/ nor {archive.name}, so '{wanted.name}' is not "
            f"there. {HOW_TO_MIRROR}"
        )
    with locked(wanted):
        if not target.is_dir():
            if wanted.md5 is not None and (found := digest(archive)) != wanted.md5:
                raise InputError(
                    f"{archive} has the MD5 {found} instead of {wanted.md5}: it is damaged, or not the official "
                    "archive. Fetch it again, or unpack it there to use it as it is."
                )
            unpack(archive, target, progress)
    return target


def fetch(wanted: Official, target: Path, mirror: str | None, progress: Progress) -> None:
    """Download, check and unpack; one process at a time."""
    if wanted.md5 is None:
        raise InputError(
            f"'{wanted.name}' is not handed out by BEIR, because of its licence; its README tells how to make it. "
            f"{HOW_TO_MIRROR}"
        )
    url = f"{(mirror or OFFICIAL_URL).rstrip('/')}/{wanted.archive}.zip"
    with locked(wanted):
        if target.is_dir():
            return
        archive = target.with_name(f"{wanted.archive}.zip")
        if not archive.is_file():
            try:
                download(url, archive, wanted.md5, progress)
            except UnreachableError as error:
                raise InputError(
                    f"the collection '{wanted.name}' is neither in {target} nor could it be downloaded: {error}. "
                    f"{HOW_TO_MIRROR}"
                ) from error
        try:
            unpack(archive, target, progress)
        finally:
            archive.unlink(missing_ok=True)


def locked(wanted: Official) -> FileLock:
    """Held by the process that fetches an archive; another one waits, and finds it done."""
    beir_cache().mkdir(parents=True, exist_ok=True)
    return FileLock(beir_cache() / f".{wanted.archive}.lock")


def is_url(mirror: str) -> bool:
    """Whether a mirror is on the network rather than a folder."""
    return mirror.startswith(("http://", "https://"))


def cached() -> list[FilesCollection]:
    """The collections that were downloaded, by name."""
    found = []
    for name in official_names():
        wanted = official(name)
        if wanted is not None and (beir_cache() / wanted.archive).is_dir():
            found.append(beir_folder(beir_cache() / wanted.archive / wanted.folder, wanted.name))
    return [collection for collection in found if collection is not None]
