"""The model of a large cluster: what the documentation shows is what it says."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from support import ROOT


@pytest.fixture(scope="module")
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cluster_model", ROOT / "benchmarks" / "cluster_model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cluster_model"] = module  # where its classes look for their names
    spec.loader.exec_module(module)
    return module


def test_the_documentation_shows_its_tables(model: ModuleType) -> None:
    shown = (ROOT / "docs" / "cluster.md").read_text().splitlines()
    lines = "\n".join(model.tables(model.Shape(model.MS_MARCO_V2, shards=16, hosts=4))).splitlines()
    assert len(lines) > 40 and [line for line in lines if line not in shown] == []


def test_more_shards_are_quicker_and_cost_more(model: ModuleType) -> None:
    assert model.shard_time(1e6) < model.shard_time(2e6) < 2 * model.shard_time(1e6)
    few, many = (model.shard_time(1e8 / shards) for shards in (10, 40))
    assert many < few and 40 * many > 10 * few
