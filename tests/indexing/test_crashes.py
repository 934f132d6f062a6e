"""The writer is killed at random instants; the index must stand as last committed, and go on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import HashEncoder, HashExpander, contents_of, make_documents, model_of

from leanseek.errors import IndexNotFoundError
from leanseek.indexing.catalog import read_state
from leanseek.indexing.index import Index
from leanseek.indexing.merges import DRAFT
from leanseek.indexing.verification import verify
from leanseek.searcher.searcher import Searcher

KILLS_EACH = 10


class Runner:
    """A process that forks a writer on demand."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        path = os.pathsep.join([str(here.parent), str(here.parents[1])])
        self.process = subprocess.Popen(
            [sys.executable, str(here / "crash_runner.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def run(self, operation: str, path: Path, seed: int, kill_after: float | None = None) -> float:
        """Run the operation, or kill it after some seconds; returns how long it ran."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{operation}\t{path}\t{seed}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        started = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        assert self.process.stdout.readline() == "done\n"
        return time.perf_counter() - started


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    if not hasattr(os, "fork"):
        pytest.skip("the operating system has no fork")
    started = Runner()
    yield started
    started.process.kill()


def expected_after(
    operation: str, before: dict[str, tuple[str, str]], seed: int
) -> dict[str, tuple[str, str]]:
    if operation == "index":
        return model_of(make_documents(300, seed))
    if operation in ("add", "grow"):
        return before | model_of(make_documents(150, seed, prefix="n"))
    if operation == "delete":
        doomed = {f"d{number}" for number in range(seed, 300, 7)}
        return {document: content for document, content in before.items() if document not in doomed}
    return before


@pytest.mark.parametrize("operation", ["index", "add", "grow", "delete", "compact"])
def test_a_killed_writer_loses_nothing(operation: str, runner: Runner, tmp_path: Path) -> None:
    chance = random.Random(operation)
    original = tmp_path / "original"
    index = Index.create(original, encoder=HashEncoder(), learned=HashExpander())
    index.add(make_documents(200, 1))
    index.add(make_documents(80, 2, prefix="m"))
    index.delete(["d3", "m4", "d5"])
    before = contents_of(original)
    trial = tmp_path / "whole"
    shutil.copytree(original, trial)
    duration = runner.run(operation, trial, 3)
    after = expected_after(operation, before, 3)
    assert contents_of(trial) == after

    outcomes = {"kept": 0, "committed": 0}
    # Until enough kills have landed before the commit. When that comes differs between operations, and how long one
    # takes between runs: kills that came too late are followed by earlier ones, and those that did not by later ones.
    latest = duration
    for number in range(8 * KILLS_EACH):
        if number >= KILLS_EACH and outcomes["kept"] >= KILLS_EACH // 3:
            break
        trial = tmp_path / f"trial{number}"
        shutil.copytree(original, trial)
        after_seconds = chance.uniform(0, latest)
        runner.run(operation, trial, 3, kill_after=after_seconds)
        committed = read_state(trial).generation > index.generation
        outcomes["committed" if committed else "kept"] += 1
        latest = after_seconds if committed else min(1.5 * latest, duration)
        assert contents_of(trial) == (after if committed else before)
        assert verify(trial).sound
        runner.run(operation, trial, 3)
        assert contents_of(trial) == after
        assert verify(trial).sound
        named = {segment.folder for segment in read_state(trial).segments}
        assert {f"segments/{folder.name}" for folder in (trial / "segments").iterdir()} == named
        shutil.rmtree(trial)
    # The kills must have landed inside the operation, or this test shows nothing.
    assert outcomes["kept"] >= KILLS_EACH // 3


def test_what_an_add_has_returned_survives_a_kill_at_any_time(runner: Runner, tmp_path: Path) -> None:
    chance = random.Random(11)
    original = tmp_path / "original"
    Index.create(original, encoder=HashEncoder(), learned=HashExpander()).add(make_documents(40, 1))
    before = contents_of(original)
    added = make_documents(30, 3, prefix="n")
    shutil.copytree(original, tmp_path / "whole")
    duration = runner.run("trickle", tmp_path / "whole", 3)
    assert contents_of(tmp_path / "whole") == before | model_of(added)
    merged_away = len(added) + 1 - len(read_state(tmp_path / "whole").segments)
    assert merged_away > len(added) // 2, "nothing was merged in the background"

    drafts = stopped_early = 0
    # Until enough kills have landed before the last add: a machine that has got faster meanwhile is done earlier.
    for number in range(8 * KILLS_EACH):
        if number >= KILLS_EACH and drafts and stopped_early >= KILLS_EACH // 2:
            break
        trial = tmp_path / f"trial{number}"
        shutil.copytree(original, trial)
        runner.run("trickle", trial, 3, kill_after=chance.uniform(0, duration))
        acknowledgements = Path(f"{trial}.added")
        acknowledged = acknowledgements.read_text().split() if acknowledgements.exists() else []
        stopped_early += len(acknowledged) < len(added)
        drafts += any(folder.name.startswith(DRAFT) for folder in (trial / "segments").iterdir())
        # The one that was under way is in or not; its acknowledgement may have been killed too.
        allowed = [before | model_of(added[: len(acknowledged) + more]) for more in (0, 1)]
        assert contents_of(trial) in allowed
        assert verify(trial).sound
        runner.run("trickle", trial, 3)
        assert contents_of(trial) == before | model_of(added)
        named = {segment.folder for segment in read_state(trial).segments}
        assert {f"segments/{folder.name}" for folder in (trial / "segments").iterdir()} == named
        shutil.rmtree(trial)
    assert stopped_early >= KILLS_EACH // 2
    assert drafts, "no kill came while a merge was under way"


def test_a_killed_first_index_can_be_repeated(runner: Runner, tmp_path: Path) -> None:
    chance = random.Random(7)
    duration = runner.run("index", tmp_path / "whole", 5)
    expected = model_of(make_documents(300, 5))
    for number in range(KILLS_EACH):
        trial = tmp_path / f"trial{number}"
        runner.run("index", trial, 5, kill_after=chance.uniform(0, duration))
        with suppress(IndexNotFoundError):
            assert contents_of(trial) in ({}, expected)
        runner.run("index", trial, 5)
        assert contents_of(trial) == expected
        hits = Searcher.open(trial, encoder=HashEncoder(), learned=HashExpander()).search("statin trial")
        whole = Searcher.open(tmp_path / "whole", encoder=HashEncoder(), learned=HashExpander()).search(
            "statin trial"
        )
        assert hits == whole
