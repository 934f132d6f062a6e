"""What an index tells about itself, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, get_args

from leanseek.errors import IndexDamagedError, IndexFormatError, StorageError
from leanseek.indexing.dense.lean.calibrating import Calibration, CurvePoint
from leanseek.indexing.dense.lean.engine import Effort
from leanseek.indexing.dense.lean.learned import Source
from leanseek.indexing.dense.lean.opening import Primary
from leanseek.indexing.dense.lean.rows import Precision

FILE: Final = "lean.json"
VERSION: Final = 2
_KINDS: Final = ("flat", "ivf", "hnsw")


@dataclass(frozen=True)
class Meta:
    """The properties of LeanVecIndex that its arrays do not hold."""

    size: int
    dimensions: int
    dims: int
    kind: str
    primary: Primary
    secondary: Precision
    recall: float
    method: str
    source: Source
    """What the queries were that it was learned from, see `Learned`."""
    learned_loss: float
    """The relative loss of inner products when the reduction was learned."""
    loss: float
    """The same on the vectors that are indexed: greater where they are of another kind."""
    notes: tuple[str, ...]
    calibration: Calibration


def save_meta(folder: Path, meta: Meta) -> None:
    """Write it into an existing folder. Raises StorageError where the disk refuses."""
    path = folder / FILE
    try:
        path.write_text(json.dumps({"version": VERSION, **asdict(meta)}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"writing '{path}' failed: {error.strerror or error}") from error


def open_meta(folder: Path) -> Meta:
    """What `save_meta` wrote.

    Raises IndexDamagedError where it cannot be read, IndexFormatError where a newer version wrote it, and
    FileNotFoundError where there is none.
    """
    path = folder / FILE
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        version = given.pop("version")
        if version > VERSION:
            raise IndexFormatError(
                f"'{path}' has format {version}, and this leanseek reads up to {VERSION}; install a newer leanseek"
            )
        if version == 1:
            given["primary"] = "sq8" if given["kind"] == "hnsw" else "pq4"
        points, curve = (
            tuple(CurvePoint(k, Effort(*effort), recall) for k, effort, recall in part)
            for part in given.pop("calibration")
        )
        meta = Meta(**{**given, "notes": tuple(given["notes"]), "calibration": Calibration(points, curve)})
        known = meta.primary in get_args(Primary) and meta.secondary in get_args(Precision)
        if not points or meta.kind not in _KINDS or not known:
            raise ValueError(f"no such index: {meta.kind}, {meta.primary}, {meta.secondary}")
    except (UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise IndexDamagedError(f"'{path}' cannot be read: {error}") from error
    return meta
