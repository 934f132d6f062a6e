"""Results come back as they were written, and what is not one is told so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leanseek.errors import InputError
from leanseek.eval.base import Rules
from leanseek.eval.results import (
    Efficiency,
    IndexBuild,
    Latency,
    Machine,
    Provenance,
    Result,
    SystemSettings,
    index_folder,
    read_build,
    read_result,
    read_results,
    result_folder,
    write_build,
    write_result,
)
from leanseek.indexing.settings import SparseSettings

MACHINE = Machine("Some CPU", 2, "Linux 6.1")
BUILD = IndexBuild(1.5, 100, 120, 66.7, 120, 12345, None, MACHINE)
RESULT = Result(
    collection="cqadupstack/android",
    split="test",
    system="bm25",
    settings=SystemSettings(
        "sparse", SparseSettings(k1=1.2), None, None, None, None, None, None, 0, None, None
    ),
    k=1000,
    documents=100,
    queries=2,
    measures=("nDCG@10", "R@100"),
    means={"nDCG@10": 0.1 + 0.2, "R@100": 1.0},
    rules=Rules("t", "m", "s", "g", "titles", "p"),
    warnings=("one",),
    efficiency=Efficiency(BUILD, Latency(2, 1.0, 2.0, 3.0), 0.5, 4.0, 1 << 30, MACHINE),
    provenance=Provenance(
        ("leanseek", "eval"), "0.1.0", None, "3.11", {"numpy": "2"}, None, "f", "c", None, "r", "i", {}, "now"
    ),
)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = result_folder(tmp_path, RESULT.collection, RESULT.split, RESULT.system)
    write_result(folder, RESULT)
    assert read_result(folder).result == RESULT
    assert [stored.folder for stored in read_results(tmp_path)] == [folder]
    assert folder == tmp_path / "cqadupstack" / "android" / "test" / "bm25"
    assert [path.name for path in folder.iterdir()] == ["result.json"]  # no draft stays behind


def test_absent_parts_stay_absent(tmp_path: Path) -> None:
    bare = replace(RESULT, efficiency=Efficiency(None, None, 0.5, 4.0, None, MACHINE))
    write_result(tmp_path, bare)
    assert read_result(tmp_path).result == bare


def test_results_stand_in_order_and_indexes_are_no_results(tmp_path: Path) -> None:
    for collection, system in (("b", "x"), ("a", "y"), ("a", "x")):
        folder = result_folder(tmp_path, collection, "test", system)
        write_result(folder, replace(RESULT, collection=collection, system=system))
    index = index_folder(tmp_path, "a", "0123")
    write_build(index, BUILD)
    assert read_build(index) == BUILD
    assert read_build(index_folder(tmp_path, "a", "4567")) is None
    found = [(stored.result.collection, stored.result.system) for stored in read_results(tmp_path)]
    assert found == [("a", "x"), ("a", "y"), ("b", "x")]


@pytest.mark.parametrize("name", ["..", "/", "a:b", "", "../../x"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    folder = result_folder(tmp_path, name, name, name)
    assert folder.resolve().is_relative_to(tmp_path.resolve())
    assert ".." not in folder.parts


def test_what_is_no_result_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        read_results(tmp_path / "absent")
    with pytest.raises(InputError, match="leanseek eval collection"):
        read_results(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(InputError, match=r"result\.json"):
        read_results(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="newer version"):
        read_results(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"format": 1, "collection": "x"}))
    with pytest.raises(InputError, match=r"result\.json"):
        read_results(tmp_path)


def test_scores_and_queries_beside_it(tmp_path: Path) -> None:
    folder = result_folder(tmp_path, "a", "test", "x")
    write_result(folder, RESULT)
    (folder / "per_query.jsonl").write_text('{"query": "1", "scores": {"nDCG@10": 0.5}}\n')
    (folder.parent / "queries.tsv").write_text("1\twhat is\u2028this\n2\tand this\n", encoding="utf-8")
    stored = read_result(folder)
    assert stored.per_query() == {"1": {"nDCG@10": 0.5}}
    assert stored.queries() == {"1": "what is\u2028this", "2": "and this"}
    (folder / "per_query.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"per_query\.jsonl:1:"):
        stored.per_query()


def test_a_result_from_before_the_analysers_had_versions_is_of_the_first(tmp_path: Path) -> None:
    folder = result_folder(tmp_path, RESULT.collection, RESULT.split, RESULT.system)
    write_result(folder, RESULT)
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"english@2"', '"english"'))
    stored = read_result(folder).result.settings.sparse
    assert stored == SparseSettings(k1=1.2, analyzer="english@1")
