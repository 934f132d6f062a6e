"""Draw the pictures of the concepts in docs/: one SVG each, readable on light and on dark pages.

    python scripts/draw_concepts.py            # writes them
    python scripts/draw_concepts.py --check    # fails where one in docs/ is not what is drawn

The numbers in them are computed by leanseek itself, so that they can be checked by hand against its formulas.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from xml.sax.saxutils import escape

import numpy as np

from leanseek import load_fusion, load_relevance
from leanseek.searcher.fusion import Side
from leanseek.searcher.relevance import DenseEvidence, Evidence

DOCS = Path(__file__).parents[1] / "docs"

STYLE = """
.page { fill: #ffffff; stroke: #d5dde3 } .box { fill: #f1f5f7; stroke: #8a9aa6 }
.words { fill: #fde7c7; stroke: #c77d0a } .meaning { fill: #cdeee8; stroke: #0f8577 }
.kept { fill: #dfe6fb; stroke: #4c62c4 } .gone { fill: none; stroke: #8a9aa6; stroke-dasharray: 4 3 }
text { fill: #1c2730; font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px }
.note { fill: #55646f; font-size: 12px } .head { font-weight: 600 }
.code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12px }
.line { stroke: #55646f; fill: none } .tip { fill: #55646f } .curve { stroke: #4c62c4; stroke-width: 2; fill: none }
.grid { stroke: #d5dde3; fill: none }
@media (prefers-color-scheme: dark) {
.page { fill: #161c21; stroke: #36424b } .box { fill: #222b32; stroke: #75858f }
.words { fill: #5a3f10; stroke: #e0a040 } .meaning { fill: #0f4a43; stroke: #3fc0ae }
.kept { fill: #29336a; stroke: #8fa0f0 } .gone { stroke: #75858f }
text { fill: #e6edf2 } .note { fill: #a4b3bd } .line { stroke: #a4b3bd } .tip { fill: #a4b3bd }
.curve { stroke: #8fa0f0 } .grid { stroke: #36424b }
}
"""


class Picture:
    """An SVG that grows by what is drawn, in pixels from the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.size = width, height
        self.title = title
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, kind: str = "box", *lines: str) -> None:
        """A rectangle of a class of `STYLE` with lines of text in its middle, of which the first is a heading."""
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="5"/>')
        top = y + h / 2 - 8.5 * (len(lines) - 1) + 4.5
        for number, line in enumerate(lines):
            style = "head" if number == 0 else "note"
            self.text(x + w / 2, top + 17 * number, line, style, "middle")

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        """Text that begins, ends or has its middle at x, on the base line y."""
        self.parts.append(
            f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def note(self, x: float, y: float, *lines: str) -> None:
        """Small text, line by line."""
        for number, line in enumerate(lines):
            self.text(x, y + 18 * number, line, "note")

    def line(self, *points: tuple[float, float], style: str = "line") -> None:
        """A line through points."""
        path = " ".join(f"{x:.5g},{y:.5g}" for x, y in points)
        self.parts.append(f'<polyline class="{style}" points="{path}"/>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line with a tip at its end; its last part is level or upright."""
        self.line(*points)
        (x0, y0), (x, y) = points[-2:]
        dx, dy = np.sign(x - x0), np.sign(y - y0)
        corners = [
            (x, y),
            (x - 7 * dx + 4 * dy, y - 7 * dy + 4 * dx),
            (x - 7 * dx - 4 * dy, y - 7 * dy - 4 * dx),
        ]
        path = " ".join(f"{a:g},{b:g}" for a, b in corners)
        self.parts.append(f'<polygon class="tip" points="{path}"/>')

    def dot(self, x: float, y: float, kind: str) -> None:
        """A filled circle."""
        self.parts.append(f'<circle class="{kind}" cx="{x:.5g}" cy="{y:.5g}" r="5"/>')

    def svg(self) -> str:
        """The file's text."""
        width, height = self.size
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img">\n<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n'
            f'<rect class="page" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
        )


def pipeline() -> Picture:
    """What happens to documents, and what to a query."""
    p = Picture(860, 330, "From documents to an index, and from a query to hits")
    p.text(20, 30, "Documents, once", "head")
    p.box(20, 45, 110, 44, "box", "read", "files, folders")
    p.box(160, 45, 110, 44, "box", "chunk", "at sentence ends")
    p.box(310, 20, 150, 40, "words", "analyse", "terms, postings")
    p.box(310, 74, 150, 40, "meaning", "encode", "a vector each")
    p.box(500, 45, 170, 44, "kept", "index directory", "committed as a whole")
    p.arrow((130, 67), (160, 67))
    p.arrow((270, 67), (290, 67), (290, 40), (310, 40))
    p.arrow((290, 67), (290, 94), (310, 94))
    p.arrow((460, 40), (480, 40), (480, 58), (500, 58))
    p.arrow((460, 94), (480, 94), (480, 76), (500, 76))

    p.text(20, 160, "A query, each time", "head")
    p.box(20, 195, 90, 44, "box", "query")
    p.box(150, 168, 150, 40, "words", "BM25", "its best 100")
    p.box(150, 226, 150, 40, "meaning", "nearest vectors", "their best 100")
    p.box(340, 195, 150, 44, "box", "union", "both scores, exact")
    p.box(520, 195, 130, 44, "box", "fuse", "one score each")
    p.box(680, 195, 160, 44, "box", "roll up", "passages to documents")
    p.arrow((110, 217), (130, 217), (130, 188), (150, 188))
    p.arrow((130, 217), (130, 246), (150, 246))
    p.arrow((300, 188), (320, 188), (320, 209), (340, 209))
    p.arrow((300, 246), (320, 246), (320, 225), (340, 225))
    p.arrow((490, 217), (520, 217))
    p.arrow((650, 217), (680, 217))
    p.arrow((585, 89), (585, 128), (225, 128), (225, 168))
    p.arrow((760, 239), (760, 270))
    p.box(680, 270, 160, 44, "box", "probability", "is it relevant?")
    p.arrow((680, 292), (650, 292))
    p.box(490, 270, 160, 44, "gone", "re-rank", "if asked for")
    p.arrow((490, 292), (460, 292))
    p.box(310, 270, 150, 44, "kept", "hits, a context", "with snippets")
    return p


def index_directory() -> Picture:
    """One file names what counts."""
    p = Picture(760, 330, "The index directory: the catalog names the segments that count")
    p.text(20, 30, "my.index/", "head")
    p.box(
        20,
        45,
        220,
        118,
        "kept",
        "catalog.sqlite",
        "the commit point: names the",
        "segments, their checksums,",
        "and which passages are deleted",
    )
    p.box(20, 245, 220, 50, "box", "LOCK", "held by the one writer")
    for y, name, deleted in ((45, "000001", True), (145, "000002", False)):
        p.box(320, y, 420, 78, "box")
        p.text(332, y + 19, f"segments/{name}/", "code")
        p.box(332, y + 30, 122, 38, "box", "passages", "texts, metadata")
        p.box(464, y + 30, 122, 38, "words", "sparse", "postings")
        p.box(596, y + 30, 132, 38, "meaning", "dense", "vectors")
        if deleted:
            p.text(728, y + 19, "passages 4 and 17 deleted", "note", "end")
    p.arrow((240, 84), (320, 84))
    p.arrow((240, 125), (280, 125), (280, 184), (320, 184))
    p.box(320, 245, 420, 50, "gone")
    p.text(332, 265, "segments/000003/", "code")
    p.note(332, 284, "being written, or left by a crash: not named, so not read")
    p.note(
        20,
        316,
        "A commit is one SQLite transaction that names the new segments. Segments themselves never change.",
    )
    return p


def fusion() -> Picture:
    """Three passages, worked through."""
    names = ("A", "B", "C")
    bm25, cosine = np.float32([6, 3, 0]), np.float32([0.2, 0.6, 0.4])
    rule = load_fusion("convex")
    found = np.ones(3, bool)
    fused = rule.fuse(Side(bm25, bm25 > 0), Side(cosine, found))
    words, meaning = bm25 / bm25.max(), (cosine + 1) / (cosine.max() + 1)
    assert np.allclose(fused, 0.2 * words + 0.8 * meaning)
    p = Picture(
        760, 262, "Fusion of three passages: 0.2 of the scaled BM25 score and 0.8 of the scaled cosine"
    )
    for x, text in ((70, "BM25"), (125, "÷ 6"), (190, "cosine"), (275, "(+ 1) ÷ 1.6")):
        p.text(x, 35, text, "head", "middle")
    p.text(345, 35, "0.2 · words  +  0.8 · meaning", "head")
    order = np.argsort(-fused)
    scale = 330
    for row, at in enumerate(range(3)):
        y = 52 + 52 * row
        p.text(22, y + 24, names[at], "head")
        p.text(70, y + 24, f"{bm25[at]:g}", "", "middle")
        p.text(125, y + 24, f"{words[at]:g}", "", "middle")
        p.text(190, y + 24, f"{cosine[at]:.1f}", "", "middle")
        p.text(275, y + 24, f"{meaning[at]:g}", "", "middle")
        share = 0.2 * words[at] * scale, 0.8 * meaning[at] * scale
        if share[0]:
            p.box(345, y + 4, share[0], 30, "words")
        p.box(345 + share[0], y + 4, share[1], 30, "meaning")
        rank = int(np.flatnonzero(order == at)[0]) + 1
        p.text(345 + sum(share) + 10, y + 24, f"{fused[at]:.2f}  #{rank}", "head")
    p.line((345, 46), (345, 208), style="line")
    p.note(
        20,
        228,
        "0 is the least that BM25 gives and -1 the least cosine: each scale runs from there to the query's best.",
        "What one side has found is scored by the other too. C has no word of the query: BM25 gives it 0.",
    )
    return p


def calibration() -> Picture:
    """The same cosine in two lists, and what the packaged model makes of it."""
    model = load_relevance()
    p = Picture(760, 340, "The same cosine is a hit for one query and noise for another")
    # The best 1,000 of 100,000 cosines that are normally distributed.
    tail = np.array([NormalDist().inv_cdf(1 - (one + 0.5) / 100_000) for one in range(1000)])
    candidate = 0.5

    def place(cosine: float) -> float:
        return 30 + 1120 * (cosine - 0.15)

    for row, mean in enumerate((0.0, 0.22)):
        y = 135 + 150 * row
        listed = np.sort(np.append(candidate, mean + 0.08 * tail[:-1]))[::-1].astype(np.float32)
        rank = 1 + int((listed > candidate).sum())
        dense = DenseEvidence(np.zeros(384, np.float32), np.float32([candidate]), listed)
        [chance] = model.probabilities(Evidence(dense, None, 100_000))
        z = (candidate - listed.mean()) / listed.std()
        heights, edges = np.histogram(listed[listed != candidate], bins=45, range=(0.15, 0.6))
        for height, left, right in zip(heights, edges, edges[1:], strict=False):
            if height:
                p.box(place(left), y - 0.4 * height, place(right) - place(left), 0.4 * height, "box")
        p.line((30, y), (560, y))
        p.text(30, y - 108, f"Query {row + 1}: its 1,000 best cosines", "head")
        p.line((place(candidate), y), (place(candidate), y - 50), style="curve")
        p.dot(place(candidate), y - 50, "kept")
        p.text(place(candidate) + 14, y - 64, f"cosine 0.50, rank {rank}", "head")
        p.note(place(candidate) + 14, y - 46, f"{z:.1f} standard deviations above the mean")
        p.text(place(candidate) + 14, y - 28, f"probability {chance:.2f}", "head")
        for tick in (0.2, 0.3, 0.4, 0.5, 0.6):
            p.line((place(tick), y), (place(tick), y + 5))
            p.text(place(tick), y + 18, f"{tick:.1f}", "note", "middle")
    p.note(
        30, 325, "Computed by the packaged model, of vectors alone, for lists like those of 100,000 passages."
    )
    return p


def levels() -> Picture:
    """What a reduced index keeps of a vector, to scale, and what a query reads of it."""
    dims, reduced = 384, 160
    p = Picture(860, 330, "Reduced vectors: what is stored of each, to scale, and what a query reads")
    p.text(20, 30, f"One vector of {dims} dimensions: its bytes, to scale", "head")
    scale = 800 / (4 * dims)
    rows = (
        ("box", 4 * dims, f"as it is, in float32: {4 * dims:,} bytes"),
        ("kept", dims, f"second level: all {dims} dimensions in 8 bits, {dims} bytes"),
        (
            "meaning",
            reduced // 4,
            f"first level: {reduced} dimensions, 4 bits for two of them, {reduced // 4} bytes",
        ),
    )
    for row, (kind, size, text) in enumerate(rows):
        y = 44 + 36 * row
        p.box(20, y, size * scale, 26, kind)
        p.text(32 if row == 0 else 20 + size * scale + 10, y + 18, text)
    p.text(20, 182, "A query", "head")
    steps = (
        ("box", "reduce", f"{dims} → {reduced} dimensions"),
        ("meaning", "scan the nearest lists", "4-bit codes, 32 at once"),
        ("kept", "score the best again", "one or two hundred, 8 bits"),
        ("box", "the best 10", "at the recall asked for"),
    )
    for at, (kind, *lines) in enumerate(steps):
        x = 20 + 210 * at
        p.box(x, 197, 190, 48, kind, *lines)
        if at:
            p.arrow((x - 20, 221), (x, 221))
    p.note(
        20,
        282,
        "How many lists are scanned and how many vectors are scored again is measured when the index is built,",
        "on queries that nothing was learned from, so that the share of the true best which you asked for is found.",
    )
    return p


PICTURES: dict[str, Callable[[], Picture]] = {
    "pipeline": pipeline,
    "index-directory": index_directory,
    "fusion": fusion,
    "leanvec": levels,
    "calibration": calibration,
}


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, draw in PICTURES.items():
        path, text = DOCS / f"concept-{name}.svg", draw().svg()
        if not check:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"not as drawn: {', '.join(stale)}; run python scripts/draw_concepts.py")


if __name__ == "__main__":
    main()
