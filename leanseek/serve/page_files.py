"""The page for people, at `/`: files that are read once, and served with a policy that lets nothing else run."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served of the folder, by suffix; licences and checksums lie there for who reads the package."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # With these, a browser refuses to make elements of a text, whatever the text says.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


def page_routes() -> list[BaseRoute]:
    """The routes of the page: `/`, and `/static/…` for each file it is made of."""
    folder = files("leanseek.serve") / "static"
    found = dict(contents(folder, "/static"))
    start = found.pop("/static/index.html")
    return [route(path, name, body) for path, (name, body) in {"/": start, **found}.items()]


def contents(folder: Traversable, path: str) -> list[tuple[str, tuple[str, bytes]]]:
    """Address, name and bytes of each file of a folder, and of those in it."""
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += contents(entry, f"{path}/{entry.name}")
        elif suffix(entry.name) in TYPES:
            found.append((f"{path}/{entry.name}", (entry.name, entry.read_bytes())))
    return found


def suffix(name: str) -> str:
    """The suffix of a file's name, with its dot."""
    return name[name.rfind(".") :]


def route(path: str, name: str, body: bytes) -> Route:
    """The route of one file."""
    packed = gzip.compress(body, mtime=0)
    headers = {
        "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        "cache-control": "no-cache",  # asked for each time, sent when it has changed
        "vary": "accept-encoding",
        "content-security-policy": POLICY,
    }

    async def serve(request: Request) -> Response:
        request.scope["state"]["route"] = "/" if path == "/" else "/static"
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, 200, {**headers, "content-encoding": "gzip"}, TYPES[suffix(name)])
        return Response(body, 200, headers, TYPES[suffix(name)])

    return Route(path, serve, methods=["GET"])
