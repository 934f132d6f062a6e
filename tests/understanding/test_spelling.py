"""Words that an index does not have are corrected by one edit; those that it has never are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.understanding.spelling import edits

DOCUMENTS = [
    Document("1", "Norman castles and the conquest of England, sugar and light."),
    Document("2", "The castle was built by Normans; a cattle market. Straße und Müller."),
    Document("3", "замок нормандский и рынок"),
    Document("4", "castel is an old spelling"),
]


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    folder = tmp_path_factory.mktemp("spelling") / "i"
    Index.create(folder, encoder=None).add(DOCUMENTS)
    return Searcher.open(folder)


@pytest.mark.parametrize(
    ("query", "better"),
    [
        ("norman conqest", "norman conquest"),
        ("Nroman CONQUESTT", "Norman CONQUEST"),
        ("conquesr, of Englund?", "conquest, of England?"),
        ('"norman conqest" -suger', '"norman conquest" -sugar'),
        ("  lihgt  ", "  light  "),
        ("нормандскмй рынок", "нормандский рынок"),
        ("casstles", "castles"),
    ],
)
def test_one_edit_is_corrected(searcher: Searcher, query: str, better: str) -> None:
    assert searcher.corrected(query) == better


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "the of and",
        "norman conquest",
        "castel",  # rare, but the index has it
        "conqst",  # two edits
        "suga2r",
        "conqest@england.org",
        "http://conqest/x",
        "lght-years",
        "lit",
        "城堡",
        "x" * 50,
    ],
)
def test_what_is_left_alone(searcher: Searcher, query: str) -> None:
    assert searcher.corrected(query) is None


def test_of_several_words_the_one_in_most_passages_is_taken(searcher: Searcher) -> None:
    assert searcher.corrected("cantle") == "castle", "two passages have castle, one has cattle"


def test_an_index_without_words_corrects_nothing(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=HashEncoder(), sparse=None).add(DOCUMENTS)
    with Searcher.open(tmp_path / "i", encoder=HashEncoder()) as searcher:
        assert searcher.corrected("conqest") is None


def distance(one: str, other: str) -> int:
    """The optimal string alignment distance, by its table."""
    rows = [[max(a, b) if not a or not b else 0 for b in range(len(other) + 1)] for a in range(len(one) + 1)]
    for a in range(1, len(one) + 1):
        for b in range(1, len(other) + 1):
            rows[a][b] = min(
                rows[a - 1][b] + 1, rows[a][b - 1] + 1, rows[a - 1][b - 1] + (one[a - 1] != other[b - 1])
            )
            if a > 1 and b > 1 and one[a - 1] == other[b - 2] and one[a - 2] == other[b - 1]:
                rows[a][b] = min(rows[a][b], rows[a - 2][b - 2] + 1)
    return rows[-1][-1]


@settings(deadline=None)
@given(st.text("abyz", min_size=1, max_size=5), st.text("abyz", max_size=6))
def test_edits_are_all_texts_at_distance_one(word: str, other: str) -> None:
    found = set(edits(word))
    assert all(distance(word, one) <= 1 for one in found)
    assert (other in found) == (distance(word, other) == 1) or other == word


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_asked(searcher: Searcher, query: str) -> None:
    better = searcher.corrected(query)
    assert better is None or better != query
