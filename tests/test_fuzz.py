"""Damaged files of every format, values of every type, any query and filter: an answer or one clear error, at once."""

from __future__ import annotations

import datetime
import decimal
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_samples import SAMPLES, damaged, mutated, parquet
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import ExitCode, InputError, LeanseekError
from leanseek.indexing import Snapshot
from leanseek.reading import read, read_qrels, read_queries, read_run

SECONDS = 5.0
"""Of processor time for one input; they take some hundredths, and what hangs takes for ever."""
FILES = 8
"""Damaged files in one folder."""

RUNNER = CliRunner()
DOCUMENTED = {code for code in ExitCode if code not in (ExitCode.FAILURE, ExitCode.INTERRUPTED)}
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
MANY = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
    database=None,
)
"""Examples of `FILES` or more inputs each: with those of the other tests more than 10,000."""
SEEDS = st.integers(0, 2**64)


def command(*arguments: object) -> str:
    """Run a command; it ends soon and in a documented way. Returns what it prints on standard output."""
    started = time.process_time()
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    seconds = time.process_time() - started
    said = f"{arguments}: {result.stderr[-2000:]}"
    assert result.exception is None or isinstance(result.exception, SystemExit), said
    assert result.exit_code in DOCUMENTED, said
    assert "Traceback" not in result.stderr, said
    assert result.exit_code == ExitCode.OK or result.stderr.strip(), said
    assert seconds < SECONDS, f"{seconds:.1f} s for {said}"
    return result.stdout


def stored(path: Path) -> dict[str, tuple[int, str, str, Any]]:
    """Id to number of passages, title, text (of the last passage) and metadata of what an index holds."""
    snapshot = Snapshot.open(path)
    try:
        return {
            passage.id: (passage.parts, passage.title, passage.text, dict(passage.metadata))
            for segment in snapshot.segments
            for passage in segment.passages.get(segment.live)
        }
    finally:
        snapshot.close()


def damaged_files(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder.mkdir()
    for number in range(FILES):
        suffix = chance.choice(sorted(SAMPLES))
        (folder / f"{number}{suffix}").write_bytes(mutated(suffix, chance))


def check_files(folder: Path, seed: int) -> None:
    """A folder of damaged files, and one of them alone, are indexed as they are read, or refused."""
    source = folder / "files"
    damaged_files(source, seed)
    for number, (path, on_error) in enumerate([(source, "skip"), (min(source.iterdir()), "fail")]):
        index = folder / f"index{number}"
        options = ("--dense", "none", "--on-error", on_error, "--on-duplicate", "replace", "--json")
        command("index", path, "--into", index, *options)
        if (index / "catalog.sqlite").exists():
            documents = {document.id: document for document in read(path, on_error="skip")}
            found = stored(index)
            assert found.keys() == documents.keys()
            for id, (parts, title, text, metadata) in found.items():
                document = documents[id]
                assert (title, metadata) == (document.title, document.metadata)
                assert text == document.text if parts == 1 else text in document.text


def check_queries(folder: Path, seed: int, index: Path) -> None:
    """Damaged queries, judgments and runs are read or refused; the queries are answered."""
    chance = random.Random(seed)
    name, content = chance.choice(QUERY_FILES)
    queries = folder / name
    queries.write_bytes(damaged(content, chance))
    command("run", index, queries, "--out", folder / "out.trec", "-k", 3)
    for reader, contents in ((read_queries, QUERY_FILES), (read_qrels, JUDGMENTS), (read_run, RUNS)):
        for number, (other, content) in enumerate(contents):
            file = folder / f"{number}{other}"
            file.write_bytes(damaged(content, chance))
            started = time.process_time()
            try:
                reader(str(file))
            except InputError as error:
                assert str(error)
            assert time.process_time() - started < SECONDS


TOPICS = "<top>\n<num> Number: 301\n<title> Pump ice\n<desc> Description:\nWhy?\n</top>\n" * 2
QUERY_FILES = [
    ("q.jsonl", b'{"_id": "1", "text": "pump", "metadata": {}}\n{"_id": "2", "text": "door"}\n'),
    ("q.tsv", b"1\tpump freezes\n2\tdoor\n"),
    ("q.txt", "pump freezes\nTür\n".encode()),
    ("topics.txt", TOPICS.encode()),
    ("web.xml", b'<webtrack2030><topic number="1" type="faceted"><query>pump</query></topic></webtrack2030>'),
    (
        "indri.xml",
        b"<parameters><query><number>1</number><text>#combine(pump door)</text></query></parameters>",
    ),
]
JUDGMENTS = [("q.trec", b"1 0 a 2\n1 0 b 0\n2 0 c -1\n"), ("q.tsv", b"query-id\tcorpus-id\tscore\n1\ta\t1\n")]
RUNS = [("r.trec", b"1 Q0 a 1 2.5 tag\n1 Q0 b 2 1.5 tag\n"), ("r.tsv", b"1\ta\t1\n1\tb\t2\n")]

WORDS = (
    "pump", "freezes", "-", "+", '"', "NOT", "AND", "OR", "(", ")", "C++", "*", "\\", "\0", "é", "水泵", "\u200b", " ",
    "-5", "--k", "~",
)  # fmt: skip
QUERIES = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
FIELDS = ("year", "ok", "when", "tags", "mixed", "none", "huge", "id", "title", "nothing")
VALUES_WRITTEN = (
    "2019", "1.5", '"a"', "true", '"2024-03-01"', '"2024"', '"2024-03-01T12:00:00+01:00"', "18446744073709551615",
)  # fmt: skip
FIELD, VALUE = st.sampled_from(FIELDS), st.sampled_from(VALUES_WRITTEN)
PIECES = st.one_of(
    st.sampled_from((*FIELDS, *VALUES_WRITTEN)),
    st.sampled_from(
        ("`a b`", "`", "=", "==", "!=", "<", ">=", "and", "or", "not", "in", "is", "null", "contains")
    ),
    st.sampled_from(("(", ")", ",", "1e999", "'x", '"\\q"', "9" * 400, "\0", "\ud800", "é", "x" * 1000)),
    st.text(max_size=4),
)
CONDITIONS = st.one_of(
    st.builds("{} {} {}".format, FIELD, st.sampled_from("= != < <= > >= contains".split()), VALUE),
    st.builds("{} {} ({}, {})".format, FIELD, st.sampled_from(("in", "not in")), VALUE, VALUE),
    st.builds("{} {}".format, FIELD, st.sampled_from(("is null", "is not null"))),
)
FILTERS = st.one_of(
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(CONDITIONS, min_size=1, max_size=4).map(" and not ".join),
    st.lists(CONDITIONS, min_size=1, max_size=4).map(" or ".join),
)
MIXED: list[dict[str, Any]] = [
    {
        "year": 2019,
        "ok": True,
        "when": "2024-03-01T12:00:00+01:00",
        "tags": ["a", "b"],
        "mixed": 1,
        "huge": 2**64 - 1,
    },
    {"year": 1.5, "ok": False, "when": datetime.date(2024, 3, 2), "tags": (), "mixed": "a", "none": None},
    {"mixed": [True, "2024-03-01", 2], "a b": decimal.Decimal("0.1"), "year": np.int64(3)},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "i"
    documents = [Document(f"d{number}", "The pump freezes", "Pump", row) for number, row in enumerate(MIXED)]
    Index.create(path, encoder=None).add(documents)
    return path


def check_search(index: Path, query: str, condition: str) -> None:
    """Any query and filter is answered, or refused with exit code 2 or 3; the answers meet the filter."""
    from leanseek.filters import parse_filter

    printed = command("search", index, "--json", f"--filter={condition}", "--", query)
    hits = [json.loads(line) for line in printed.splitlines()]
    for hit in hits:
        assert parse_filter(condition).matches({**hit["metadata"], "id": hit["id"], "title": hit["title"]})


class Stranger:
    pass


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
        st.complex_numbers(),
        st.decimals(), st.fractions(), st.dates(), st.datetimes(timezones=st.none() | st.timezones()), st.times(),
        st.timedeltas(), st.uuids(), st.ip_addresses(), st.sampled_from(ExitCode), st.builds(Stranger),
        st.just(Stranger), st.builds(range, st.integers(0, 9)),
        st.builds(np.float32, st.floats(width=32)),
        st.builds(np.datetime64, st.sampled_from(["NaT", "2024-03", "2024-03-01T01"])),
        st.lists(st.floats(), max_size=40).map(np.array), st.builds(Path, st.just("a/b")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.tuples()), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


def check_metadata(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Metadata of any type are stored and read back as JSON has them, or refused with document and field."""
    path = folder / "i"
    index = Index.create(path, encoder=None)
    kept = {}
    for number, row in enumerate(rows):
        try:
            index.add([Document(f"d{number}", "pump", metadata=row)])
            kept[f"d{number}"] = row
        except InputError as error:
            assert f"('d{number}'): the field" in str(error)
    found = stored(path)
    assert found.keys() == kept.keys()
    for *_, metadata in found.values():
        assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    with Searcher.open(path) as searcher:
        for field in searcher.fields:
            name = "`" + field.replace("`", "``") + "`"
            if field and field not in ("id", "title"):
                total = searcher.search("pump", 100, filter=f"{name} is null or {name} is not null")
                assert len(total) == len(kept)


@FEW
@given(SEEDS)
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_files(tmp_path_factory.mktemp("fuzz"), seed)


@FEW
@given(SEEDS)
def test_damaged_queries_and_judgments(
    tmp_path_factory: pytest.TempPathFactory, index: Path, seed: int
) -> None:
    check_queries(tmp_path_factory.mktemp("fuzz"), seed, index)


@settings(FEW, max_examples=30)
@given(QUERIES, FILTERS)
def test_any_query_and_filter(index: Path, query: str, condition: str) -> None:
    check_search(index, query, condition)


@FEW
@given(st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=4))
def test_any_metadata(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    check_metadata(tmp_path_factory.mktemp("fuzz"), rows)


def test_damaged_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    content, chance = parquet(), random.Random(0)
    for number in range(20):
        file = tmp_path / f"{number}.parquet"
        file.write_bytes(damaged(content, chance))
        try:
            list(read(file))
        except LeanseekError as error:
            assert str(error)


@pytest.mark.slow
@MANY
@given(SEEDS)
def test_many_damaged_files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_files(tmp_path_factory.mktemp("fuzz"), seed)


@pytest.mark.slow
@MANY
@given(SEEDS)
def test_many_damaged_queries_and_judgments(
    tmp_path_factory: pytest.TempPathFactory, index: Path, seed: int
) -> None:
    check_queries(tmp_path_factory.mktemp("fuzz"), seed, index)


@pytest.mark.slow
@settings(MANY, max_examples=600)
@given(QUERIES, FILTERS)
def test_many_queries_and_filters(index: Path, query: str, condition: str) -> None:
    check_search(index, query, condition)


@pytest.mark.slow
@settings(MANY, max_examples=250)
@given(st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=4))
def test_much_metadata(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    check_metadata(tmp_path_factory.mktemp("fuzz"), rows)
