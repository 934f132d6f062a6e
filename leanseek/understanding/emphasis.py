"""Emphatic repeats: `pump pump pump pump` asks for what `pump` asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, compress
from string import punctuation

TIMES = 3
"""So often in a row is emphasis; twice may be a name (New York, New York)."""
LONGEST = 32
"""Words of the longest run that is recognised when it is repeated."""

_WORD = re.compile(r"\S+")
_MARKS = (
    f"{punctuation}\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2026\u2013\u2014\u3001\u3002\uff01\uff0c\uff1f"
)


def without_repeats(query: str) -> str:
    """A query in which what comes three times or more in a row, one word or up to 32, comes once.

    Case and the marks around words do not count; numbers may repeat. A single word stays where the query has it first.
    A query without such repeats is returned as it is, to the character. Time is linear in its length.
    """
    words = _WORD.findall(query)
    plain = [word.strip(_MARKS).casefold() or word for word in words]
    lettered = [any(map(str.isalpha, word)) for word in plain]
    if max(Counter(compress(plain, lettered)).values(), default=0) < TIMES:
        return query
    kept: Sequence[int] = range(len(words))
    for size in range(1, LONGEST + 1):
        if size * TIMES > len(kept):
            break
        kept = once_in_a_row(plain, lettered, kept, size)
    return query if len(kept) == len(words) else " ".join(words[place] for place in kept)


def once_in_a_row(
    words: Sequence[str], lettered: Sequence[bool], kept: Sequence[int], size: int
) -> Sequence[int]:
    """The places of `kept` without repeats, three or more in a row, of `size` words; `lettered`: which have letters."""
    same = [0] * len(kept)
    for at in range(len(kept) - size - 1, -1, -1):
        if words[kept[at]] == words[kept[at + size]]:
            same[at] = same[at + 1] + 1
    if max(same) < size * (TIMES - 1):
        return kept
    letters = [0, *accumulate(lettered[place] for place in kept)]
    found: list[int] = []
    seen: set[str] = set()
    at = 0
    while at < len(kept):
        repeats = same[at] // size
        if repeats < TIMES - 1 or letters[at + size] == letters[at]:
            found.append(kept[at])
            end = at + 1
        else:
            if size > 1 or words[kept[at]] not in seen:
                found += kept[at : at + size]
            end = at + size * (repeats + 1)
        seen.add(words[kept[at]])
        at = end
    return found
