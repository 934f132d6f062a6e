"""TREC's document files: their dialects, known by content, and what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.reading import ReadReport, read
from leanseek.reading.queries import read_queries
from leanseek.types import Document, Query

NEWS = """<DOC>
<DOCNO> FT911-1 </DOCNO>
<DATE>910514</DATE>
<HEADLINE>
FT 14 MAY 91 / Statins &amp; hearts
</HEADLINE>
<TEXT>
<P>They lower
cholesterol by 5 &lt; 6.</P>
</TEXT>
<PUB>The Times</PUB>
</DOC>
<doc><docno>FT911-2</docno><text>second</text><text>part</text></doc><DOC><DOCNO>FT911-3</DOCNO>bare words</DOC>
"""
EXPECTED = [
    Document("FT911-1", "They lower\ncholesterol by 5 < 6.", "FT 14 MAY 91 / Statins & hearts"),
    Document("FT911-2", "second\npart"),
    Document("FT911-3", "bare words"),
]
PAGE = """<DOC>
<DOCNO>WTX001</DOCNO>
<DOCHDR>
http://x.example 200
</DOCHDR>
<html><head><title>Home</title><script>var x = "<p>";</script></head><body>Welcome<br>here<!-- not
this --></body></html>
</DOC>
"""


@pytest.mark.parametrize("name", ["ft911_1", "ft911_1.gz", "docs.sgml", "docs.trec", "docs.txt", "docs.0.gz"])
def test_documents_are_known_by_content(tmp_path: Path, name: str) -> None:
    raw = NEWS.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert list(read(tmp_path)) == EXPECTED
    assert list(read(tmp_path / name)) == EXPECTED


def test_pages_leave_out_their_headers_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "wt.trec").write_text(PAGE)
    assert list(read(tmp_path)) == [Document("WTX001", "Welcome here", "Home")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab c\n.5é&;"), min_size=1).filter(str.strip), min_size=1, max_size=5),
    st.sampled_from(["", "\n", " "]),
)
def test_every_document_comes_out(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], between: str
) -> None:
    path = tmp_path_factory.mktemp("trec") / "x.trec"
    wrapped = (f"<DOC><DOCNO>{n}</DOCNO><TEXT>{text}</TEXT></DOC>" for n, text in enumerate(texts))
    path.write_text(between.join(wrapped), encoding="utf-8")
    found = list(read(path))
    assert [document.id for document in found] == [str(n) for n in range(len(texts))]
    assert [document.text.split() for document in found] == [text.split() for text in texts]


def test_other_files_are_still_what_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text about <DOC> tags")
    (tmp_path / "b.bin").write_bytes(b"\x00\x01<DOC>")
    report = ReadReport()
    assert [document.id for document in read(tmp_path, report=report)] == ["a.txt"]
    assert report.ignored == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<DOC>\n<TEXT>x</TEXT>\n</DOC>", "d.trec:1: the document has no <DOCNO>"),
        ("\n<DOC>\n<DOCNO>1</DOCNO>\nx", "d.trec:2: the document that begins here has no </DOC>"),
        ("<DOC><DOCNO>1</DOCNO>x</DOC>\nstray", "d.trec:2: text outside"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "d.trec").write_text(text)
    with pytest.raises(InputError, match=told):
        list(read(tmp_path / "d.trec"))


def test_topics_as_a_table_under_the_name_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "topics.dl20.txt").write_text("1030303\twho is aziz hashim\n1037496\twho is rep scalise?\n")
    expected = [Query("1030303", "who is aziz hashim"), Query("1037496", "who is rep scalise?")]
    assert read_queries(tmp_path / "topics.dl20.txt") == expected
