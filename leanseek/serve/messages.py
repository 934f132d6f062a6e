"""What the native interface takes: bodies and parameters, checked field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from leanseek.records import AnswerRecord, CitedRecord

K = Annotated[int, Meta(ge=1, le=1_000_000, description="How many hits.")]
Offset = Annotated[int, Meta(ge=0, le=1_000_000, description="How many hits to leave out before the first.")]
Expand = Annotated[
    str,
    Meta(
        description="What comes along of split documents: passage (what is found), window:N (neighbours), document."
    ),
]
Expansions = Annotated[
    str | list[str],
    Meta(
        description="How the query is expanded: rm3, rocchio, dense-prf or description. Of a context also what comes "
        "along of split documents: passage (what is found), window:N (neighbours), document; a list for both."
    ),
]
Compress = Annotated[
    float,
    Meta(gt=0, le=1, description="The share of each passage's words to keep: the sentences that answer."),
]
Chance = Annotated[float, Meta(ge=0, le=1)]
Mode = Literal["hybrid", "dense", "sparse", "learned"]


class Options(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a search and a context take alike; null stands for the default.

    `rewrites` are further wordings of the query: `queries` of `Searcher.search`, a name that a batch has here.
    """

    rewrites: list[str] | None = None
    diversity: Chance | None = None
    recency: str | None = None
    now: str | None = None
    understand: bool = False
    strict: bool = False
    expand: Expansions | None = None
    relevant: list[str] | None = None
    irrelevant: list[str] | None = None
    history: list[str] | None = None
    history_weight: Chance | None = None

    filter: str | None = None
    mode: Mode | None = None
    depth: K | None = None
    min_probability: Chance | None = None
    relevant_only: bool = False
    collapse: bool = False
    rerank: bool = True


class SearchParameters(Options, forbid_unknown_fields=True, kw_only=True):
    """A search for one query: the fields of `Searcher.answer`, `offset`, and whether to re-rank."""

    query: str
    k: K = 10
    offset: Offset = 0
    explain: bool = False
    literal: bool = False
    facets: list[str] | None = None


class SearchBody(Options, forbid_unknown_fields=True, kw_only=True):
    """A search for one `query`, or for a batch of `queries`: the fields of `Searcher.answer`, and `offset`."""

    query: str | None = None
    queries: list[str] | None = None
    k: K = 10
    offset: Offset = 0
    explain: bool = False
    literal: bool = False
    facets: list[str] | None = None


class ContextBody(Options, forbid_unknown_fields=True, kw_only=True):
    """Passages for a prompt: the fields of `Searcher.context`."""

    query: str
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 1500
    k: K = 20
    compress: Compress | None = None
    guard: Literal["mark", "drop", "off"] = "off"
    literal: bool = True


class AddParameters(Struct, forbid_unknown_fields=True):
    """What becomes of a document whose id is taken."""

    on_duplicate: Literal["reject", "replace"] = "reject"


class DocumentParameters(Struct, forbid_unknown_fields=True):
    """The ids of documents, and a condition that they have to meet."""

    id: list[str]
    filter: str | None = None


class DeleteBody(Struct, forbid_unknown_fields=True):
    """Documents to delete, by `ids`, by a `filter`, or both."""

    ids: list[str] = []
    filter: str | None = None
    ignore_missing: bool = False


class CompactBody(Struct, forbid_unknown_fields=True):
    """How to merge the segments of an index; `relearn`: the reduction of vectors is learned again."""

    relearn: bool = False


class ServedAnswer(AnswerRecord):
    """The answer to a query, from this generation of an index."""

    index: str
    generation: int


class AnswerResponse(ServedAnswer):
    """The answer to a query, and how many milliseconds each stage took."""

    took_ms: dict[str, float]


class BatchResponse(TypedDict):
    """The answers to a batch of queries, in their order."""

    results: list[AnswerResponse]


class ServedContext(TypedDict):
    """Passages for a prompt: `text` has them numbered for citation; `notes` are sentences on what it lacks, and
    on strategic text in it."""

    index: str
    generation: int
    text: str
    passages: list[CitedRecord]
    tokens: int
    left_out: int
    notes: list[str]


class ContextResponse(ServedContext):
    """Passages for a prompt, and how many milliseconds each stage took."""

    took_ms: dict[str, float]


class DocumentRecord(TypedDict):
    """A whole document."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]


class DocumentResponse(DocumentRecord):
    """A whole document of an index."""

    index: str
    generation: int


class DocumentsResponse(TypedDict):
    """Those of the documents asked for that there are."""

    index: str
    generation: int
    documents: list[DocumentRecord]


class ChangeResponse(TypedDict):
    """What a change did; the generation has it."""

    index: str
    generation: int
    documents: NotRequired[int]
    replaced: NotRequired[int]
    deleted: NotRequired[int]
    removed: NotRequired[int]
    segments: NotRequired[int]


class IndexRecord(TypedDict):
    """What an index holds.

    `sides` are the modes that search one side alone, `fields` those that a filter can name, with an example of each
    kind of value.
    """

    name: str
    generation: int
    documents: int
    passages: int
    mode: str
    sides: list[str]
    encoder: str | None
    reranker: bool
    relevance: bool
    fields: dict[str, dict[str, Any]]


class IndexName(TypedDict):
    """An index, and whether it can be searched at present."""

    name: str
    ready: bool


class IndexesResponse(TypedDict):
    """The indexes that a key sees."""

    indexes: list[IndexName]


class StateResponse(TypedDict):
    """The state of the server."""

    status: str
