"""An operation of the server: its address, what it takes and gives, and the way of a request through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from leanseek.serve.refusals import GoneError, RefusedError
from leanseek.serve.service import Service
from leanseek.serve.workers import Ticket

JSON: Final = "application/json"
LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines")
MOST_PARAMETERS: Final = 1_000


@dataclass(slots=True)
class Call:
    """A request that an operation works on: `body` and `parameters` are of the operation's types, `raw` is bytes."""

    service: Service
    ticket: Ticket
    request: Request
    body: Any = None
    parameters: Any = None
    raw: bytes = b""

    @property
    def index(self) -> str:
        """The index that the address names."""
        return str(self.request.path_params["index"])


Work: TypeAlias = Callable[[Call], Awaitable[Any]]


def one(body: Any) -> int:
    """A request of one query."""
    return 1


def none(body: Any) -> int:
    """A request without any query."""
    return 0


@dataclass(frozen=True, slots=True)
class Operation:
    """A method at a path.

    `takes` is the type of the JSON body, or with GET of the parameters; `also` that of parameters beside a body;
    `gives` that of the response, or those of several. `role`: which keys may ask, None: anyone. `queries` counts the
    queries of a body, for rates and queues. `lines`: the body is documents as JSON or JSON lines. `patient`: it takes
    as long as it takes, whether or not the client waits.
    """

    method: str
    path: str
    work: Work
    summary: str
    takes: type | None = None
    gives: Any = dict[str, Any]
    role: str | None = "read"
    queries: Callable[[Any], int] = one
    lines: bool = False
    also: type | None = None
    patient: bool = False
    status: int = 200
    tag: str = field(default="native")


class Endpoint:
    """An operation as an ASGI application."""

    def __init__(self, operation: Operation, service: Service) -> None:
        self.operation = operation
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises RefusedError and what the operation raises."""
        operation, service = self.operation, self._service
        request = Request(scope, receive)
        ticket: Ticket = scope["state"]["ticket"]
        scope["state"]["route"] = operation.path
        if operation.role is not None:
            check_role(ticket, operation.role, service)
        call = Call(service, ticket, request)
        if operation.method == "GET":
            call.body = parameters(operation.takes, scope["query_string"])
        else:
            call.parameters = parameters(operation.also, scope["query_string"])
            call.raw = await read_body(request.headers, receive, service.settings.max_body)
            call.body = decoded(operation, request.headers, call.raw)
        queries = operation.queries(call.body)
        if queries:
            charge(ticket, queries)
        with service.workers.room(queries) if queries else nullcontext():
            found = await self._done(call, receive)
        if not isinstance(found, Response):
            found = Response(msgspec.json.encode(found), operation.status, media_type=JSON)
        await found(scope, receive, send)

    async def _done(self, call: Call, receive: Receive) -> Any:
        """What the operation gives. Raises GoneError where its client has gone, RefusedError (504) where time is up."""
        work = asyncio.ensure_future(self.operation.work(call))
        if self.operation.patient:
            return await asyncio.shield(work)
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait(
                {work, gone}, timeout=self._service.settings.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                raise GoneError
            raise RefusedError(
                504, f"the answer took longer than {self._service.settings.timeout:g} s", "timeout"
            )
        finally:
            gone.cancel()
            if not work.done():
                # What waits for a model or a thread is dropped there; what is being computed ends unheard.
                call.ticket.gone = True
                work.cancel()


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def check_role(ticket: Ticket, role: str, service: Service) -> None:
    """Raise RefusedError where the request has no key (401), or one that may not do this (403)."""
    if service.keys is not None and not ticket.key.digest:
        raise RefusedError(
            401, "this server needs a key: send Authorization: Bearer KEY, or X-API-Key: KEY", "no_key"
        )
    if not ticket.key.may(role):
        raise RefusedError(
            403, f"the key {ticket.key.name!r} has the role {ticket.key.role}; this takes {role}", "role"
        )


def charge(ticket: Ticket, queries: int) -> None:
    """Count queries against the key's rate. Raises RefusedError (429) where it has none left."""
    rate = ticket.key.rate
    if rate is not None and (seconds := rate.take(queries)):
        raise RefusedError(
            429,
            f"the key {ticket.key.name!r} may ask {rate.count:,} queries in {rate.seconds:g} s; wait {seconds:.1f} s",
            "rate",
            retry_after=seconds,
        )


async def read_body(headers: Headers, receive: Receive, most: int) -> bytes:
    """The body of a request. Raises RefusedError (413, 415), GoneError where the client left before its end."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(
            415,
            f"the body is encoded as {headers['content-encoding']!r}; send it as it is",
            "content_encoding",
        )
    length = headers.get("content-length", "0")
    too_large = RefusedError(
        413,
        f"the body is larger than {most:,} bytes; send less, or start the server with --max-body",
        "too_large",
    )
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def decoded(operation: Operation, headers: Headers, raw: bytes) -> Any:
    """The body as the operation takes it. Raises RefusedError (400, 415)."""
    kind, charset = content_type(headers.get("content-type", ""))
    allowed = (JSON, *LINES) if operation.lines else (JSON,)
    if kind and kind not in allowed and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RefusedError(
            415,
            f"the content type is {kind!r}; send {' or '.join(allowed[:2])} (curl -H 'Content-Type: {JSON}')",
            "content_type",
        )
    if charset not in ("", "utf-8", "utf8", "us-ascii", "ascii"):
        raise RefusedError(415, f"the body's encoding is {charset!r}; send UTF-8", "charset")
    if operation.takes is None:
        return None
    if not raw:
        raw = b"{}"
    try:
        return msgspec.json.decode(raw, type=operation.takes)
    except RecursionError as error:
        raise RefusedError(400, "the JSON is nested too deeply", "json") from error
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8: byte {error.start}", "encoding") from error
    except msgspec.ValidationError as error:
        raise unfit(error) from error
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON: {error}", "json") from error


def content_type(header: str) -> tuple[str, str]:
    """The media type and the charset of a header, both in lower case; empty where there is none."""
    kind, *rest = header.lower().split(";")
    charsets = [one.partition("=")[2].strip().strip('"') for one in rest if one.strip().startswith("charset")]
    return kind.strip(), charsets[0] if charsets else ""


def parameters(takes: type | None, query_string: bytes) -> Any:
    """The parameters of an address as the operation takes them. Raises RefusedError (400)."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MOST_PARAMETERS,
            errors="strict",
        )
    except ValueError as error:
        raise RefusedError(400, f"the parameters cannot be read: {error}", "parameters") from error
    if takes is None:
        if pairs:
            raise RefusedError(
                400, "this operation takes no parameters in its address", "parameters", pairs[0][0]
            )
        return None
    several = {one.name for one in msgspec.structs.fields(takes) if "list" in str(one.type)}
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in several:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise RefusedError(400, f"the parameter {name!r} is given twice", "parameters", name)
        else:
            found[name] = value
    try:
        return msgspec.convert(found, takes, strict=False)
    except msgspec.ValidationError as error:
        raise unfit(error) from error


def unfit(error: msgspec.ValidationError) -> RefusedError:
    """The error for a field that is unknown, missing or of another type; `param` is its name."""
    message = str(error)
    reason, _, place = message.partition(" - at `$")
    field = place.strip("`").lstrip(".") or None
    if field is None and reason.count("`") == 2:
        field = reason.split("`")[1]
    code = "unknown_field" if "unknown field" in reason else "field"
    return RefusedError(400, message.replace(" - at `$`", "").replace("`", "'"), code, field)
