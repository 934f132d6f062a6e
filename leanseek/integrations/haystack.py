"""leanseek in Haystack: a document store, a retriever and a ranker."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from leanseek.errors import MissingPackageError

try:
    import haystack as _haystack  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackageError("leanseek.integrations.haystack", "haystack-ai", "haystack") from error
from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy
from haystack.errors import FilterError as TheirFilterError

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import DuplicateIdError, FilterError, InputError, UsageError
from leanseek.filters import Filter, from_haystack
from leanseek.integrations.connection import (
    ID,
    KEY,
    Connection,
    Source,
    aside,
    metadata_of,
    standing_of,
    written,
)
from leanseek.integrations.refinement import Refined, Refinement
from leanseek.rerank import Reranker
from leanseek.searcher.context import check_share
from leanseek.types import Document as OurDocument
from leanseek.types import Hit

Result = TypeVar("Result")


class LeanseekDocumentStore:
    """An index as a document store: persistent, filtered, every change in one commit.

    Embeddings of documents are not stored: the index makes its own vectors. Each method has an asynchronous twin with
    `_async` after its name.

    >>> store = LeanseekDocumentStore("papers.index")
    >>> store.write_documents([Document(content="Statins lower cholesterol.", meta={"year": 2019})])
    """

    def __init__(self, index: Source, encoder: str | Encoder | None = None, **options: Any) -> None:
        """Nothing is opened before the store is used, or `warm_up` is called.

        `index` is a path, a `Searcher`, a server's address, or a `Client`; a path without an index becomes an empty
        one. `encoder` names what makes its vectors; None is the index's own, or the default one for a new index.
        `options` are those of `Searcher.open`, such as `reranker="cross-encoder"`.
        """
        self._given: dict[str, Any] = {"index": index, "encoder": encoder, **options}
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The index, opened at first use. Raises what `Searcher.open` raises."""
        if self._connection is None:
            given = dict(self._given)
            self._connection = Connection(given.pop("index"), create=True, **given)
        return self._connection

    def warm_up(self) -> None:
        """Open the index."""
        self.connection  # noqa: B018

    def close(self) -> None:
        """Let the files go; the next use opens the index again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def to_dict(self) -> dict[str, Any]:
        """The store as pipelines are saved. Raises UsageError where it was given objects instead of names."""
        given = {name: str(one) if isinstance(one, Path) else one for name, one in self._given.items()}
        for name, one in given.items():
            if not isinstance(one, str | int | float | list | None):
                raise UsageError(
                    f"{name} is a {type(one).__name__}, which cannot be saved with a pipeline; give a path or a name"
                )
        return default_to_dict(self, **given)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LeanseekDocumentStore:
        """The store that `to_dict` described."""
        store: LeanseekDocumentStore = default_from_dict(cls, data)
        return store

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.connection.matching())

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """All documents that the filters admit, in the order of their ids. Raises Haystack's FilterError."""
        return [theirs(one) for one in self.connection.documents(self._matching(filters))]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents in one commit; returns how many were written.

        An id that is taken raises DuplicateDocumentError and nothing is written, is passed over (SKIP), or takes the
        place of the former (OVERWRITE). Raises UsageError for what is no list of documents with text.
        """
        if not isinstance(documents, list) or not all(isinstance(one, Document) for one in documents):
            raise UsageError("documents must be a list of haystack.Document objects")
        if policy == DuplicatePolicy.SKIP:
            missing = set(self.connection.missing([one.id for one in documents]))
            # Of documents with one id the first is written.
            documents = list({one.id: one for one in reversed(documents) if one.id in missing}.values())[::-1]
        ready = [ours(one) for one in documents]
        if any(one.embedding or one.sparse_embedding for one in documents):
            warnings.warn(
                "the embeddings of documents are not stored: leanseek makes its own vectors", stacklevel=2
            )
        if not ready:
            return 0
        try:
            self.connection.write(ready, "replace" if policy == DuplicatePolicy.OVERWRITE else "reject")
        except DuplicateIdError as error:
            raise DuplicateDocumentError(str(error)) from error
        return len(ready)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there are passed over."""
        self.connection.delete(document_ids)

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Delete every document; with `recreate_index` the files are written anew, without a trace of them."""
        self.connection.delete(self.connection.matching())
        if recreate_index:
            self.connection.compact()

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that the filters admit; returns how many. Raises Haystack's FilterError."""
        return len(self.connection.delete(self._matching(filters)))

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set metadata of the documents that the filters admit; returns how many. Raises Haystack's FilterError."""
        found = self.connection.documents(self._matching(filters))
        changed = [written(one.id, one.text, metadata_of(one.title, one.metadata) | meta) for one in found]
        if changed:
            self.connection.write(changed)
        return len(changed)

    async def count_documents_async(self) -> int:
        """`count_documents` for callers that must not block."""
        return await aside(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """`filter_documents` for callers that must not block."""
        return await aside(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents` for callers that must not block."""
        return await aside(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents` for callers that must not block."""
        await aside(self.delete_documents, document_ids)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        """`delete_all_documents` for callers that must not block."""
        await aside(self.delete_all_documents, recreate_index)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`delete_by_filter` for callers that must not block."""
        return await aside(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """`update_by_filter` for callers that must not block."""
        return await aside(self.update_by_filter, filters, meta)

    def _matching(self, filters: dict[str, Any] | None) -> list[str]:
        return with_their_errors(lambda: self.connection.matching(condition_of(filters)))


@component
class LeanseekRetriever:
    """The best documents of a store for a query, searched on all sides of the index.

    A document's `score` orders the list; `meta["leanseek"]` has its `rank`, `score`, `probability`, the `start` and
    `end` of its text, and with `explain` its `stages`.
    """

    def __init__(
        self,
        document_store: LeanseekDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        explain: bool = False,
        **options: Any,
    ) -> None:
        """`options` are those of `Searcher.search`: mode, depth, min_probability, relevant_only, literal, collapse,
        diversity, recency, now, understand, strict, expand, relevant, irrelevant, history, history_weight.

        Queries are questions: signs in them are text unless `literal=False`. Raises UsageError for a `top_k` below 1.
        """
        if top_k < 1:
            raise UsageError(f"top_k is {top_k}; it must be a whole number, at least 1")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.explain = explain
        self.options = options

    def warm_up(self) -> None:
        """Open the store."""
        self.document_store.warm_up()

    def to_dict(self) -> dict[str, Any]:
        """The component as pipelines are saved."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
            explain=self.explain,
            **self.options,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LeanseekRetriever:
        """The component that `to_dict` described."""
        given = dict(data["init_parameters"])
        given["document_store"] = LeanseekDocumentStore.from_dict(given["document_store"])
        given["filter_policy"] = FilterPolicy.from_str(given.get("filter_policy", "replace"))
        return cls(**given)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The `documents`, best first. Raises Haystack's FilterError, and what `Searcher.search` raises."""
        asked = self._asked(filters, top_k)
        answer = with_their_errors(lambda: self.document_store.connection.answer(query, **asked))
        return {"documents": [found(hit) for hit in answer.hits]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` for callers that must not block."""
        try:
            answer = await self.document_store.connection.aanswer(query, **self._asked(filters, top_k))
        except FilterError as error:
            raise TheirFilterError(str(error)) from error
        return {"documents": [found(hit) for hit in answer.hits]}

    def _asked(self, filters: dict[str, Any] | None, top_k: int | None) -> dict[str, Any]:
        """The arguments of a search."""
        filters = apply_filter_policy(self.filter_policy, self.filters, filters)
        condition = with_their_errors(lambda: condition_of(filters))
        k = self.top_k if top_k is None else top_k
        return {"k": k, "explain": self.explain, "literal": True, **self.options, "filter": condition}


@component
class LeanseekRanker:
    """A re-ranker, or the name of one (see `load_reranker`), that puts documents into a better order.

    With `compress` a document keeps about that share of its words, above 0 and at most 1: the sentences that answer, by
    the token vectors of `encoder`. `meta["leanseek"]["kept"]` are the characters [start, end) of the content as given.
    With `reranker=None` documents stay in their order.
    """

    def __init__(
        self,
        reranker: str | Reranker | None = "cross-encoder",
        top_k: int | None = None,
        *,
        compress: float | None = None,
        encoder: str = DEFAULT_MODEL,
    ) -> None:
        """Models are loaded by `warm_up`, or at first use.

        Raises UsageError for a `top_k` below 1, or a `compress` that is no share.
        """
        if top_k is not None and top_k < 1:
            raise UsageError(f"top_k is {top_k}; give at least 1, or None for all documents")
        if compress is not None:
            check_share(compress)
        self.reranker = reranker
        self.top_k = top_k
        self.compress = compress
        self.encoder = encoder
        self._refine: Refinement | None = None

    def warm_up(self) -> None:
        """Load the models. Raises what `Refinement` raises."""
        if self._refine is None:
            self._refine = Refinement(self.reranker, compress=self.compress, encoder=self.encoder)

    def to_dict(self) -> dict[str, Any]:
        """The component as pipelines are saved; a re-ranker by its name."""
        name = getattr(self.reranker, "name", self.reranker)
        return default_to_dict(
            self, reranker=name, top_k=self.top_k, compress=self.compress, encoder=self.encoder
        )

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The best `documents` as copies, best first, with the re-ranker's score; equal scores in the order given."""
        self.warm_up()
        assert self._refine is not None
        texts = [(str(one.meta.get("title") or ""), one.content or "") for one in documents]
        best = self._refine(query, texts, self.top_k if top_k is None else top_k)
        return {"documents": [refined(documents[one.place], one) for one in best]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` for callers that must not block."""
        done: dict[str, list[Document]] = await aside(self.run, query, documents, top_k)
        return done


def condition_of(filters: Mapping[str, Any] | None) -> Filter | None:
    """Haystack's filters as a condition; none, or an empty dict, admit every document. Raises FilterError."""
    return from_haystack(filters, lambda name: ID if name == "id" else name) if filters else None


def with_their_errors(work: Callable[[], Result]) -> Result:
    """What comes of the work, with Haystack's FilterError in place of ours."""
    try:
        return work()
    except FilterError as error:
        raise TheirFilterError(str(error)) from error


def ours(document: Document) -> OurDocument:
    """A document of Haystack for the index. Raises InputError for one without text, which would be lost."""
    if document.content is None:
        what = "a blob" if document.blob is not None else "nothing"
        raise InputError(f"the document {document.id!r} holds {what}; leanseek stores documents with content")
    return written(document.id, document.content, document.meta)


def theirs(document: OurDocument) -> Document:
    """A document of the index for Haystack."""
    return Document(
        id=document.id, content=document.text, meta=metadata_of(document.title, document.metadata)
    )


def found(hit: Hit) -> Document:
    """A hit for Haystack, with its rank, score, probability and offsets."""
    meta = {**metadata_of(hit.title, hit.metadata), KEY: standing_of(hit)}
    return Document(id=hit.id, content=hit.text, meta=meta, score=hit.score)


def refined(document: Document, one: Refined) -> Document:
    """A copy of a document as it was refined; without a re-ranker with the score that it had."""
    return Document(
        id=document.id,
        content=document.content if document.content is None else one.text,
        blob=document.blob,
        meta={**document.meta, KEY: {**document.meta.get(KEY, {}), **one.said}},
        score=document.score if one.score is None else one.score,
        embedding=document.embedding,
        sparse_embedding=document.sparse_embedding,
    )
