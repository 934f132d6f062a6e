"""Do scores of two trainings mean the same after `train calibrate`, and what people graded?

    python benchmarks/train_calibrate.py MODEL MODEL

Each cross-encoder is put on the scale of the --learn judgments. Both then score the judged pairs of --report, where
every grade weighs the same. Prints Markdown: how far the two models' scores of a pair are apart, how far their scores
are from the grades, before and after, and for how many pairs both say the same of "at least half a grade". What is
there is not made again; it stays in --out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from leanseek.cli.options import name_and_split
from leanseek.cli.output import progress_bar
from leanseek.eval.collections import open_collection
from leanseek.train import Source, calibrate_grades
from leanseek.train.crossencoder.grade_scale import JudgedDocument, judged_queries, raw_scorer, raw_scores
from leanseek.types import Float64Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
LEARNED_FROM = ("nfcorpus-prep:train", "wikiqa:train", "trecqa:train")
REPORTED = ("nfcorpus-prep:test", "wikiqa:test", "trec-dl-2019:test_full")


def opened(names: list[str]) -> list[Source]:
    """The collections of names NAME:SPLIT."""
    return [Source(open_collection(DATA / name), split) for name, split in map(name_and_split, names)]


def scores(model: str, judged: Mapping[str, Sequence[JudgedDocument]]) -> Float64Array:
    """(pairs,) the model's scores."""
    with progress_bar(quiet=False) as progress:
        return raw_scores(raw_scorer(model), judged, progress)


def main() -> None:
    """Scale, score, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs=2, help="folders of cross-encoders, or cross-encoder for the packaged one"
    )
    parser.add_argument("--learn", nargs="+", default=list(LEARNED_FROM), metavar="NAME:SPLIT")
    parser.add_argument("--report", nargs="+", default=list(REPORTED), metavar="NAME:SPLIT")
    parser.add_argument("--most", type=int, default=150, help="queries of each collection (default: 150)")
    parser.add_argument("--out", type=Path, default=Path("train-calibrate-out"))
    given = parser.parse_args()
    scaled = []
    for number, model in enumerate(given.models):
        scaled.append(str(folder := given.out / f"scaled-{number}"))
        if not folder.exists():
            with progress_bar(quiet=False) as progress:
                calibrate_grades(
                    model,
                    opened(given.learn),
                    folder,
                    most=given.most,
                    work=given.out / "work",
                    progress=progress,
                )
    print(
        "| collection | pairs | apart, before | after | from grades, before | after | agree, before | after |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for source in opened(given.report):
        judged = judged_queries([source], given.most, 0, given.out / "work")
        grades = np.array([one.grade for documents in judged.values() for one in documents], np.float64)
        _, places, counts = np.unique(grades, return_inverse=True, return_counts=True)
        weights = 1 / (len(counts) * counts[places])
        cells = []
        for pair in (given.models, scaled):
            first, second = (scores(model, judged) for model in pair)
            cells.append(
                (
                    weights @ np.abs(first - second),
                    weights @ (np.abs(first - grades) + np.abs(second - grades)) / 2,
                    weights @ ((first >= 0.5) == (second >= 0.5)),
                )
            )
        figures = " | ".join(f"{before:.3f} | {after:.3f}" for before, after in zip(*cells, strict=True))
        print(f"| {source.collection.name} {source.split} | {len(grades)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
