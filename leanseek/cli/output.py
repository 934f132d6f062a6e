"""Hits and progress for people, and JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from leanseek.reading import ReadReport
    from leanseek.types import ExpandedTerm, Facet, Hit, Progress, Scalar, Snippet

INDENT = 5
VALUES = 10
"""How many values of a facet are printed."""
EXPANDED = 8
"""How many of the terms that the learned side has matched are printed."""
ATTENDED = 10
"""How many of the tokens that a re-ranker attended to are printed."""
COPIES = 5
"""How many of the documents with the same text are named."""


def console(stderr: bool = False) -> Console:
    """A terminal, or a plain stream that is never wrapped."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # handled with all other errors; rich would exit with a failure

    made = Piped(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = 10_000
    return made


def print_json(value: Mapping[str, Any], err: bool = False) -> None:
    """One line of JSON on standard output, or on standard error."""
    stream = sys.stderr if err else sys.stdout
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    stream.write(json.dumps(value, ensure_ascii=not unicode, allow_nan=False) + "\n")


def print_reading(reading: ReadReport) -> None:
    """Print how much was read, and what was left out or guessed."""
    typer.echo(f"{reading.sentence()}.")
    for line in reading.details():
        typer.echo(f"  {line}")


def print_hits(hits: list[Hit], explain: bool) -> None:
    """Print rank, score, probability, id, title and snippet of hits; with `explain` their stages too."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    for hit in hits:
        head = Text(f"{hit.rank:>3}. ")
        head.append(f"{hit.score:.4f}", style="cyan")
        if hit.probability is not None:
            head.append(f"  p {chance(hit.probability)}", style="magenta")
        head.append(f"  {printable(hit.id)}", style="bold green")
        if hit.title and hit.title != hit.id:
            head.append(f"  {printable(hit.title)}", style="bold")
        if hit.passage is not None:
            head.append(f"  (part {hit.passage.number + 1} of {hit.passage.count})", style="dim")
        out.print(head, soft_wrap=True)
        if hit.explanation is not None:
            text = highlighted(hit.explanation.snippet)
            out.print(Padding(text, (0, 0, 0, INDENT)) if out.is_terminal else Text(" " * INDENT) + text)
            if hit.copies:
                out.print(Text(" " * INDENT + copies_line(hit), style="dim"), soft_wrap=True)
            if explain:
                for line in (stages_line(hit), attention_line(hit)):
                    if line:
                        out.print(Text(" " * INDENT + line, style="dim"), soft_wrap=True)


def chance(probability: float) -> str:
    """A probability for people: 0.87, 0.031, 0.0004, <0.0001."""
    if 0 < probability < 0.0001:
        return "<0.0001"
    places = 2 if probability >= 0.1 else 3 if probability >= 0.01 else 4
    return f"{probability:.{places}f}"


def copies_line(hit: Hit) -> str:
    """The first documents with the same text as the hit, and how many others there are."""
    shown = ", ".join(map(printable, hit.copies[:COPIES]))
    more = f" and {len(hit.copies) - COPIES:,} more" if len(hit.copies) > COPIES else ""
    return f"same text: {shown}{more}"


def facet_line(field: str, facet: Facet) -> str:
    """The most frequent values of a field, each with how many documents have it."""
    shown = ", ".join(f"{value_text(value)} {count:,}" for value, count in facet.values[:VALUES])
    more = f" and {facet.distinct - VALUES:,} more" if facet.distinct > VALUES else ""
    return f"{printable(field)}: {shown or 'no value'}{more}"


def value_text(value: Scalar) -> str:
    """A value of a field as a filter writes it, but for quotation marks."""
    return str(value).lower() if isinstance(value, bool) else printable(str(value)) or '""'


def stages_line(hit: Hit) -> str:
    """The hit's rank and score by each side and re-ranker, and the terms it shares with the query."""
    if hit.explanation is None:
        return ""
    parts = []
    for side, stage in (
        ("sparse", hit.explanation.sparse),
        ("dense", hit.explanation.dense),
        ("learned", hit.explanation.learned),
    ):
        if stage is not None and stage.score is not None:
            place = f"#{stage.rank}" if stage.rank is not None else "not found"
            parts.append(f"{side} {place} ({stage.score:.3f})")
    if hit.explanation.wordings:
        places = (f"#{one.rank}" if one.rank is not None else "not found" for one in hit.explanation.wordings)
        parts.append(f"wordings {', '.join(places)}")
    if (fresh := hit.explanation.freshness) is not None:
        date = printable(str(fresh.date)) if fresh.date is not None else "no date"
        parts.append(f"recency × {fresh.factor:.3f} ({date})")
    if hit.explanation.interest is not None:
        parts.append(f"history {hit.explanation.interest:.3f}")
    if hit.history:
        parts.append(" → ".join(f"{by} #{rank} ({score:.3f})" for by, rank, score in hit.history))
    if hit.explanation.terms:
        parts.append(f"terms: {', '.join(hit.explanation.terms)}")
    if hit.explanation.expanded:
        shown = hit.explanation.expanded[:EXPANDED]
        parts.append(f"matched: {', '.join(map(expanded_term, shown))}")
    return " · ".join(parts)


def expanded_term(one: ExpandedTerm) -> str:
    """A term that the learned side has matched, with its part of the score."""
    return f"{printable(one.term)} {one.score:.2f}{' (expansion)' if one.expansion else ''}"


def attention_line(hit: Hit) -> str:
    """The tokens that a decoder attended to most, best first, each with its share of the score."""
    from leanseek.types import AttentionExplanation

    if not isinstance(hit.explanation, AttentionExplanation):
        return ""
    found = [
        (token.attention, text[token.start : token.end].strip())
        for text, tokens in ((hit.title, hit.explanation.title), (hit.text, hit.explanation.text))
        for token in tokens
        if token.attention > 0
    ]
    best = sorted(found, key=lambda one: -one[0])[:ATTENDED]
    looked = ", ".join(f"{printable(token)} ({attention:.3g})" for attention, token in best if token)
    return f"attention: {looked}" if looked else ""


def highlighted(snippet: Snippet) -> Text:
    """A snippet with its matches marked: in bold on a terminal, in **asterisks** elsewhere."""
    from rich.text import Text

    marks = not sys.stdout.isatty()
    text, last = Text(), 0
    for start, end in snippet.highlights:
        text.append(printable(snippet.text[last:start]))
        match = printable(snippet.text[start:end])
        text.append(f"**{match}**" if marks else match, style="bold yellow")
        last = end
    text.append(printable(snippet.text[last:]))
    return text


def printable(text: str) -> str:
    """Text without control characters, which could move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Progress on standard error: bars on a terminal, a line now and then elsewhere, nothing if `quiet`."""
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        with live_progress() as progress:
            yield progress
    else:
        yield line_progress()


@contextmanager
def live_progress() -> Iterator[Progress]:
    from rich import progress as bars

    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    tasks: dict[str, bars.TaskID] = {}
    # What is printed meanwhile is no part of the display, which would write it to standard error.
    with bars.Progress(*columns, console=console(stderr=True), redirect_stdout=False) as display:

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total)
            display.update(tasks[stage], completed=done, total=total)

        yield show


def line_progress() -> Progress:
    """A line at the start of a stage and at each tenth of it (each 100,000 if the total is unknown)."""
    last: dict[str, int] = {}

    def show(stage: str, done: int, total: int | None) -> None:
        step = done * 10 // max(total, 1) if total is not None else done // 100_000
        if last.get(stage) != step:
            last[stage] = step
            of = f" of {total:,}" if total is not None else ""
            sys.stderr.write(f"{stage} {done:,}{of}\n" if done else f"{stage}\n")
            sys.stderr.flush()

    return show


def file_size(size: int) -> str:
    """Bytes for people: 1.4 MB."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= power:
            return f"{size / power:.1f} {unit}"
    return f"{size} bytes"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 document`, `2,000 documents`; `many` is the plural that does not end in s alone."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
