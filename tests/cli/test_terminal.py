"""With bars on a terminal, what is printed still goes where standard output goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, make_documents

from leanseek import Index

pty = pytest.importorskip("pty")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    Index.create(tmp_path / "my.index", encoder=None).add(make_documents(20, 1))
    return tmp_path / "my.index"


def piped(*words: object) -> str:
    """What a command writes to standard output, a pipe, while standard error is a terminal."""
    screen, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "leanseek", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=terminal,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            timeout=120,
            check=True,
        )
    finally:
        os.close(terminal)
        os.close(screen)
    return done.stdout.decode()


def test_hits_contexts_and_runs_are_in_the_pipe(index: Path, tmp_path: Path) -> None:
    assert "1. " in piped("search", index, "statin trial")
    assert "[1]" in piped("search", index, "statin trial", "--context", "100")
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\tstatin trial\n")
    assert piped("run", index, queries, "--out", "-").startswith("q1 Q0 ")
