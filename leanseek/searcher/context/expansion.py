"""Neighbours of found passages: more of their documents, in the order in which a context's budget goes to them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.search_source import SearchSource
from leanseek.rerank.base import part
from leanseek.searcher.answer import hit_of
from leanseek.types import Hit

STEP: Final = 1.0
"""How many ranks below its hit a neighbour stands, for each passage that it is away; see docs/context.md."""
_WINDOW: Final = re.compile(r"window:([1-9][0-9]{0,8})")


class Expansion(NamedTuple):
    """How many passages on either side of a found one belong to a context; None: the whole document."""

    window: int | None


class _Wanted(NamedTuple):
    """Passage `number` of the document of the hit at a `place`; in the order in which they are packed."""

    standing: float
    place: int
    distance: int
    number: int


def parse_expansion(given: str) -> Expansion:
    """The expansion named `passage`, `window:N` or `document`. Raises UsageError for anything else."""
    if given == "passage":
        return Expansion(0)
    if given == "document":
        return Expansion(None)
    window = _WINDOW.fullmatch(given) if isinstance(given, str) else None
    if window is None:
        raise UsageError(
            f"expand is {given!r}; give passage, window:N with the number of neighbours on either side, such as "
            "window:1, or document"
        )
    return Expansion(int(window[1]))


def expanded(hits: Sequence[Hit], expansion: Expansion, snapshot: SearchSource, most: int) -> list[Hit]:
    """The hits and their neighbours in the order in which they are to be packed, no passage twice.

    There are no neighbours after the first `most`, which is how many passages there can be room for.

    A neighbour comes after its hit and those ranked better. The nearest come right after it; of a window those that are
    two passages away come after the next hit, and so on, `STEP` ranks for each passage, while whole documents are
    completed one after the other. Neighbours have rank 0, and the score of their hit.
    """
    step = STEP if expansion.window is not None else 0.0
    queues = [_around(place, hit, expansion.window, step) for place, hit in enumerate(hits)]
    chosen: dict[tuple[str, int], _Wanted] = {}
    for wanted in heapq.merge(*queues):
        if len(chosen) == most:
            break
        chosen.setdefault((hits[wanted.place].id, wanted.number), wanted)
    for place, hit in enumerate(hits):
        chosen.setdefault((hit.id, part(hit)), _Wanted(place, place, 0, part(hit)))
    here = {(hit.id, part(hit)): hit for hit in hits}
    beside = [key for key in chosen if key not in here]
    ordinals = snapshot.find(list(dict.fromkeys(id for id, _ in beside)))
    parts = {id: sorted(found) for id, found in ordinals.items()}
    stored = snapshot.passages.get(np.array([parts[id][number] for id, number in beside], dtype=np.int64))
    for key, passage in zip(beside, stored, strict=True):
        here[key] = hit_of(passage, 0, hits[chosen[key].place].score)
    return [here[key] for key in chosen]


def _around(place: int, hit: Hit, window: int | None, step: float) -> Iterator[_Wanted]:
    """The hit's own passage, then its neighbours, the nearest first and the following before the preceding."""
    own = part(hit)
    yield _Wanted(place, place, 0, own)
    if hit.passage is None:
        return
    last = hit.passage.count - 1
    reach = max(own, last - own) if window is None else min(window, max(own, last - own))
    for distance in range(1, reach + 1):
        for number in (own + distance, own - distance):
            if 0 <= number <= last:
                yield _Wanted(place + step * distance, place, distance, number)
