"""What the native interface takes: bodies and parameters, checked field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from leanseek.records import AnswerRecord, CitedRecord, HitRecord

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


class RankingOptions(Struct, forbid_unknown_fields=True, kw_only=True):
    """What all take that search; null stands for the default."""

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


class Options(RankingOptions, forbid_unknown_fields=True, kw_only=True):
    """What a search and a context take alike.

    `rewrites` are further wordings of the query: `queries` of `Searcher.search`, a name that a batch has here.
    """

    rewrites: list[str] | None = None
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


class ClarifyBody(RankingOptions, forbid_unknown_fields=True, kw_only=True):
    """A query to ask back about: the fields of `Searcher.clarify`."""

    query: str
    literal: bool = False


class SuggestParameters(Struct, forbid_unknown_fields=True):
    """The beginning of a query, or a query: the fields of `Searcher.suggest`."""

    text: str = ""
    k: Annotated[int, Meta(ge=1, le=100, description="How many suggestions.")] = 8


class SimilarBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A document of the index, by its `id`, or a `text`: the fields of `Searcher.similar`."""

    id: str | None = None
    text: str | None = None
    title: str = ""
    k: K = 10
    filter: str | None = None
    explain: bool = False


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


class OptionRecord(TypedDict):
    """An option of a question, see `ClarifyingOption`."""

    text: str
    query: str
    filter: str | None
    documents: int


class QuestionRecord(TypedDict):
    """A question back, see `Question`."""

    query: str
    text: str
    field: str | None
    options: list[OptionRecord]
    documents: int


class ClarifyResponse(TypedDict):
    """A question back; null where there is none to ask."""

    index: str
    generation: int
    question: QuestionRecord | None


class SuggestionRecord(TypedDict):
    """A query that the index can answer, see `Suggestion`."""

    text: str
    kind: Literal["completion", "question"]
    source: str
    document: str
    score: float


class SuggestResponse(TypedDict):
    """Suggestions, and the text that they are for where its typing mistakes were corrected.

    There are none while those of a new generation are collected, and `ready` is false.
    """

    index: str
    generation: int
    suggestions: list[SuggestionRecord]
    corrected: str | None
    ready: bool


class SimilarResponse(TypedDict):
    """Documents that are alike, the most alike first."""

    index: str
    generation: int
    hits: list[HitRecord]


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
    kind of value. `suggestions`: whether this key can ask for some.
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
    suggestions: bool
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
