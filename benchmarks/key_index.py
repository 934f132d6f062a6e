"""How many of a decoder's largest attention weights an index of its keys finds, and what it scores for that.

    python benchmarks/key_index.py FOLDER [--tokens 8192] [--tested 256] [--queries 32] [--layers 0 5 10]

FOLDER has a corpus.jsonl, whose documents are joined to one text and read by the packaged decoder. An index of each
key head learns from the queries of all its heads up to the last `--tested` tokens; of these, `--queries` of each head
look for their 100 largest weights among the keys up to their own. Printed is the recall at several shares of the keys
scored in full: with what is learned from queries and without (PCA), for codes of two sizes, for an index built from
the first half of the tokens to which the others were added, for keys and queries before rotary positions, and the
share that lists of keys (IVF) take for a recall of .95. Then the recall of each layer, the share of the attention that
the found keys hold, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from leanseek import read
from leanseek.attention import KeyIndex
from leanseek.decode import Decoder, load_decoder
from leanseek.indexing.faiss_library import kmeans

K = 100
SHARES = (0.01, 0.02, 0.03, 0.05, 0.1)
USUAL = SHARES.index(0.03)
RECALL = 0.95
LISTS = 362
"""Four times the square root of 8,192 keys."""
APART = 5
"""Lists of keys are measured in each so manieth layer."""


class Head(NamedTuple):
    """The queries of one head that are tested (m, D), how many keys they see (m,), and its keys (n, D)."""

    queries: np.ndarray
    before: np.ndarray
    keys: np.ndarray

    def scores(self) -> np.ndarray:
        """(m, n) the exact scores, minus infinity for keys to come."""
        hidden = np.arange(len(self.keys)) >= self.before[:, None]
        return np.where(hidden, -np.inf, self.queries @ self.keys.T)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=8_192)
    parser.add_argument("--tested", type=int, default=256)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--layers", type=int, nargs="*")
    given = parser.parse_args()

    decoder = load_decoder()
    ids = joined(decoder, given.folder, given.tokens)
    layers = range(decoder.depth) if given.layers is None else given.layers
    found = decoder.projections(ids, len(ids), layers)
    learned = len(ids) - given.tested
    tested = np.unique(np.linspace(learned, len(ids) - 1, given.queries).astype(int))
    print(
        f"{len(ids)} tokens, {len(tested)} queries of each head tested, learned from those before", flush=True
    )

    recalls: dict[str, dict[tuple[int, int], np.ndarray]] = defaultdict(dict)
    sizes: dict[str, int] = {}
    kept, whole, lists = [], [], []
    seconds = {"build": 0.0, "search": 0.0, "exact": 0.0}
    for layer, (queries, keys) in sorted(found.items()):
        shared = len(queries) // len(keys)
        plain = [unrotated(decoder, vectors) for vectors in (queries, keys)]
        for group in range(len(keys)):
            heads = range(group * shared, (group + 1) * shared)

            def earlier(vectors: np.ndarray, end: int, heads: range = heads) -> np.ndarray:
                return np.concatenate([vectors[head, :end] for head in heads])

            begun = time.process_time()
            usual = KeyIndex.build(keys[group], earlier(queries, learned))
            seconds["build"] += time.process_time() - begun
            half, width = len(ids) // 2, keys.shape[2]
            grown = KeyIndex.build(keys[group, :half], earlier(queries, half))
            grown.add(keys[group, half:])
            small = KeyIndex.build(keys[group], earlier(queries, learned), width // 2)
            variants: dict[str, tuple[KeyIndex, np.ndarray, np.ndarray]] = {
                "from queries": (usual, queries, keys),
                "PCA": (KeyIndex.build(keys[group]), queries, keys),
                "from queries, half the dimensions": (small, queries, keys),
                "PCA, half the dimensions": (KeyIndex.build(keys[group], None, width // 2), queries, keys),
                "from queries, first half of the tokens": (grown, queries, keys),
                "from queries, before rotary positions": (
                    KeyIndex.build(plain[1][group], earlier(plain[0], learned)),
                    plain[0],
                    plain[1],
                ),
            }
            for head in heads:
                for name, (index, asked, held) in variants.items():
                    sizes[name] = index.code_bytes
                    one = Head(asked[head, tested], tested + 1, held[group])
                    recalls[name][layer, head] = recall_at_shares(index, one)
                one = Head(queries[head, tested], tested + 1, keys[group])
                begun = time.process_time()
                exact = one.scores()
                seconds["exact"] += time.process_time() - begun
                begun = time.process_time()
                positions = usual.search(one.queries, K, one.before)[1]
                seconds["search"] += time.process_time() - begun
                weights = np.exp((exact - exact.max(axis=1, keepdims=True)) / np.sqrt(width))
                weights /= weights.sum(axis=1, keepdims=True)
                kept.append(np.take_along_axis(weights, positions, axis=1).sum(axis=1).mean())
                whole.append(np.sort(weights, axis=1)[:, -K:].sum(axis=1).mean())
            if layer % APART == 0:
                lists += scanned_lists(keys[group], [queries[head, tested] for head in heads], tested + 1)
        print(f"layer {layer}", file=sys.stderr, flush=True)

    show(recalls, sizes)
    print(
        f"\nlists of keys: {np.mean(lists):.1%} of the keys for a recall of {RECALL}, worst {max(lists):.1%}"
    )
    print(f"attention on the true {K}: {np.mean(whole):.4f}, on those found: {np.mean(kept):.4f}")
    build = seconds["build"] / len(kept) * shared * 1e3
    query, exact_query = (seconds[name] / len(kept) / len(tested) * 1e6 for name in ("search", "exact"))
    print(
        f"processor time: an index {build:.0f} ms; a query {query:.0f} µs, all its scores {exact_query:.0f} µs"
    )


def joined(decoder: Decoder, folder: Path, count: int) -> list[int]:
    """The first tokens of a folder's documents."""
    ids: list[int] = []
    for document in read(folder / "corpus.jsonl"):
        ids += decoder.tokenizer(f"{document.title}\n{document.text}\n\n").input_ids
        if len(ids) >= count:
            return ids[:count]
    raise SystemExit(f"the documents of {folder} have {len(ids)} tokens, fewer than {count}")


def unrotated(decoder: Decoder, vectors: np.ndarray) -> np.ndarray:
    """Vectors (h, n, D) of the first n tokens as they were before rotary positions."""
    import torch

    positions = torch.arange(vectors.shape[1])[None]
    with torch.inference_mode():
        cosine, sine = decoder.layers.rotary_emb(torch.zeros(1), positions)
    half = vectors.shape[2] // 2
    turned = np.concatenate([-vectors[..., half:], vectors[..., :half]], axis=-1)
    found: np.ndarray = vectors * cosine[0].numpy() - turned * sine[0].numpy()
    return found


def recall_at_shares(index: KeyIndex, head: Head) -> np.ndarray:
    """(shares,) the mean share of the K largest weights that a search finds."""
    exact = head.scores()
    least = np.partition(exact, -K, axis=1)[:, [-K]]
    found = []
    for share in SHARES:
        positions = index.search(head.queries, K, head.before, share=share)[1]
        # Equal scores are equally good; the kernel's last digit may differ.
        found.append((np.take_along_axis(exact, positions, axis=1) >= least - 1e-3).mean())
    return np.array(found)


def scanned_lists(keys: np.ndarray, queries: list[np.ndarray], before: np.ndarray) -> list[float]:
    """For each head the share of the keys that is in the lists which hold RECALL of the K largest weights."""
    centroids = kmeans(keys, LISTS, 10, 1)
    halves = np.square(centroids).sum(axis=1) / 2
    members = (keys @ centroids.T - halves).argmax(axis=1)
    shares = []
    for asked in queries:
        exact = Head(asked, before, keys).scores()
        best = np.argpartition(-exact, K - 1, axis=1)[:, :K]
        ranks = np.argsort(np.argsort(-(asked @ centroids.T), axis=1), axis=1)
        hits = np.stack(
            [np.bincount(row[members[one]], minlength=LISTS) for row, one in zip(ranks, best, strict=True)]
        )
        read_keys = np.stack([np.bincount(row[members], minlength=LISTS) for row in ranks])
        recall = hits.cumsum(axis=1).mean(axis=0) / K
        shares.append(float(read_keys.cumsum(axis=1).mean(axis=0)[np.argmax(recall >= RECALL)] / len(keys)))
    return shares


def show(recalls: dict[str, dict[tuple[int, int], np.ndarray]], sizes: dict[str, int]) -> None:
    """The tables."""
    print(
        "\n| codes | bytes a key | "
        + " | ".join(f"{share:.0%}" for share in SHARES)
        + " | worst head at 3 % |"
    )
    print("| --- |" + " ---: |" * (len(SHARES) + 2))
    for name, by_head in recalls.items():
        all_heads = np.stack(list(by_head.values()))
        mean = " | ".join(f"{one:.3f}" for one in all_heads.mean(axis=0))
        print(f"| {name} | {sizes[name]} | {mean} | {all_heads[:, USUAL].min():.3f} |")
    layers = sorted({layer for layer, _ in recalls["PCA"]})
    print("\n| layer | from queries: mean | worst head | PCA: mean | worst head |\n|" + " ---: |" * 5)
    for layer in layers:
        cells = []
        for name in ("from queries", "PCA"):
            of_layer = [one[USUAL] for (place, _), one in recalls[name].items() if place == layer]
            cells += [f"{np.mean(of_layer):.3f}", f"{min(of_layer):.3f}"]
        print(f"| {layer} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
