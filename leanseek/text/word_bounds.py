"""Words as Lucene's StandardTokenizer cuts them: Unicode's word boundaries (UAX #29), emoji (UTS #51), its limits.

Each character has a class, one letter, and a word is a pattern of classes:

| class | characters |
|---|---|
| L, H, N, K | letters, Hebrew letters, digits, katakana |
| I, A, a | ideographs and hiragana; letters, and marks, of Thai, Lao, Khmer, Myanmar |
| E | connectors such as the underscore |
| M, C, B, S, D | occur inside a word (`:`), a number (`,` `;`), either (`.` `’`), either (`'`), Hebrew (`"`) |
| X, Z, F, P | marks and format characters; the joiner of emoji; selectors of text and of emoji presentation |
| Y, T, U | marks that emoji need: the key cap, tags, the end of tags |
| G, g, m, R, k | emoji, emoji that are letters too, skin tones, regional indicators, `#` and `*` |
| O | all else: between words |

Where several words could begin at a character, the longest is taken. Other characters are skipped.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LONGEST = 255
"""UTF-16 units of a word at most: a longer one is cut there, and the rest is read as new text."""

ASCII_PARTS = "".join(chr(c).lower() if chr(c).isalnum() or chr(c) in "_:.,;'" else " " for c in range(128))
"""A table for `str.translate`: ASCII in lower case, with a space for characters of no word in ASCII text."""


_ALL_MARKS = "[XZFPYTUma]*"  # marks of the character before
_MARKS = "[XZYTUma]*"  # the same in emoji, where selectors are classes of their own


def _word() -> str:
    letter, digit, katakana, connector = (f"{kind}{_ALL_MARKS}" for kind in ("[LHg]", "N", "K", "E"))
    hebrew, quote, double_quote = (f"{kind}{_ALL_MARKS}" for kind in "HSD")
    chain = (
        f"(?:{hebrew}(?:{double_quote}{hebrew}|{quote})"
        f"|{letter}(?:[MBS]{_ALL_MARKS}{letter})*"
        f"|{digit}(?:[CBS]{_ALL_MARKS}{digit})*)+"
    )
    block = f"(?:(?:{katakana})+|{chain})"
    return f"(?:{connector})*{block}(?:(?:{connector})+{block})*(?:{connector})*"


def _emoji() -> str:
    emoji, tone = f"[Gg]{_MARKS}P?", f"m{_MARKS}"
    # The joiner before a next emoji may have been taken for a mark of the one before.
    joined = f"(?:(?<=Z)(?:{emoji}|{tone})|Z+{emoji}|Z{tone})"
    return f"(?:Z*{emoji}|{tone})(?:{joined}+|T+U)?"


_EMOJI = re.compile(_emoji())
_OTHER = re.compile(
    f"{_emoji()}|k{_MARKS}P?Y{_MARKS}|R{_ALL_MARKS}R{_ALL_MARKS}|[Aa][AaXZFPYTUm]*|I{_ALL_MARKS}"
)
"""All words but those of letters, digits and katakana, which alone may begin with a connector."""
_TOKEN = re.compile(f"{_word()}|{_OTHER.pattern}|((?:E{_ALL_MARKS})+|Z+)")
"""Any word; its one group is a run of connectors or joiners in which no word of letters begins."""
_INSIDE = re.compile("[Zma]")
"""Classes that may begin another word inside such a run."""


def word_bounds(text: str) -> list[tuple[int, int]]:
    """The (start, end) of each word of a text, in order."""
    classes = text.translate(_classes())
    matches = list(_TOKEN.finditer(classes))
    if "g" in classes or any(_is_intricate(match) for match in matches):
        return list(_scan(classes, text))
    return [match.span() for match in matches if match.lastindex is None]


def _is_intricate(match: re.Match[str]) -> bool:
    """Whether a word may be too long, or a word is inside a run of connectors or joiners."""
    start, end = match.span()
    return end - start > LONGEST // 2 or (
        match.lastindex is not None and _INSIDE.search(match.string, start, end) is not None
    )


def _scan(classes: str, text: str) -> Iterator[tuple[int, int]]:
    """`word_bounds`, also where a word is too long or begins with a character that is letter and emoji."""
    at = 0
    while found := _TOKEN.search(classes, at):
        at, end = found.span()
        pattern, begin = (_TOKEN, None) if found.lastindex is None else (_OTHER, _INSIDE)
        while at < end:
            if begin is not None:
                place = begin.search(classes, at, end)
                at = place.start() if place else end
                if place is None:
                    break
            limit = _limit(text, at)
            match = pattern.match(classes, at, limit)
            if classes[at] == "g":
                match = max(match, _EMOJI.match(classes, at, limit), key=lambda m: m.end() if m else at)
            if match is None or match.lastindex is not None:
                at += 1
            else:
                yield match.span()
                at = match.end()


def _limit(text: str, start: int) -> int:
    """The end of the longest part from `start` that a word may have."""
    end = start + LONGEST
    while (over := len(text[start:end].encode("utf-16-le", "surrogatepass")) // 2 - LONGEST) > 0:
        end -= -(-over // 2)
    return end


class _Classes(dict[int, str]):
    """Code point -> class, filled as code points are met."""

    def __init__(self, starts: list[int], ends: list[int], kinds: list[str]) -> None:
        super().__init__()
        self._starts = starts
        self._ends = ends
        self._kinds = kinds

    def __missing__(self, code: int) -> str:
        place = bisect_right(self._starts, code) - 1
        kind = self[code] = self._kinds[place] if place >= 0 and code <= self._ends[place] else "O"
        return kind


@cache
def _classes() -> _Classes:
    ranges = []
    lines = Path(__file__).with_name("word_break.txt").read_text(encoding="ascii").splitlines()
    for kind, *spans in (line.split() for line in lines if not line.startswith("#")):
        for span in spans:
            first, _, last = span.partition("-")
            ranges.append((int(first, 16), int(last or first, 16), kind))
    starts, ends, kinds = zip(*sorted(ranges), strict=True)
    return _Classes(list(starts), list(ends), list(kinds))
