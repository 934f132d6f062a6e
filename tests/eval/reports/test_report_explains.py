"""What a re-ranker in context looked at, on the page of a report."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support import COPYING_DECODER
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode
from leanseek.eval.reports import gather
from leanseek.eval.reports.page import as_html
from leanseek.rerank.incontext import AttentionExplanation, TokenAttention

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

MODEL = COPYING_DECODER
DOCUMENTS = {
    "d1": ("<b>one", "is new glass old fenek quaha light"),
    "d2": ("", "large fenek over light fenet stygu river fenek"),
    "d3": ("three", "fenek is not in the fenan rhoce stores & <i>room"),
    "d4": ("", "old gimek styli from is blue red gimek"),
    "d5": ("five", "gimek styli and fenek"),
    "q2": ("", "gimek gimek gimek"),
}
QUERIES = {"q1": "fenek", "q2": "gimek"}
JUDGED = {"q1": "d1", "q2": "d5"}


class Balanced(HTMLParser):
    """Every element is closed where it should be."""

    open: list[str]

    def reset(self) -> None:
        super().reset()
        self.open = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a search with and without a decoder's attention, and the index of both."""
    folder = tmp_path_factory.mktemp("explained-report")
    (folder / "tiny" / "qrels").mkdir(parents=True)
    corpus = [{"_id": id, "title": title, "text": text} for id, (title, text) in DOCUMENTS.items()]
    (folder / "tiny" / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    queries = [{"_id": query, "text": text} for query, text in QUERIES.items()]
    (folder / "tiny" / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = [f"{query}\t{document}\t1" for query, document in JUDGED.items()]
    (folder / "tiny" / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    for more in (("--name", "bm25"), ("--name", "read", "--rerank", f"in-context:{MODEL}")):
        done = call("eval", "collection", folder / "tiny", "--mode", "sparse", "--out", folder / "out", *more)
        assert done.exit_code == 0, done.output
    return folder / "out"


def test_the_hits_of_the_run_are_shown_with_every_token(results: Path) -> None:
    run = [line.split() for line in next(results.rglob("read/run.trec")).read_text().splitlines()]
    [group] = gather(results, explain=True).groups
    plain, read = group.systems
    assert plain.name == "bm25" and plain.explained == () and read.name == "read"
    assert read.against is not None
    assert [one.query for one in read.explained] == [one.query for one in read.against.most_changed(5)]
    assert read.explained
    for one in read.explained:
        ranked = [(line[2], float(line[4])) for line in run if line[0] == one.query]
        shown = [(each.hit.id, pytest.approx(each.hit.score, rel=1e-5)) for each in one.hits]
        assert [(id, score) for id, score in ranked][:3] == shown
        assert [each.relevant for each in one.hits] == [id == JUDGED[one.query] for id, _ in ranked][:3]
        for each in one.hits:
            assert isinstance(each.hit.explanation, AttentionExplanation)
            assert (each.hit.title, each.hit.text) == DOCUMENTS[each.hit.id]
            read_text = "".join(each.hit.text[token.start : token.end] for token in each.hit.explanation.text)
            assert read_text.replace(" ", "") == each.hit.text.replace(" ", "")


def test_without_another_system_the_first_queries_are_shown(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "alone")
    shutil.rmtree(next((tmp_path / "alone").rglob("bm25")))
    [read] = gather(tmp_path / "alone", explain=True).groups[0].systems
    assert [(one.query, one.text) for one in read.explained] == list(QUERIES.items())


def test_the_page_marks_what_was_looked_at(results: Path) -> None:
    study = gather(results, explain=True)
    done = call("eval", "report", results, "--html", "--explain")
    assert done.exit_code == 0, done.output
    page = (results / "report.html").read_text(encoding="utf-8")
    Balanced().feed(page)
    assert "://" not in page and "<i>room" not in page and "<b>one" not in page
    assert "What read looked at" in page and "What bm25 looked at" not in page
    bodies = re.findall(r'<p class="read"><span.*?</span><br>\n(.*?)</p>', page, re.DOTALL)
    hits = [shown.hit for one in study.groups[0].systems[1].explained for shown in one.hits]
    assert len(bodies) == len(hits) >= 4
    for body, hit in zip(bodies, hits, strict=True):
        text = html.unescape(re.sub(r"<(/?mark|/?b\b)[^>]*>", "", body)).strip()
        assert text == f"{hit.title} {hit.text}".strip()
        explanation = hit.explanation
        assert isinstance(explanation, AttentionExplanation)
        for field in ("title", "text"):
            looked = [one for one in getattr(explanation, field) if one.attention > 0]
            for token in looked:
                assert f"{html.escape(getattr(hit, field)[token.start : token.end])}</mark>" in body
        assert body.count("<mark") == sum(
            one.attention > 0 for one in (*explanation.title, *explanation.text)
        )
    full = page.count("rgba(255,176,0,1.00)")  # of each query's hits the strongest token alone
    assert full == len(study.groups[0].systems[1].explained)
    assert page.count('<span class="up">relevant</span>') == sum(
        shown.relevant for one in study.groups[0].systems[1].explained for shown in one.hits
    )
    call("eval", "report", results, "--html")
    assert "looked at" not in (results / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_explained_is_told(results: Path, tmp_path: Path) -> None:
    for options, code, told in (
        (("--csv", "--explain"), ExitCode.USAGE, "add --html"),
        (("--device", "cpu"), ExitCode.USAGE, "goes with --explain"),
    ):
        wrong = call("eval", "report", results, *options)
        assert wrong.exit_code == code and told in wrong.stderr
    shutil.copytree(results, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "indexes")
    wrong = call("eval", "report", tmp_path / "moved", "--html", "--explain")
    assert wrong.exit_code == ExitCode.INPUT and "without --index" in wrong.stderr
    shutil.rmtree(next((tmp_path / "moved").rglob("read")))
    wrong = call("eval", "report", tmp_path / "moved", "--html", "--explain")
    assert wrong.exit_code == ExitCode.USAGE and "--rerank in-context:MODEL" in wrong.stderr


def test_tokens_are_marked_in_a_text_by_how_much_was_looked_at() -> None:
    assert "0.25)" in as_html("a", [TokenAttention(0, 1, 0.5)], strongest=2.0)
    assert "1.00)" in as_html("a", [TokenAttention(0, 1, 0.5)], strongest=0.1)
    marked = as_html(
        "a <b> c", [TokenAttention(0, 1, 0.5), TokenAttention(2, 5, 1.0), TokenAttention(6, 7, 0)]
    )
    assert marked == (
        '<mark style="background:rgba(255,176,0,0.50)">a</mark> '
        '<mark style="background:rgba(255,176,0,1.00)">&lt;b&gt;</mark> c'
    )
