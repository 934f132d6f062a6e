"""The page stands alone and shows hostile texts as texts; the tables say the same in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import UsageError
from leanseek.eval.reports import FORMATS, Study, gather, render, write_report
from leanseek.eval.reports.table import escape_latex

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


class Page(HTMLParser):
    """What a page holds, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def study(three_systems: Path) -> Study:
    return gather(three_systems)


def test_the_page_stands_alone(study: Study) -> None:
    text = render(study, "html")
    page = Page(text)
    assert "://" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "srcset", "data", "action"}
    links = [value for name, value in page.attributes if name == "href"]
    assert links
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value.removeprefix("#") for value in links}
    targets |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert targets <= set(ids)
    assert page.tags["svg"] == 7  # five of all systems, one for each beside the baseline
    assert "#010203" not in text
    assert "currentColor" in text


def test_hostile_texts_are_shown_not_run(study: Study) -> None:
    text = render(study, "html")
    page = Page(text)
    assert page.tags["script"] == 1  # the page's own
    assert page.tags["bm25"] == 0
    shown = "".join(page.texts)
    assert "<script>alert('&\"')</script> {{ 7 * 7 }}" in shown
    assert "same_as <bm25> & 100%" in shown


def test_the_same_study_gives_the_same_bytes(three_systems: Path) -> None:
    import matplotlib as mpl

    first = {format: render(gather(three_systems), format) for format in FORMATS}
    with mpl.rc_context({"axes.facecolor": "red", "svg.fonttype": "path", "lines.linewidth": 9}):
        assert {format: render(gather(three_systems), format) for format in FORMATS} == first


def test_one_system_has_nothing_to_compare_with(add_result: Callable[..., None], tmp_path: Path) -> None:
    add_result("only", {"q0": {"d0": 1.0}}, latency=None)
    study = gather(tmp_path / "out")
    texts = {format: render(study, format) for format in FORMATS}
    page = Page(texts["html"])
    assert page.tags["svg"] == 3  # no costs are known
    assert "baseline" not in "".join(page.texts)
    for text in texts.values():
        assert "Holm" not in text
        assert "▲" not in text
        assert "textbf" not in text


def test_markdown(study: Study) -> None:
    lines = render(study, "markdown").splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    assert [len(row) for row in rows] == [4] * 5
    assert rows[0][1].strip() == "nDCG@10"
    assert "\\<bm25\\>" in rows[4][0]
    [group] = study.groups
    for row, system in zip(rows[2:], group.systems, strict=True):
        for cell, measure in zip(row[1:], group.measures, strict=True):
            assert f"{system.cells[measure].mean:.4f}" in cell
            assert ("▲" in cell) == (system.cells[measure].mark == "▲")
    assert rows[3][1].strip().startswith("**")


def test_csv_has_every_digit(study: Study) -> None:
    rows = list(csv.DictReader(io.StringIO(render(study, "csv"))))
    [group] = study.groups
    assert [row["system"] for row in rows] == [system.name for system in group.systems]
    for row, system in zip(rows, group.systems, strict=True):
        for measure, cell in system.cells.items():
            assert float(row[measure]) == cell.mean
            assert (float(row[f"{measure} low"]), float(row[f"{measure} high"])) == (cell.low, cell.high)
            assert row[f"{measure} p"] == ("" if cell.p is None else repr(cell.p))
        assert float(row["latency p50 ms"]) == 1.0
        assert int(row["index bytes"]) == 12345


def test_a_name_is_no_formula(add_result: Callable[..., None], tmp_path: Path) -> None:
    add_result("=1+1", {"q0": {"d0": 1.0}})
    [row] = csv.DictReader(io.StringIO(render(gather(tmp_path / "out"), "csv")))
    assert row["system"] == "'=1+1"


def test_latex(study: Study) -> None:
    text = render(study, "latex")
    assert "same\\_as \\textless{}bm25\\textgreater{} \\& 100\\%" in text
    assert text.count("\\toprule") == text.count("\\bottomrule") == 1
    assert "\\textbf{" in text
    assert "$^{\\uparrow}$" in text
    # Every special character that is left belongs to a command.
    assert not re.search(r"(?<!\\)[#%_~^](?!\{)", text.replace("% \\usepackage{booktabs}", ""))
    body = text[text.index("\\midrule") : text.index("\\bottomrule")]
    assert [row.replace("\\&", "").count("&") for row in body.strip().splitlines()[1:]] == [3, 3, 3]


def test_latex_escapes_everything_special() -> None:
    assert escape_latex("a\\b{c}~^") == ("a\\textbackslash{}b\\{c\\}\\textasciitilde{}\\textasciicircum{}")


def test_the_command(three_systems: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "report"
    options = ["report", str(three_systems), "--csv", "--html", "--out", str(out), "--json"]
    found = runner.invoke(app, ["eval", *options, "--measure", "RR@10", "--baseline", "better"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    assert told["files"] == {"html": str(out / "report.html"), "csv": str(out / "report.csv")}
    assert sorted(path.name for path in out.iterdir()) == ["report.csv", "report.html"]
    expected = gather(three_systems, baseline="better", measure="RR@10")
    assert (out / "report.html").read_text(encoding="utf-8") == render(expected, "html")
    assert runner.invoke(app, ["eval", "report", str(three_systems)]).exit_code == 0
    assert (three_systems / "report.html").is_file()


def test_an_unknown_format_writes_nothing(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="html, markdown, csv, latex"):
        write_report(study, tmp_path / "new", ["csv", "pdf"])  # type: ignore[list-item]
    assert not (tmp_path / "new").exists()
