"""Runs one operation on an index in a forked process, for the test that kills it.

Reads `OPERATION INDEX SEED` lines; for each answers with the process id, and with `done` when it ended.
Forking from a process that has imported everything makes the kill land inside the operation.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import faiss  # noqa: F401 - imported before the fork, used after it
from support import HashEncoder, HashExpander, make_documents

from leanseek.indexing import intake, merges
from leanseek.indexing.creation import make_plan
from leanseek.indexing.index import Index

os.environ["OMP_NUM_THREADS"] = "1"


def operate(operation: str, path: str, seed: int) -> None:
    encoder = HashEncoder()
    if operation == "index":
        Index.make(
            path,
            make_documents(300, seed),
            make_plan(encoder=encoder, learned=HashExpander()),
            on_duplicate="replace",
        )
        return
    index = Index.open(path, encoder=encoder, learned=HashExpander())
    if operation == "grow":  # as "add", but in many segments, and merged at once: two commits
        intake.BATCH, intake.SEGMENT_PASSAGES, merges.MERGED_AT_ONCE = 20, 40, 2  # type: ignore[misc]
    if operation == "trickle":
        for document in make_documents(30, seed, prefix="n"):
            index.add([document], on_duplicate="replace")
            with Path(f"{path}.added").open("a") as acknowledged:
                acknowledged.write(f"{document.id}\n")
    if operation in ("add", "grow"):
        index.add(make_documents(150, seed, prefix="n"), on_duplicate="replace")
    elif operation == "delete":
        index.delete([f"d{number}" for number in range(seed, 300, 7)], ignore_missing=True)
    elif operation == "compact":
        index.compact()
    index.close(patience=None)


for line in sys.stdin:
    operation, path, seed = line.rstrip("\n").split("\t")
    child = os.fork()
    if child == 0:
        try:
            operate(operation, path, int(seed))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    sys.stdout.write(f"{child}\n")
    sys.stdout.flush()
    os.waitpid(child, 0)
    sys.stdout.write("done\n")
    sys.stdout.flush()
