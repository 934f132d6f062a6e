"""Exported results are read back by MTEB's own class."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leanseek.errors import UsageError
from leanseek.eval.base import Rules
from leanseek.eval.collections.official import BEIR_SETS, FORUMS
from leanseek.eval.leaderboard import export
from leanseek.eval.results import Efficiency, Machine, Provenance, Result, SystemSettings

RESULT = Result(
    collection="scifact",
    split="test",
    system="dense",
    settings=SystemSettings("dense", None, "flat", "m", None, None, None, None, 0, None, None),
    k=1000,
    documents=5183,
    queries=300,
    measures=("nDCG@10", "R@100", "AP@100", "RR@10", "P@5", "Judged@10", "AP"),
    means={
        "nDCG@10": 0.645082,
        "R@100": 0.925,
        "AP@100": 0.6,
        "RR@10": 0.61,
        "P@5": 0.14,
        "Judged@10": 0.1,
        "AP": 0.6,
    },
    rules=Rules("", "", "", "", "", ""),
    warnings=(),
    efficiency=Efficiency(None, None, 2.0, 150.0, None, Machine("", 1, "")),
    provenance=Provenance(
        (), "0.1.0", None, "3", {}, None, "f", "abc", None, "r", "i", {}, "2025-01-01T00:00:00+00:00"
    ),
)


@pytest.fixture(scope="module")
def task_result() -> Any:
    if importlib.util.find_spec("mteb") is None:
        pytest.skip("the package mteb is not installed")
    from mteb import TaskResult

    return TaskResult


def test_mteb_reads_it_back(tmp_path: Path, task_result: Any) -> None:
    train = replace(RESULT, split="train", means=RESULT.means | {"nDCG@10": 0.5})
    done = export([RESULT, train, replace(RESULT, collection="cranfield")], tmp_path)
    assert done.left_out == ("cranfield",)
    assert done.files == (tmp_path / "leanseek__dense" / "0.1.0" / "SciFact.json",)
    read = task_result.from_disk(done.files[0])
    assert read.task_name == "SciFact"
    assert read.get_score(splits=["test"]) == pytest.approx(0.645082)
    [scores] = read.scores["test"]
    assert scores["recall_at_100"] == 0.925
    assert scores["map_at_100"] == 0.6
    assert scores["mrr_at_10"] == 0.61
    assert scores["precision_at_5"] == 0.14
    assert not any("udged" in name for name in scores)
    assert read.scores["train"][0]["main_score"] == 0.5
    assert read.dataset_revision == "sha256:abc"
    assert read.date.year == 2025


def test_the_tasks_named_are_those_that_mteb_has(task_result: Any) -> None:
    import mteb

    named = {one.mteb_task for one in (*BEIR_SETS, *FORUMS) if one.mteb_task is not None}
    found = {task.metadata.name for task in mteb.get_tasks(tasks=sorted(named))}
    assert found == named


def test_without_the_main_score_nothing_is_exported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nDCG@10"):
        export([replace(RESULT, measures=("R@100",), means={"R@100": 0.9})], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    [path] = export([RESULT], tmp_path).files
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["mteb_version"] is None
    assert record["scores"]["test"][0]["languages"] == ["eng-Latn"]
