"""Facets: counts of a field's values, equal to counting the documents one by one."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import WORDS

from leanseek import Document, Index, Searcher
from leanseek.errors import InputError, UsageError
from leanseek.filters import parse_filter
from leanseek.filters.nodes import field_elements
from leanseek.searcher.facets import MOST_VALUES

VALUES: list[Any] = [
    "en", "de", "EN", "", "2024-03-01", "2024-03-01T00:00:00Z", 1, 1.0, 2.5, True, False, None, float("nan"), -3, 2**70,
    ["en", "de", "en"], [1, 1.0, True], [], ["x", None, 2**70],
]  # fmt: skip
FIELDS = ["kind", "lang", "number", "title", "id"]


def some_documents(count: int, seed: int, prefix: str) -> list[Document]:
    chance = random.Random(seed)
    made = []
    for place in range(count):
        metadata = {"kind": chance.choice(VALUES), "number": place}
        if chance.random() < 0.5:
            metadata["lang"] = chance.choice(["en", "de", "fr"])
        text = " ".join(chance.choices(WORDS, k=chance.randint(1, 12)))
        made.append(Document(f"{prefix}{place}", text, chance.choice(["", "Trial", "Wing"]), metadata))
    return made


@pytest.fixture(scope="module", params=[None, 4], ids=["whole", "chunked"])
def indexed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A searcher over three segments, some of whose documents are deleted or replaced, and the documents it has."""
    folder = tmp_path_factory.mktemp("facets") / "index"
    index = Index.create(folder, encoder=None, chunk_words=request.param)
    live = {}
    for seed, prefix in enumerate("abc"):
        documents = some_documents(90, seed, prefix)
        index.add(documents)
        live |= {one.id: one for one in documents}
    again = [Document(f"a{place}", "heart statin", "Again", {"kind": "again"}) for place in range(20)]
    index.add(again, on_duplicate="replace")
    live |= {one.id: one for one in again}
    for number in range(30):
        index.delete([f"b{number}"])
        del live[f"b{number}"]
    index.close()
    return Searcher.open(folder), list(live.values())


def by_hand(documents: list[Document], field: str) -> Counter[tuple[bool, Any]]:
    """How many of the documents have each value, bools apart from the numbers that equal them."""
    counts: Counter[tuple[bool, Any]] = Counter()
    for one in documents:
        fields = {**one.metadata, "id": one.id, "title": one.title}
        seen = {
            (element.kind == "bool", element.value if element.text is None else element.text)
            for element in field_elements(field, fields.get(field))
        }
        counts.update(seen)
    return counts


def containing(document: Document, words: str) -> bool:
    return words in f"{document.title} {document.text}".lower().split()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3),
    st.sampled_from(
        [None, 'lang = "en"', 'kind = "en" or number < 40', "kind = 1", "kind = true", "lang is null", "number > 1000",
         'not title = ""', 'id contains "a1"', 'kind in ("2024-03", "de") and number >= 7']
    ),
    st.sampled_from(["", "statin", "zebra", "heart -wing", "+matrix", "-orbit +heart rocket"]),
)  # fmt: skip
def test_counts_are_those_of_the_documents_one_by_one(
    indexed: Any, fields: list[str], condition: str | None, query: str
) -> None:
    searcher, documents = indexed
    answer = searcher.answer(query, 3, facets=fields, filter=condition)
    admitted = documents
    if condition is not None:
        passes = parse_filter(condition)
        admitted = [
            one for one in documents if passes.matches({**one.metadata, "id": one.id, "title": one.title})
        ]
    for word in query.split():
        if word[0] in "+-":
            admitted = [one for one in admitted if containing(one, word[1:]) is (word[0] == "+")]
    assert list(answer.facets) == list(dict.fromkeys(fields))
    for field in fields:
        expected = by_hand(admitted, field)
        facet = answer.facets[field]
        assert facet.distinct == len(expected)
        found = {(isinstance(value, bool), value): count for value, count in facet.values}
        assert len(found) == len(facet.values) == min(len(expected), MOST_VALUES)
        assert all(expected[key] == count for key, count in found.items())
        counts = [count for _, count in facet.values]
        assert counts == sorted(expected.values(), reverse=True)[:MOST_VALUES]


def test_the_order_and_the_look_of_values(tmp_path: Path) -> None:
    given: list[Any] = ["b", "a", 3, 2.0, True, 10, False, "a", "2024-01-01"]
    index = Index.create(tmp_path / "i", encoder=None)
    index.add([Document(f"d{place}", "x", metadata={"v": value}) for place, value in enumerate(given)])
    facet = Searcher.open(tmp_path / "i").answer("nothing", facets=["v"]).facets["v"]
    values = [value for value, _ in facet.values]
    assert values == ["a", False, True, 2, 3, 10, "2024-01-01", "b"]
    assert [type(value) for value in values[:4]] == [str, bool, bool, int]


def test_where_sections_begin_is_no_field(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None, chunk_words=4)
    text = "One two three four. Five six seven eight. Nine ten eleven twelve."
    outline = {"heading_starts": [0, 20, 42], "headings": ["Intro", "Body", "End"]}
    index.add([Document("a", text, metadata={"lang": "en", **outline}), Document("b", text)])
    searcher = Searcher.open(tmp_path / "i")
    assert searcher.answer("five", facets=["lang"]).facets["lang"] == ((("en", 1),), 1)
    with pytest.raises(InputError, match="headings, which no document has"):
        searcher.answer("five", facets=["headings"])


def test_they_do_not_depend_on_what_is_returned(indexed: Any) -> None:
    searcher, documents = indexed
    whole = searcher.answer("heart", 1, facets=["lang"]).facets
    assert whole == searcher.answer("zebra", 50, facets=["lang"], collapse=True).facets
    assert sum(count for _, count in whole["lang"].values) == sum("lang" in one.metadata for one in documents)
    assert searcher.answer("heart").facets == {}
    literal = searcher.answer("heart -wing", facets=["lang"], literal=True).facets
    assert literal == whole


def test_what_is_refused(indexed: Any, tmp_path: Path) -> None:
    searcher, _ = indexed
    with pytest.raises(
        InputError, match=r"A facet names the field lnag, which no document has; did you mean lang\?"
    ):
        searcher.answer("heart", facets=["kind", "lnag"])
    for wrong in ("lang", [3]):
        with pytest.raises(UsageError, match="list of fields"):
            searcher.answer("heart", facets=wrong)
    with pytest.raises(TypeError, match="facets"):
        searcher.search_batch(["heart"], facets=["lang"])
    Index.create(tmp_path / "empty", encoder=None)
    answer = Searcher.open(tmp_path / "empty").answer("heart", facets=["lang"])
    assert answer.facets["lang"] == ((), 0) and answer.nothing.reason == "empty_index"
