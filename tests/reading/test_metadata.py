"""What values of every type become as metadata, in an index and read back."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import http
import ipaddress
import math
import pathlib
import types
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek import Document, Index, Searcher
from leanseek.errors import InputError
from leanseek.reading import ReadReport, read
from leanseek.reading.metadata import EMBEDDING, MetadataBuilder, MetadataError


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Colour(enum.Enum):
    RED = "red"
    PAIR = ("a", 2)


class Level(enum.StrEnum):
    TOP = "top"


class Bits(enum.IntFlag):
    READ = 1
    WRITE = 4


class Number(int):
    """A number that says something else of itself."""

    def __repr__(self) -> str:
        return "N"

    __str__ = __repr__


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Place:
    name: str
    at: Point


class Indexable:
    def __index__(self) -> int:
        return 7


BERLIN = datetime.timezone(datetime.timedelta(hours=1))
KINDS: list[tuple[Any, Any]] = [
    (Priority.HIGH, 3), (http.HTTPStatus.NOT_FOUND, 404), (Bits.READ | Bits.WRITE, 5), (Number(12), 12),
    (Colour.RED, "red"), (Colour.PAIR, ["a", 2]), (Level.TOP, "top"), (Indexable(), 7), (True, True),
    (2**64 - 1, 2**64 - 1), (-(2**63), -(2**63)), (2**100, 2**100), (-(2**100), -(2**100)),
    (np.int64(2019), 2019), (np.uint64(2**64 - 1), 2**64 - 1), (np.int8(-3), -3), (np.float32(1.5), 1.5),
    (np.float64(0.1), 0.1), (np.float16(0.5), 0.5), (np.longdouble(2.5), 2.5), (np.bool_(True), True),
    (np.str_("a"), "a"), (np.bytes_(b"a"), "a"), (np.float64("nan"), None), (np.float32("nan"), None),
    (np.array(5), 5), (np.array([1, 2]), [1, 2]), (np.array(["a", "b"]), ["a", "b"]), (np.array([True]), [True]),
    (np.array([1.0, math.nan]), [1.0]), (np.array([[1, 2]]), "[[1, 2]]"), (np.ma.masked, None),
    (np.ma.masked_array([1, 2], [True, False]), [2]),
    (np.datetime64("2024-03-01"), "2024-03-01"),
    (np.datetime64("2024-03-01T12:00:00.500000000"), "2024-03-01T12:00:00.5"),
    (np.datetime64("2024-03-01T12:00:00.000000001"), "2024-03-01T12:00:00.000000001"),
    (np.datetime64("NaT"), None), (np.timedelta64(1500, "ms"), 1.5), (np.timedelta64("NaT"), None),
    (decimal.Decimal("1.50"), 1.5), (decimal.Decimal("0.1"), 0.1), (decimal.Decimal("12"), 12),
    (decimal.Decimal(2**64 + 1), 2**64 + 1), (decimal.Decimal("NaN"), None), (decimal.Decimal("sNaN"), None),
    (fractions.Fraction(1, 4), 0.25), (fractions.Fraction(8, 4), 2),
    (math.nan, None), (None, None), ([None, math.nan, 1], [1]),
    (("a", "b"), ["a", "b"]), ([np.int64(4), np.int64(5)], [4, 5]), ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a", 2, None}), [2, "a", "b"]), ({Colour.RED, Priority.LOW}, [1, "red"]), ({(2, 1)}, "[[2, 1]]"),
    (collections.deque("ab"), ["a", "b"]), (range(3), [0, 1, 2]), (array.array("i", [1, 2]), [1, 2]),
    ({"k": 1}.values(), [1]), ({"k": 1}.keys(), ["k"]), (collections.UserString("ab"), "ab"), ((), []), (set(), []),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"), (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    (pathlib.PurePosixPath("a/b.txt"), "a/b.txt"), (b"caf\xc3\xa9", "café"),
    (bytearray(b"a"), "a"), (memoryview(b"a"), "a"),
    (datetime.date(2024, 3, 1), "2024-03-01"), (datetime.time(12, 30), "12:30:00"),
    (datetime.datetime(2024, 3, 1, 12, 30), "2024-03-01T12:30:00"),
    (datetime.datetime(2024, 3, 1, 12, 30, tzinfo=BERLIN), "2024-03-01T11:30:00+00:00"),
    (datetime.datetime(1, 1, 1, tzinfo=BERLIN), "0001-01-01T00:00:00+01:00"),
    (datetime.timedelta(minutes=1), 60.0),
    ([{"a": (1, None)}, [np.float32(0.5)]], '[{"a": [1, null]}, [0.5]]'), ("a\0\ud800", "a\ufffd"),
]  # fmt: skip


def stored(value: object) -> dict[str, Any]:
    builder = MetadataBuilder()
    builder.add("f", value)
    return builder.values


@pytest.mark.parametrize(
    ("value", "expected"),
    KINDS,
    ids=[f"{number}-{type(value).__name__}" for number, (value, _) in enumerate(KINDS)],
)
def test_a_value_is_stored_as_what_it_behaves_as(value: object, expected: object) -> None:
    found = stored(value)["f"]
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(found, list):
        assert [type(item) for item in found] == [type(item) for item in expected]  # type: ignore[attr-defined]


def test_objects_are_flattened() -> None:
    assert stored(Place("here", Point(1, 2.5))) == {"f.name": "here", "f.at.x": 1, "f.at.y": 2.5}
    assert stored(types.MappingProxyType({1: {"b": (1,)}, Level.TOP: None})) == {"f.1.b": [1], "f.top": None}
    assert stored([Point(1, 2.0)]) == {"f": '[{"x": 1, "y": 2.0}]'}


def test_pandas_values() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "year": pandas.array([2019, None], dtype="Int64"),
            "day": pandas.to_datetime(["2024-03-01", None]),
            "zoned": pandas.to_datetime(["2024-03-01T13:00:00.000000001+01:00", None]),
            "name": pandas.array(["a", None], dtype="string"),
            "kind": pandas.Categorical(["x", None]),
            "took": pandas.to_timedelta([1.5, None], unit="s"),
        }
    )
    first, second = (
        {name: stored(value)["f"] for name, value in row.items()} for row in table.to_dict("records")
    )
    assert first == {
        "year": 2019, "day": "2024-03-01T00:00:00", "zoned": "2024-03-01T12:00:00.000000001+00:00",
        "name": "a", "kind": "x", "took": 1.5,
    }  # fmt: skip
    assert set(second.values()) == {None}
    assert stored(pandas.Series([1, 2])) == {"f": [1, 2]}
    assert stored([pandas.NA, pandas.NaT, pandas.Timestamp("2024-03-01")]) == {"f": ["2024-03-01T00:00:00"]}


def test_pydantic_and_arrow_values() -> None:
    pydantic = pytest.importorskip("pydantic")
    arrow = pytest.importorskip("pyarrow")
    model = pydantic.create_model("Model", year=(int, ...), tags=(set[str], ...))
    assert stored(model(year=2019, tags={"b", "a"})) == {"f.year": 2019, "f.tags": ["a", "b"]}
    assert stored(arrow.scalar(5)) == {"f": 5}
    assert stored(arrow.array([1, None])) == {"f": [1]}


class Stranger:
    """An object that stands for nothing, and says so with quotes in its repr."""


def loop() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def doubled() -> list[object]:
    found: list[object] = []
    for _ in range(60):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Stranger(), "holds a Stranger"), (len, "holds a builtin_function_or_method"), (int, "holds the class int"),
        (1j, "holds a complex"), (np.complex64(1), "complex"), ([Stranger()], "holds a Stranger"),
        ({"a": Stranger()}, "holds a Stranger"), (iter([1]), "holds a list_iterator"), (object, "class object"),
        (decimal.Decimal("0.12345678901234567890"), "no floating-point number is"),
        (decimal.Decimal("1e-999"), "decimal"),
        (10**5000, "more than 1,200 digits"), (decimal.Decimal("1e999999"), "decimal"),
        (loop(), "nested too deeply|itself"), (doubled(), "itself"), (range(10**9), "1,000,000,000 values"),
        (np.timedelta64(1, "Y"), "cannot be read"), ({(1, 2): 3}, "name of a field"),
    ],
    ids=lambda value: f"{type(value).__name__}",
)  # fmt: skip
def test_what_is_no_metadata_is_refused_with_document_field_and_type(
    tmp_path: Path, value: object, message: str
) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    good = Document("good", "pump")
    with pytest.raises(
        InputError, match=rf"document 2 of the input \('bad'\): the field 'f\S* .*({message})"
    ):
        index.add([good, Document("bad", "pump", metadata={"f": value})])  # type: ignore[dict-item]
    assert not Searcher.open(index.path).search("pump")


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, np.float32("inf"), decimal.Decimal("inf"), [1.0, math.inf]]
)
def test_infinite_numbers(tmp_path: Path, value: object) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    with pytest.raises(InputError, match=r"\('d'\): the field 'f' holds an infinite number"):
        index.add([Document("d", "pump", metadata={"f": value})])  # type: ignore[dict-item]


def test_infinite_numbers_of_a_file_are_null_and_named(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(
        '{"id": "1", "text": "t", "f": 1e999}\n{"id": "2", "text": "t", "f": -1e999}\n'
    )
    report = ReadReport()
    assert [document.metadata for document in read(tmp_path / "c.jsonl", report=report)] == [{"f": None}] * 2
    assert len(report.messages) == 1 and ":1: the field 'f' holds an infinite number" in report.messages[0]


VECTOR = [number / 7 for number in range(EMBEDDING)]


@pytest.mark.parametrize(
    "value",
    [VECTOR, tuple(VECTOR), np.array(VECTOR), np.array(VECTOR, np.float32), list(np.array(VECTOR, np.float32)),
     [VECTOR, VECTOR], np.array([VECTOR]), np.zeros((40, 40), np.int8), np.zeros(10**8, np.float16), [0, *VECTOR]],
    ids=range(10),
)  # fmt: skip
def test_vectors_are_left_out_and_named(tmp_path: Path, value: object) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    report = index.add([Document("d", "pump", metadata={"year": 1, "e": {"v": value}})])  # type: ignore[dict-item]
    assert list(report.left_out) == ["e.v"] and "left out" in report.left_out["e.v"]
    assert Searcher.open(index.path).search("pump")[0].metadata == {"year": 1}


@pytest.mark.parametrize("value", [VECTOR[:-1], list(range(500)), ["a"] * 500, [*VECTOR, "a"]], ids=range(4))
def test_other_lists_stay(value: list[Any]) -> None:
    assert stored(value) == {"f": value}


def test_vectors_of_a_file_are_left_out_and_named_once(tmp_path: Path) -> None:
    lines = [f'{{"id": "{number}", "text": "t", "embedding": {VECTOR}, "year": 1}}' for number in range(3)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    report = ReadReport()
    assert [document.metadata for document in read(tmp_path / "c.jsonl", report=report)] == [{"year": 1}] * 3
    assert len(report.messages) == 1 and "the field 'embedding' holds arrays" in report.messages[0]


def test_metadata_of_a_text_file_are_stored_by_the_same_rule(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"From: A <a@exam\0ple.org>\nSubject: Pump\n\nIt freezes.\n")
    (document,) = read(tmp_path / "a.eml")
    assert document.metadata["from"] == "A <a@example.org>"


def test_a_mail_with_an_impossible_zone_has_no_date(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text(
        f"Date: Fri, 1 Mar 2024 12:00:00 +{'9' * 400}\nSubject: Pump\n\nIt freezes.\n"
    )
    (document,) = read(tmp_path / "a.eml")
    assert "date" not in document.metadata and document.text == "It freezes."


def test_a_member_of_an_integer_enumeration_is_its_number(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    index.add([Document("t1", "Pump leaks oil.", metadata={"priority": Priority.HIGH})])
    with Searcher.open(index.path) as searcher:
        assert [hit.metadata for hit in searcher.search("pump", filter="priority >= 3")] == [{"priority": 3}]
        assert not searcher.search("pump", filter="priority > 3")


NOTHING: Any = None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document(5, "t"), r"document 1 of the input has the id 5 \(int\); an id is a string"),  # type: ignore[arg-type]
        (Document(None, "t"), r"the id None \(NoneType\)"),  # type: ignore[arg-type]
        (Document(b"x", "t"), r"\(bytes\)"),  # type: ignore[arg-type]
        (
            Document("x", NOTHING),
            r"document 1 of the input \('x'\) has the text None \(NoneType\); a text is",
        ),
        (Document("x", 5), r"\('x'\) has the text 5 \(int\)"),  # type: ignore[arg-type]
        (Document("x", "t", 5), r"\('x'\) has the title 5 \(int\)"),  # type: ignore[arg-type]
        (Document("x", "t", metadata=[1]), r"\('x'\) has metadata of the type list"),  # type: ignore[arg-type]
        ("x", r"document 1 of the input is a str; give leanseek.Document objects"),
        ({"id": "x"}, r"document 1 of the input is a dict"),
    ],
)
def test_documents_of_wrong_types(tmp_path: Path, document: Any, message: str) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    with pytest.raises(InputError, match=message):
        index.add([document])


def test_absent_titles_and_metadata(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    index.add([Document("x", "pump", title=None, metadata=None), Document(np.str_("y"), np.str_("pump"))])  # type: ignore[arg-type]
    hits = Searcher.open(index.path).search("pump")
    assert [(hit.id, hit.title, hit.metadata) for hit in hits] == [("x", "", {}), ("y", "", {})]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_infinity=False, allow_nan=False),
)
NUMPY = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(np.float32),
    st.booleans().map(np.bool_),
)
VALUES = st.one_of(
    st.none(), SCALARS, NUMPY, st.lists(SCALARS, max_size=4), st.lists(SCALARS, max_size=4).map(tuple),
    st.lists(NUMPY, max_size=4),
    st.datetimes(), st.dates(), st.times(), st.uuids(), st.fractions(max_denominator=8), st.sampled_from(Priority),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
    st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1), timezones=st.timezones()),
)  # fmt: skip


def same(value: Any, found: Any) -> bool:
    """Whether what was read back is what was written, by the value's own equality."""
    if isinstance(value, (list, tuple)):
        return isinstance(found, list) and len(value) == len(found) and all(map(same, value, found))
    if isinstance(value, datetime.datetime):
        # Times that a zone leaves out or has twice equal none of another zone.
        moment = value if value.tzinfo is None else value.astimezone(datetime.UTC)
        return datetime.datetime.fromisoformat(found) == moment
    if isinstance(value, (datetime.date, datetime.time)):
        return type(value).fromisoformat(found) == value
    if isinstance(value, uuid.UUID):
        return uuid.UUID(found) == value
    if isinstance(value, fractions.Fraction):
        return bool(found == float(value))
    if isinstance(value, decimal.Decimal):
        return decimal.Decimal(repr(found)) == value
    return bool(value == found) and isinstance(found, bool) == isinstance(value, (bool, np.bool_))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c.d", "é f"]), VALUES, max_size=3), min_size=1, max_size=5
    )
)
def test_what_is_read_back_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Mapping[str, Any]]
) -> None:
    index = Index.create(tmp_path_factory.mktemp("index") / "i", encoder=None)
    index.add([Document(str(number), "pump", metadata=row) for number, row in enumerate(rows)])
    with Searcher.open(index.path) as searcher:
        found = {hit.id: hit.metadata for hit in searcher.search("pump", 100)}
    for number, row in enumerate(rows):
        back = found[str(number)]
        assert back.keys() == row.keys()
        assert all(same(value, back[name]) for name, value in row.items())


def test_errors_of_values_are_errors_of_the_input() -> None:
    class Broken:
        def tolist(self) -> object:
            raise ValueError("gone")

    with pytest.raises(MetadataError, match="holds a Broken that cannot be read: gone"):
        stored(Broken())
