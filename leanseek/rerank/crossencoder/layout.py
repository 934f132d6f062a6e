"""Pairs as a model reads them: how the tokens of a query and of a passage are joined."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from leanseek.errors import ModelError
from leanseek.types import Float32Array, Int32Array

LAYOUT_FILE = "layout.json"

PROBES = (
    ("query words", "passage text"),
    ("What is it?", "A sentence. Another one, of 12 words: to be compared."),
    ("x", ""),
    ("naïve café", "Ünïcode, 漢字 and emoji 🙂 too"),
)
"""Pairs on which a layout, and later an exported model, is compared with the model's own reading."""

_SPECIAL = ("before", "between", "after", "before_types", "between_types", "after_types")


class PairIds(NamedTuple):
    """A pair's token ids and their types, (length,) int32 each."""

    ids: Int32Array
    types: Int32Array


@dataclass(frozen=True, slots=True)
class PairLayout:
    """Special tokens before, between and after the two texts, with their types, and the types of the texts."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    before_types: tuple[int, ...]
    between_types: tuple[int, ...]
    after_types: tuple[int, ...]
    query_type: int
    passage_type: int

    @property
    def special(self) -> int:
        """How many special tokens a pair has."""
        return len(self.before) + len(self.between) + len(self.after)

    def join(self, query: Int32Array, passage: Int32Array) -> PairIds:
        """The pair of a query's tokens (q,) and a passage's (p,), both without special tokens."""
        ids = np.concatenate([_array(self.before), query, _array(self.between), passage, _array(self.after)])
        types = np.concatenate(
            [
                _array(self.before_types),
                np.full(len(query), self.query_type, dtype=np.int32),
                _array(self.between_types),
                np.full(len(passage), self.passage_type, dtype=np.int32),
                _array(self.after_types),
            ]
        )
        return PairIds(ids, types)

    def write(self, folder: Path) -> None:
        """Write layout.json into an existing folder."""
        (folder / LAYOUT_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> PairLayout:
        """Read layout.json. Raises ModelError where it cannot be read."""
        try:
            fields = json.loads((folder / LAYOUT_FILE).read_text(encoding="utf-8"))
            special = {name: tuple(map(int, fields[name])) for name in _SPECIAL}
            return cls(
                query_type=int(fields["query_type"]), passage_type=int(fields["passage_type"]), **special
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"The exported model in {folder} cannot be read ({error}). Delete that folder; it is made again."
            ) from error


def find_layout(
    read: Callable[[str, str], PairIds], tokens: Callable[[Sequence[str]], Sequence[Int32Array]]
) -> PairLayout:
    """The layout of a model that reads pairs as `read` does; `tokens` are those of texts alone.

    Raises ModelError where the pair does not have the tokens of the two texts unchanged, in this order.
    """
    query, passage = tokens(PROBES[0])
    ids, types = read(*PROBES[0])
    first = _place(ids, query, 0)
    second = _place(ids, passage, first + len(query)) if first >= 0 else -1
    if first < 0 or second < 0:
        raise ModelError("the model does not read a query's tokens followed by a passage's")
    ends = slice(0, first), slice(first + len(query), second), slice(second + len(passage), len(ids))
    special = [tuple(map(int, ids[end])) for end in ends]
    kinds = [tuple(map(int, types[end])) for end in ends]
    layout = PairLayout(
        special[0],
        special[1],
        special[2],
        kinds[0],
        kinds[1],
        kinds[2],
        int(types[first]),
        int(types[second]),
    )
    for one, other in PROBES:
        expected, found = read(one, other), layout.join(*tokens((one, other)))
        if not all(np.array_equal(*both) for both in zip(expected, found, strict=True)):
            raise ModelError(
                f"the model reads the pair ({one!r}, {other!r}) as other tokens than the two texts have alone"
            )
    return layout


def _array(values: tuple[int, ...]) -> Int32Array:
    return np.array(values, dtype=np.int32)


def _place(ids: Int32Array, wanted: Int32Array, start: int) -> int:
    """The first place of the tokens from `start` on; -1 where there is none."""
    for place in range(start, len(ids) - len(wanted) + 1):
        if np.array_equal(ids[place : place + len(wanted)], wanted):
            return place
    return -1


class PairModel(Protocol):
    """Gives pairs their logits; a pair's does not depend on the others of its call, but for rounding."""

    name: str
    """What `load` takes to load it again."""
    fingerprint: str
    """Hex digest of weights, tokenizer and precision."""
    layout: PairLayout
    definition: str
    """The content of the tokenizer's tokenizer.json."""
    max_tokens: int | None
    """The longest pair, special tokens included; None where there is no limit."""
    budget: int
    """Tokens of a batch that runs fastest."""

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        """(n,) the raw scores of n pairs."""
        ...
