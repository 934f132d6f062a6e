"""Figures as SVG inside a page: in the page's fonts and colours, without addresses, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from leanseek.errors import MissingPackageError
from leanseek.eval.reports.study import Group, System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from leanseek.eval.relevance.relevance_scores import Bin

INK = "#010203"
"""A placeholder for the colour of the page's text, which the theme decides."""
COLOURS = ("#3b82f6", "#e4632d", "#22a06b", "#b55fd0", "#c4900f", "#0fa3b1", "#e2508f", "#7a8699")
"""One a system: each is visible on white and on black."""
MARKERS = "osD^vPX*"
SALT = "leanseek"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": SALT,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def colour(place: int) -> str:
    """The colour of the system at that place of its group."""
    return COLOURS[place % len(COLOURS)]


def marker(place: int) -> str:
    """The marker of the system at that place of its group; it differs where colours come round again."""
    return MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]


def draw(
    paint: Callable[[Axes], None], name: str, description: str, *, width: float = 6.0, height: float = 3.6
) -> str:
    """An `<svg>` element of `width` by `height` inches with what `paint` puts on its axes.

    `name` prefixes the ids inside and must be unique in the page; `description` is read to those who cannot
    see it. Raises MissingPackageError without matplotlib.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("drawing a report's figures", "matplotlib", "report") from error
    # The defaults first: a user's own matplotlibrc would change the page.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.subplots())
        stream = io.StringIO()
        # No date, and nothing else of the metadata, all of which name addresses.
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return inline(stream.getvalue(), name, description)


def inline(svg: str, name: str, description: str) -> str:
    """The `<svg>` element of a document, made to share a page: own ids, no namespaces, the page's font and ink."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(?::\w+)?="[^"]*"', "", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = body.replace(INK, "currentColor")
    body = re.sub(r"font: ([\w. ]*?)(\d[\d.]*px) [^;\"]*", r"font-size: \2", body)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height|version)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{attribute(description)}">{rest.strip()}\n'


def attribute(text: str) -> str:
    """Text for an attribute's value."""
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def differences(group: Group, system: System, place: int, name: str) -> str:
    """Each query's change from the baseline to one system, from the best to the worst: a bar a query."""
    if system.against is None:
        return ""
    values = [change.difference for change in system.against.changes]
    against = system.against

    def paint(axes: Axes) -> None:
        places = list(range(1, len(values) + 1))
        axes.fill_between(places, values, step="mid", color=colour(place), alpha=0.8, linewidth=0)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlim(0.5, max(len(values), 1) + 0.5)
        axes.set_xlabel("query, by difference")
        axes.set_ylabel(f"{group.main} difference")
        axes.grid(visible=False, axis="x")

    description = (
        f"{system.name} less {group.baseline.name} by query in {group.main}: better on {against.wins}, equal on "
        f"{against.ties}, worse on {against.losses}."
    )
    return draw(paint, name, description, height=2.6)


def recall(group: Group, name: str) -> str:
    """Mean recall at k over k."""
    return over_depths(group, name, "recall at k", lambda system: system.curves.recall)


def precision(group: Group, name: str) -> str:
    """Mean precision at k over k."""
    return over_depths(group, name, "precision at k", lambda system: system.curves.precision)


def interpolated(group: Group, name: str) -> str:
    """Mean interpolated precision at eleven levels of recall."""

    def paint(axes: Axes) -> None:
        for place, system in enumerate(group.systems):
            curve(axes, place, system, system.curves.levels, system.curves.interpolated)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("recall")
        axes.set_ylabel("interpolated precision")
        legend(axes, group)

    return draw(paint, name, f"Interpolated precision over recall on {group.title}, for {names(group)}.")


def latency(group: Group, name: str) -> str:
    """The main measure over the median latency of a single query; empty where none was measured."""
    return costs(
        group,
        name,
        lambda system: system.result.efficiency.latency.p50 if system.result.efficiency.latency else None,
        "milliseconds for a query (median)",
    )


def size(group: Group, name: str) -> str:
    """The main measure over the index's bytes; empty where none was recorded."""
    return costs(
        group,
        name,
        lambda system: (
            system.result.efficiency.index.bytes_on_disk / 1e6 if system.result.efficiency.index else None
        ),
        "index on disk (MB)",
    )


def costs(group: Group, name: str, cost: Callable[[System], float | None], label: str) -> str:
    """Quality over a cost: a point a system, with the interval of its mean; empty where no cost is known."""
    known = [
        (place, system, spent)
        for place, system in enumerate(group.systems)
        if (spent := cost(system)) is not None and spent > 0
    ]
    if not known:
        return ""

    def paint(axes: Axes) -> None:
        for place, system, spent in known:
            cell = system.cells[group.main]
            axes.errorbar(
                [spent],
                [cell.mean],
                yerr=[[max(cell.mean - cell.low, 0.0)], [max(cell.high - cell.mean, 0.0)]],
                fmt=marker(place),
                color=colour(place),
                markersize=7,
                elinewidth=1,
                capsize=3,
                label=literal(system.name),
            )
        spends = [spent for _, _, spent in known]
        axes.set_xscale("log")
        axes.set_xlim(min(spends) / 1.8, max(spends) * 1.8)
        plain_numbers(axes, min(spends) / 1.8, max(spends) * 1.8)
        axes.set_xlabel(label)
        axes.set_ylabel(group.main)
        legend(axes, group)

    points = "; ".join(
        f"{system.name} {system.cells[group.main].mean:.4f} at {spent:.3g}" for _, system, spent in known
    )
    return draw(paint, name, f"{group.main} over {label} on {group.title}: {points}.")


def reliability(bins: Sequence[Bin], name: str) -> str:
    """The share of candidates that is relevant over their mean probability, a point a bin, with the number of
    candidates beside it; on the diagonal probabilities are exact."""

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

    points = "; ".join(f"{one.relevant:.2f} at {one.probability:.2f} ({one.count:,})" for one in bins)
    return draw(paint, name, f"Share of candidates that is relevant, by probability: {points}.", height=4.2)


def curve(axes: Axes, place: int, system: System, x: Sequence[float], y: Sequence[float]) -> None:
    """A system's line."""
    axes.plot(
        x,
        y,
        color=colour(place),
        marker=marker(place),
        markersize=4,
        linewidth=1.5,
        label=literal(system.name),
    )


def over_depths(group: Group, name: str, label: str, values: Callable[[System], Sequence[float]]) -> str:
    """Each system's values over k, which runs along the x axis in powers; the y axis begins at 0."""
    depths = group.baseline.curves.depths

    def paint(axes: Axes) -> None:
        for place, system in enumerate(group.systems):
            curve(axes, place, system, system.curves.depths, values(system))
        axes.set_xscale("log")
        axes.set_xlim(depths[0] / 1.15, depths[-1] * 1.15)
        plain_numbers(axes, depths[0], depths[-1])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("k")
        axes.set_ylabel(label)
        legend(axes, group)

    return draw(paint, name, f"{label.capitalize()} on {group.title}, for {names(group)}.")


def plain_numbers(axes: Axes, low: float, high: float) -> None:
    """Ticks at 1, 2, 5 times the powers of ten, written out; only at the powers where there is much to cover."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    steps = (1, 2, 5) if high / low < 2000 else (1,)
    ticks = [step * 10.0**power for power in range(-4, 8) for step in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def legend(axes: Axes, group: Group) -> None:
    """Names and colours, above the axes where they hide nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2 if len(group.systems) in (2, 4) else 3,
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def literal(name: str) -> str:
    """A name that matplotlib neither parses as mathematics nor hides from the legend."""
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")


def names(group: Group) -> str:
    """The systems' names."""
    return ", ".join(system.name for system in group.systems)
