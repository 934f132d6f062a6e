"""The server as an ASGI application: all interfaces behind one boundary that knows keys, errors and the log."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leanseek.serve.compatible import COMPATIBLE
from leanseek.serve.keys import ANYONE, NOBODY, secret_in
from leanseek.serve.native import OPERATIONS
from leanseek.serve.openapi import document_of
from leanseek.serve.operation import JSON, Call, Endpoint, Operation, none
from leanseek.serve.page_files import page_routes
from leanseek.serve.refusals import GoneError, RefusedError, refusal_of
from leanseek.serve.serve_settings import ServeSettings
from leanseek.serve.service import Service
from leanseek.serve.telemetry import LOG
from leanseek.serve.workers import Ticket

SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}
ID_LENGTH: Final = 64


def create_app(
    indexes: Mapping[str, str | Path],
    settings: ServeSettings | None = None,
    *,
    service: Service | None = None,
) -> Starlette:
    """The application that serves the indexes in these folders, and clusters, under their names, for any ASGI server.

    A cluster is written as `cluster:` and its folder or URL.

    What is not open yet is opened when the application starts up. Raises UsageError for names or settings that
    cannot be, InputError for the keys file.
    """
    service = service or Service(indexes, settings or ServeSettings())
    operations = (*OPERATIONS, *COMPATIBLE)
    described = msgspec.json.encode(document_of(operations))

    async def openapi(call: Call) -> Response:
        return Response(described, media_type=JSON)

    own = Operation("GET", "/openapi.json", openapi, "This document", role=None, queries=none)
    routes: list[BaseRoute] = [
        Route(one.path, Endpoint(one, service), methods=[one.method]) for one in (*operations, own)
    ]
    routes += page_routes()
    stack = AsyncExitStack()
    if mounted := agents_route(service):
        route, running = mounted
        routes.append(route)
    else:
        running = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.open)
        fresh = asyncio.ensure_future(service.keep_fresh())
        try:
            async with stack:
                if running is not None:
                    await stack.enter_async_context(running())
                yield
        finally:
            fresh.cancel()
            await asyncio.to_thread(service.close)

    middleware = [Middleware(Boundary, service=service)]
    if service.settings.cors:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=service.settings.cors,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
                expose_headers=["retry-after", "x-request-id"],
            ),
        )
    app = Starlette(
        routes=routes, lifespan=lifespan, middleware=middleware, exception_handlers={HTTPException: raised}
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


async def raised(_: Any, error: Exception) -> Response:
    """Leave an error of the router to the boundary, as all others."""
    raise error


def agents_route(service: Service) -> Any:
    """The route of the interface for agents and the context it runs in; None where its package is not installed."""
    import importlib.util

    if importlib.util.find_spec("mcp") is None:
        return None
    from leanseek.serve.agents import mounted

    return mounted(service)


class Boundary:
    """What every request passes: its id, its host and key, the headers of its response, errors, the log."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._hosts = frozenset(host.lower() for host in service.settings.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; nothing but the end of its task is raised."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        ticket = Ticket(request_id(headers.get("x-request-id")))
        scope.setdefault("state", {}).update(ticket=ticket, route=None)
        status, code = 0, None

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = MutableHeaders(scope=message)
                given["x-request-id"] = ticket.id
                for name, value in SECURITY.items():
                    given.setdefault(name, value)
            await send(message)

        try:
            self._check_site(scope, headers)
            ticket.key = self._key(headers)
            await self._app(scope, receive, sent)
        except GoneError:
            status, code = 499, "gone"
        except Exception as error:
            refusal = as_refusal(error)
            code = refusal.code
            if refusal.status >= 500:
                LOG.error("request %s: %s", ticket.id, error, exc_info=refusal.status == 500)
            if status:
                raise  # the response has begun: all that is left is to end the connection
            response = Response(msgspec.json.encode(refusal.record), refusal.status, refusal.headers, JSON)
            if refusal.status in (408, 413, 415):
                response.headers["connection"] = "close"
            await response(scope, receive, sent)
        finally:
            if code is not None:
                self._service.telemetry.refused(code)
            route = scope["state"]["route"]
            self._service.telemetry.finished(ticket, scope["method"], route, status, started, code)

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        """Raise RefusedError for what a page of another site may have sent through the browser of a user here."""
        if not self._hosts:
            return
        named = headers.get("host", "")
        host = re.sub(r":[0-9]*$", "", named)
        if host.lower() not in self._hosts:
            raise RefusedError(421, f"this server is not known as {host!r}", "host")
        # A browser asks no permission for some requests of other sites, changes among them, but names the site.
        origin = headers.get("origin")
        allowed = (f"http://{named}", f"https://{named}", *self._service.settings.cors)
        if (
            origin is not None
            and origin not in allowed
            and "*" not in allowed
            and scope["method"] != "OPTIONS"
        ):
            raise RefusedError(
                403, f"pages of {origin!r} may not ask; the server takes such sites with --cors", "origin"
            )

    def _key(self, headers: Headers) -> Any:
        """Who asks: with keys the one that is given, or nobody. Raises RefusedError (401) for one that is unknown."""
        if self._service.keys is None:
            return ANYONE
        secret = secret_in(headers)
        return self._service.keys.find(secret) if secret is not None else NOBODY


def as_refusal(error: Exception) -> RefusedError:
    """How an exception is answered; Starlette's own among them."""
    if isinstance(error, HTTPException):
        what = {404: "there is nothing at this address; GET /openapi.json lists the operations",
                405: "this address does not take the method"}  # fmt: skip
        code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        return RefusedError(error.status_code, what.get(error.status_code, error.detail), code)
    return refusal_of(error)


def request_id(given: str | None) -> str:
    """The id that a client or proxy has given the request, if it is plain; else a new one."""
    if given is not None and len(given) <= ID_LENGTH and given.isascii() and given.replace("-", "").isalnum():
        return given
    return secrets.token_hex(8)
