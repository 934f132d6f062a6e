"""JSON Lines and JSON lists: fields, metadata, bad lines, and the real collections."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError, UsageError
from leanseek.reading import ReadReport, read
from leanseek.types import Document

RECORDS = [
    {"_id": "1", "title": "One", "text": "first text"},
    {"_id": "id with spaces 😀", "title": "", "text": "zweiter Text: äöü 猫", "year": 2015},
    {"_id": 3, "text": "third", "metadata": {"url": "http://x", "tags": ["a", "b"], "by": {"name": "Z"}}},
]
DOCUMENTS = [
    Document("1", "first text", "One"),
    Document("id with spaces 😀", "zweiter Text: äöü 猫", "", {"year": 2015}),
    Document("3", "third", "", {"url": "http://x", "tags": ["a", "b"], "by.name": "Z"}),
]
JSON_LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("c.jsonl", JSON_LINES.encode()),
        ("c.ndjson", JSON_LINES.replace("\n", "\r\n\r\n").encode()),
        ("c.jsonl", JSON_LINES.encode("utf-8-sig")),
        ("c.jsonl", JSON_LINES.encode("utf-16")),
        ("c.jsonl", b"\xfe\xff" + JSON_LINES.encode("utf-16-be")),
        ("c.jsonl.gz", gzip.compress(JSON_LINES.encode(), mtime=0)),
        (
            "c.jsonl.gz",
            b"".join(gzip.compress(part.encode(), mtime=0) for part in (JSON_LINES[:100], JSON_LINES[100:])),
        ),
        ("c.jsonl.bz2", bz2.compress(JSON_LINES.encode())),
        ("c.jsonl", gzip.compress(JSON_LINES.encode(), mtime=0)),
        ("c.jsonl.gz", JSON_LINES.encode()),
        ("c.json", json.dumps(RECORDS).encode()),
        ("c.json", json.dumps(RECORDS, indent=2).encode("utf-16")),
        ("c.json", b"\n [\n" + b",\n".join(json.dumps(record).encode() for record in RECORDS) + b"]\n"),
        ("c.json", JSON_LINES.encode()),
        ("c.json.gz", gzip.compress(json.dumps(RECORDS).encode(), mtime=0)),
    ],
)  # fmt: skip
def test_the_same_documents_however_they_are_written(tmp_path: Path, name: str, raw: bytes) -> None:
    report = ReadReport()
    assert list(read(write(tmp_path / name, raw), report=report)) == DOCUMENTS
    assert report == ReadReport(read=3)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for raw in (JSON_LINES.encode(), gzip.compress(JSON_LINES.encode())):
        stdin = io.TextIOWrapper(io.BytesIO(raw))
        monkeypatch.setattr(sys, "stdin", stdin)
        assert list(read("-")) == DOCUMENTS
        assert not stdin.buffer.closed


@pytest.mark.parametrize("id_name", ["_id", "id", "docid", "doc_id", "pid", "ID"])
@pytest.mark.parametrize("text_name", ["text", "contents", "body", "passage", "Content"])
def test_usual_names_are_found(tmp_path: Path, id_name: str, text_name: str) -> None:
    path = write(tmp_path / "c.jsonl", json.dumps({id_name: "7", text_name: "t", "Title": "T", "n": 1}))
    assert list(read(path)) == [Document("7", "t", "T", {"n": 1})]


def test_named_fields_take_precedence_and_the_others_become_metadata(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl", '{"id": 1, "text": "a", "title": "b", "k": "x", "summary": "s", "head": "h"}'
    )
    found = list(read(path, id_field="k", text_field="summary", title_field="head"))
    assert found == [Document("x", "s", "h", {"id": 1, "text": "a", "title": "b"})]


def test_what_metadata_values_become(tmp_path: Path) -> None:
    record = (
        '{"id": "1", "text": "t", "s": "x", "i": -3, "f": 0.5, "b": true, "n": null, "nan": NaN, '
        '"inf": -Infinity, "big": 1e999, "huge": 123456789012345678901234567890, "list": [1, "a", null, 2.5], '
        '"lists": [[1], 2], "objects": [{"a": 1}], "empty": {}, "o": {"p": {"q": 1}, "r": [true]}, '
        '"metadata": {"s": "loses", "m": "wins"}, "a\\ud800": "\\udfff"}'
    )
    (document,) = read(write(tmp_path / "c.jsonl", record))
    assert document.metadata == {
        "s": "x", "i": -3, "f": 0.5, "b": True, "n": None, "nan": None, "inf": None, "big": None,
        "huge": 123456789012345678901234567890, "list": [1, "a", 2.5], "lists": "[[1], 2]",
        "objects": '[{"a": 1}]', "o.p.q": 1, "o.r": [True], "m": "wins", "a\ufffd": "\ufffd",
    }  # fmt: skip


BAD_LINES = [
    ('{"id": "2", "text": "cut', r":2: not JSON: .* at column 21"),
    ("{'id': '2'}", r":2: not JSON"),
    ('{"id": "2", "text": "a"} {"id": "3", "text": "b"}', r":2: more than one JSON value .* column 25"),
    ('["2", "a"]', r":2: a list where .* ending in \.json"),
    ('"2"', r":2: '2' where a JSON object should be"),
    ("null", r":2: None where"),
    ("[" * 100_000, r":2: not usable JSON"),
    ('{"id": "2", "text": ' + "9" * 5000 + "}", r":2: not usable JSON"),
    ('{"id": "2", "text": "a", "x": ' + '{"x":' * 2000 + "1" + "}" * 2001, r":2: "),
    ('{"id": "2", "summary": "a"}', r":2: no text field .*'id', 'summary'.*--text-field.*text_field="),
    ('{"key": "2", "text": "a"}', r":2: no id field .*'key', 'text'.*--id-field.*id_field="),
    ('{"text": "a"}', r":2: no id field"),
    ("{}", r":2: no id field .*no fields at all"),
    ('{"id": null, "text": "a"}', r":2: the id field 'id' is null"),
    ('{"id": true, "text": "a"}', r":2: the id field 'id' holds a truth value"),
    ('{"id": ["2"], "text": "a"}', r":2: the id field 'id' holds a list"),
    ('{"id": "", "text": "a"}', r":2: the id is empty"),
    ('{"id": "a\\tb", "text": "a"}', r":2: the id 'a\\tb' holds a tab"),
    ('{"id": "a\\u2028b", "text": "a"}', r":2: the id .* holds a tab, a line break"),
    ('{"id": "2", "text": {"en": "a"}}', r":2: the field 'text' holds an object"),
    ('{"id": "2", "text": ["a", 1]}', r":2: the field 'text' holds a list"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_told_with_its_place_or_skipped(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "c.jsonl", f'{{"id": "1", "text": "a"}}\n{line}\n{{"id": "3", "text": "c"}}\n')
    with pytest.raises(InputError, match=f"c\\.jsonl{message}"):
        list(read(path))
    report = ReadReport()
    assert [document.id for document in read(path, on_error="skip", report=report)] == ["1", "3"]
    assert (report.read, report.skipped, len(report.messages)) == (2, 1, 1)
    assert "c.jsonl:2: " in report.messages[0]


def test_a_report_counts_all_and_keeps_the_first_messages(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", "bad\n" * 50 + '{"id": 1, "text": "t"}\n{"id": 2, "text": " "}\n')
    report = ReadReport()
    assert len(list(read(path, on_error="skip", report=report))) == 1
    assert (report.read, report.skipped, report.empty) == (1, 50, 1)
    assert len(report.messages) == 10
    assert report.sentence() == "1 document read; 50 skipped: they could not be read; 1 left out: it is empty"


def test_empty_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "text": ""}',
        '{"id": "b", "text": null, "title": " "}',
        '{"id": "c", "title": "T", "text": ""}',
    ]
    report = ReadReport()
    found = list(read(write(tmp_path / "c.jsonl", "\n".join(lines)), report=report))
    assert found == [Document("c", "", "T")]
    assert report.empty == 2
    assert report.messages[0].endswith("c.jsonl:1: the document 'a' is empty and was left out")


def test_other_texts_and_ids(tmp_path: Path) -> None:
    lines = ['{"id": 1.0, "text": ["a", "b"]}', '{"id": 1.5, "text": 7}', '{"id": " x ", "text": "c"}']
    found = list(read(write(tmp_path / "c.jsonl", "\n".join(lines))))
    assert [(document.id, document.text) for document in found] == [("1", "a\nb"), ("1.5", "7"), (" x ", "c")]


def test_invalid_characters_are_replaced_and_counted(tmp_path: Path) -> None:
    raw = (
        b'{"id": "1", "text": "caf\xe9 \xff"}\n{"id": "2", "text": "a\\ud800 \\ud83d\\ude00 \\u0000b"}\n'
        b'{"id": "3", "text": "raw\x00nul"}\n{"id": "4", "text": "sound \\u00e9"}\n'
    )
    report = ReadReport()
    found = list(read(write(tmp_path / "c.jsonl", raw), report=report))
    assert [document.text for document in found] == ["café ÿ", "a\ufffd 😀 b", "rawnul", "sound é"]
    assert (report.repaired, report.guessed, report.read) == (2, 1, 4)


def test_a_document_of_ten_megabytes(tmp_path: Path) -> None:
    text = "word " * 2_000_000
    for name in ("c.jsonl", "c.json"):
        (document,) = read(write(tmp_path / name, json.dumps({"id": "1", "text": text})))
        assert document.text == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1, "text": "a"},\n{"id": 2, "text": }]', r"c\.json:2: not JSON"),
        ('[{"id": 1, "text": "a"},\n', r"not closed"),
        ('[{"id": 1, "text": "a"},\n{"id": 2, "te', r"c\.json:2: not JSON"),
        ('[{"id": 1, "text": "a"},\n 5]', r"c\.json:2: 5 where a JSON object"),
        ('[{"id": 1, "text": "a"},\n\n{"id": 2}]', r"c\.json:3: no text field"),
    ],
)  # fmt: skip
def test_bad_json_files(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "c.json", text)
    found = []
    with pytest.raises(InputError, match=message):
        found.extend(document.id for document in read(path))
    report = ReadReport()
    assert [document.id for document in read(path, on_error="skip", report=report)] == ["1"]
    assert report.skipped == 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(), max_size=3), max_size=8), st.integers(1, 40))
def test_json_lists_read_in_small_pieces(records: list[dict[str, str]], step: int) -> None:
    from leanseek.reading import jsonlines
    from leanseek.reading.streams import Place

    text = json.dumps(records, indent=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonlines, "_STEP", step)
        pieces = jsonlines._Pieces(iter(text.splitlines(keepends=True)), Place("f"))
        assert pieces.more()
        pieces.position += 1
        found = []
        while pieces.more() and not pieces.text.startswith("]", pieces.position):
            found.append(pieces.value())
    assert found == records


def test_arguments_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source"):
        read()
    path = write(tmp_path / "c.jsonl", JSON_LINES)
    with pytest.raises(UsageError, match="'fail' or 'skip'"):
        read(path, on_error="ignore")  # type: ignore[arg-type]
    for option in ("id_field", "text_field", "title_field"):
        part = option.removesuffix("_field")
        with pytest.raises(
            InputError, match=rf"no field 'nope' \(the --{part}-field given\); the record has '_id'"
        ):
            list(read(path, **{option: "nope"}))  # type: ignore[arg-type]


def test_a_title_field_may_be_absent_from_later_records(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"id": 1, "text": "a", "t": "T"}\n{"id": 2, "text": "b"}')
    assert [document.title for document in read(path, title_field="t")] == ["T", ""]


@pytest.mark.parametrize("name", ["scifact", "cosqa", "trec-dl-2019"])
def test_real_collections_are_read_exactly(collection: Callable[[str], Path], name: str) -> None:
    folder = collection(name)
    report = ReadReport()
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        for row, document in zip(map(json.loads, file), read(folder, report=report), strict=True):
            assert (document.id, document.title, document.text) == (row["_id"], row["title"], row["text"])
    assert report.read > 1000
    assert report == ReadReport(read=report.read)


def test_a_large_collection_takes_little_memory(collection: Callable[[str], Path]) -> None:
    documents = read(collection("big"))
    next(documents)
    tracemalloc.start()
    try:
        assert sum(1 for _ in zip(range(30_000), documents, strict=False)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
