"""Token ids of texts, their lengths before any cut, and batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int32Array = NDArray[np.int32]

_SLICE = 1024


class Tokens(NamedTuple):
    """Of n texts: `ids`, an int32 array each, cut at the limit; `lengths` (n,) int32 before any cut."""

    ids: list[Int32Array]
    lengths: Int32Array


class TextTokenizer:
    """A `tokenizers` tokenizer that cuts at `max_tokens` (None: never) and tells what it cut."""

    def __init__(self, definition: str, max_tokens: int | None, special: bool = True) -> None:
        """`definition` is the content of a tokenizer.json; `special` adds the model's special tokens."""
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(definition)
        self._tokenizer.no_padding()
        self._special = special
        self._extra = int(self._tokenizer.num_special_tokens_to_add(False)) if special else 0
        if max_tokens is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of the texts, in their order."""
        ids: list[Int32Array] = []
        lengths: list[int] = []
        for start in range(0, len(texts), _SLICE):
            part = [encodable(text) for text in texts[start : start + _SLICE]]
            for encoding in self._tokenizer.encode_batch_fast(part, add_special_tokens=self._special):
                ids.append(np.asarray(encoding.ids, dtype=np.int32))
                # What does not fit is kept as further windows, each with its own special tokens.
                rest = sum(len(window.ids) - self._extra for window in encoding.overflowing)
                lengths.append(len(encoding.ids) + rest)
        return Tokens(ids, np.asarray(lengths, dtype=np.int32))


def encodable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced by question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def batches(lengths: Sequence[int] | Int32Array, budget: int) -> Iterator[NDArray[np.int64]]:
    """Positions of texts, longest first, in batches of at most `budget` tokens with padding.

    A text longer than that is a batch of its own. Texts of similar length stand together, so little is
    spent on padding; the longest come first, so memory runs out at once or never.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop
