"""leanseek in LangChain: a retriever, a document index, a vector store, and re-rankers as document compressors."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import numpy as np

from leanseek.errors import MissingPackageError

try:
    import langchain_core  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackageError("leanseek.integrations.langchain", "langchain-core", "langchain") from error
from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import DeleteResponse, UpsertResponse
from langchain_core.indexing.base import DocumentIndex
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, PrivateAttr

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.encode.base import Encoded
from leanseek.errors import UsageError
from leanseek.filters import Filter, from_mongo
from leanseek.integrations.connection import (
    ID,
    KEY,
    Connection,
    metadata_of,
    opened,
    standing_of,
    written,
)
from leanseek.integrations.refinement import Refined, Refinement
from leanseek.searcher.request import DEPTH, SearchOptions
from leanseek.types import Document as OurDocument
from leanseek.types import Hit


class LeanseekRetriever(BaseRetriever):
    """The best documents of an index for a query.

    `index` is a path, a `Searcher`, a server's address, or a `Client`; the other fields are the parameters of
    `Searcher.search`, and `invoke` takes them too, and `queries`, further wordings of its query. `filter` may also be a
    dict in the manner of MongoDB, see `from_mongo`. Queries are questions: signs in them are text unless
    `literal=False`.

    `metadata["leanseek"]` of a document has the `rank`, `score`, `probability`, `start` and `end` of its text, and
    with `explain` its `stages`.

    >>> retriever = LeanseekRetriever(index="papers.index", k=5, min_probability=0.2)
    >>> retriever.invoke("do statins help?", filter={"year": {"$gte": 2015}})
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Any
    k: int = 10
    filter: str | Filter | dict[str, Any] | None = None
    mode: str | None = None
    depth: int | None = None
    min_probability: float | None = None
    relevant_only: bool = False
    literal: bool = True
    collapse: bool = False
    diversity: float | None = None
    recency: str | None = None
    now: str | datetime | None = None
    understand: bool = False
    strict: bool = False
    expand: str | Sequence[str] | None = None
    relevant: Sequence[str] | None = None
    irrelevant: Sequence[str] | None = None
    history: Sequence[str] | None = None
    history_weight: float | None = None
    ngram_weight: float | None = None
    explain: bool = False
    _connection: Connection = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Open the index. Raises what `Searcher.open` raises."""
        super().model_post_init(context)
        self._connection = self._connected()

    def _connected(self) -> Connection:
        return opened(self.index)

    def _asked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a search, those given to the call first."""
        names = ("k", "explain", *SearchOptions.__annotations__)
        asked = {name: getattr(self, name) for name in names} | {**given}
        return {**asked, "filter": condition_of(asked["filter"])}

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return [found(hit) for hit in self._connection.answer(query, **self._asked(kwargs)).hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        answer = await self._connection.aanswer(query, **self._asked(kwargs))
        return [found(hit) for hit in answer.hits]


class LeanseekDocumentIndex(LeanseekRetriever, DocumentIndex):
    """A retriever that documents are written to; a path without an index becomes an empty one.

    `embedding` makes the vectors: embeddings of LangChain, an `Encoder`, or a model's name; None is the index's own
    encoder, or the default one for a new index. An index on a server is written to where it is writable.
    """

    embedding: Any = None

    def _connected(self) -> Connection:
        return connected(self.index, self.embedding)

    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Write documents in one commit, in place of those with their ids; those without an id get one."""
        documents = [ours(item.id, item.page_content, item.metadata) for item in items]
        self._connection.write(documents)
        return UpsertResponse(succeeded=[one.id for one in documents], failed=[])

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete documents; ids that are not there are left out of `succeeded`. Raises UsageError without ids."""
        if ids is None:
            raise UsageError("ids is None; give the list of the ids to delete")
        deleted = self._connection.delete(ids)
        return DeleteResponse(num_deleted=len(deleted), num_failed=0, succeeded=deleted, failed=[])

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """Those of the documents that there are, whole and in the order given."""
        return [theirs(one) for one in self._connection.documents(ids)]


class LeanseekVectorStore(VectorStore):
    """An index as a vector store: persistent, filtered, and searched on all its sides.

    Scores order one result; relevance scores are probabilities. Metadata comes back as it was given: use a
    `LeanseekRetriever` for results that carry their rank and score.

    >>> store = LeanseekVectorStore("papers.index", OpenAIEmbeddings())
    >>> store.add_texts(["Statins lower cholesterol."], [{"year": 2019}])
    >>> store.similarity_search_with_score("statins", k=3, filter={"year": {"$gte": 2015}})
    """

    def __init__(
        self, index: Any, embedding: Embeddings | Encoder | str | None = None, **options: Any
    ) -> None:
        """`index` and `embedding` as for `LeanseekDocumentIndex`; `options` are those of `Searcher.open`."""
        self._connection = connected(index, embedding, **options)
        self._embedding = embedding

    @property
    def embeddings(self) -> Embeddings | None:
        """LangChain's embeddings, if the store was opened with some."""
        return self._embedding if isinstance(self._embedding, Embeddings) else None

    @property
    def connection(self) -> Connection:
        """The index, which a `LeanseekRetriever` takes too."""
        return self._connection

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write texts in one commit, in place of those with their ids; returns the ids, made where none is given.

        Raises UsageError where the lists differ in length.
        """
        listed = list(texts)
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given is not None and len(given) != len(listed):
                raise UsageError(f"there are {len(listed)} texts and {len(given)} {name}; give one each")
        documents = [
            ours(id, text, metadata)
            for text, metadata, id in zip(
                listed, metadatas or [{}] * len(listed), ids or [None] * len(listed), strict=True
            )
        ]
        self._connection.write(documents)
        return [one.id for one in documents]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents; ids that are not there are passed over. Raises UsageError without ids."""
        if ids is None:
            raise UsageError("ids is None; give the list of the ids to delete")
        self._connection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Those of the documents that there are, whole and in the order given."""
        return [theirs(one) for one in self._connection.documents(ids)]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k best documents; `kwargs` are the options of `Searcher.search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search` for callers that must not block."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k best documents with the scores that order them, best first."""
        return [(plain(hit), hit.score) for hit in self._connection.answer(query, k, **asked(kwargs)).hits]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` for callers that must not block."""
        answer = await self._connection.aanswer(query, k, **asked(kwargs))
        return [(plain(hit), hit.score) for hit in answer.hits]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The k best documents by a diversity of `1 - lambda_mult`, of at least `fetch_k` candidates of each side."""
        return self.similarity_search(query, k, **diverse(k, fetch_k, lambda_mult, kwargs))

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """`max_marginal_relevance_search` for callers that must not block."""
        return await self.asimilarity_search(query, k, **diverse(k, fetch_k, lambda_mult, kwargs))

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        kwargs.pop("score_threshold", None)
        hits = self._connection.answer(query, k, **asked(kwargs)).hits
        return [(plain(hit), probability(hit)) for hit in hits]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        kwargs.pop("score_threshold", None)
        answer = await self._connection.aanswer(query, k, **asked(kwargs))
        return [(plain(hit), probability(hit)) for hit in answer.hits]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: Any = None,
        **kwargs: Any,
    ) -> Self:
        """A store of these texts; `index` is the path, of a new index or of one to add to."""
        if index is None:
            raise UsageError("index is missing; give the path of the index, such as index='papers.index'")
        store = cls(index, embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store


class LeanseekCompressor(BaseDocumentCompressor):
    """A re-ranker, or the name of one (see `load_reranker`), that keeps the `top_n` best of the documents it is given.

    The score is `metadata["relevance_score"]`, and the probability, where the re-ranker has one,
    `metadata["leanseek"]["probability"]`. With `compress` a document keeps about that share of its words, above 0 and
    at most 1: the sentences that answer, by the token vectors of `encoder`; `metadata["leanseek"]["kept"]` are the
    characters [start, end) of the text as given. With `reranker=None` documents stay in their order.

    >>> LeanseekCompressor(top_n=3, compress=0.5).compress_documents(documents, "do statins help?")
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    reranker: Any = "cross-encoder"
    top_n: int | None = None
    compress: float | None = None
    encoder: str = DEFAULT_MODEL
    _refine: Refinement = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the models. Raises what `Refinement` raises, and pydantic's ValidationError for wrong values."""
        super().model_post_init(context)
        if self.top_n is not None and self.top_n < 1:
            raise UsageError(f"top_n is {self.top_n}; give at least 1, or None for all documents")
        self._refine = Refinement(self.reranker, compress=self.compress, encoder=self.encoder)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents, best first, as copies; equal scores in the order given."""
        texts = [(str(one.metadata.get("title") or ""), one.page_content) for one in documents]
        return [refined(documents[one.place], one) for one in self._refine(query, texts, self.top_n)]


class EmbeddingsEncoder:
    """LangChain's embeddings as an `Encoder`, recorded in an index by their class, model and length."""

    max_tokens = None

    def __init__(self, embeddings: Embeddings) -> None:
        """Asks for one vector, to know its length."""
        self._embeddings = embeddings
        self.dimensions = len(embeddings.embed_query("length"))
        kind = type(embeddings)
        model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None)
        self.name = f"langchain:{kind.__name__}" + (f":{model}" if isinstance(model, str) else "")
        described = f"{kind.__module__}.{self.name}:{self.dimensions}"
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries."""
        return self._encoded([self._embeddings.embed_query(text) for text in texts], texts)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages."""
        return self._encoded(self._embeddings.embed_documents(list(texts)) if texts else [], texts)

    def _encoded(self, vectors: list[list[float]], texts: Sequence[str]) -> Encoded:
        lengths = {len(vector) for vector in vectors} - {self.dimensions}
        if lengths or len(vectors) != len(texts):
            raise UsageError(
                f"{self.name} gave {len(vectors)} vectors of length {min(lengths, default=self.dimensions)} for "
                f"{len(texts)} texts; they must be one each, of length {self.dimensions}"
            )
        found = np.array(vectors, np.float32).reshape(len(vectors), self.dimensions)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return Encoded(found, np.array([len(text.split()) for text in texts], np.int32))


def connected(index: Any, embedding: Any, **options: Any) -> Connection:
    """The index that an adapter writes to, made where a path has none."""
    if isinstance(index, Connection):
        return index
    if isinstance(embedding, Embeddings):
        # Their parameters are not all known, so that vectors of an earlier run may be others.
        return Connection(index, encoder=EmbeddingsEncoder(embedding), create=True, cache=False, **options)
    return Connection(index, encoder=embedding, create=True, **options)


def condition_of(filter: str | Filter | Mapping[str, Any] | None) -> str | Filter | None:
    """A filter as `Searcher.search` takes it; a dict's `id` is the metadata's. Raises FilterError."""
    if isinstance(filter, Mapping):
        return from_mongo(filter, lambda name: ID if name == "id" else name)
    return filter


def asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search that a vector store is given."""
    return {"literal": True, **options, "filter": condition_of(options.get("filter"))}


def diverse(k: int, fetch_k: int, lambda_mult: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search by maximal marginal relevance, as LangChain names them."""
    return {"depth": max(k, fetch_k, DEPTH), **options, "diversity": 1 - lambda_mult}


def ours(id: str | None, text: str, metadata: Mapping[str, Any]) -> OurDocument:
    """A document of LangChain for the index."""
    return written(id or str(uuid.uuid4()), text, metadata)


def theirs(document: OurDocument) -> Document:
    """A document of the index for LangChain."""
    metadata = metadata_of(document.title, document.metadata)
    return Document(id=document.id, page_content=document.text, metadata=metadata)


def plain(hit: Hit) -> Document:
    """A hit for LangChain, with the document's own metadata alone."""
    return Document(id=hit.id, page_content=hit.text, metadata=metadata_of(hit.title, hit.metadata))


def found(hit: Hit) -> Document:
    """A hit for LangChain, with its rank, score, probability and offsets."""
    document = plain(hit)
    document.metadata[KEY] = standing_of(hit)
    return document


def refined(document: Document, one: Refined) -> Document:
    """A copy of a document as it was refined."""
    metadata = {**document.metadata, KEY: {**document.metadata.get(KEY, {}), **one.said}}
    if one.score is not None:
        metadata["relevance_score"] = one.score
    return document.model_copy(update={"page_content": one.text, "metadata": metadata})


def probability(hit: Hit) -> float:
    """The probability of a hit. Raises UsageError where the index has no relevance model."""
    if hit.probability is None:
        raise UsageError(
            "this index has no relevance model, so that its hits have no relevance scores in [0, 1]; use "
            "similarity_search_with_score, or train one: leanseek train relevance"
        )
    return hit.probability
