"""The operators of a query: what is one, what is text, and that no query takes longer than its length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.understanding import parse_query


def parsed(query: str) -> tuple[str, list[str], list[str]]:
    """The text of a query, what it requires and what it excludes."""
    text, operators = parse_query(query)
    return (
        text,
        [one.words for one in operators if not one.excludes],
        [one.words for one in operators if one.excludes],
    )


@pytest.mark.parametrize(
    ("query", "text", "required", "excluded"),
    [
        ('"new york times"', "new york times", ["new york times"], []),
        ('housing in "new york" today', "housing in new york today", ["new york"], []),
        ("jaguar -car", "jaguar", [], ["car"]),
        ("jaguar NOT car", "jaguar", [], ["car"]),
        ("jaguar AND NOT car fast", "jaguar fast", [], ["car"]),
        ("+jaguar fast", "jaguar fast", ["jaguar"], []),
        ('jaguar -"sports car" cat', "jaguar cat", [], ["sports car"]),
        ('jaguar NOT "sports car"', "jaguar", [], ["sports car"]),
        ('+"big cat" jaguar', "big cat jaguar", ["big cat"], []),
        ("-car jaguar -bike", "jaguar", [], ["car", "bike"]),
        ("jaguar -state-of-the-art", "jaguar", [], ["state-of-the-art"]),
        ("jaguar -.NET -won't", "jaguar", [], [".NET", "won't"]),
        ("jaguar NOT 5", "jaguar", [], ["5"]),
        ("\u201cnew york\u201d x", "new york x", ["new york"], []),
        ("\u201enew york\u201c x", "new york x", ["new york"], []),
        ("\u00ab\u00a0new york\u00a0\u00bb x", "new york x", ["new york"], []),
        ('\u201cnew york" x', "new york x", ["new york"], []),
        ("x -\u00abnew york\u00bb", "x", [], ["new york"]),
        ("jaguar \u2212car", "jaguar", [], ["car"]),
        ("\u8c79\u3000\uff0d\u8eca", "\u8c79", [], ["\u8eca"]),
        ('who said "I have a dream"?', "who said I have a dream?", ["I have a dream"], []),
        ('the ("new york") bank', "the (new york) bank", ["new york"], []),
        ('a 5" pipe "hot water"', 'a 5" pipe hot water', ["hot water"], []),
        ('unmatched "one "hot water" more', 'unmatched one "hot water more', ['one "hot water'], []),
        ("-car", "", [], ["car"]),
    ],
)
def test_operators(query: str, text: str, required: list[str], excluded: list[str]) -> None:
    assert parsed(query) == (text, required, excluded)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  two  blanks ",
        "-5 degrees",
        "between -5 and +5 degrees",
        "it cost -$5 or -.5",
        "call +49 30 1234",
        "state-of-the-art e-mail",
        "a - b",
        "a + b",
        "C++ and A+",
        "git commit --force",
        "an arrow -> here",
        'pipes of 5" and 6"',
        'a 5 " pipe and a 6 " pipe',
        'unmatched "new york',
        "it's the dogs' 'new york'",
        'empty "" and "..."',
        "NOT car jaguar",
        "jaguar NOT",
        "jaguar not car",
        "jaguar CANNOT car",
        "cats AND dogs OR birds",
        "jaguar AND NOT",
        'title:"new york"',
        "first line\n-second line",
        '"first line\nsecond line"',
    ],
)
def test_what_is_text(query: str) -> None:
    assert parse_query(query) == (query, ())


def test_what_was_written_is_kept() -> None:
    query = 'jaguar AND NOT car -"big cat" +fast \u00abnew york\u00bb'
    assert [one.written for one in parse_query(query).operators] == [
        "AND NOT car",
        '-"big cat"',
        "+fast",
        "\u00abnew york\u00bb",
    ]


MARKS = st.sampled_from(
    [*'"\u201c\u201d\u201e\u00ab\u00bb+-\u2212(', " ", "NOT", "AND", "a", "car", "5", "\t", "\u3000"]
)


@given(st.lists(MARKS, max_size=30).map("".join))
def test_any_query_can_be_read(query: str) -> None:
    text, operators = parse_query(query)
    assert operators or text == query
    for one in operators:
        assert one.written in query and one.words in one.written
        assert any(map(str.isalnum, one.words))
        # What is required is also searched for.
        assert one.excludes or " ".join(one.words.split()) in text
    if operators:
        assert text == " ".join(text.split())


@given(st.lists(st.from_regex(r"[a-z]{1,3}(-[a-z]{1,3})?[.,?]?", fullmatch=True), max_size=20).map(" ".join))
def test_plain_text_has_no_operators(query: str) -> None:
    assert parse_query(query) == (query, ())


UNITS = [
    '"',
    '"a ',
    'a" ',
    '-"',
    '+"a ',
    '("',
    "NOT ",
    "a NOT ",
    "AND NOT x ",
    "x -y ",
    "-",
    "- ",
    "\u00ab",
    "\u201ca ",
    '" ',
]


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_the_query(unit: str) -> None:
    for query in (
        unit * (200_000 // len(unit)),
        f'{unit * (200_000 // len(unit))}"',
        f'"{unit * 100_000}',
    ):
        started = time.process_time()
        parse_query(query[:200_000])
        assert time.process_time() - started < 10
