"""The kinds of dense index by name: when one is right, how it is built, opened, described and carried over.

Nothing of a kind is imported before one of its indexes is built or opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.dense.base import FLAT_FILE, LEAN_FILE, DenseIndex
from leanseek.indexing.settings import LeanKind, LeanSettings, Method, Precision, Primary
from leanseek.types import Float32Array

if TYPE_CHECKING:
    from leanseek.indexing.dense.lean.lean_index import LeanInfo
    from leanseek.indexing.dense.lean.meta import Learned
    from leanseek.indexing.learning_queries import Lesson

LEAN_FROM: Final = 20_000
"""With fewer vectors an exact search answers in less time than encoding the query takes."""
LEAN_AT_ALL_FROM: Final = 1_000
"""With fewer there is too little to learn from, even where the setting is `lean`."""
_SPOOL: Final = "spool.f32"


@dataclass(frozen=True, slots=True)
class DenseKind:
    """What the rest of the package needs of a kind of dense index."""

    file: str
    """By which of its files a saved index is recognised."""
    fits: Callable[[str, int], bool]
    """Whether so many vectors of one segment are indexed in this way, given the index's setting of `dense`."""
    build: Callable[
        [Path, Iterable[Float32Array], tuple[int, int], LeanSettings, Callable[[], Lesson], str | None], None
    ]
    """Make the index of vectors (n, D), given in blocks (c, D), in an existing folder.

    `lesson` is called only where something is learned, once all vectors are there. The last is the device to work on.
    """
    open: Callable[[Path], DenseIndex]
    """The index that was saved in a folder. Raises IndexDamagedError where it cannot be read."""
    describe: Callable[[Any], LeanInfo | None]
    """What `info` reports of an index besides its size; None where there is nothing."""
    carry: Callable[[Any], Learned | None]
    """What compaction hands to the index that takes this one's place; None where nothing was learned."""


def check_dense(setting: str, lean: LeanSettings) -> None:
    """Raise UsageError where there is no such dense index, or its settings are out of range."""
    if setting not in ("auto", *DENSE):
        raise UsageError(f"'{setting}' is not a dense index. Choose from: auto, {', '.join(DENSE)}, none")
    lean.check()


def kind_for(setting: str, size: int) -> DenseKind:
    """The kind in which `size` vectors of one segment are indexed, given the index's setting of `dense`."""
    return next(kind for kind in DENSE.values() if kind.fits(setting, size))


def kind_in(folder: Path) -> DenseKind:
    """The kind of the index that was saved in `folder`."""
    return next((kind for kind in DENSE.values() if (folder / kind.file).is_file()), DENSE["flat"])


def _build_flat(
    folder: Path,
    blocks: Iterable[Float32Array],
    shape: tuple[int, int],
    settings: LeanSettings,
    lesson: Callable[[], Lesson],
    device: str | None = None,
) -> None:
    from leanseek.indexing.dense.flat import FlatIndex

    index = FlatIndex.empty(shape[1])
    for block in blocks:
        index.add(block)
    index.save(folder)


def _open_flat(folder: Path) -> DenseIndex:
    from leanseek.indexing.dense.flat import FlatIndex

    return FlatIndex.open(folder)


def _lean_fits(setting: str, size: int) -> bool:
    return size >= {"lean": LEAN_AT_ALL_FROM, "auto": LEAN_FROM}.get(setting, size + 1)


def _build_lean(
    folder: Path,
    blocks: Iterable[Float32Array],
    shape: tuple[int, int],
    settings: LeanSettings,
    lesson: Callable[[], Lesson],
    device: str | None = None,
) -> None:
    from leanseek.indexing.dense.lean.lean_index import LeanVecIndex

    # Beside the folder, which the index takes the place of.
    spooled = folder.with_name(_SPOOL)
    try:
        vectors = spool(spooled, blocks, shape)
        queries, source = lesson()
        LeanVecIndex.build(
            vectors,
            queries,
            settings.dims or "auto",
            cast(LeanKind, settings.kind),
            settings.recall,
            primary=cast(Primary | None, settings.primary),
            secondary=cast(Precision, settings.precision),
            source=source,
            reduction=cast(Method, settings.reduction),
            into=folder,
            device=device,
        )
    finally:
        spooled.unlink(missing_ok=True)


def spool(path: Path, blocks: Iterable[Float32Array], shape: tuple[int, int]) -> Float32Array:
    """A read-only memory map (n, D) of the blocks, written to `path` one after another."""
    # Written, not mapped for writing: on a full disk a write is an error, and a map ends the process.
    with path.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=np.float32).data)
    return np.memmap(path, np.float32, "r", shape=shape)


def _open_lean(folder: Path) -> DenseIndex:
    from leanseek.indexing.dense.lean.lean_index import LeanVecIndex

    return LeanVecIndex.open(folder)


DENSE: Final[dict[str, DenseKind]] = {
    "flat": DenseKind(
        file=FLAT_FILE,
        fits=lambda setting, size: not _lean_fits(setting, size),
        build=_build_flat,
        open=_open_flat,
        describe=lambda index: None,
        carry=lambda index: None,
    ),
    "lean": DenseKind(
        file=LEAN_FILE,
        fits=_lean_fits,
        build=_build_lean,
        open=_open_lean,
        describe=lambda index: index.describe(),
        carry=lambda index: index.learned,
    ),
}
