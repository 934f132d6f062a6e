"""The prompt of in-context re-ranking: the documents first, then what to look for in them, then the query."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from leanseek.errors import ModelError, UsageError

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

_CONTENT = "LEANSEEKCONTENT"
# Some templates write today's date into the prompt, unless they are given one, or by a function of the time; the same
# input must give the same scores.
_DATE = datetime(2024, 7, 26)
_DIRECTIVES = (*"aAbBcdDeFfGgHhIjklmMpPrRSTuUVwWxXyYzZ", "-d", "-m", "-H", "-I", "-M", "-S", "-j")


class Frame(NamedTuple):
    """The text before and after that of a prompt; the marks of a chat, for most models."""

    prefix: str
    suffix: str


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


def timeless(template: str) -> str:
    """The chat template, in which it is always the same day; transformers lets no function be handed to it."""
    if "strftime_now" not in template:
        return template
    fixed = "".join(f"|replace('%{mark}', {_DATE.strftime(f'%{mark}')!r})" for mark in (*_DIRECTIVES, "%"))
    return f"{{% macro strftime_now(format) %}}{{{{ format{fixed} }}}}{{% endmacro +%}}{template}"


def chat_frame(tokenizer: Any) -> Frame | None:
    """The text of a tokenizer's chat template around a user's message; None where it has no template.

    A mark for the beginning of a text is left to the tokenizer where it adds one itself.
    Raises ModelError where the template does not show the message as it is.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    try:
        shown = tokenizer.apply_chat_template(
            [{"role": "user", "content": _CONTENT}],
            tokenize=False,
            add_generation_prompt=True,
            date_string=_DATE.strftime("%d %b %Y"),
            chat_template=timeless(tokenizer.get_chat_template()),
        )
    except Exception as error:  # Templates are programs; each fails in its own way.
        raise ModelError(
            f"The model's chat template cannot be used: {error}. Give prompt_prefix and prompt_suffix instead."
        ) from error
    prefix, found, suffix = str(shown).partition(_CONTENT)
    if not found:
        raise ModelError(
            "The model's chat template does not show the user's message. "
            "Give prompt_prefix and prompt_suffix instead."
        )
    begin = tokenizer.bos_token
    if begin and prefix.startswith(begin) and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]:
        prefix = prefix.removeprefix(begin)
    return Frame(prefix, suffix)


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
    """The tokens of a prompt, with what the tokenizer adds at the beginning but not at the end.

    Raises ModelError where the tokenizer cannot map its tokens to characters of the text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"The model's tokenizer, a {type(tokenizer).__name__}, does not map its tokens to characters of the "
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
        covering(offsets[: len(ids)], (prompt.question, len(prompt.text))).start,
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
