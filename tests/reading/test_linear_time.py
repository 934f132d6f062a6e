"""No file takes more than time proportional to its length, however it repeats and nests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leanseek.reading import ReadReport, read
from leanseek.reading.charset import charset
from leanseek.reading.formats import file_kind
from leanseek.reading.pdf import join_divided
from leanseek.reading.trec import begins_trec

SIZE = 1_000_000
MOST = 30.0
"""Seconds that a megabyte may take: several times what it takes, and far less than quadratic time."""

REPEATED = (
    "<!-- c -->\n", "<!--", "<", "<![CDATA[", "<?", "<!DOCTYPE ", "&amp;", "&#", '"', "'", "[", "{", '{"a":', "(",
    " ", "\n", "\t", ",", "a", "1", "a-\n", "# ", "---\n", "- ", "+++\n", "`", "~~~\n", "\\", "\xe9", "a\0",
    "<p>", "<div>", "<b><i>", "<ul><li>", "<table><tr><td>", "</div>", "<a b='", "<nav>", "<script>",
    "<DOC ", "<DOC>", "<DOC><DOCNO>", "</DOC", "<TEXT>", "<DOC></DOC>", 'x","\n', '"""\n', "a: ", "- - - ",
)  # fmt: skip
BEGINNINGS = {
    ".csv": "id,text\n1,",
    ".html": "<body>",
    ".json": "[",
    ".md": "---\n",
    ".trec": "<DOC>",
    ".xml": "<a>",
    ".eml": "Subject: x\nContent-Type: text/html\n\n",
    ".ipynb": '{"cells":[',
}
SUFFIXES = (
    "",
    ".txt",
    ".md",
    ".rst",
    ".html",
    ".xml",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".trec",
    ".eml",
    ".ipynb",
)


def seconds(path: Path) -> float:
    start = time.perf_counter()
    if file_kind(str(path)) is not None:
        for _ in read(path, on_error="skip", report=ReadReport()):
            pass
    return time.perf_counter() - start


def contents(suffix: str, size: int) -> Iterator[tuple[str, bytes]]:
    for beginning in sorted({"", BEGINNINGS.get(suffix, "")}):
        for piece in REPEATED:
            yield f"{beginning}{piece}", (beginning + piece * (size // len(piece))).encode("latin-1")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_readers(tmp_path: Path, suffix: str) -> None:
    """A tenth of the size of everything, then the full size of what took longest."""
    path = tmp_path / f"file{suffix}"
    taken = {}
    for name, raw in contents(suffix, SIZE // 10):
        path.write_bytes(raw)
        taken[name] = seconds(path)
        assert taken[name] < MOST, name
    slowest = max(taken, key=lambda name: taken[name])
    path.write_bytes(dict(contents(suffix, SIZE))[slowest])
    assert seconds(path) < MOST, slowest


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_readers_at_full_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    for name, raw in contents(suffix, SIZE):
        path.write_bytes(raw)
        assert seconds(path) < MOST, name


def test_a_list_on_one_line_takes_as_long_as_json_lines(tmp_path: Path) -> None:
    rows = [{"id": number, "text": "some words of text " * 20} for number in range(20_000)]
    listed, lined = tmp_path / "a.json", tmp_path / "a.jsonl"
    listed.write_text(json.dumps(rows), encoding="utf-8")
    lined.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert len(list(read(listed))) == 20_000
    assert seconds(listed) < 2 + 5 * seconds(lined)


def test_many_short_comments_before_an_element() -> None:
    start = b"<!-- a comment -->\n" * 40 + b"<menu>"
    assert not begins_trec(start)
    assert begins_trec(
        b"\xef\xbb\xbf <?xml version='1.0'?>\n" + b"<!-- a -->\n" * 40 + b"<DOC>\n<DOCNO>1</DOCNO>"
    )


@pytest.mark.parametrize("piece", ["a-\n", "a", "-\n", "ab-cd-\n", "\u00ad\n"])
def test_words_divided_at_line_ends(piece: str) -> None:
    start = time.perf_counter()
    join_divided(piece * (SIZE // len(piece)))
    assert time.perf_counter() - start < MOST


@pytest.mark.parametrize(
    "piece", [b"a\xe9", b"\xff", b"\xcb\xae", b"\x1b$", b"a\0", b"charset=", b"coding   "]
)
def test_encodings(piece: bytes) -> None:
    start = time.perf_counter()
    charset(piece * (SIZE // len(piece)))
    assert time.perf_counter() - start < MOST


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "[a, "])
def test_front_matter_of_many_levels_stays_in_the_text(tmp_path: Path, piece: str) -> None:
    (tmp_path / "a.md").write_text(
        f"---\ntitle: Budget\nby: {piece * (60_000 // len(piece))}\n---\nPumps freeze.\n"
    )
    report = ReadReport()
    start = time.process_time()
    (document,) = read(str(tmp_path / "a.md"), report=report)
    assert time.process_time() - start < MOST
    assert document.text.endswith("Pumps freeze.\n") and document.metadata.get("title") is None
    assert any("front matter is not valid" in line for line in report.details())
