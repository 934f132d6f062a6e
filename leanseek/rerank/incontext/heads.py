"""The attention heads that count: all, or a list of those that find what a query is about."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from leanseek.decode.capture import Heads
from leanseek.decode.decoder import Decoder
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.rerank.incontext.prompts import PromptKind, check_kind

FORMAT = 1

PUBLISHED = "published"
"""Stands for the head list that was published for the model."""


class Head(NamedTuple):
    """A head by its layer's number and its own, both from 0."""

    layer: int
    head: int


@dataclass(frozen=True, slots=True)
class HeadList:
    """Heads of one model, best first, and where they come from.

    `fingerprint` is that of the model's weights; empty for a published list, which is known by the model's name
    and shape alone: `layers` layers of `width` heads. `prompt` is the kind of prompt they were found with, where they
    have a fingerprint.
    """

    model: str
    fingerprint: str
    layers: int
    width: int
    heads: tuple[Head, ...]
    method: str
    source: str
    prompt: PromptKind = "IE"

    def text(self) -> str:
        """The list as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False)

    def best(self, count: int) -> tuple[Head, ...]:
        """The `count` best heads."""
        return self.heads[:count]

    def check(self, decoder: Decoder, prompt: PromptKind) -> None:
        """Raise ModelError where the list is not of this decoder, UsageError where not of this kind of prompt.

        Of a published list it is not known which prompt it is best for: it serves both.
        """
        if (self.layers, self.width) != (decoder.depth, decoder.width):
            raise ModelError(
                f"the heads are those of {self.model}, with {self.layers} layers of {self.width} heads; "
                f"{decoder.name} has {decoder.depth} of {decoder.width}. Find its own: leanseek train heads"
            )
        if self.fingerprint and self.fingerprint != decoder.weights:
            raise ModelError(
                f"the heads were found in other weights than those of {decoder.name}. "
                "Find its own: leanseek train heads"
            )
        if self.fingerprint and self.prompt != prompt:
            raise UsageError(
                f"these heads were found with the prompt {self.prompt}, not {prompt}; give prompt='{self.prompt}', or "
                f"find heads for it with: leanseek train heads --prompt {prompt}"
            )


def heads_of(
    decoder: Decoder,
    prompt: PromptKind,
    heads: HeadList | str | os.PathLike[str] | None,
    layers: tuple[int, int] | None,
) -> Heads:
    """The heads of a decoder that count: those of a list, its file or `PUBLISHED`, or all of (first, end) `layers`.

    With neither they are all heads. Raises UsageError for both, for a list without heads or found with another
    prompt, and for layers that the decoder does not have; ModelError for another decoder's list; InputError.
    """
    if heads is None:
        first, end = layers or (0, decoder.depth)
        if not 0 <= first < end <= decoder.depth:
            raise UsageError(
                f"layers {first} to {end} are none; {decoder.name} has those from 0 to {decoder.depth}: give (first, "
                "end) with first < end"
            )
        return Heads(dict.fromkeys(range(first, end)))
    if layers is not None:
        raise UsageError("heads name their layers; give heads or layers, not both")
    if heads == PUBLISHED:
        heads = published_for(decoder.name)
    elif not isinstance(heads, HeadList):
        heads = read_heads(Path(heads))
    heads.check(decoder, prompt)
    if not heads.heads:
        raise UsageError("the list names no heads; leave heads out to take all of them")
    return Heads(by_layer(heads.heads))


def by_layer(heads: Iterable[Head]) -> dict[int, list[int]]:
    """The numbers of the heads in each layer that has some."""
    found: dict[int, list[int]] = {}
    for layer, head in sorted(set(heads)):
        found.setdefault(layer, []).append(head)
    return found


def read_heads(path: Path) -> HeadList:
    """The list in a file that `leanseek train heads` wrote. Raises InputError."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("format") > FORMAT:
            raise InputError(f"{path}: this list of heads was written by a newer leanseek; update yours")
        return head_list(record)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this list of heads cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: this is no list of heads; make one with leanseek train heads") from error


def head_list(record: dict[str, Any]) -> HeadList:
    """A list from its record; TypeError, KeyError or ValueError where it is none."""
    heads = tuple(Head(int(layer), int(head)) for layer, head in record.pop("heads"))
    listed = HeadList(heads=heads, **record | {"prompt": check_kind(record.get("prompt", "IE"))})
    if any(not (0 <= one.layer < listed.layers and 0 <= one.head < listed.width) for one in heads):
        raise ValueError("a head outside the model")
    return listed


@lru_cache(maxsize=1)
def published() -> tuple[HeadList, ...]:
    """The lists that were published for common models, each named by its model."""
    text = files("leanseek.rerank.incontext").joinpath("published_heads.json").read_text(encoding="utf-8")
    return tuple(
        head_list(
            {**record, "fingerprint": "", "heads": [head.split("-") for head in record["heads"].split(",")]}
        )
        for record in json.loads(text)
    )


def published_for(name: str, method: str | None = None) -> HeadList:
    """The first published list for a model's name or folder, of that `method` where one is given.

    Raises UsageError where there is none.
    """
    model = PurePath(name).name.lower()
    for listed in published():
        if listed.model.lower() == model and method in (None, listed.method):
            return listed
    known = ", ".join(sorted({listed.model for listed in published()}))
    raise UsageError(
        f"no heads were published for '{name}'. There are lists for: {known}. "
        "Find those of another model with: leanseek train heads"
    )
