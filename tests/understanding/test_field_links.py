"""From the words of a query to conditions on fields: what is linked, what is left alone, and what is left over."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.filters import parse_filter
from leanseek.text import load_analyzer
from leanseek.types import Scalar
from leanseek.understanding import FieldTable, link_fields, link_title, understanding
from leanseek.understanding.title_link import title_evidence

ANALYZER = load_analyzer("english")
FIELDS: dict[str, dict[Scalar, int]] = {
    "year": {2010: 5, 2015: 3, 1999: 2},
    "section": {"net": 3, "web development": 4, "libs": 9},
    "lang": {"english": 10, "german": 4},
    "pages": {12: 3, 300: 2},
    "author": {"Ada Lovelace": 2, "Bob": 1},
}
TABLE = FieldTable.of(FIELDS, ANALYZER)
DATED = FieldTable.of(
    {"published_at": {"2024-03-01": 4, "2023-01-02T10:00:00Z": 1}, "year": {2024: 9}}, ANALYZER
)


def asked(query: str, table: FieldTable = TABLE) -> list[str]:
    return [one.condition for one in link_fields(query, table)]


@pytest.mark.parametrize(
    ("query", "conditions", "rest"),
    [
        ("statins trials after 2015", ["year > 2015"], "statins trials"),
        ("statins trials since 2015", ["year >= 2015"], "statins trials"),
        ("papers between 1990 and 2000", ["year in 1990..2000"], "papers"),
        ("papers between 2000 and 1990", ["year in 1990..2000"], "papers"),
        ("papers 1990-2000", ["year in 1990..2000"], "papers"),
        ("from 2010 on", ["year >= 2010"], ""),
        ("ferries of 2010 or later", ["year >= 2010"], "ferries"),
        ("ferries in the 1990s", ["year in 1990..1999"], "ferries"),
        ("ferries in the 2000s", ["year in 2000..2009"], "ferries"),
        ("ferries of the 1800s", ["year in 1800..1899"], "ferries"),
        ("ferries in 2010", ["year = 2010"], "ferries"),
        ("year 2010", ["year = 2010"], ""),
        ("english or german papers", ['lang in ("english", "german")'], "papers"),
        ("papers not in german", ['not lang = "german"'], "papers"),
        ("section net packages", ['section = "net"'], "packages"),
        ("web development tools", ['section = "web development"'], "tools"),
        ("books by Ada Lovelace before 2010", ['author = "Ada Lovelace"', "year < 2010"], "books"),
        ("books with more than 1,000 pages", ["pages > 1000"], "books"),
        ("books with pages under 200", ["pages < 200"], "books"),
        ("packages whose name starts with lib", ['title starts with "lib"'], "packages"),
        ("nouns beginning with the letter B", ['title starts with "B"'], "nouns"),
        ('packages that end with "utils"', ['title ends with "utils"'], "packages"),
        ("titles containing syndrome", ['title contains "syndrome"'], ""),
        ("three-word titles about ferries", ["words(title) = 3"], "about ferries"),
        ("packages with at least 2 words in the name", ["words(title) >= 2"], "packages"),
        ("packages with a name of exactly two words", ["words(title) = 2"], "packages"),
        (
            "words whose title starts with a and with a title of at least two words",
            ['title starts with "a"', "words(title) >= 2"],
            "words",
        ),
        ("net packages starting with B", ['section = "net"', 'title starts with "B"'], "packages"),
    ],
)
def test_what_a_query_asks_for(query: str, conditions: list[str], rest: str) -> None:
    links = link_fields(query, TABLE)
    assert [one.condition for one in links] == conditions
    assert understanding(query, links).rest == rest


@pytest.mark.parametrize(
    "query",
    [
        "how many people live in Houston",
        "the price rose to 15 dollars",
        "more than 2000 people",  # no field of people
        "an error of 0.2015",
        "what is beginning with what was said",
        "python 3.11 features",
        "ISO 9001-2",
        "$2010 a month",
    ],
)
def test_ordinary_words_are_left_alone(query: str) -> None:
    assert asked(query) == []


def test_a_year_is_of_the_field_that_the_query_names() -> None:
    assert asked("published after 2015 and before 2024-03", DATED) == [
        'published_at > "2015"',
        'published_at < "2024-03"',
    ]
    assert asked("since 2015", DATED) == ["year >= 2015"]


def test_a_value_of_two_fields_is_less_sure_and_its_name_decides() -> None:
    table = FieldTable.of({"topic": {"jazz": 3}, "tag": {"jazz": 9}}, ANALYZER)
    [one] = link_fields("jazz records", table)
    assert (one.field, one.confidence) == ("tag", 0.3)
    [named] = link_fields("records of topic jazz", table)
    assert (named.field, named.confidence) == ("topic", 0.95)


def test_text_and_fields_of_very_many_values_name_nothing_by_chance() -> None:
    table = FieldTable.of(
        {"url": {f"page{number}": 1 for number in range(2000)}, "lang": {"x" * 3: 1}}, ANALYZER
    )
    assert asked("page7 and xxx", table) == ['lang = "xxx"']


def test_what_holds_no_strings_is_asked_for_none() -> None:
    table = FieldTable.of({"open": {True: 3, False: 1}, "empty": {}}, ANALYZER)
    assert asked("open starts with true and empty contains x", table) == []


WORDS = st.sampled_from(
    "after before between and in not except 2010 1999 1990s year pages lang section net web development starts with "
    'ending three words title name "lib" 3 more than english german or'.split()
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=9).map(" ".join), st.text(max_size=40)))
def test_links_are_conditions_on_words_that_they_do_not_share(query: str) -> None:
    links = link_fields(query, TABLE)
    last = 0
    for one in links:
        assert last <= one.start < one.end <= len(query)
        last = one.end
        [leaf] = parse_filter(one.condition).leaves()
        assert leaf.field == one.field and 0 < one.confidence <= 1


def test_a_title_is_linked_by_its_words_and_by_what_is_found() -> None:
    query = "how are epithelial tissues joined"
    scores = [
        ("Tissue (biology)", 9.0),
        ("", 8.0),
        ("Cell", 5.0),
        ("Tissue (biology)", 4.0),
        ("Tissue (paper)", 3.0),
    ]
    found = link_title(query, scores, ANALYZER)
    assert found is not None and found.condition == 'title = "Tissue (biology)"'
    assert query[found.start : found.end] == "tissues"
    # Two that stand alike, of which the query names none.
    assert link_title("how are they joined", [("Glue", 9.0), ("Nails", 8.8), ("Rope", 1.0)], ANALYZER) is None
    # What the query names decides between them, the rare words most.
    named = link_title(
        "how do rope nails hold", [("Glue", 9.0), ("Rope Nails", 8.8), ("Rope", 1.0)], ANALYZER
    )
    assert named is None or named.condition == 'title = "Rope Nails"'
    assert link_title("anything", [("", 2.0), ("", 1.0)], ANALYZER) is None


def test_rare_words_of_a_title_count_more() -> None:
    rarity = {"Who Am I": [0.1, 0.1, 0.1], "Yeti": [9.0], "Yeti House": [9.0, 1.0]}
    titles = [("Who Am I", 3.0), ("Yeti House", 2.0), ("Yeti", 1.0)]
    found = title_evidence(
        {"yeti"}, titles, ANALYZER, lambda title: rarity[title][: len(ANALYZER.tokens(title))]
    )
    covers = {title: evidence.cover for title, evidence in found}
    assert covers["Yeti"] == 1.0 and covers["Yeti House"] == pytest.approx(0.9) and covers["Who Am I"] == 0.0
