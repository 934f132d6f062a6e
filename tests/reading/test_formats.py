"""The formats of single documents: whole texts, titles and metadata, and what is left out and said so."""

from __future__ import annotations

import io
import json
import re
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
from support import pdf

from leanseek.errors import InputError
from leanseek.reading import ReadReport, read
from leanseek.reading.formats import file_kind
from leanseek.reading.pdf import join_divided
from leanseek.types import Document

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def one(path: Path) -> tuple[Document, ReadReport]:
    report = ReadReport()
    (document,) = read(path, report=report)
    return document, report


def packed(parts: dict[str, str]) -> bytes:
    """A zip file, the same whenever it is made (a name alone would take the time of day)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def relations(**targets: str) -> str:
    rows = "".join(
        f'<Relationship Id="{id}" Type="{RELATIONS}/{id.rstrip("0123456789")}" Target="{target}"/>'
        for id, target in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def word(body: str, title: str = "", **parts: str) -> bytes:
    """A Word document of this body; `parts` are the contents of its further parts by their kinds."""
    return packed(
        {
            "_rels/.rels": relations(officeDocument="word/document.xml", core="docProps/core.xml").replace(
                "/core", "/core-properties"
            ).replace('"docProps/core-properties', '"docProps/core'),
            "docProps/core.xml": f'<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
            "<dc:creator>Ann</dc:creator></c>",
            "word/_rels/document.xml.rels": relations(**{kind: f"{kind}.xml" for kind in parts}),
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
            **{f"word/{kind}.xml": f"<w:part {W}>{content}</w:part>" for kind, content in parts.items()},
        }
    )  # fmt: skip


def p(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def r(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def test_every_text_that_word_shows_is_read_once(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{p('in a box')}</w:txbxContent>"
    body = (
        f"<w:p>{r('Budget ')}<w:ins>{r('ninety')}</w:ins><w:del><w:r><w:delText>seventy</w:delText></w:r></w:del></w:p>"
        f"<w:p><w:moveFrom>{r('moved')}</w:moveFrom>{r('kept')}</w:p><w:p><w:moveTo>{r('moved')}</w:moveTo></w:p>"
        f"<w:sdt><w:sdtContent>{p('block control')}</w:sdtContent></w:sdt>"
        f"<w:p><w:sdt><w:sdtContent>{r('inline control')}</w:sdtContent></w:sdt></w:p>"
        f"<w:p><w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>{r('Click here')}</w:sdtContent></w:sdt></w:p>"
        f"<w:tbl><w:tr><w:tc>{p('outer')}</w:tc><w:tc><w:tbl><w:tr><w:tc>{p('nested')}</w:tc></w:tr></w:tbl></w:tc></w:tr>"
        f'<w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{p("merged")}</w:tc></w:tr></w:tbl>'
        '<w:p xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:r><mc:AlternateContent>'
        f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent><w:t>host</w:t></w:r></w:p>"
        f"<w:p><w:fldSimple>{r('field')}</w:fldSimple><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        f"<w:p><w:smartTag>{r('smart')}</w:smartTag><w:hyperlink>{r(' link')}</w:hyperlink></w:p>"
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>"
    )
    notes = f'<w:footnote w:type="separator">{p("line")}</w:footnote><w:footnote>{p("the note")}</w:footnote>'
    raw = word(
        body, header1=p("head"), header2=p("head"), footer1=p("foot"), footnotes=notes,
        endnotes=f"<w:endnote>{p('the end note')}</w:endnote>", comments=f"<w:comment>{p('remark')}</w:comment>",
    )  # fmt: skip
    document, report = one(write(tmp_path / "a.docx", raw))
    assert document.text.split("\n") == [
        "Budget ninety", "kept", "moved", "block control", "inline control", "outer\tnested", "merged", "host",
        "in a box", "field", "smart link", "a\tb", "c-d", "the note", "the end note", "head", "foot",
    ]  # fmt: skip
    assert document.metadata == {"path": str(tmp_path / "a.docx"), "author": "Ann"}
    assert report.partial == 1 and report.messages == [f"{tmp_path / 'a.docx'}: 1 comment left out"]


def test_word_titles(tmp_path: Path) -> None:
    styles = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    body = p("text") + p("The heading", "berschrift1")
    assert one(write(tmp_path / "a.docx", word(body, styles=styles)))[0].title == "The heading"
    assert one(write(tmp_path / "a.docx", word(body, "Stated", styles=styles)))[0].title == "Stated"
    assert one(write(tmp_path / "name.docx", word(p("text"))))[0].title == "name"


def test_scanned_pages_are_reported(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    report = ReadReport()
    assert list(read(write(tmp_path / "my scan.pdf", pdf("", "")), report=report)) == []
    assert (report.scanned, report.empty, report.partial) == (1, 0, 0)
    assert "2 pages without a text layer" in report.messages[0]
    assert "ocrmypdf 'my scan.pdf' 'my scan-ocr.pdf'" in report.messages[0]
    assert "it is a scan without text" in report.sentence()
    document, report = one(write(tmp_path / "b.pdf", pdf("Text", "", "")))
    assert (document.text, report.partial) == ("Text", 1)
    assert "b.pdf: 2 of 3 pages without a text layer" in report.messages[0]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("an investi-\ngation of it", "an investigation of it"),
        ("Vul-\nkan, vul-\nkanisch", "Vulkan, vulkanisch"),
        ("soft\u00ad\nware, 1\u2010\n2", "software, 1\u2010\n2"),
        ("a well-\nknown fact", "a well-known fact"),
        ("full-text here, full-\ntext there", "full-text here, full-text there"),
        ("the tree grows, a house, the tree-\nhouse", "the tree grows, a house, the tree-house"),
        ("treehouse, tree, house, tree-\nhouse", "treehouse, tree, house, treehouse"),
        ("Pumpen-\nund Ventile", "Pumpen-\nund Ventile"),
        ("Anglo-\nSaxon", "Anglo-\nSaxon"),
        ("item -\nnext", "item -\nnext"),
        ("at the end of a page, investi-\n\ngation", "at the end of a page, investigation"),
        ("", ""),
    ],
)
def test_words_divided_at_line_ends(text: str, joined: str) -> None:
    assert join_divided(text) == joined


def test_pages_without_their_menus(tmp_path: Path) -> None:
    page = (
        "<head><title>T</title><meta name=description content='What it is'></head><body>"
        "<div id=cookie-banner>We use cookies</div><header><a>Home</a></header><nav>menu</nav>"
        "<ul class=nav><li>item</ul>"
        "<main><header><h1>Heading</h1></header><p>The text.<aside>a side note</aside></main>"
        "<div class=sidebar>links</div><footer>imprint</footer></body>"
    )
    document, _ = one(write(tmp_path / "a.html", page))
    assert document.text == "Heading\n\nThe text.\n\na side note"
    assert (document.title, document.metadata["description"]) == ("T", "What it is")
    document, _ = one(write(tmp_path / "b.html", "<header><h1>Head</h1><nav>menu</nav></header><p>text</p>"))
    assert document.text == "Head\n\ntext"


@pytest.mark.parametrize(
    "page",
    [
        "<body><nav>all of the text</nav></body>",
        "<footer>all of the text</footer><p></p>",
        "<div class=menu>all of the text</div>",
        "<header><main>all of the text</main></header>",
        "<body class='sidebar nav'>all of the text",
        "<div class=recipe-cookies>all of the text</div>",
    ],
)
def test_the_text_of_a_page_is_never_lost(tmp_path: Path, page: str) -> None:
    assert one(write(tmp_path / "a.html", page))[0].text == "all of the text"


def test_deep_pages_are_read_to_the_end(tmp_path: Path) -> None:
    assert one(write(tmp_path / "a.html", "<div><b>" * 5000 + "deep</b> end"))[0].text == "deep end"


def test_front_matter_is_metadata(tmp_path: Path) -> None:
    front = "title: Quarterly budget\ntags: [finance, 2024]\nauthor:\n  name: Ann\ndraft: false"
    text = f"---\n{front}\n---\n\nThe numbers.\n"
    document, _ = one(write(tmp_path / "a.md", text))
    assert (document.title, document.text) == ("Quarterly budget", "The numbers.\n")
    assert document.metadata["tags"] == ["finance", 2024] and document.metadata["draft"] is False
    assert document.metadata["author.name"] == "Ann"
    document, _ = one(write(tmp_path / "b.md", '+++\ntitle = "T"\nweight = 3\n+++\ntext'))
    assert (document.title, document.text, document.metadata["weight"]) == ("T", "text", 3)
    document, _ = one(write(tmp_path / "c.md", "---\ntags: a\n---\n# Heading\ntext"))
    assert (document.title, document.text) == ("Heading", "# Heading\ntext")


@pytest.mark.parametrize(
    ("front", "noted"),
    [("a: [", True), ("a: &x [1]\nb: *x", True), ("only a sentence", False), ("- a\n- b", False)],
)
def test_what_is_no_front_matter_stays_in_the_text(tmp_path: Path, front: str, noted: bool) -> None:
    text = f"---\n{front}\n---\nbody"
    document, report = one(write(tmp_path / "a.md", text))
    assert document.text == text and report.partial == int(noted)


def test_slides(tmp_path: Path) -> None:
    a = 'xmlns:a="a" xmlns:p="p" xmlns:r="r"'
    place_of = {name: f'<p:ph type="{name}"/>' for name in ("title", "sldNum", "body")}
    shape = (
        "<p:sp><p:nvSpPr><p:nvPr>{}</p:nvPr></p:nvSpPr><p:txBody><a:p><a:t>{}</a:t></a:p></p:txBody></p:sp>"
    )
    raw = packed(
        {
            "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
            "ppt/presentation.xml": f'<p:presentation {a}><p:sldIdLst><p:sldId id="1" r:id="slide2"/>'
            '<p:sldId id="2" r:id="slide1"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(slide1="slides/a.xml", slide2="slides/b.xml"),
            "ppt/slides/a.xml": f"<p:sld {a}><p:grpSp>{shape.format('', 'in a group')}</p:grpSp></p:sld>",
            "ppt/slides/b.xml": f"<p:sld {a}>{shape.format(place_of['title'], 'The title')}"
            f"{shape.format(place_of['sldNum'], '7')}{shape.format('', 'point')}</p:sld>",
            "ppt/slides/_rels/b.xml.rels": relations(notesSlide1="../notes/n.xml"),
            "ppt/notes/n.xml": f"<p:notes {a}>{shape.format(place_of['body'], 'a note')}</p:notes>",
        }
    )  # fmt: skip
    document, _ = one(write(tmp_path / "a.pptx", raw))
    assert (document.title, document.metadata["slides"]) == ("The title", 2)
    assert document.text == "The title\npoint\na note\n\nin a group"


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.properties.title = "Prices"
    sheet = book.active
    sheet.title = "Pumps"
    sheet.append(["name", "price", None, "ok"])
    sheet.append(["P-1", 5.0, None, True])
    sheet["XFD1048576"] = "far away"
    book.create_sheet("Empty")
    book.save(tmp_path / "a.xlsx")
    document, _ = one(tmp_path / "a.xlsx")
    assert document.text == "Pumps\nname\tprice\tok\nP-1\t5\tTrue\nfar away"
    assert (document.title, document.metadata["sheets"]) == ("Prices", 2)


def test_books(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    raw = packed(
        {
            "META-INF/container.xml": '<c><rootfile full-path="O/c.opf"/></c>',
            "O/c.opf": '<package xmlns:dc="d"><dc:title>My book</dc:title><dc:creator>Ann</dc:creator>'
            '<item id="a" href="t/a%20b.xhtml"/><item id="b" href="b.xhtml"/><item id="n" href="n.xhtml"/>'
            '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>',
            "O/t/a b.xhtml": "<body><header><h2>Second</h2></header><p>tail</p></body>",
            "O/b.xhtml": "<body><h1>First</h1><p>café</p></body>",
        }
    )
    document, _ = one(write(tmp_path / "a.epub", raw))
    assert (document.title, document.text) == ("My book", "First\n\ncafé\n\nSecond\n\ntail")
    assert document.metadata["author"] == "Ann"


def test_notebooks(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Heading\n", "text"]},
        {"cell_type": "code", "source": "# not a heading\nx = 1", "outputs": [{"text": "printed"}]},
    ]
    document, _ = one(write(tmp_path / "a.ipynb", json.dumps({"cells": cells, "metadata": {}})))
    assert (document.title, document.text) == ("Heading", "# Heading\ntext\n\n# not a heading\nx = 1")
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["y = 2"]}]}]}
    assert one(write(tmp_path / "b.ipynb", json.dumps(old)))[0].text == "y = 2"


def test_mail(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Größe der Pumpe"
    message["From"] = "Ann <ann@example.org>"
    message["Date"] = "Fri, 01 Mar 2024 10:00:00 +0100"
    message.set_content("Plain café", charset="iso-8859-1")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"1", maintype="application", subtype="pdf", filename="a.pdf")
    document, report = one(write(tmp_path / "a.eml", bytes(message)))
    assert (document.title, document.text) == ("Größe der Pumpe", "Plain café")
    assert document.metadata["date"] == "2024-03-01T10:00:00+01:00"
    assert document.metadata["attachments"] == ["a.pdf"]
    assert report.partial == 1 and "an attachment not read: a.pdf" in report.messages[0]
    pytest.importorskip("lxml")
    page = EmailMessage()
    page["Subject"] = "s"
    page.set_content("<nav>x</nav><p>only html</p>", subtype="html")
    assert one(write(tmp_path / "b.eml", bytes(page)))[0].text == "only html"


def test_xml(tmp_path: Path) -> None:
    text = (
        "<?xml version='1.0'?><s><title>T</title><i><n>pump</n><t>runs <b>hot</b> now</t></i><!-- no --></s>"
    )
    document, _ = one(write(tmp_path / "a.xml", text))
    assert (document.title, document.text) == ("T", "T\npump\nruns hot now")
    for other in ("<menu><item label='pump'/></menu>", "<open>not closed", "&lol;"):
        assert one(write(tmp_path / "b.xml", other))[0].text == other
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><a>Größe</a>'.encode("latin-1")
    document, report = one(write(tmp_path / "c.xml", latin))
    assert (document.text, report.guessed) == ("Größe", 0)


@pytest.mark.parametrize(
    ("name", "raw", "kind"),
    [
        ("main.py", b"print(1)\n", ".txt"),
        ("server.log", b"\x1b[31mERROR\x1b[0m 12:00\n", ".txt"),
        ("LICENSE", b"Permission is granted", ".txt"),
        ("v1.2 notes", "Größe".encode("cp1252"), ".txt"),
        ("page", b"<!DOCTYPE html><p>x", ".html"),
        ("paper", b"%PDF-1.4\n", ".pdf"),
        ("FT911", b"<DOC>\n<DOCNO>1</DOCNO></DOC>", ".trec"),
        ("topics.xml", b"<DOC>\n<DOCNO>1</DOCNO></DOC>", ".trec"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", None),
        ("a.rtf", b"{\\rtf1 text}", None),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", None),
        ("a.bin", bytes(range(256)), None),
    ],
)
def test_kinds_by_name_and_first_bytes(tmp_path: Path, name: str, raw: bytes, kind: str | None) -> None:
    assert file_kind(str(write(tmp_path / name, raw))) == kind


def test_a_file_of_another_suffix_has_its_whole_name_for_a_title(tmp_path: Path) -> None:
    assert one(write(tmp_path / "main.py", "print(1)"))[0].title == "main.py"


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".epub", ".ipynb", ".eml"])
@pytest.mark.parametrize(
    "raw", [b"", b"no such file", packed({"a": "b"}), packed({"_rels/.rels": relations()})]
)
def test_damaged_files_are_named(tmp_path: Path, suffix: str, raw: bytes) -> None:
    if suffix == ".ipynb" and not raw:
        return
    path = write(tmp_path / f"bad{suffix}", raw)
    with pytest.raises(InputError, match=re.escape(f"bad{suffix}: ")):
        list(read(path))


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.reading.word.LARGEST", 100)
    with pytest.raises(InputError, match="more than the 100 that are read"):
        list(read(write(tmp_path / "a.docx", word(p("text" * 50)))))
