"""Whether every byte of an index is as it was committed."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from leanseek.errors import IndexDamagedError, StorageError
from leanseek.indexing.catalog import CATALOG, LOCK, SEAL, SEGMENTS, check_seal, read_state
from leanseek.indexing.integrity import file_problem
from leanseek.indexing.tokens.store import store_problems
from leanseek.types import Progress


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and what is wrong; `strangers` are files that do not belong to the index."""

    files: int
    size: int
    problems: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing is damaged or missing."""
        return not self.problems


def verify(path: str | os.PathLike[str], progress: Progress | None = None) -> VerifyReport:
    """Read every file of the index and compare it with the checksum that was committed with it.

    Raises IndexNotFoundError or IndexFormatError; damage is reported, not raised.
    """
    folder = Path(path)
    while True:
        generation = _generation(folder)
        refusal: OSError | None = None
        try:
            report = _check(folder, progress)
        except OSError as error:
            refusal = error
        if generation != _generation(folder):
            continue  # a commit came between, and may have removed files
        if refusal is not None:
            where = f" '{refusal.filename}'" if refusal.filename else ""
            raise StorageError(f"reading{where} failed: {refusal.strerror or refusal}") from refusal
        return report


def _generation(folder: Path) -> int | None:
    """The committed generation; None where the catalog is damaged."""
    try:
        return read_state(folder).generation
    except IndexDamagedError:
        return None


def _check(folder: Path, progress: Progress | None) -> VerifyReport:
    """One pass. Raises OSError for a file that cannot be read."""
    try:
        state = read_state(folder)
        damage = check_seal(folder, state.generation)
    except IndexDamagedError as error:
        return VerifyReport(1, (folder / CATALOG).stat().st_size, (str(error),), ())
    problems = [damage] if damage is not None else []
    known = {CATALOG, SEAL, LOCK}
    total = sum(file.size for segment in state.segments for file in segment.files)
    done = 0
    for segment in state.segments:
        for file in segment.files:
            name = f"{segment.folder}/{file.name}"
            known.add(name)
            if (problem := file_problem(folder / segment.folder, file)) is not None:
                problems.append(f"{name} {problem}")
            done += file.size
            if progress is not None:
                progress("verifying", done, total)
    damaged, files = store_problems(folder)
    again = shlex.quote(str(folder))
    problems += [f"{problem} (made again by: leanseek tokens {again})" for problem in damaged]
    known.update(path.relative_to(folder).as_posix() for path in files)
    total += sum(path.stat().st_size for path in files)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strangers = sorted(name for name in present - known if not name.startswith(f"{SEGMENTS}/"))
    return VerifyReport(len(known) - 2, total, tuple(problems), tuple(strangers))
