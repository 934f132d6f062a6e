"""TREC runs: the file in which rankings go to an evaluation."""

from __future__ import annotations

import gzip
import io
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol, cast

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.types import Query

STANDARD_OUTPUT: Final = "-"
_BUFFER: Final = 1 << 20


class Scored(Protocol):
    """What a run says of a document: a `Ranked`, a `Hit`, or the like."""

    @property
    def id(self) -> str: ...

    @property
    def score(self) -> float: ...


def write_run(
    destination: str | os.PathLike[str] | IO[str],
    results: Iterable[tuple[Query, Sequence[Scored]]],
    tag: str = "leanseek",
) -> int:
    """Write `query-id Q0 document-id rank score tag` lines, best first, and return how many.

    `destination` is a path (gzip if it ends in .gz), "-" for standard output, or an open text stream. A file
    appears under its name only when it is complete, and the same results always give the same bytes. Scores
    are written so that reading them gives the very same float64.

    trec_eval disregards the rank and sorts by score, equal scores by document id from last to first, where
    leanseek has them from first to last. Hits of equal scores thus change places in it; so may scores that
    differ by less than float32 can tell.

    Raises UsageError for a tag with white space, InputError for an id with white space, UsageError for hits
    that are not in descending order of finite scores, and StorageError where the file cannot be written.
    """
    _check_word(tag, "the tag", UsageError, "give another")
    written = 0
    with _text_stream(destination) as stream:
        for block in _blocks(results, tag):
            try:
                stream.write("".join(block))
            except BrokenPipeError:
                raise
            except OSError as error:
                raise _unwritable(destination, error) from error
            written += len(block)
    return written


def _blocks(results: Iterable[tuple[Query, Sequence[Scored]]], tag: str) -> Iterator[list[str]]:
    """The lines of one query after another."""
    for query, hits in results:
        _check_word(query.id, "the query id", InputError, "change it in the file of the queries")
        block: list[str] = []
        before = math.inf
        for rank, hit in enumerate(hits, 1):
            _check_word(hit.id, "the document id", InputError, "index the documents under other ids")
            if not math.isfinite(hit.score) or hit.score > before:
                raise UsageError(
                    f"hit {rank} of query {query.id!r} has the score {hit.score!r} after {before!r}; scores "
                    "must be finite and descend"
                )
            before = hit.score
            block.append(f"{query.id} Q0 {hit.id} {rank} {float(hit.score)!r} {tag}\n")
        yield block


def _check_word(word: str, what: str, error: type[InputError | UsageError], remedy: str) -> None:
    if word.split() != [word]:
        fault = "has white space" if word else "is empty"
        raise error(f"{what} {word!r} {fault}, and white space separates the columns of a run; {remedy}")


@contextmanager
def _text_stream(destination: str | os.PathLike[str] | IO[str]) -> Iterator[IO[str]]:
    if not isinstance(destination, (str, os.PathLike)):
        yield destination
    elif os.fspath(destination) == STANDARD_OUTPUT:
        yield sys.stdout
    else:
        path = Path(destination)
        # Replacing a device or pipe by a file would destroy it.
        if path.exists() and not path.is_file():
            if path.is_dir():
                raise StorageError(f"{path}: this is a folder; name the file to write in it")
            with _opened(path, path) as file, _encoded(file, path) as stream:
                yield stream
        else:
            path = path.resolve()
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            filled = False
            try:
                with _opened(temporary, path) as file, _encoded(file, path) as stream:
                    yield stream
                    filled = True
                temporary.replace(path)
            except OSError as error:
                if not filled:
                    raise  # not the file's fault, or told already
                raise _unwritable(path, error) from error
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)


def _opened(path: Path, destination: Path) -> IO[bytes]:
    try:
        return path.open("wb", buffering=_BUFFER)
    except OSError as error:
        raise _unwritable(destination, error) from error


@contextmanager
def _encoded(file: IO[bytes], path: Path) -> Iterator[IO[str]]:
    """The file as text, compressed if its name says so: without name and time, which would differ."""
    if path.suffix.lower() != ".gz":
        with io.TextIOWrapper(cast(io.BufferedWriter, file), encoding="utf-8", newline="\n") as plain:
            yield plain
        return
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(cast(io.BufferedWriter, packed), encoding="utf-8", newline="\n") as text,
    ):
        yield text


def _unwritable(destination: object, error: OSError) -> StorageError:
    return StorageError(f"{destination}: the run cannot be written: {error.strerror or error}")
