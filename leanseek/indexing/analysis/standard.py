"""Words as Lucene's StandardTokenizer cuts them: Unicode's word boundaries (UAX #29), emoji (UTS #51), its limits.

Each character has a class, one letter, and a word is a pattern of classes:

| class | characters |
|---|---|
| L, H, N, K | letters, Hebrew letters, digits, katakana |
| I, A, a | ideographs and hiragana; letters, and marks, of Thai, Lao, Khmer, Myanmar |
| E | connectors such as the underscore |
| M, C, B, S, D | stand inside a word (`:`), a number (`,` `;`), either (`.` `’`), either (`'`), Hebrew (`"`) |
| X, Z, F, P | marks and format characters; the joiner of emoji; selectors of text and of emoji presentation |
| Y, T, U | marks that emoji need: the key cap, tags, the end of tags |
| G, g, m, R, k | emoji, emoji that are letters too, skin tones, regional indicators, `#` and `*` |
| O | all else: between words |

Where several words could begin at a character, the longest does. What is no word is passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LONGEST = 255
"""UTF-16 units of a word at most: a longer one is cut there, and the rest is read as new text."""

_ASCII = re.compile(
    r"_*[a-z0-9][a-z0-9_]*(?:(?:(?<=[a-z])[:.'](?=[a-z])|(?<=[0-9])[.,;'](?=[0-9]))[a-z0-9_]+)*|_+"
)


def _word_pattern() -> re.Pattern[str]:
    extend = "[XZFPYTUma]*"  # what belongs to the character before
    letter, digit, katakana, connector = (f"{kind}{extend}" for kind in ("[LHg]", "N", "K", "E"))
    hebrew, quote, double_quote = (f"{kind}{extend}" for kind in "HSD")
    chain = (
        f"(?:{hebrew}(?:{double_quote}{hebrew}|{quote})"
        f"|{letter}(?:[MBS]{extend}{letter})*"
        f"|{digit}(?:[CBS]{extend}{digit})*)+"
    )
    block = f"(?:(?:{katakana})+|{chain})"
    return re.compile(f"(?:{connector})*{block}(?:(?:{connector})+{block})*(?:{connector})*")


def _emoji_pattern() -> re.Pattern[str]:
    extend = "[XZYTUma]*"
    emoji, tone = f"[Gg]{extend}P?", f"m{extend}"
    # The joiner before a next emoji may have been taken for an extension of the one before.
    joined = f"(?:(?<=Z)(?:{emoji}|{tone})|Z+{emoji}|Z{tone})"
    return re.compile(f"(?:Z*{emoji}|{tone})(?:{joined}+|T+U)?")


_WORD = _word_pattern()
_EMOJI = _emoji_pattern()
_ANY = "[XZFPYTUma]*"
_TOKEN = re.compile(
    f"{_WORD.pattern}|{_EMOJI.pattern}|k[XZYTUma]*P?Y[XZYTUma]*|R{_ANY}R{_ANY}|[Aa][AaXZFPYTUm]*|I{_ANY}"
    # No words, and the only group: runs that could begin one, passed over at once.
    "|(E[EXFPYTU]*|Z+)"
)


def ascii_words(text: str) -> list[str]:
    """The words of an ASCII text in lower case, and runs of `_` alone, which are none."""
    words: list[str] = _ASCII.findall(text)
    if len(text) > LONGEST and max(map(len, words), default=0) > LONGEST:
        return [text[start:end] for start, end in word_bounds(text)]
    return words


def word_bounds(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end, in order."""
    classes = text.translate(_classes())
    matches = list(_TOKEN.finditer(classes))
    if "g" in classes or any(match.end() - match.start() > LONGEST // 2 for match in matches):
        return list(_scan(classes, text))
    return [match.span() for match in matches if match.lastindex is None]


def _scan(classes: str, text: str) -> Iterator[tuple[int, int]]:
    """`word_bounds` where a word may be too long, or begin with a character that is letter and emoji."""
    at = 0
    while found := _TOKEN.search(classes, at):
        at, end = found.span()
        if found.lastindex is not None:
            at = end
            continue
        while at < end:
            limit = _limit(text, at)
            match = _TOKEN.match(classes, at, limit)
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
