"""Figures as SVG that stands inside a page: the page's own fonts and colours, no address, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leanseek.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"
"""Stands for the colour of the page's text, which the theme decides."""
COLOURS = ("#3b82f6", "#e4632d", "#22a06b", "#b55fd0", "#c4900f", "#0fa3b1", "#e2508f", "#7a8699")
"""One a system: each tells from a white and from a black ground."""
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
