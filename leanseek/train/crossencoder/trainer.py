"""A cross-encoder from collections: groups mined, the model trained, its probabilities fitted on held-out queries."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.eval.base import Collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.systems import System
from leanseek.rerank import RerankOptions
from leanseek.rerank.crossencoder import Calibration, fit_calibration, load
from leanseek.searcher.searcher import Searcher
from leanseek.train.crossencoder.mined_groups import Group, mine
from leanseek.train.crossencoder.recipe import Recipe, train
from leanseek.types import Hit, Progress

PROVENANCE = "training.json"
FEWEST_QUERIES = 20


class Source(NamedTuple):
    """A split of a collection to learn from."""

    collection: Collection
    split: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A source's part in the training: its queries with a positive and a negative, and how many were held out."""

    collection: str
    split: str
    checksum: str
    queries: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a cross-encoder was trained on, the listwise loss on held-out queries before and after, and the
    calibration of its probabilities, fitted on the same queries."""

    sources: tuple[Taken, ...]
    negatives: int
    recipe: Recipe
    before: float
    after: float
    steps: int
    calibration: Calibration


def train_cross_encoder(
    sources: Sequence[Source],
    out: Path,
    recipe: Recipe | None = None,
    *,
    negatives: int = 7,
    most: int | None = None,
    held_out: float = 0.05,
    work: Path = Path("results"),
    device: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Train a cross-encoder on judged queries and write it, with its provenance, into the folder `out`.

    Each source is indexed below `work` as `leanseek eval collection` does, its groups are mined (see
    `mine`; at most `most` queries of each source), and `held_out` of them, at least 2 of each source, decide which
    state is saved. Indexes are reused, and checkpoints are kept beside `out` until it is done, so that the same call
    continues after an interruption.

    Raises UsageError where `out` holds something else or there are too few queries; what `mine` and `train` raise.
    """
    recipe = recipe or Recipe()
    if negatives < 1:
        raise UsageError(f"{negatives} negatives given; it must be at least 1")
    if most is not None and most < 2:
        raise UsageError(f"at most {most} queries of each collection; it must be at least 2")
    if not 0.0 < held_out < 1.0:
        raise UsageError(f"the share held out is {held_out}; it must lie between 0 and 1")
    if out.exists() and not (out / PROVENANCE).is_file():
        raise UsageError(f"'{out}' exists and holds no model trained here; give another folder with --out")
    learn: list[Group] = []
    judge: list[Group] = []
    taken = []
    draw = random.Random(recipe.seed)
    for collection, split in sources:
        index = collection_index(collection, System().plan(device), work, progress=progress)
        with Searcher.open(index.folder, relevance=None, device=device) as searcher:
            groups = mine(
                collection,
                split,
                searcher,
                negatives=negatives,
                seed=recipe.seed,
                most=most,
                progress=progress,
            )
        draw.shuffle(groups)
        kept = min(max(2, round(held_out * len(groups))), len(groups) - 1)
        judge += groups[:kept]
        learn += groups[kept:]
        taken.append(Taken(collection.name, split, collection.checksum, len(groups), kept))
    if len(learn) < FEWEST_QUERIES:
        raise UsageError(
            f"there are {len(learn)} queries to learn from; a cross-encoder needs at least {FEWEST_QUERIES}, and "
            "thousands to be good. Add collections or splits"
        )
    draw.shuffle(learn)
    learned = train(recipe, learn, judge, out, progress=progress)
    calibration = calibrate(out, judge, device, progress=progress)
    report = Report(
        tuple(taken), negatives, recipe, learned.before, learned.after, learned.steps, calibration
    )
    (out / PROVENANCE).write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    return report


def calibrate(
    folder: Path,
    held_out: Sequence[Group],
    device: str | None = None,
    *,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the probabilities of the model in `folder` on held-out groups, and write them there.

    A group's negatives are weighted to stand for all those that they were drawn from, so that relevant passages are as
    rare as among the candidates of a search.

    Raises ModelError, MissingPackageError or StorageError.
    """
    reranker = load(RerankOptions(f"torch:{folder}", device, cache=False))
    hits = [
        [Hit(rank, f"{rank:04}", 0.0, "", passage, {}) for rank, passage in enumerate(group.passages, 1)]
        for group in held_out
    ]
    judged = reranker.judge([group.query for group in held_out], hits, progress=progress)
    scores, relevant, weights = [], [], []
    for group, found in zip(held_out, judged, strict=True):
        negatives = len(group.passages) - 1
        scores.append(found.scores)
        relevant += [True, *[False] * negatives]
        weights += [1.0, *[group.drawn_from / negatives] * negatives]
    calibration = fit_calibration(np.concatenate(scores), relevant, weights)
    calibration.write(folder)
    return calibration
