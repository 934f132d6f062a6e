"""How much the words of a sentence are those of an instruction to a model: one number a word, and their mean.

The words and phrases of `manner.addressed` find what is said in the usual words. The numbers here are a linear head on
the word vectors of a static encoder, so that a word that no training text has counts like those that it resembles. A
mean says something of a sentence alone: beside its neighbours' words those of an instruction are lost.
"""

from __future__ import annotations

import functools
import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from typing import Final

import numpy as np

from leanseek.searcher.context.manner import STRIDE, Manner, Text
from leanseek.types import Float64Array

LEAST: Final = 9
"""Words that a shorter sentence counts as: the mean of a few words is high by chance."""
LONGEST: Final = 30
"""Words above which a sentence is looked at in pieces of `WINDOW` words, of which each begins in the middle of the
one before."""
PIECE: Final = 24
SHORTEST: Final = 4
"""Words that follow a capital where a sentence may begin within another."""
STEPS: Final = (-1.0, 0.0, 1.0, 2.0)
"""Means from which a column of `columns` rises."""
UNIT: Final = 0.1
"""Of the numbers in guard_values.json."""

# Where a sentence ends, before a small letter too: what is planted stands between half sentences, and some collections
# have no capitals. `leanseek.text.sentences` goes on there, as an extract should.
_END = re.compile(r"[.!?:;][\"')\]”’]*\s|\n|[-=#>]{2,}|[。！？।]")
_ABBREVIATED = re.compile(r"(?<!\w)(?:\w|al|vs|cf|figs?|drs?|mrs?|eqs?|etc)$")


class Wording:
    """The numbers of the words, beside the texts of an index: a word that is common there says less of a text."""

    def __init__(self, manner: Manner, values: Mapping[str, float] | None = None) -> None:
        """`values` are those of guard_values.json, if no others are given."""
        values = _stored() if values is None else values
        own = {
            word: value * manner.rare(word) for word in manner.known if (value := values.get(word, 0.0)) > 0
        }
        self._values = {**values, **own}

    def columns(self, text: Text) -> Float64Array:
        """(windows, 4) how far the highest mean of a sentence that is mostly in the window is above each step."""
        if not text.windows:
            return np.zeros((0, len(STEPS)))
        spans = sentences(text)
        value = self._values.get
        sums = np.concatenate([[0.0], np.cumsum([value(word, 0.0) for word in text.words])])
        starts, ends = spans[:, 0], spans[:, 1]
        sizes = ends - starts
        means = np.round((sums[ends] - sums[starts]) / np.maximum(sizes, LEAST), 1)
        windows = np.array(text.windows)
        best = np.full(len(windows), STEPS[0])
        middle = (starts + ends - windows[0, 1]) // (2 * STRIDE)
        for shift in range(-2, 4):
            near = np.clip(middle + shift, 0, len(windows) - 1)
            within = np.minimum(ends, windows[near, 1]) - np.maximum(starts, windows[near, 0])
            mostly = within * 2 >= np.minimum(sizes, PIECE)
            np.maximum.at(best, near[mostly], means[mostly])
        found: Float64Array = np.maximum(best[:, None] - np.array(STEPS), 0.0)
        return found


def sentences(text: Text) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(sentences, 2) the words from and up to which each goes, and from each capital within one up to its end."""
    stops = {
        bisect_left(text.starts, sign.end())
        for sign in _END.finditer(text.clean)
        if sign.group()[0] != "."
        or not _ABBREVIATED.search(text.clean, max(sign.start() - 6, 0), sign.start())
    }
    found = []
    for begin, end in pairwise(sorted(stops | {0, len(text.words)})):
        opens = [place for place in range(begin + 1, end - SHORTEST + 1) if text.capital(place)]
        for start in (begin, *opens):
            if end - start <= LONGEST:
                found.append((start, end))
            else:
                found += [
                    (first, min(first + PIECE, end)) for first in range(start, end - PIECE // 2, PIECE // 2)
                ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


@functools.cache
def _stored() -> Mapping[str, float]:
    stored = json.loads((files(__package__) / "guard_values.json").read_text(encoding="utf-8"))
    return {word: int(units) * UNIT for units, words in stored.items() for word in words.split()}
