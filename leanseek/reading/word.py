"""Office Open XML as a tree of paragraphs and tables, and the Word documents made of it (.docx)."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from leanseek.errors import InputError
from leanseek.reading.markup import local_name
from leanseek.reading.streams import Page, Place, first_line
from leanseek.types import MetadataValue

LARGEST: Final = 1 << 30
"""Bytes that a packed document may have when unpacked."""

_PROPERTIES: Final = {
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "description": "description",
    "created": "created",
}
# Tracked deletions, the old place of what was moved, the instructions of fields, the reading aid above characters, and
# the older form of a drawing that is there in a newer one too.
_LEFT_OUT: Final = frozenset({"del", "moveFrom", "instrText", "delText", "delInstrText", "rt", "Fallback"})
_CHARACTERS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_ORDER: Final = ("body", "diagramData", "chart", "footnotes", "endnotes", "header", "footer")
_SEPARATORS: Final = ("separator", "continuationSeparator", "continuationNotice")


class Related(NamedTuple):
    """A part that another part refers to: the last word of the relation's type, and the part's name."""

    kind: str
    name: str


class Package:
    """The parts of an Office Open XML file. Raises InputError for one that is damaged or encrypted."""

    def __init__(self, raw: bytes, place: Place, suffix: str) -> None:
        if raw.startswith(b"\xd0\xcf\x11\xe0"):
            raise place.error(
                f"the document is encrypted or of the old .{suffix[1:-1]} format; save it as {suffix} without a "
                "password"
            )
        self._files = archive(raw, place)
        main = [part for part in self.related("").values() if part.kind == "officeDocument"]
        if not main:
            raise KeyError("officeDocument")
        self.main = main[0].name

    def part(self, name: str) -> Element:
        """The tree of a part. Raises KeyError or ParseError."""
        return ElementTree.fromstring(self._files.read(name))

    def related(self, name: str) -> dict[str, Related]:
        """The parts that a part refers to, by the ids it uses."""
        folder, file = posixpath.split(name)
        try:
            relations = self.part(posixpath.join(folder, "_rels", f"{file}.rels"))
        except KeyError:
            return {}
        found = {}
        for relation in relations:
            if relation.get("TargetMode") != "External":
                target = unquote(relation.get("Target", ""))
                path = (
                    target[1:]
                    if target.startswith("/")
                    else posixpath.normpath(posixpath.join(folder, target))
                )
                found[relation.get("Id", "")] = Related(relation.get("Type", "").rpartition("/")[2], path)
        return found

    def properties(self) -> tuple[str, dict[str, MetadataValue]]:
        """The title and the further properties that the document states of itself."""
        title = ""
        metadata: dict[str, MetadataValue] = {}
        name = next((part.name for part in self.related("").values() if part.kind == "core-properties"), None)
        if name is not None:
            for node in self.part(name):
                value = " ".join((node.text or "").split())
                if value and local_name(node) == "title":
                    title = value
                elif value and local_name(node) in _PROPERTIES:
                    metadata[_PROPERTIES[local_name(node)]] = value
        return title, metadata


def archive(raw: bytes, place: Place) -> zipfile.ZipFile:
    """A ZIP file that can be unpacked in memory. Raises InputError for one that is too large, BadZipFile."""
    files = zipfile.ZipFile(io.BytesIO(raw))
    size = sum(file.file_size for file in files.infolist())
    if size > LARGEST:
        raise place.error(f"it holds {size:,} bytes when unpacked, more than the {LARGEST:,} that are read")
    return files


def blocks(node: Element) -> list[str]:
    """The paragraphs and table rows of a tree in order; cells are parted by tabs, a merged one is there once.

    The elements' local names are those of WordprocessingML and of DrawingML, which agree.
    """
    name = local_name(node)
    if name in _LEFT_OUT or name.endswith("Pr"):
        return []
    if name == "p":
        boxes: list[str] = []
        paragraph = "".join(_runs(node, boxes)).strip()
        return [row for row in (paragraph, *boxes) if row]
    if name == "tr":
        cells = ["\n".join(blocks(cell)) for cell in node]
        row = "\t".join(cells).strip()
        return [row] if row else []
    return [block for child in _shown(node) for block in blocks(child)]


def _runs(node: Element, boxes: list[str]) -> Iterator[str]:
    """The texts within a paragraph; the blocks of text boxes go to `boxes`, which follow the paragraph."""
    for child in _shown(node):
        name = local_name(child)
        if name == "t":
            yield child.text or ""
        elif name in _CHARACTERS:
            yield _CHARACTERS[name]
        elif name in ("txbxContent", "txBody"):
            boxes += blocks(child)
        elif name not in _LEFT_OUT and not name.endswith("Pr"):
            yield from _runs(child, boxes)


def _shown(node: Element) -> Iterator[Element]:
    """An element's children; of a content control that only shows its prompt none, of alternatives the first."""
    name = local_name(node)
    if name == "sdt" and any(local_name(mark) == "showingPlcHdr" for part in node for mark in part):
        return iter(())
    if name == "AlternateContent" and not any(local_name(child) == "Choice" for child in node):
        return (inner for child in node for inner in child)
    return iter(node)


def docx(stream: io.BufferedReader, place: Place) -> Page:
    """A Word document: body, footnotes, endnotes, and each header and footer once; comments are left out and noted.

    Tracked changes are taken as accepted. The title is the one stated, else the first heading. Raises InputError if
    the file is damaged or encrypted.
    """
    try:
        package = Package(stream.read(), place, ".docx")
        title, metadata = package.properties()
        document = package.part(package.main)
        related = package.related(package.main)
        rows: dict[str, list[str]] = {kind: [] for kind in _ORDER}
        for kind, name in related.values():
            if kind in rows and kind != "body":
                rows[kind] += _part(package.part(name))
        for kind in ("header", "footer"):
            rows[kind] = list(dict.fromkeys(rows[kind]))
        rows["body"] = blocks(document)
        title = title or _heading(document, package, related)
        left_out = sum(
            local_name(node) == "comment" for kind, name in related.values() if kind == "comments"
            for node in package.part(name)
        )  # fmt: skip
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the parser fail anywhere and anyhow
        raise place.error(f"damaged, or not a .docx document: {first_line(error)}") from error
    if left_out:
        place.notes.append(f"{left_out:,} {'comment' if left_out == 1 else 'comments'} left out")
    return Page(title, "\n".join(row for kind in _ORDER for row in rows[kind]), metadata)


def _part(root: Element) -> Iterator[str]:
    for node in root:
        if attribute(node, "type") not in _SEPARATORS:
            yield from blocks(node)


def _heading(document: Element, package: Package, related: dict[str, Related]) -> str:
    """The first paragraph in a style for titles or headings; "" without one."""
    names = {}
    for part in related.values():
        if part.kind == "styles":
            for defined in package.part(part.name):
                called = next((node for node in defined if local_name(node) == "name"), None)
                if called is not None:
                    names[attribute(defined, "styleId")] = attribute(called, "val").lower()
    for paragraph in document.iter():
        if local_name(paragraph) == "p":
            marks = (mark for part in paragraph if local_name(part) == "pPr" for mark in part)
            style = next((mark for mark in marks if local_name(mark) == "pStyle"), None)
            if style is not None and names.get(attribute(style, "val"), "").startswith(("title", "heading")):
                text = " ".join("".join(_runs(paragraph, [])).split())
                if text:
                    return text
    return ""


def attribute(node: Element, name: str) -> str:
    """An attribute's value by its name without its namespace; "" without one."""
    return next((value for key, value in node.items() if key.rpartition("}")[2] == name), "")
