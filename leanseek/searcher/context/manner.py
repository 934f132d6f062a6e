"""How a text is written: beside the texts of an index, and as words that speak to a model. What the guard goes by."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

import numpy as np

from leanseek.types import BoolArray, Float64Array, Int64Array

WINDOW: Final = 24
"""Words that are looked at together."""
STRIDE: Final = 8
SAMPLE_CHARACTERS: Final = 1_500
"""Of each passage of a sample that are read."""
FREQUENT: Final = 100
"""Words of the sample, those in the most passages, that stand for themselves in the order of words."""
NEAR: Final = 5
"""Words between which two groups of words belong together."""
TABLE: Final = 1 << 20

MEASURES: Final = ("characters", "words", "pairs", "order", "frequent", "repeated", "again")
"""Rarity, in the sample, of a window's 4-grams of characters, words, pairs of words and of their endings; how few of
the most frequent words it has; how many of its words, and how many of its pairs of words, come again."""
LEAST_SPREAD: Final = (0.4, 0.4, 0.3, 0.3, 0.06, 0.05, 0.03)
"""The least standard deviation of each measure: about half of what collections of prose have. Texts that are all alike
would otherwise make any other text an outlier."""
HIGHEST: Final = 8.0
"""Standard deviations above which a measure says no more."""

_MARKS = "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e"
"""Signs that belong to the letter before them, and the blocks of scripts that have many."""
_TOKEN = re.compile(rf"[\u3040-\u30ff\u3400-\u9fff]|(?:[^\W_]|[{_MARKS}])+|[^\w\s]|_")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_OPENS = frozenset(".!?:;\"'“”*#>-–—([{|。！？：\n")


class Manner:
    """How the texts of an index are written: how common their words, pairs of words and characters are in a sample.

    A passage's own occurrences never count in its favour, whether it is in the sample or not.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        read = [Text(text[:SAMPLE_CHARACTERS]) for text in texts]
        self.size = len(read)
        # Once in a passage of the sample may be the passage that is looked at: only what is in two is known.
        self._words = _in_two(set(one.words) for one in read)
        self._frequent = frozenset(
            sorted(self._words, key=lambda word: (-self._words[word], word))[:FREQUENT]
        )
        self._pairs = _in_two(set(pairwise(one.words)) for one in read)
        shapes = [self._shapes(one) for one in read]
        self._order = _in_two(set(pairwise(s)) for s in shapes)
        counts = np.zeros(TABLE, dtype=np.uint16)
        for one in read:
            counts[np.unique(_grams(one.clean))] += 1
        self._grams = counts
        seen = np.maximum(np.arange(self.size + 1) - 1, 0)
        self._rarity = np.log((self.size + 1) / (seen + 0.5)) / np.log(2)
        found = np.concatenate([np.zeros((1, len(MEASURES))), *map(self._means, read)])
        self._mean = found.mean(axis=0)
        self._spread = np.maximum(found.std(axis=0), LEAST_SPREAD)

    @property
    def known(self) -> Collection[str]:
        """The words that more than one passage of the sample has."""
        return self._words.keys()

    def rare(self, word: str) -> float:
        """From 0, in each passage of the sample, to 1, in none or one of them."""
        seen = max(self._words.get(word, 0) - 1, 0)
        return float(min(1.0, np.log((self.size + 1) / (seen + 0.5)) / np.log(self.size + 1)))

    def measures(self, text: Text) -> Float64Array:
        """(windows, 7) how many standard deviations each window is above the sample's in each of `MEASURES`."""
        shares = np.array([min(1.0, (end - start) / WINDOW) for start, end in text.windows])
        found: Float64Array = (self._means(text) - self._mean) / self._spread * np.sqrt(shares)[:, None]
        return found

    def _means(self, text: Text) -> Float64Array:
        words, windows = text.words, text.windows
        rarity = self._rarity
        known = self._words.get
        word = _sums(rarity[[known(one, 0) for one in words]])
        pairs = self._pairs.get
        pair = _sums(rarity[[pairs(one, 0) for one in pairwise(words)]])
        frequent = _sums(np.array([one in self._frequent for one in words], dtype=np.float64))
        shapes = self._shapes(text)
        order = self._order.get
        follow = _sums(rarity[[order(one, 0) for one in pairwise(shapes)]])
        gram = _sums(rarity[self._grams[_grams(text.clean)]])
        rows = np.zeros((len(windows), len(MEASURES)))
        for row, (start, end) in enumerate(windows):
            first, last = text.starts[start], text.ends[end - 1]
            size = end - start
            rows[row] = (
                _mean(gram, first, last - 3),
                (word[end] - word[start]) / size,
                _mean(pair, start, end - 1),
                _mean(
                    follow, bisect_left(text.token_starts, first), bisect_left(text.token_starts, last) - 1
                ),
                -(frequent[end] - frequent[start]) / size,
                1 - len(set(words[start:end])) / size,
                1 - len(set(pairwise(words[start:end]))) / max(size - 1, 1),
            )
        return rows

    def _shapes(self, text: Text) -> list[str]:
        """The tokens with all but the frequent ones reduced to their kind and ending."""
        frequent = self._frequent
        return [
            token
            if token in frequent or not token[0].isalnum()
            else "0"
            if token[0].isdigit()
            else f"-{token[-2:]}"
            for token in text.tokens
        ]


class Text:
    """A text cleaned and split, with where everything was in it."""

    def __init__(self, text: str) -> None:
        self._given = text
        self.clean, self._origins = cleaned(text)
        matches = list(_TOKEN.finditer(self.clean))
        self.tokens = [one.group() for one in matches]
        self.token_starts = [one.start() for one in matches]
        words = [one for one in matches if one.group()[0].isalnum()]
        self.words = [one.group() for one in words]
        self.starts = [one.start() for one in words]
        self.ends = [one.end() for one in words]

    @functools.cached_property
    def windows(self) -> list[tuple[int, int]]:
        """The words from and up to which each window goes; the last ends with the text."""
        count = len(self.words)
        if count <= WINDOW:
            return [(0, count)] if count else []
        starts = [*range(0, count - WINDOW, STRIDE), count - WINDOW]
        return [(start, start + WINDOW) for start in starts]

    def place(self, window: int) -> tuple[int, int]:
        """The characters of the text as it was given that a window goes from and up to."""
        first, last = self.windows[window]
        start, end = self.starts[first], self.ends[last - 1]
        if self._origins is None:
            return start, end
        return int(self._origins[start]), int(self._origins[end - 1]) + 1

    def capital(self, word: int) -> bool:
        """Whether the word has a capital and then a small letter, and the word before it has no capital."""
        given, origins = self._given, self._origins
        place, before = self.starts[word], self.starts[word - 1]
        if origins is not None:
            place, before = int(origins[place]), int(origins[before])
        return (
            given[place].isupper() and given[place + 1 : place + 2].islower() and not given[before].isupper()
        )

    def opens(self, word: int) -> bool:
        """Whether a sentence begins with the word."""
        before = self.clean[max(self.starts[word] - 2, 0) : self.starts[word]].rstrip(" ")
        return before == "" or before[-1] in _OPENS

    def in_code(self, word: int) -> bool:
        """Whether the word is part of a name, a call or an address."""
        before = self.clean[self.starts[word] - 1 : self.starts[word]]
        after = self.clean[self.ends[word] : self.ends[word] + 2]
        return (
            before in ("_", ".", "(", "=", "/", "@")
            or after[:1] in ("_", "(", "=", "/", "@")
            or (after[:1] == "." and after[1:].isalnum())
        )


@functools.lru_cache(maxsize=1 << 14)
def _folded(sign: str) -> str:
    if unicodedata.category(sign) == "Cf" or sign in _BLANK:
        return ""
    return unicodedata.normalize("NFKC", sign).casefold()


_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""What is invisible beside the characters of the category Cf."""


def cleaned(text: str) -> tuple[str, Int64Array | None]:
    """A text in small, compatible and visible characters, and where each was; None: where it is."""
    if text.isascii():
        return text.lower(), None
    folded = [_folded(sign) for sign in text]
    clean = "".join(folded)
    lengths = np.fromiter(map(len, folded), dtype=np.int64, count=len(folded))
    return clean, None if (lengths == 1).all() else np.repeat(np.arange(len(folded)), lengths)


class _Words:
    """The words and phrases that instructions to a model are made of, by what they say, in many languages."""

    def __init__(self, groups: Mapping[str, Mapping[str, str]]) -> None:
        self.groups = tuple(groups)
        self._whole: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._unspaced: dict[str, int] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for bit, languages in enumerate(groups.values()):
            for language, listed in languages.items():
                for word in map(str.casefold, listed.split()):
                    first, *others = word.split("_")
                    table = self._whole
                    if others:
                        self._phrases.setdefault(first, []).append((tuple(others), bit))
                        continue
                    if word.endswith("*"):
                        table, word = self._stems, word[:-1]
                    elif language in ("zh", "ja"):
                        table = self._unspaced
                    table[word] = table.get(word, 0) | 1 << bit
        self._shortest = min(map(len, self._stems))
        self._longest = max(map(len, self._stems))
        self._single = functools.lru_cache(maxsize=1 << 16)(self._mask)

    def _mask(self, word: str) -> int:
        mask = self._whole.get(word, 0)
        for size in range(self._shortest, min(len(word), self._longest) + 1):
            mask |= self._stems.get(word[:size], 0)
        if len(word) > 3 and word[0] in "\u0648\u0641":  # "and", written with the next word in Arabic
            mask |= self._mask(word[1:])
        return mask

    def groups_at(self, words: Sequence[str], place: int) -> tuple[int, ...]:
        """The groups of the word at a place, and of the phrases that begin there."""
        mask = self._single(words[place])
        for others, bit in self._phrases.get(words[place], ()):
            if _same(words[place + 1 : place + 1 + len(others)], others):
                mask |= 1 << bit
        return self._bits(mask) if mask else ()

    @functools.cache  # noqa: B019 - there is one vocabulary
    def _bits(self, mask: int) -> tuple[int, ...]:
        return tuple(bit for bit in range(len(self.groups)) if mask >> bit & 1)

    def unspaced(self, text: str) -> list[tuple[int, tuple[int, ...]]]:
        """(character, groups) of what is written without spaces, in order."""
        found = []
        for word, mask in self._unspaced.items():
            place = text.find(word)
            while place >= 0:
                found.append((place, self._bits(mask)))
                place = text.find(word, place + 1)
        return sorted(found)


def _same(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the words are those of a phrase, of which some may be the beginnings of words."""
    return len(words) == len(phrase) and all(
        word.startswith(part[:-1]) if part.endswith("*") else word == part
        for word, part in zip(words, phrase, strict=True)
    )


@functools.cache
def _vocabulary() -> _Words:
    return _Words(json.loads((files(__package__) / "guard_words.json").read_text(encoding="utf-8")))


_ROLES = "system|assistant|human|user|developer|admin"
_MARKUP = re.compile(
    rf"<\|?/?(?:im_start|im_end|{_ROLES}|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|start_of_turn"
    r"|end_of_turn|instructions?|context|documents?|important|prompt|override|policy|tool_call|function_call|query)\|?>"
    rf"|\[/?(?:inst|{_ROLES})\b[^\]\n]{{0,20}}\]|<</?sys>>"
    rf"|\"role\"\s*:\s*\"(?:{_ROLES})\""
    rf"|(?:^|[\n.>\]*#])\s*\**(?:{_ROLES}|sist?ema|système|система|ассистент|asist[ae]nte?|assistente?|asystent|系统|助手|システム)\**"
    r"(?: (?:message|prompt|note|override|update|notice))?\s?\**[:：]"
    r"|#{2,} ?(?:instruction|response|system|assistant|user|new task)"
    r"|[-=]{2,} ?(?:end|begin|start) (?:of )?(?:the )?"
    r"(?:document|context|system|prompt|instructions?|passages?|user|admin)"
    r"|@(?:assistant|ai|llm|chatgpt|claude|gemini|copilot)\b"
)


def addressed(text: Text) -> BoolArray:
    """(windows, 153) which groups of words a window has, which pairs of them near each other, which at the beginning
    of a sentence, and whether the signs by which prompts are marked up.
    """
    vocabulary = _vocabulary()
    size = len(vocabulary.groups)
    width = size + size * (size - 1) // 2 + size + 1
    hits = [
        (place, groups)
        for place in range(len(text.words))
        if (groups := vocabulary.groups_at(text.words, place)) and not text.in_code(place)
    ]
    if _UNSPACED.search(text.clean):
        hits += [
            (max(bisect_right(text.starts, character) - 1, 0), groups)
            for character, groups in vocabulary.unspaced(text.clean)
        ]
        hits.sort()
    places, columns = list[int](), list[int]()
    offset = [0] * size
    for one in range(1, size):
        offset[one] = offset[one - 1] + size - one
    for number, (place, groups) in enumerate(hits):
        found = list(groups)
        if text.opens(place):
            found += [width - 1 - size + group for group in groups]
        for other_place, others in hits[number + 1 : number + 8]:
            if other_place - place > NEAR:
                break
            for group in groups:
                for other in others:
                    if group != other:
                        low, high = min(group, other), max(group, other)
                        found.append(size + offset[low] + high - low - 1)
        columns += found
        places += [place] * len(found)
    for sign in _MARKUP.finditer(text.clean):
        place = max(bisect_right(text.starts, sign.end() - 1) - 1, 0)
        places.append(min(place, len(text.words) - 1))
        columns.append(width - 1)
    order = np.argsort(places, kind="stable")
    held, column = np.array(places, dtype=np.int64)[order], np.array(columns, dtype=np.int64)[order]
    windows = np.array(text.windows, dtype=np.int64).reshape(-1, 2)
    within: BoolArray = np.zeros((len(windows), width), dtype=np.bool_)
    for row, (first, last) in enumerate(np.searchsorted(held, windows)):
        within[row, column[first:last]] = True
    return within


def curved(measures: Float64Array) -> Float64Array:
    """(windows, 28) the seven measures from 0 up, and of each two of them what both are: their geometric mean.

    None of these falls where a measure rises, so that a sum with weights of at least 0 does not either.
    """
    held = np.clip(measures, 0.0, HIGHEST)
    first, second = np.triu_indices(held.shape[1], 1)
    return np.concatenate([held, np.sqrt(held[:, first] * held[:, second])], axis=1)


def _in_two(sets: Iterable[set[Any]]) -> dict[Any, int]:
    counts: Counter[Any] = Counter()
    for one in sets:
        counts.update(one)
    return {key: count for key, count in counts.items() if count > 1}


def _grams(text: str) -> Int64Array:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < 4:
        return np.zeros(0, dtype=np.int64)
    mixed = codes[:-3]
    for shift in (1, 2, 3):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + codes[shift : len(codes) - 3 + shift]
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(44)).astype(np.int64)


def _sums(values: Any) -> Float64Array:
    return np.concatenate([[0.0], np.cumsum(values)])


def _mean(sums: Float64Array, start: int, end: int) -> float:
    end = min(end, len(sums) - 1)
    return float(sums[end] - sums[start]) / (end - start) if end > start else 0.0
