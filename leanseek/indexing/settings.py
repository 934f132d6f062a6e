"""What an index was created with, recorded in it and used by every later command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from leanseek.errors import IndexDamagedError


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The encoder of an index. Vectors are comparable only where `fingerprint` is equal."""

    name: str
    fingerprint: str
    dimensions: int
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """How the sparse side analyses and scores: one of the back ends, an analyser, BM25's parameters.

    `lossy_lengths` rounds the passages' lengths down as Lucene does, for scores that equal Lucene's; the back end
    `lucene` always does that.
    """

    backend: str = "bm25"
    analyzer: str = "english"
    variant: str = "lucene"
    k1: float = 0.9
    b: float = 0.4
    delta: float = 0.5
    lossy_lengths: bool = False


@dataclass(frozen=True, slots=True)
class LeanSettings:
    """How reduced vector indexes are made, see `LeanVecIndex.build`.

    `dims` None is the least that suffices, `primary` None what suits the kind; `precision` is that of the
    vectors in full.
    """

    dims: int | None = None
    kind: str = "auto"
    recall: float = 0.95
    precision: str = "sq8"
    primary: str | None = None


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The whole of an index's configuration; None where a side, or chunking, is absent.

    `dense` is `flat`, `lean`, or `auto`: reduced where a segment has so many vectors that it pays.
    """

    dense: str | None = None
    encoder: EncoderSettings | None = None
    lean: LeanSettings = LeanSettings()
    sparse: SparseSettings | None = None
    chunk_words: int | None = None
    chunk_overlap: int = 0

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> IndexSettings:
        """The settings that `to_json` wrote. Raises IndexDamagedError where they cannot be understood."""
        try:
            values = json.loads(text)
            if values["encoder"] is not None:
                values["encoder"] = EncoderSettings(**known(EncoderSettings, values["encoder"]))
            values["lean"] = LeanSettings(**known(LeanSettings, values["lean"]))
            if values["sparse"] is not None:
                values["sparse"] = SparseSettings(**known(SparseSettings, values["sparse"]))
            return cls(**known(cls, values))
        except (ValueError, TypeError, KeyError) as error:
            raise IndexDamagedError(f"the settings stored in the catalog cannot be read: {error}") from error


def known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `kind` has fields for: a later minor version may have stored more."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
