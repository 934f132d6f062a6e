"""Plain text, Markdown with its front matter, reStructuredText and XML: the text, its title and metadata."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree

from leanseek.errors import MissingPackageError
from leanseek.reading.metadata import MetadataBuilder, MetadataError
from leanseek.reading.outline import sections
from leanseek.reading.streams import Page, Place, decode, first_line, whole
from leanseek.types import MetadataValue

_ATX: Final = re.compile(r" {0,3}#{1,6}[ \t]+")
_SETEXT: Final = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_NO_HEADING: Final = re.compile(r"\s{4}|\t|\s*(?:[-*+>|]|\d+[.)]\s)")
_RST_LINE: Final = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*")
_FENCES: Final = {"---": ("---", "..."), "+++": ("+++",)}
_LONGEST_FRONT: Final = 1 << 16
_DEEPEST_FRONT: Final = 50
"""Levels of values in a front matter, which has one or two."""


def plain(stream: io.BufferedReader, place: Place) -> Page:
    """A text of any kind, as it is."""
    return Page("", whole(stream, place))


def restructured(stream: io.BufferedReader, place: Place) -> Page:
    """reStructuredText, with its first heading for a title."""
    text = whole(stream, place)
    return Page(rst_title(text), text, sections(_rst_headings(text)))


def markdown(stream: io.BufferedReader, place: Place) -> Page:
    """Markdown: its front matter, YAML between lines of `---` or TOML between `+++`, is no text but metadata.

    The title is the front matter's, else the first heading. What is not valid YAML or TOML stays in the text.
    """
    text = whole(stream, place)
    metadata: dict[str, MetadataValue] = {}
    title = ""
    split = _front_matter(text)
    if split is not None:
        mark, front, body = split
        values = _values(mark, front, place)
        if values is not None:
            given = values.pop("title", None)
            title = " ".join(str(given).split()) if given is not None else ""
            builder = MetadataBuilder()
            for name, value in values.items():
                try:
                    builder.add(name, value)
                except MetadataError as error:
                    place.notes.append(f"its front matter's field {name!r} {error} and was left out")
            metadata, text = builder.values, body.lstrip("\n")
    return Page(title or markdown_title(text), text, {**metadata, **sections(markdown_headings(text))})


def _front_matter(text: str) -> tuple[str, str, str] | None:
    """The mark, the front matter and what follows it; None where the text does not begin with one."""
    mark = text[:3]
    if mark not in _FENCES:
        return None
    start = text.find("\n") + 1
    if not start or text[3:start].strip():
        return None
    at = start
    while 0 < at <= _LONGEST_FRONT:
        end = text.find("\n", at)
        line = text[at:] if end < 0 else text[at:end]
        if line.rstrip(" \t") in _FENCES[mark]:
            return mark, text[start:at], "" if end < 0 else text[end + 1 :]
        at = end + 1
    return None


def _values(mark: str, front: str, place: Place) -> dict[str, Any] | None:
    """The fields of a front matter; None, with a note, where it cannot be read as such."""
    try:
        found = _toml(front) if mark == "+++" else _yaml(front)
    except (ValueError, RecursionError) as error:
        place.notes.append(f"its front matter is not valid and stays in the text ({first_line(error)})")
        return None
    if found is None:
        return {}
    # Between two lines of dashes there may as well be a paragraph.
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else None


def _toml(front: str) -> object:
    import tomllib

    return tomllib.loads(front)


def _yaml(front: str) -> object:
    try:
        import yaml
    except ImportError as error:
        raise MissingPackageError("Reading the front matter of .md files", "PyYAML", "files") from error

    depth = 0
    try:
        for event in yaml.parse(front, Loader=yaml.SafeLoader):
            # Aliases can make a kilobyte stand for gigabytes, and each level makes each token slower.
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has YAML aliases")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST_FRONT:
                raise ValueError(f"its values are nested more than {_DEEPEST_FRONT} levels deep")
        return yaml.safe_load(front)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def markdown_title(text: str) -> str:
    """The first heading, in either notation and outside fenced code; "" if there is none."""
    return next((heading for _, heading in markdown_headings(text)), "")


def markdown_headings(text: str) -> Iterator[tuple[int, str]]:
    """The headings, in either notation and outside fenced code, each with the character at which its line begins."""
    split = _front_matter(text)
    fence = ""
    above = ""
    body = split[2] if split else text
    end = start = len(text) - len(body)
    for line in body.split("\n"):
        before, start, end = start, end, end + len(line) + 1
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = ""
            continue
        if mark:
            fence, above = mark[1], ""
            continue
        heading = _atx_heading(line)
        if heading:
            yield start, heading
            above = ""
            continue
        if above and _SETEXT.fullmatch(line):
            yield before, above
            above = ""
            continue
        # A list, a quotation or indented code above a line of dashes is no heading.
        above = "" if _NO_HEADING.match(line) else line.strip()


def _atx_heading(line: str) -> str:
    """The text of a line such as `## Heading ##`; "" where it is none."""
    begin = _ATX.match(line)
    if begin is None:
        return ""
    heading = line[begin.end() :].rstrip(" \t")
    unclosed = heading.rstrip("#")
    return (heading if unclosed and unclosed[-1] not in " \t" else unclosed).strip()


def rst_title(text: str) -> str:
    """The first line underlined by punctuation at least as long as itself; "" if there is none."""
    return next((heading for _, heading in _rst_headings(text)), "")


def _rst_headings(text: str) -> Iterator[tuple[int, str]]:
    """The lines underlined like that, each with the character at which it begins."""
    rows = text.split("\n")
    end = 0
    for line, under in itertools.pairwise(rows):
        start, end = end, end + len(line) + 1
        title = line.strip()
        adorned = _RST_LINE.fullmatch(under) is not None and len(under.rstrip()) >= len(title)
        if adorned and title and not _RST_LINE.fullmatch(title) and not title.startswith(".. "):
            yield start, title


def xml(stream: io.BufferedReader, place: Place) -> Page:
    """XML: the text of its elements, each on a line unless it is inside of running text; the title is a `<title>`.

    A file that is not well-formed, or has its content in attributes alone, is read as it is.
    """
    source = decode(stream.read(), place)
    try:
        root = ElementTree.fromstring(source)
    except ElementTree.ParseError:
        return Page("", source)
    rows = "".join(_pieces(root)).split("\n")
    text = "\n".join(row for row in (" ".join(row.split()) for row in rows) if row)
    titled = next((node for node in root.iter() if local_name(node) == "title"), None)
    title = " ".join("".join(titled.itertext()).split()) if titled is not None else ""
    return Page(title, text or source)


def _pieces(root: ElementTree.Element) -> Iterator[str]:
    """The texts of a tree in order, with line ends around the elements of an element that has no text beside them."""
    stack: list[tuple[ElementTree.Element, Iterator[ElementTree.Element], bool]] = []
    node: ElementTree.Element | None = root
    while node is not None or stack:
        if node is not None:
            running = bool((node.text or "").strip()) or any((child.tail or "").strip() for child in node)
            yield _flat(node.text)
            stack.append((node, iter(node), running))
        node, children, running = stack[-1][0], stack[-1][1], stack[-1][2]
        following = next(children, None)
        if following is not None:
            yield "" if running else "\n"
            node = following
            continue
        stack.pop()
        yield ("" if not stack or stack[-1][2] else "\n") + _flat(node.tail)
        node = None


def _flat(text: str | None) -> str:
    return " ".join(f"|{text}|".split())[1:-1] if text else ""


def local_name(node: ElementTree.Element) -> str:
    """An element's name without its namespace; "" for a comment or instruction."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
