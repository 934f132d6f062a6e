"""Dify's interface for external knowledge: the knowledge id is an index's name, the threshold a probability."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

from msgspec import Meta, Struct

from leanseek.filters import from_dify
from leanseek.serve.compatible.openai import score_of
from leanseek.serve.operation import Call, Operation


class RetrievalSetting(Struct, kw_only=True):
    """How many records, and how probable each has to be."""

    top_k: Annotated[int, Meta(ge=1, le=1_000_000)]
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0
    score_threshold_enabled: bool | None = None


class RetrievalBody(Struct, kw_only=True):
    """A question to the knowledge base."""

    knowledge_id: str
    query: str
    retrieval_setting: RetrievalSetting
    metadata_condition: dict[str, Any] | None = None


class KnowledgeRecord(TypedDict):
    """A hit: its score is its probability where the index has a relevance model."""

    content: str
    score: float
    title: str
    metadata: dict[str, Any]


class RetrievalResponse(TypedDict):
    """What was found; nothing where nothing is relevant enough."""

    records: list[KnowledgeRecord]


async def retrieval(call: Call) -> RetrievalResponse:
    """What an index holds for a question."""
    body: RetrievalBody = call.body
    served = call.service.pin(call.ticket, body.knowledge_id)
    setting = body.retrieval_setting
    wanted = setting.score_threshold if setting.score_threshold_enabled is not False else 0.0
    condition = from_dify(body.metadata_condition) if body.metadata_condition is not None else None
    answer, _ = await call.service.answer(
        call.ticket,
        served,
        body.query,
        setting.top_k,
        filter=condition,
        min_probability=wanted or None,
        literal=True,
    )
    return {
        "records": [
            {
                "content": hit.text,
                "score": score_of(hit),
                "title": hit.title or hit.id,
                "metadata": {**hit.metadata, "document_id": hit.id},
            }
            for hit in answer.hits
        ]
    }


DIFY: Final = (
    Operation("POST", "/retrieval", retrieval, "Knowledge for a question", RetrievalBody, RetrievalResponse,
              tag="Dify"),
)  # fmt: skip
