"""The client: a searcher's methods, over HTTP, with the searcher's results and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from serve.conftest import DOCUMENTS, bearer, serving, until, write_keys
from starlette.responses import PlainTextResponse
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.client import Client
from leanseek.errors import (
    DuplicateIdError,
    FilterError,
    IndexNotFoundError,
    InputError,
    ServerError,
    UsageError,
)
from leanseek.filters import parse_filter
from leanseek.serve import ServeSettings, create_app

QUERIES = ["heart trial", "", "wing", '"shock wave" -library']


@pytest.fixture
def client(address: str) -> Any:
    with Client(f"{address}/indexes/papers") as found:
        yield found


def test_every_method_gives_what_the_searcher_gives(client: Client, searcher: Searcher) -> None:
    options: dict[str, Any]
    ids = [document.id for document in DOCUMENTS]
    for options in ({}, {"filter": "year >= 2000", "mode": "sparse"}, {"collapse": True, "literal": True}):
        for query in QUERIES:
            assert client.answer(query, 5, explain=True, **options) == searcher.answer(
                query, 5, explain=True, **options
            )
            assert client.search(query, **options) == searcher.search(query, **options)
        assert client.search_batch(QUERIES, 3, **options) == searcher.search_batch(QUERIES, 3, **options)
    assert client.rank_batch(QUERIES, 50) == searcher.rank_batch(QUERIES, 50)
    options = {"diversity": 0.4, "recency": "year:3y", "now": datetime(2025, 1, 1), "explain": True}
    for given in ({"query": "heart", "queries": ["wing load", "heart"]}, {"queries": ["heart", "orbit"]}):
        assert client.answer(**given, facets=["year", "tags"], **options) == searcher.answer(
            **given, facets=["year", "tags"], **options
        )
        assert client.search(**given) == searcher.search(**given)
        assert client.context(**given) == searcher.context(**given)
    with pytest.raises(UsageError, match="give a query"):
        client.search(queries=[])
    with pytest.raises(InputError, match="did you mean year"):
        client.answer("heart", facets=["yaer"])
    assert client.context("heart trial", 80, k=9) == searcher.context("heart trial", 80, k=9)
    for expand in ("passage", "window:1", "document"):
        found = client.context("heart trial", 80, k=9, expand=expand)
        assert found == searcher.context("heart trial", 80, k=9, expand=expand)
    options = {"expand": "description", "relevant": [ids[0]], "irrelevant": [ids[1]]}
    assert client.answer("heart trial", **options) == searcher.answer("heart trial", **options)
    found = client.context("heart trial", 80, k=9, compress=0.4)
    assert found == searcher.context("heart trial", 80, k=9, compress=0.4)
    assert found.passages[0].spans
    condition = parse_filter('year >= 2000 and tags = "a"')
    assert client.search("heart", filter=condition) == searcher.search("heart", filter=condition)
    assert client.documents(ids) == searcher.documents(ids)
    assert client.documents(ids, filter="year = 2001") == searcher.documents(ids, filter="year = 2001")
    assert client.missing(["d1", "zz", "zz", "d2"]) == searcher.missing(["d1", "zz", "zz", "d2"]) == ["zz"]
    assert (client.generation, client.mode, client.fields) == (
        searcher.generation,
        searcher.mode,
        searcher.fields,
    )


def test_writing_over_the_network(client: Client, folder: Path) -> None:
    before = Searcher.open(folder)
    given = [Document("n1", "a heart", "Title", {"year": 2030, "tags": ["a"]}), Document("n2", "a wing")]
    added = client.add(given)
    assert added == (2, 0, before.generation + 1)
    assert client.documents(["n1", "n2"]) == given
    with pytest.raises(DuplicateIdError, match="n1"):
        client.add([Document("n3", "x"), Document("n1", "y")])
    assert client.missing(["n3"]) == ["n3"]
    assert client.add([Document("n1", "y")], on_duplicate="replace")[:2] == (1, 1)
    with pytest.raises(InputError, match="zz"):
        client.delete(["n2", "zz"])
    assert client.delete(["n2", "zz"], ignore_missing=True) == 1
    assert (
        client.delete(filter="year >= 2030") == 0 and client.delete() == 0 and client.add([]).documents == 0
    )
    with pytest.raises(FilterError):
        client.delete(filter="year >")
    with pytest.raises(UsageError, match="list of ids"):
        client.delete("n1")
    compacted = client.compact()
    assert compacted.segments == 1  # what was deleted may have gone with an earlier merge

    async def again() -> tuple[int, int, int]:
        async with client:
            added = await client.aadd([Document("n4", "z")])
            return added.documents, await client.adelete(["n4", "n1"]), (await client.acompact()).segments

    assert asyncio.run(again()) == (1, 2, 1)
    now = Searcher.open(folder)
    assert now.ids() == before.ids()


def test_asynchronous_twins(client: Client) -> None:
    async def everything() -> list[Any]:
        return await asyncio.gather(
            client.asearch("heart"),
            client.aanswer("heart", 3, explain=True),
            client.asearch_batch(QUERIES),
            client.acontext("heart", 50),
            client.adocuments(["d1"]),
        )

    expected = [
        client.search("heart"),
        client.answer("heart", 3, explain=True),
        client.search_batch(QUERIES),
        client.context("heart", 50),
        client.documents(["d1"]),
    ]
    # Each run has an event loop of its own, and connections belong to one.
    assert asyncio.run(everything()) == expected and asyncio.run(everything()) == expected


def test_a_server_with_one_index_need_not_have_it_named(address: str, searcher: Searcher) -> None:
    with Client(address) as client:
        assert client.search("heart") == searcher.search("heart")

    async def asked() -> Any:
        async with Client(f"{address}/") as client:
            return await client.asearch("heart")

    assert asyncio.run(asked()) == searcher.search("heart")


def test_a_new_generation_is_noticed(client: Client, folder: Path) -> None:
    client.search("heart")
    assert not client.refresh()
    Index.open(folder, encoder=HashEncoder()).add([Document("new", "numbat")])
    until(client.refresh)
    assert [hit.id for hit in client.search("numbat", mode="sparse")] == ["new"]


def test_errors_are_those_of_the_searcher(client: Client, searcher: Searcher, address: str) -> None:
    calls: list[tuple[type[Exception], Callable[[Any], Any]]] = [
        (FilterError, lambda one: one.search("heart", filter="year >")),
        (FilterError, lambda one: one.search("heart", filter="yaer = 1")),
        (UsageError, lambda one: one.search("heart", k=0)),
        (UsageError, lambda one: one.search("-heart")),
        (UsageError, lambda one: one.search("heart", min_probability=0.5)),
        (UsageError, lambda one: one.search("heart", mode="psychic")),
        (UsageError, lambda one: one.search_batch("heart")),
        (TypeError, lambda one: one.search("heart", kk=1)),
    ]
    for kind, call in calls:
        for one in (searcher, client):
            with pytest.raises(kind):
                call(one)
    with pytest.raises(IndexNotFoundError):
        Client(f"{address}/indexes/nowhere").search("heart")
    with pytest.raises(ServerError, match="cannot be asked"):
        Client("http://127.0.0.1:9/indexes/papers").search("heart")
    with pytest.raises(UsageError, match="is no address"):
        Client("papers.index")


def test_keys_and_servers_of_several_indexes(
    folder: Path, tmp_path: Path, settings: Callable[..., ServeSettings]
) -> None:
    Index.create(tmp_path / "other", encoder=None).add([Document("o", "heart")])
    keys = write_keys(
        tmp_path / "keys", {"name": "k", "filter": "year >= 2010"}, {"name": "slow", "rate": "1/h"}
    )
    app = create_app({"papers": folder, "other": tmp_path / "other"}, settings(keys=keys))
    with serving(app) as address:
        with pytest.raises(ServerError, match="needs a key") as raised:
            Client(f"{address}/indexes/papers").search("heart")
        assert (raised.value.status, raised.value.code) == (401, "no_key")
        with pytest.raises(UsageError, match=r"serves 2 indexes \(papers, other\)"):
            Client(address, key="k").search("heart")
        found = Client(f"{address}/indexes/papers", key="k").search("heart", k=100)
        assert found and all(hit.metadata["year"] >= 2010 for hit in found)  # type: ignore[operator]
        slow = Client(f"{address}/indexes/papers", key="slow")
        slow.search("heart")
        with pytest.raises(ServerError) as raised:
            slow.search("heart")
        assert raised.value.status == 429 and (raised.value.retry_after or 0) > 60
        assert bearer("k") == {"authorization": "Bearer k"}


def test_a_server_that_is_another(address: str) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("<h1>It works!</h1>")(scope, receive, send)

    with serving(page, lifespan="off") as other, pytest.raises(ServerError, match="not as leanseek does"):
        Client(f"{other}/indexes/papers").search("heart")
