"""The server as a process and on a socket: its end, slow clients, load, new generations, wrong commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from serve.conftest import serving, until, write_keys
from support import ROOT, HashEncoder, make_documents
from typer.testing import CliRunner
from uvicorn.protocols.http.h11_impl import H11Protocol

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.encode import Encoded
from leanseek.serve import ServeSettings, create_app

SEARCH = b"GET /indexes/papers/search?query=heart HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def command(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`leanseek serve` as a process, and its address."""
    run = [sys.executable, "-m", "leanseek", "serve", *arguments, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"Serving .* at (http://\S+)", line):
                    break
            yield found[1] if found else "", process
        finally:
            process.kill()


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """An index without vectors, which any process can open."""
    Index.create(tmp_path / "sparse.index", encoder=None).add(make_documents(50))
    return tmp_path / "sparse.index"


def served(address: str) -> int:
    """The generation that a server has of its index."""
    return int(httpx2.get(f"{address}/indexes/papers").json()["generation"])


def connected(address: str) -> socket.socket:
    where = urlsplit(address)
    return socket.create_connection((where.hostname or "", where.port or 0), timeout=30)


def test_the_command_serves_logs_and_ends(sparse: Path) -> None:
    with command(f"papers={sparse}") as (address, process):
        body = {"query": "heart of the matter"}
        found = httpx2.post(f"{address}/indexes/papers/search", json=body, headers={"x-request-id": "one"})
        assert found.status_code == 200
        assert httpx2.get(f"{address}/indexes", headers={"host": "evil.example"}).status_code == 421
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [line["status"] for line in lines] == [200, 421]
    first = lines[0]
    assert (first["id"], first["route"], first["index"], first["generation"]) == (
        "one",
        "/indexes/{index}/search",
        "papers",
        1,
    )
    assert "heart" not in json.dumps(lines) and first["ms"] > 0


def test_queries_are_logged_where_that_is_wanted(sparse: Path) -> None:
    with command(f"papers={sparse}", "--log-queries") as (address, process):
        httpx2.get(f"{address}/indexes/papers/search", params={"query": "heart\nof"})
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stderr is not None
        [line] = process.stderr.read().splitlines()
    assert json.loads(line)["queries"] == ["heart\nof"]


class Slow(HashEncoder):
    """An encoder that waits to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.entered = threading.Event()
        self.seen: list[str] = []

    def encode_queries(self, texts: Any) -> Encoded:
        self.seen += texts
        self.entered.set()
        assert self.open.wait(30)
        return super().encode_queries(texts)


def test_at_its_end_the_server_answers_what_it_accepted(folder: Path) -> None:
    encoder = Slow()
    answers: list[int] = []
    with serving(create_app({"papers": folder}, ServeSettings(encoders=(encoder,)))) as address:
        url = f"{address}/indexes/papers/search?query=heart"
        asking = [
            threading.Thread(target=lambda: answers.append(httpx2.get(url, timeout=30).status_code))
            for _ in range(8)
        ]
        for one in asking:
            one.start()
        assert encoder.entered.wait(30)
        until(lambda: "leanseek_waiting 8.0" in httpx2.get(f"{address}/metrics").text)
        threading.Timer(0.2, encoder.open.set).start()
    for one in asking:
        one.join(30)
    assert answers == [200] * 8


def test_a_full_queue_answers_429_and_loses_nothing(folder: Path) -> None:
    encoder = Slow()
    settings = ServeSettings(encoders=(encoder,), max_waiting=4)
    statuses: Counter[int] = Counter()
    waits: list[str | None] = []

    def asked(url: str) -> None:
        response = httpx2.get(url, timeout=30)
        statuses[response.status_code] += 1
        if response.status_code == 429:
            waits.append(response.headers.get("retry-after"))

    with serving(create_app({"papers": folder}, settings)) as address:
        url = f"{address}/indexes/papers/search?query=heart"
        asking = [threading.Thread(target=asked, args=(url,)) for _ in range(20)]
        for one in asking:
            one.start()
        until(lambda: statuses[429] == 16)
        # What computes nothing is answered all the same.
        assert httpx2.get(f"{address}/health").status_code == 200
        encoder.open.set()
        for one in asking:
            one.join(30)
    assert statuses == {200: 4, 429: 16} and all(wait and int(wait) >= 1 for wait in waits)


def test_a_client_that_has_gone_is_not_computed_for(folder: Path) -> None:
    encoder = Slow()
    with serving(create_app({"papers": folder}, ServeSettings(encoders=(encoder,)))) as address:
        first = connected(address)
        first.sendall(SEARCH + b"\r\n")
        assert encoder.entered.wait(30)
        gone = connected(address)
        gone.sendall(SEARCH.replace(b"heart", b"gone") + b"\r\n")
        until(lambda: "leanseek_waiting 2.0" in httpx2.get(f"{address}/metrics").text)
        gone.close()
        until(lambda: 'leanseek_refused_total{reason="gone"} 1.0' in httpx2.get(f"{address}/metrics").text)
        encoder.open.set()
        assert first.recv(15) == b"HTTP/1.1 200 OK"
        first.close()
        until(lambda: "leanseek_waiting 0.0" in httpx2.get(f"{address}/metrics").text)
    assert encoder.seen == ["heart"]


def test_time_that_is_up(folder: Path) -> None:
    encoder = Slow()
    with serving(create_app({"papers": folder}, ServeSettings(encoders=(encoder,), timeout=0.05))) as address:
        found = httpx2.get(f"{address}/indexes/papers/search?query=heart", timeout=30)
        assert found.status_code == 504 and found.json()["error"]["code"] == "timeout"
        encoder.open.set()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /indexes",
        SEARCH,
        b"POST /indexes/papers/search HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a line", "half a header", "half a body"],
)
def test_slow_clients_are_let_go(folder: Path, settings: Callable[..., ServeSettings], sent: bytes) -> None:
    with serving(create_app({"papers": folder}, settings()), receive_timeout=0.3) as address:
        with closing(connected(address)) as slow:
            slow.sendall(sent)
            received = b""
            while part := slow.recv(4096):  # until the server closes
                received += part
        assert not received or received.startswith(b"HTTP/1.1 408")
        assert httpx2.get(f"{address}/indexes/papers/search?query=heart").status_code == 200


def test_a_drip_of_bytes_does_not_move_the_deadline(
    folder: Path, settings: Callable[..., ServeSettings]
) -> None:
    app = create_app({"papers": folder}, settings())
    with serving(app, receive_timeout=0.3) as address, closing(connected(address)) as slow:
        slow.sendall(SEARCH)
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                slow.sendall(b"x: y\r\n")
                threading.Event().wait(0.02)


def test_a_client_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    size = 12_000_000
    Index.create(tmp_path / "i", encoder=None).add([Document("large", "word " * (size // 5))])
    with serving(create_app({"papers": tmp_path / "i"}), receive_timeout=0.3) as address:
        with closing(socket.socket()) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            where = urlsplit(address)
            deaf.connect((where.hostname, where.port))
            deaf.sendall(b"GET /indexes/papers/documents/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: 'status="200"' in httpx2.get(f"{address}/metrics").text)
            threading.Event().wait(1.0)
            received = 0
            with suppress(ConnectionError):
                while part := deaf.recv(65536):
                    received += len(part)
        # What the system had in its buffers still came; the rest was dropped.
        assert 0 < received < size


def test_requests_one_after_another_outlive_the_deadline(address: str) -> None:
    with httpx2.Client() as client:
        assert {
            client.get(f"{address}/indexes/papers/search?query=heart").status_code for _ in range(50)
        } == {200}
    with closing(connected(address)) as pipelined:
        pipelined.sendall((SEARCH + b"\r\n") * 3)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3:
            part = pipelined.recv(65536)
            assert part
            received += part


async def under_load(
    address: str, queries: list[str], done: threading.Event, clients: int, found: list[tuple[int, int]]
) -> None:
    """Append (status, generation) of searches that go on until the event."""

    async def asking(number: int) -> None:
        async with httpx2.AsyncClient(timeout=60) as client:
            while not done.is_set():
                body = {"query": queries[(number + len(found)) % len(queries)], "k": 3}
                response = await client.post(f"{address}/indexes/papers/search", json=body)
                found.append((response.status_code, response.json().get("generation", -1)))

    await asyncio.gather(*map(asking, range(clients)))


@pytest.mark.parametrize("commits", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_commits_under_load_drop_no_request(
    folder: Path, settings: Callable[..., ServeSettings], commits: int
) -> None:
    done = threading.Event()
    found: list[tuple[int, int]] = []
    seen: list[bool] = []

    def committing() -> None:
        index = Index.open(folder, encoder=HashEncoder())
        try:
            for number in range(commits):
                index.add([Document(f"new{number}", f"numbat{number}")])
                until(lambda: any(generation >= index.generation for _, generation in found[-50:]))
                seen.append(True)
            index.compact()
        finally:
            done.set()

    with serving(create_app({"papers": folder}, settings(refresh=0.02))) as address:
        writer = threading.Thread(target=committing)
        writer.start()
        asyncio.run(under_load(address, ["heart", "wing", "trial"], done, 6, found))
        writer.join()
    assert Counter(status for status, _ in found) == {200: len(found)}
    assert len(seen) == commits


def test_old_generations_let_go_of_their_files(folder: Path, settings: Callable[..., ServeSettings]) -> None:
    def opened() -> int:
        names = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return sum("papers.index" in name for name in names)

    with serving(create_app({"papers": folder}, settings(refresh=0.02))) as address:
        index = Index.open(folder, encoder=HashEncoder())
        few = None
        for number in range(12):
            index.add([Document(f"n{number}", "numbat")], on_duplicate="replace")
            index.compact()
            until(lambda: served(address) >= index.generation)
            index.close()
            few = few or opened()
        assert opened() <= few


def test_small_parts_of_a_response_are_sent_at_once(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    delays: list[bool] = []
    made = H11Protocol.connection_made

    def noted(self: H11Protocol, transport: Any) -> None:
        accepted = transport.get_extra_info("socket")
        delays.append(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(H11Protocol, "connection_made", noted)
    assert httpx2.get(f"{address}/health").status_code == 200
    assert delays == [False]


def test_many_clients_get_what_a_searcher_gives(address: str, searcher: Searcher) -> None:
    queries = ["heart trial", "wing", "shock wave", "library index", "kinase"]
    expected = {query: [(hit.id, hit.score) for hit in searcher.search(query, 5)] for query in queries}

    async def asked() -> list[tuple[str, Any]]:
        async with httpx2.AsyncClient(timeout=60) as client:

            async def one(query: str) -> tuple[str, Any]:
                body = {"query": query, "k": 5}
                return query, (await client.post(f"{address}/indexes/papers/search", json=body)).json()[
                    "hits"
                ]

            return list(await asyncio.gather(*(one(queries[number % 5]) for number in range(200))))

    for query, hits in asyncio.run(asked()):
        assert [hit["id"] for hit in hits] == [id for id, _ in expected[query]]
        assert [hit["score"] for hit in hits] == pytest.approx(
            [score for _, score in expected[query]], abs=1e-5
        )


def refused(*arguments: str) -> tuple[int, str]:
    """The exit code and the message of a command that refuses to serve."""
    found = CliRunner().invoke(app, arguments)
    assert found.stdout == "" and (found.exception is None or isinstance(found.exception, SystemExit))
    return found.exit_code, found.stderr


def test_what_the_command_refuses(sparse: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("{}")
    papers = f"papers={sparse}"
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        cases: list[tuple[list[str], int, str]] = [
            (["serve", "papers"], 2, "write NAME=FOLDER"),
            (["serve", papers, papers], 2, "given twice"),
            (["serve", papers, f"other={sparse}"], 2, "are the same folder"),
            (["serve", f"../x={sparse}"], 2, "no name for an index"),
            (["serve", f"papers={tmp_path / 'nowhere'}"], 4, "does not exist"),
            (["serve", papers, "--host", "0.0.0.0"], 2, "--open"),
            (["serve", papers, "--port", port], 2, "is in use"),
            (["serve", papers, "--keys", str(keys)], 3, ":1: the key needs a name"),
            (["serve", papers, "--refresh", "soon"], 2, "--refresh"),
            (["serve", papers, "--max-body", "much"], 2, "'much' is no size"),
            (["serve", papers, "--rerank", "magic"], 2, "'magic' is not a re-ranker"),
            (["mcp", "papers"], 2, "write NAME=FOLDER"),
        ]
        for arguments, code, message in cases:
            found = refused(*arguments)
            assert found[0] == code and message in found[1], (arguments, found)


def test_a_keys_file_that_everyone_can_read_is_reported(sparse: Path, tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", {"name": "k"})
    keys.chmod(0o644)
    run = [sys.executable, "-m", "leanseek", "serve", f"papers={sparse}", "--keys", str(keys), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "everyone on this machine can read" in process.stderr.readline()
        assert "Serving" in process.stderr.readline()
        process.kill()
