"""A report tells what the stored results say, with the statistics of `leanseek eval compare`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import pytrec_eval

from leanseek.errors import InputError, UsageError
from leanseek.eval.comparison import compare
from leanseek.eval.reports import gather
from leanseek.eval.results import read_results
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run
from leanseek.types import Run


def test_statistics_are_those_of_compare(three_systems: Path) -> None:
    [group] = gather(three_systems).groups
    stored = {one.result.system: one for one in read_results(three_systems)}
    assert group.baseline.name == "bm25"  # the sparse one, though not the first by name
    runs = [Run(one.name, read_run(stored[one.name].run_path).rankings) for one in group.systems]
    expected = compare(runs, read_qrels(stored["bm25"].qrels_path), list(group.measures), seed=0)
    for mean in expected.means:
        cell = next(one for one in group.systems if one.name == mean.run).cells[mean.measure]
        assert cell.mean == pytest.approx(mean.value, abs=1e-12)
        assert (cell.low, cell.high) == pytest.approx((mean.interval.low, mean.interval.high), abs=1e-12)
    for contrast in expected.contrasts:
        system = next(one for one in group.others if one.name == contrast.run)
        cell = system.cells[contrast.measure]
        assert cell.p == pytest.approx(contrast.randomisation_holm, abs=1e-12)
        assert cell.difference == pytest.approx(contrast.difference, abs=1e-12)
        if contrast.measure == group.main:
            assert system.against is not None
            wins = (system.against.wins, system.against.ties, system.against.losses)
            assert wins == (contrast.wins, contrast.ties, contrast.losses)
            largest = {change.query for change in contrast.changed}
            assert {change.query for change in system.against.most_changed(5)} == largest


def test_marks(three_systems: Path) -> None:
    [group] = gather(three_systems).groups
    better, same = group.others
    assert better.cells["nDCG@10"].mark == "▲"
    assert (same.cells["nDCG@10"].mark, same.cells["nDCG@10"].p) == ("", 1.0)
    assert same.against is not None
    assert same.against.most_changed(20) == ()
    [turned] = gather(three_systems, baseline="better").groups
    assert turned.baseline.name == "better"
    assert {one.cells["nDCG@10"].mark for one in turned.others} == {"▼"}


def test_curves_are_trec_evals(three_systems: Path) -> None:
    [group] = gather(three_systems).groups
    stored = next(one for one in read_results(three_systems) if one.result.system == "bm25")
    measures = {"recall.1,5,100", "P.1,5,100", "iprec_at_recall.0.00,0.50,1.00"}
    evaluator = pytrec_eval.RelevanceEvaluator(read_qrels(stored.qrels_path), measures)
    rows = list(evaluator.evaluate(read_run(stored.run_path).rankings).values())

    def mean(name: str) -> float:
        return sum(row[name] for row in rows) / len(rows)

    curves = group.baseline.curves
    for depth in (1, 5, 100):
        place = curves.depths.index(depth)
        assert curves.recall[place] == pytest.approx(mean(f"recall_{depth}"), abs=1e-9)
        assert curves.precision[place] == pytest.approx(mean(f"P_{depth}"), abs=1e-9)
    for level in (0.0, 0.5, 1.0):
        place = curves.levels.index(level)
        assert curves.interpolated[place] == pytest.approx(mean(f"iprec_at_recall_{level:.2f}"), abs=1e-9)


def test_what_a_reader_must_know_is_said(add_result: Callable[..., None], tmp_path: Path) -> None:
    rankings = {"q0": {"d0": 1.0}}
    add_result("a", rankings, measures=("nDCG@10", "R@100"))
    add_result("b", rankings, measures=("R@100", "AP"), checksum="other")
    add_result("c", rankings, collection="second")
    second, first = gather(tmp_path / "out", baseline="c", measure="AP").groups
    said = " ".join(first.warnings)
    for part in (
        "different versions",
        "Left out",
        "AP, nDCG@10",
        "c was not evaluated here",
        "plots show R@100",
    ):
        assert part in said
    assert first.measures == ("R@100",)
    assert second.baseline.name == "c"
    assert second.others == ()
    assert second.baseline.cells["R@100"].p is None


def test_judged_is_no_quality(add_result: Callable[..., None], tmp_path: Path) -> None:
    add_result("a", {"q0": {"d0": 1.0}}, measures=("nDCG@10", "Judged@10"))
    add_result("b", {f"q{n}": {f"d{n}": 1.0} for n in range(40)}, measures=("nDCG@10", "Judged@10"))
    [group] = gather(tmp_path / "out").groups
    assert group.others[0].cells["nDCG@10"].mark == "▲"
    assert group.others[0].cells["Judged@10"].p is None
    assert group.others[0].cells["Judged@10"].difference == pytest.approx(39 / 40)


def test_unusable_folders_and_unknown_names(three_systems: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"baseline 'bm26'.*bm25"):
        gather(three_systems, baseline="bm26")
    with pytest.raises(UsageError, match=r"measure 'AP'.*RR@10"):
        gather(three_systems, measure="AP")
    with pytest.raises(InputError):
        gather(tmp_path / "nothing")
    scores = next((three_systems / "tiny" / "test" / "better").glob("per_query*"))
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(InputError, match="other queries"):
        gather(three_systems)
    scores.write_text("\n".join([*lines[:-1], json.dumps({"query": "q39"})]) + "\n")
    with pytest.raises(InputError, match="per_query"):
        gather(three_systems)
