"""What a decoder reads: the text of its chat template around a message, and the tokens of a text."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from leanseek.errors import ModelError

_CONTENT = "LEANSEEKCONTENT"
# Some templates write today's date into the prompt, unless they are given one, or by a function of the time; the same
# input must give the same scores.
_DATE = datetime(2024, 7, 26)
_DIRECTIVES = (*"aAbBcdDeFfGgHhIjklmMpPrRSTuUVwWxXyYzZ", "-d", "-m", "-H", "-I", "-M", "-S", "-j")


class Frame(NamedTuple):
    """The text before and after that of a prompt; the marks of a chat, for most models."""

    prefix: str
    suffix: str


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


class Encoded(NamedTuple):
    """Token `ids`, and `offsets` (start, end) of the characters of each."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


def encoded(tokenizer: Any, text: str) -> Encoded:
    """The tokens of a text, with what the tokenizer adds at the beginning but not at the end.

    Raises ModelError where the tokenizer cannot map its tokens to characters of the text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"The model's tokenizer, a {type(tokenizer).__name__}, does not map its tokens to characters of the "
            "text. Choose a model with a tokenizer.json."
        )
    encoding = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids, offsets = list(encoding["input_ids"]), list(encoding["offset_mapping"])
    added = encoding["special_tokens_mask"]
    while ids and added[len(ids) - 1] and offsets[len(ids) - 1] == (0, 0):
        ids.pop()
    return Encoded(tuple(ids), tuple(offsets[: len(ids)]))
