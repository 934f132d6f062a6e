"""Any data set of ir_datasets, by its id."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from functools import cached_property
from types import ModuleType
from typing import Any, Final

from leanseek.errors import InputError, MissingPackageError, UsageError
from leanseek.eval.collections.collection_files import has_self_hits, one_of, usual_order
from leanseek.types import Document, Qrels, Query

PREFIX: Final = "irds:"
_TITLES: Final = ("title", "headline")
_TEXTS: Final = ("text", "body", "abstract")


class IrdsCollection:
    """The collection of an ir_datasets id such as `msmarco-passage/trec-dl-2019/judged`.

    An id that has judgments is one split, called what the id adds to that of its documents, with "-" for "/"
    (`trec-dl-2019-judged`; `test` where it adds nothing). An id without judgments has the splits of the ids below
    it that share its documents. ir_datasets downloads what is not on the disk, by its own rules.

    Raises MissingPackageError, UsageError for an id that does not exist (naming some like it), and InputError for
    one without documents; reading raises InputError where the data cannot be had.
    """

    def __init__(self, id: str) -> None:
        library = _library()
        self._data = _loaded(library, id)
        if not self._data.has_docs():
            raise InputError(
                f"the ir_datasets data set '{id}' has no documents, so nothing can be searched in it"
            )
        self.name = id.replace("/", "-")
        self._id = id
        root = library.docs_parent_id(id)
        ids = [id] if self._data.has_qrels() else _below(library, id, root)
        splits = {one.removeprefix(root).strip("/").replace("/", "-") or "test": one for one in ids}
        self._parts = {split: library.load(splits[split]) for split in usual_order(splits)}
        self.splits = tuple(self._parts)

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of ir_datasets; title and text where it has them apart."""
        return map(_document, self._records(self._data, "docs"))

    def queries(self, split: str | None = None) -> list[Query]:
        """The queries that have judgments in the split; None gives every query of the id and its splits.

        Raises UsageError for a split that does not exist.
        """
        if split is None:
            parts = [self._data, *self._parts.values()]
        else:
            parts = [self._parts[one_of(self.name, self.splits, split)]]
        found = {
            record.query_id: Query(record.query_id, record.default_text())
            for part in parts
            if part.has_queries()
            for record in self._records(part, "queries")
        }
        qrels = self.qrels(split) if split is not None else found
        return [query for query in found.values() if query.id in qrels]

    def qrels(self, split: str) -> Qrels:
        """The judgments of a split. Raises UsageError as `queries` does."""
        part = self._parts[one_of(self.name, self.splits, split)]
        qrels: dict[str, dict[str, int]] = {}
        for record in self._records(part, "qrels"):
            qrels.setdefault(record.query_id, {})[record.doc_id] = int(record.relevance)
        return qrels

    @cached_property
    def self_hits(self) -> bool:
        """Whether queries are themselves documents under the same id, see `has_self_hits`."""
        return has_self_hits(self._id.removeprefix("beir/").split("/")[0], self.queries, self.documents)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over ids, titles and texts of documents and queries, and the judgments by split.

        Reads all documents, since the files of ir_datasets are an internal matter of that package.
        """
        total = hashlib.sha256()
        for document in self.documents():
            total.update("\0".join((document.id, document.title, document.text, "")).encode())
        for query in self.queries():
            total.update(f"{query.id}\0{query.text}\0".encode())
        for split in self.splits:
            for id, grades in self.qrels(split).items():
                total.update(f"{split}\0{id}\0{sorted(grades.items())}\0".encode())
        return total.hexdigest()

    def _records(self, part: Any, kind: str) -> Iterator[Any]:
        try:
            yield from getattr(part, f"{kind}_iter")()
        except (OSError, RuntimeError) as error:
            # The further arguments repeat the errors of every attempt, which it has printed already.
            reason = error.args[0] if isinstance(error, RuntimeError) and error.args else error
            raise InputError(
                f"ir_datasets cannot read the {kind} of '{self._id}': {reason}. Where it says so, put the files in "
                "place by hand: https://ir-datasets.com/downloads.html"
            ) from error


def _library() -> ModuleType:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingPackageError(f"A collection named {PREFIX}…", "ir_datasets", "irds") from error
    module: ModuleType = ir_datasets
    return module


def _loaded(library: ModuleType, id: str) -> Any:
    try:
        return library.load(id)
    except KeyError:
        close = difflib.get_close_matches(id, list(library.registry), 3, 0.5)
        likely = f" Did you mean {', '.join(f'{PREFIX}{one}' for one in close)}?" if close else ""
        raise UsageError(
            f"ir_datasets has no data set '{id}'.{likely} All of them: https://ir-datasets.com"
        ) from None
    except OSError as error:
        raise InputError(f"ir_datasets cannot load '{id}': {error}") from error


def _below(library: ModuleType, id: str, root: str) -> list[str]:
    """The ids below this one that have judgments of the same documents."""
    ids = [one for one in library.registry if one.startswith(f"{id}/") and library.load(one).has_qrels()]
    return [one for one in ids if library.load(one).has_docs() and library.docs_parent_id(one) == root]


def _document(record: Any) -> Document:
    text = next((name for name in _TEXTS if isinstance(getattr(record, name, None), str)), None)
    if text is None:
        return Document(record.doc_id, record.default_text())
    title = next((name for name in _TITLES if isinstance(getattr(record, name, None), str)), None)
    return Document(record.doc_id, getattr(record, text), getattr(record, title) if title else "")
