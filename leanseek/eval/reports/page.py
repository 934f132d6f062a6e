"""A report as one page that needs nothing but a browser."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from leanseek.errors import MissingPackageError, UsageError
from leanseek.eval.relevance.relevance_result import RelevanceResult
from leanseek.eval.reports import figures
from leanseek.eval.reports.figures import INK, colour, draw
from leanseek.eval.reports.study import Change, Explained, Group, Study, System
from leanseek.eval.reports.table import best, comma_separated, cost, latex, markdown, note
from leanseek.files import replacing
from leanseek.rerank.incontext.explanation import as_html
from leanseek.types import AttentionExplanation, Hit, TokenAttention

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CHANGED = 20
"""Queries listed for each system beside the baseline."""


def page(study: Study) -> str:
    """The page as HTML: no address, no library, query texts escaped. Raises MissingPackageError."""
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
    template = environment.from_string(
        files("leanseek.eval.reports").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    drawn = [
        {name: Markup(svg) for name, svg in drawings(group, f"g{place}").items()}
        for place, group in enumerate(study.groups)
    ]
    changed = [
        [
            (
                place,
                system,
                most_changed(system),
                Markup(figures.differences(group, system, place, f"g{at}d{place}")),
            )
            for place, system in enumerate(group.systems)
            if place
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


def most_changed(system: System) -> tuple[Change, ...]:
    """The queries to list for a system."""
    return system.against.most_changed(MOST_CHANGED) if system.against is not None else ()


def looked_at(hit: Hit, field: Literal["title", "text"], strongest: float) -> str:
    """A hit's title or text as HTML, its tokens marked as a re-ranker in context looked at them."""
    return as_html(hit.title if field == "title" else hit.text, tokens(hit, field), strongest)


def tokens(hit: Hit, field: Literal["title", "text"]) -> tuple[TokenAttention, ...]:
    """The tokens of a hit's title or text; none where no re-ranker has explained it."""
    if not isinstance(hit.explanation, AttentionExplanation):
        return ()
    return hit.explanation.title if field == "title" else hit.explanation.text


def strongest(explained: Explained) -> float:
    """The most attention that a token of the query's hits gets: all stood in one prompt and can be compared."""
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


Format: TypeAlias = Literal["html", "markdown", "csv", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES: dict[Format, str] = {
    "html": "report.html",
    "markdown": "report.md",
    "csv": "report.csv",
    "latex": "report.tex",
}


def render(study: Study, format: Format) -> str:
    """The report in one format. Raises MissingPackageError, for html only, and UsageError for another format."""
    if format == "html":
        return page(study)
    tables = {"markdown": markdown, "csv": comma_separated, "latex": latex}
    if format not in tables:
        raise UsageError(f"'{format}' is no format of a report. Choose from: {', '.join(FORMATS)}")
    return tables[format](study)


def write_report(study: Study, folder: str | os.PathLike[str], formats: Iterable[Format]) -> list[Path]:
    """Write `report.html`, `.md`, `.csv`, `.tex` as asked into `folder`; the same study gives the same bytes.

    Nothing is written unless all can be rendered. Raises MissingPackageError, UsageError or StorageError.
    """
    texts = {format: render(study, format) for format in formats}
    paths = [Path(folder) / FILES[format] for format in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        with replacing(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")
    return paths


def write_page(result: RelevanceResult, path: Path) -> None:
    """Write the page whole or not at all; the same result gives the same bytes.

    Raises MissingPackageError, StorageError.
    """
    text = relevance_page(result)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def relevance_page(result: RelevanceResult) -> str:
    """The page as HTML: no address, no library. Raises MissingPackageError."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingPackageError("writing a report's page", "jinja2", "report") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("leanseek.eval.reports").joinpath("relevance.html.j2").read_text(encoding="utf-8")
    )
    text: str = template.render(result=result, plot=Markup(reliability_plot(result, "reliability")))
    return text


def reliability_plot(result: RelevanceResult, name: str) -> str:
    """An `<svg>`: the share of candidates that is relevant over their mean probability, a point a bin, with the
    number of candidates beside it; on the diagonal probabilities are true."""
    bins = result.reliability

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
        axes.plot(
            [one.probability for one in bins],
            [one.relevant for one in bins],
            marker="o",
            color=colour(0),
            linewidth=1.2,
        )
        for one in bins:
            axes.annotate(
                f"{one.count:,}",
                (one.probability, one.relevant),
                textcoords="offset points",
                xytext=(4, -10),
                fontsize=7,
            )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("probability")
        axes.set_ylabel("share that is relevant")

    told = "; ".join(f"{one.relevant:.2f} at {one.probability:.2f} ({one.count:,})" for one in bins)
    return draw(paint, name, f"Share of candidates that is relevant, by probability: {told}.", height=4.2)
