"""Mail messages (.eml)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from email import policy
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from typing import Final

from leanseek.reading.pages import html_page
from leanseek.reading.streams import Page, Place, decode
from leanseek.types import MetadataValue

_HEADERS: Final = ("from", "to", "cc")
_LONGEST_HEADER: Final = 10_000


def eml(stream: io.BufferedReader, place: Place) -> Page:
    """A message: its subject is the title, its body the text, plain where there is a plain one, else that of its HTML.

    Sender, receivers and date are metadata, as are the names of attachments, which are not read and noted. Raises
    InputError for what is no message.
    """
    # The newer policies parse every header in full, which takes quadratic time for some.
    message: Message = BytesParser(policy=policy.compat32).parsebytes(stream.read())
    if not message.keys():
        raise place.error("this is no mail message: it has no headers")
    metadata: dict[str, MetadataValue] = {}
    for name in _HEADERS:
        value = _header(message, name)
        if value:
            metadata[name] = value
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        metadata["date"] = parsedate_to_datetime(_header(message, "date")).isoformat()
    texts: list[str] = []
    attached: list[str] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        name = _filename(part)
        if kind.startswith("text/") and part.get_content_disposition() != "attachment":
            raw = part.get_payload(decode=True)
            texts.append(_text(raw if isinstance(raw, bytes) else b"", part, place).strip())
        elif name:
            attached.append(name)
    if attached:
        metadata["attachments"] = list(attached)
        counted = "an attachment" if len(attached) == 1 else f"{len(attached):,} attachments"
        place.notes.append(
            f"{counted} not read: {', '.join(attached[:3])}{', …' if len(attached) > 3 else ''}"
        )
    return Page(_header(message, "subject"), "\n\n".join(text for text in texts if text), metadata)


def _leaves(message: Message) -> Iterator[Message]:
    """The parts of a message that hold something, the plain one of several alternatives if it is not empty."""
    stack = [message]
    while stack:
        part = stack.pop()
        held = part.get_payload()
        if not part.is_multipart() or not isinstance(held, list):
            yield part
            continue
        inner = [one for one in held if isinstance(one, Message)]
        if part.get_content_type() == "multipart/alternative":
            plain = [
                one
                for one in inner
                if one.get_content_type() == "text/plain" and str(one.get_payload()).strip()
            ]
            rich = [one for one in inner if one.get_content_type() != "text/plain"]
            inner = plain[:1] or rich[-1:]
        stack += reversed(inner)


def _header(message: Message, name: str) -> str:
    value = str(message.get(name, ""))[:_LONGEST_HEADER]
    with suppress(Exception):  # a header may break its own rules anyhow, and is then taken as it is
        value = str(make_header(decode_header(value)))
    return " ".join(value.split())


def _filename(part: Message) -> str:
    try:
        return " ".join((part.get_filename() or "").split())
    except Exception:  # as above
        return "unnamed"


def _text(raw: bytes, part: Message, place: Place) -> str:
    charset = part.get_content_charset()
    if charset:
        with suppress(LookupError, ValueError):
            raw = raw.decode(charset).encode()
    if part.get_content_type() == "text/html":
        return html_page(raw, place).text
    return decode(raw, place).replace("\r\n", "\n")
