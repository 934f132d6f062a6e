"""The passages of documents that a model learns from where there are no judgments."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from leanseek.encode.tokenizer import encodable
from leanseek.errors import InputError, UsageError
from leanseek.text.chunking import Chunk, Chunking
from leanseek.types import Document, content

FEWEST_TEXTS: Final = 100
HELD_OUT: Final = 0.05
MOST_HELD_OUT: Final = 500


class Texts(NamedTuple):
    """Passages of so many documents, in a random order: those to learn from, and others that are held out."""

    learn: list[str]
    held_out: list[str]
    documents: int

    def checksum(self) -> str:
        """The SHA-256 of the passages in their order."""
        digest = hashlib.sha256()
        for text in (*self.learn, *self.held_out):
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()


def passages(document: Document, chunking: Chunking) -> Iterator[str]:
    """The texts of a document's passages, its title before each, as they are encoded in an index."""
    for part in chunking.split(document.text, document.title) or [Chunk(0, "")]:
        yield encodable(content(document.title, part.text))


def texts_of(
    documents: Iterable[Document],
    seed: int,
    max_tokens: int,
    limit: int | None,
    *,
    parts: Callable[[Document, Chunking], Iterable[str]] = passages,
    what: str = "texts",
) -> Texts:
    """Passages of about `max_tokens` of documents, each once, at most `limit` (None: all), drawn by the seed.

    `parts` gives what a document has to be drawn, which a message names as `what`. Raises UsageError for a limit that
    is too low, InputError for too few.
    """
    if limit is not None and limit < FEWEST_TEXTS:
        raise UsageError(f"a limit of {limit} {what}; it must be at least {FEWEST_TEXTS}")
    draw, drawn, seen, count = random.Random(seed), list[str](), set[bytes](), 0
    # Three words are about four tokens.
    chunking = Chunking(max(1, max_tokens * 3 // 4))
    for document in documents:
        count += 1
        for text in parts(document, chunking):
            key = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if key in seen:
                continue
            seen.add(key)
            # Each of those seen so far is among the drawn with the same chance (Vitter's algorithm R).
            if limit is None or len(drawn) < limit:
                drawn.append(text)
            elif (place := draw.randrange(len(seen))) < limit:
                drawn[place] = text
    if len(drawn) < FEWEST_TEXTS:
        raise InputError(
            f"the sources have {len(drawn)} different {what}; training needs at least {FEWEST_TEXTS}, and tens of "
            "thousands are good. Add sources: any texts will do"
        )
    draw.shuffle(drawn)
    held = min(MOST_HELD_OUT, round(HELD_OUT * len(drawn)))
    return Texts(drawn[held:], drawn[:held], count)
