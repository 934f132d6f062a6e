"""Indexes for agents, by the Model Context Protocol: read-only tools and resources, with passages to cite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias, cast

import anyio
import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver import Context as CallContext
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from leanseek import __version__
from leanseek.errors import LeanseekError
from leanseek.searcher.context import pack
from leanseek.searcher.searcher import estimate_tokens
from leanseek.serve.messages import (
    DocumentResponse,
    IndexesResponse,
    IndexRecord,
    ServedAnswer,
    ServedContext,
)
from leanseek.serve.operation import charge, check_role
from leanseek.serve.refusals import RefusedError, refusal_of
from leanseek.serve.serve_settings import ServeSettings
from leanseek.serve.service import Service
from leanseek.serve.workers import Ticket

PATH: Final = "/mcp"
MOST: Final = 50
"""Hits of a tool's answer: more would not fit into its tokens."""
INSTRUCTIONS: Final = (
    "Search indexes of documents. Results are numbered passages: cite them by their number and id. A filter narrows a "
    "search; get_index shows the fields and how filters are written. Where nothing relevant is found, say so."
)
FILTERS: Final = (
    'year >= 2015 and lang in ("en", "de") and not title contains "draft"; also =, !=, <, <=, >, >=, not in, '
    "in 1990..2000, starts with, ends with, words(title) = 3, is null, is not null, or, brackets; dates are strings "
    'such as "2024-05"; unusual names stand in backquotes'
)
READS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

Index = Annotated[str | None, Field(description="Name of the index; may be left out where there is one.")]
Filter = Annotated[
    str | None, Field(description='A condition on metadata, such as year >= 2015 and lang = "en".')
]
Expand = Annotated[str, Field(description="What comes along of long documents: passage, window:1, document.")]
Compress = Annotated[
    float | None, Field(gt=0, le=1, description="Keep this share of each passage: the sentences that answer.")
]
Guard = Annotated[
    Literal["mark", "drop", "off"],
    Field(
        description="Text in documents that is meant for models: mark it in a note, drop these documents, or off."
    ),
]
Tokens = Annotated[int, Field(ge=1, le=100_000, description="Most tokens of text in the answer.")]
Hits = Annotated[int, Field(ge=1, le=MOST, description="Most documents.")]
Rewrites = Annotated[list[str] | None, Field(max_length=8, description="Other wordings of the query.")]
Chance = Annotated[
    float | None, Field(ge=0, le=1, description="Leave out what is less probably relevant than this.")
]


class FetchedDocument(DocumentResponse):
    """A document, whole or `cut` to the tokens asked for."""

    cut: bool


class DescribedIndex(IndexRecord):
    """What an index holds, and how filters are written."""

    filter_grammar: str


class Structure(BaseModel):
    """An object whose schema is `described`; its parts are not checked again."""

    model_config = ConfigDict(extra="allow")
    described: ClassVar[dict[str, Any]]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        return cls.described


def typed(kind: type) -> Any:
    """A tool's result whose structure is of a kind, with the schema that the REST interface has for it."""
    (schema,), parts = msgspec.json.schema_components([kind])
    structure = type(
        kind.__name__, (Structure,), {"described": inlined(schema, parts), "__module__": __name__}
    )
    return Annotated[CallToolResult, structure]


def inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    """A JSON schema with the parts that it refers to in their places; descriptions of parts are left out."""
    if isinstance(schema, list):
        return [inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = {**parts[schema["$ref"].rpartition("/")[2]]}
        del schema["description"]
    return {name: inlined(one, parts) for name, one in schema.items()}


if TYPE_CHECKING:
    Searched: TypeAlias = CallToolResult
    Fetched: TypeAlias = CallToolResult
    Packed: TypeAlias = CallToolResult
    Listed: TypeAlias = CallToolResult
    Described: TypeAlias = CallToolResult
else:
    Searched, Fetched, Packed = typed(ServedAnswer), typed(FetchedDocument), typed(ServedContext)
    Listed, Described = typed(IndexesResponse), typed(DescribedIndex)


def make_server(
    service: Service, lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None
) -> MCPServer[Any]:
    """The server of the protocol for a service's indexes."""
    server: MCPServer[Any] = MCPServer(
        "leanseek",
        title="leanseek",
        instructions=INSTRUCTIONS,
        version=__version__,
        lifespan=lifespan,
        log_level="WARNING",
        subscriptions=False,
    )

    @server.tool(annotations=READS, title="Search")
    async def search(
        query: Annotated[str, Field(description="What to look for, in words or as a question.")],
        call: CallContext[Any, Any],
        index: Index = None,
        k: Hits = 10,
        filter: Filter = None,
        min_probability: Chance = None,
        mode: Literal["hybrid", "dense", "sparse", "learned"] | None = None,
        rewrites: Rewrites = None,
        max_tokens: Tokens = 2000,
    ) -> Searched:
        """Find documents by words and by meaning; the best come first, each with a passage to cite."""
        with begun(service, call, ToolError, 1 + len(rewrites or ())) as ticket:
            served = service.pin(ticket, chosen(service, ticket, index))
            options: dict[str, Any] = {"filter": filter, "min_probability": min_probability, "mode": mode}
            options["rewrites"] = rewrites
            answer, _ = await service.answer(ticket, served, query, k, literal=True, **options)
            packed = pack(answer.hits, max_tokens, estimate_tokens)
            record = service.record(ticket, served, answer)
            within(record["hits"], max_tokens)
            return result(packed.text or f"Nothing found: {record.get('message', 'no hit fits')}.", record)

    @server.tool(annotations=READS, title="Fetch a document")
    async def fetch(
        id: Annotated[str, Field(description="The id of a document, as search shows it.")],
        call: CallContext[Any, Any],
        index: Index = None,
        max_tokens: Tokens = 8000,
    ) -> Fetched:
        """Read a whole document."""
        with begun(service, call, ToolError) as ticket:
            name = chosen(service, ticket, index)
            record = await whole(service, ticket, name, id)
            if cut := estimate_tokens(record["text"]) > max_tokens:
                record["text"] = record["text"][: max_tokens * 4] + " …"
            record["cut"] = cut
            return result(f"{record['title'] or id} ({id})\n{record['text']}", record)

    @server.tool(annotations=READS, title="Passages for a prompt")
    async def context(
        query: Annotated[str, Field(description="The question to be answered.")],
        call: CallContext[Any, Any],
        index: Index = None,
        filter: Filter = None,
        min_probability: Chance = None,
        rewrites: Rewrites = None,
        max_tokens: Tokens = 2000,
        expand: Expand = "passage",
        compress: Compress = None,
        guard: Guard = "off",
    ) -> Packed:
        """Passages that answer a question, numbered for citation, without repetitions."""
        with begun(service, call, ToolError, 1 + len(rewrites or ())) as ticket:
            served = service.pin(ticket, chosen(service, ticket, index))
            options: dict[str, Any] = {
                "filter": filter,
                "min_probability": min_probability,
                "rewrites": rewrites,
                "expand": expand,
                "compress": compress,
                "guard": guard,
            }
            record = await service.context(ticket, served, query, max_tokens, 20, **options)
            del record["took_ms"]
            notes = "\n".join(f"note: {note}" for note in record["notes"])
            text = "\n\n".join(part for part in (record["text"], notes) if part)
            # Where there is no room for the notes, the structure has them.
            fits = not record["text"] or estimate_tokens(text) <= max_tokens
            return result(text if fits else record["text"], record)

    @server.tool(annotations=READS, title="List the indexes")
    async def list_indexes(call: CallContext[Any, Any]) -> Listed:
        """The names of the indexes that can be searched."""
        with begun(service, call, ToolError) as ticket:
            names = [{"name": one.name, "ready": one.problem is None} for one in service.visible(ticket)]
            return result("\n".join(str(one["name"]) for one in names) or "No index.", {"indexes": names})

    @server.tool(annotations=READS, title="Describe an index")
    async def get_index(call: CallContext[Any, Any], index: Index = None) -> Described:
        """What an index holds: documents, the fields that a filter can name with examples, how filters are written."""
        with begun(service, call, ToolError) as ticket:
            record = await service.describe(ticket, chosen(service, ticket, index))
            record["filter_grammar"] = FILTERS
            fields = "\n".join(
                f"- {name}: {', '.join(f'{kind}, such as {example!r}' for kind, example in kinds.items())}"
                for name, kinds in record["fields"].items()
            )
            head = f"{record['name']}: {record['documents']:,} documents\nFields: id, title"
            text = f"{head}\n{fields}\nFilters: {FILTERS}"
            return result(text, record)

    @server.resource("leanseek://{index}/documents/{id}", title="A document", mime_type="text/plain")
    async def document(index: str, id: str, call: CallContext[Any, Any]) -> str:
        """A whole document: its title on the first line, its text below."""
        with begun(service, call, ResourceError) as ticket:
            record = await whole(service, ticket, chosen(service, ticket, index), id)
            return f"{record['title']}\n\n{record['text']}" if record["title"] else record["text"]

    return server


@contextmanager
def begun(
    service: Service, call: CallContext[Any, Any], kind: type[Exception], queries: int = 1
) -> Iterator[Ticket]:
    """The ticket of a call of so many queries, over HTTP that of its request, while there is room for it.

    What a request would be refused with, or fail with, is raised as an error that the agent is told.
    """
    request = call.request_context.request
    ticket = Ticket("agent") if request is None else cast(Ticket, request.scope["state"]["ticket"])
    try:
        charge(ticket, queries)
        with service.workers.room(queries):
            yield ticket
    except (RefusedError, LeanseekError, OSError) as error:
        raise kind(str(refusal_of(error))) from error


def chosen(service: Service, ticket: Ticket, name: str | None) -> str:
    """The index named, or the only one. Raises RefusedError."""
    if name is not None:
        return name
    names = [index.name for index in service.visible(ticket)]
    if len(names) != 1:
        raise RefusedError(400, f"name an index: {', '.join(names) or 'there is none'}", "field", "index")
    return names[0]


async def whole(service: Service, ticket: Ticket, name: str, id: str) -> dict[str, Any]:
    """A document as the REST interface gives it. Raises RefusedError (404)."""
    served = service.pin(ticket, name)
    found = await service.document(ticket, served, id)
    return {"index": name, "generation": served.generation, **asdict(found)}


def within(hits: list[Any], max_tokens: int) -> None:
    """Cut the texts of hits, so that all together have no more than so many tokens; ids and titles stay."""
    left = max_tokens * 4
    for hit in hits:
        if len(hit["text"]) > left:
            hit["text"] = hit["text"][:left].rstrip() + " …" if left else ""
        left = max(0, left - len(hit["text"]))


def result(text: str, record: Mapping[str, Any]) -> CallToolResult:
    """The result of a tool: text for the model, and the record that the REST interface gives."""
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=dict(record))


class Guarded:
    """The protocol over HTTP, for keys that may read."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises RefusedError for one without a key where keys are needed."""
        scope["state"]["route"] = PATH
        check_role(scope["state"]["ticket"], "read", self._service)
        await self._app(scope, receive, send)


def mounted(service: Service) -> tuple[Route, Callable[[], AbstractAsyncContextManager[None]]]:
    """The route of the protocol over HTTP, and the context that it runs in."""
    server = make_server(service)
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=service.settings.max_body,
        # The boundary looks at the host, for all interfaces alike.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    [route] = app.routes
    # There is nothing that the server would tell by itself: a stream for it (GET) would only stay open.
    guarded = Guarded(cast(Route, route).app, service)
    return Route(PATH, guarded, methods=["POST"]), server.session_manager.run


def run_stdio(indexes: Mapping[str, str | Path], settings: ServeSettings) -> None:
    """Serve the indexes on standard input and output until it ends.

    Encoders are loaded by the first search that needs them. Raises what opening the indexes raises.
    """
    service = Service(indexes, settings)
    service.open(models=False)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.keep_fresh)
            yield
            tasks.cancel_scope.cancel()

    make_server(service, lifespan).run("stdio")
    service.close()
