"""Reports in every format, and as pages that need nothing but a browser."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from leanseek.errors import MissingPackageError, UsageError
from leanseek.eval.relevance.relevance_result import RelevanceResult
from leanseek.eval.reports import figures
from leanseek.eval.reports.figures import colour
from leanseek.eval.reports.study import Explained, Group, Study
from leanseek.eval.reports.table import best, comma_separated, cost, latex, markdown, note
from leanseek.files import replacing
from leanseek.types import AttentionExplanation, Hit, TokenAttention

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

MOST_CHANGED = 20
"""Queries listed for each system beside the baseline."""
Format: TypeAlias = Literal["html", "markdown", "csv", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES: dict[Format, str] = {
    "html": "report.html",
    "markdown": "report.md",
    "csv": "report.csv",
    "latex": "report.tex",
}


def write_report(study: Study, folder: str | os.PathLike[str], formats: Iterable[Format]) -> list[Path]:
    """Write `report.html`, `.md`, `.csv`, `.tex` as wanted into `folder`; the same study gives the same bytes.

    Nothing is written unless all can be rendered. Raises MissingPackageError, UsageError or StorageError.
    """
    texts = {format: render(study, format) for format in formats}
    paths = [Path(folder) / FILES[format] for format in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def write_page(result: RelevanceResult, path: Path) -> None:
    """Write the page of a relevance model; the same result gives the same bytes.

    Raises MissingPackageError, StorageError.
    """
    write_text(path, relevance_page(result))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises StorageError."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def render(study: Study, format: Format) -> str:
    """The report in one format. Raises MissingPackageError, for html only, and UsageError for another format."""
    if format == "html":
        return page(study)
    tables = {"markdown": markdown, "csv": comma_separated, "latex": latex}
    if format not in tables:
        raise UsageError(f"'{format}' is not a format of a report. Choose from: {', '.join(FORMATS)}")
    return tables[format](study)


def page(study: Study) -> str:
    """The page as HTML: no address, no library, query texts escaped. Raises MissingPackageError."""
    template, markup = load_template("page.html.j2")
    drawn = [
        {name: markup(svg) for name, svg in drawings(group, f"g{place}").items()}
        for place, group in enumerate(study.groups)
    ]
    changed = [
        [
            (
                place,
                system,
                system.against.most_changed(MOST_CHANGED),
                markup(figures.differences(group, system, place, f"g{at}d{place}")),
            )
            for place, system in enumerate(group.systems)
            if system.against is not None
        ]
        for at, group in enumerate(study.groups)
    ]
    page: str = template.render(
        study=study,
        groups=list(zip(study.groups, drawn, changed, strict=True)),
        best=best,
        cost=cost,
        note=note,
        colour=colour,
        asdict=asdict,
    )
    return page


def relevance_page(result: RelevanceResult) -> str:
    """The page of a relevance model as HTML: no address, no library. Raises MissingPackageError."""
    template, markup = load_template("relevance.html.j2")
    plot = markup(figures.reliability(result.reliability, "reliability"))
    page: str = template.render(result=result, plot=plot)
    return page


def load_template(name: str) -> tuple[Template, type[Markup]]:
    """A template of this package, and the class for HTML that it takes as it is. Raises MissingPackageError."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingPackageError("writing a report's page", "jinja2", "report") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    environment.filters["looked_at"] = lambda hit, *how: Markup(looked_at(hit, *how))
    environment.filters["strongest"] = strongest
    environment.filters["signed"] = lambda value: f"{value:+.4f}"
    environment.filters["p"] = lambda value: "—" if value is None else f"{value:.3g}"
    source = files("leanseek.eval.reports").joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source), Markup


def drawings(group: Group, name: str) -> dict[str, str]:
    """The figures of a group that are about all its systems, by title; those with nothing to show are left out."""
    found = {
        f"{group.main} against latency": figures.latency(group, f"{name}l"),
        f"{group.main} against index size": figures.size(group, f"{name}s"),
        "Recall": figures.recall(group, f"{name}r"),
        "Precision": figures.precision(group, f"{name}p"),
        "Precision over recall": figures.interpolated(group, f"{name}i"),
    }
    return {title: svg for title, svg in found.items() if svg}


def looked_at(hit: Hit, field: Literal["title", "text"], strongest: float) -> str:
    """A hit's title or text as HTML, its tokens marked by the attention of a re-ranker in context."""
    return as_html(hit.title if field == "title" else hit.text, tokens(hit, field), strongest)


def as_html(document: str, tokens: Sequence[TokenAttention], strongest: float | None = None) -> str:
    """The document as HTML, each token that is looked at marked the stronger the more it is.

    A token with the attention `strongest` is marked in full; None: the strongest of the tokens.
    """
    if strongest is None:
        strongest = max((token.attention for token in tokens), default=0.0)
    parts, reached = [], 0
    for start, end, attention in tokens:
        start = max(start, reached)
        if attention <= 0 or start >= end:
            continue
        parts.append(html.escape(document[reached:start]))
        strength = min(1.0, attention / strongest)
        parts.append(
            f'<mark style="background:rgba(255,176,0,{strength:.2f})">{html.escape(document[start:end])}</mark>'
        )
        reached = end
    return "".join([*parts, html.escape(document[reached:])])


def tokens(hit: Hit, field: Literal["title", "text"]) -> tuple[TokenAttention, ...]:
    """The tokens of a hit's title or text; none where no re-ranker has explained it."""
    if not isinstance(hit.explanation, AttentionExplanation):
        return ()
    return hit.explanation.title if field == "title" else hit.explanation.text


def strongest(explained: Explained) -> float:
    """The most attention on a token of the query's hits, which are comparable since all were in one prompt."""
    found = (
        one.attention
        for shown in explained.hits
        for one in (*tokens(shown.hit, "title"), *tokens(shown.hit, "text"))
    )
    return max(found, default=0.0)


def number(value: float | None) -> str:
    """A cost in few digits; a dash where it was not recorded."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
