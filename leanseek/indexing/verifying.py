"""Whether every byte of an index is as it was committed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from leanseek.errors import IndexDamagedError
from leanseek.indexing.catalog import (
    CATALOG,
    SEAL,
    SEGMENTS,
    check_seal,
    file_problem,
    read_state,
    storage_errors,
)
from leanseek.indexing.locking import LOCK
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
        report, generation = check(folder, progress)
        if report.sound or generation is None or read_state(folder).generation == generation:
            return report
        # A commit came between: what was looked for may be gone rightly.


def check(folder: Path, progress: Progress | None) -> tuple[VerifyReport, int | None]:
    """One pass, and the generation that it judged; None where the catalog cannot be read."""
    try:
        state = read_state(folder)
        damage = check_seal(folder, state.generation)
    except IndexDamagedError as error:
        return VerifyReport(1, (folder / CATALOG).stat().st_size, (str(error),), ()), None
    problems = [damage] if damage is not None else []
    known = {CATALOG, SEAL, LOCK}
    total = sum(file.size for segment in state.segments for file in segment.files)
    done = 0
    for segment in state.segments:
        for file in segment.files:
            name = f"{segment.folder}/{file.name}"
            known.add(name)
            with storage_errors(folder):
                problem = file_problem(folder, segment, file)
            if problem is not None:
                problems.append(problem)
            done += file.size
            if progress is not None:
                progress("verifying", done, total)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strangers = sorted(name for name in present - known if not name.startswith(f"{SEGMENTS}/"))
    return VerifyReport(len(known) - 2, total, tuple(problems), tuple(strangers)), state.generation
