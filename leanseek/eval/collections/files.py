"""A collection that lies in files, whatever their layout: documents, queries and judgments, read when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from leanseek.errors import InputError
from leanseek.eval.base import Qrels
from leanseek.eval.collections.self_hits import has_self_hits
from leanseek.eval.collections.splits import one_of
from leanseek.eval.judgments import read_qrels
from leanseek.indexing.catalog import checksum
from leanseek.indexing.queries import read_queries
from leanseek.indexing.reading import read
from leanseek.types import Document, Query


class FilesCollection:
    """A `Collection` of files: `documents` are files and folders, `judgments` a file for each split.

    Nothing is read before it is asked for, and documents are never held.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        documents: Sequence[Path],
        queries: Sequence[Path],
        judgments: Mapping[str, Path],
    ) -> None:
        self.name = name
        self.folder = folder
        self.document_files = tuple(documents)
        self.query_files = tuple(queries)
        self.judgment_files = dict(judgments)
        self.splits = tuple(judgments)

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of its source. Raises InputError for one that cannot be read."""
        return read(*self.document_files)

    def queries(self, split: str | None = None) -> list[Query]:
        """The queries that have judgments in the split; None gives every query.

        Raises UsageError for a split that does not exist, and InputError where two files give one query id
        different texts, of which neither is the split's own.
        """
        qrels = self.qrels(split) if split is not None else None
        own = [path for path in self.query_files if split is not None and bare(path.name) == split]
        found: dict[str, Query] = {}
        source: dict[str, Path] = {}
        for path in (*own, *(path for path in self.query_files if path not in own)):
            for query in read_queries(path):
                if qrels is not None and query.id not in qrels:
                    continue
                earlier = found.setdefault(query.id, query)
                first = source.setdefault(query.id, path)
                if earlier.text != query.text and first not in own:
                    raise InputError(
                        f"the query id {query.id!r} has one text in {first} and another in {path}{hint(split)}"
                    )
        return list(found.values())

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split. Raises UsageError as `queries` does."""
        return read_qrels(self.judgment_files[one_of(self.name, self.splits, split)])

    @cached_property
    def self_hits(self) -> bool:
        """Whether queries are themselves documents under the same id: `self_hits.has_self_hits`."""
        every = (query for path in self.query_files for query in read_queries(path))
        return has_self_hits(self.name, lambda: every, self.documents)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the names (below the folder) and the SHA-256 of the files, in the order of the names."""
        total = hashlib.sha256()
        given = (*self.document_files, *self.query_files, *self.judgment_files.values())
        files = {file for path in given for file in (path.rglob("*") if path.is_dir() else [path])}
        named = {path.relative_to(self.folder).as_posix(): path for path in files if path.is_file()}
        for name, path in sorted(named.items()):
            total.update(f"{name}\0{checksum(path)}\n".encode())
        return total.hexdigest()


def hint(split: str | None) -> str:
    """What to do about one query id with two texts."""
    if split is None:
        return ". Ask for the queries of a split, or keep the files in folders of their own."
    return (
        f", and neither file is named after the split '{split}'. Name the split's queries like its judgments "
        f"(queries.{split}.tsv, topics.{split}.txt), or keep the files in folders of their own."
    )


def bare(name: str) -> str:
    """`dev.small` of `qrels.dev.small.tsv.gz`: without packing, suffix, and the word for what it holds."""
    lower = name.lower()
    for suffix in (".gz", ".bz2", ".tsv", ".txt", ".trec", ".xml", ".qrels", ".qrel", ".topics", ".jsonl"):
        lower = lower.removesuffix(suffix)
    for word in ("qrels", "qrel", "topics", "topic", "queries", "query"):
        lower = lower.replace(word, "")
    return lower.strip("._- ")
