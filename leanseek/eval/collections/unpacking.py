"""A zip archive into a folder: whole or not at all, and never beside it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from leanseek.encode.folders import new_folder
from leanseek.errors import InputError
from leanseek.types import Progress

_BLOCK: Final = 1 << 20
_STRAY: Final = ("__MACOSX", ".DS_Store")


def unpack(archive: Path, target: Path, progress: Progress) -> None:
    """Make `target` the folder that the archive holds at its top (or all it holds, if that is several).

    Raises InputError for an archive that is damaged, empty, or has a member that would stand outside of the
    folder or is a link, and StorageError where it cannot be written. Nothing is left behind then.
    """
    try:
        with zipfile.ZipFile(archive) as file, new_folder(target) as folder:
            members = [(member, inside(archive, member)) for member in file.infolist() if not member.is_dir()]
            members = [
                (member, parts) for member, parts in members if not any(part in _STRAY for part in parts)
            ]
            if not members:
                raise InputError(f"{archive}: the archive is empty")
            tops = {parts[0] for _, parts in members}
            skipped = 1 if len(tops) == 1 and all(len(parts) > 1 for _, parts in members) else 0
            total = sum(member.file_size for member, _ in members)
            done = 0
            for member, parts in members:
                path = folder.joinpath(*parts[skipped:])
                path.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, _BLOCK)
                done += member.file_size
                progress("unpacking", done, total)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{archive}: the archive is damaged or of a kind that is not read: {error}"
        ) from error


def inside(archive: Path, member: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's path. Raises InputError for one that leads out of the folder, and for a link."""
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0] or kind == stat.S_IFLNK:
        raise InputError(
            f"{archive}: the archive has a member '{member.filename}' that does not belong into a folder of its "
            "own; nothing was unpacked"
        )
    return parts
