"""Where words and sentences end, by one of two sets of rules: for short extracts, and for passages of documents.

`EXTRACT` keeps words short and knows a few abbreviations; snippets, prompts and what a re-ranker reads of a long
passage are cut by it. `PASSAGE` knows more scripts and abbreviations; documents are split and learning queries
are drawn by it. Indexes and published figures depend on both, so neither takes over from the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

_HAN: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_CLOSING: Final = r"[\"'”’»)\]}」』】）]*"
_ABBREVIATION: Final = re.compile(
    r"[(\[\"'“‘]*(?:[^\W\d_]|[A-Z][a-z]{1,2}|(?:[^\W\d_]\.)+[^\W\d_]|al|vs|cf|approx)\."
)

# Scripts without spaces between words. A word has about two characters in Chinese and Japanese, and about
# four in Thai, Lao, Burmese and Khmer.
_WIDE_HAN: Final = f"\u31f0-\u31ff{_HAN}"
_INDOCHINA: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WIDE_CLOSING: Final = r"\"'”’»›)\]}」』】〉》）］"
_STOPS: Final = "。！？｡．"
_PERIOD: Final = re.compile(r"[(\[{\"'“‘«]*(.+)\.$")
_INITIALS: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_]+)*")
_BEFORE_NAME: Final = re.compile(
    "capt|cf|col|dr|drs|ed|eds|gen|gov|hon|jr|lt|messrs|mr|mrs|ms|mt|prof|rep|rev|sen|sgt|sr|st|viz|vs"
)
_BEFORE_NUMBER: Final = re.compile(
    "app|approx|art|ca|ch|chap|eq|eqs|fig|figs|no|nos|nr|op|p|pp|para|pt|ref|refs|sec|sect|tab|vol|vols"
)


class Word(NamedTuple):
    """The characters [start, end) of a word of a text."""

    start: int
    end: int


class Sentence(NamedTuple):
    """The characters [start, end) of a sentence of a text, or of a piece of a long one."""

    start: int
    end: int


class Rules(NamedTuple):
    """What a `word` is, and which ends of a word end a sentence: a `full_stop` anywhere, a `mark` before white space.

    After a mark the sentence goes on before a lower-case letter, and where the word is `abbreviated`: called with the
    word, the character that follows the white space, and whether the word is the only one of its sentence so far.
    """

    word: re.Pattern[str]
    full_stop: re.Pattern[str]
    mark: re.Pattern[str]
    abbreviated: Callable[[str, str, bool], bool]


def _abbreviated(word: str, following: str, alone: bool) -> bool:
    period = _PERIOD.fullmatch(word)
    if period is None:
        return False
    stem = period[1]
    if stem.isdecimal():
        return alone  # the number of a list's item
    if _INITIALS.fullmatch(stem) or _BEFORE_NAME.fullmatch(stem.casefold()):
        return True
    return following.isdecimal() and _BEFORE_NUMBER.fullmatch(stem.casefold()) is not None


EXTRACT: Final = Rules(
    # The limit of 30 keeps extracts short where a text has no white space: Thai, encoded data, long addresses.
    word=re.compile(rf"[{_HAN}]{{1,2}}[。！？、，]?|[^\s{_HAN}]{{1,30}}"),
    full_stop=re.compile(rf"[。！？｡]{_CLOSING}$"),
    mark=re.compile(rf"[.!?…؟۔।]{_CLOSING}$"),
    abbreviated=lambda word, following, alone: _ABBREVIATION.fullmatch(word) is not None,
)
"""A word is at most 30 characters without white space; in Chinese and Japanese, two characters."""
_SPACED_WORD: Final = re.compile(rf"\s*(?:{EXTRACT.word.pattern})")

PASSAGE: Final = Rules(
    word=re.compile(
        # Signs behind it have a limit because they are looked through again for a sentence's end.
        rf"[{_WIDE_HAN}]{{1,2}}[{_STOPS}{_WIDE_CLOSING}、，：；…!?.,;:]{{0,100}}"
        rf"|[{_INDOCHINA}]{{1,4}}"
        # No word is longer than this: what is, such as encoded data, is cut like a text.
        rf"|[^\s{_WIDE_HAN}{_INDOCHINA}]{{1,100}}"
    ),
    full_stop=re.compile(rf"[{_STOPS}][{_WIDE_CLOSING}{_STOPS}…]*$"),
    mark=re.compile(rf"[.!?…։؟۔।॥။]+[{_WIDE_CLOSING}]*$"),
    abbreviated=_abbreviated,
)
"""A word is at most 100 characters without white space; two in Chinese and Japanese, four in Thai, Lao, Burmese and
Khmer."""


def word_ends(text: str) -> list[int]:
    """Where the words of a text end by `EXTRACT`, in order: sooner found than the words themselves."""
    return list(accumulate(map(len, _SPACED_WORD.findall(text))))


def split_words(text: str, rules: Rules = EXTRACT) -> list[Word]:
    """The words of a text, in order; they cover all of it but the white space."""
    return [Word(*match.span()) for match in rules.word.finditer(text)]


def ends_sentence(
    text: str, words: Sequence[tuple[int, int]], number: int, rules: Rules = EXTRACT, *, alone: bool = False
) -> bool:
    """Whether a sentence, or a paragraph, ends with the word of that number.

    `alone`: it is the only word of the sentence so far.
    """
    if number + 1 == len(words):
        return True
    start, end = words[number]
    following = words[number + 1][0]
    word = text[start:end]
    if rules.full_stop.search(word):
        return True
    if following == end:
        return False
    if text.count("\n", end, following) > 1:
        return True
    after = text[following]
    return bool(rules.mark.search(word)) and not after.islower() and not rules.abbreviated(word, after, alone)


def sentence_ends(text: str, words: Sequence[tuple[int, int]], rules: Rules) -> list[int]:
    """How many of the words have passed where each sentence ends; the last is the number of words."""
    ends: list[int] = []
    begin = 0
    for number in range(len(words)):
        if ends_sentence(text, words, number, rules, alone=number == begin):
            begin = number + 1
            ends.append(begin)
    return ends


def split_sentences(text: str, rules: Rules = EXTRACT, longest: int | None = None) -> list[Sentence]:
    """The sentences of a text, in order, cut into pieces of `longest` words; a blank text has none."""
    words = split_words(text, rules)
    sentences: list[Sentence] = []
    begin = 0
    for end in sentence_ends(text, words, rules):
        for first in range(begin, end, longest or end):
            last = min(first + longest, end) if longest else end
            sentences.append(Sentence(words[first].start, words[last - 1].end))
        begin = end
    return sentences
