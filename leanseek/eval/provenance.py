"""The provenance of a result and its costs: versions, digests, time, memory and the machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from leanseek.errors import InputError
from leanseek.eval.results import Latency, Machine
from leanseek.files import checksum
from leanseek.indexing.catalog import State
from leanseek.types import Progress, Query

PACKAGES = (
    "numpy",
    "faiss-cpu",
    "PyStemmer",
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "onnxruntime",
    "model2vec",
    "bm25s",
    "rank-bm25",
    "pyserini",
    "ir_measures",
    "pytrec_eval-terrier",
)
"""Distributions whose version can change a number."""

SAMPLE = 200
"""Queries timed one at a time, at most."""
SAMPLE_SEED = 0
WARM_UP = 5
HITS = 10
"""Hits of each timed query: as many as a person sees of an answer."""


def installed(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Name → version of those that are installed."""
    found: dict[str, str] = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def source_commit() -> str | None:
    """The commit of leanseek's own source, `-dirty` where files were changed; None where it is no clone."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def utc_now() -> str:
    """The time in UTC as ISO 8601 has it, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def digest(value: object) -> str:
    """SHA-256 of plain values (what JSON can hold), hexadecimal; the same whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises InputError where it cannot be read."""
    try:
        return checksum(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error


def index_fingerprint(state: State) -> str:
    """A digest of an index at one generation: its settings, its files' checksums, its deletions."""
    files = [[segment.number, file.name, file.sha256] for segment in state.segments for file in segment.files]
    deleted = {str(number): ordinals.tolist() for number, ordinals in state.tombstones.items()}
    return digest([state.settings.to_json(), files, deleted])


def time_queries(
    answer: Callable[[str], object], queries: Sequence[Query], progress: Progress | None = None
) -> Latency | None:
    """Latency of `answer` for single queries; None where there is no query.

    A fixed sample of at most `SAMPLE` queries, one at a time, after `WARM_UP` of them that are not counted.
    """
    sample = list(queries)
    if len(sample) > SAMPLE:
        sample = random.Random(SAMPLE_SEED).sample(sample, SAMPLE)
    if not sample:
        return None
    for query in sample[:WARM_UP]:
        answer(query.text)
    taken = []
    for query in sample:
        started = time.perf_counter()
        answer(query.text)
        taken.append(1e3 * (time.perf_counter() - started))
        if progress is not None:
            progress("timing single queries", len(taken), len(sample))
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    return Latency(len(sample), float(p50), float(p95), float(p99))


def peak_memory() -> int | None:
    """The most memory that this process has had resident so far, in bytes; None where it is not known (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return high if sys.platform == "darwin" else high * 1024


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def this_machine() -> Machine:
    """The machine that this process runs on."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}".strip()
    return Machine(cpu_model() or "unknown", os.cpu_count() or 1, system)


def cpu_model() -> str:
    """The processor's name as the system has it; empty where it has none."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Hardware", "cpu"):
                return value.strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            done = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(done, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return platform.processor()
