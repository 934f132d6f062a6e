"""Where words and sentences end, for extracts that are cut at sensible places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_CLOSING = r"[\"'”’»)\]}」』】）]*"
# The cut at 30 keeps extracts short where a text has no white space: Thai, encoded data, long addresses.
_WORD = re.compile(rf"[{_HAN}]{{1,2}}[。！？、，]?|[^\s{_HAN}]{{1,30}}")
_FULL_STOP = re.compile(rf"[。！？｡]{_CLOSING}$")
_MARK = re.compile(rf"[.!?…؟۔।]{_CLOSING}$")
_ABBREVIATION = re.compile(
    r"[(\[\"'“‘]*(?:[^\W\d_]|[A-Z][a-z]{1,2}|(?:[^\W\d_]\.)+[^\W\d_]|al|vs|cf|approx)\."
)


class Word(NamedTuple):
    """The characters [start, end) of a text: a run without white space, at most 30 of them.

    In Chinese and Japanese, which do not separate words, two characters.
    """

    start: int
    end: int


def split_words(text: str) -> list[Word]:
    """The words of a text, in order; they cover all of it but the white space."""
    return [Word(*match.span()) for match in _WORD.finditer(text)]


def ends_sentence(text: str, words: Sequence[Word], number: int) -> bool:
    """Whether a sentence, or a paragraph, ends with the word of that number."""
    start, end = words[number]
    if number + 1 == len(words):
        return True
    following = words[number + 1].start
    word = text[start:end]
    if _FULL_STOP.search(word):
        return True
    if following == end:
        return False
    if text.count("\n", end, following) > 1:
        return True
    return bool(_MARK.search(word)) and not text[following].islower() and not _ABBREVIATION.fullmatch(word)
