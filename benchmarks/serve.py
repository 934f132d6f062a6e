"""The server under load: beside itself without batching, and beside other servers, on the same index and encoder.

    python benchmarks/serve.py --index scifact.index --queries FOLDER/queries.jsonl
    python benchmarks/serve.py --index scifact.index --queries FILE --peers txtai chroma --python VENV/bin/python

Every server is a process of its own, asked by clients that send their next query when they have the answer; the
systems take turns in rounds, so that a busy machine is unfair to all alike, and the median of a system's rounds is
shown. "CPU ms" is the processor's time of the server's process for an answer, which others on the machine hardly
change. "Without batching" is the same server whose threads each encode their own query. "Slow" clients send a request
byte by byte. A peer's requirements may clash with leanseek's: `--python` is the interpreter of an environment that
has it. Without `--queries` the first eight words of 500 documents are asked. Chroma's server does not encode: its
clients do, one after another, as its package has them do by default.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek import Searcher, read_queries

K = 10
LEANSEEK = """
import sys
from pathlib import Path
from leanseek.serve import ServeSettings
from leanseek.serve import server
from leanseek.serve.service import Service, load_shared

class Unbatched(Service):
    def _encoder(self, recorded):
        if recorded.fingerprint not in self.encoders:
            encoder = load_shared(recorded, self.settings)
            encoder.open = lambda: encoder
            self.encoders[recorded.fingerprint] = encoder
        return self.encoders[recorded.fingerprint]

if sys.argv[3] == "unbatched":
    server.Service = Unbatched
server.run({"bench": Path(sys.argv[1])}, ServeSettings(), port=int(sys.argv[2]))
"""
TXTAI = """
import os, sys, json
import uvicorn
from txtai import Embeddings
folder, port, documents = sys.argv[1:4]
model = sys.argv[4] or "sentence-transformers/all-MiniLM-L6-v2"
embeddings = Embeddings(path=model, hybrid=True, content=True)
embeddings.index((one["id"], one["text"], None) for one in map(json.loads, open(documents)))
embeddings.save(folder)
config = os.path.join(folder, "config.yml")
with open(config, "w") as file:
    file.write(f"path: {folder}\\nwritable: false\\nembeddings:\\n  path: {model}\\n")
os.environ["CONFIG"] = config
uvicorn.run("txtai.api:app", port=int(port), log_level="error")
"""
CHROMA = """
import json, sys
import chromadb
folder, port, documents = sys.argv[1:4]
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[4] or "sentence-transformers/all-MiniLM-L6-v2", device="cpu")
client = chromadb.PersistentClient(folder)
collection = client.get_or_create_collection("bench")
rows = list(map(json.loads, open(documents)))
for start in range(0, len(rows), 1000):
    block = rows[start:start + 1000]
    texts = [one["text"] for one in block]
    vectors = model.encode(texts, normalize_embeddings=True).tolist()
    collection.add([one["id"] for one in block], vectors, documents=texts)
print(collection.id, flush=True)
"""


class Load(NamedTuple):
    """What so many clients saw: answers a second, milliseconds of an answer and of the processor, and statuses."""

    clients: int
    rate: float
    median: float
    p99: float
    cpu: float
    statuses: Counter[int]


class Server(NamedTuple):
    """A server's port on this machine, and its process."""

    port: int
    pid: int

    def seconds(self) -> float:
        """The processor's time that it has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Asking = Callable[[str], tuple[str, bytes]]
"""The path and the body of a request for a query."""


def leanseek_request(query: str) -> tuple[str, bytes]:
    return "POST /indexes/bench/search", json.dumps({"query": query, "k": K, "literal": True}).encode()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, body: bytes) -> int:
    """Send a request and read its response; the status."""
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in answer:
        while (size := int((await reader.readline()).strip(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        length = answer.split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
    return int(answer[9:12])


async def load(server: Server, clients: int, seconds: float, queries: Sequence[str], request: Asking) -> Load:
    """Clients that ask one query after another until the time is over."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        chance = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while time.perf_counter() < end:
            started = time.perf_counter()
            try:
                status = await ask(reader, writer, *request(chance.choice(queries)))
            except (OSError, asyncio.IncompleteReadError):
                status = 0
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            statuses[status] += 1
            if status == 200:
                times.append(time.perf_counter() - started)
        writer.close()

    began, worked = time.perf_counter(), server.seconds()
    await asyncio.gather(*map(client, range(clients)))
    cpu = (server.seconds() - worked) / max(1, len(times)) * 1e3
    return loaded(clients, times, time.perf_counter() - began, cpu, statuses)


def loaded(clients: int, times: list[float], seconds: float, cpu: float, statuses: Counter[int]) -> Load:
    """The figures of measured times in seconds."""
    times.sort()
    found = times or [float("nan")]
    place = min(int(len(found) * 0.99), len(found) - 1)
    return Load(
        clients, len(times) / seconds, found[len(found) // 2] * 1e3, found[place] * 1e3, cpu, statuses
    )


def slow(port: int, count: int) -> None:
    """Send requests byte by byte over so many connections, each again when it is let go; it never ends."""
    line = b"POST /indexes/bench/search HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000

    async def client() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                for byte in line:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.2)
            except OSError:
                await asyncio.sleep(0.1)

    async def all_of_them() -> None:
        await asyncio.gather(*(client() for _ in range(count)))

    asyncio.run(all_of_them())


@contextmanager
def slow_clients(port: int, count: int) -> Iterator[None]:
    """Slow clients in a process of their own, so that they take nothing from the others' clients."""
    made = multiprocessing.get_context("spawn").Process(target=slow, args=(port, count), daemon=True)
    made.start()
    time.sleep(5)
    try:
        yield
    finally:
        made.kill()
        made.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@contextmanager
def process(run: list[str], port: int, probe: str, patience: float = 900.0) -> Iterator[Server]:
    """A server as a process, from when it answers."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(run, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as made:
        try:
            end = time.monotonic() + patience
            while True:
                try:
                    if asyncio.run(once(port, probe)) == 200:
                        break
                    time.sleep(0.5)
                except (OSError, asyncio.IncompleteReadError):
                    if made.poll() is not None or time.monotonic() > end:
                        raise SystemExit(f"{run[:3]} does not start") from None
                    time.sleep(0.5)
            yield Server(port, made.pid)
        finally:
            made.terminate()


async def once(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    status = await ask(reader, writer, f"GET {path}", b"")
    writer.close()
    return status


def show(name: str, loads: Sequence[Load]) -> None:
    """A line of the table: medians of the rounds."""
    statuses: Counter[int] = sum((one.statuses for one in loads), Counter())
    others = {status: count for status, count in statuses.items() if status != 200}
    if not statuses[200]:
        raise SystemExit(f"{name} answers nothing but {others}: is another server at its port?")
    rate, median, p99, cpu = (
        statistics.median(getattr(one, name) for one in loads) for name in ("rate", "median", "p99", "cpu")
    )
    print(
        f"| {name} | {loads[0].clients} | {rate:.1f} | {median:.1f} | {p99:.1f} | {cpu:.1f} | {others or 'none'} |",
        flush=True,
    )


def lone(index: Path, port: int, queries: Sequence[str]) -> tuple[float, float]:
    """Median milliseconds of a query in process and over HTTP, in blocks that take turns."""
    inside: list[float] = []
    outside: list[float] = []

    async def turns() -> None:
        with Searcher.open(index) as searcher:
            for start in range(0, len(queries), 50):
                block = queries[start : start + 50]
                for query in block:
                    started = time.perf_counter()
                    searcher.search(query, K, literal=True)
                    inside.append(time.perf_counter() - started)
                await asyncio.sleep(0.5)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for query in block:
                    started = time.perf_counter()
                    await ask(reader, writer, *leanseek_request(query))
                    outside.append(time.perf_counter() - started)
                writer.close()

    asyncio.run(turns())
    return statistics.median(inside) * 1e3, statistics.median(outside) * 1e3


def same_hits(index: Path, port: int, queries: Sequence[str]) -> float:
    """The largest difference of a score from `Searcher.search`; SystemExit where ids differ."""
    import urllib.request

    worst = 0.0
    with Searcher.open(index) as searcher:
        for query in queries:
            line, body = leanseek_request(query)
            url = f"http://127.0.0.1:{port}{line.split()[1]}"
            asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked) as response:
                found = json.load(response)["hits"]
            expected = searcher.search(query, K, literal=True)
            if [hit["id"] for hit in found] != [hit.id for hit in expected]:
                raise SystemExit(f"{query!r} has other hits over HTTP")
            worst = max(
                [worst, *(abs(hit["score"] - one.score) for hit, one in zip(found, expected, strict=True))]
            )
    return worst


def words_of(index: Path) -> list[str]:
    """The first eight words of 500 documents."""
    with Searcher.open(index) as searcher:
        segment = searcher._generation.snapshot.segments[0]
        chosen = np.sort(np.random.default_rng(0).permutation(segment.live)[:500])
        return [" ".join(one.text.split()[:8]) for one in segment.passages.get(chosen) if one.text.strip()]


def documents_of(index: Path, file: Path) -> None:
    """Write the texts of an index, for peers to index."""
    with Searcher.open(index) as searcher, file.open("w", encoding="utf-8") as out:
        for segment in searcher._generation.snapshot.segments:
            for one in segment.passages.get(segment.live):
                out.write(
                    json.dumps({"id": f"{one.id}#{one.number}", "text": f"{one.title} {one.text}".strip()})
                    + "\n"
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--queries")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32, 200])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--peers", nargs="*", default=[], choices=["txtai", "chroma"])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--model", default="", help="folder of the encoder for the peers")
    given = parser.parse_args()
    queries = (
        [query.text for query in read_queries(given.queries)] if given.queries else words_of(given.index)
    )
    batched, unbatched = free_port(), free_port()
    run = [sys.executable, "-c", LEANSEEK, str(given.index)]
    with (
        process([*run, str(batched), "batched"], batched, "/ready") as own,
        process([*run, str(unbatched), "unbatched"], unbatched, "/ready") as other,
    ):
        print(f"largest difference of a score: {same_hits(given.index, batched, queries[:100]):.1e}")
        inside, outside = lone(given.index, batched, queries[:300])
        print(f"one query: {inside:.2f} ms in process, {outside:.2f} ms over HTTP\n")
        print("| server | clients | queries/s | median ms | p99 ms | CPU ms | other statuses |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        share = given.seconds / given.rounds
        for clients in given.clients:
            loads: dict[str, list[Load]] = {"leanseek": [], "without batching": []}
            for _ in range(given.rounds):
                for name, server in (("leanseek", own), ("without batching", other)):
                    loads[name].append(asyncio.run(load(server, clients, share, queries, leanseek_request)))
            for name, found in loads.items():
                show(name, found)
        if given.slow:
            clients = given.clients[len(given.clients) // 2]
            before, during = [], []
            for _ in range(given.rounds):
                before.append(asyncio.run(load(own, clients, share, queries, leanseek_request)))
                with slow_clients(batched, given.slow):
                    during.append(asyncio.run(load(own, clients, share, queries, leanseek_request)))
            show("no slow clients", before)
            show(f"{given.slow} slow clients", during)
    for peer in given.peers:
        measure_peer(peer, given, queries)


def measure_peer(peer: str, given: argparse.Namespace, queries: Sequence[str]) -> None:
    """The same load for another server, on an index of the same texts made by the same model."""
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents.jsonl"
        documents_of(given.index, documents)
        port = free_port()
        arguments = [f"{folder}/index", str(port), str(documents), given.model]
        if peer == "txtai":
            from urllib.parse import quote

            def txtai_request(query: str) -> tuple[str, bytes]:
                return f"GET /search?query={quote(query)}&limit={K}", b""

            with process([given.python, "-c", TXTAI, *arguments], port, "/search?query=a&limit=1") as server:
                for clients in given.clients:
                    show(
                        peer,
                        [
                            asyncio.run(
                                load(server, clients, given.seconds / given.rounds, queries, txtai_request)
                            )
                        ],
                    )
            return
        made = subprocess.run(
            [given.python, "-c", CHROMA, *arguments], capture_output=True, text=True, check=True
        )
        collection = made.stdout.split()[-1]
        with Searcher.open(given.index) as searcher:
            encoder = searcher.encoder

        def chroma_request(query: str) -> tuple[str, bytes]:
            vector = encoder.encode_queries([query]).vectors[0].tolist()
            body = {"query_embeddings": [vector], "n_results": K, "include": ["documents", "distances"]}
            path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection}/query"
            return f"POST {path}", json.dumps(body).encode()

        chroma = str(Path(given.python).parent / "chroma")
        run = [chroma, "run", "--path", f"{folder}/index", "--port", str(port)]
        with process(run, port, "/api/v2/heartbeat") as server:
            for clients in given.clients:
                show(
                    peer,
                    [
                        asyncio.run(
                            load(server, clients, given.seconds / given.rounds, queries, chroma_request)
                        )
                    ],
                )


if __name__ == "__main__":
    main()
