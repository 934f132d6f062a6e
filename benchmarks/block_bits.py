"""What the in-context re-ranker's memory of documents loses in 8 bits, what it saves, and how fast it is.

    python benchmarks/block_bits.py FOLDER [--split dev] [--queries 20] [--precision float32]

FOLDER is a collection in BEIR's layout whose judgments list all candidates of a query, such as WikiQA. The packaged
decoder with its selected heads scores them twice with each memory, the second time from what was kept: how far scores
are from those of the exact memory, nDCG@10, bytes, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from incontext_quality import mean_ndcg, pools

sys.path.insert(0, str(Path(__file__).parents[1]))

from leanseek.decode import DEFAULT_DECODER, load_decoder
from leanseek.decode.states import PackedStates
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import published_for

MEMORY = 8 << 30
LENGTHS = (30, 195)
"""Tokens of a sentence and of a passage of 150 words."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    given = parser.parse_args()

    found = pools(given.folder, given.split, given.queries)
    decoder = load_decoder(precision=given.precision)
    deepest = max(head.layer for head in published_for(DEFAULT_DECODER).heads)
    for length in LENGTHS:
        [states] = decoder.states([list(range(100, 100 + length))], deepest)
        whole = 2 * sum(one.numel() * one.element_size() for one in states.keys)
        packed = PackedStates.of(states).bytes
        print(
            f"{length} tokens: all keys and values {whole:,} bytes, as computed {states.bytes:,} "
            f"({whole / states.bytes:.2f}×), 8 bits {packed:,} ({whole / packed:.2f}×)",
            flush=True,
        )
    exact: np.ndarray | None = None
    for name, bits in (("as computed", None), ("8 bits", 8)):
        reranker = InContextReranker(decoder, heads="published", block_memory=MEMORY, block_bits=bits)
        seconds = []
        for _ in range(2):
            begun = time.process_time()
            scores = [reranker.score(pool.example.query, pool.example.documents) for pool in found]
            seconds.append(time.process_time() - begun)
        every = np.concatenate([np.array(one) for one in scores])
        exact = every if exact is None else exact
        off = np.abs(every - exact)
        print(
            f"{given.precision}, {name}: {len(every)} scores off by {off.mean():.5f} on average, {off.max():.5f} "
            f"at most; nDCG@10 {mean_ndcg(scores, found):.4f}; seconds of the processor {seconds[0]:.1f}, from memory "
            f"{seconds[1]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
