"""Other wordings, diversity, recency and facets on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app

DOCUMENTS = [
    Document(
        "old", "The pump leaks oil at the seal.", metadata={"d": "2020-01-01", "lang": "en", "open": True}
    ),
    Document("new", "The pump leaks at its seal.", metadata={"d": "2025-05-01", "lang": "en", "open": False}),
    Document("undated", "A pump was mended.", metadata={"lang": "de"}),
    Document("fan", "The fan in the loft is loud.", metadata={"d": ["2025-01-01"], "lang": ["en", "fr"]}),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index.create(tmp_path_factory.mktemp("order") / "i", encoder=None)
    index.add(DOCUMENTS)
    return index.path


def invoke(*words: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def lines(*words: object) -> list[Any]:
    return [json.loads(line) for line in invoke("search", "--json", *words).stdout.splitlines()]


def test_other_wordings(path: Path) -> None:
    assert [hit["id"] for hit in lines(path, "loud")] == ["fan"]
    hits = lines(path, "loud", "--also", "oil", "--also", "mended", "--explain")
    assert {hit["id"] for hit in hits} == {"fan", "old", "undated"}
    assert {hit["id"]: [one["rank"] for one in hit["wordings"]] for hit in hits} == {
        "fan": [1, None, None],
        "old": [None, 1, None],
        "undated": [None, None, 1],
    }
    shown = invoke("search", path, "loud", "--also", "oil", "--explain").stdout
    assert "wordings #1, not found" in shown and "wordings not found, #1" in shown and "**oil**" in shown


def test_recency(path: Path) -> None:
    assert lines(path, "pump leaks oil")[0]["id"] == "old"
    recency = ("--recency", "d:1y", "--now", "2025-06-01")
    hits = lines(path, "pump leaks oil", *recency, "--explain")
    assert hits[0]["id"] == "new" and hits[0]["freshness"]["date"] == "2025-05-01"
    assert hits[0]["freshness"]["factor"] == pytest.approx(0.5 ** (31 / 365.25))
    assert {"date": None, "factor": 0.5} in [hit["freshness"] for hit in hits]
    shown = invoke("search", path, "pump leaks oil", *recency, "--explain").stdout
    assert "recency × 0.943 (2025-05-01)" in shown and "recency × 0.500 (no date)" in shown
    assert "recency" not in invoke("search", path, "pump leaks oil", "--explain").stdout


def test_a_run_goes_by_recency(path: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.tsv"
    queries.write_text("1\tpump leaks oil\n")
    for more, first in (((), "old"), (("--recency", "d:1y", "--now", "2025-06-01"), "new")):
        run = invoke("run", path, queries, "--out", "-", *more).stdout.split()
        assert run[2] == first


def test_facets(path: Path) -> None:
    *hits, counted = lines(path, "pump", "--facet", "lang", "--facet", "open", "--filter", 'not id = "new"')
    assert [hit["id"] for hit in hits] == ["undated", "old"]
    assert counted == {
        "facets": {
            "lang": {
                "values": [
                    {"value": "en", "documents": 2},
                    {"value": "de", "documents": 1},
                    {"value": "fr", "documents": 1},
                ],
                "distinct": 3,
            },
            "open": {"values": [{"value": True, "documents": 1}], "distinct": 1},
        }
    }
    shown = invoke("search", path, "pump", "--facet", "lang", "--facet", "open").stdout
    assert "lang: en 3, de 1, fr 1\nopen: false 1, true 1\n" in shown
    nothing = invoke("search", path, "zebra", "--facet", "lang")
    assert nothing.stdout == "lang: en 3, de 1, fr 1\n" and "Nothing found" in nothing.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--diversity", "1.5"), 2, "it must be from 0"),
        (("--diversity", "0.3"), 2, "index again with an encoder"),
        (("--history", "d1,d2"), 2, "index again with an encoder"),
        (("--history-weight", "0.3"), 2, "give history too"),
        (("--recency", "dd:1y"), 3, "recency names the field dd, which no document has; did you mean d?"),
        (("--recency", "lang:1y"), 3, "no document has a date there"),
        (("--recency", "d:soon"), 2, "give a field and a half-life"),
        (("--now", "2025-01-01"), 2, "give recency too"),
        (("--facet", "lnag"), 3, "did you mean lang?"),
    ],
)
def test_what_is_refused(path: Path, options: tuple[str, ...], code: int, said: str) -> None:
    result = invoke("search", path, "pump", *options, code=code)
    assert said in " ".join(result.stderr.split()) and "Traceback" not in result.output


def test_blank_wordings_are_left_out(path: Path) -> None:
    assert lines(path, "pump", "--also", "", "--also", " ") == lines(path, "pump")
    assert "the query is empty" in invoke("search", path, "", "--also", " ").stderr
