"""The prompt of in-context re-ranking: the documents first, then what to look for in them, then the query."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from leanseek.decode.chat import Frame, encoded
from leanseek.errors import UsageError

PromptKind = Literal["IE", "QA"]

DEFAULT_KIND: Final = "IE"
SEPARATOR: Final = "\n\n"
"""The text between documents by default."""

OPENING = " Here are some paragraphs:"
INSTRUCTIONS: dict[PromptKind, str] = {
    "IE": "Please find information that are relevant to the following query in the paragraphs above.",
    "QA": "Please answer the following question based on the information in the paragraphs above.",
}
"""The wording of the published method, to the letter."""

NO_QUERY = "N/A"
"""The query whose attention shows what a model looks at whatever the query is."""


class Prompt(NamedTuple):
    """A prompt and the places of its parts, in characters.

    `documents` are (start, end) of each "[i] text". `question` is where the instruction and the query begin:
    the attention is that of all from there to the end.
    """

    text: str
    documents: tuple[tuple[int, int], ...]
    question: int


class Wording(NamedTuple):
    """How prompts are worded."""

    frame: Frame
    kind: PromptKind
    separator: str

    def opening(self) -> str:
        """The text before the documents."""
        return f"{self.frame.prefix}{OPENING}"

    def compose(self, query: str, documents: Sequence[str]) -> Prompt:
        """The prompt for one query and its documents, in the order given.

        Chen, Gutiérrez, Su: "Attention in Large Language Models Yields Efficient Zero-Shot Re-Rankers", ICLR 2025.
        """
        text, spans = self.opening(), []
        for number, document in enumerate(documents, 1):
            text += self.separator
            spans.append((len(text), len(text) + len(f"[{number}] {document}")))
            text += f"[{number}] {document}"
        text += self.separator
        return Prompt(text + self.question(query), tuple(spans), len(text))

    def question(self, query: str) -> str:
        """The text after the documents and the separator: instruction, query and suffix."""
        return f"{INSTRUCTIONS[self.kind]}{self.separator}Query: {query.strip()}{self.frame.suffix}"


def check_kind(kind: str) -> PromptKind:
    """The kind of prompt with that name. Raises UsageError where there is none."""
    for known in INSTRUCTIONS:
        if kind == known:
            return known
    raise UsageError(
        f"'{kind}' is not a kind of prompt. Choose IE, to find information, or QA, to answer a question"
    )


def prefixed(kind: PromptKind, model: str) -> str:
    """The model's name as re-rankers are named, such as `qa:MODEL`; the usual kind of prompt is left out."""
    return model if kind == DEFAULT_KIND else f"{kind.lower()}:{model}"


def split_prefix(name: str) -> tuple[PromptKind | None, str]:
    """The kind of prompt that `ie:` or `qa:` before a model's name selects, and the name without it.

    Raises UsageError for another prefix; the letter of a drive is none.
    """
    prefix, colon, rest = name.partition(":")
    if not colon or len(prefix) < 2:
        return None, name
    for kind in INSTRUCTIONS:
        if prefix == kind.lower():
            return kind, rest
    raise UsageError(
        f"'{prefix}' is not a kind of prompt. Choose in-context:ie:MODEL, to find information (the default), or "
        "in-context:qa:MODEL, to answer a question"
    )


class Span(NamedTuple):
    """Tokens from `start` up to, not including, `end`."""

    start: int
    end: int


class TokenizedPrompt(NamedTuple):
    """A prompt's token `ids`, the tokens of each document, and the first token of the question.

    A token that holds characters of a document and of what surrounds it is the document's.
    """

    ids: tuple[int, ...]
    documents: tuple[Span, ...]
    question: int
    offsets: tuple[tuple[int, int], ...]


def tokenize(tokenizer: Any, prompt: Prompt) -> TokenizedPrompt:
    """The tokens of a prompt. Raises ModelError where the tokenizer cannot map them to characters of the text."""
    ids, offsets = encoded(tokenizer, prompt.text)
    return TokenizedPrompt(
        ids,
        tuple(covering(offsets, span) for span in prompt.documents),
        covering(offsets, (prompt.question, len(prompt.text))).start,
        offsets,
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
