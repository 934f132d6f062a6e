"""The characters of a file: the encoding of its bytes, and whether they are text at all."""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

from leanseek.errors import UsageError

MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks and the encodings they stand for."""

_BINARY: Final = (
    b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\x7fELF", b"GIF8", b"\xff\xd8\xff", b"\xd0\xcf\x11\xe0", b"RIFF",
    b"{\\rtf", b"%!PS", b"Rar!", b"7z\xbc\xaf", b"OggS", b"ID3", b"fLaC",
)  # fmt: skip
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\x0b\x0c\r\x1b")) + b"\x7f"
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\n\r"
_HIGH: Final = bytes(range(128, 256))
_WHITE: Final = b" \t\n\r"
# Pages, XML and source code name their encoding in their first lines.
_DECLARED: Final = re.compile(rb"(?:charset|coding)\s{0,9}[=:]\s{0,9}[\"']?([A-Za-z0-9][\w.:-]{0,40})")
_DECLARED_WITHIN: Final = 1024
SEVEN_BITS: Final = ("iso2022", "hz", "utf-7")
"""How the names of encodings begin that write other scripts in ASCII's bytes and so look like UTF-8."""

_ESCAPED: Final = b"\x1b$"
_WIDE: Final = ("utf-16", "utf-32")
_SURE: Final = 0.1
_WESTERN: Final = "cp1252"


class Charset(NamedTuple):
    """An encoding, and whether it is a guess."""

    name: str
    guessed: bool = False

    @property
    def wide(self) -> bool:
        """Whether lines cannot be found in its bytes."""
        return self.name.startswith(_WIDE)


UTF8: Final = Charset("utf-8")


def known_encoding(name: str) -> str:
    """The usual name of an encoding. Raises UsageError if Python has no text encoding of this name."""
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"the encoding is {name!r}, which is not known; give one such as utf-8, cp1252, gbk, shift_jis, utf-16"
        ) from error
    return codec.name


def charset(sample: bytes, given: str | None = None) -> Charset:
    """The encoding of a text that begins with these bytes, after any byte order mark.

    Valid UTF-8 is UTF-8. Otherwise it is the encoding `given`, or what the text declares in its first lines, if it
    fits; UTF-8 where most of what is beyond ASCII is valid UTF-8, so that only parts are damaged; else a guess.
    """
    # Without a mark Windows' order of bytes is the likelier one.
    given = f"{given}-le" if given in _WIDE else given
    if given is not None and given.startswith(SEVEN_BITS) and sample.isascii():
        return Charset(given)
    # A stray NUL makes no UTF-16; much that is neither ASCII nor white space may.
    if b"\0" in sample and len(sample.translate(None, _PRINTABLE)) * 4 >= len(sample):
        if given is not None and given.startswith(_WIDE) and decodes(sample, given):
            return Charset(given)
        wide = _guess(sample)
        if wide is not None and wide.startswith(_WIDE):
            return Charset(wide, guessed=True)
    declared = _declared(sample)
    if _valid_utf8(sample):
        if _ESCAPED in sample and sample.isascii() and (guess := _guess(sample)) is not None:
            return Charset(guess, guessed=True)
        return Charset(declared) if declared.startswith(SEVEN_BITS) and sample.isascii() else UTF8
    if declared and not declared.startswith(_WIDE) and decodes(sample, declared):
        return Charset(declared)
    if given is not None:
        return Charset(given)
    if mostly_utf8(sample):
        return UTF8
    guess = _guess(sample.replace(b"\0", b""))
    return Charset(guess, guessed=True) if guess is not None else UTF8


def decodes(sample: bytes, encoding: str) -> bool:
    """Whether these bytes, which may end within a character, are valid in an encoding."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except (UnicodeError, LookupError):
        return False
    return True


def _valid_utf8(sample: bytes) -> bool:
    """Whether these bytes are UTF-8; the only character beyond ASCII must not be cut off at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return not decoder.decode(sample).isascii() or not decoder.getstate()[0]
    except UnicodeDecodeError:
        return False


def mostly_utf8(sample: bytes) -> bool:
    """Whether more characters beyond ASCII are valid UTF-8 than bytes are invalid in it."""
    text = sample.decode("utf-8", "surrogateescape")
    invalid = len(re.findall("[\udc80-\udcff]", text))
    return len(text) - len(re.findall("[\0-\x7f]", text)) > 2 * invalid


def is_binary(start: bytes) -> bool:
    """Whether a file called a text begins as a binary format does, or is full of control characters."""
    if start.startswith(_BINARY):
        return True
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if controls * 20 <= len(start) or charset(start).wide:
        return False
    return not decodes(start, "utf-8") or controls * 5 > len(start) * 2


def looks_like_text(start: bytes) -> bool:
    """Whether the first bytes of a file of unknown kind are those of a text, in any encoding."""
    if start.startswith(_BINARY):
        return False
    if start.startswith(tuple(mark for mark, _ in MARKS)):
        return True
    if b"\0" in start:
        return charset(start).wide
    return (len(start) - len(start.translate(None, _CONTROLS))) * 100 <= len(start)


def _declared(sample: bytes) -> str:
    """The encoding named in the first lines; "" without one that is known."""
    found = _DECLARED.search(sample[:_DECLARED_WITHIN])
    try:
        # Python's codecs include some that are no encodings of texts, such as base64.
        return known_encoding(found[1].decode()) if found else ""
    except (UsageError, ValueError):
        return ""


def _guess(sample: bytes) -> str | None:
    """The likeliest encoding in which the bytes are valid; None where they are none of a text."""
    import chardet

    found: dict[str, float] = {}
    for candidate in chardet.detect_all(sample, ignore_threshold=True):
        name = candidate["encoding"]
        if name is not None and decodes(sample, name):
            found.setdefault(codecs.lookup(name).name, candidate["confidence"])
    if not found:
        return None
    best = max(found, key=lambda name: found[name])
    western = found.get(_WESTERN)
    if western is None or found[best] >= 2 * _SURE:
        return best
    # A few accents in a text of Latin letters tell little of the language: the commonest encoding is then likeliest.
    beyond = len(sample) - len(sample.translate(None, _HIGH))
    share = beyond / max(1, len(sample.translate(None, _WHITE)))
    few = beyond < 4
    unsure = found[best] < _SURE and western * 1.5 + 0.03 >= found[best]
    return _WESTERN if share < 0.4 and (few or unsure) else best
