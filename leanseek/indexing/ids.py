"""All document ids of a segment, held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from leanseek.types import Int64Array


class DocumentIds:
    """The ids of n passages in the order of their ordinals: one run of UTF-8, and where each ends (n,)."""

    def __init__(self, blocks: Iterable[Sequence[str]]) -> None:
        texts: list[bytes] = []
        lengths = [np.zeros(1, dtype=np.int64)]
        for block in blocks:
            encoded = [identifier.encode() for identifier in block]
            texts.append(b"".join(encoded))
            lengths.append(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))
        self._text = b"".join(texts)
        self._bounds = np.cumsum(np.concatenate(lengths))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def take(self, ordinals: Int64Array) -> list[str]:
        """The ids of the passages at the given ordinals (c,), in that order."""
        starts, ends = self._bounds[ordinals].tolist(), self._bounds[ordinals + 1].tolist()
        return [self._text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
