"""From a prompt's characters to its tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from leanseek.errors import ModelError
from leanseek.rerank.incontext.prompts import Prompt


class Span(NamedTuple):
    """Tokens from `start` up to, not including, `end`."""

    start: int
    end: int


class TokenizedPrompt(NamedTuple):
    """A prompt's token `ids`, the tokens of each document, and the first token of what is asked.

    A token that holds characters of a document and of what surrounds it is the document's.
    """

    ids: tuple[int, ...]
    documents: tuple[Span, ...]
    asking: int
    offsets: tuple[tuple[int, int], ...]


def tokenize(tokenizer: Any, prompt: Prompt) -> TokenizedPrompt:
    """The tokens of a prompt, with what the tokenizer adds at the beginning but not at the end.

    Raises ModelError where the tokenizer cannot tell where its tokens stand in the text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"The model's tokenizer, a {type(tokenizer).__name__}, does not tell where its tokens stand in the "
            "text. Choose a model with a tokenizer.json."
        )
    encoding = tokenizer(
        prompt.text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
    )
    ids, offsets = list(encoding["input_ids"]), list(encoding["offset_mapping"])
    added = encoding["special_tokens_mask"]
    while ids and added[len(ids) - 1] and offsets[len(ids) - 1] == (0, 0):
        ids.pop()
    return TokenizedPrompt(
        tuple(ids),
        tuple(covering(offsets[: len(ids)], span) for span in prompt.documents),
        covering(offsets[: len(ids)], (prompt.asking, len(prompt.text))).start,
        tuple(offsets[: len(ids)]),
    )


def covering(offsets: Sequence[tuple[int, int]], characters: tuple[int, int]) -> Span:
    """The tokens that share a character with the range; `offsets` are (start, end) of each, ascending."""
    start, end = characters
    first = bisect_right(offsets, start, key=lambda offset: offset[1])
    past = bisect_left(offsets, end, key=lambda offset: offset[0])
    return Span(first, max(first, past))


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their beginning."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
