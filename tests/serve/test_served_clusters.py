"""A cluster behind the server: every answer is that of one index, and what only an index can do is said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support import HashEncoder, make_documents

from leanseek import Document, Index
from leanseek.client import Client
from leanseek.cluster import ClusterIndex
from leanseek.cluster.transport import InProcess
from leanseek.errors import IndexDamagedError, IndexNotFoundError, OverloadedError, ServerError, UsageError
from leanseek.indexing.creation import make_plan
from leanseek.serve import ServeSettings, create_app

from .conftest import serving, until, write_keys

DOCUMENTS = make_documents(200, seed=3)
SHARDS = 3


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index, and a cluster, of the same documents."""
    folder = tmp_path_factory.mktemp("stored")
    index = Index.create(folder / "one.index", encoder=HashEncoder(), dense="flat", chunk_words=4)
    index.add(DOCUMENTS)
    index.close()
    plan = make_plan(encoder=HashEncoder(), dense="flat", chunk_words=4)
    ClusterIndex.build(folder / "many", DOCUMENTS, plan, SHARDS)
    return folder


@pytest.fixture(scope="module")
def ask(stored: Path) -> Iterator[TestClient]:
    """A server of both, writable."""
    settings = ServeSettings(encoders=(HashEncoder(),), writable=True)
    indexes = {"one": stored / "one.index", "many": f"cluster:{stored / 'many'}"}
    with TestClient(create_app(indexes, settings), "http://localhost") as client:
        yield client


def told(response: Any) -> Any:
    """What both have in common."""
    assert response.status_code == 200, response.text
    record = response.json()
    for answer in record.get("results", [record]):
        for name in ("index", "took_ms", "name", "generation"):
            answer.pop(name, None)
    return record


@pytest.mark.parametrize(
    "body",
    [
        {"query": "statin trial", "explain": True},
        {"queries": ["statin trial", "wing slipstream", ""], "k": 4},
        {"query": "glucose insulin", "filter": "year > 2000", "offset": 2},
        {"query": 'trial -wing "statin"', "mode": "sparse", "explain": True},
        {"query": "layer", "mode": "dense", "collapse": True, "k": 30},
        {"query": "trial", "rewrites": ["wing", "insulin query"], "explain": True},
        {"query": "statin", "filter": "year > 9999"},
        {"query": "trial", "diversity": 0.4},
    ],
)
def test_searches_answer_as_one_index(ask: TestClient, body: dict[str, Any]) -> None:
    one, many = (told(ask.post(f"/indexes/{name}/search", json=body)) for name in ("one", "many"))
    assert one == many


def test_contexts_documents_and_descriptions_are_those_of_one_index(ask: TestClient) -> None:
    for expand in ("passage", "window:1", "document"):
        body = {"query": "statin trial wing", "max_tokens": 200, "expand": expand}
        one, many = (told(ask.post(f"/indexes/{name}/context", json=body)) for name in ("one", "many"))
        assert one == many and one["passages"]
    for path in (f"documents/{DOCUMENTS[5].id}", "documents?id=d1&id=nobody&id=d7", ""):
        one, many = (told(ask.get(f"/indexes/{name}/{path}".rstrip("/"))) for name in ("one", "many"))
        if not path:  # examples are any
            assert {field: set(kinds) for field, kinds in one.pop("fields").items()} == {
                field: set(kinds) for field, kinds in many.pop("fields").items()
            }
        assert one == many
    assert "leanseek_index_passages" in ask.get("/metrics").text


def test_errors_are_those_of_one_index(ask: TestClient) -> None:
    for body in ({"query": "x", "filter": "nobody = 3"}, {"query": "x", "filter": "year >"}, {"query": "-x"}):
        one, many = (ask.post(f"/indexes/{name}/search", json=body) for name in ("one", "many"))
        assert one.status_code == many.status_code == 400
        assert one.json() == many.json()


def test_a_cluster_is_only_read(ask: TestClient) -> None:
    for method, path, body in (
        ("POST", "documents", {"_id": "new", "text": "new"}),
        ("DELETE", "documents", {"ids": ["d1"]}),
        ("POST", "compact", {}),
    ):
        refused = ask.request(method, f"/indexes/many/{path}", json=body)
        assert refused.status_code == 403 and refused.json()["error"]["code"] == "read_only"
        assert "leanseek cluster" in refused.json()["error"]["message"]


def test_a_client_finds_what_an_index_gives_it(stored: Path, tmp_path: Path) -> None:
    keys = write_keys(
        tmp_path / "keys", {"name": "some", "filter": "year > 2000"}, {"name": "all", "role": "write"}
    )
    settings = ServeSettings(encoders=(HashEncoder(),), keys=keys, writable=True)
    indexes = {"one": stored / "one.index", "many": f"cluster:{stored / 'many'}"}
    with serving(create_app(indexes, settings)) as address:
        for key in ("some", "all"):
            one, many = (Client(f"{address}/indexes/{name}", key=key) for name in ("one", "many"))
            for query in ("statin trial", "wing"):
                assert one.search(query, 20, explain=True) == many.search(query, 20, explain=True)
            assert one.documents(["d1", "d2", "d3"]) == many.documents(["d1", "d2", "d3"])
        with pytest.raises(ServerError, match="leanseek cluster add"):
            many.add([Document("new", "new")])


def test_new_epochs_are_served(stored: Path, tmp_path: Path) -> None:
    url = shutil.copytree(stored / "many", tmp_path / "many")
    settings = ServeSettings(encoders=(HashEncoder(),), refresh=0.05)
    with TestClient(create_app({"many": f"cluster:{url}"}, settings), "http://localhost") as ask:
        cluster = ClusterIndex.open(url, encoder=HashEncoder())
        cluster.add([Document("new", "an unheardof word")])
        until(lambda: ask.get("/indexes/many").json()["generation"] == 2)
        found = ask.get("/indexes/many/search?query=unheardof&k=1").json()
        assert [hit["id"] for hit in found["hits"]] == ["new"]
        shutil.rmtree(url)
        until(lambda: ask.get("/indexes").json()["indexes"] == [{"name": "many", "ready": False}])
        assert ask.get("/indexes/many/search?query=wing").status_code == 503


def lose(patch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Have shard 1 of every cluster not answer, or everyone refuse."""
    given = InProcess.ask

    def some(self: InProcess, epoch: int, questions: Any, deadline: float | None = None) -> Any:
        if error is not None:
            raise error
        return given(self, epoch, {shard: one for shard, one in questions.items() if shard != 1}, deadline)

    patch.setattr(InProcess, "ask", some)


def test_shards_that_do_not_answer(stored: Path, ask: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"cluster:{stored / 'many'}"
    settings = ServeSettings(encoders=(HashEncoder(),), partial="allow")
    with TestClient(create_app({"many": url}, settings), "http://localhost") as some:
        lose(monkeypatch)
        refused = ask.get("/indexes/many/search?query=wing")
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "unavailable"
        assert str(stored) not in refused.text
        epoch = ClusterIndex.open(stored / "many", encoder=HashEncoder()).epoch
        covered = 1 - epoch.shards[1].passages / epoch.passages
        assert some.get("/indexes/many/search?query=wing").json()["coverage"] == pytest.approx(covered)
        with serving(some.app, lifespan="off") as address:
            assert Client(f"{address}/indexes/many").answer("wing").coverage == pytest.approx(covered)
    lose(monkeypatch, OverloadedError("too much"))
    refused = ask.get("/indexes/many/search?query=wing")
    assert refused.status_code == 429 and refused.headers["retry-after"]


def test_places_that_are_no_cluster(stored: Path, tmp_path: Path) -> None:
    for place, error, reason in (
        ("cluster:", UsageError, "names no cluster"),
        (f"cluster:{tmp_path / 'nowhere'}", IndexNotFoundError, "cluster build"),
        (f"cluster:{stored / 'one.index'}", IndexNotFoundError, "is one index"),
        (f"{stored / 'many'}", IndexNotFoundError, "cluster"),
    ):
        with pytest.raises(error, match=reason), TestClient(create_app({"x": place})):
            pass
    damaged = shutil.copytree(stored / "many", tmp_path / "damaged")
    next((damaged / "shards").glob("0001-*/segments/*/passages.sqlite")).write_bytes(b"")
    with (
        pytest.raises(IndexDamagedError, match="shard 1"),
        TestClient(create_app({"x": f"cluster:{damaged}"})),
    ):
        pass
    with pytest.raises(UsageError, match="same"):
        create_app({"a": f"cluster:{stored / 'many'}", "b": f"cluster:{stored / 'many'}"})
