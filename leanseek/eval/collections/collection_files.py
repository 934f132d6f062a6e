"""Collections of files, and what all kinds of collections share: splits, self hits, checks of judgments, a summary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Collection
from leanseek.files import checksum
from leanseek.reading import read
from leanseek.reading.judgments import read_qrels
from leanseek.reading.queries import read_queries
from leanseek.types import Document, Qrels, Query, content

SELF_HITS: Final = ("arguana", "quora")
"""Collections whose queries are documents of theirs."""
SELF_HIT_DOCUMENTS: Final = 100_000
SELF_HIT_IDS: Final = 50
"""Documents, and ids that are also queries', by which any other collection is decided, at most."""
SHOWN: Final = 3
"""Ids in a message."""


class FilesCollection:
    """A `Collection` of files: `documents` are files and folders, `judgments` a file for each split.

    Files are read when they are needed, and documents are never held in memory.
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

        Raises UsageError for a split that does not exist, and InputError where two files have different texts for one
        query id, and neither file is the split's own.
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
        """Whether queries are themselves documents under the same id, see `has_self_hits`."""
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
    """The advice for one query id with two texts."""
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


def one_of(name: str, splits: Sequence[str], split: str) -> str:
    """The split, if it exists. Raises UsageError that lists those that do."""
    if split in splits:
        return split
    if not splits:
        raise UsageError(
            f"the collection '{name}' has no judgments, so it has no split '{split}'; it can be indexed and "
            "searched, but not scored"
        )
    raise UsageError(f"the collection '{name}' has no split '{split}'; its splits are: {', '.join(splits)}")


def usual_order(splits: Iterable[str]) -> list[str]:
    """Test first, then dev and train, then others by name: the first is what to report on."""
    usual = ("test", "dev", "train")
    return sorted(splits, key=lambda split: (usual.index(split) if split in usual else len(usual), split))


def has_self_hits(
    name: str, queries: Callable[[], Iterable[Query]], documents: Callable[[], Iterable[Document]]
) -> bool:
    """Whether queries are themselves documents under the same id: by the collection's name, else by its texts."""
    if name.lower() in SELF_HITS:
        return True
    texts = {query.id: _plain(query.text) for query in queries()}
    if not texts:
        return False
    shared = same = 0
    for document in islice(documents(), SELF_HIT_DOCUMENTS):
        text = texts.get(document.id)
        if text is None:
            continue
        shared += 1
        forms = (document.text, document.title, content(document.title, document.text))
        same += bool(text) and text in map(_plain, forms)
        if shared == SELF_HIT_IDS:
            break
    return same * 2 > shared


def _plain(text: str) -> str:
    """The text without white space and case, which files of a collection may change."""
    return "".join(text.split()).casefold()


@dataclass(frozen=True, slots=True)
class Summary:
    """`splits` are the judged queries of each split."""

    name: str
    documents: int
    splits: Mapping[str, int]
    self_hits: bool


def summarize(collection: Collection) -> Summary:
    """Count a collection's documents (those that would be indexed) and judged queries; reads all of it once."""
    return Summary(
        name=collection.name,
        documents=sum(1 for _ in collection.documents()),
        splits={split: len(collection.qrels(split)) for split in collection.splits},
        self_hits=collection.self_hits,
    )


def check_judgments(collection: Collection, split: str) -> list[str]:
    """Warnings about a split's judgments: see `odd_judgments`. Reads all documents, and holds only judged ids.

    Raises UsageError for a split that does not exist.
    """

    def missing(ids: Iterable[str]) -> list[str]:
        absent = dict.fromkeys(ids)
        for document in collection.documents():
            absent.pop(document.id, None)
        return list(absent)

    return odd_judgments(
        f"'{collection.name}' ({split})", collection.qrels(split), collection.queries(split), missing
    )


def odd_judgments(
    name: str, qrels: Qrels, queries: Iterable[Query], missing: Callable[[Iterable[str]], Sequence[str]]
) -> list[str]:
    """Warnings about the judgments called `name`, a sentence each with a count and examples.

    They report judged queries without a text, which cannot be searched and so count 0 in every mean, and relevant
    documents that do not exist, which no search can find. `missing` returns those of some ids that are no documents.
    """
    texts = {query.id for query in queries}
    lost = [id for id in qrels if id not in texts]
    gone = missing({id: None for grades in qrels.values() for id, grade in grades.items() if grade > 0})
    found = []
    if lost:
        found.append(
            f"{len(lost):,} of {len(qrels):,} judged queries of {name} without a text: {examples(lost)}; "
            "each counts 0 in every mean"
        )
    if gone:
        found.append(
            f"{len(gone):,} relevant {'document' if len(gone) == 1 else 'documents'} of {name} not in the collection, "
            f"or empty there: {examples(gone)}; no search can find {'it' if len(gone) == 1 else 'them'}"
        )
    return found


def examples(ids: Sequence[str]) -> str:
    """The first few, quoted."""
    return f"{', '.join(map(repr, ids[:SHOWN]))}{', …' if len(ids) > SHOWN else ''}"
