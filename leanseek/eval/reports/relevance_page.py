"""A relevance model's figures as one page: the table beside every control, and how true its probabilities are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from leanseek.errors import MissingPackageError
from leanseek.eval.relevance.relevance_result import RelevanceResult
from leanseek.eval.reports.figures import INK, colour, draw
from leanseek.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_page(result: RelevanceResult, path: Path) -> None:
    """Write the page whole or not at all; the same result gives the same bytes.

    Raises MissingPackageError, StorageError.
    """
    text = page(result)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def page(result: RelevanceResult) -> str:
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
