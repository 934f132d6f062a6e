"""The filter language, evaluated in Python and in SQLite alike, and its errors."""

from __future__ import annotations

import math
import operator
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leanseek.errors import FilterError
from leanseek.filters import (
    And,
    Comparison,
    Contains,
    Element,
    Filter,
    IsNull,
    Membership,
    Not,
    Or,
    Range,
    WordCount,
    elements,
    parse_filter,
    stored_moment,
    word_count,
)
from leanseek.types import Int64Array, MetadataValue


class Table:
    """A segment's metadata as the index keeps it, in either form: one row an element, id and title apart."""

    def __init__(self, documents: Sequence[Mapping[str, MetadataValue]], form: int = 1) -> None:
        self.form = form
        self.connection = sqlite3.connect(":memory:")
        self.connection.create_function("stored_moment", 1, stored_moment)
        self.connection.create_function("word_count", 1, word_count)
        self.connection.execute("CREATE TABLE metadata(field TEXT, value, kind TEXT, ordinal INTEGER)")
        self.connection.execute("CREATE TABLE passages(ordinal INTEGER PRIMARY KEY, id TEXT, title TEXT)")
        for ordinal, fields in enumerate(documents):
            self.connection.execute(
                "INSERT INTO passages VALUES (?, ?, ?)", (ordinal, fields["id"], fields["title"])
            )
            self.connection.executemany(
                "INSERT INTO metadata VALUES (?, ?, ?, ?)",
                [
                    (field, *(stored(item) if form else stored_before(item)), ordinal)
                    for field, value in fields.items()
                    if field not in ("id", "title")
                    for item in elements(value)
                ],
            )

    def select(self, field: str, where: str, parameters: Sequence[str | int | float]) -> Int64Array:
        if field in ("id", "title"):
            rows = f"SELECT ordinal FROM (SELECT ordinal, {field} AS value, 'string' AS kind FROM passages)"
            cursor = self.connection.execute(f"{rows} WHERE {where}", list(parameters))
        else:
            cursor = self.connection.execute(
                f"SELECT ordinal FROM metadata WHERE field = ? AND ({where})", [field, *parameters]
            )
        return np.array([row[0] for row in cursor], dtype=np.int64)


def stored(item: Element) -> tuple[str | int | float, str]:
    return item.stored, item.kind


def stored_before(item: Element) -> tuple[str | int | float, str]:
    """The row of form 0: moments are strings, large numbers floats."""
    if item.kind == "moment":
        return str(item.text), "string"
    if isinstance(item.value, int) and item.value >= 2**63:
        return float(item.value) if item.value < 2**1023 else math.inf, item.kind
    return item.value, item.kind


def passing(expression: str | Filter, documents: Sequence[Mapping[str, MetadataValue]]) -> list[str]:
    """The ids of the documents that pass, which Python and SQLite must agree on."""
    parsed = parse_filter(expression) if isinstance(expression, str) else expression
    named = [{"id": f"d{number}", "title": "", **fields} for number, fields in enumerate(documents)]
    mask = parsed.mask(Table(named), len(named))
    assert mask.dtype == np.bool_
    assert mask.tolist() == [parsed.matches(fields) for fields in named]
    return [str(fields["id"]) for fields, kept in zip(named, mask, strict=True) if kept]


BOOKS: list[dict[str, MetadataValue]] = [
    {"id": "a", "title": "Statins and the heart", "year": 2015, "lang": "en", "tags": ["drug", "heart"]},
    {"id": "b", "title": "", "year": 1999.5, "lang": "de", "open": True, "tags": []},
    {"id": "c", "title": "Draft", "year": "2015", "lang": ["en", "fr"], "open": False, "tags": [1, "drug"]},
    {"id": "d", "title": "Über Öl", "year": None, "date": "2020-03-01", "author.name": "O'Brien", "open": 1},
]

CASES = [
    ("year >= 2015", "a"),
    ("year = 2015.0", "a"),
    ("year == 2015", "a"),
    ('year = "2015"', "c"),
    ("year != 2015", "bc"),
    ("year < 2015", "b"),
    ("not year = 2015", "bcd"),
    ('lang = "en"', "ac"),
    ('lang != "en"', "bc"),
    ('not lang = "en"', "bd"),
    ('lang in ("de", "fr")', "bc"),
    ('lang not in ("en", "de")', "c"),
    ('not lang in ("en", "de")', "d"),
    ("year in (2015, '2015')", "ac"),
    ("tags = 1", "c"),
    ('tags = "1"', ""),
    ("tags is null", "bd"),
    ("tags is not null", "ac"),
    ("open = true", "b"),
    ("open != true", "cd"),
    ("open = 1", "d"),
    ("open in (true, 1)", "bd"),
    ("missing = 1 or missing != 1 or missing is not null", ""),
    ("missing is null", "abcd"),
    ('date < "2020-12-31" and date > "2020-01-01"', "d"),
    ('title contains "HEART"', "a"),
    ('title contains "über"', ""),
    ('title contains "Über"', "d"),
    ('title = ""', "b"),
    ("title is null", ""),
    ('year contains "1"', "c"),
    ('id in ("a", "d")', "ad"),
    ('id > "b"', "cd"),
    ("author.name = 'O\\'Brien'", "d"),
    ('`author.name` contains "brien"', "d"),
    ('year = 2015 and lang = "en" or open = true', "ab"),
    ('year = 2015 and (lang = "de" or open = true)', ""),
    ('NOT (lang = "en" OR open = true) AND id IS NOT NULL', "d"),
    ("not not year is NULL", "d"),
    ("year > -1e3 and year < +2.0e3", "b"),
    ("year > .5 and year < 2015.", "b"),
    ("year in 1999.5..2015", "ab"),
    ("year in 2000 .. 2.015e3", "a"),
    ("year not in 2000..2100", "bc"),
    ("not year in 2000..2100", "bcd"),
    ('year in "1999".."2015"', "c"),
    ('id in "b".."c"', "bc"),
    ('date in "2020-02".."2020-03"', "d"),
    ('date in "2019".."2020-02-29"', ""),
    ("tags in 0..1", "c"),
    ('title starts with "STATINS"', "a"),
    ('title STARTS WITH "über"', ""),
    ('title starts with "Über"', "d"),
    ('title ends with "HEART"', "a"),
    ('title ends with "öl"', ""),
    ('title ends with "and"', ""),
    ('title ends with "Statins and the heart and more"', ""),
    ('title starts with ""', "abcd"),
    ('tags ends with "G"', "ac"),
    ('date ends with "-01"', "d"),
    ('not title starts with "d"', "abd"),
    ("words(title) = 4", "a"),
    ("words(title) < 1", "b"),
    ("words(title) in 1..2", "cd"),
    ("WORDS( `title` ) not in (0, 1)", "ad"),
    ("words(title) != 4", "bcd"),
    ("words(year) = 1", "c"),
    ("words(date) >= 1", "d"),
    ("words(missing) = 0", ""),
]


@pytest.mark.parametrize(("expression", "expected"), CASES)
def test_language(expression: str, expected: str) -> None:
    assert passing(expression, BOOKS) == list(expected)


def test_a_range_is_one_element_of_a_list_inside_both_ends() -> None:
    held: list[dict[str, MetadataValue]] = [{"n": [1, 9]}, {"n": [1, 5]}, {"n": 4}, {"n": 6}]
    assert passing("n in 4..6", held) == ["d1", "d2", "d3"]
    assert passing("n >= 4 and n <= 6", held) == ["d0", "d1", "d2", "d3"]


def test_words_of_the_language_may_be_names_of_fields() -> None:
    fields: dict[str, MetadataValue] = {"words": 3, "starts": "ab", "ends": "with", "with": 1}
    for expression in (
        "words = 3",
        "words in 1..3",
        'starts starts with "a"',
        'ends ends with "th"',
        'ends in ("with")',
        "with = 1",
        "words(starts) = 1",
    ):
        assert passing(expression, [fields]) == ["d0"], expression


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("  ", 0), ("one", 1), ("state-of-the-art\tmodel's", 2), ("A – B", 2), ("Öl & 2\u00a0x", 3)],
)
def test_words_are_pieces_with_a_letter_or_digit(text: str, words: int) -> None:
    assert word_count(text) == words


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("year in 2000..1990", "end must not come before its start"),
        ('when in "2024-03".."2023"', "end must not come before its start"),
        ('year in 1.."b"', "end must not come before its start"),
        ("year in 1990", "'..' and the end of the range"),
        ("year in 1990...2000", "this is not a number"),
        ("year in true..false", "a list of values, or a range"),
        ("id in 1..2", "id is always a string"),
        ("title starts 'a'", "'with' after 'starts'"),
        ("title ends with 3", "a string in quotes after 'ends with'"),
        ("words(title) = 'a'", "the words of a text are a number"),
        ("words(title) in (1, true)", "the words of a text are a number"),
        ("words(title)", "and a number of words"),
        ("words(3) = 3", "the name of a field in 'words(…)'"),
    ],
)
def test_mistakes_in_ranges_affixes_and_word_counts(expression: str, message: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(expression)
    assert message in str(raised.value)


def test_words_are_counted_of_numbers_alone() -> None:
    for condition in (
        Comparison("words", "=", Element("3", "string")),
        Comparison("n", "=", Element(3, "number")),
    ):
        with pytest.raises(ValueError, match="no condition on the number words"):
            WordCount("title", condition)


def test_values_never_become_sql() -> None:
    attack = "x' OR 1=1; DROP TABLE metadata --"
    documents: list[dict[str, MetadataValue]] = [{"a": "harmless"}, {"a": attack}, {attack: "y"}]
    assert passing(f'a = "{attack}"', documents) == ["d1"]
    assert passing(f'a contains "{attack}"', documents) == ["d1"]
    assert passing(f'a in ("{attack}")', documents) == ["d1"]
    assert passing(f'`{attack}` = "y"', documents) == ["d2"]


def test_numbers_beyond_64_bits_compare_exactly() -> None:
    documents: list[dict[str, MetadataValue]] = [
        {"n": 2**70},
        {"n": 2**63 - 1},
        {"n": 10**400},
        {"n": -(10**400)},
        {"n": 2**53 + 1},
        {"n": float(2**53)},
    ]
    assert passing(f"n = {2**70}", documents) == ["d0"]
    assert passing(f"n = {2**70 + 1} or n = {2**70 - 1}", documents) == []
    assert passing(f"n < {2**70 + 1} and n > {2**70 - 1}", documents) == ["d0"]
    assert passing(f"n > {2**70}", documents) == ["d2"]
    assert passing(f"n in ({2**70}, 5)", documents) == ["d0"]
    assert passing(f"n != {2**70}", documents) == ["d1", "d2", "d3", "d4", "d5"]
    assert passing("n > 1e30", documents) == ["d2"]
    assert passing(f"n >= {2**63 - 1}", documents) == ["d0", "d1", "d2"]
    assert passing(f"n < -{10**300}", documents) == ["d3"]
    assert passing(f"n = {2**53 + 1}", documents) == ["d4"]
    assert passing(f"n <= {2**53}", documents) == ["d3", "d5"]


def test_nan_counts_as_missing() -> None:
    assert passing("n is null", [{"n": math.nan}, {"n": [math.nan, 1.0]}, {"n": math.inf}]) == ["d0"]
    assert passing("n != 5", [{"n": math.nan}, {"n": [math.nan, 1.0]}, {"n": math.inf}]) == ["d1", "d2"]


def test_long_lists_and_chains() -> None:
    documents: list[dict[str, MetadataValue]] = [{"n": number} for number in range(0, 20_000, 1_999)]
    listed = ", ".join(map(str, range(10_000)))
    assert passing(f"n in ({listed})", documents) == [f"d{number}" for number in range(6)]
    chain = " or ".join(f"n = {number}" for number in range(0, 4_000))
    assert passing(chain, documents) == ["d0", "d1", "d2"]


def test_deepest_nesting_works_on_a_small_stack() -> None:
    results: list[str] = []
    expression = "not (" * 32 + "a = 1" + ")" * 32

    def evaluate() -> None:
        parsed = parse_filter(expression)
        results.append(str(parsed))
        results.append(str(parsed.matches({"a": 1})))

    former = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=evaluate)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(former)
    assert results == ["not " * 32 + "a = 1", "True"]


NAMES = st.one_of(
    st.sampled_from(["a", "b", "id", "title", "a.b", "doc-type", "in", "Not", "año", "a b", "`", "", "1"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=3),
)
PIECES = st.text(st.one_of(st.sampled_from("abAB\"'\\\n\0 éÉ日"), st.characters(codec="utf-8")), max_size=3)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-3, 3).map(float),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70, -0.0]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**80), 2**80),
)
STRINGS = PIECES.map(lambda text: Element(text, "string"))
BOOLS = st.booleans().map(lambda value: Element(int(value), "bool"))
VALUES = st.one_of(STRINGS, BOOLS, NUMBERS.map(lambda number: elements(number)[0]))
ORDERED = st.one_of(STRINGS, NUMBERS.map(lambda number: elements(number)[0]))
BUILT_IN = st.sampled_from(["id", "title"])
COUNTED = st.integers(0, 3).map(lambda number: Element(number, "number"))
COUNTS = st.one_of(
    st.builds(Comparison, st.just("words"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), COUNTED),
    st.builds(
        Membership, st.just("words"), st.lists(COUNTED, min_size=1, max_size=3).map(tuple), st.booleans()
    ),
)


def ranges(names: st.SearchStrategy[str], values: st.SearchStrategy[Element]) -> st.SearchStrategy[Filter]:
    return st.builds(Range, names, values, values, st.booleans()).filter(lambda found: not found.is_empty())


def leaves(names: st.SearchStrategy[str], values: st.SearchStrategy[Element]) -> st.SearchStrategy[Filter]:
    return st.one_of(
        st.builds(Comparison, names, st.sampled_from(["=", "!="]), values),
        st.builds(Membership, names, st.lists(values, min_size=1, max_size=3).map(tuple), st.booleans()),
        st.builds(Contains, names, PIECES, st.sampled_from(["contains", "starts with", "ends with"])),
        st.builds(WordCount, names, COUNTS),
        st.builds(IsNull, names, st.booleans()),
    )


OTHER_NAMES = NAMES.filter(lambda name: name not in ("id", "title", ""))
FILTERS = st.recursive(
    st.one_of(
        leaves(OTHER_NAMES, VALUES),
        leaves(BUILT_IN, STRINGS),
        st.builds(Comparison, OTHER_NAMES, st.sampled_from(["<", "<=", ">", ">="]), ORDERED),
        st.builds(Comparison, BUILT_IN, st.sampled_from(["<", "<=", ">", ">="]), STRINGS),
        ranges(OTHER_NAMES, ORDERED),
        ranges(BUILT_IN, STRINGS),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
SCALARS = st.one_of(PIECES, NUMBERS, st.booleans(), st.floats(), st.just(10**400))
DOCUMENTS = st.lists(
    st.builds(
        lambda id_, title, metadata: {**metadata, "id": id_, "title": title},
        PIECES,
        PIECES,
        st.dictionaries(
            OTHER_NAMES, st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3)), max_size=4
        ),
    ),
    max_size=6,
)


DATES = st.one_of(
    st.sampled_from(
        [
            "2024",
            "2024-03",
            "2024-03-01",
            "2024-03-02",
            "2024-02-29",
            "0001-01-01",
            "9999-12-31",
            "2024-3",
            "",
        ]
    ),
    st.datetimes(datetime(2024, 2, 28), datetime(2024, 3, 3)).map(datetime.isoformat),
    st.builds(
        "{}{}".format,
        st.sampled_from(
            ["2024-02-29T23:30:00", "2024-03-01T00:00", "2024-03-01 24:00:00", "9999-12-31T23:59:59.5"]
        ),
        st.sampled_from(["", "Z", "+01:00", "-0030", "+14"]),
    ),
    st.text("2024-01:3TZ+", max_size=6),
)
DATED = DATES.map(lambda text: Element(text, "string"))
DATED_NAMES = st.sampled_from(["when", "when", "when", "id"])
DATED_FILTERS = st.one_of(
    leaves(DATED_NAMES, DATED),
    ranges(DATED_NAMES, DATED),
    st.builds(Comparison, DATED_NAMES, st.sampled_from(["<", "<=", ">", ">="]), DATED),
    st.builds(Membership, DATED_NAMES, st.lists(DATED, min_size=17, max_size=20).map(tuple), st.booleans()),
)
DATED_DOCUMENTS = st.lists(
    st.builds(
        lambda id_, when: {"id": id_, "title": "", "when": when},
        DATES,
        st.one_of(DATES, st.lists(DATES, max_size=2)),
    ),
    max_size=8,
)
PLAIN = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(FILTERS, DOCUMENTS)
@example(Contains("a", "\0B"), [{"id": "", "title": "", "a": "A\0b"}])
@example(Contains("a", "É"), [{"id": "", "title": "", "a": "é"}])
@example(Contains("a", "\0B", "ends with"), [{"id": "", "title": "", "a": "A\0b"}])
@example(Contains("a", "A\0", "starts with"), [{"id": "", "title": "", "a": "a\0b"}])
def test_mask_equals_matches(parsed: Filter, documents: list[dict[str, MetadataValue]]) -> None:
    mask = parsed.mask(Table(documents), len(documents))
    assert mask.tolist() == [parsed.matches(fields) for fields in documents]


@settings(max_examples=400, deadline=None)
@given(DATED_FILTERS, DATED_DOCUMENTS)
def test_mask_of_moments_equals_matches_in_both_forms(
    parsed: Filter, documents: list[dict[str, MetadataValue]]
) -> None:
    for form in (0, 1):
        mask = parsed.mask(Table(documents, form), len(documents))
        assert mask.tolist() == [parsed.matches(fields) for fields in documents]


def test_a_value_passes_as_a_plain_evaluation_says() -> None:
    """The whole language on single values, against Python's own operators."""
    values: list[MetadataValue] = [
        1,
        1.5,
        2**64,
        -3,
        "b",
        "B",
        True,
        False,
        "2024-03-01",
        "2024-03-01T10:00:00+02:00",
        None,
    ]
    for sign, function in PLAIN.items():
        for constant in (1, 1.5, 2**64, "b", "2024-03-01T08:00:00Z"):
            expected = []
            for value in values:
                first, second = plain(value), plain(constant)
                if isinstance(first, str) and isinstance(constant, str):
                    second = constant
                alike = type(first) is type(second)
                if value is None or (not alike and sign != "!="):
                    expected.append(False)
                else:
                    expected.append(True if not alike else bool(function(first, second)))
            written = f'"{constant}"' if isinstance(constant, str) else str(constant)
            found = passing(f"v {sign} {written}", [{"v": value} for value in values])
            assert found == [f"d{number}" for number, kept in enumerate(expected) if kept], (sign, constant)


def plain(value: MetadataValue) -> Any:
    """A value in a type of its own for each kind."""
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Fraction(value)


@settings(max_examples=400, deadline=None)
@given(FILTERS)
def test_written_filter_parses_to_itself(parsed: Filter) -> None:
    assert parse_filter(str(parsed)) == parsed


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from(
                [
                    "a",
                    "=",
                    "<",
                    "(",
                    ")",
                    ",",
                    "in",
                    "not",
                    "and",
                    "or",
                    "is",
                    "null",
                    "1",
                    "'x'",
                    "`b`",
                    "true",
                    "..",
                    "words",
                    "starts",
                    "with",
                ]
            ),
            max_size=12,
        ).map(" ".join),
    )
)
def test_any_text_parses_or_is_refused_with_its_place(text: str) -> None:
    try:
        parse_filter(text)
    except FilterError as error:
        problem, shown, caret, example_line = str(error).split("\n")
        assert problem.startswith("The filter cannot be read: ")
        assert shown.startswith("  ")
        assert caret.strip() == "^"
        assert example_line.startswith("Example: ")
        parse_filter(example_line.removeprefix("Example: "))


ERRORS = [
    ("", 0, "it is empty"),
    ("   ", 0, "it is empty"),
    ("year >= ", 7, "expected a value"),
    ("year 2015", 5, "expected =, !="),
    ("year = foo", 7, 'put text in quotes: "foo"'),
    ("year = null", 7, "is null"),
    ("date > 2020-01-01", 7, "put text in quotes"),
    ('lang = "en', 7, "no closing"),
    ("`lang = 1", 0, "no closing"),
    ('lang in "en"', 12, "a list of values stands in brackets"),
    ('lang in ("en"', 13, "',' or ')'"),
    ("lang in ()", 9, "expected a value"),
    ("(a = 1", 6, "'and', 'or' or ')'"),
    ("a = 1)", 5, "'and', 'or' or the end"),
    ("a = 1 and", 9, "expected a field name"),
    ("a = 1 & b = 2", 6, "'&' is not part"),
    ("a not contains 'x'", 6, "'in' after 'not'"),
    ("a contains 5", 11, "a string in quotes"),
    ("a is 5", 5, "'null' or 'not null'"),
    ("a is not true", 9, "expected 'null'"),
    ("open < true", 7, "no order"),
    ("id = 5", 5, 'id is always a string; put the value in quotes: "5"'),
    ("title in ('x', true)", 15, "always a string"),
    ("in = 5", 0, "`backquotes`"),
    ('"year" = 5', 0, "`backquotes`"),
    ('a = "\\q"', 5, "unknown escape"),
    ("a = 1e999", 4, "too large"),
    ("a = 1.2.3", 4, "not a number"),
    ('a = "\ud800"', 4, "not valid text"),
    ("not " * 65 + "a = 1", None, "64 deep"),
    ("(" * 65 + "a = 1" + ")" * 65, None, "64 deep"),
    (f"a in ({', '.join(['1'] * 10_001)})", None, "more than 10000 values"),
]


@pytest.mark.parametrize(("expression", "place", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors_point_at_the_place(expression: str, place: int | None, message: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(expression)
    problem, shown, caret, _ = str(raised.value).split("\n")
    assert message in problem
    assert len(shown) <= 110
    if place is not None and len(expression) <= 100:
        assert caret.index("^") == place + 2


def test_caret_stands_under_wide_characters_and_line_breaks() -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter('年 = "日本"\nor x')
    _, shown, caret, _ = str(raised.value).split("\n")
    assert shown == '  年 = "日本" or x'
    assert caret == " " * 18 + "^"


def test_place_in_a_long_expression_is_shown() -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter("a = 1 and " * 50 + "b ! 2" + " and a = 1" * 50)
    _, shown, caret, _ = str(raised.value).split("\n")
    assert shown[caret.index("^")] == "!"
    assert shown.startswith("  … ") and shown.endswith(" …")


MILLION = 1_000_000
LONG = {
    "brackets": "(" * MILLION,
    "negations": "not " * (MILLION // 4),
    "backslashes": 'a = "' + "\\" * MILLION,
    "quotes": '"' * MILLION,
    "blanks": "a " + " " * MILLION + "= 1",
    "digits": "a = " + "1" * MILLION,
    "a fraction": "a = 0." + "1" * MILLION,
    "an exponent": "a = 1e" + "9" * MILLION,
    "digits before a letter": "a = " + "1" * MILLION + "x",
    "dots": "a" + ".a" * (MILLION // 2) + " = 1",
    "more dots": "a" + "." * MILLION,
    "conditions": "a = 1 or " * (MILLION // 9) + "a = 1",
    "values": "a in (" + "1," * (MILLION // 2) + "1)",
    "commas": "a in (" + "," * MILLION,
    "backquotes": "`" + "``" * (MILLION // 2),
    "escapes": 'a = "' + "\\n" * (MILLION // 2) + '"',
    "a fraction of a second": 'a = "2024-03-01T00:00:00.' + "0" * MILLION + '"',
    "signs": "a = " + "+-" * (MILLION // 2),
    "surrogates": "\ud800" * MILLION,
}


@pytest.mark.parametrize("kind", LONG)
def test_a_megabyte_is_read_or_refused_in_linear_time(kind: str) -> None:
    started = time.perf_counter()
    try:
        parse_filter(LONG[kind])
    except FilterError as error:
        assert len(str(error)) < 600
    assert time.perf_counter() - started < 10  # a second on a busy machine; what is quadratic takes hours
