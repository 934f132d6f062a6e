"""Building on a Ray cluster whose nodes are killed, and from which the command is taken: the same files in the end.

And a server over the hosts of a cluster: the answers of one that has the shards in its own process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support import ROOT, HashEncoder, make_documents

from leanseek import read
from leanseek.cli.index_commands import origin_of
from leanseek.cluster import ClusterIndex, ClusterSearcher, LocalNodes, serve_cluster, stop_cluster
from leanseek.cluster import units as cluster_units
from leanseek.cluster.epochs import read_epoch
from leanseek.cluster.storage import open_storage
from leanseek.errors import ClusterError
from leanseek.indexing.creation import make_plan
from leanseek.serve import ServeSettings, create_app

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

DOCUMENTS = 3200
UNITS = 400
UNIT = 8
SHARDS = 2


@pytest.fixture(scope="module")
def nodes() -> Iterator[LocalNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        )
        with LocalNodes(3) as made:
            # Before leanseek does, which looks at the port first: the guard takes a node's address for another machine.
            ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
            yield made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    lines = [
        json.dumps({"_id": f"d{number:05}", "text": f"{one.text} number {number}"})
        for number, one in enumerate(make_documents(DOCUMENTS, 5))
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def until(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Wait until a condition holds, while a process runs."""
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, "the build has ended"
        time.sleep(0.02)
    raise AssertionError("it never comes")


def said_by(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """What a build says that succeeds; where it takes longer than that, the failure shows where its threads are."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def test_three_nodes_killed_and_an_interrupt(
    nodes: LocalNodes, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, url = tmp_path / "log", tmp_path / "killed.cluster"
    log.touch()
    runner = Path(__file__).with_name("ray_build_runner.py")
    command = [sys.executable, "-X", "faulthandler", str(runner), "cluster", "build", str(corpus)]
    command += ["--into", url.name, "--shards", str(SHARDS), "--address", nodes.address]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "UNIT_LOG": str(log)}, text=True, stderr=subprocess.PIPE
        )

    def ended() -> int:
        return log.read_text().count("ended")

    process = begin()
    for kill in range(3):
        until(lambda kill=kill: ended() >= 50 * (kill + 1), process)  # type: ignore[misc]
        nodes.kill()
        nodes.add()
    until(lambda: ended() >= 220, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Repeat the command" in said and "Traceback" not in said
    assert not (url / "cluster.json").exists()
    said = said_by(begin())
    assert "nodes of Ray" in said

    noted = [line.split() for line in log.read_text().splitlines()]
    units = {unit for _, unit in noted}
    assert len(units) == UNITS
    repeated = sum(what == "begun" for what, _ in noted) - len(units)
    assert repeated <= 0.02 * len(units), f"{repeated} of {len(units)} units were repeated"

    monkeypatch.setattr(cluster_units, "UNIT_PASSAGES", UNIT)
    peace = tmp_path / "peace.cluster"
    ClusterIndex.build(
        peace,
        read(corpus),
        make_plan(encoder=HashEncoder(), dense="flat"),
        SHARDS,
        origin=origin_of([str(corpus)]),
    )
    assert read_epoch(open_storage(url)) == read_epoch(open_storage(peace))
    assert ClusterIndex.open(url, encoder=HashEncoder()).check().sound


def test_a_server_over_hosts(nodes: LocalNodes, tmp_path: Path) -> None:
    url = tmp_path / "many"
    plan = make_plan(encoder=HashEncoder(), dense="flat", chunk_words=4)
    ClusterIndex.build(url, make_documents(120, 3), plan, SHARDS)
    with pytest.raises(ClusterError, match="no hosts serve"):
        ClusterSearcher.open(url, address=nodes.address)
    serve_cluster(str(url), replicas=2, address=nodes.address)
    found = []
    for address in ("local", nodes.address):
        settings = ServeSettings(encoders=(HashEncoder(),), address=address)
        with TestClient(create_app({"many": f"cluster:{url}"}, settings), "http://localhost") as ask:
            for path in ("search?query=statin+trial&explain=true", "search?query=wing&filter=year>2000", ""):
                record = ask.get(f"/indexes/many/{path}".rstrip("/")).json()
                record.pop("took_ms", None)
                found.append(record)
    assert found[:3] == found[3:] and found[0]["hits"] and found[1]["hits"] and found[2]["documents"]
    assert stop_cluster(str(url), address=nodes.address) == 3
