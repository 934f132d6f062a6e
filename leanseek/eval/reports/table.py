r"""The table of means, for Markdown, spreadsheets and papers.

One row a system; a measure's best mean of its collection is bold. ▲ and ▼ (in LaTeX \uparrow and \downarrow) mark
what is significantly better or worse than the baseline.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from leanseek.eval.providers import is_quality
from leanseek.eval.reports.study import Cell, Group, Study, System

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def best(group: Group, measure: str) -> float | None:
    """The best mean of a measure in a group; None where fewer than two systems have it."""
    if not is_quality(measure):
        return None
    means = [system.cells[measure].mean for system in group.systems if measure in system.cells]
    return max(means) if len(means) > 1 else None


def markdown(study: Study) -> str:
    """A table a collection, in GitHub's Markdown, with its note beneath it."""
    parts = []
    for group in study.groups:
        header = ["system", *group.measures]
        lines = [f"### {escape_markdown(group.title)}", "", row(header)]
        lines.append("| --- |" + " ---: |" * len(group.measures))
        for system in group.systems:
            cells = [
                shown(system.cells[measure], best(group, measure), "**{}**") for measure in group.measures
            ]
            lines.append(row([escape_markdown(system.name), *cells]))
        lines += ["", escape_markdown(note(study, group)), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def latex(study: Study) -> str:
    """A table a collection, with the rules of the package booktabs."""
    parts = ["% \\usepackage{booktabs}"]
    for group in study.groups:
        header = " & ".join(["System", *map(escape_latex, group.measures)])
        lines = [
            "\\begin{table}[t]",
            "\\centering",
            f"\\caption{{{escape_latex(group.title)}. {escape_latex(note(study, group))}}}",
            f"\\begin{{tabular}}{{l{'r' * len(group.measures)}}}",
            "\\toprule",
            f"{header} \\\\",
            "\\midrule",
        ]
        for system in group.systems:
            cells = [
                shown(system.cells[measure], best(group, measure), "\\textbf{{{}}}", latex=True)
                for measure in group.measures
            ]
            lines.append(f"{' & '.join([escape_latex(system.name), *cells])} \\\\")
        parts.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]))
    return "\n\n".join(parts) + "\n"


def comma_separated(study: Study) -> str:
    """One row a system and collection: every mean with its interval, difference and p value, and the costs.

    Numbers are written in full, so that reading them gives the very same float64; what does not apply is empty.
    """
    measures = tuple(dict.fromkeys(measure for group in study.groups for measure in group.measures))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    suffixes = ("", " low", " high", " difference", " p")
    costs = [
        "latency p50 ms",
        "latency p95 ms",
        "latency p99 ms",
        "queries/s",
        "index seconds",
        "index bytes",
    ]
    names = [f"{measure}{suffix}" for measure in measures for suffix in suffixes]
    writer.writerow(["collection", "split", "system", "baseline", "queries", "documents", *names, *costs])
    for group in study.groups:
        for system in group.systems:
            result = system.result
            values: list[float | str | None] = []
            for measure in measures:
                cell = system.cells.get(measure)
                values += [cell.mean, cell.low, cell.high, cell.difference, cell.p] if cell else [None] * 5
            texts = [group.collection, group.split, system.name, group.baseline.name]
            writer.writerow(
                [*map(inert, texts), result.queries, result.documents, *map(full, [*values, *cost(system)])]
            )
    return stream.getvalue()


def cost(system: System) -> list[float | None]:
    """Latency p50, p95, p99 (milliseconds), queries a second, index seconds and bytes; None: not recorded."""
    efficiency = system.result.efficiency
    latency, index = efficiency.latency, efficiency.index
    times = [latency.p50, latency.p95, latency.p99] if latency else [None] * 3
    return [
        *times,
        efficiency.queries_per_second,
        *((index.seconds, index.bytes_on_disk) if index else (None, None)),
    ]


def note(study: Study, group: Group) -> str:
    """A note on the table: the number of queries, and what the marks mean."""
    queries = f"Means over {group.baseline.result.queries:,} queries"
    if not group.others:
        return f"{queries}."
    return (
        f"{queries}; ▲ better and ▼ worse than {group.baseline.name} with a Holm-corrected p below "
        f"{1 - study.level:.2g}."
    )


def shown(cell: Cell, best: float | None, bold: str, *, latex: bool = False) -> str:
    """A mean to four places, bold where it is the best of its collection, and its mark."""
    text = f"{cell.mean:.4f}"
    if best is not None and f"{best:.4f}" == text:
        text = bold.format(text)
    mark = cell.mark
    if latex and mark:
        return text + ("$^{\\uparrow}$" if mark == "▲" else "$^{\\downarrow}$")
    return f"{text} {mark}".rstrip()


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is; the marks become arrows."""
    escaped = "".join(LATEX_SPECIAL.get(character, character) for character in text)
    return escaped.replace("▲", "$\\uparrow$").replace("▼", "$\\downarrow$").replace("·", "$\\cdot$")


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def full(value: float | str | None) -> str:
    """A number with all its digits; empty for None."""
    return "" if value is None else repr(value) if isinstance(value, (int, float)) else value
