"""Keys: the file, roles, rates, and that no answer tells of documents that a key's filter hides."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve.conftest import bearer, write_keys
from starlette.testclient import TestClient
from support import HashEncoder

from leanseek import Document, Index
from leanseek.errors import InputError
from leanseek.serve import ServeSettings, create_app, read_keys
from leanseek.serve.keys import Rate, readable_by_others

DIGEST = hashlib.sha256(b"secret").hexdigest()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[" * 50_000, "recursion|Expecting"),
        ("[]", "a key is a JSON object"),
        ('{"sha256": "' + DIGEST + '"}', "needs a name"),
        ('{"name": "a"}', "not the hex digest"),
        ('{"name": "a", "sha256": "secret"}', "not the hex digest"),
        ('{"name": "a", "sha256": "' + DIGEST + '", "role": "root"}', "must be one of read, write, admin"),
        ('{"name": "a", "sha256": "' + DIGEST + '", "indexes": "x"}', "list of names"),
        ('{"name": "a", "sha256": "' + DIGEST + '", "filter": "a ="}', "the filter of the key"),
        ('{"name": "a", "sha256": "' + DIGEST + '", "rate": "fast"}', "write one such as 20/s"),
        ('{"name": "a", "sha256": "' + DIGEST + '", "key": "secret"}', "a key has no 'key'"),
        ("", "holds no key"),
    ],
)
def test_a_keys_file_that_is_malformed(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(f"# keys\n\n{line}\n")
    with pytest.raises(InputError, match=message) as raised:
        read_keys(file)
    assert str(raised.value).startswith((f"{file}:3: ", f"the keys file '{file}'"))


def test_two_keys_with_one_secret(tmp_path: Path) -> None:
    file = write_keys(tmp_path / "keys", {"name": "a", "sha256": DIGEST}, {"name": "b", "sha256": DIGEST})
    with pytest.raises(InputError, match=":2: an earlier line"):
        read_keys(file)


def test_whether_others_can_read_the_file(tmp_path: Path) -> None:
    file = write_keys(tmp_path / "keys", {"name": "a"})
    os.chmod(file, 0o644)  # noqa: PTH101
    assert readable_by_others(file)
    os.chmod(file, 0o600)  # noqa: PTH101
    assert not readable_by_others(file)


def test_a_rate_fills_up_again() -> None:
    now = [0.0]
    rate = Rate(10, 1.0, lambda: now[0])
    assert [rate.take(1) for _ in range(10)] == [0.0] * 10
    assert rate.take(1) == pytest.approx(0.1)
    now[0] = 0.1
    assert rate.take(1) == 0.0 and rate.take(1) > 0
    now[0] = 100.0
    # A batch above the allowance passes when all of it is there, and is paid for afterwards.
    assert rate.take(25) == 0.0 and rate.take(1) == pytest.approx(1.6)


TENANTS = ("a", "b", "c")


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Documents of three tenants, and a key for each that sees its own; others with roles and rates."""
    place = tmp_path_factory.mktemp("tenants")
    index = Index.create(place / "i", encoder=HashEncoder(), chunk_words=4)
    index.add(
        Document(
            f"{tenant}{number}",
            f"heart trial secret{tenant} {'wing ' * (number % 9)}only{tenant}{number}",
            f"title{tenant}",
            {"tenant": tenant, f"field{tenant}": f"value{tenant}{number}", "year": 2000 + number},
        )
        for tenant in TENANTS
        for number in range(12)
    )
    Index.create(place / "other", encoder=None).add([Document("o", "heart othersecret")])
    keys = write_keys(
        place / "keys",
        *({"name": f"key-{tenant}", "filter": f'tenant = "{tenant}"', "role": "write"} for tenant in TENANTS),
        {"name": "reader", "indexes": ["papers"]},
        {"name": "root", "role": "admin"},
        {"name": "slow", "rate": "2/h"},
    )
    choices = ServeSettings(keys=keys, writable=True, encoders=(HashEncoder(),))
    app = create_app({"papers": place / "i", "other": place / "other"}, choices)
    with TestClient(app, "http://localhost") as client:
        yield client


def test_no_key_a_wrong_one_and_the_right_one(tenants: TestClient) -> None:
    url = "/indexes/papers/search?query=heart"
    assert tenants.get(url).json()["error"]["code"] == "no_key"
    wrong = tenants.get(url, headers=bearer("nobody"))
    assert wrong.status_code == 401 and wrong.headers["www-authenticate"] == "Bearer"
    assert tenants.get(url, headers=bearer("reader")).status_code == 200
    assert tenants.get(url, headers={"x-api-key": "reader"}).status_code == 200
    assert tenants.get("/health").status_code == tenants.get("/openapi.json").status_code == 200


def test_what_each_role_may(tenants: TestClient) -> None:
    document = [{"id": "new", "text": "numbat"}]
    for key, add, compact, metrics in (("reader", 403, 403, 403), ("root", 200, 200, 200)):
        headers = bearer(key)
        assert tenants.post("/indexes/papers/documents", json=document, headers=headers).status_code == add
        assert tenants.post("/indexes/papers/compact", json={}, headers=headers).status_code == compact
        assert tenants.get("/metrics", headers=headers).status_code == metrics
    gone = tenants.request(
        "DELETE", "/indexes/papers/documents", json={"ids": ["new"]}, headers=bearer("root")
    )
    assert gone.json()["deleted"] == 1


def test_an_index_that_is_not_the_keys_is_none(tenants: TestClient) -> None:
    headers = bearer("reader")
    assert [one["name"] for one in tenants.get("/indexes", headers=headers).json()["indexes"]] == ["papers"]
    hidden = tenants.get("/indexes/other/search?query=heart", headers=headers)
    nowhere = tenants.get("/indexes/nowhere/search?query=heart", headers=headers)
    assert hidden.status_code == nowhere.status_code == 404
    assert hidden.text.replace("other", "nowhere") == nowhere.text


def test_a_rate_is_kept(tenants: TestClient) -> None:
    url = "/indexes/papers/search?query=heart"
    assert [tenants.get(url, headers=bearer("slow")).status_code for _ in range(3)] == [200, 200, 429]
    refused = tenants.get(url, headers=bearer("slow"))
    assert int(refused.headers["retry-after"]) > 60 and refused.json()["error"]["code"] == "rate"


filters = st.sampled_from(
    [
        None,
        'tenant = "b"',
        'tenant != "a"',
        'not tenant = "a"',
        'tenant = "a" or tenant = "b"',
        "year >= 2000",
        ') or (tenant = "b"',
        'tenant = "a") or (tenant = "b"',
        'fieldb = "valueb1"',
        "fieldb = 5",
        "fieldb is not null",
        "fieldb is null",
        'id contains "b"',
        "feildb = 1",
        "tenant in (\"b\", 'c')",
    ]
)
queries = st.sampled_from(
    [
        "heart",
        "secretb",
        "onlyb1",
        '"secretb"',
        "+secretb heart",
        "heart -secretb",
        "titleb",
        "onlyb3 onlyc4",
        "zzz",
        "",
    ]
)
options = st.fixed_dictionaries(
    {},
    optional={
        "k": st.sampled_from([1, 10, 100]),
        "offset": st.sampled_from([0, 5, 50]),
        "mode": st.sampled_from(["hybrid", "dense", "sparse"]),
        "explain": st.booleans(),
        "collapse": st.booleans(),
        "literal": st.booleans(),
        "depth": st.just(200),
        "diversity": st.just(0.5),
        "recency": st.sampled_from(["year:3y", "fieldb:3y", "fieldz:3y"]),
        "facets": st.lists(
            st.sampled_from(["tenant", "year", "fieldb", "fieldz", "title", "id"]), max_size=2
        ),
        "rewrites": st.lists(queries, max_size=2),
        "expand": st.sampled_from(["rm3", "rocchio", "description"]),
    },
)


def calls(key: str, query: str, condition: str | None, chosen: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Requests of every read-only interface, with a query and a filter."""
    search = {"query": query, "filter": condition, **chosen}
    context = {"query": query, "filter": condition, "max_tokens": 5000, "k": 100, "expand": "document"}
    store = {"query": query, "filters": {"type": "ne", "key": "tenant", "value": "a"}}
    dify = {
        "knowledge_id": "papers", "query": query, "retrieval_setting": {"top_k": 50, "score_threshold": 0},
        "metadata_condition": {"conditions": [{"name": ["tenant"], "comparison_operator": "is", "value": "b"}]},
    }  # fmt: skip
    return [
        ("POST", "/indexes/papers/search", search),
        (
            "POST",
            "/indexes/papers/search",
            {**search, "query": None, "rewrites": None, "queries": [query, "heart"]},
        ),
        ("POST", "/indexes/papers/context", context),
        ("GET", "/indexes/papers", None),
        ("GET", "/indexes/papers/documents/b1", None),
        ("GET", "/indexes/papers/documents?id=b1&id=a1&id=c2", None),
        ("POST", "/v1/vector_stores/papers/search", store),
        ("POST", "/retrieval", dify),
        ("GET", f"/v1/papers/search?query={query}&hits=50", None),
        ("GET", "/v1/papers/doc/c3", None),
        ("DELETE", "/indexes/papers/documents", {"ids": ["b1"], "ignore_missing": True}),
        *(
            ("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": given})
            for method, given in agents_calls(query, condition)
        ),
    ]


def agents_calls(query: str, condition: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What an agent asks of all tools, and of the resources."""
    for tool, arguments in (
        ("search", {"query": query, "filter": condition, "index": "papers"}),
        ("context", {"query": query, "filter": condition, "index": "papers"}),
        ("fetch", {"id": "b1", "index": "papers"}),
        ("get_index", {"index": "papers"}),
        ("list_indexes", {}),
    ):
        yield "tools/call", {"name": tool, "arguments": arguments}
    yield "resources/read", {"uri": "leanseek://papers/documents/b1"}


def leaks(response: str, asked: str) -> list[str]:
    """Words of other tenants' documents in a response that did not come from the request."""
    found = []
    for tenant in "bc":
        for word in (
            f"secret{tenant}",
            f"title{tenant}",
            f"value{tenant}",
            f"only{tenant}",
            f"field{tenant}",
        ):
            if word in response and word not in asked:
                found.append(word)
        found += [
            one
            for one in (f'"{tenant}{number}"' for number in range(12))
            if one in response and one[1:-1] not in asked
        ]
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries, filters, options)
def test_nothing_leaks_through_a_keys_filter(
    tenants: TestClient, query: str, condition: str | None, chosen: dict[str, Any]
) -> None:
    for method, url, body in calls("key-a", query, condition, chosen):
        headers = {**bearer("key-a"), "accept": "application/json, text/event-stream"}
        response = tenants.request(method, url, json=body, headers=headers)
        asked = url + json.dumps(body)
        assert response.status_code in (200, 400, 404), response.text
        # What was asked for stands in some answers: operators, for one.
        assert not leaks(response.text, asked), (url, body, response.text)
        for hit in response.json().get("hits", ()):
            assert hit["metadata"]["tenant"] == "a"


def test_facets_and_dates_do_not_tell_hidden_fields_from_unknown_ones(tenants: TestClient) -> None:
    def told(**body: Any) -> Any:
        found = tenants.post(
            "/indexes/papers/search", json={"query": "heart", **body}, headers=bearer("key-a")
        ).json()
        return found["error"]["message"] if "error" in found else found["facets"]

    for hidden, unknown in (
        ({"facets": ["fieldb"]}, {"facets": ["fieldz"]}),
        ({"recency": "fieldb:3y"}, {"recency": "fieldz:3y"}),
    ):
        assert told(**hidden).replace("fieldb", "fieldz") == told(**unknown)
        assert "in no document that this key sees" in told(**hidden)
    assert told(facets=["tenant"]) == {"tenant": {"values": [{"value": "a", "documents": 12}], "distinct": 1}}


def test_queries_are_not_read_by_the_fields_of_hidden_documents(tenants: TestClient) -> None:
    body = {"query": "heart", "understand": True}
    for key, status in (("key-a", 400), ("root", 200)):
        found = tenants.post("/indexes/papers/search", json=body, headers=bearer(key))
        assert found.status_code == status
    said = tenants.post("/indexes/papers/search", json=body, headers=bearer("key-a")).json()
    assert "of which this key sees some" in said["error"]["message"]


def test_a_key_sees_the_counts_and_fields_of_its_own_documents(tenants: TestClient) -> None:
    found = tenants.get("/indexes/papers", headers=bearer("key-b")).json()
    assert found["documents"] == 12 and set(found["fields"]) == {"tenant", "fieldb", "year"}
    assert found["fields"]["fieldb"]["string"].startswith("valueb")


def test_answers_do_not_tell_hidden_words_from_unknown_ones(tenants: TestClient) -> None:
    def told(query: str, condition: str | None = None) -> Any:
        body = {"query": query, "filter": condition, "mode": "sparse"}
        found = tenants.post("/indexes/papers/search", json=body, headers=bearer("key-a")).json()
        return found.get("error", {}).get("message") or (found["reason"], found["message"])

    assert told("secretb") == told("zzzzzz") == ("no_match", "no document matches the query")
    assert told("heart", "year > 3000") == told("zzz")
    assert told("heart", "fieldb = 5") == told("heart", "nofield = 5")

    def deleting(condition: str) -> Any:
        body, url = {"filter": condition}, "/indexes/papers/documents"
        return tenants.request("DELETE", url, json=body, headers=bearer("key-a")).json()["error"]["message"]

    assert deleting("feildb = 1") == deleting("nofield = 1") == told("heart", "nofield = 5")


def test_writes_stay_within_a_keys_filter(tenants: TestClient) -> None:
    add, headers = "/indexes/papers/documents", bearer("key-a")
    foreign = tenants.post(add, json=[{"id": "n", "text": "x", "tenant": "b"}], headers=headers)
    assert foreign.status_code == 403
    taken = tenants.post(
        f"{add}?on_duplicate=replace", json=[{"id": "b1", "text": "x", "tenant": "a"}], headers=headers
    )
    assert taken.status_code == 403
    assert tenants.request("DELETE", add, json={"ids": ["b1"]}, headers=headers).status_code == 404
    swept = tenants.request("DELETE", add, json={"filter": "year = 2011"}, headers=headers)
    assert swept.json()["deleted"] == 1
    root = bearer("root")
    here = tenants.get(f"{add}?id=a11&id=b11&id=b1", headers=root).json()["documents"]
    assert [one["id"] for one in here] == ["b11", "b1"] and "secretb" in here[1]["text"]
