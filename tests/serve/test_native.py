"""The native interface: what a searcher answers, over HTTP, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from serve.conftest import DOCUMENTS, until
from starlette.testclient import TestClient
from support import HashEncoder, HashExpander, make_documents

from leanseek import Index, Searcher
from leanseek.errors import InputError, UsageError
from leanseek.records import answer_record, hit_record
from leanseek.serve import ServeSettings, create_app

SEARCH = "/indexes/papers/search"


def answer(ask: TestClient, **body: Any) -> dict[str, Any]:
    response = ask.post(SEARCH, json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "mode": "sparse"},
        {"mode": "dense", "explain": True},
        {"filter": 'year >= 2000 and tags = "a"', "explain": True},
        {"collapse": True, "k": 50},
        {"literal": True, "depth": 200},
        {"filter": "year > 3000"},
        {"diversity": 0.4, "explain": True},
        {"recency": "year:3y", "now": "2025-01-01", "explain": True},
        {"facets": ["year", "tags"], "filter": "year >= 2000"},
    ],
    ids=str,
)
@pytest.mark.parametrize("query", ["heart trial", '"shock wave" -library', "zebra", ""])
def test_an_answer_is_the_searchers(
    ask: TestClient, searcher: Searcher, query: str, options: dict[str, Any]
) -> None:
    found = answer(ask, query=query, **options)
    expected = answer_record(searcher.answer(query, options.pop("k", 10), **options))
    assert (found.pop("index"), found.pop("generation")) == ("papers", searcher.generation)
    assert set(found.pop("took_ms")) == {"wait", "encode", "search", "rerank"}
    assert found == json.loads(json.dumps(expected))


def test_rewrites_are_further_wordings_of_the_query(ask: TestClient, searcher: Searcher) -> None:
    expected = answer_record(
        searcher.answer("heart trial", 10, queries=["wing", "orbit rocket"], explain=True)
    )
    rewrites = ["wing", "orbit rocket"]
    found = answer(ask, query="heart trial", rewrites=rewrites, explain=True)
    assert found["hits"] == json.loads(json.dumps(expected))["hits"] and "wordings" in found["hits"][0]
    got = ask.get(SEARCH, params={"query": "heart trial", "rewrites": rewrites, "explain": "true"}).json()
    assert got["hits"] == found["hits"]
    packed = ask.post(f"{SEARCH[:-6]}context", json={"query": "heart trial", "rewrites": rewrites}).json()
    assert packed["text"] == searcher.context("heart trial", queries=rewrites).text
    assert answer(ask, query="wing", rewrites=[])["hits"] == answer(ask, query="wing")["hits"]
    for wrong, word in (
        ({"queries": ["a", "b"], "rewrites": ["c"]}, "one by one"),
        ({"query": "a", "rewrites": ["b"] * 1000}, "rewrites has 1,000 entries"),
        ({"query": "a", "rewrites": "b"}, "rewrites"),
        ({"query": "a", "diversity": 1.5}, "1"),
        ({"query": "a", "recency": "yaer:3y"}, "did you mean year"),
        ({"query": "a", "facets": ["yaer"]}, "did you mean year"),
        ({"query": "a", "now": "2025-01-01"}, "recency"),
    ):
        refused = ask.post(SEARCH, json=wrong)
        assert refused.status_code == 400 and word in refused.json()["error"]["message"], refused.text
        assert refused.json()["error"]["param"] != "filter"


def test_get_and_post_give_the_same(ask: TestClient) -> None:
    parameters = {"query": "heart trial", "k": 4, "filter": "year >= 2000", "explain": "true"}
    got = ask.get(SEARCH, params=parameters).json()
    posted = answer(ask, query="heart trial", k=4, filter="year >= 2000", explain=True)
    assert got["hits"] == posted["hits"] and len(got["hits"]) == 4


def test_a_batch_is_its_queries_one_by_one(ask: TestClient) -> None:
    queries = ["heart trial", "", "wing", "heart trial"]
    results = answer(ask, queries=queries, k=5)["results"]
    assert [one["hits"] for one in results] == [answer(ask, query=one, k=5)["hits"] for one in queries]


def test_pages_follow_each_other(ask: TestClient) -> None:
    whole = answer(ask, query="heart", k=20)["hits"]
    pages = [answer(ask, query="heart", k=5, offset=offset)["hits"] for offset in (0, 5, 10, 15)]
    assert [hit for page in pages for hit in page] == whole
    assert [hit["rank"] for hit in whole] == list(range(1, 21))


def test_context_is_the_searchers(ask: TestClient, searcher: Searcher) -> None:
    for expand in ("passage", "window:2", "document"):
        body = {"query": "heart trial", "max_tokens": 60, "k": 8, "expand": expand}
        found = ask.post("/indexes/papers/context", json=body).json()
        expected = asdict(searcher.context("heart trial", 60, k=8, expand=expand))
        assert {name: found[name] for name in expected} == json.loads(json.dumps(expected))
        assert found == {
            **ask.get("/indexes/papers/context", params=body).json(),
            "took_ms": found["took_ms"],
        }
    shorter = {"query": "heart trial", "max_tokens": 60, "k": 8, "compress": 0.3}
    found = ask.post("/indexes/papers/context", json=shorter).json()
    assert found["text"] == searcher.context("heart trial", 60, k=8, compress=0.3).text
    assert found["text"] == ask.get("/indexes/papers/context", params=shorter).json()["text"]
    for share in (0, -1, 1.5, "half"):
        assert ask.post("/indexes/papers/context", json={**shorter, "compress": share}).status_code == 400
    wrong = ask.post("/indexes/papers/context", json={**body, "expand": "window:0"})
    assert wrong.status_code == 400 and "window:N" in wrong.json()["error"]["message"]


def test_documents_come_whole(ask: TestClient) -> None:
    for document in DOCUMENTS[:20] + DOCUMENTS[-1:]:
        found = ask.get(f"/indexes/papers/documents/{quote(document.id, safe='')}").json()
        assert found["text"].split() == document.text.split(), document.id
        assert (found["title"], found["metadata"]) == (document.title, dict(document.metadata))
    listed = ask.get("/indexes/papers/documents", params={"id": ["d3", "nowhere", "d1"]}).json()
    assert [one["id"] for one in listed["documents"]] == ["d3", "d1"]
    assert ask.get("/indexes/papers/documents/nowhere").status_code == 404


def test_what_an_index_holds(ask: TestClient) -> None:
    assert ask.get("/indexes").json() == {"indexes": [{"name": "papers", "ready": True}]}
    found = ask.get("/indexes/papers").json()
    assert (found["documents"], found["mode"], found["encoder"]) == (201, "hybrid", HashEncoder.name)
    assert set(found["fields"]) == {"year", "tags"}
    assert isinstance(found["fields"]["year"]["number"], int) and found["fields"]["tags"]["string"] in "abcx"


def test_documents_are_added_deleted_and_found_at_once(ask: TestClient, folder: Path) -> None:
    lines = "\n".join(
        json.dumps({"_id": f"n{one}", "text": "quokka island", "year": 2020}) for one in range(3)
    )
    headers = {"content-type": "application/x-ndjson"}
    added = ask.post("/indexes/papers/documents", content=lines, headers=headers)
    assert added.status_code == 200 and added.json()["documents"] == 3, added.text
    found = answer(ask, query="quokka", mode="sparse")
    assert [hit["id"] for hit in found["hits"]] == ["n0", "n1", "n2"]
    assert found["generation"] == added.json()["generation"]
    taken = ask.post("/indexes/papers/documents", json=[{"id": "n0", "text": "other"}])
    assert taken.status_code == 400 and "n0" in taken.json()["error"]["message"]
    replaced = ask.post(
        "/indexes/papers/documents?on_duplicate=replace", json=[{"id": "n0", "text": "numbat"}]
    )
    assert replaced.json()["replaced"] == 1
    assert [hit["id"] for hit in answer(ask, query="numbat", mode="sparse")["hits"]] == ["n0"]
    gone = ask.request("DELETE", "/indexes/papers/documents", json={"ids": ["n1"], "filter": "year = 2020"})
    assert gone.json()["deleted"] == 2
    assert ask.post("/indexes/papers/compact", json={}).json()["segments"] == 1
    assert Searcher.open(folder, encoder=HashEncoder()).missing(["n0", "n1", "n2"]) == ["n1", "n2"]


def test_a_server_is_read_only_unless_it_is_told(
    folder: Path, settings: Callable[..., ServeSettings]
) -> None:
    with TestClient(create_app({"papers": folder}, settings()), "http://localhost") as ask:
        for response in (
            ask.post("/indexes/papers/documents", json=[{"id": "x", "text": "y"}]),
            ask.request("DELETE", "/indexes/papers/documents", json={"ids": ["d1"]}),
            ask.post("/indexes/papers/compact", json={}),
        ):
            assert response.status_code == 403 and response.json()["error"]["code"] == "read_only"


JSON = {"content-type": "application/json"}
REFUSED = {
    "no index": ("GET", "/indexes/nowhere/search?query=x", None, 404, "index_not_found", "index"),
    "no address": ("GET", "/nothing", None, 404, "not_found", None),
    "no method": ("PUT", SEARCH, b"{}", 405, "method", None),
    "no query": ("POST", SEARCH, b"{}", 400, "usage", None),
    "query and queries": ("POST", SEARCH, b'{"query":"a","queries":["b"]}', 400, "usage", None),
    "unknown field": ("POST", SEARCH, b'{"query":"a","kk":3}', 400, "unknown_field", "kk"),
    "unknown parameter": ("GET", f"{SEARCH}?query=a&kk=3", None, 400, "unknown_field", "kk"),
    "parameter twice": ("GET", f"{SEARCH}?query=a&query=b", None, 400, "parameters", "query"),
    "k is 0": ("POST", SEARCH, b'{"query":"a","k":0}', 400, "field", "k"),
    "k above the limit": ("POST", SEARCH, b'{"query":"a","k":1001}', 400, "too_many", "k"),
    "depth above the limit": ("POST", SEARCH, b'{"query":"a","depth":1001}', 400, "too_many", "depth"),
    "offset above the limit": ("POST", SEARCH, b'{"query":"a","offset":995}', 400, "too_many", "k"),
    "k is a word": ("POST", SEARCH, b'{"query":"a","k":"ten"}', 400, "field", "k"),
    "depth below k": ("POST", SEARCH, b'{"query":"a","k":10,"depth":5}', 400, "usage", None),
    "unknown mode": ("POST", SEARCH, b'{"query":"a","mode":"psychic"}', 400, "field", "mode"),
    "batch too large": ("POST", SEARCH, json.dumps({"queries": ["a"] * 257}).encode(), 400, "too_many", "queries"),
    "empty batch": ("POST", SEARCH, b'{"queries":[]}', 400, "usage", None),
    "only an exclusion": ("POST", SEARCH, b'{"query":"-a"}', 400, "usage", None),
    "filter that cannot be read": ("POST", SEARCH, b'{"query":"a","filter":"year >"}', 400, "input", "filter"),
    "filter with an unknown field": ("POST", SEARCH, b'{"query":"a","filter":"yaer = 1"}', 400, "input", "filter"),
    "no probability": ("POST", SEARCH, b'{"query":"a","min_probability":0.5}', 400, "usage", None),
    "deep JSON": ("POST", SEARCH, b'{"query":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "field", "query"),
    "deep JSON list": ("POST", "/indexes/papers/documents", b"[" * 100_000 + b"]" * 100_000, 400, "input", None),
    "no JSON": ("POST", SEARCH, b"query=a", 400, "json", None),
    "cut JSON": ("POST", SEARCH, b'{"query":"a"', 400, "json", None),
    "no object": ("POST", SEARCH, b"[1]", 400, "field", None),
    "not UTF-8": ("POST", SEARCH, b'{"query":"\xff"}', 400, "encoding", None),
    "documents not UTF-8": ("POST", "/indexes/papers/documents", b'[{"id":"\xe9"}]', 400, "encoding", None),
    "no document": ("POST", "/indexes/papers/documents", b"[]", 400, "usage", None),
    "nothing to delete": ("DELETE", "/indexes/papers/documents", b"{}", 400, "usage", None),
    "unknown id to delete": ("DELETE", "/indexes/papers/documents", b'{"ids":["zz"]}', 400, "input", None),
    "max_tokens is 0": ("POST", "/indexes/papers/context", b'{"query":"a","max_tokens":0}', 400, "field", "max_tokens"),
    "body too large": ("POST", SEARCH, b" " * 2_000_001, 413, "too_large", None),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(ask: TestClient, case: str) -> None:
    method, url, content, status, code, param = REFUSED[case]
    response = ask.request(method, url, content=content, headers=JSON)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert len(error["message"]) > 10 and "Traceback" not in error["message"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "content_type"),
        ({"content-type": "text/plain"}, "content_type"),
        ({"content-type": "application/json; charset=latin-1"}, "charset"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "content_encoding"),
    ],
)
def test_bodies_of_other_kinds(ask: TestClient, headers: dict[str, str], code: str) -> None:
    response = ask.post(SEARCH, content=b'{"query":"a"}', headers=headers)
    assert response.status_code == 415 and response.json()["error"]["code"] == code


def test_a_body_may_be_vendor_json_or_have_no_type(ask: TestClient) -> None:
    for headers in (
        {},
        {"content-type": "application/vnd.api+json"},
        {"content-type": 'application/json; charset="UTF-8"'},
    ):
        assert ask.post(SEARCH, content=b'{"query":"heart"}', headers=headers).status_code == 200


def test_a_name_that_is_not_the_servers(folder: Path, settings: Callable[..., ServeSettings]) -> None:
    app = create_app({"papers": folder}, settings(hosts=("localhost", "127.0.0.1", "[::1]")))
    with TestClient(app, "http://localhost:8080") as ask:
        assert ask.get("/indexes").status_code == 200
        assert ask.get("/indexes", headers={"host": "[::1]:8080"}).status_code == 200
        assert ask.get("/indexes", headers={"host": "evil.example"}).status_code == 421


def test_pages_of_other_sites_change_nothing(folder: Path, settings: Callable[..., ServeSettings]) -> None:
    site = "https://app.example"
    app = create_app({"papers": folder}, settings(hosts=("localhost",), cors=(site,), writable=True))
    add, document = "/indexes/papers/documents", b'{"id": "new", "text": "numbat"}'
    with TestClient(app, "http://localhost:8080") as ask:
        # Such a request has no content type, so that the browser does not ask before it.
        foreign = ask.post(add, content=document, headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403 and foreign.json()["error"]["code"] == "origin"
        assert ask.post("/mcp", json={}, headers={"origin": "null"}).status_code == 403
        assert ask.get(f"{add}/new").status_code == 404
        own = {"origin": "http://localhost:8080"}
        assert ask.post(add, content=document, headers=own).status_code == 200
        assert ask.get(f"{add}/new", headers={"origin": site}).status_code == 200


def test_pages_of_an_allowed_origin_may_ask(folder: Path, settings: Callable[..., ServeSettings]) -> None:
    app = create_app({"papers": folder}, settings(cors=("https://app.example",)))
    headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
    with TestClient(app, "http://localhost") as ask:
        allowed = ask.options(SEARCH, headers=headers)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert ask.options(SEARCH, headers={**headers, "origin": "https://evil.example"}).status_code == 400


def test_every_response_is_guarded_and_named(ask: TestClient) -> None:
    for url in ("/indexes", "/nothing", SEARCH):
        headers = ask.get(url, headers={"x-request-id": "trace-7"}).headers
        assert headers["x-request-id"] == "trace-7" and headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in headers["content-security-policy"]
    assert ask.get("/indexes", headers={"x-request-id": "a\x1b[1m"}).headers["x-request-id"] != "a\x1b[1m"


def test_an_index_that_vanishes_or_is_damaged_fails_alone(
    tmp_path: Path, folder: Path, settings: Callable[..., ServeSettings]
) -> None:
    other = Index.create(tmp_path / "other.index", encoder=None)
    other.add(make_documents(5))
    app = create_app({"papers": folder, "other": tmp_path / "other.index"}, settings(refresh=0.02))

    def statuses(*expected: int) -> None:
        """Wait until the searches of both have these statuses."""
        urls = [f"/indexes/{name}/search?query=heart" for name in ("papers", "other")]
        until(lambda: tuple(ask.get(url).status_code for url in urls) == expected)

    with TestClient(app, "http://localhost") as ask:
        away = folder.rename(tmp_path / "away")
        statuses(503, 200)
        error = ask.get("/indexes/papers/search?query=heart").json()["error"]
        assert error["code"] == "index" and str(tmp_path) not in error["message"]
        assert ask.get("/indexes").json()["indexes"][0] == {"name": "papers", "ready": False}
        away.rename(folder)
        statuses(200, 200)
        shutil.copy(folder / "catalog.sqlite", tmp_path / "kept")
        (folder / "catalog.sqlite").write_bytes(b"no catalog" * 1000)
        statuses(503, 200)
        shutil.copy(tmp_path / "kept", folder / "catalog.sqlite")
        statuses(200, 200)


def test_another_index_in_the_same_folder_is_noticed(
    folder: Path, settings: Callable[..., ServeSettings]
) -> None:
    with TestClient(create_app({"papers": folder}, settings(refresh=0.02)), "http://localhost") as ask:
        before = ask.get("/indexes/papers").json()
        shutil.rmtree(folder)
        Index.create(folder, encoder=HashEncoder()).add(make_documents(150, seed=4))

        def moved_on() -> bool:
            now = ask.get("/indexes/papers").json()
            # Its number alone does not tell it from the former.
            return (now.get("documents"), now.get("generation")) == (150, before["generation"])

        until(moved_on)


def test_an_index_with_a_learned_side(tmp_path: Path) -> None:
    folder = tmp_path / "three.index"
    dense, learned = HashEncoder(), HashExpander()
    index = Index.create(folder, encoder=dense, learned=learned)
    index.add(DOCUMENTS[:60])
    index.close()
    with (
        TestClient(
            create_app({"papers": folder}, ServeSettings(encoders=(dense, learned), writable=True)),
            "http://localhost",
        ) as ask,
        Searcher.open(folder, encoder=dense, learned=learned) as searcher,
    ):
        for mode in ("hybrid", "learned"):
            found = ask.post(SEARCH, json={"query": "heart shock", "mode": mode, "explain": True}).json()
            assert found["hits"] and found["hits"] == [
                hit_record(hit) for hit in searcher.search("heart shock", mode=mode, explain=True)
            ]
        added = ask.post("/indexes/papers/documents", json=[{"id": "new", "text": "heart heart heart"}])
        assert added.status_code == 200
        found = ask.post(SEARCH, json={"query": "heart", "mode": "learned", "k": 200}).json()
        assert "new" in [hit["id"] for hit in found["hits"]]


def test_names_and_folders_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no index is named"):
        create_app({})
    with pytest.raises(UsageError, match="no name for an index"):
        create_app({"../x": folder})
    with pytest.raises(UsageError, match="are the same folder"):
        create_app({"a": folder, "b": folder.parent / "." / folder.name})
    with pytest.raises(InputError, match="cannot be read"):
        create_app({"a": folder}, ServeSettings(keys=tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="max_k is 0"):
        ServeSettings(max_k=0)


def test_metrics_and_health(ask: TestClient) -> None:
    assert ask.get("/health").json() == {"status": "ok"} and ask.get("/ready").json() == {"status": "ready"}
    answer(ask, query="zebra", mode="sparse")
    ask.get("/nothing")
    generation = ask.get("/indexes/papers").json()["generation"]
    text = ask.get("/metrics").text
    for line in (
        'leanseek_requests_total{index="papers",route="/indexes/{index}/search",status="200"} 1.0',
        'leanseek_refused_total{reason="not_found"} 1.0',
        "leanseek_empty_answers_total 1.0",
        f'leanseek_index_generation{{index="papers"}} {generation}.0',
    ):
        assert line in text, line
