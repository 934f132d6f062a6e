"""The longest pause of the event loop while 16 calls of an adapter run at the same time.

    python benchmarks/loop_pauses.py INDEX                  # every adapter that is installed, on an index of yours

A task that wakes every millisecond notes how late it is. `idle` is the same without calls: what the machine itself does
to the loop, to be subtracted. Each adapter is called once before, as a first call loads the encoder. Milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

CALLS = 16
ROUNDS = 5
TICK = 0.001
QUERIES = (
    "does aspirin lower the risk of a stroke", "boundary layer on a flat plate", "how do cells repair DNA",
    "what is read from a file line by line",
)  # fmt: skip

Ask = Callable[[str], Awaitable[Any]]


async def longest_pause(work: Callable[[], Awaitable[Any]]) -> float:
    """How many seconds the loop was late at most while the work ran."""
    late = 0.0

    async def tick() -> None:
        nonlocal late
        while True:
            started = time.perf_counter()
            await asyncio.sleep(TICK)
            late = max(late, time.perf_counter() - started - TICK)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work()
    ticking.cancel()
    return late


def adapters(index: str) -> dict[str, Ask]:
    """What is asked of each adapter, by its name."""
    from leanseek.integrations.dspy import LeanseekRM

    rm = LeanseekRM(index, k=10)
    found: dict[str, Ask] = {"dspy": rm.acall}
    try:
        import leanseek.integrations.langchain as langchain

        retriever = langchain.LeanseekRetriever(index=index, k=10)
        store = langchain.LeanseekVectorStore(index)
        found |= {"langchain retriever": retriever.ainvoke, "langchain store": store.asimilarity_search}
    except ImportError as error:
        print(error)
    try:
        from llama_index.core import QueryBundle
        from llama_index.core.vector_stores import VectorStoreQuery

        import leanseek.integrations.llamaindex as llamaindex

        nodes = llamaindex.LeanseekRetriever(index, k=10)
        vectors = llamaindex.LeanseekVectorStore(index)
        found["llamaindex retriever"] = lambda query: nodes.aretrieve(QueryBundle(query))
        found["llamaindex store"] = lambda query: vectors.aquery(
            VectorStoreQuery(query_str=query, similarity_top_k=10)
        )
    except ImportError as error:
        print(error)
    try:
        import leanseek.integrations.haystack as haystack

        component = haystack.LeanseekRetriever(haystack.LeanseekDocumentStore(index), top_k=10)
        found["haystack retriever"] = component.run_async
    except ImportError as error:
        print(error)
    return found


async def measured(index: str) -> None:
    """Print a line for each adapter."""

    async def nothing() -> None:
        await asyncio.sleep(0.5)

    idle = [await longest_pause(nothing) for _ in range(ROUNDS)]
    print(f"{'idle':<22} median {statistics.median(idle) * 1e3:6.1f}  most {max(idle) * 1e3:6.1f}")
    for name, ask in adapters(index).items():
        await ask(QUERIES[0])

        async def sixteen(ask: Ask = ask) -> None:
            await asyncio.gather(*(ask(QUERIES[number % len(QUERIES)]) for number in range(CALLS)))

        started = time.perf_counter()
        late = [await longest_pause(sixteen) for _ in range(ROUNDS)]
        taken = (time.perf_counter() - started) / ROUNDS
        print(
            f"{name:<22} median {statistics.median(late) * 1e3:6.1f}  most {max(late) * 1e3:6.1f}  "
            f"(16 calls in {taken * 1e3:.0f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", help="the folder of an index")
    asyncio.run(measured(parser.parse_args().index))


if __name__ == "__main__":
    main()
