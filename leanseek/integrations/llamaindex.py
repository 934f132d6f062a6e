"""leanseek in LlamaIndex: a retriever, a vector store, and re-rankers as node postprocessors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leanseek.errors import MissingPackageError

try:
    import llama_index.core  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackageError("leanseek.integrations.llamaindex", "llama-index-core", "llamaindex") from error
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import InputError, UsageError
from leanseek.filters import Filter, from_llamaindex, parse_filter
from leanseek.filters.foreign import joined
from leanseek.filters.frameworks import one_of
from leanseek.integrations.connection import (
    ID,
    KEY,
    Connection,
    Source,
    aside,
    metadata_of,
    opened,
    standing_of,
    written,
)
from leanseek.integrations.refinement import Refined, Refinement
from leanseek.types import Answer, Document, MetadataValue

NODE = "llamaindex.node"
"""The field that keeps what a node is beside its text and metadata: relationships, templates, …"""
SOURCE = "ref_doc_id"
"""The field of the document that a node was made from."""
MODES: Mapping[VectorStoreQueryMode, str | None] = {
    VectorStoreQueryMode.DEFAULT: None,
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SPARSE: "sparse",
    VectorStoreQueryMode.TEXT_SEARCH: "sparse",
    VectorStoreQueryMode.MMR: None,
}


class LeanseekRetriever(BaseRetriever):
    """The best nodes of an index for a query.

    A node's `metadata["leanseek"]`, which prompts and embeddings leave out, has its `rank`, `score`, `probability`, the
    `start` and `end` of its text in its document, and with `explain` its `stages`.

    >>> retriever = LeanseekRetriever("papers.index", k=5, min_probability=0.2)
    >>> retriever.retrieve("do statins help?")
    """

    def __init__(
        self,
        index: Source | Connection,
        k: int = 10,
        *,
        filter: str | Filter | MetadataFilters | None = None,
        explain: bool = False,
        callback_manager: CallbackManager | None = None,
        **options: Any,
    ) -> None:
        """`index` is a path, a `Searcher`, a server's address, or a `Client`; `options` are the other parameters of
        `Searcher.search`. Queries are questions: signs in them are text unless `literal=False`.

        Raises what `Searcher.open` raises, UsageError for a `k` below 1.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be a whole number, at least 1")
        self._connection = opened(index)
        asked = {"k": k, "explain": explain, "literal": True, **options}
        self._asked: dict[str, Any] = {**asked, "filter": condition_of(filter)}
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return found(self._connection.answer(query_bundle.query_str, **self._asked))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return found(await self._connection.aanswer(query_bundle.query_str, **self._asked))


class LeanseekVectorStore(BasePydanticVectorStore):
    """An index as a vector store that keeps the texts, and searches them on all its sides without an embedding model.

    Embeddings of nodes are not stored, nor is one of a query used: the index makes its own vectors. The modes `default`
    (the index's own), `hybrid`, `sparse` and `text_search` are served.

    >>> store = LeanseekVectorStore(index="papers.index")
    >>> VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(1)).as_retriever(similarity_top_k=5)
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    flat_metadata: bool = False
    _connection: Connection = PrivateAttr()

    def __init__(self, index: Source, encoder: str | Encoder | None = None, **options: Any) -> None:
        """`index` is a path, a `Searcher`, a server's address, or a `Client`; a path without an index becomes an empty
        one. `encoder` makes its vectors; None is the index's own, or the default one for a new index. `options` are
        those of `Searcher.open`, such as `reranker="cross-encoder"`. Raises what it raises.
        """
        super().__init__(stores_text=True, is_embedding_query=False)
        self._connection = Connection(index, encoder=encoder, create=True, **options)

    @property
    def client(self) -> Connection:
        """The index, which a `LeanseekRetriever` takes too."""
        return self._connection

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Write nodes in one commit, in place of those with their ids. Raises InputError for a node without text."""
        documents = [ours(node) for node in nodes]
        self._connection.write(documents)
        return [one.id for one in documents]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add` for callers that must not block."""
        return await aside(self.add, nodes)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes that were made from a document; none where there is no such document."""
        if SOURCE in self._connection.searcher.fields:
            # A filter takes "2024" for a year, and would delete the nodes of the document "2024-05-01" too.
            made = self._connection.documents(self._connection.matching(one_of(SOURCE, [ref_doc_id])))
            self._connection.delete([one.id for one in made if one.metadata.get(SOURCE) == ref_doc_id])

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete` for callers that must not block."""
        await aside(self.delete, ref_doc_id)

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """The nodes with these ids, or all, that the filters admit. Raises FilterError."""
        return [theirs(one) for one in self._connection.documents(self._listed(node_ids, filters))]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes` for callers that must not block."""
        return await aside(self.get_nodes, node_ids, filters)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete the nodes with these ids that the filters admit; UsageError where neither is given."""
        if node_ids is None and filters is None:
            raise UsageError("give node_ids or filters; clear() deletes every node")
        self._connection.delete(self._listed(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """`delete_nodes` for callers that must not block."""
        await aside(self.delete_nodes, node_ids, filters)

    def clear(self) -> None:
        """Delete every node."""
        self._connection.delete(self._connection.matching())

    async def aclear(self) -> None:
        """`clear` for callers that must not block."""
        await aside(self.clear)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes with their scores; `kwargs` are the options of `Searcher.search`.

        Raises UsageError for a query without text, another mode, or an `alpha`, and what `Searcher.search` raises.
        """
        return result(self._connection.answer(text_of(query), **self._asked(query, kwargs)))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query` for callers that must not block."""
        return result(await self._connection.aanswer(text_of(query), **self._asked(query, kwargs)))

    def _listed(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> list[str]:
        condition = condition_of(filters)
        if condition is None and node_ids is not None:
            return node_ids
        matching = self._connection.matching(condition)
        return matching if node_ids is None else [one for one in node_ids if one in set(matching)]

    def _asked(self, query: VectorStoreQuery, options: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a search for a query."""
        if query.mode not in MODES:
            served = ", ".join(mode.value for mode in MODES)
            raise UsageError(f"the mode {query.mode.value!r} is not served; choose from {served}")
        if query.alpha is not None:
            raise UsageError(
                "alpha is chosen when the index is opened: dense_weight of the store, or of a Searcher"
            )
        if query.mmr_threshold is not None and query.mode != VectorStoreQueryMode.MMR:
            raise UsageError("mmr_threshold goes with the mode mmr; leave it out, or choose that mode")
        conditions = [condition_of(query.filters)]
        if query.node_ids:  # an index of LlamaIndex passes [] for every node
            conditions.append(one_of("id", query.node_ids))
        if query.doc_ids:
            conditions.append(one_of(SOURCE, query.doc_ids))
        given = [one for one in conditions if one is not None]
        k = query.similarity_top_k
        if query.mode == VectorStoreQueryMode.HYBRID and query.hybrid_top_k is not None:
            k = query.hybrid_top_k
        asked: dict[str, Any] = {"k": k, "mode": MODES[query.mode], "literal": True}
        if query.mode == VectorStoreQueryMode.MMR:
            asked["diversity"] = 1 - (0.5 if query.mmr_threshold is None else query.mmr_threshold)
        if query.sparse_top_k is not None:
            asked["depth"] = max(query.sparse_top_k, query.similarity_top_k, k)
        return {**asked, **options, "filter": joined("and", given) if given else None}


class LeanseekPostprocessor(BaseNodePostprocessor):
    """A re-ranker, or the name of one (see `load_reranker`), that keeps the `top_n` best of the nodes it is given.

    With `compress` a node keeps about that share of its words, above 0 and at most 1: the sentences that answer, by the
    token vectors of `encoder`; `metadata["leanseek"]["kept"]` are the characters [start, end) of the text as given.
    With `reranker=None` nodes stay in their order.
    """

    reranker: Any = "cross-encoder"
    top_n: int | None = None
    compress: float | None = None
    encoder: str = DEFAULT_MODEL
    _refine: Refinement = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the models. Raises what `Refinement` raises, and pydantic's ValidationError for wrong values."""
        super().model_post_init(context)
        if self.top_n is not None and self.top_n < 1:
            raise UsageError(f"top_n is {self.top_n}; give at least 1, or None for all nodes")
        self._refine = Refinement(self.reranker, compress=self.compress, encoder=self.encoder)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "LeanseekPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise UsageError("there is no query; give query_str or query_bundle")
        texts = [
            (str(one.metadata.get("title") or ""), one.node.get_content(MetadataMode.NONE)) for one in nodes
        ]
        best = self._refine(query_bundle.query_str, texts, self.top_n)
        return [refined(nodes[one.place], one) for one in best]


def condition_of(filter: str | Filter | MetadataFilters | None) -> Filter | None:
    """A filter as a condition; in LlamaIndex's own `id` is the metadata's. Raises FilterError."""
    if isinstance(filter, MetadataFilters):
        return from_llamaindex(filter, lambda name: ID if name == "id" else name) if filter.filters else None
    return parse_filter(filter) if isinstance(filter, str) else filter


def text_of(query: VectorStoreQuery) -> str:
    """The text of a query. Raises UsageError where it has none."""
    if query.query_str is None:
        raise UsageError("the query has no text; give query_str: an embedding alone cannot be searched by")
    return query.query_str


def found(answer: Answer) -> list[NodeWithScore]:
    """The hits of an answer as nodes that say what was found out about them."""
    nodes = []
    for hit in answer.hits:
        node = node_of(hit.id, hit.title, hit.text, hit.metadata)
        nodes.append(NodeWithScore(node=stated(node, standing_of(hit)), score=hit.score))
    return nodes


def result(answer: Answer) -> VectorStoreQueryResult:
    """The hits of an answer for a vector store."""
    scored = found(answer)
    return VectorStoreQueryResult(
        nodes=[one.node for one in scored],
        similarities=[hit.score for hit in answer.hits],
        ids=[one.node.node_id for one in scored],
    )


def ours(node: BaseNode) -> Document:
    """A node for the index. Raises InputError for one without text, which would be lost."""
    text = node.get_content(MetadataMode.NONE)
    if not isinstance(node, TextNode) or not text:
        raise InputError(
            f"the node {node.node_id!r} is a {node.class_name()} without text; leanseek stores text nodes"
        )
    kept = node.model_copy(
        update={
            "metadata": {},
            "text": "",
            "excluded_llm_metadata_keys": [one for one in node.excluded_llm_metadata_keys if one != KEY],
            "excluded_embed_metadata_keys": [one for one in node.excluded_embed_metadata_keys if one != KEY],
        }
    )
    dumped = node_to_metadata_dict(kept, remove_text=True)
    document = written(node.node_id, text, node.metadata)
    beside: dict[str, MetadataValue] = {NODE: [dumped["_node_type"], dumped["_node_content"]]}
    if node.ref_doc_id is not None:
        beside[SOURCE] = node.ref_doc_id
    return Document(document.id, document.text, document.title, {**document.metadata, **beside})


def theirs(document: Document) -> BaseNode:
    """A document of the index as a node."""
    return node_of(document.id, document.title, document.text, document.metadata)


def node_of(id: str, title: str, text: str, metadata: Mapping[str, Any]) -> BaseNode:
    """A node of a text in the index; one that was added as a node gets back what it had."""
    plain = {name: value for name, value in metadata.items() if name not in (NODE, SOURCE)}
    own = metadata_of(title, plain)
    if NODE not in metadata:
        if SOURCE in metadata:
            own[SOURCE] = metadata[SOURCE]
        return TextNode(id_=id, text=text, metadata=own)
    kind, content = metadata[NODE]
    node = metadata_dict_to_node({"_node_type": kind, "_node_content": content}, text=text)
    node.metadata = own
    return node


def stated(node: BaseNode, said: Mapping[str, Any]) -> BaseNode:
    """The node with what was found out about it in its metadata, which prompts and embeddings leave out."""
    node.metadata[KEY] = dict(said)
    for excluded in (node.excluded_llm_metadata_keys, node.excluded_embed_metadata_keys):
        if KEY not in excluded:
            excluded.append(KEY)
    return node


def refined(given: NodeWithScore, one: Refined) -> NodeWithScore:
    """A copy of a node as it was refined; without a re-ranker with the score that it had."""
    node = stated(given.node.model_copy(deep=True), {**given.node.metadata.get(KEY, {}), **one.said})
    if one.text != node.get_content(MetadataMode.NONE):
        node.set_content(one.text)
    return NodeWithScore(node=node, score=given.score if one.score is None else one.score)
