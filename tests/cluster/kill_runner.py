"""Changes a cluster in a forked process that ends at a certain place, for the tests that kill it.

Reads `OPERATION URL END PLACE NTH` lines. END is `kill` or `interrupt`, which happens before the NTH call at PLACE, or
`full`: from then on no file can grow. Answers with the exit status of the forked process.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

import faiss  # noqa: F401 - imported before the fork, used after it
from support import HashEncoder, HashExpander, make_documents

from leanseek.cluster import ClusterIndex, cluster_index, shards, units
from leanseek.errors import LeanseekError
from leanseek.indexing.creation import make_plan

os.environ["OMP_NUM_THREADS"] = "1"
PLACES: dict[str, Any] = {
    "unit": (units, "encode_corpus"),
    "shard": (shards, "describe"),
    "placed": (shards, "check_shard"),
    "publish": (cluster_index, "publish"),
    "published": (cluster_index, "clean"),
}


def armed(end: str, place: str, nth: int) -> None:
    """Have the process end at the place."""
    module, name = PLACES[place]
    wrapped = getattr(module, name)
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            if end == "full":
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            else:
                os.kill(os.getpid(), signal.SIGKILL if end == "kill" else signal.SIGINT)
        return wrapped(*arguments, **options)

    setattr(module, name, call)


def operate(operation: str, url: str) -> None:
    units.UNIT_PASSAGES = 20  # type: ignore[misc]
    encoder, expander = HashEncoder(), HashExpander()
    if operation == "build":
        plan = make_plan(encoder=encoder, learned=expander, chunk_words=5)
        ClusterIndex.build(url, make_documents(200), plan, 3, origin="here")
        return
    cluster = ClusterIndex.open(url, encoder=encoder, learned=expander)
    if operation == "add":
        cluster.add(make_documents(60, 1, prefix="n"), on_duplicate="replace")
    elif operation == "delete":
        cluster.delete([f"d{number}" for number in range(0, 200, 7)])
    elif operation == "compact":
        cluster.compact()


for line in sys.stdin:
    operation, url, end, place, nth = line.rstrip("\n").split("\t")
    child = os.fork()
    if child == 0:
        code = 0
        try:
            if end != "none":
                armed(end, place, int(nth))
            operate(operation, url)
        except KeyboardInterrupt:
            code = 130
        except LeanseekError as error:
            code = int(error.exit_code)
            with suppress(OSError):  # a file may be at the other end
                sys.stderr.write(f"{error}\n")
        except BaseException:
            traceback.print_exc()
            code = 99
        os._exit(code)
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
