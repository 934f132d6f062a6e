"""An index as the adapters use it: a folder, a searcher or a server, asked and written to in one way."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, Unpack

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import InputError, UsageError
from leanseek.filters import Filter
from leanseek.indexing.catalog import CATALOG
from leanseek.indexing.index import Index
from leanseek.indexing.intake import OnDuplicate
from leanseek.reading.metadata import MetadataBuilder, MetadataError
from leanseek.records import hit_record
from leanseek.searcher.request import SearchOptions
from leanseek.searcher.searcher import Searcher
from leanseek.types import Answer, Document, Hit, Metadata, MetadataValue

if TYPE_CHECKING:
    from leanseek.client import Client

Result = TypeVar("Result")

Source: TypeAlias = "str | Path | Searcher | Client"
"""What adapters take: the path of an index, a searcher, a server's address (`http://…`), or a client of one."""

ID: Final = "metadata.id"
"""The field of a metadata key `id`: a filter's own `id` is the document's."""
THREADS: Final = 4
"""Searches and writes of all adapters at a time: each thread may keep the interpreter, and with it the event loop
waiting, for 5 ms in turn, and more of them would not be faster.
"""
KEY: Final = "leanseek"
"""The metadata key under which adapters say what they found out about a document; it is not stored."""
EXACT: Final = "metadata.json"
"""The field that keeps metadata as it was given, where the fields of an index have another form of it."""


class Connection:
    """An index that an adapter asks and writes to. Safe to share between threads.

    >>> connection = Connection("papers.index", create=True)
    >>> connection.write([Document("1", "Statins lower cholesterol.")])
    """

    def __init__(
        self,
        source: Source,
        *,
        encoder: str | Encoder | None = None,
        create: bool = False,
        cache: bool = True,
        **options: Any,
    ) -> None:
        """`options` are those of `Searcher.open` for a path, and of `Client` for an address.

        With `create` a path without an index becomes an empty one, with the `encoder` or the default one. `cache`:
        whether what is written looks its vectors up in the vector cache.

        Raises what `Searcher.open` raises, and UsageError for options or an encoder beside a searcher or a client.
        """
        self._encoder = encoder
        self._cache = cache
        self._index: Index | None = None
        self._lock = threading.Lock()
        self._searcher: Searcher | Client
        address = isinstance(source, str) and source.startswith(("http://", "https://"))
        if isinstance(source, str | Path) and not address:
            folder = Path(source)
            if create and not (folder / CATALOG).exists():
                self._index = Index.create(folder, encoder=encoder or DEFAULT_MODEL)
            self._searcher = Searcher.open(folder, encoder=encoder, **options)
            return
        if encoder is not None:
            raise UsageError("an encoder goes with the path of an index; a searcher or a server has its own")
        if isinstance(source, str):
            from leanseek.client import Client

            self._searcher = Client(source, **options)
            return
        if options:
            raise UsageError(f"{min(options)} goes with the path of an index; open the searcher with it")
        self._searcher = source  # type: ignore[assignment]

    @property
    def searcher(self) -> Searcher | Client:
        """What answers the queries."""
        return self._searcher

    def answer(
        self,
        query: str,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> Answer:
        """The answer to a query, see `Searcher.answer`."""
        return self._searcher.answer(query, k, queries=queries, explain=explain, **options)

    async def aanswer(
        self,
        query: str,
        k: int = 10,
        *,
        queries: Sequence[str] | None = None,
        explain: bool = False,
        **options: Unpack[SearchOptions],
    ) -> Answer:
        """`answer` for callers that must not block."""
        if isinstance(self._searcher, Searcher):
            return await aside(self._searcher.answer, query, k, queries=queries, explain=explain, **options)
        return await self._searcher.aanswer(query, k, queries=queries, explain=explain, **options)

    def documents(self, ids: Iterable[str]) -> list[Document]:
        """Those of the documents that the index has, whole and in the order given."""
        return self._searcher.documents(list(ids))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that the index does not have, each once, in the order given."""
        self._searcher.refresh()
        return self._searcher.missing(ids)

    def matching(self, condition: Filter | None = None) -> list[str]:
        """The ids of all documents, or of those that a condition admits. Raises UsageError for an index on a server."""
        if not isinstance(self._searcher, Searcher):
            raise UsageError("an index on a server does not list its documents; give the path of its folder")
        self._searcher.refresh()
        return self._searcher.ids(filter=condition)

    def write(self, documents: Iterable[Document], on_duplicate: OnDuplicate = "replace") -> None:
        """Add documents in one commit, by default in place of those with their ids, and search them from now on.

        Raises IndexLockedError, ServerError for a server that is not writable, and what `Index.add` raises.
        """
        if not isinstance(self._searcher, Searcher):
            self._searcher.add(documents, on_duplicate=on_duplicate)
            return
        self._writer(self._searcher.path).add(documents, on_duplicate=on_duplicate, cache=self._cache)
        self._searcher.refresh()

    def delete(self, ids: Iterable[str]) -> list[str]:
        """Delete documents; returns the ids of those that were there. Raises as `write` does."""
        wanted = list(dict.fromkeys(ids))
        missing = set(self.missing(wanted))
        found = [one for one in wanted if one not in missing]
        if isinstance(self._searcher, Searcher):
            writer = self._writer(self._searcher.path)
            if found:
                writer.delete(found, ignore_missing=True)
                self._searcher.refresh()
        else:
            self._searcher.delete(found, ignore_missing=True)
        return found

    def compact(self) -> None:
        """Write the files of the index anew, without what was deleted. Raises as `write` does."""
        if not isinstance(self._searcher, Searcher):
            self._searcher.compact()
            return
        self._writer(self._searcher.path).compact()
        self._searcher.refresh()

    def close(self) -> None:
        """Let the files, or the connections, go."""
        with self._lock:
            if self._index is not None:
                self._index.close()
        self._searcher.close()

    def _writer(self, folder: Path) -> Index:
        with self._lock:
            if self._index is None:
                self._index = Index.open(folder, encoder=self._encoder)
            return self._index


async def aside(work: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """What a function returns, run in a thread of those of the adapters, so that the event loop goes on."""
    call = functools.partial(contextvars.copy_context().run, work, *arguments, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="leanseek-adapter")


def opened(index: Source | Connection) -> Connection:
    """The connection to an index, as it is where it is one. Raises as `Connection` does."""
    return index if isinstance(index, Connection) else Connection(index)


def written(id: str, text: str, metadata: Mapping[str, Any]) -> Document:
    """A document of another package as one of ours; `metadata_of` gives the same metadata back.

    A string under `title` becomes the title, and `KEY` is left out. A key `id` becomes the field
    `metadata.id`. Nested objects become dotted names; where that loses something, `metadata.json` keeps the metadata as
    given.

    Raises InputError for a value that metadata cannot hold.
    """
    metadata = {name: value for name, value in metadata.items() if name != KEY}
    title = metadata.get("title")
    title = title if isinstance(title, str) else ""
    builder = MetadataBuilder()
    for name, value in metadata.items():
        try:
            if name != "title" or not title:
                builder.add(ID if name == "id" else str(name), value)
        except MetadataError as error:
            raise InputError(
                f"the metadata {error.field or name!r} of the document {id!r} {error}"
            ) from error
    document = Document(id, text, title, builder.values)
    exact = _sorted_json(metadata)
    if exact is not None and exact != _sorted_json(metadata_of(title, builder.values)):
        document = Document(
            id, text, title, {**builder.values, EXACT: json.dumps(metadata, ensure_ascii=False)}
        )
    return document


def metadata_of(title: str, metadata: Metadata) -> dict[str, Any]:
    """The metadata of a document or hit as another package has it, its title included; see `written`."""
    exact = metadata.get(EXACT)
    if isinstance(exact, str):
        found: dict[str, Any] = json.loads(exact)
        return found
    plain: dict[str, MetadataValue] = {"title": title} if title else {}
    return plain | {"id" if name == ID else name: value for name, value in metadata.items()}


def standing_of(hit: Hit) -> dict[str, Any]:
    """What an adapter shows of a hit beside its document, as JSON has it.

    `rank` and `score`; `start` and `end`, the characters of the document that its text is; `page` and `heading`, those
    that it begins in, `probability`, `history`, `stages` and the other keys of a hit's record where they apply.
    """
    start = hit.passage.start if hit.passage is not None else 0
    record: dict[str, Any] = {**hit_record(hit), "start": start, "end": start + len(hit.text)}
    for mark in hit.marks[:1]:
        known = {"page": mark.page, "heading": mark.heading} if mark.start <= start else {}
        record |= {name: value for name, value in known.items() if value is not None}
    for name in ("id", "title", "text", "metadata", "marks"):
        record.pop(name, None)
    return record


def _sorted_json(value: Mapping[str, Any]) -> str | None:
    """A value as JSON, the same for equal values; None where JSON does not have it."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
