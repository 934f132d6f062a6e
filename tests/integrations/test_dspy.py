"""The retriever of DSPy, by itself and in a program of DSPy's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from integrations.examples import example

from leanseek import Searcher
from leanseek.errors import FilterError, UsageError
from leanseek.integrations.dspy import LeanseekRM
from leanseek.types import content


def test_it_finds_what_the_searcher_finds(papers: Path) -> None:
    with Searcher.open(papers) as searcher:
        for index in (papers, searcher):
            retriever = LeanseekRM(index, 5, filter="year >= 2000")
            for k, options in ((None, {}), (2, {}), (3, {"filter": "year < 2000"})):
                passages = retriever("wing wave", k, **options)
                hits = searcher.search("wing wave", k or 5, **{"filter": "year >= 2000", **options})
                assert [(one.id, one.long_text, one.standing["score"]) for one in passages] == [
                    (hit.id, content(hit.title, hit.text), hit.score) for hit in hits
                ]
                assert asyncio.run(retriever.acall("wing wave", k, **options)) == passages
                assert passages and [one.standing["rank"] for one in passages] == [*range(1, len(hits) + 1)]
                assert all(one.metadata["year"] for one in passages)
    [explained] = LeanseekRM(papers, 1, explain=True)("wing")
    assert explained.standing["stages"]["sparse"]["rank"] == 1
    assert LeanseekRM(papers)("wing -wing") and not LeanseekRM(papers)("wing -wing", literal=False)


def test_what_is_refused(papers: Path) -> None:
    with pytest.raises(UsageError, match="k is 0"):
        LeanseekRM(papers, 0)
    with pytest.raises(UsageError, match="k is 0"):
        LeanseekRM(papers)("wing", 0)
    with pytest.raises(FilterError):
        LeanseekRM(papers)("wing", filter="yaer = 2000")
    with pytest.raises(TypeError, match="top"):
        LeanseekRM(papers)("wing", top=3)


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dspy")
    from dspy.utils import DummyLM

    monkeypatch.chdir(tmp_path)
    model = DummyLM([{"reasoning": "The passage says so.", "answer": "They do [1]."}])
    names = example("dspy", model=model)
    assert names["answer"] == "They do [1]."
    assert "Statins lower cholesterol." in str(model.history[-1]["messages"])
