"""nDCG@10 of the sparse side, the dense side and their fusions, with significance.

    python benchmarks/quality.py --data FOLDER_OF_COLLECTIONS [--collections scifact cranfield] [--out results]
        [--systems BM25 dense "RRF(60)" min-max z-score DBSF default]

Prints a Markdown table. Results, runs and indexes stay in --out; what is there already is not made again. The
first run encodes the collections; later ones take the vectors from the cache.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, Encoder, load_encoder
from leanseek.eval.collections import open_collection
from leanseek.eval.comparison import Contrast, compare
from leanseek.eval.evaluation import evaluate
from leanseek.eval.results import StoredResult
from leanseek.eval.systems import System
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run
from leanseek.types import Run

MEASURE = "nDCG@10"
LEVEL = 0.05
SYSTEMS = {
    "BM25": System(mode="sparse", name="bm25"),
    "dense": System(mode="dense", name="dense"),
    "RRF(60)": System(fusion="rrf", name="rrf"),
    "min-max": System(fusion="minmax", name="minmax"),
    "z-score": System(fusion="zscore", name="zscore"),
    "DBSF": System(fusion="dbsf", name="dbsf"),
    "default": System(name="default"),
}
MAIN = ["BM25", "dense", "RRF(60)", "default"]


def evaluated(
    folder: Path, names: Sequence[str], encoder: Encoder, split: str, out: Path
) -> dict[str, StoredResult]:
    """Each system's result on a collection. All search one index, which the hybrid ones need both sides of."""
    results = {}
    with progress_bar(quiet=False) as progress:
        for name in sorted(names, key=lambda name: SYSTEMS[name].mode != "hybrid"):
            [outcome] = evaluate(
                open_collection(folder),
                replace(SYSTEMS[name], encoder=encoder),
                out=out,
                splits=[split],
                index=out / "shared" / f"{folder.name}.index",
                progress=progress,
            )
            results[name] = outcome.stored
    return results


def significant(results: Mapping[str, StoredResult]) -> dict[tuple[str, str], Contrast]:
    """(system, baseline) → their contrast, for the baselines BM25 and dense; Holm's correction over each."""
    qrels = read_qrels(next(iter(results.values())).qrels_path)
    runs = {name: Run(name, read_run(stored.run_path).rankings) for name, stored in results.items()}
    found = {}
    for baseline in {"BM25", "dense"} & set(runs) if len(runs) > 1 else ():
        others = [run for name, run in runs.items() if name != baseline]
        for contrast in compare([runs[baseline], *others], qrels, [MEASURE]).contrasts:
            found[contrast.run, baseline] = contrast
    return found


def cell(name: str, stored: StoredResult, contrasts: Mapping[tuple[str, str], Contrast]) -> str:
    """The measure, with b or d where it differs from BM25 or dense: + better, - worse."""
    marks = ""
    for baseline, letter in (("BM25", "b"), ("dense", "d")):
        contrast = contrasts.get((name, baseline))
        p = contrast.randomisation_holm if contrast is not None else None
        if contrast is not None and p is not None and p < LEVEL:
            marks += f" {letter}{'+' if contrast.difference > 0 else '-'}"
    return f"{stored.result.means[MEASURE]:.4f}{marks}"


def main() -> None:
    """Evaluate every system on every collection and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--collections", nargs="+", default=["scifact", "cranfield", "vaswani", "cisi", "cosqa"]
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=MAIN, metavar="SYSTEM")
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    names = options.systems
    encoder = load_encoder(options.encoder)
    print("| collection | " + " | ".join(names) + " |")
    print("| --- " * (len(names) + 1) + "|")
    for collection in options.collections:
        results = evaluated(options.data / collection, names, encoder, options.split, options.out)
        contrasts = significant(results)
        cells = [cell(name, results[name], contrasts) for name in names]
        print(f"| {collection} | " + " | ".join(cells) + " |", flush=True)
    sys.stderr.write(
        f"{MEASURE}; b+ b- d+ d-: significantly better or worse than BM25 or dense (paired randomisation test, "
        f"p < {LEVEL} after Holm's correction over the systems)\n"
    )


if __name__ == "__main__":
    main()
