"""Hosts on several Ray nodes under load: every single answer is one index's, while hosts die and epochs change.

The experiments are those of `benchmarks/cluster_chaos.py`, which runs them for longer and on real collections.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import ROOT, HashEncoder, make_documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

DOCUMENTS = make_documents(600, 4)
CLIENTS = 8


@functools.cache
def chaos() -> ModuleType:
    """The benchmark."""
    spec = importlib.util.spec_from_file_location("cluster_chaos", ROOT / "benchmarks" / "cluster_chaos.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queries() -> list[str]:
    """Of one to four words, as documents have them."""
    chance = random.Random(5)
    return [" ".join(chance.choice(DOCUMENTS).text.split()[: chance.randint(1, 4)]) for _ in range(60)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Four shards twice on four nodes."""
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with chaos().serving(folder, DOCUMENTS, queries(), encoder=HashEncoder(), epochs=5) as made:
            yield made


def test_every_answer_under_load_is_one_index_s(served: Any) -> None:
    found = chaos().exact(served, 20.0, CLIENTS)
    assert found["lost"] == found["wrong"] == 0, found
    assert found["answers"] > 100


def test_a_frozen_shard_is_an_error_in_time_or_is_left_out(served: Any) -> None:
    served.settle()
    found = chaos().gone(served)
    assert found["raised"] == "ShardUnavailableError"
    assert found["raised_after_s"] < found["deadline_s"] + 1.5
    assert found["coverage"] == found["exact_coverage"] < 1
    assert found["answered_after_s"] < found["deadline_s"] + 1.5


def test_answers_are_one_epoch_s_while_epochs_are_published(served: Any) -> None:
    served.settle()
    found = chaos().refresh(served, DOCUMENTS, clients=CLIENTS, pause=2.0)
    assert found["lost"] == found["wrong"] == 0, found
    assert found["epochs"] == 5 and found["answers"] > 50


def test_what_is_too_much_is_refused_and_the_rest_is_answered(served: Any) -> None:
    served.settle()
    found = chaos().overload(served, 6.0, times=6.0, clients=CLIENTS)
    # On a machine with other work some do not end before their deadline; how many is for the benchmark.
    assert set(found["ended"]) - {"ShardUnavailableError"} == {"answered", "refused"}, found


def test_answers_survive_hosts_that_die_and_freeze(tmp_path: Path) -> None:
    """In a process of its own, which Ray may end when it leaves a cluster whose control service was killed."""
    rows = [{"_id": one.id, "title": one.title, "text": one.text} for one in DOCUMENTS]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"_id": f"q{number}", "text": query} for number, query in enumerate(queries())]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
    ended = subprocess.run(
        [
            *(sys.executable, ROOT / "benchmarks" / "cluster_chaos.py", tmp_path, "--json"),
            *("--nodes", "3", "--seconds", "12", "--every", "2"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in ended.stdout.splitlines() if line.startswith('{"chaos"')]
    assert told, ended.stdout[-2000:] + ended.stderr[-2000:]
    found = json.loads(told[0])["chaos"]
    assert found["lost"] == found["wrong"] == 0, found
    assert "kill the control service" in found["faults"] and len(found["faults"]) > 1
    assert found["answers"] > 100
