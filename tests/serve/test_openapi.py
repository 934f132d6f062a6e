"""The OpenAPI document: valid, complete, and kept by the responses; and requests at random, which never fail inside."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from serve.conftest import serving
from support import HashEncoder, make_documents

from leanseek import Index
from leanseek.serve import ServeSettings, create_app
from leanseek.serve.compatible import COMPATIBLE
from leanseek.serve.native import OPERATIONS


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served") / "papers"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=4)
    index.add(make_documents(60))
    with serving(
        create_app({"papers": folder}, ServeSettings(encoders=(HashEncoder(),), writable=True))
    ) as found:
        yield found


@pytest.fixture(scope="module")
def served(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def document(served: httpx2.Client) -> dict[str, Any]:
    return dict(served.get("/openapi.json").json())


def test_the_document_is_valid_and_complete(document: dict[str, Any]) -> None:
    validate(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(one.method, one.path.replace(":path", "")) for one in (*OPERATIONS, *COMPATIBLE)}
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)


def schema_of(document: dict[str, Any], path: str, method: str, status: str = "200") -> dict[str, Any]:
    """The JSON schema of a response, with the parts that it refers to."""
    content = document["paths"][path][method]["responses"][status]["content"]
    return {**content["application/json"]["schema"], "components": document["components"]}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/indexes/{index}/search", {"query": "heart -wing", "explain": True}),
        ("post", "/indexes/{index}/search", {"queries": ["heart", ""], "collapse": True}),
        ("post", "/indexes/{index}/search", {"query": "zzz", "mode": "sparse"}),
        ("post", "/indexes/{index}/context", {"query": "heart"}),
        ("get", "/indexes/{index}", None),
        ("get", "/indexes", None),
        ("post", "/v1/embeddings", {"model": "papers", "input": ["a", "b"]}),
        ("get", "/v1/models", None),
        ("post", "/v1/vector_stores/{index}/search", {"query": "heart"}),
        ("post", "/v2/embed", {"model": "papers", "texts": ["a"], "input_type": "search_query"}),
        ("post", "/embed", {"inputs": "a"}),
        ("get", "/info", None),
        (
            "post",
            "/retrieval",
            {"knowledge_id": "papers", "query": "heart", "retrieval_setting": {"top_k": 2}},
        ),
    ],
)
def test_responses_are_as_described(
    served: httpx2.Client, document: dict[str, Any], method: str, path: str, body: Any
) -> None:
    response = served.request(method.upper(), path.format(index="papers"), json=body)
    assert response.status_code == 200, response.text
    jsonschema.validate(response.json(), schema_of(document, path, method))


def test_errors_are_as_described(served: httpx2.Client, document: dict[str, Any]) -> None:
    for path in ("/indexes/nowhere/search?query=a", "/indexes/papers/search"):
        found = served.get(path).json()
        jsonschema.validate(found, schema_of(document, "/indexes/{index}/search", "get", "default"))


def generated(address: str, count: int) -> None:
    """Requests that schemathesis makes of the document, valid and not: none of them is a failure of the server."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")

    @examples(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=schema.as_strategy())
    def every(case: schemathesis.Case) -> None:
        if case.path_parameters and "index" in case.path_parameters:
            case.path_parameters["index"] = "papers"
        case.call_and_validate(checks=[not_a_server_error])

    every()


def test_generated_requests_are_never_failures(address: str) -> None:
    generated(address, 100)


@pytest.mark.slow
def test_many_generated_requests_are_never_failures(address: str) -> None:
    generated(address, 1200)


WORDS = [
    "heart",
    '"shock wave"',
    "-wing",
    "ü",
    "\x00",
    "\ud83d\ude00",
    "a" * 5000,
    "",
    "(",
    "NOT",
    "+",
    "%00",
    "../..",
]
FILTERS = [
    "year > 1995",
    "year >",
    'tags = "a"',
    "x = 1",
    "(" * 200,
    "year in (" + "1," * 500 + "1)",
    "`",
    '"',
    "not " * 90 + "year = 1",
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    7,
    1001,
    10**30,
    1.5,
    1e308,
    "10",
    "x",
    [],
    ["a"],
    [None],
    {},
    {"a": [{}]},
    [[1]],
]


def body_of(chance: random.Random) -> Any:
    """A body that is nearly right, or not right at all."""
    body: dict[str, Any] = {
        "query": chance.choice(WORDS), "k": chance.choice([1, 5, 0, 2000, "3"]), "filter": chance.choice(FILTERS),
        "queries": [chance.choice(WORDS)], "max_tokens": 50, "input": chance.choice(WORDS), "model": "papers",
        "texts": [chance.choice(WORDS)], "input_type": "search_query", "inputs": chance.choice(WORDS),
        "documents": [chance.choice(WORDS)], "knowledge_id": "papers",
        "retrieval_setting": {"top_k": 3, "score_threshold": 0},
        "filters": {"type": "eq", "key": "year", "value": 2000}, "ids": [chance.choice(WORDS)], "explain": True,
        "mode": chance.choice(["hybrid", "dense", "sparse"]),
    }  # fmt: skip
    kept = {name: value for name, value in body.items() if chance.random() < 0.5}
    for name in [*kept]:
        if chance.random() < 0.15:
            kept[name] = chance.choice(VALUES)
    return kept if chance.random() < 0.95 else chance.choice(VALUES)


def fuzz(served: httpx2.Client, count: int, seed: int) -> None:
    """Requests at random, each answered with JSON and no status of 500 or above, but 503 and 507 of a full machine."""
    chance = random.Random(seed)
    operations = [one for one in (*OPERATIONS, *COMPATIBLE) if one.path != "/metrics"]
    for _ in range(count):
        operation = chance.choice(operations)
        path = operation.path.replace(":path", "")
        for name in ("index", "id", "docid", "model"):
            path = path.replace(
                "{" + name + "}",
                chance.choice(["papers", "papers", "papers", "d1", "%2e%2e", "a%00b", "%ff"]),
            )
        if chance.random() < 0.3 or operation.method == "GET":
            path += chance.choice(
                [
                    "",
                    "?query=heart",
                    "?query=%ff",
                    "?query=heart&k=3&filter=year%3E1990",
                    "?a=b",
                    "?%%%",
                    "?id=d1&id=d2",
                    "?query=a;b",
                    "?parse=maybe&query=x",
                ]
            )
        raw = json.dumps(body_of(chance)).encode()
        if chance.random() < 0.2:
            cut = chance.randrange(len(raw) + 1)
            raw = (
                raw[:cut]
                + bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
                + raw[cut + chance.randrange(3) :]
            )
        kind = chance.choice(
            ["application/json"] * 8
            + ["text/plain", "application/x-ndjson", "application/json; charset=utf-16", "", "a/b/c;;="]
        )
        method = (
            operation.method
            if chance.random() < 0.95
            else chance.choice(["GET", "POST", "DELETE", "PATCH", "HEAD"])
        )
        response = served.request(method, path, content=raw, headers={"content-type": kind})
        assert response.status_code < 500 or response.status_code == 501, (method, path, raw, response.text)
        if response.status_code >= 400 and method != "HEAD":
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}, (
                path,
                response.text,
            )
            assert "Traceback" not in response.text


def test_requests_at_random(served: httpx2.Client) -> None:
    fuzz(served, 250, seed=1)


@pytest.mark.slow
def test_ten_thousand_requests_at_random(served: httpx2.Client) -> None:
    fuzz(served, 10_000, seed=2)


def test_the_package_can_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from typer.testing import CliRunner

    from leanseek.cli import app

    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("uvicorn", "mcp") else find(name, *rest),
    )
    for command in ("serve", "mcp"):
        found = CliRunner().invoke(app, [command, f"papers={tmp_path}"])
        assert found.exit_code == 6 and f"pip install 'leanseek[{command}]'" in found.stderr
