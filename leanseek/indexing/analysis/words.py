"""Where words begin and end, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

ASCII_WORDS = "".join(chr(c).lower() if chr(c).isalnum() else " " for c in range(128))
"""A table for `str.translate`: ASCII letters in lower case, digits as they are, all else a space."""

LONGEST = 255
"""Characters of a word that count; the rest is cut off, so that a megabyte of base64 is one short term."""

# Han, kana, bopomofo and Hangul, with the iteration and prolonged sound marks that belong to their words.
_CJK = (
    "\u1100-\u11ff\u3005-\u3007\u3031-\u3035\u303b\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")
_PIECE = re.compile(f"[{_CJK}]+|[^{_CJK}]+")
_COMBINING_ACCENT = re.compile("[\u0300-\u036f]")


@cache
def word_pattern() -> re.Pattern[str]:
    """A word: letters and digits of any script, and the combining marks after them; the underscore is none.

    Python's `\\w` leaves out combining marks, which would cut Hindi or Tamil words at every vowel sign.
    """
    marks: list[str] = []
    start = previous = -2
    # Past this range lie only variation selectors, which decorate symbols.
    for code in (*range(0x300, 0x20000), -2):
        if code >= 0 and unicodedata.category(chr(code)) not in ("Mn", "Mc"):
            continue
        if code != previous + 1:
            if start >= 0:
                marks.append(f"{chr(start)}-{chr(previous)}")
            start = code
        previous = code
    return re.compile(rf"[^\W_]+(?:[{''.join(marks)}]+[^\W_]*)*")


def fold(word: str, *, accents: bool) -> str:
    """Compatibility forms unified (NFKC), case removed; with `accents`, European accents removed as well."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    if accents:
        folded = _COMBINING_ACCENT.sub("", unicodedata.normalize("NFKD", folded))
    return unicodedata.normalize("NFKC", folded)


class Piece(NamedTuple):
    """A part [start, end) of a folded word; `cjk`: it is one or two Chinese, Japanese or Korean characters."""

    text: str
    start: int
    end: int
    cjk: bool


def pieces(word: str) -> Iterator[Piece]:
    """The bigrams of a folded word's CJK runs, and what stands between them as it is.

    A run of one CJK character is a piece by itself.
    """
    if not _CJK_RUN.search(word):
        yield Piece(word, 0, len(word), False)
        return
    for match in _PIECE.finditer(word):
        run, start = match.group(), match.start()
        cjk = _CJK_RUN.match(run) is not None
        if len(run) == 1 or not cjk:
            yield Piece(run, start, match.end(), cjk)
        else:
            for at in range(start, start + len(run) - 1):
                yield Piece(word[at : at + 2], at, at + 2, True)
