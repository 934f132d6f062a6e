"""Questions back, suggestions and similar documents over HTTP: a searcher's, within what a key may see."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serve.conftest import bearer, serving, until, write_keys
from starlette.testclient import TestClient
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.client import Client
from leanseek.errors import InputError, ServerError, UsageError
from leanseek.records import hit_record, question_record
from leanseek.serve import ServeSettings, create_app
from leanseek.types import Question

PAPERS = "/indexes/papers"
SUBJECTS = {"a": ("whales", "poetry"), "b": ("engines", "volcano")}


@pytest.fixture
def rivers(tmp_path: Path) -> Path:
    """Texts on rivers of two tenants, each with subjects and a field of its own."""
    documents = [
        Document(
            f"{tenant}{number}",
            f"river stone{number} {SUBJECTS[tenant][number % 2]} bridge",
            f"title of {tenant}",
            {"tenant": tenant, f"field{tenant}": number % 2 == 0},
        )
        for tenant in SUBJECTS
        for number in range(30)
    ]
    Index.create(tmp_path / "i", encoder=HashEncoder()).add(documents)
    return tmp_path / "i"


def served(folder: Path, **others: Any) -> TestClient:
    settings = ServeSettings(encoders=(HashEncoder(),), **others)
    return TestClient(create_app({"papers": folder}, settings), "http://localhost")


def record_of(question: Question | None) -> Any:
    return json.loads(json.dumps(question_record(question))) if question is not None else None


def collected(client: TestClient) -> bool:
    return bool(client.get(f"{PAPERS}/suggest", params={"text": "river"}).json()["ready"])


def test_a_question_is_the_searchers(rivers: Path) -> None:
    body: dict[str, Any]
    with served(rivers) as ask, Searcher.open(rivers, encoder=HashEncoder()) as searcher:
        for body in ({}, {"mode": "sparse"}, {"filter": 'tenant = "a"', "mode": "dense"}, {"depth": 20}):
            found = ask.post(f"{PAPERS}/clarify", json={"query": "river", **body}).json()
            assert found["question"] == record_of(searcher.clarify("river", **body))
            assert (found["index"], found["generation"]) == ("papers", 1)
            if "depth" not in body:
                assert ask.get(f"{PAPERS}/clarify", params={"query": "river", **body}).json() == found
        assert ask.post(f"{PAPERS}/clarify", json={"query": ""}).json()["question"] is None
        for body in ({}, {"query": "river", "rewrites": ["x"]}, {"query": "river", "filter": "yaer = 1"}):
            assert ask.post(f"{PAPERS}/clarify", json=body).status_code == 400


def test_similar_documents_are_the_searchers(rivers: Path) -> None:
    with served(rivers, max_k=100) as ask, Searcher.open(rivers, encoder=HashEncoder()) as searcher:
        body: dict[str, Any]
        for body in (
            {"id": "a3"},
            {"id": "a3", "k": 3, "filter": 'tenant = "b"', "explain": True},
            {"text": "a river with engines", "title": "title of b"},
        ):
            expected = [hit_record(hit) for hit in searcher.similar(**body)]
            found = ask.post(f"{PAPERS}/similar", json=body)
            assert found.status_code == 200
            assert found.json()["hits"] == json.loads(json.dumps(expected)) and expected
            if "explain" not in body:
                assert ask.get(f"{PAPERS}/similar", params=body).json() == found.json()
        for body, status in (
            ({"id": "zz"}, 404),
            ({}, 400),
            ({"id": "a3", "text": "x"}, 400),
            ({"id": "a3", "k": 101}, 400),
            ({"id": "a3", "filter": "yaer = 1"}, 400),
        ):
            refused = ask.post(f"{PAPERS}/similar", json=body)
            assert refused.status_code == status and str(rivers) not in refused.text


def test_without_vectors_nothing_is_alike(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=None).add([Document("a", "river")])
    with served(tmp_path / "i") as ask:
        refused = ask.post(f"{PAPERS}/similar", json={"id": "a"})
        assert refused.status_code == 400 and "has none" in refused.json()["error"]["message"]


def test_suggestions_are_the_searchers_and_those_of_each_generation(rivers: Path) -> None:
    with served(rivers, suggest=True, writable=True) as ask:
        until(lambda: collected(ask))
        with Searcher.open(rivers, encoder=HashEncoder()) as searcher:
            for text in ("ti", "title of a", "rivr", "", "zzz"):
                found = ask.get(f"{PAPERS}/suggest", params={"text": text, "k": 5}).json()
                expected = searcher.suggest(text, 5)
                assert found["suggestions"] == [one._asdict() for one in expected.found]
                assert found["corrected"] == expected.corrected
        assert ask.get(PAPERS).json()["suggestions"] is True
        assert ask.get(f"{PAPERS}/suggest", params={"k": 101}).status_code == 400
        ask.post(
            f"{PAPERS}/documents", json=[{"id": "new", "title": "numbats of rivers", "text": "river numbats"}]
        )
        until(lambda: collected(ask))
        found = ask.get(f"{PAPERS}/suggest", params={"text": "numb"}).json()
        assert [one["text"] for one in found["suggestions"]] == ["numbats of rivers"]


def test_there_are_none_until_they_are_collected_and_searches_go_on(
    rivers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, real = threading.Event(), Searcher.suggest

    def waiting(self: Searcher, *given: Any, **options: Any) -> Any:
        assert going.wait(60)
        return real(self, *given, **options)

    monkeypatch.setattr(Searcher, "suggest", waiting)
    with served(rivers, suggest=True) as ask:
        found = ask.get(f"{PAPERS}/suggest", params={"text": "ti"}).json()
        assert (found["suggestions"], found["corrected"], found["ready"]) == ([], None, False)
        assert ask.get(f"{PAPERS}/search", params={"query": "river"}).status_code == 200
        going.set()
        until(lambda: collected(ask))


def test_a_server_has_no_suggestions_unless_it_is_to(rivers: Path) -> None:
    with served(rivers) as ask:
        refused = ask.get(f"{PAPERS}/suggest", params={"text": "river"})
        assert refused.status_code == 404 and "--suggest" in refused.json()["error"]["message"]
        assert ask.get(PAPERS).json()["suggestions"] is False


def test_a_key_learns_nothing_of_what_it_does_not_see(rivers: Path, tmp_path: Path) -> None:
    keys = write_keys(
        tmp_path / "keys",
        {"name": "key-a", "filter": 'tenant = "a"'},
        {"name": "root"},
        {"name": "elsewhere", "indexes": ["other"]},
    )
    with served(rivers, keys=keys, suggest=True) as ask:
        until(lambda: ask.get(f"{PAPERS}/suggest?text=river", headers=bearer("root")).json()["ready"])
        asked = {
            key: ask.post(f"{PAPERS}/clarify", json={"query": "river"}, headers=bearer(key))
            for key in ("key-a", "root")
        }
        assert {one["text"] for one in asked["root"].json()["question"]["options"]} == {"a", "b"}
        question = asked["key-a"].json()["question"]
        assert question["documents"] == 30 and question["field"] == "fielda"
        assert "tenant" not in asked["key-a"].text and "fieldb" not in asked["key-a"].text
        found = ask.post(f"{PAPERS}/similar", json={"id": "a3", "k": 100}, headers=bearer("key-a"))
        assert {hit["id"][0] for hit in found.json()["hits"]} == {"a"} and len(found.json()["hits"]) == 29
        found = ask.post(
            f"{PAPERS}/similar", json={"text": "river engines", "k": 100}, headers=bearer("key-a")
        )
        assert {hit["id"][0] for hit in found.json()["hits"]} == {"a"}
        hidden, unknown = (
            ask.post(f"{PAPERS}/similar", json={"id": one}, headers=bearer("key-a")) for one in ("b3", "z3")
        )
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.text.replace("b3", "z3") == unknown.text
        refused = ask.get(f"{PAPERS}/suggest?text=title", headers=bearer("key-a"))
        assert refused.status_code == 400 and "of which this key sees some" in refused.text
        assert ask.get(PAPERS, headers=bearer("key-a")).json()["suggestions"] is False
        for path in ("clarify?query=river", "suggest?text=river", "similar?id=a3"):
            assert ask.get(f"{PAPERS}/{path}").status_code == 401
            assert ask.get(f"{PAPERS}/{path}", headers=bearer("elsewhere")).status_code == 404


def test_the_client_gives_what_the_searcher_gives(
    rivers: Path, settings: Callable[..., ServeSettings]
) -> None:
    options: dict[str, Any]
    app = create_app({"papers": rivers}, settings(suggest=True))
    with (
        serving(app) as address,
        Searcher.open(rivers, encoder=HashEncoder()) as searcher,
        Client(address) as client,
    ):
        for options in ({}, {"filter": 'tenant = "a"', "mode": "sparse"}):
            assert client.clarify("river", **options) == searcher.clarify("river", **options)
        assert client.clarify("") is None
        assert client.similar("a3", 4, explain=True) == searcher.similar("a3", 4, explain=True)
        assert client.similar(text="river engines") == searcher.similar(text="river engines")
        with pytest.raises(ServerError, match="no document 'zz'"):
            client.similar("zz")
        with pytest.raises(UsageError):
            client.suggest("ti", 0)

        until(lambda: bool(client.suggest("ti").found))
        assert client.suggest("ti", 3) == searcher.suggest("ti", 3)

        async def twins() -> list[Any]:
            async with Client(address) as other:
                return [
                    await other.aclarify("river"),
                    await other.asuggest("ti"),
                    await other.asimilar("a3"),
                ]

        assert asyncio.run(twins()) == [
            searcher.clarify("river"),
            searcher.suggest("ti"),
            searcher.similar("a3"),
        ]
        with pytest.raises(InputError):
            client.clarify("river", filter="yaer = 1")
