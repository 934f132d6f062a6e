"""Queries that a decoder writes for passages: the sparse side finds them by these too (Nogueira et al., "Document
Expansion by Query Prediction", arXiv:1904.08375)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from leanseek.encode.cache import Messages, RowCache
from leanseek.errors import ModelError, UsageError
from leanseek.files import cache_folder
from leanseek.indexing.settings import ExpansionSettings, SparseSettings

MOST_QUERIES: Final = 20
"""Queries of a passage at most: a decoder that is asked for more has long begun to repeat itself."""


class ExpansionCacheWarning(UserWarning):
    """The cache of written queries cannot be used; they are written anew."""


_MESSAGES = Messages(
    name="cache of written queries",
    damaged=", and queries are written again",
    unusable="; queries are written without it",
    warning=ExpansionCacheWarning,
)


class ExpansionCache(RowCache):
    """The queries that one decoder has written, by passage; otherwise as `VectorCache`."""

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or make the cache of what has that fingerprint, by default in `queries` in the cache folder."""
        super().__init__(folder or cache_folder() / "queries", fingerprint, _MESSAGES)

    def get(self, passages: Sequence[str]) -> list[list[str] | None]:
        """The queries of each passage; None for one not seen before."""
        return [
            json.loads(row.content) if row is not None else None
            for row in self.find_rows("document", passages)
        ]

    def put(self, passages: Sequence[str], queries: Iterable[Sequence[str]]) -> None:
        """Store the queries of the passages; they are on the disk when this returns."""
        self.store_rows("document", passages, [(json.dumps(list(one)).encode(), 0) for one in queries])


class DocumentExpansion:
    """Writes the queries that an index's passages are found by; `settings` is what the index records of it."""

    def __init__(self, generator: str, queries: int, device: str | None = None) -> None:
        """Load the decoder. Raises UsageError for no queries or more than 20, and what `load_decoder` raises."""
        if not 1 <= queries <= MOST_QUERIES:
            raise UsageError(
                f"documents are to be expanded by {queries} queries each; give 1 to {MOST_QUERIES} (3 is usual)"
            )
        # Decoders bring torch with them, which an index without them does without.
        from leanseek.decode import PassageQueries, load_decoder

        self._writer = PassageQueries(
            load_decoder(generator, device, precision="fast"), ["perfect"] * queries
        )
        self.settings = ExpansionSettings(generator, self._writer.fingerprint, queries)

    @property
    def block(self) -> int:
        """How many passages are best given at a time."""
        return self._writer.block

    def words(self, passages: Sequence[str], cache: ExpansionCache | None = None) -> list[str]:
        """The queries written for each passage, as one text; from the cache where they are known."""
        known = cache.get(passages) if cache is not None else [None] * len(passages)
        missing = list(dict.fromkeys(text for text, one in zip(passages, known, strict=True) if one is None))
        written = dict(zip(missing, self._writer.write(missing) if missing else [], strict=True))
        if cache is not None and missing:
            cache.put(missing, written.values())
        return [
            " ".join(written[text] if one is None else one) for text, one in zip(passages, known, strict=True)
        ]


Expand = Callable[[Sequence[str]], list[str]]
"""From passages to the texts that they are found by as well."""


def plan_expansion(
    queries: int | None, generator: str | None, sparse: SparseSettings | None, device: str | None
) -> DocumentExpansion | None:
    """The expansion of a new index's documents, its decoder loaded; None where there is none.

    Raises UsageError where the index has no BM25 side of its own.
    """
    if queries is None:
        if generator is not None:
            raise UsageError(
                "a generator writes what documents are expanded by; say how many queries each (expand_documents)"
            )
        return None
    if sparse is None or sparse.backend != "bm25":
        raise UsageError(
            "documents are expanded for the sparse side 'bm25' alone; leave out the expansion, or choose that side"
        )
    from leanseek.decode import DEFAULT_DECODER

    return DocumentExpansion(generator or DEFAULT_DECODER, queries, device)


def recorded_expansion(recorded: ExpansionSettings) -> DocumentExpansion:
    """Load the decoder that wrote an index's queries.

    Raises ModelError where it cannot be loaded, or writes others by now.
    """
    try:
        found = DocumentExpansion(recorded.generator, recorded.queries)
    except (ModelError, UsageError) as error:
        raise ModelError(
            f"the index's documents are expanded by the decoder '{recorded.generator}', which cannot be loaded: {error}"
        ) from error
    if found.settings.fingerprint != recorded.fingerprint:
        raise ModelError(
            f"the decoder '{recorded.generator}' is not the one that the index's documents were expanded by; use that "
            "one, or index again"
        )
    return found
