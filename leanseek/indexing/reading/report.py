"""What a reading came to, and where in a file it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from leanseek.errors import InputError

KEPT_MESSAGES: Final = 10
"""How many messages a report keeps; the counts go on."""


@dataclass(slots=True)
class ReadReport:
    """Counts of one reading; pass one to `read` and look at it when the documents are used up."""

    read: int = 0
    """Documents handed on."""
    skipped: int = 0
    """Records, or whole files, that could not be used (with `on_error="skip"`)."""
    empty: int = 0
    """Documents with neither title nor text; they are left out."""
    repaired: int = 0
    """Documents whose invalid bytes or lone surrogates became U+FFFD, or whose NULs were removed."""
    ignored: int = 0
    """Files of a folder whose kind is not read."""
    messages: list[str] = field(default_factory=list)
    """The first messages about skipped and empty documents, each beginning with its place."""

    def note(self, message: str) -> None:
        """Keep the message if it is among the first."""
        if len(self.messages) < KEPT_MESSAGES:
            self.messages.append(message)

    def sentence(self) -> str:
        """The counts in words; those that are zero go unmentioned, but for the documents read."""
        parts = [f"{self.read:,} {'document' if self.read == 1 else 'documents'} read"]
        for count, one, many in (
            (self.skipped, "skipped: it could not be read", "skipped: they could not be read"),
            (self.empty, "left out: it is empty", "left out: they are empty"),
            (self.repaired, "with invalid characters replaced", "with invalid characters replaced"),
            (self.ignored, "file of another kind ignored", "files of other kinds ignored"),
        ):
            if count:
                parts.append(f"{count:,} {one if count == 1 else many}")
        return "; ".join(parts)


class Place:
    """Where the reading of one file stands; `str` gives `file:line`, or `file` before the first line."""

    __slots__ = ("file", "line", "repaired")

    def __init__(self, file: str) -> None:
        self.file = file
        self.line = 0
        self.repaired = False
        """Whether characters of the record being read had to be replaced or removed."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def error(self, message: str) -> InputError:
        """An `InputError` whose message begins with this place."""
        return InputError(f"{self}: {message}")
