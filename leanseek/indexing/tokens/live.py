"""The passages of an index whose token vectors can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.block import KEY_BYTES, Keys, keys_of
from leanseek.types import Int64Array, content

BLOCK: Final = 4096


def live_ordinals(snapshot: Snapshot) -> Int64Array:
    """(n,) the global ordinals of the passages that are not deleted, ascending."""
    return np.arange(snapshot.size) if snapshot.live is None else np.flatnonzero(snapshot.live)


def live_passages(snapshot: Snapshot) -> Iterator[list[StoredPassage]]:
    """The passages that are not deleted, block by block."""
    ordinals = live_ordinals(snapshot)
    for start in range(0, len(ordinals), BLOCK):
        yield snapshot.passages.get(ordinals[start : start + BLOCK])


def live_keys(snapshot: Snapshot, tell: Callable[[int], None] | None = None) -> Keys:
    """(n,) the keys of the passages at `live_ordinals`; `tell` is called with how many have been read."""
    found = [np.zeros(0, dtype=f"S{KEY_BYTES}")]
    done = 0
    for passages in live_passages(snapshot):
        found.append(keys_of([content(one.title, one.text) for one in passages]))
        done += len(passages)
        if tell is not None:
            tell(done)
    return np.concatenate(found)
