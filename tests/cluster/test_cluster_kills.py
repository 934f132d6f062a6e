"""A cluster whose writer is killed, interrupted or has no room: nothing lost, nothing half."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT, HashEncoder, HashExpander

from leanseek.cluster import ClusterIndex
from leanseek.cluster.epochs import EpochRecord, read_epoch
from leanseek.cluster.shards import open_snapshots
from leanseek.cluster.storage import open_storage
from leanseek.errors import ExitCode, IndexNotFoundError

Run = Callable[..., int]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """`run(operation, url, end, place, nth)` is the exit status of a process that ends there."""
    runner = Path(__file__).with_name("kill_runner.py")
    process = subprocess.Popen(
        [sys.executable, str(runner)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    assert process.stdin is not None and process.stdout is not None

    def call(operation: str, url: Path, end: str = "none", place: str = "-", nth: int = 0) -> int:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{operation}\t{url}\t{end}\t{place}\t{nth}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield call
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster whose build was left in peace."""
    url = tmp_path_factory.mktemp("whole") / "cluster"
    assert run("build", url) == 0
    return url


def epoch_of(url: Path) -> EpochRecord:
    return read_epoch(open_storage(url))


def ids_of(url: Path) -> list[str]:
    snapshots = open_snapshots(open_storage(url), epoch_of(url))
    found = [
        id
        for snapshot in snapshots
        for segment in snapshot.segments
        for id, part in segment.passages.keys(segment.live)
        if part == 0
    ]
    for snapshot in snapshots:
        snapshot.close()
    return sorted(found)


BUILDING = [
    *(("kill", place, nth) for place, nth in (("unit", 1), ("unit", 7), ("shard", 1), ("shard", 4))),
    *(("kill", place, nth) for place, nth in (("placed", 2), ("publish", 1), ("published", 1))),
    *(("interrupt", place, nth) for place, nth in (("unit", 4), ("shard", 2), ("publish", 1))),
    *(("full", place, nth) for place, nth in (("unit", 4), ("shard", 2), ("publish", 1))),
]
CHANGING = [
    *(("kill", place, nth) for place, nth in (("shard", 1), ("shard", 3), ("publish", 1), ("published", 2))),
    *(("interrupt", place, nth) for place, nth in (("shard", 2), ("publish", 1))),
    *(("full", place, nth) for place, nth in (("shard", 2), ("publish", 1))),
]


@pytest.mark.parametrize(("end", "place", "nth"), BUILDING)
def test_a_build_that_is_cut_short_goes_on_to_the_same_files(
    run: Run, whole: Path, tmp_path: Path, end: str, place: str, nth: int
) -> None:
    url = tmp_path / "cluster"
    ended = run("build", url, end, place, nth)
    assert ended == {"kill": -9, "interrupt": 130, "full": ExitCode.STORAGE}[end]
    if place != "published":
        with pytest.raises(IndexNotFoundError):
            epoch_of(url)
    assert run("build", url) == 0
    assert epoch_of(url) == epoch_of(whole)
    assert ClusterIndex.open(url).check().sound
    left = {path.relative_to(url).parts[0] for path in url.rglob("*") if path.is_file()}
    assert left == {"LOCK", "cluster.json", "epochs", "shards"}
    assert len([*(url / "shards").iterdir()]) == 3


def test_three_kills_and_an_interrupt_cost_only_the_units_in_hand(
    run: Run, whole: Path, tmp_path: Path
) -> None:
    url = tmp_path / "cluster"
    for end, nth in (("kill", 3), ("kill", 4), ("interrupt", 2), ("kill", 5)):
        assert run("build", url, end, "unit", nth) != 0
    done = len([*(url / "units").glob("*.done")])
    assert done == 2 + 3 + 1 + 4
    assert run("build", url) == 0
    assert epoch_of(url) == epoch_of(whole)


@pytest.mark.parametrize("operation", ["add", "delete", "compact"])
@pytest.mark.parametrize(("end", "place", "nth"), CHANGING)
def test_a_change_is_published_whole_or_not_at_all(
    run: Run, whole: Path, tmp_path: Path, operation: str, end: str, place: str, nth: int
) -> None:
    url, peaceful = tmp_path / "cluster", tmp_path / "peaceful"
    shutil.copytree(whole, url)
    if operation == "compact":  # it needs something to do
        assert run("delete", url) == 0
    shutil.copytree(url, peaceful)
    before = epoch_of(url)
    assert run(operation, peaceful) == 0
    after = epoch_of(peaceful)
    assert (after.number, ids_of(peaceful) == ids_of(url)) == (before.number + 1, operation == "compact")

    ended = run(operation, url, end, place, nth)
    assert ended == {"kill": -9, "interrupt": 130, "full": ExitCode.STORAGE}[end]
    published = place == "published"
    assert epoch_of(url) == (after if published else before)
    assert ClusterIndex.open(url).check().sound
    assert ids_of(url) == ids_of(peaceful if published else whole if operation != "compact" else peaceful)

    if not published:
        assert run(operation, url) == 0
        assert epoch_of(url) == after
    cluster = ClusterIndex.open(url, encoder=HashEncoder(), learned=HashExpander())
    cluster.delete(["d1"])  # whatever is next cleans up
    named = {shard.folder for shard in (*after.shards, *cluster.epoch.shards)}
    assert {f"shards/{path.name}" for path in (url / "shards").iterdir()} == named
    assert not (url / "units").exists()
