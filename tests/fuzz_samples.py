"""Small valid files of every format, and what becomes of them when bytes are damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping

RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RECORDS = [
    {
        "id": "a",
        "text": "The pump freezes.",
        "title": "Pump",
        "year": 2019,
        "when": "2024-03-01T12:00:00Z",
        "ok": True,
    },
    {
        "id": "b",
        "text": "Die Tür klemmt, größer.",
        "year": 2.5,
        "tags": ["x", "y"],
        "by": {"name": "Z"},
        "none": None,
    },
    {"id": "c", "text": 'Quoted "words", commas; tabs', "year": 1, "when": "2024-03-02", "ok": False},
]
HTML = (
    "<!doctype html><html><head><title>A page</title><script>var a = 1 < 2;</script></head><body><nav>Menu</nav>"
    "<main><h1>Pumps &amp; doors</h1><p>The pump <b>freezes</b>.<br>Again.</p><table><tr><td>1</td></tr></table></main>"
    "<!-- a comment --><footer>Foot</footer></body></html>"
)
MARKDOWN = (
    "---\ntitle: Budget\ntags: [a, b]\ndate: 2024-03-01\nby: {a: 1}\n---\n# Head\n\nThe *pump* `freezes`.\n"
)
TREC = "<DOC>\n<DOCNO> d1 </DOCNO>\n<TITLE>Pump</TITLE>\n<TEXT>\nThe pump &amp; door.\n</TEXT>\n</DOC>\n" * 2
MAIL = (
    "From: A <a@example.org>\r\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\nDate: Fri, 1 Mar 2024 12:00:00 +0100\r\n"
    'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; '
    "charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nThe pump =FC.\r\n--b\r\n"
    "Content-Type: text/html\r\n\r\n<p>The <b>pump</b></p>\r\n--b--\r\n"
)
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# Pumps\n", "They freeze."]},
            {"cell_type": "code", "metadata": {}, "source": "print(1)", "outputs": [{"text": ["1\n"]}]},
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)
XML = '<?xml version="1.0" encoding="utf-8"?><menu a="1"><!-- c --><item>The pump</item><![CDATA[x < y]]></menu>'


def csv() -> bytes:
    return b'id,text,title,year,ok\na,"The pump, it\nfreezes",Pump,2019,True\nb,"say ""hello""",,2.5,false\n'


def tsv() -> bytes:
    return b"id\ttext\tyear\na\tThe pump freezes\t2019\nb\tA door\t\n"


def pdf() -> bytes:
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        "<< /Length 48 >>\nstream\nBT /F1 12 Tf 20 200 Td (The pump freezes) Tj ET\nendstream",
    ]  # fmt: skip
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    tail = f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + tail.encode()


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip file of these parts, the same whenever it is made (a name alone would take the time of day)."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return found.getvalue()


def relations(*targets: tuple[str, str]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{RELATIONS}">{rows}</Relationships>'


def types(**kinds: str) -> str:
    rows = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in kinds.items())
    return (
        '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>'
    )


def docx_parts() -> dict[str, str]:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = (
        f'<w:document xmlns:w="{space}"><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Pumps</w:t>'
        "</w:r></w:p><w:p><w:ins><w:r><w:t>They freeze.</w:t></w:r></w:ins></w:p><w:tbl><w:tr><w:tc><w:p><w:r>"
        "<w:t>cell</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>"
    )
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return {
        "[Content_Types].xml": types(**{"word/document.xml": main}),
        "_rels/.rels": relations(("officeDocument", "word/document.xml")),
        "word/document.xml": document,
    }


def pptx_parts() -> dict[str, str]:
    spaces = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{OFFICE}"'
    )
    slide = (
        f'<p:sld {spaces}><p:cSld><p:spTree><p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody>'
        "<a:p><a:r><a:t>The pump freezes</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )
    main = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
    return {
        "[Content_Types].xml": types(**{"ppt/presentation.xml": main}),
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f'<p:presentation {spaces}><p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst>'
        "</p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(("slide", "slides/slide1.xml")),
        "ppt/slides/slide1.xml": slide,
    }


def xlsx_parts() -> dict[str, str]:
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return {
        "[Content_Types].xml": types(
            **{
                "xl/workbook.xml": f"{kind}.sheet.main+xml",
                "xl/worksheets/sheet1.xml": f"{kind}.worksheet+xml",
            }
        ),
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {space} xmlns:r="{OFFICE}"><sheets><sheet name="One" sheetId="1" r:id="rId1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(("worksheet", "worksheets/sheet1.xml")),
        "xl/worksheets/sheet1.xml": f'<worksheet {space}><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>The pump'
        '</t></is></c><c r="B1"><v>2019</v></c></row></sheetData></worksheet>',
    }


def epub_parts() -> dict[str, str]:
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:title>Pumps</dc:title></metadata><manifest><item id="c" href="c.xhtml" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>',
        "c.xhtml": "<html><body><h1>One</h1><p>The pump freezes.</p></body></html>",
    }


def parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    found = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), found)
    return found.getvalue()


ARCHIVES: dict[str, Callable[[], dict[str, str]]] = {
    ".docx": docx_parts,
    ".pptx": pptx_parts,
    ".xlsx": xlsx_parts,
    ".epub": epub_parts,
}
LINES = "\n".join(map(json.dumps, RECORDS))
SAMPLES: dict[str, bytes] = {
    ".jsonl": LINES.encode(),
    ".json": json.dumps(RECORDS, indent=1, ensure_ascii=False).encode(),
    ".jsonl.gz": gzip.compress(LINES.encode(), mtime=0),
    ".json.bz2": bz2.compress(json.dumps(RECORDS).encode()),
    ".csv": csv(),
    ".tsv": tsv(),
    ".trec": TREC.encode(),
    ".txt": "Größe: the pump freezes.\n".encode("cp1252"),
    ".md": MARKDOWN.encode(),
    ".rst": b"Pumps\n=====\n\n:author: A\n\nThe pump ``freezes``.\n",
    ".html": HTML.encode(),
    ".xml": XML.encode(),
    ".eml": MAIL.encode(),
    ".ipynb": NOTEBOOK.encode(),
    ".log": b"2024-03-01 12:00 pump frozen\n",
    "": "ﬁle without a suffix — \ufeff\n".encode("utf-16"),
    ".pdf": pdf(),
    **{suffix: packed({**parts()}) for suffix, parts in ARCHIVES.items()},
}

NASTY = (
    b"\0", b"\xff", b"\xfe\xff", b"\r", b'"', b"'", b"<", b">", b"<!--", b"-->", b"<![CDATA[", b"&#x0;", b"&lol;", b"{",
    b"}", b"[", b"]", b"(", b")", b",", b"\t", b"\n\n", b"\\", b"\\ud800", b"1e999", b"-", b"NaN", b"---\n",
    b"\xed\xa0\x80", b"<DOC>", b"</DOC>", b"9" * 400, b" " * 200, b"<a>" * 200, b"[" * 2000, b'{"a":' * 500, b"null",
    b"true",
    b"%PDF-",
    b"endobj",
)  # fmt: skip


def mutated(suffix: str, chance: random.Random) -> bytes:
    """The sample of a format after a few damages; those of archives also inside of their parts."""
    if suffix in ARCHIVES and chance.random() < 0.7:
        parts: dict[str, str | bytes] = {**ARCHIVES[suffix]()}
        name = chance.choice(sorted(parts))
        parts[name] = damaged(str(parts[name]).encode(), chance)
        return packed(parts)
    if suffix.endswith((".gz", ".bz2")) and chance.random() < 0.7:
        inner = damaged(SAMPLES[".jsonl"], chance)
        return gzip.compress(inner, mtime=0) if suffix.endswith(".gz") else bz2.compress(inner)
    return damaged(SAMPLES[suffix], chance)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Content with one to four bytes flipped, pieces cut out, repeated, moved or put in."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(content))
        end = min(len(content), start + chance.choice((1, 1, 4, 20, 200)))
        piece = content[start:end]
        match chance.randrange(6):
            case 0:
                content = (
                    content[:start]
                    + bytes(byte ^ (1 << chance.randrange(8)) for byte in piece[:1])
                    + content[start + 1 :]
                )
            case 1:
                content = content[:start] + content[end:]
            case 2:
                content = content[:end] + piece * chance.choice((1, 2, 50)) + content[end:]
            case 3:
                content = content[:start] + chance.choice(NASTY) + content[start:]
            case 4:
                content = content[:start] + chance.choice(NASTY) + content[end:]
            case _:
                content = content[:start]
    return content
