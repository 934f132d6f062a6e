"""Runs, read and written: rankings in the formats of TREC and MS MARCO."""

from __future__ import annotations

import gzip
import io
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from math import inf
from pathlib import Path
from typing import IO, Final, Protocol, cast
from urllib.parse import unquote

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.reading.judgments import PERCENT, encoded, has_space, is_whole_number, rows
from leanseek.reading.streams import Place
from leanseek.types import Query, Run

TREC: Final = "a TREC run has six columns: query id, Q0, document id, rank, score, tag"
MS_MARCO: Final = "an MS MARCO run has three: query id, passage id, rank"
SWAPPED: Final = (
    "this looks like judgments (qrels), not like a run; are the two arguments swapped? The run is the "
    "argument, the judgments follow --qrels"
)
STANDARD_OUTPUT: Final = "-"
_BUFFER: Final = 1 << 20


class Scored(Protocol):
    """A document with its score in a ranking: a `Ranked`, a `Hit`, or the like."""

    @property
    def id(self) -> str: ...

    @property
    def score(self) -> float: ...


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in a file, or on standard input for "-"; gzip and bzip2 are unpacked.

    The first line decides the format.

    TREC: `query-id Q0 document-id rank score tag`, tabs or other white space between; the rank is disregarded, as
    trec_eval does. MS MARCO: `query-id passage-id rank`; a score is then the negative rank. Ids may have spaces where
    tabs separate the columns; those of lines with `Q0%` are decoded, see `write_run`. The run's `tag` is the first
    line's, or without one the file's name.

    Raises InputError beginning with `file:line:` for a line of another shape, a score that is no finite
    number, a document that a query has twice; and for an empty run, and for judgments given as a run.
    """
    place = Place(os.fspath(path))
    filled = rows(os.fspath(path), place)
    first = next(filled, None)
    if first is None:
        raise InputError(f"{place.file}: the run is empty; {TREC}")
    cells = _cells(first, 6, 3)
    width = _width(cells, place)
    rankings: dict[str, dict[str, float]] = {}
    read = _read_trec if width == 6 else _read_ms_marco
    read(chain((first,), filled), rankings, place)
    return Run(cells[5] if width == 6 else _name(place.file), rankings)


def _cells(row: str, *widths: int) -> list[str]:
    """The row cut at white space, or at tabs alone where only that gives the columns there must be."""
    cells = row.split()
    if len(cells) not in widths and len(tabbed := row.strip("\r\n").split("\t")) in widths:
        return [cell.strip() for cell in tabbed] if all(map(str.strip, tabbed)) else cells
    return cells


def _width(cells: list[str], place: Place) -> int:
    """6 or 3: the columns of the format that the first line is in."""
    if len(cells) == 6:
        return 6
    if len(cells) == 3 and is_whole_number(cells[2]):
        return 3
    if len(cells) == 3 or (len(cells) == 4 and is_whole_number(cells[3])):
        raise place.error(SWAPPED)
    raise place.error(f"{len(cells)} columns; {TREC}; {MS_MARCO}")


def _read_trec(filled: Iterator[str], rankings: dict[str, dict[str, float]], place: Place) -> None:
    current = ""
    ranking: dict[str, float] = {}
    for row in filled:
        try:
            query, marked, document, _, number, _ = row.split()
            score = float(number)
        except ValueError:
            cells = _cells(row, 6)
            if len(cells) != 6:
                raise place.error(f"{len(cells)} columns; {TREC}") from None
            query, marked, document, _, number, _ = cells
            score = _score(number, place)
        if marked[-1] == PERCENT:
            query, document = unquote(query), unquote(document)
        if not -inf < score < inf:
            raise place.error(f"the score is {number}; scores must be finite numbers")
        if query != current:
            # Runs may come shuffled, so a query's ranking may have begun before.
            current = query
            ranking = rankings.setdefault(query, {})
        if document in ranking:
            raise _twice(document, query, place)
        ranking[document] = score


def _score(number: str, place: Place) -> float:
    try:
        return float(number)
    except ValueError:
        raise place.error(f"the score is {number!r}; it must be a number") from None


def _read_ms_marco(filled: Iterator[str], rankings: dict[str, dict[str, float]], place: Place) -> None:
    for row in filled:
        cells = _cells(row, 3)
        if len(cells) != 3:
            raise place.error(f"{len(cells)} columns; {MS_MARCO}")
        query, document, number = cells
        if not is_whole_number(number):
            raise place.error(f"the rank is {number!r}; it must be a whole number")
        rank = int(number)
        if rank < 1:
            raise place.error(
                f"the rank is {rank}; ranks begin at 1 (are these judgments? They follow --qrels)"
            )
        ranking = rankings.setdefault(query, {})
        if document in ranking:
            raise _twice(document, query, place)
        ranking[document] = -float(rank)


def _twice(document: str, query: str, place: Place) -> InputError:
    return place.error(
        f"document {document!r} for query {query!r} a second time; a run has each document once a query"
    )


def _name(file: str) -> str:
    name = Path(file).name.removesuffix(".gz").removesuffix(".bz2")
    return name.split(".")[0].replace(" ", "-") or name


def write_run(
    destination: str | os.PathLike[str] | IO[str],
    results: Iterable[tuple[Query, Sequence[Scored]]],
    tag: str = "leanseek",
) -> int:
    """Write `query-id Q0 document-id rank score tag` lines, best first, and return how many.

    `destination` is a path (gzip if it ends in .gz), "-" for standard output, or an open text stream. A file
    appears under its name only when it is complete, and the same results always give the same bytes. Scores
    are written so that reading them gives the very same float64.

    White space in an id would part it. Lines with such an id have their ids percent-encoded (`doc 4` is `doc%204`,
    and a `%` is `%25`) and `Q0%` in the second column, by which `read_run` knows them; others have ids as they are.

    trec_eval disregards the rank and sorts by score, equal scores by document id from last to first, where
    leanseek has them from first to last. Hits of equal scores thus change places in it; so may scores that
    differ by less than float32 resolves.

    Raises UsageError for a tag with white space, InputError for an empty id, UsageError for hits that are not in
    descending order of finite scores, and StorageError where the file cannot be written.
    """
    if has_space(tag):
        raise UsageError(
            f"the tag {tag!r} {'has white space' if tag else 'is empty'}, and white space separates the columns of a "
            "run; give another"
        )
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
        spaced = has_space(query.id)
        if not query.id:
            raise InputError("the query id '' is empty; give the query one in the file of the queries")
        block: list[str] = []
        before = math.inf
        for rank, hit in enumerate(hits, 1):
            if not math.isfinite(hit.score) or hit.score > before:
                raise UsageError(
                    f"hit {rank} of query {query.id!r} has the score {hit.score!r} after {before!r}; scores "
                    "must be finite and descend"
                )
            before = hit.score
            if not spaced and not has_space(hit.id):
                block.append(f"{query.id} Q0 {hit.id} {rank} {float(hit.score)!r} {tag}\n")
                continue
            if not hit.id:
                raise InputError("the document id '' is empty; index the document under another")
            ids = f"{encoded(query.id)} Q0{PERCENT} {encoded(hit.id)}"
            block.append(f"{ids} {rank} {float(hit.score)!r} {tag}\n")
        yield block


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
                    raise  # raised by the results, or a StorageError already
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
