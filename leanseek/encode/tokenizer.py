"""Token ids of texts, and the arrays that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from leanseek.types import Int32Array, Int64Array

_SLICE = 1024


class Tokens(NamedTuple):
    """Of n texts: `ids`, an int32 array each, cut at the limit; `lengths` (n,) int32 before any cut."""

    ids: list[Int32Array]
    lengths: Int32Array


class TextTokenizer:
    """A `tokenizers` tokenizer that cuts at `max_tokens` (None: never) and reports what it cut."""

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

    def places(self, text: str) -> Int32Array:
        """(t, 2) the characters [start, end) of each token that `__call__` gives; equal for special ones."""
        found = self._tokenizer.encode(encodable(text), add_special_tokens=self._special)
        return np.asarray(found.offsets, dtype=np.int32).reshape(-1, 2)

    def vocabulary(self) -> dict[str, int]:
        """All tokens, as the tokenizer writes them, and their ids."""
        found: dict[str, int] = self._tokenizer.get_vocab(True)
        return found

    def token(self, number: int) -> str:
        """The token with an id, as the tokenizer writes it; "" where it has none."""
        return self._tokenizer.id_to_token(number) or ""


def encodable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced by question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def pad(rows: Sequence[Int32Array], filling: int, left: bool = False) -> Int64Array:
    """(n, longest) int64: n lists of numbers, filled up with `filling` on the right, or on the `left`."""
    width = max(map(len, rows))
    padded = np.full((len(rows), width), filling, dtype=np.int64)
    for row, values in enumerate(rows):
        padded[row, width - len(values) if left else 0 :][: len(values)] = values
    return padded


def model_inputs(
    ids: Sequence[Int32Array], pad_id: int, left: bool, types: Sequence[Int32Array] | None = None
) -> dict[str, Int64Array]:
    """The arrays (n, longest) that a transformer reads of n texts; the mask is 0 where there is padding.

    `types` are the tokens' types, by default all 0.
    """
    padded = pad(ids, pad_id, left)
    return {
        "input_ids": padded,
        "attention_mask": pad([np.ones_like(one) for one in ids], 0, left),
        "token_type_ids": np.zeros_like(padded) if types is None else pad(types, 0, left),
    }
