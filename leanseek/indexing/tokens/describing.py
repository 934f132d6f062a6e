"""What an index tells of the token vectors that it has stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from leanseek.errors import LeanseekError
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.live import live_keys, live_ordinals
from leanseek.indexing.tokens.store import TokenStore

_COUNTED: Final = 100_000
"""Live passages that are looked up at most: all their texts have to be read for it."""

Summary = TypeVar("Summary", bound="TokenSummary")


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Token vectors of `model`: of its `dimensions` `dims` are kept, each in `bits`.

    `passages` of different texts have so many `tokens`, in so many `bytes`; `bytes_per_passage` leaves out what was
    learned for all of them.
    """

    model: str
    dimensions: int
    dims: int
    bits: int
    passages: int
    tokens: int
    bytes: int
    bytes_per_passage: float

    @classmethod
    def of(cls: type[Summary], store: TokenStore, **more: Any) -> Summary:
        """The summary of what is stored; `more` are fields that a kind of summary adds."""
        settings = store.settings
        return cls(
            model=settings.model,
            dimensions=settings.dimensions,
            dims=settings.dims,
            bits=settings.bits,
            passages=store.passages,
            tokens=store.tokens,
            bytes=store.bytes,
            bytes_per_passage=store.bytes_per_passage,
            **more,
        )


@dataclass(frozen=True, slots=True)
class TokenInfo(TokenSummary):
    """What is stored, and how many of the index's live passages are not: None where it would take long to count."""

    lacking: int | None


def describe_tokens(snapshot: Snapshot) -> TokenInfo | str | None:
    """What is stored; why it cannot be read; None where there is nothing. Raises IndexDamagedError for the index."""
    try:
        store = TokenStore.open(snapshot.folder)
    except (LeanseekError, OSError) as error:
        return str(error)
    if store is None:
        return None
    lacking = None
    if len(live_ordinals(snapshot)) <= _COUNTED:
        lacking = int((store.find(live_keys(snapshot)).blocks < 0).sum())
    return TokenInfo.of(store, lacking=lacking)
