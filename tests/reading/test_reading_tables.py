"""CSV, TSV and Parquet: headers, MS MARCO's layouts, numbers in cells, and bad rows."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import io
import json
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.reading import ReadReport, read
from leanseek.reading.metadata import cell_value
from leanseek.types import Document


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(["docid", "Title", "text", "year", "zip"])
    writer.writerow(["1", "One", 'several\nlines, "quoted"; and | marks\t!', "2015", "00700"])
    writer.writerow(["2 😀", "", "zwei äöü", "", "1.5"])
    path = write(tmp_path / "c.csv", file.getvalue().encode(encoding))
    assert list(read(path)) == [
        Document("1", 'several\nlines, "quoted"; and | marks\t!', "One", {"year": 2015, "zip": "00700"}),
        Document("2 😀", "zwei äöü", "", {"year": None, "zip": 1.5}),
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), min_size=1, max_size=5
    )
)
def test_any_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "c.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "title"])
        writer.writerows([number, text, "t"] for number, text in enumerate(texts))
    assert [document.text for document in read(path)] == texts


def test_a_cell_larger_than_the_csv_module_allows_by_default(tmp_path: Path) -> None:
    text = "word " * 2_000_000
    (document,) = read(write(tmp_path / "c.csv", f"id,text\n1,{text}\n"))
    assert document.text == text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("id,text\n1,a\n2,b,c\n3,d\n", r"c\.csv:3: 3 cells where 2 are expected \(id, text\)"),
        ('id,text\n1,a\n2,"b"c\n3,d\n', r"c\.csv:3: not CSV"),
        ("id,text\n1,a\n,b\n3,d\n", r"c\.csv:3: the id is empty"),
        ('id,text\n1,"a\nb\nc"\n2\n3,d', r"c\.csv:5: 1 cells where 2"),
    ],
)
def test_bad_rows_of_csv(tmp_path: Path, raw: str, message: str) -> None:
    path = write(tmp_path / "c.csv", raw)
    with pytest.raises(InputError, match=message):
        list(read(path))
    report = ReadReport()
    assert [document.id for document in read(path, on_error="skip", report=report)] == ["1", "3"]
    assert report.skipped == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("1,some text\n2,more\n", r"c\.csv:2: no id field .*'1', 'some text'"),
        ("id,text,id\n1,a,2\n", r"c\.csv:1: the header names the field 'id' twice"),
        ('id,"text\n1,a\n', r"c\.csv:1: the header is not CSV: a quote is opened .* not closed"),
        ('id,text\n1,"a\n2,b\n', r"c\.csv:2: not CSV: a quote is opened .* not closed: unexpected end"),
    ],
)
def test_bad_csv_files(tmp_path: Path, raw: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read(write(tmp_path / "c.csv", raw)))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None), ("12", 12), ("-3", -3), ("0", 0), ("-0", 0), ("0.50", 0.5), ("-1.5e3", -1500.0),
        ("1e-05", 1e-05), ("007", "007"), ("+1", "+1"), ("1,000", "1,000"), ("12e4", "12e4"), ("1.", "1."),
        (".5", ".5"), ("inf", "inf"), ("nan", "nan"), ("1e+999", "1e+999"), ("0x10", "0x10"), ("1_0", "1_0"),
        (" 1", " 1"), ("٣", "٣"), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", 2**63),
        ("18446744073709551615", 2**64 - 1), ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("9" * 6000, "9" * 6000), ("true", True), ("True", True), ("TRUE", True), ("false", False),
        ("False", False), ("FALSE", False), ("tRue", "tRue"), ("yes", "yes"),
    ],
)  # fmt: skip
def test_numbers_in_cells(cell: str, value: object) -> None:
    found = cell_value(cell)
    assert found == value and type(found) is type(value)


@given(st.text())
def test_a_cell_that_became_a_number_is_its_own_spelling(cell: str) -> None:
    value = cell_value(cell)
    if isinstance(value, bool):
        assert cell.lower() == str(value).lower()
    elif isinstance(value, (int, float)):
        assert math.isfinite(value) and float(cell) == value


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_written_numbers_are_read_back(whole: int, real: float) -> None:
    assert cell_value(str(whole)) == whole
    if "e" not in repr(real) or "e-" in repr(real) or "e+" in repr(real):
        assert cell_value(repr(real)) == real


def test_ms_marco_passages(tmp_path: Path) -> None:
    raw = '0\tThe presence of "communication\n1\t"Unbalanced quote, 100% raw\n\n2\tdocument text\r\n'
    expected = [
        Document("0", 'The presence of "communication'),
        Document("1", '"Unbalanced quote, 100% raw'),
        Document("2", "document text"),
    ]
    assert list(read(write(tmp_path / "collection.tsv", raw))) == expected
    assert list(read(write(tmp_path / "collection.tsv.gz", gzip.compress(raw.encode())))) == expected


def test_ms_marco_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "d.tsv", "D1\thttp://a\tTitle\tbody text\nD2\thttp://b\t\tmore\n")
    assert list(read(path)) == [
        Document("D1", "body text", "Title", {"url": "http://a"}),
        Document("D2", "more", "", {"url": "http://b"}),
    ]


def test_tsv_with_a_header_and_quoted_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.tsv", 'id\ttext\ttitle\tn\n1\t"He said ""no"" to it."\tNo\t7\n2\t"a" or "b"\tT\t\n'
    )
    assert list(read(path)) == [
        Document("1", 'He said "no" to it.', "No", {"n": 7}),
        Document("2", '"a" or "b"', "T", {"n": None}),
    ]
    assert [d.text for d in read(path, text_field="title", title_field="text")] == ["No", "T"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("1\ta\n2\tb\tc\n", r"c\.tsv:2: 3 cells where 2"),
        ("1\ta\tb\n", r"c\.tsv:1: 3 tab-separated columns and no header"),
        ("only text\n", r"c\.tsv:1: 1 tab-separated column and no header"),
        ("1\ta\n\tb\n", r"c\.tsv:2: the id is empty"),
    ],
)
def test_bad_tsv(tmp_path: Path, raw: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read(write(tmp_path / "c.tsv", raw)))


@pytest.mark.parametrize("name", ["c.csv", "c.tsv"])
def test_invalid_bytes_and_nul_in_cells(tmp_path: Path, name: str) -> None:
    report = ReadReport()
    mark = b"," if name == "c.csv" else b"\t"
    raw = (
        mark.join([b"id", b"text"])
        + b"\n"
        + mark.join([b"1", b"caf\xe9"])
        + b"\n"
        + mark.join([b"2", b"a\0b"])
    )
    found = list(read(write(tmp_path / name, raw), report=report))
    assert [document.text for document in found] == ["café", "ab"]
    assert (report.repaired, report.guessed) == (1, 1)


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    table = arrow.table(
        {
            "docid": arrow.array([1, 2]),
            "contents": ["first", "second"],
            "title": ["T", None],
            "day": [datetime.date(2020, 1, 2), None],
            "at": [datetime.datetime(2020, 1, 2, 3, 4), None],
            "price": [decimal.Decimal("1.50"), None],
            "score": [math.nan, 0.5],
            "tags": [["a", "b"], []],
            "nested": [{"x": 1}, {"x": None}],
            "raw": [b"a\xff", None],
            "map": arrow.array([[("k", 1)], None], arrow.map_(arrow.string(), arrow.int64())),
        }
    )
    parquet.write_table(table, tmp_path / "c.parquet")
    first, second = read(tmp_path / "c.parquet")
    assert first == Document(
        "1", "first", "T",
        {
            "day": "2020-01-02", "at": "2020-01-02T03:04:00", "price": 1.5, "score": None, "tags": ["a", "b"],
            "nested.x": 1, "raw": "a\ufffd", "map": '[["k", 1]]',
        },
    )  # fmt: skip
    assert (second.id, second.title, second.metadata["score"], second.metadata["tags"]) == ("2", "", 0.5, [])


def test_parquet_moments_and_numbers(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    winter, summer = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC), datetime.datetime(2024, 7, 1, 12)
    table = arrow.table(
        {
            "id": ["a", "b"],
            "text": ["first", "second"],
            "at": arrow.array(
                [winter, summer.replace(tzinfo=datetime.UTC)], arrow.timestamp("us", "Europe/Berlin")
            ),
            "fine": arrow.array([winter, None], arrow.timestamp("ns", "UTC")),
            "key": arrow.array([2**64 - 1, 1], arrow.uint64()),
            "vector": arrow.array([[0.5] * 64] * 2, arrow.list_(arrow.float32(), 64)),
        }
    )
    parquet.write_table(table, tmp_path / "c.parquet")
    report = ReadReport()
    first, second = read(tmp_path / "c.parquet", report=report)
    assert first.metadata == {
        "at": "2024-01-01T12:00:00+00:00", "fine": "2024-01-01T12:00:00+00:00", "key": 2**64 - 1
    }  # fmt: skip
    assert second.metadata == {"at": "2024-07-01T12:00:00+00:00", "fine": None, "key": 1}
    assert len(report.messages) == 1 and "'vector'" in report.messages[0]

    exact = arrow.array([decimal.Decimal("1.234567890123456789")], arrow.decimal128(38, 18))
    parquet.write_table(arrow.table({"id": ["a"], "text": ["t"], "price": exact}), tmp_path / "d.parquet")
    with pytest.raises(InputError, match=r":1: the field 'price' holds the decimal 1\.234567890123456789"):
        list(read(tmp_path / "d.parquet"))


def test_parquet_with_strings_that_are_not_utf8(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    texts = arrow.array([b"caf\xe9", b"sound"]).view(arrow.string())
    parquet.write_table(arrow.table({"id": ["a", "b"], "text": texts}), tmp_path / "c.parquet")
    report = ReadReport()
    assert [document.text for document in read(tmp_path / "c.parquet", report=report)] == [
        "caf\ufffd",
        "sound",
    ]
    assert report.repaired == 1


def test_bad_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = write(tmp_path / "c.parquet", b"PAR1 no, it is not")
    with pytest.raises(InputError, match=r"c\.parquet: damaged, or not a Parquet file"):
        list(read(path))
    report = ReadReport()
    assert list(read(path, on_error="skip", report=report)) == [] and report.skipped == 1


def test_a_collection_is_the_same_in_every_table_format(
    tmp_path: Path, collection: Callable[[str], Path]
) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    documents = [d for d in islice(read(collection("scifact")), 500) if "\t" not in d.text]
    columns = {name: [getattr(d, name) for d in documents] for name in ("id", "title", "text")}
    parquet.write_table(arrow.table(columns), tmp_path / "c.parquet")
    with (tmp_path / "c.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *zip(*columns.values(), strict=True)])
    with (tmp_path / "c.tsv").open("w", encoding="utf-8", newline="") as file:
        file.writelines("\t".join(row) + "\n" for row in [[*columns], *zip(*columns.values(), strict=True)])
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (tmp_path / "c.json").write_text(json.dumps(rows), encoding="utf-8")
    for name in ("c.parquet", "c.csv", "c.tsv", "c.json"):
        assert [(d.id, d.title, d.text) for d in read(tmp_path / name)] == [
            (d.id, d.title, d.text) for d in documents
        ], name


def csv_documents(path: Path, raw: str) -> tuple[list[str], list[str]]:
    report = ReadReport()
    found = [document.id for document in read(write(path, raw), on_error="skip", report=report)]
    assert len(report.messages) == min(report.skipped, 10)
    return found, [message.split(": ")[0].rpartition(":")[2] for message in report.messages]


@pytest.mark.parametrize(
    ("lost", "others"),
    [
        ('5,"never closed', "plain"),
        ('5,"never closed', '"quoted"'),
        ('5,"closed" badly', '"quoted"'),
        ("5", '"a\nb"'),
    ],
)
def test_a_damaged_row_costs_itself_alone(tmp_path: Path, lost: str, others: str) -> None:
    rows = [f"{number},{others}" for number in range(100)]
    rows[5] = lost
    line = 2 + sum(row.count("\n") + 1 for row in rows[:5])
    found, lines = csv_documents(tmp_path / "c.csv", "id,text\n" + "\n".join(rows))
    assert found == [str(number) for number in range(100) if number != 5]
    assert lines == [str(line)]


def test_rows_after_more_damage_than_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.reading.tables._REREAD", 200)
    raw = "id,text\n" + 'x","\n' * 50 + "1,a\n2,b\n"
    found, lines = csv_documents(tmp_path / "c.csv", raw)
    assert found == ["1", "2"] and lines == [str(number) for number in range(2, 12)]
