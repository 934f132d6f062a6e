"""Whether an installed leanseek works without extras: its kernels are there, and an index answers.

    python scripts/try_wheel.py

Run it by an environment in which nothing but leanseek is installed, from a folder that is no clone of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from leanseek import Document, Index, LeanVecIndex, Searcher
from leanseek.indexing.dense.lean.rows import native as scan
from leanseek.indexing.sparse import kernel_name


def main() -> None:
    """Fail by an assertion where something does not work."""
    assert kernel_name() == "native" and scan() is not None, "the compiled kernels are missing"
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        texts = {"a": "statins lower cholesterol", "b": "loads on a wing", "c": "aspirin thins the blood"}
        with Index.create("try.index", encoder=None) as index:
            index.add(Document(name, text) for name, text in texts.items())
        with Searcher.open("try.index") as searcher:
            assert [hit.id for hit in searcher.search("wing loads", k=1)] == ["b"]
        command = [sys.executable, "-m", "leanseek", "search", "try.index", "cholesterol", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout.splitlines()[0])["id"] == "a"
        vectors = np.random.default_rng(0).standard_normal((6_000, 32), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        lean = LeanVecIndex.build(vectors, vectors[:500], recall=0.9)
        _, found = lean.search(vectors[:100], 1)
        assert np.mean(found[:, 0] == np.arange(100)) > 0.95
        assert Path("try.index").is_dir()
    sys.stdout.write(f"leanseek works on Python {sys.version.split()[0]}\n")


if __name__ == "__main__":
    main()
