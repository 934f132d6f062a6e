"""What a model learns from: groups of several collections, those held out, and where they came from."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from leanseek.errors import UsageError
from leanseek.eval.base import Collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.systems import System
from leanseek.rerank import Reranker
from leanseek.searcher.searcher import Searcher
from leanseek.train.fitting import Schedule
from leanseek.train.mining import JUDGED_BY_TEACHER, Group, mine
from leanseek.types import Progress

PROVENANCE = "training.json"
"""The file of a trained model's folder that says what it was trained on and how."""

FEWEST_QUERIES = 20


class Source(NamedTuple):
    """A split of a collection to learn from."""

    collection: Collection
    split: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """How groups are drawn from the sources.

    `negatives` of each query, at most `most` queries of each source (None: all), and `held_out` of them, at least 2
    of each source, decide which state of a model is saved. Raises UsageError for what is out of range.
    """

    negatives: int = 7
    most: int | None = None
    held_out: float = 0.05

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise UsageError(f"{self.negatives} negatives given; it must be at least 1")
        if self.most is not None and self.most < 2:
            raise UsageError(f"at most {self.most} queries of each collection; it must be at least 2")
        if not 0.0 < self.held_out < 1.0:
            raise UsageError(f"the share held out is {self.held_out}; it must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Taken:
    """A source's part in the training: its queries with a positive and a negative, and how many were held out."""

    collection: str
    split: str
    checksum: str
    queries: int
    held_out: int


class TrainingSet(NamedTuple):
    """The groups to learn from and those held out, in a random order, and what each source gave."""

    learn: list[Group]
    held_out: list[Group]
    taken: tuple[Taken, ...]


class TrainingPlan(NamedTuple):
    """What training would do: `queries` of each source that have a judgment above 0, and the `steps` at most."""

    queries: dict[str, int]
    steps: int


def plan_training(sources: Sequence[Source], schedule: Schedule, drawing: Drawing, out: Path) -> TrainingPlan:
    """What training on these sources would do, without searching or loading a model.

    The schedule is the recipe of an encoder, a pooling or a cross-encoder. Raises UsageError where `out` holds
    something that was not trained here.
    """
    check_out(out)
    queries = {}
    for collection, split in sources:
        judged = sum(
            any(grade > 0 for grade in grades.values()) for grades in collection.qrels(split).values()
        )
        queries[f"{collection.name}:{split}"] = judged if drawing.most is None else min(judged, drawing.most)
    learned_from = round(sum(queries.values()) * (1.0 - drawing.held_out))
    return TrainingPlan(queries, schedule.steps(learned_from))


def training_set(
    sources: Sequence[Source],
    drawing: Drawing,
    *,
    seed: int,
    work: Path,
    teacher: Reranker | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """The groups of all sources (see `mine`), the same for the same `seed`.

    Each source is indexed below `work` as `leanseek eval collection` does; an index there is reused. The `teacher`
    scores every group's passages.

    Raises UsageError for too few queries, and what `mine` and the teacher raise.
    """
    learn: list[Group] = []
    held: list[Group] = []
    taken = []
    draw = random.Random(seed)
    for collection, split in sources:
        folder = collection_index(collection, System().plan(device), work, progress=progress).folder
        with (
            Searcher.open(folder, relevance=None, device=device) as searcher,
            nullcontext() if teacher is None else teaching(folder, teacher, drawing, device) as scoring,
        ):
            groups = mine(
                collection,
                split,
                searcher,
                negatives=drawing.negatives,
                seed=seed,
                most=drawing.most,
                teacher=scoring,
                progress=progress,
            )
        draw.shuffle(groups)
        kept = min(max(2, round(drawing.held_out * len(groups))), len(groups) - 1)
        held += groups[:kept]
        learn += groups[kept:]
        taken.append(Taken(collection.name, split, collection.checksum, len(groups), kept))
    if len(learn) < FEWEST_QUERIES:
        raise UsageError(
            f"there are {len(learn)} queries to learn from; a model needs at least {FEWEST_QUERIES}, and "
            "thousands to be good. Add collections or splits"
        )
    draw.shuffle(learn)
    return TrainingSet(learn, held, tuple(taken))


def teaching(folder: Path, teacher: Reranker, drawing: Drawing, device: str | None) -> Searcher:
    """A search of the index in `folder` that the teacher re-ranks, as deep as it is asked."""
    depth = max(JUDGED_BY_TEACHER, drawing.negatives + 1)
    return Searcher.open(folder, relevance=None, device=device, reranker=teacher, rerank_depth=depth)


def check_out(out: Path) -> None:
    """Raise UsageError where the folder `out` holds something that was not trained here."""
    if out.exists() and not (out / PROVENANCE).is_file():
        raise UsageError(f"'{out}' exists and holds no model trained here; give another folder with --out")


def write_provenance(out: Path, report: dict[str, object]) -> None:
    """Say in the model's folder what it was trained on and how."""
    (out / PROVENANCE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
