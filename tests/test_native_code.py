"""The compiled code: no compiler warns of it, and its tests pass while its memory and its arithmetic are watched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "native").glob("*.cpp"))
# Python's and pybind11's own headers are as they are.
INCLUDE = [
    option
    for path in (sysconfig.get_path("include"), pybind11.get_include())
    for option in ("-isystem", path)
]
LANGUAGE = ["-std=c++17", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC"]
KERNELS = [
    "tests/indexing/sparse/test_bm25_parts.py",
    "tests/indexing/sparse/test_bm25_pruning.py",
    "tests/indexing/sparse/test_sparse_files.py",
    "tests/indexing/sparse/test_term_numbers.py",
    "tests/indexing/learned/test_impacts.py",
    "tests/indexing/dense/lean/test_lean_kernels.py",
    "tests/indexing/ngrams/test_fm_index.py",
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_no_compiler_warns(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for source in SOURCES:
        # clang's -Wconversion has the signs of indexes in it, g++'s has not.
        warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
        done = subprocess.run(
            [compiler, *LANGUAGE, *warnings, *INCLUDE, "-fsyntax-only", str(source)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]


def test_the_kernels_read_no_foreign_memory(tmp_path: Path) -> None:
    """Under the address and undefined-behaviour sanitizers: the first access out of bounds ends the process."""
    compiler = shutil.which("g++")
    runtime = (
        subprocess.run(
            [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True
        ).stdout.strip()
        if compiler
        else ""
    )
    if not Path(runtime).is_absolute():
        pytest.skip("g++ and its libasan are not installed")
    package = tmp_path / "leanseek"
    shutil.copytree(ROOT / "leanseek", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    modules = {"_native": "bm25.cpp", "_terms": "terms.cpp", "_scan": "scan.cpp", "_ngrams": "ngrams.cpp"}
    for name, source in modules.items():
        watched = ["-g", "-O1", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        out = package / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        subprocess.run(
            [str(compiler), *LANGUAGE, *watched, *INCLUDE, str(ROOT / "native" / source), "-o", str(out)],
            check=True,
        )
    # Python itself frees not all memory at its end. What the standard library throws is caught by libasan only if both
    # are there from the start.
    standard = subprocess.run(
        [str(compiler), "-print-file-name=libstdc++.so.6"], capture_output=True, text=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0",
        "LD_PRELOAD": f"{runtime} {standard}",
        "PYTHONPATH": str(tmp_path),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-o",
        "addopts=",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "t"),
    ]
    done = subprocess.run(
        [*command, *KERNELS], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert " passed" in done.stdout, done.stdout[-1000:]
