"""Collections in folders: BEIR's, MS MARCO's and TREC's layouts, the real ones, and folders that are none."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from leanseek.errors import InputError, UsageError
from leanseek.eval.collections import check_judgments, list_collections, open_collection, summarize
from leanseek.types import Document, Query

Find = Callable[[str], Path]

JUDGED = {
    "arguana-train": (2988, {"dev": 460, "train": 2528}),
    "big": (356400, {}),
    "cisi": (1460, {"test": 76}),
    "cosqa": (6267, {"test": 500, "dev": 500}),
    "cranfield": (1398, {"test": 225}),
    "medquad": (16350, {"train": 16407}),
    "miracl-yo": (49043, {"dev": 119}),
    "nfcorpus-prep": (3395, {"test": 323, "dev": 324, "train": 2563, "train_full": 2590}),
    "pubmedqa": (1000, {"test": 500, "train": 500}),
    "scifact": (5183, {"test": 300, "train": 809}),
    "selqa": (17905, {"test": 1590, "dev": 785}),
    "squad2-dev": (1216, {"test": 5915, "dev": 2910}),
    "trec-dl-2019": (14581, {"test": 43, "test_full": 43}),
    "trecqa": (7383, {"test": 95, "dev": 81, "train": 93}),
    "vaswani": (11429, {"test": 93}),
    "wikiqa": (28876, {"test": 633, "dev": 296, "train": 2118}),
}


@pytest.mark.parametrize("name", JUDGED)
def test_real_collections_open(collection: Find, name: str) -> None:
    opened = open_collection(collection(name))
    documents, splits = JUDGED[name]
    assert opened.name == name
    assert list(opened.splits) == list(splits)
    assert not opened.self_hits
    for split, judged in splits.items():
        assert len(opened.qrels(split)) == len(opened.queries(split)) == judged
    if name != "big":
        assert summarize(opened).documents == documents
    assert next(iter(opened.documents())).id
    with pytest.raises(
        UsageError, match="no judgments" if name == "big" else f"splits are: {next(iter(splits), '')}"
    ):
        opened.qrels("tset")


def test_real_judgments_are_checked(collection: Find) -> None:
    opened = open_collection(collection("trec-dl-2019"))
    [told] = check_judgments(opened, "test_full")
    ids = {document.id for document in opened.documents()}
    relevant = {
        id for grades in opened.qrels("test_full").values() for id, grade in grades.items() if grade > 0
    }
    assert told.startswith(f"{len(relevant - ids):,} relevant documents of 'trec-dl-2019' (test_full) not")
    assert check_judgments(opened, "test") == []


def beir(folder: Path, pack: Callable[[bytes], bytes] = bytes, suffix: str = "") -> Path:
    """A small BEIR collection, its JSON lines packed."""
    documents = [{"_id": "a", "title": "T", "text": "one"}, {"_id": "b", "title": "", "text": "two"}]
    queries = [
        {"_id": "q2", "text": "second"},
        {"_id": "q1", "text": "first"},
        {"_id": "q0", "text": "unjudged"},
    ]
    (folder / "qrels").mkdir(parents=True)
    for name, records in (("corpus", documents), ("queries", queries)):
        raw = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        (folder / f"{name}.jsonl{suffix}").write_bytes(pack(raw))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t2\n")
    (folder / "qrels" / "odd.split.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tb\t0\n")
    return folder


@pytest.mark.parametrize(
    ("pack", "suffix"),
    [(bytes, ""), (gzip.compress, ".gz"), (bz2.compress, ".bz2")],
    ids=["plain", "gz", "bz2"],
)
def test_beir(tmp_path: Path, pack: Callable[[bytes], bytes], suffix: str) -> None:
    opened = open_collection(str(beir(tmp_path / "mine", pack, suffix)))
    assert opened.name == "mine"
    assert opened.splits == ("test", "odd.split")
    assert list(opened.documents()) == [Document("a", "one", "T"), Document("b", "two")]
    assert opened.queries("test") == [Query("q2", "second"), Query("q1", "first")]
    assert opened.queries("odd.split") == [Query("q1", "first")]
    assert [query.id for query in opened.queries()] == ["q2", "q1", "q0"]
    assert opened.qrels("test") == {"q1": {"a": 1}, "q2": {"b": 2}}


def test_the_checksum_is_of_names_and_bytes(tmp_path: Path) -> None:
    first, second = beir(tmp_path / "x"), beir(tmp_path / "elsewhere" / "y")
    total = hashlib.sha256()
    for name in ("corpus.jsonl", "qrels/odd.split.tsv", "qrels/test.tsv", "queries.jsonl"):
        total.update(f"{name}\0{hashlib.sha256((first / name).read_bytes()).hexdigest()}\n".encode())
    assert open_collection(first).checksum == open_collection(second).checksum == total.hexdigest()
    (second / "README.md").write_text("no part of it")
    assert open_collection(second).checksum == total.hexdigest()
    for name in ("corpus.jsonl", "qrels/test.tsv", "queries.jsonl"):
        before = (second / name).read_bytes()
        (second / name).write_bytes(before + b"\n")
        assert open_collection(second).checksum != total.hexdigest()
        (second / name).write_bytes(before)


def test_odd_judgments_are_told_not_refused(tmp_path: Path) -> None:
    folder = beir(tmp_path / "c")
    lines = "".join(f"q1\tx{number}\t1\n" for number in range(4)) + "lost\ta\t1\nq2\tgone\t0\n"
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    opened = open_collection(folder)
    assert [query.id for query in opened.queries("test")] == ["q2", "q1"]
    queries, documents = check_judgments(opened, "test")
    assert (
        queries == "1 of 3 judged queries of 'c' (test) without a text: 'lost'; each counts 0 in every mean"
    )
    assert documents.startswith(
        "4 relevant documents of 'c' (test) not in the collection, or empty there: 'x0', 'x1', 'x2', …;"
    )


def test_a_split_that_does_not_exist(tmp_path: Path) -> None:
    opened = open_collection(beir(tmp_path / "c"))
    for ask in (opened.queries, opened.qrels):
        with pytest.raises(UsageError, match=r"'c' has no split 'dev'; its splits are: test, odd\.split"):
            ask("dev")


def test_a_collection_without_judgments(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "x"}\n')
    opened = open_collection(tmp_path)
    assert opened.splits == ()
    assert opened.queries() == []
    assert not opened.self_hits
    with pytest.raises(UsageError, match="has no judgments, so it has no split 'test'"):
        opened.queries("test")


def msmarco(folder: Path) -> Path:
    folder.mkdir()
    (folder / "collection.tsv.gz").write_bytes(gzip.compress(b'0\tThe Manhattan Project\n1\t"Quoted" text\n'))
    (folder / "queries.dev.small.tsv").write_text("10\twhat was it\n11\tand why\n")
    (folder / "queries.train.tsv.gz").write_bytes(gzip.compress(b"12\tlearn\n"))
    (folder / "queries.eval.tsv").write_text("13\thidden\n")
    (folder / "msmarco-test2019-queries.tsv").write_text("14\tgraded\n15\tunjudged\n")
    (folder / "qrels.dev.small.tsv").write_text("10\t0\t1\t1\n11\t0\t0\t1\n")
    (folder / "qrels.train.tsv").write_text("12\t0\t0\t1\n")
    (folder / "2019qrels-pass.txt").write_text("14 Q0 0 3\n14 Q0 1 0\n")
    return folder


def test_msmarco_and_trec_dl(tmp_path: Path) -> None:
    opened = open_collection(msmarco(tmp_path / "ms"))
    assert opened.splits == ("train", "dev.small", "trec-dl-2019")
    assert list(opened.documents()) == [
        Document("0", "The Manhattan Project"),
        Document("1", '"Quoted" text'),
    ]
    assert opened.queries("dev.small") == [Query("10", "what was it"), Query("11", "and why")]
    assert opened.queries("train") == [Query("12", "learn")]
    assert opened.queries("trec-dl-2019") == [Query("14", "graded")]
    assert opened.qrels("trec-dl-2019") == {"14": {"0": 3, "1": 0}}
    assert {query.id for query in opened.queries()} == {"10", "11", "12", "13", "14", "15"}


TOPICS = "<top>\n<num> Number: {0}\n<title> {1}\n<desc> Description:\nx\n</top>\n"


def trec(folder: Path, documents: str = "docs/ft/ft911_1") -> Path:
    path = folder / documents
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<DOC>\n<DOCNO> FT-1 </DOCNO>\n<HEADLINE>Head</HEADLINE>\n<TEXT>\nbody\n</TEXT>\n</DOC>\n"
        "<DOC>\n<DOCNO>FT-2</DOCNO>\n<TEXT>\nother\n</TEXT>\n</DOC>\n"
    )
    (folder / "topics.robust04.txt").write_text(TOPICS.format("301", "Organized Crime"))
    (folder / "qrels.robust04.txt.gz").write_bytes(gzip.compress(b"301 0 FT-1 1\n301 0 FT-2 0\n"))
    return folder


@pytest.mark.parametrize("documents", ["docs/ft/ft911_1", "corpus.trec", "ft911_1", "DOCUMENTS.sgml"])
def test_trec(tmp_path: Path, documents: str) -> None:
    folder = trec(tmp_path / "robust", documents)
    (folder / "README.md").write_text("about it")
    (folder / "runs").mkdir()
    (folder / "runs" / "bm25.txt").write_text("301 Q0 FT-1 1 2.5 bm25\n")
    opened = open_collection(folder)
    assert opened.splits == ("robust04",)
    assert list(opened.documents()) == [Document("FT-1", "body", "Head"), Document("FT-2", "other")]
    assert opened.queries("robust04") == [Query("301", "Organized Crime")]
    assert opened.qrels("robust04") == {"301": {"FT-1": 1, "FT-2": 0}}
    before = opened.checksum
    (folder / documents).write_bytes((folder / documents).read_bytes() + b"\n")
    assert open_collection(folder).checksum != before


def test_years_that_number_their_topics_alike(tmp_path: Path) -> None:
    folder = trec(tmp_path / "c")
    for year in ("2004", "2005"):
        (folder / f"topics.{year}.txt").write_text(TOPICS.format("1", f"of {year}"))
        (folder / f"qrels.{year}.txt").write_text("1 0 FT-1 1\n")
    opened = open_collection(folder)
    assert opened.queries("2004") == [Query("1", "of 2004")]
    assert opened.queries("2005") == [Query("1", "of 2005")]
    assert opened.queries("robust04") == [Query("301", "Organized Crime")]
    (folder / "topics.2005.txt").rename(folder / "topics.late.txt")
    (folder / "topics.2004.txt").rename(folder / "topics.early.txt")
    with pytest.raises(
        InputError, match=r"'1' has one text in .*early.* and another in .*late.*split '2005'"
    ):
        open_collection(folder).queries("2005")
    with pytest.raises(InputError, match=r"'1' has one text in .*early.* and another in .*late"):
        open_collection(folder).queries()
    assert not open_collection(folder).self_hits


def test_topics_and_judgments_without_documents(tmp_path: Path) -> None:
    folder = trec(tmp_path / "c")
    (folder / "docs" / "ft" / "ft911_1").unlink()
    (folder / "docs" / "ft").rmdir()
    (folder / "docs").rmdir()
    with pytest.raises(InputError, match=rf"no documents. Put them into {re.escape(str(folder / 'docs'))}"):
        open_collection(folder)


def test_what_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        InputError, match=r"(?s)holds no collection.*BEIR: corpus\.jsonl.*MS MARCO: collec.*TREC: "
    ):
        open_collection(tmp_path)
    with pytest.raises(InputError, match="is a file; name the folder"):
        open_collection(tmp_path / "notes.txt")
    beir(tmp_path / "inside")
    with pytest.raises(InputError, match=r"holds 1: inside\. Name one of them"):
        open_collection(tmp_path)
    with pytest.raises(
        InputError, match=r"(?s)'scifcat' is no folder.*Did you mean scifact\?.*MS MARCO: collec"
    ):
        open_collection("scifcat")


def test_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beir(tmp_path / "b")
    msmarco(tmp_path / "m")
    trec(tmp_path / "t")
    (tmp_path / "empty").mkdir()
    assert [one.name for one in list_collections(tmp_path)] == ["b", "m", "t"]
    assert [one.name for one in list_collections(tmp_path / "b")] == ["b"]
    assert list_collections(tmp_path / "empty") == []
    with pytest.raises(InputError, match="no such folder"):
        list_collections(tmp_path / "gone")
    monkeypatch.chdir(tmp_path / "b")
    assert [one.name for one in list_collections(os.curdir)] == ["b"]
