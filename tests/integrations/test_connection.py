"""Documents of other packages in an index: what is stored, and what comes back."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_documents

from leanseek import Index, Searcher
from leanseek.errors import IndexNotFoundError, MissingPackageError, UsageError
from leanseek.filters import parse_filter
from leanseek.integrations.connection import Connection, metadata_of, standing_of, written
from leanseek.types import Document, Hit, Mark, Passage

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text("ab\u00fc.", max_size=4)
values = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), below, max_size=3)
    ),
)
keys = st.sampled_from(["id", "title", "text", "a", "a.b", "metadata.id", "year"])


@given(st.dictionaries(keys, values, max_size=4))
def test_metadata_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    document = written("x", "text", metadata)
    found = metadata_of(document.title, document.metadata)
    assert repr(sorted(found.items())) == repr(sorted(metadata.items()))  # 1 is not True


def test_metadata_can_be_filtered_by(tmp_path: Path) -> None:
    connection = Connection(Index.create(tmp_path / "i", encoder=None).path)
    nested = {"id": 7, "author": {"name": "Ada", "born": 1815}, "title": "Notes"}
    connection.write([written("x", "engine", nested), written("y", "engine", {"id": 8})])
    for condition, ids in (
        ("`metadata.id` = 7", ["x"]), ('author.name = "Ada"', ["x"]), ('title = "Notes"', ["x"]), ('id = "y"', ["y"])
    ):  # fmt: skip
        assert [hit.id for hit in connection.answer("engine", filter=condition).hits] == ids
    [hit] = connection.answer("engine", filter='id = "x"').hits
    assert metadata_of(hit.title, hit.metadata) == nested


def test_writing_replaces_and_is_seen_at_once(tmp_path: Path) -> None:
    path = Index.create(tmp_path / "i", encoder=None).path
    with Searcher.open(path) as searcher:
        connection = Connection(searcher)
        connection.write([Document("x", "wing"), Document("y", "wing")])
        connection.write([Document("x", "wave")])
        assert [hit.id for hit in connection.answer("wing").hits] == ["y"]
        assert connection.delete(["y", "zz", "y"]) == ["y"] and connection.delete([]) == []
        assert [one.id for one in connection.documents(["x", "y"])] == ["x"]
        connection.close()
        with pytest.raises(UsageError, match="closed"):
            searcher.search("wing")


def test_documents_are_listed_by_filter(tmp_path: Path) -> None:
    path = Index.create(tmp_path / "i", encoder=None, chunk_words=4).path
    connection = Connection(path)
    assert connection.matching() == []
    documents = make_documents(40)
    connection.write(documents[:25])
    connection.write(documents[25:])
    connection.delete(["d3"])
    kept = [one for one in documents if one.id != "d3"]
    assert sorted(connection.matching()) == sorted(one.id for one in kept)
    for condition in map(parse_filter, ("year >= 2000", 'tags = "a" or year < 1995', 'id = "d3"')):
        expected = {one.id for one in kept if condition.matches({**one.metadata, "id": one.id})}
        found = connection.matching(condition)
        assert set(found) == expected and len(found) == len(expected)
    connection.compact()
    assert sorted(connection.matching()) == sorted(one.id for one in kept)


def test_what_is_opened_with_options_that_do_not_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError):
        Connection(tmp_path / "nothing")
    path = Index.create(tmp_path / "i", encoder=None).path
    with Searcher.open(path) as searcher:
        with pytest.raises(UsageError, match="fusion"):
            Connection(searcher, fusion="rrf")
        with pytest.raises(UsageError, match="encoder"):
            Connection(searcher, encoder="static")
    with pytest.raises(UsageError, match="encoder"):
        Connection("http://127.0.0.1:1/indexes/papers", encoder="static")


def test_a_hit_says_where_its_text_is() -> None:
    hit = Hit(2, "x", 0.5, "Title", "wing", {"a": 1}, Passage(1, 3, 40), probability=0.25)
    assert standing_of(hit) == {
        "rank": 2, "score": 0.5, "probability": 0.25, "passage": {"number": 1, "count": 3, "start": 40},
        "start": 40, "end": 44,
    }  # fmt: skip
    marked = replace(hit, marks=(Mark(40, 3, "Wings"), Mark(42, 4, "Wings")))
    assert standing_of(marked) == {**standing_of(hit), "page": 3, "heading": "Wings"}
    assert standing_of(replace(hit, marks=(Mark(42, 4),))) == standing_of(hit)
    assert standing_of(replace(hit, marks=(Mark(40, 4),))) == {**standing_of(hit), "page": 4}


@pytest.mark.parametrize(
    ("name", "package"),
    [("langchain", "langchain_core"), ("haystack", "haystack"), ("llamaindex", "llama_index.core")],
)
def test_a_framework_that_is_not_installed(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"leanseek.integrations.{name}", raising=False)
    with pytest.raises(MissingPackageError, match=rf"pip install 'leanseek\[{name}\]'"):
        importlib.import_module(f"leanseek.integrations.{name}")
