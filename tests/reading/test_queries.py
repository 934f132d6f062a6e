"""Queries: every kind of file, its errors with their lines, and the real collections."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leanseek.errors import InputError
from leanseek.reading.queries import read_queries
from leanseek.types import Query

PAIRS = [Query("301", "International Organized Crime"), Query("302", "Poliomyelitis & Post-Polio")]

CLASSIC = """
<top>

<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations < 5 years old.

<narr> Narrative:
A relevant document must name one.
</top>

<top>
<num> Number: 0302
<dom> Domain: Medicine
<title> Topic:
Poliomyelitis &
Post-Polio
<desc> Description:
Is the disease under control?
</top>
"""
UNCLOSED = """<top>
<num> Number: 301
<title> International Organized Crime
<top>
<num> Number: 302
<title> Poliomyelitis & Post-Polio
"""
CLOSED = """<topics>
<top><num>301</num><title>International Organized Crime</title><desc>x</desc></top>
<top><num>302</num><title>
Poliomyelitis &amp; Post-Polio
</title></top></topics>
"""
COVID = """<?xml version="1.0" encoding="UTF-8"?>
<!-- <topic number="9"><query>commented out</query></topic> -->
<topics task="x">
  <topic number="301">
    <query>International Organized Crime</query>
    <question>why?</question>
  </topic>
  <topic number='302'><query><![CDATA[Poliomyelitis & Post-Polio]]></query></topic>
</topics>
"""
BARE = """<topics><topic number="301">International Organized
Crime</topic><topic number="302">Poliomyelitis &amp; Post-Polio</topic></topics>"""


@pytest.mark.parametrize("text", [CLASSIC, UNCLOSED, CLOSED, COVID, BARE])
@pytest.mark.parametrize("name", ["topics.301-302.txt", "topics.xml", "topics"])
def test_trec_topics_in_all_their_dialects(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_queries(tmp_path / name) == PAIRS


def test_topics_of_named_facets_are_joined(tmp_path: Path) -> None:
    text = "<topics><topic number='7'><disease>melanoma</disease><gene>BRAF (V600E)</gene></topic></topics>"
    (tmp_path / "t.xml").write_text(text, encoding="utf-8")
    assert read_queries(tmp_path / "t.xml") == [Query("7", "melanoma BRAF (V600E)")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.jsonl", '{"_id": "301", "text": "International Organized Crime", "metadata": {}}\n\n'
                    '{"_id": "302", "text": "Poliomyelitis & Post-Polio"}'),
        ("q.ndjson", '{"qid": 301, "query": "International Organized Crime"}\r\n'
                     '{"qid": 302, "query": "Poliomyelitis & Post-Polio"}\r\n'),
        ("q", '{"id": 301, "question": "International Organized Crime"}\n'
              '{"id": 302, "question": "Poliomyelitis & Post-Polio"}\n'),
        ("q.tsv", "301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio\n"),
        ("q.tsv", "301\tInternational Organized Crime\r\n\r\n302\tPoliomyelitis & Post-Polio"),
        ("q.txt", "301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio\n"),
        ("q", "301\tInternational Organized Crime\n\n302\tPoliomyelitis & Post-Polio\n"),
        ("q.txt", "301:International Organized Crime\n302:Poliomyelitis & Post-Polio\n"),
        ("q.txt", "301: International Organized Crime\n302: Poliomyelitis & Post-Polio\n"),
        ("q.txt", "301:1:International Organized Crime\n302:1:Poliomyelitis & Post-Polio\n"),
        ("q.tsv", "query_id\tquery_text\n301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio"),
        ("q.txt", "Topic ID\tTopic\n301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio"),
        ("q.txt", "#qid\tquery\n301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio"),
        ("q.txt", "qid\tutterance\n301\tInternational Organized Crime\n302\tPoliomyelitis & Post-Polio"),
        ("q.txt", 'qid,query\n301,"International Organized Crime"\n302,Poliomyelitis & Post-Polio'),
        ("q.csv", '"Query-ID";"Query Text"\n301;"International\nOrganized Crime"\n302;Poliomyelitis & Post-Polio'),
        ("q.csv", ',lang,qid,query\n0,en,301,International Organized Crime\n1,en,302,Poliomyelitis & Post-Polio'),
        ("q.csv", '301,International Organized Crime\n302,"Poliomyelitis & Post-Polio"\n'),
        ("q.tsv", 'id\ttext\n301\t"International Organized Crime"\n302\tPoliomyelitis & Post-Polio\n'),
        ("q.json", '[{"number": 301, "title": "International Organized Crime"},\n\n'
                   ' {"number": 302, "title": "Poliomyelitis & Post-Polio"}]'),
        ("q.json", '{"queries": [{"Query-ID": "301", "query": "International Organized Crime"},'
                   '{"Query-ID": "302", "query": "Poliomyelitis & Post-Polio"}]}'),
        ("q.json", '{\n"301": "International Organized Crime",\n"302": "Poliomyelitis & Post-Polio"}'),
        ("q", '{"301": {"text": "International Organized Crime"}, "302": {"text": "Poliomyelitis & Post-Polio"}}'),
        ("q.tsv", "lang\tquery\tqid\nen\tInternational Organized Crime\t301\nen\tPoliomyelitis & Post-Polio\t302"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_and_tables(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read_queries(tmp_path / name) == PAIRS
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode(encoding)))
    assert read_queries(tmp_path / f"{name}.gz") == PAIRS


def test_one_query_a_line_is_numbered_from_one(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("do statins help?\n\n  a\ttab  \n", encoding="utf-8")
    assert read_queries(tmp_path / "q.txt") == [Query("1", "do statins help?"), Query("2", "a tab")]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("what is it?\nand why", [Query("1", "what is it?"), Query("2", "and why")]),
        ("7\twhat is it?\n", [Query("7", "what is it?")]),
        ('{"_id": "7", "text": "what is it?"}', [Query("7", "what is it?")]),
        ("wt30-1:what is it?", [Query("wt30-1", "what is it?")]),
        ("12:30 train to Leeds", [Query("1", "12:30 train to Leeds")]),
        ("covid-19: what is it?", [Query("1", "covid-19: what is it?")]),
        ("see https://example.org/1:2", [Query("1", "see https://example.org/1:2")]),
        ("version 0 of 1", [Query("1", "version 0 of 1")]),
        ("2012 olympics", [Query("1", "2012 olympics")]),
        ("[sic] what", [Query("1", "[sic] what")]),
        ("3 < 4 > 2", [Query("1", "3 < 4 > 2")]),
        (UNCLOSED, PAIRS),
    ],
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, typed: str, expected: list[Query]) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(typed.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert read_queries("-") == expected
    assert not stdin.buffer.closed


def test_an_empty_query_is_kept(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("1\t\n2\tx\n", encoding="utf-8")
    assert read_queries(tmp_path / "q.tsv") == [Query("1", ""), Query("2", "x")]


def test_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"_id": "1", "text": "a\\ud800b \\ud83d\\ude00"}', encoding="utf-8")
    assert read_queries(tmp_path / "q.jsonl") == [Query("1", "a\ufffdb 😀")]


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("q.jsonl", b'{"_id": "1", "text": "a"}\n{"_id": "2", "text"', r"q\.jsonl:2: not JSON.* column 20"),
        (
            "q.jsonl",
            b'{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}',
            r"q\.jsonl:2: .*'1'.* line 1 too",
        ),
        ("q.jsonl", b'["a"]', r"q\.jsonl:1: not a JSON object"),
        ("q.jsonl", b'{"_id": "1", "txt": "a"}', r"q\.jsonl:1: no text field .*'_id', 'txt'"),
        ("q.jsonl", b'{"_id": null, "text": "a"}', r"q\.jsonl:1: the query id is None"),
        ("q.jsonl", b'{"_id": "1", "text": 5}', r"q\.jsonl:1: the text of query '1' is 5"),
        ("q.tsv", b"1\ta\nonly one\n", r"q\.tsv:2: 1 tab-separated cells where 2 are expected"),
        ("q.tsv", b"1\ta\n\tno id\n", r"q\.tsv:2: the query has no id"),
        (
            "q.xml",
            b"<top>\n<num> 1\n<title> a\n</top>\n<top>\n<title> b\n</top>",
            r"q\.xml:5: the topic has no num",
        ),
        ("q.txt", b"caf\xe9\n", r"q\.txt:1: this is not UTF-8"),
        ("q.txt", b"\n", "no queries in it"),
        ("q.pdf", b"%PDF-1.4", r"not read from \.pdf"),
        ("q.csv", b'id,text\n1,a\n2,"b\n3,c\n', r"q\.csv:\d: not CSV"),
        ("q.csv", b"id,text\n1,a,b\n", r"q\.csv:2: 3 cells where 2 are expected"),
        ("q.json", b'[{"id": 1, "text": "a"},\n{"id": 2, "txt": "b"}]', r"q\.json:2: no text field"),
        ("q.json", b'[{"id": 1, "text": "a"}\n', r"q\.json: ?.*cut off|q\.json:1: .*cut off"),
        ("q.json", b'{"1": "a", "2": 3}', r"q\.json:1: the text of query '2' is 3"),
        ("q.jsonl", b'{"foo": "1", "bar": "a"}', r"q\.jsonl:1: no id field"),
        ("q.json", b'[{"foo": "1", "bar": "a"}]', r"q\.json:1: no id field"),
        ("q.jsonl", b'{"number": 31, "turn": []}', r"q\.jsonl:1: a conversation of turns"),
        ("q.txt", b"1\theart\nlungs\n", r"q\.txt:2: 1 tab-separated cells where 2"),
        ("q.txt", b"heart\n2\tlungs\n3\tliver\n", r"q\.txt:1: 1 tab-separated cells where 2"),
        ("q.txt", b"wt-1:heart\nlungs\nwt-3:liver\n", r"q\.txt:2: no id and colon"),
        ("q.txt", b"heart\n<title> lungs\n", r"q\.txt:2: a line that begins with a tag"),
        ("q.txt", b"301 heart\n302 lungs\n", r"q\.txt:1: every line begins with a number"),
        ("q.txt", b"1. heart\n2. lungs\n", r"q\.txt:1: every line begins with a number"),
        ("q.txt", b"wt09-1 heart\nwt09-2 lungs\n", r"q\.txt:1: every line begins with a number"),
        ("q.txt", b"qid query\n1 heart\n", r"q\.txt:1: this is the header of a table without tabs"),
        ("q.yaml", b"- text: heart\n", r"q\.yaml: \.yaml is not a list of queries"),
        ("q.txt", b"1 Q0 d1 1 2.5 t\n1 Q0 d2 2 1.5 t\n", r"q\.txt:1: these are judgments or a run"),
        (
            "q.tsv",
            b"query-id\tcorpus-id\tscore\n1\td\t1\n",
            r"q\.tsv:1: the header names no column of .* text",
        ),
        ("q.tsv", b"query\ttext\nheart\thearts beat\n", r"q\.tsv:1: the header names no column of .* id"),
        ("q.jsonl.gz", gzip.compress(b'{"_id": "1", "text": "a"}\n' * 9, mtime=0)[:-9], "damaged or cut off"),
    ],
)
def test_errors_name_the_file_and_line(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=message):
        read_queries(tmp_path / name)


def test_paths_that_hold_no_queries(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_queries(tmp_path / "absent.jsonl")
    with pytest.raises(InputError, match=r"no queries\.jsonl"):
        read_queries(tmp_path)


@pytest.mark.parametrize("name", ["scifact", "miracl-yo", "trec-dl-2019", "cranfield"])
def test_real_collections(collection: Callable[[str], Path], name: str) -> None:
    folder = collection(name)
    with (folder / "queries.jsonl").open(encoding="utf-8") as file:
        expected = [(row["_id"], " ".join(row["text"].split())) for row in map(json.loads, file)]
    assert [(query.id, query.text) for query in read_queries(folder)] == expected
