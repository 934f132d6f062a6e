"""The native interface: all that a `Searcher` can, at /indexes/{index}."""

from __future__ import annotations

import asyncio
import io
from dataclasses import asdict
from typing import Any, Final, cast

from msgspec import structs
from starlette.responses import Response

from leanseek.errors import UsageError
from leanseek.indexing import AddReport, Index
from leanseek.reading import Fields, ReadReport
from leanseek.reading.documents import DocumentBuilder
from leanseek.reading.jsonlines import read_json
from leanseek.reading.streams import Place
from leanseek.records import hit_record, question_record
from leanseek.serve.keys import Key
from leanseek.serve.messages import (
    AddParameters,
    AnswerResponse,
    BatchResponse,
    ChangeResponse,
    ClarifyBody,
    ClarifyResponse,
    CompactBody,
    ContextBody,
    ContextResponse,
    DeleteBody,
    DocumentParameters,
    DocumentResponse,
    DocumentsResponse,
    IndexesResponse,
    IndexRecord,
    SearchBody,
    SearchParameters,
    SimilarBody,
    SimilarResponse,
    StateResponse,
    SuggestParameters,
    SuggestResponse,
)
from leanseek.serve.operation import Call, Operation, none
from leanseek.serve.refusals import RefusedError
from leanseek.serve.served_index import Served
from leanseek.serve.service import Service, check_batch, discreet
from leanseek.types import Document

METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


def options_of(body: Any, *left_out: str) -> dict[str, Any]:
    """The fields of a body that are given, by name, without some."""
    return {
        name: value
        for name, value in structs.asdict(body).items()
        if value is not None and name not in left_out
    }


def queries_of(body: SearchBody | SearchParameters | ContextBody) -> int:
    """How many queries are searched for, every wording counted."""
    queries = getattr(body, "queries", None)
    return len(queries) if queries is not None else 1 + len(body.rewrites or ())


async def search(call: Call) -> AnswerResponse | BatchResponse:
    """The answer to a query, or to each of a batch."""
    body, service = call.body, call.service
    queries = getattr(body, "queries", None)
    if (body.query is None) == (queries is None):
        raise UsageError("give either a query, or queries for a batch")
    check_rewrites(body, service)
    served = service.pin(call.ticket, call.index)
    options = options_of(body, "query", "queries")
    if queries is None:
        found = await service.search(call.ticket, served, body.query, **options)
        return cast("AnswerResponse", found)
    check_batch(queries, service.settings.max_batch, "queries")
    # They meet again in the encoder's batches.
    tasks = [
        asyncio.ensure_future(service.search(call.ticket, served, query, **options)) for query in queries
    ]
    try:
        return {"results": cast("list[AnswerResponse]", await asyncio.gather(*tasks))}
    finally:
        for task in tasks:
            task.cancel()


def check_rewrites(body: SearchBody | SearchParameters | ContextBody, service: Service) -> None:
    """Raise RefusedError for more wordings than a request may have, UsageError for those of a batch."""
    if not body.rewrites:
        return
    if getattr(body, "queries", None) is not None:
        raise UsageError("rewrites are other wordings of one query; ask the queries of a batch one by one")
    check_batch(body.rewrites, service.settings.max_batch, "rewrites")


async def context(call: Call) -> ContextResponse:
    """Passages for a prompt, numbered for citation."""
    check_rewrites(call.body, call.service)
    served = call.service.pin(call.ticket, call.index)
    found = await call.service.context(call.ticket, served, **options_of(call.body))
    return cast("ContextResponse", found)


async def clarify(call: Call) -> ClarifyResponse:
    """A question back."""
    served = call.service.pin(call.ticket, call.index)
    found = await call.service.clarify(call.ticket, served, **options_of(call.body))
    record: Any = question_record(found) if found is not None else None
    return {"index": call.index, "generation": served.generation, "question": record}


async def suggest(call: Call) -> SuggestResponse:
    """Queries for what has been typed."""
    served = call.service.pin(call.ticket, call.index)
    found = await call.service.suggest(call.ticket, served, call.body.text, call.body.k)
    records: Any = [one._asdict() for one in found.found] if found is not None else []
    return {
        "index": call.index,
        "generation": served.generation,
        "suggestions": records,
        "corrected": found.corrected if found is not None else None,
        "ready": found is not None,
    }


async def similar(call: Call) -> SimilarResponse:
    """Documents like a document."""
    served = call.service.pin(call.ticket, call.index)
    found = await call.service.similar(call.ticket, served, **structs.asdict(call.body))
    return {"index": call.index, "generation": served.generation, "hits": list(map(hit_record, found))}


async def document(call: Call) -> DocumentResponse:
    """A whole document."""
    served = call.service.pin(call.ticket, call.index)
    found = await call.service.document(call.ticket, served, call.request.path_params["id"])
    return {"index": call.index, "generation": served.generation, **asdict(found)}  # type: ignore[typeddict-item]


async def documents(call: Call) -> DocumentsResponse:
    """Those of several documents that there are."""
    served = call.service.pin(call.ticket, call.index)
    check_batch(call.body.id, call.service.settings.max_batch, "id")
    found = await call.service.documents(call.ticket, served, call.body.id, call.body.filter)
    records: Any = [asdict(one) for one in found]
    return {"index": call.index, "generation": served.generation, "documents": records}


async def add(call: Call) -> ChangeResponse:
    """Add documents; those whose id is taken are replaced with on_duplicate=replace in the address."""
    given = await asyncio.to_thread(parse_documents, call.raw)
    if not given:
        raise UsageError("the body holds no document; send a JSON list of objects, or one object a line")
    key = call.ticket.key
    for one in given:
        if not key.admits(one):
            raise RefusedError(
                403, f"the document {one.id!r} does not meet the filter of the key {key.name!r}", "filter"
            )

    def work(index: Index, served: Served) -> AddReport:
        if key.condition is not None:
            ids = [one.id for one in given]
            hidden = set(ids) - set(served.plain.missing(ids)) - seen(key, served, ids)
            if hidden:
                raise RefusedError(403, f"the id {min(hidden)!r} is taken", "id_taken")
        return index.add(given, on_duplicate=call.parameters.on_duplicate)

    report = await call.service.change(call.ticket, call.index, work)
    return {
        "index": call.index,
        "generation": report.generation,
        "documents": report.documents,
        "replaced": report.replaced,
    }


def parse_documents(raw: bytes) -> list[Document]:
    """The documents of a body: a JSON list of objects, or objects one after another, as `read` takes them.

    Raises InputError, RefusedError for what is not UTF-8.
    """
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8: byte {error.start}", "encoding") from error
    builder = DocumentBuilder(Fields(), "fail", ReadReport())
    builder.begin("body", found=False)
    stream: Any = io.BufferedReader(cast("io.RawIOBase", io.BytesIO(raw)))
    return list(read_json(stream, Place("body"), builder))


async def delete(call: Call) -> ChangeResponse:
    """Delete documents."""
    body: DeleteBody = call.body
    if not body.ids and body.filter is None:
        raise UsageError("nothing to delete is named; give ids, or a filter")
    key = call.ticket.key
    condition = key.narrowed(body.filter) if body.filter is not None else None

    def work(index: Index, served: Served) -> int:
        ids = body.ids
        if key.condition is not None:
            visible = seen(key, served, ids)
            lacking = [one for one in ids if one not in visible]
            if lacking and not body.ignore_missing:
                raise RefusedError(404, f"there is no document {lacking[0]!r}", "document_not_found", "ids")
            ids = [one for one in ids if one in visible]
        if not ids and condition is None:
            return 0
        return discreet(
            call.ticket,
            body.filter,
            lambda: index.delete(ids, filter=condition, ignore_missing=body.ignore_missing),
        )

    deleted = await call.service.change(call.ticket, call.index, work)
    return {"index": call.index, "generation": call.ticket.generation or 0, "deleted": deleted}


def seen(key: Key, served: Served, ids: list[str]) -> set[str]:
    """Those of the ids whose documents the key sees."""
    return {one.id for one in served.plain.documents(ids, filter=key.condition)}


async def compact(call: Call) -> ChangeResponse:
    """Merge the segments, and drop what was deleted."""
    report = await call.service.change(
        call.ticket, call.index, lambda index, _: index.compact(relearn=call.body.relearn)
    )
    return {
        "index": call.index,
        "generation": report.generation,
        "removed": report.removed,
        "segments": report.segments,
    }


async def indexes(call: Call) -> IndexesResponse:
    """The indexes."""
    return {
        "indexes": [
            {"name": index.name, "ready": index.problem is None}
            for index in call.service.visible(call.ticket)
        ]
    }


async def describe(call: Call) -> IndexRecord:
    """What an index holds."""
    return cast("IndexRecord", await call.service.describe(call.ticket, call.index))


async def health(call: Call) -> StateResponse:
    """Whether the process lives."""
    return {"status": "ok"}


async def ready(call: Call) -> StateResponse:
    """Whether queries are answered: indexes are open, encoders loaded."""
    if not call.service.ready or call.service.stopping:
        state = "stops" if call.service.stopping else "starts"
        raise RefusedError(503, f"the server {state}", "not_ready", retry_after=1)
    return {"status": "ready"}


async def metrics(call: Call) -> Response:
    """Numbers for Prometheus."""
    return Response(call.service.telemetry.text(call.service), media_type=METRICS)


INDEX: Final = "/indexes/{index}"

OPERATIONS: Final = (
    Operation(
        "GET", f"{INDEX}/search", search, "Search", SearchParameters, AnswerResponse, queries=queries_of,
    ),
    Operation(
        "POST", f"{INDEX}/search", search, "Search, for one query or a batch", SearchBody,
        (AnswerResponse, BatchResponse), queries=queries_of,
    ),
    Operation(
        "GET", f"{INDEX}/context", context, "Passages for a prompt", ContextBody, ContextResponse,
        queries=queries_of,
    ),
    Operation(
        "POST", f"{INDEX}/context", context, "Passages for a prompt", ContextBody, ContextResponse,
        queries=queries_of,
    ),
    Operation("GET", f"{INDEX}/clarify", clarify, "A question back", ClarifyBody, ClarifyResponse),
    Operation("POST", f"{INDEX}/clarify", clarify, "A question back", ClarifyBody, ClarifyResponse),
    Operation(
        "GET", f"{INDEX}/suggest", suggest, "Queries for what has been typed", SuggestParameters, SuggestResponse
    ),
    Operation("GET", f"{INDEX}/similar", similar, "Documents like a document", SimilarBody, SimilarResponse),
    Operation(
        "POST", f"{INDEX}/similar", similar, "Documents like a document, or a text", SimilarBody, SimilarResponse
    ),
    Operation("GET", f"{INDEX}/documents", documents, "Several documents", DocumentParameters, DocumentsResponse),
    Operation("GET", INDEX + "/documents/{id:path}", document, "A document", None, DocumentResponse),
    Operation(
        "POST", f"{INDEX}/documents", add, "Add documents, as a JSON list or JSON lines", None, ChangeResponse,
        role="write", lines=True, also=AddParameters, patient=True,
    ),
    Operation(
        "DELETE", f"{INDEX}/documents", delete, "Delete documents", DeleteBody, ChangeResponse,
        role="write", patient=True,
    ),
    Operation(
        "POST", f"{INDEX}/compact", compact, "Merge segments", CompactBody, ChangeResponse,
        role="admin", patient=True,
    ),
    Operation("GET", "/indexes", indexes, "The indexes", None, IndexesResponse, queries=none),
    Operation("GET", INDEX, describe, "What an index holds", None, IndexRecord),
    Operation("GET", "/health", health, "Whether the process lives", None, StateResponse, None, none),
    Operation("GET", "/ready", ready, "Whether queries are answered", None, StateResponse, None, none),
    Operation("GET", "/metrics", metrics, "Metrics for Prometheus", None, str, "admin", none),
)  # fmt: skip
