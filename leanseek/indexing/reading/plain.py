"""Titles of plain text, Markdown and reStructuredText."""

from __future__ import annotations

import itertools
import re
from typing import Final

_ATX: Final = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_SETEXT: Final = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_RST_LINE: Final = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*")


def markdown_title(text: str) -> str:
    """The first heading, in either notation and outside fenced code; "" if there is none."""
    front = _FRONT_MATTER.match(text)
    fence = ""
    above = ""
    for line in text[front.end() if front else 0 :].split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = ""
            continue
        if mark:
            fence, above = mark[1], ""
            continue
        heading = _ATX.fullmatch(line)
        if heading and heading[1]:
            return heading[1].strip()
        if above and _SETEXT.fullmatch(line):
            return above
        # A list, a quotation or indented code above a line of dashes is no heading.
        above = "" if re.match(r"\s{4}|\t|\s*(?:[-*+>|]|\d+[.)]\s)", line) else line.strip()
    return ""


def rst_title(text: str) -> str:
    """The first line underlined by punctuation at least as long as itself; "" if there is none."""
    rows = text.split("\n")
    for line, under in itertools.pairwise(rows):
        title = line.strip()
        adorned = _RST_LINE.fullmatch(under) is not None and len(under.rstrip()) >= len(title)
        if adorned and title and not _RST_LINE.fullmatch(title) and not title.startswith(".. "):
            return title
    return ""
