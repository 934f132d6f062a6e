"""The server as a process: a socket, uvicorn with limits, and an end that answers what was accepted."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import uvicorn

from leanseek.errors import StorageError, UsageError
from leanseek.serve.application import create_app
from leanseek.serve.deadlines import timed_protocol
from leanseek.serve.serve_settings import ServeSettings
from leanseek.serve.service import Service
from leanseek.serve.telemetry import log_to_stderr

BACKLOG = 2048
IDLE = 60
"""Seconds that a connection without requests is kept: as long as clients usually keep theirs."""


def run(
    indexes: Mapping[str, str | Path],
    settings: ServeSettings,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    grace: float = 10.0,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were accepted by then are answered within `grace` seconds.

    `started` is called with the server's address when it accepts connections. Raises UsageError for a port that
    cannot be had, and whatever opening the indexes and models raises.
    """
    bound = bind(host, port)
    try:
        service = Service(indexes, settings)
        service.open()
        app = create_app(indexes, settings, service=service)
        config = uvicorn.Config(
            app,
            http=timed_protocol(settings.receive_timeout),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE,
            # uvicorn counts whole seconds; what is cut off counts as a second.
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        server = Server(config, service, lambda: started(address_of(bound)))
        log_to_stderr()
        server.run(sockets=[bound])
    finally:
        bound.close()
    if not server.started:
        raise StorageError("the server could not start; its log shows why")


class Server(uvicorn.Server):
    """uvicorn's server, which tells systemd and its caller when it accepts connections, and when it ends."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        await super().startup(sockets=sockets)
        notify(b"READY=1")
        self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order at a signal; a second Ctrl-C ends at once. Either is the usual end of a server, no failure."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and answer what came before."""
        self._service.stopping = True
        notify(b"STOPPING=1")
        await super().shutdown(sockets=sockets)


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises UsageError where it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Only for sockets that name their protocol does asyncio send small parts at once; else each response's last
        # part waits for the client's acknowledgement of the first, often 40 ms.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        reasons = {
            errno.EADDRINUSE: "is in use by another process; choose another with --port",
            errno.EACCES: "needs more rights; choose one from 1024 on with --port",
        }
        reason = reasons.get(getattr(error, "errno", None) or 0, f"cannot be had: {error}")
        raise UsageError(f"port {port} of '{host}' {reason}") from error
    made.set_inheritable(False)
    return made


def address_of(bound: socket.socket) -> str:
    """The URL of a server on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def notify(state: bytes) -> None:
    """Tell systemd, where it started the process with Type=notify."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            try:
                speaker.sendto(state, f"\0{place[1:]}" if place.startswith("@") else place)
            except OSError as error:
                sys.stderr.write(f"systemd cannot be told: {error}\n")
