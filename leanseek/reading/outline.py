"""Where the pages and sections of a document begin: lists in its metadata, of which each passage has its part.

`page_starts` are characters of the text, in order: of pages 1, 2, … or of those that `page_numbers` names.
`heading_starts` and `headings` are the same for sections. Lists that are not like that are metadata as any other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from leanseek.types import Mark, Metadata, MetadataValue

PAGES: Final = ("page_starts", "page_numbers", int)
HEADINGS: Final = ("heading_starts", "headings", str)
"""The field of the starts, that of what begins there, and its type."""


def joined(pages: Iterable[str]) -> tuple[str, list[int]]:
    """Pages as one text, an empty line between them, and where each begins: one without text where the next does."""
    texts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in pages:
        starts.append(length)
        if page:
            texts.append(page)
            length += len(page) + 2
    text = "\n\n".join(texts)
    return text, [min(start, len(text)) for start in starts]


def sections(found: Iterable[tuple[int, str]]) -> dict[str, MetadataValue]:
    """The metadata of headings, each with the character at which its section begins; none for none."""
    starts, headings = [], []
    for start, heading in found:
        starts.append(start)
        headings.append(heading)
    return {HEADINGS[0]: [*starts], HEADINGS[1]: [*headings]} if starts else {}


def headings_of(metadata: Metadata) -> Iterator[tuple[int, str]]:
    """The headings of a document's metadata, with where their sections begin."""
    starts, headings = _listed(metadata, HEADINGS)
    return zip(starts, map(str, headings), strict=True)


def marks(metadata: Metadata, start: int, end: int) -> tuple[Mark, ...]:
    """What is known of the pages and sections of characters [start, end) of the document with these metadata."""
    if not _may_have(metadata):
        return ()
    page_starts, numbers = _between(_listed(metadata, PAGES), start, end)
    heading_starts, headings = _between(_listed(metadata, HEADINGS), start, end)
    found = []
    for at in sorted({max(at, start) for at in (*page_starts, *heading_starts)}):
        page, heading = bisect_right(page_starts, at) - 1, bisect_right(heading_starts, at) - 1
        found.append(
            Mark(at, numbers[page] if page >= 0 else None, headings[heading] if heading >= 0 else None)  # type: ignore[arg-type]
        )
    return tuple(found)


def own_part(metadata: Metadata, start: int, end: int) -> Metadata:
    """The metadata of the passage at characters [start, end), with only its own pages and sections."""
    plain = without_outline(metadata)
    if plain is metadata:
        return metadata
    found: dict[str, MetadataValue] = {**plain}
    for kind in (PAGES, HEADINGS):
        starts, values = _between(_listed(metadata, kind), start, end)
        if starts:
            found |= {kind[0]: [*starts], kind[1]: [*values]}
    return found


def without_outline(metadata: Metadata) -> Metadata:
    """The metadata without these lists: the same object where there are none."""
    if not _may_have(metadata):
        return metadata
    dropped = {name for kind in (PAGES, HEADINGS) if _listed(metadata, kind)[0] for name in kind[:2]}
    return {name: value for name, value in metadata.items() if name not in dropped} if dropped else metadata


def _may_have(metadata: Metadata) -> bool:
    """Whether there may be such lists; most metadata have none, and every hit's are looked at."""
    return PAGES[0] in metadata or HEADINGS[0] in metadata


def _listed(metadata: Metadata, kind: tuple[str, str, type]) -> tuple[Sequence[int], Sequence[int | str]]:
    """The starts, and what begins there; two empty lists where the metadata have no such lists."""
    starts = metadata.get(kind[0])
    if not isinstance(starts, list) or not all(type(one) is int and one >= 0 for one in starts):
        return (), ()
    values = metadata.get(kind[1], [*range(1, len(starts) + 1)] if kind is PAGES else None)
    if (
        not isinstance(values, list)
        or len(values) != len(starts)
        or not all(type(one) is kind[2] for one in values)
        or any(one > next for one, next in pairwise(starts))  # type: ignore[operator]
    ):
        return (), ()
    return starts, values  # type: ignore[return-value]


def _between(
    listed: tuple[Sequence[int], Sequence[int | str]], start: int, end: int
) -> tuple[Sequence[int], Sequence[int | str]]:
    """What begins in characters [start, end), and the last before; of several at one place the last."""
    starts, values = listed
    first = max(bisect_right(starts, start) - 1, 0)
    last = bisect_left(starts, end)
    kept = [
        place for place in range(first, last) if place + 1 == len(starts) or starts[place + 1] > starts[place]
    ]
    return [starts[place] for place in kept], [values[place] for place in kept]
