"""A form that a decoder fills in: a JSON object with given keys, whose values it words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from leanseek.errors import UsageError

LONGEST_VALUE: Final = 24
"""Tokens of a value at most, by default: a sentence's length."""


class JsonForm:
    """A `Constraint`: the text is a JSON object of strings, under the keys given and in their order.

    Everything but the values is set, and a value has from 1 to `most` tokens without quotes, backslashes and line
    breaks: whatever the model is, what it writes can be read by `json.loads`.

    >>> form = JsonForm(decoder.tokenizer, ["title", "language"])
    >>> json.loads(decoder.generate([prompt], constraint=form, most=form.longest)[0].text)
    """

    def __init__(self, tokenizer: Any, keys: Sequence[str], most: int = LONGEST_VALUE) -> None:
        """Raises UsageError for no keys or fewer than 1 token."""
        if not keys or most < 1:
            raise UsageError(
                f"a form of {len(keys)} keys and values of {most} tokens is none; give 1 or more"
            )
        names = [json.dumps(key) for key in keys]
        between = [f'{{{names[0]}: "', *(f'", {name}: "' for name in names[1:]), '"}']
        self._set: list[list[int]] = [
            list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in between
        ]
        self._most = most
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
        rest = list(generated)
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
                return self._more[number] if length else self._first
            rest = rest[length:]
        return []
