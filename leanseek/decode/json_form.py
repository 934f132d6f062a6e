"""A form that a decoder fills in: a JSON object with given keys, whose values it words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from leanseek.errors import ModelError, UsageError

LONGEST_VALUE: Final = 24
"""Tokens of a value at most, by default: a sentence's length."""


class JsonForm:
    """A `Constraint`: the text is a JSON object of strings, under the keys given and in their order.

    Everything but the values is set, and a value has from 1 to `most` tokens without quotes, backslashes and line
    breaks: whatever the model is, what it writes can be read by `json.loads`. With `distinct`, a value repeats neither
    an earlier value nor three tokens in a row of one (Paulus et al., arXiv:1705.04304), as small models otherwise do.

    >>> form = JsonForm(decoder.tokenizer, ["title", "language"])
    >>> json.loads(decoder.generate([prompt], constraint=form, most=form.longest)[0].text)
    """

    def __init__(
        self, tokenizer: Any, keys: Sequence[str], most: int = LONGEST_VALUE, *, distinct: bool = False
    ) -> None:
        """Raises UsageError for no keys or fewer than 1 token, ModelError where the tokenizer knows no JSON."""
        if not keys or most < 1:
            raise UsageError(
                f"a form of {len(keys)} keys and values of {most} tokens is none; give 1 or more"
            )
        names = [json.dumps(key) for key in keys]
        between = [f'{{{names[0]}: "', *(f'", {name}: "' for name in names[1:]), '"}']
        self._set: list[list[int]] = [
            list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in between
        ]
        written = [tokenizer.decode(tokens, clean_up_tokenization_spaces=False) for tokens in self._set]
        if list(map(str.strip, written)) != list(map(str.strip, between)):
            raise ModelError("the decoder's tokenizer has no tokens for JSON; give another decoder")
        self._most = most
        self._distinct = distinct
        special = {*tokenizer.all_special_ids, *(tokens[0] for tokens in self._set[1:])}
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        free = [
            token
            for token, text in enumerate(texts)
            if text and token not in special and not set('"\\') & set(text) and min(text) >= " "
        ]
        self._first = [token for token in free if any(map(str.isalnum, texts[token]))]
        self._more = [sorted([*free, tokens[0]]) for tokens in self._set[1:]]

    @property
    def longest(self) -> int:
        """The tokens of the longest text that it allows."""
        return sum(map(len, self._set)) + self._most * (len(self._set) - 1)

    def __call__(self, generated: Sequence[int]) -> Sequence[int]:
        """What may come next: the only token where the text is set, else those of a value, and its end."""
        rest, earlier = list(generated), list[list[int]]()
        for number, tokens in enumerate(self._set):
            if len(rest) < len(tokens):
                return [tokens[len(rest)]]
            rest = rest[len(tokens) :]
            if number == len(self._set) - 1:
                break
            end = self._set[number + 1][0]
            length = rest.index(end) if end in rest else len(rest)
            if length == len(rest):
                if length == self._most:
                    return [end]
                allowed = self._more[number] if length else self._first
                return allowed if not self._distinct else without_repeats(allowed, rest, earlier, end)
            earlier.append(rest[:length])
            rest = rest[length:]
        return []


def without_repeats(
    allowed: Sequence[int], value: Sequence[int], earlier: Sequence[Sequence[int]], end: int
) -> Sequence[int]:
    """The tokens that may follow the beginning of a value without repeating one of the `earlier` ones."""
    beginning = list(value[-2:])
    repeated = {
        tokens[place + 2]
        for tokens in earlier
        for place in range(len(tokens) - 2)
        if list(tokens[place : place + 2]) == beginning
    }
    if list(value) in [list(tokens) for tokens in earlier]:
        repeated.add(end)
    return [token for token in allowed if token not in repeated] or [end]
