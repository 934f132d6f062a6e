"""Adding one document at a time: how long each add takes, by the size of the index, beside the disk's own speed.

    python benchmarks/writes.py                      # indexes of 10,000 and 100,000 documents, made up
    python benchmarks/writes.py --package OLDER      # the same with another leanseek, in a process of its own

A line is one index: milliseconds of an add (median and 99th percentile, and of the processor's time), adds a second,
bytes written to the disk for each, the segments there are in the middle and at most, queries a second at the end, and
the median of a new file of 4 KB that is flushed (`fsync`), measured between the adds. `hybrid` takes vectors made up at
once; `encoder` is the time that the default model takes for one such document, which is to be added.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIZES = (10_000, 100_000)
ADDS = 300
DIMENSIONS = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--adds", type=int, default=ADDS)
    parser.add_argument(
        "--folder", type=Path, help="where the indexes are made; the system's temporary folder"
    )
    parser.add_argument("--package", type=Path, help="a checkout of another version to measure")
    parser.add_argument("--model", action="store_true", help="measure the default encoder too")
    given = parser.parse_args()
    if given.package is not None:
        rest = ["--sizes", *map(str, given.sizes), "--adds", str(given.adds)]
        rest += ["--folder", str(given.folder)] if given.folder else []
        environment = {**os.environ, "PYTHONPATH": str(given.package.resolve())}
        subprocess.run([sys.executable, __file__, *rest], env=environment, check=True)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print("kind documents p50_ms p99_ms cpu_ms adds/s KB/add segments most queries/s fsync_ms add/fsync")
        for size in given.sizes:
            for kind in ("sparse", "hybrid"):
                print(kind, size, *measured(Path(folder), kind, size, given.adds), flush=True)
    if given.model:
        print("encoder_ms", round(encoding() * 1000, 1))


class MadeUp:
    """An encoder that takes no time: what is measured is the index."""

    name = "made-up"
    fingerprint = "d" * 64
    dimensions = DIMENSIONS
    max_tokens = None

    def encode_documents(self, texts: Sequence[str]):  # type: ignore[no-untyped-def]
        from leanseek.encode import Encoded

        vectors = np.stack(
            [np.random.default_rng(zlib.crc32(t.encode())).random(DIMENSIONS) - 0.5 for t in texts]
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Encoded(vectors.astype(np.float32), np.array([len(t.split()) for t in texts], dtype=np.int32))

    encode_queries = encode_documents


def documents(count: int, prefix: str, seed: int):  # type: ignore[no-untyped-def]
    from leanseek import Document

    chance = random.Random(seed)
    for number in range(count):
        words = [f"w{min(int(chance.paretovariate(0.6)), 50_000)}" for _ in range(60)]
        yield Document(f"{prefix}{number}", " ".join(words), f"note {number}", {"year": 1990 + number % 30})


def measured(folder: Path, kind: str, size: int, adds: int) -> list[object]:
    """The columns of a line."""
    from leanseek import Index, Searcher

    path = folder / f"{kind}-{size}"
    encoder = MadeUp() if kind == "hybrid" else None
    index = Index.create(path, encoder=encoder, dense="flat" if encoder else "auto")
    index.add(documents(size, "base", 0), cache=False)
    index.add(documents(1, "first", 1), cache=False)
    taken, segments, flushed = [], [], []
    written, worked = bytes_written(), time.process_time()
    for document in documents(adds, "new", 2):
        started = time.perf_counter()
        index.add([document], cache=False)
        taken.append(time.perf_counter() - started)
        segments.append(sum(part.name.isdecimal() for part in (path / "segments").iterdir()))
        flushed.append(flush(folder / "probe"))
    worked = (time.process_time() - worked) / adds
    written = (bytes_written() - written) / adds - 4096
    if hasattr(index, "close"):
        index.close()
    searcher = Searcher.open(path, encoder=encoder)
    queries = [" ".join(document.text.split()[:6]) for document in documents(100, "q", 3)]
    searcher.search(queries[0])
    started = time.perf_counter()
    for query in queries:
        searcher.search(query)
    answered = len(queries) / (time.perf_counter() - started)
    searcher.close()
    shutil.rmtree(path)
    middle, last = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
    fsync = statistics.median(flushed)
    return [
        f"{middle * 1000:.1f}",
        f"{last * 1000:.1f}",
        f"{worked * 1000:.1f}",
        f"{adds / sum(taken):.1f}",
        f"{written / 1000:.0f}",
        f"{statistics.mean(segments):.1f}",
        max(segments),
        f"{answered:.0f}",
        f"{fsync * 1000:.2f}",
        f"{middle / fsync:.1f}",
    ]


def flush(path: Path) -> float:
    """Seconds that a new file of 4 KB takes to be on the disk."""
    started = time.perf_counter()
    with path.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    taken = time.perf_counter() - started
    path.unlink()
    return taken


def bytes_written() -> float:
    """Bytes that this process has handed to the file system; not a number where the system does not count them."""
    try:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        return float("nan")
    return float(counts["wchar"])


def encoding() -> float:
    """Seconds that the default model takes for one document, at its median."""
    from leanseek.encode import DEFAULT_MODEL, load_query_encoder

    encoder = load_query_encoder(DEFAULT_MODEL)
    taken = []
    for document in documents(50, "m", 4):
        started = time.perf_counter()
        encoder.encode_documents([document.text])
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
