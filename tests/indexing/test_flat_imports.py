"""An index whose vectors are compared exactly loads nothing that reduces vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

REDUCED = ("leanseek.indexing.dense.lean", "leanseek.indexing.leanvec", "leanseek._scan")
PROGRAM = """
import sys
from support import HashEncoder, make_documents
from leanseek import Index, Searcher

path = sys.argv[1]
if sys.argv[2] == "build":
    index = Index.create(path, encoder=HashEncoder(), dense=sys.argv[3])
    index.add(make_documents(60), cache=False)
    index.add(make_documents(60, 1, prefix="n"), cache=False)
    index.delete(["d3"])
    index.compact()
else:
    searcher = Searcher.open(path, encoder=HashEncoder())
    assert len(searcher.search("statin wing", mode=sys.argv[3])) == 10
print(*sorted(name for name in sys.modules if name.startswith("leanseek.")))
"""


def modules(*arguments: str | Path) -> list[str]:
    """The package's modules that a fresh process has loaded after running the program."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.split()


@pytest.mark.parametrize("dense", ["flat", "auto", "lean"])
def test_a_flat_index_loads_no_reduced_vector_module(dense: str, tmp_path: Path) -> None:
    index = tmp_path / "index"
    walks = [("build", dense), ("search", "hybrid"), ("search", "sparse"), ("search", "dense")]
    for walk in walks:
        loaded = modules(index, *walk)
        assert "leanseek.indexing.dense.registry" in loaded
        assert [name for name in loaded if name.startswith(REDUCED)] == []
