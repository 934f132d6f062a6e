"""The guard against the network, see conftest: other machines are refused, this one is not."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def send(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", 0, address)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.socket().connect(("192.0.2.1", 80)),
        lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
        lambda: send(("192.0.2.1", 9)),
        lambda: urllib.request.urlopen("http://example.invalid/", timeout=1),
    ],
)
def test_other_machines_are_refused(reach: Callable[[], object], forbidden_hosts: list[object]) -> None:
    with pytest.raises(Exception, match="is not this machine"):
        reach()
    assert len(forbidden_hosts) == 1
    forbidden_hosts.clear()


def test_this_machine_is_allowed() -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost"):
            with urllib.request.urlopen(f"http://{host}:{server.server_port}/", timeout=10) as answer:
                assert answer.read() == b"hello"
        server.shutdown()
