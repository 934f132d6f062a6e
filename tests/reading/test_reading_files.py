"""Text files and folders: titles, HTML, PDF, Word, walking, and damaged or misnamed files."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import pdf

from leanseek.errors import InputError, MissingPackageError, StorageError
from leanseek.reading import ReadReport, read
from leanseek.reading.markup import markdown_title, rst_title


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# A *title* #\n\ntext", "A *title*"),
        ("text first\n\n## Second level", "Second level"),
        ("Title\n=====\n", "Title"),
        ("A title\n---\ntext", "A title"),
        ("```\n# a comment\n```\n# Title", "Title"),
        ("~~~~ python\n# a\n```\n# b\n~~~~\n# Title", "Title"),
        ("---\ntitle: x\n# no\n---\n# Title", "Title"),
        ("- item\n---\n#hashtag\n", ""),
        ("", ""),
        ("---\n", ""),
    ],
)
def test_markdown_titles(text: str, title: str) -> None:
    assert markdown_title(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Title\n=====\n\ntext", "Title"),
        ("=====\nTitle\n=====\n", "Title"),
        (".. _label:\n\nA title\n-------\n", "A title"),
        ("Long title\n===\n", ""),
        ("text\n\n----\n\nmore", ""),
        ("", ""),
    ],
)
def test_rst_titles(text: str, title: str) -> None:
    assert rst_title(text) == title


def test_a_folder_is_walked_in_order_with_paths_as_ids(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    write(folder / "b.txt", "plain text\r\nsecond line")
    write(folder / "a" / "x y 😀.md", "# Heading\n\nbody")
    write(folder / "a" / "z.rst", "Heading\n=======\n\nbody")
    write(folder / "c.HTML", "<title>T</title><p>body")
    write(folder / "t.jsonl", '{"id": "r1", "text": "record"}')
    write(folder / "w.txt.gz", gzip.compress(b"packed"))
    write(folder / "skip.png", b"\x89PNG")
    write(folder / ".git" / "x.txt", "hidden")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    report = ReadReport()
    found = list(read(folder, report=report))
    assert [(document.id, document.title, document.text) for document in found] == [
        ("a/x y 😀.md", "Heading", "# Heading\n\nbody"),
        ("a/z.rst", "Heading", "Heading\n=======\n\nbody"),
        ("b.txt", "b", "plain text\nsecond line"),
        ("c.HTML", "T", "body"),
        ("r1", "", "record"),
        ("w.txt.gz", "w", "packed"),
    ]
    assert found[2].metadata == {"path": str(folder / "b.txt")}
    path = str(folder / "a" / "x y 😀.md")
    assert found[0].metadata == {"path": path, "heading_starts": [0], "headings": ["Heading"]}
    assert (report.read, report.ignored) == (6, 1)
    assert [document.id for document in read(str(folder / "b.txt"), folder / "a")] == [
        "b.txt",
        "a/x y 😀.md",
        "a/z.rst",
    ]


def test_a_beir_folder_is_its_corpus_alone(tmp_path: Path) -> None:
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "query"}')
    write(tmp_path / "SOURCE.md", "# Not a document")
    write(tmp_path / "corpus.jsonl.gz", gzip.compress(b'{"_id": "d", "title": "t", "text": "x"}'))
    assert [document.id for document in read(tmp_path)] == ["d"]
    assert [document.id for document in read(tmp_path.parent / tmp_path.name)] == ["d"]


def test_html(tmp_path: Path) -> None:
    page = (
        "<html><head><title> A &amp;\n B </title><style>p {}</style></head><body><script>no()</script>"
        "<h1>Head</h1><p>one <b>bo</b>ld\n   <i>word</i></p>tail<br>after<!-- no -->"
        "<ul><li>first<li>second</ul><pre>a\n b</pre><table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"
        "<noscript>no</noscript>&lt;end&gt;</body></html>"
    )
    (document,) = read(write(tmp_path / "p.html", page))
    assert document.title == "A & B"
    assert document.text == "Head\n\none bold word\n\ntail\nafter\n\nfirst\nsecond\n\na\nb\n\n1 2\n3\n\n<end>"


def test_html_declares_its_encoding_and_may_lack_a_title(tmp_path: Path) -> None:
    raw = '<meta charset="iso-8859-1"><h1>Café</h1><p>äöü'.encode("latin-1")
    (document,) = read(write(tmp_path / "p.htm", raw))
    assert (document.title, document.text) == ("Café", "Café\n\näöü")
    (document,) = read(write(tmp_path / "only name.html", "<p>text"))
    assert document.title == "only name"


def test_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (document,) = read(write(tmp_path / "a.pdf", pdf("First page", "Second page", title="The title")))
    assert (document.id, document.title, document.text) == ("a.pdf", "The title", "First page\n\nSecond page")
    assert document.metadata == {"path": str(tmp_path / "a.pdf"), "pages": 2, "page_starts": [0, 12]}
    (document,) = read(write(tmp_path / "b.pdf", pdf("First page")))
    assert document.title == "b"


def test_docx(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    made = docx.Document()
    made.core_properties.title = ""
    made.add_heading("The heading")
    made.add_paragraph("A paragraph äöü.")
    table = made.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    made.add_paragraph("The end.")
    made.save(str(tmp_path / "a.docx"))
    (document,) = read(tmp_path / "a.docx")
    assert document.title == "The heading"
    assert document.text == "The heading\nA paragraph äöü.\nleft\tright\nThe end."
    made.core_properties.title = "Property"
    made.save(str(tmp_path / "a.docx"))
    assert next(read(tmp_path / "a.docx")).title == "Property"


def encrypted_pdf() -> bytes:
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("secret")))
    writer.encrypt("password", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("bad.pdf", pdf("x")[:200], r"bad\.pdf: a damaged PDF, or not a PDF"),
        ("bad.pdf", b"<html>not found</html>", r"bad\.pdf: a damaged PDF, or not a PDF"),
        ("bad.pdf", b"", r"bad\.pdf: a damaged PDF, or not a PDF"),
        ("bad.pdf", None, r"bad\.pdf: the PDF is encrypted"),
        ("bad.docx", b"PK\x03\x04 broken", r"bad\.docx: damaged, or not a \.docx"),
        ("bad.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"bad\.docx: the document is encrypted or"),
        ("bad.txt", b"%PDF-1.4 renamed", r"bad\.txt: this is binary data"),
        ("bad.md", bytes(range(256)) * 8, r"bad\.md: this is binary data"),
        ("bad.jsonl", pdf("x"), r"bad\.jsonl:1: not JSON"),
        ("bad.jsonl", b"\x28\xb5\x2f\xfd0000", r"zstd -d"),
        (
            "bad.jsonl.gz",
            gzip.compress(b'{"id": 1, "text": "a"}\n' * 2000, mtime=0)[:-10],
            "damaged or cut off",
        ),
        (
            "bad.jsonl.gz",
            gzip.compress(b'{"id": 1, "text": "a"}\n', mtime=0)[:12] + b"garbage" * 9,
            "damaged or cut off",
        ),
    ],
)
def test_damaged_and_misnamed_files(tmp_path: Path, name: str, raw: bytes | None, message: str) -> None:
    for package in ("pypdf", "docx"):
        pytest.importorskip(package)
    write(tmp_path / name, encrypted_pdf() if raw is None else raw)
    write(tmp_path / "good.txt", "good")
    with pytest.raises(InputError, match=message):
        list(read(tmp_path))
    report = ReadReport()
    assert [document.id for document in read(tmp_path, on_error="skip", report=report)][-1] == "good.txt"
    assert report.skipped == (raw.count(b"\n") if raw and name == "bad.jsonl" and b"\n" in raw else 1)
    assert name in report.messages[0]


@pytest.mark.parametrize("name", ["e.txt", "e.md", "e.html", "e.jsonl", "e.json", "e.csv", "e.tsv"])
@pytest.mark.parametrize("raw", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_empty_files_hold_no_document(tmp_path: Path, name: str, raw: bytes) -> None:
    report = ReadReport()
    assert list(read(write(tmp_path / name, raw), report=report)) == []
    assert report.read == report.skipped == 0
    assert report.empty == (1 if name in ("e.txt", "e.md", "e.html") else 0)


def test_invalid_bytes_and_other_encodings_of_texts(tmp_path: Path) -> None:
    report = ReadReport()
    raws = [b"caf\xe9", b"a\0b", "äöü".encode("utf-16"), "äöü".encode("utf-8-sig"), "äöü".encode("utf-32")]
    for number, raw in enumerate(raws):
        write(tmp_path / f"{number}.txt", raw)
    texts = [document.text for document in read(tmp_path, report=report)]
    assert texts == ["café", "ab", "äöü", "äöü", "äöü"]
    assert (report.repaired, report.guessed) == (1, 1)
    assert any("0.txt: not UTF-8; read as cp1252, which is a guess" in line for line in report.messages)


def test_a_text_of_ten_megabytes(tmp_path: Path) -> None:
    text = "word " * 2_000_000 + "end"
    assert next(read(write(tmp_path / "big.txt", text))).text == text


def test_file_names_that_cannot_be_ids(tmp_path: Path) -> None:
    try:
        write(tmp_path / "a\tb.txt", "text")
    except OSError:
        pytest.skip("this file system takes no tabs in names")
    with pytest.raises(InputError, match="holds a tab"):
        list(read(tmp_path))


def test_sources_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: no such file or folder"):
        read(tmp_path / "absent")
    with pytest.raises(InputError, match=r"nothing to read .* it is empty; what is read: \.jsonl"):
        read(tmp_path)
    path = write(tmp_path / "image.png", b"\x89PNG")
    with pytest.raises(InputError, match=r"nothing to read .* such as image\.png; what is read"):
        read(tmp_path)
    with pytest.raises(
        InputError, match=r"image\.png: files of this kind are not read; those that are: \.jsonl"
    ):
        read(path)


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"id": 1, "text": "a"}')
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(StorageError, match="permission denied"):
        list(read(path, on_error="skip"))


@pytest.mark.parametrize(
    ("name", "package"),
    [("a.pdf", "pypdf"), ("a.html", "lxml"), ("a.parquet", "pyarrow")],
)
def test_an_absent_package_names_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'leanseek\[files\]'"):
        list(read(write(tmp_path / name, "x"), on_error="skip"))


def test_reading_tables_imports_nothing_heavy() -> None:
    program = (
        "import sys; from leanseek.reading import read;"
        "print({'torch', 'lxml', 'pypdf', 'yaml', 'chardet', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"
