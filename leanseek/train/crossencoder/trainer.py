"""A cross-encoder from collections: groups mined, the model trained, its probabilities fitted on held-out queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from leanseek.rerank import RerankOptions
from leanseek.rerank.crossencoder import Calibration, fit_calibration, load
from leanseek.train.crossencoder.recipe import Recipe, train
from leanseek.train.mining import Group
from leanseek.train.training_set import Drawing, Source, Taken, check_out, training_set, write_provenance
from leanseek.types import Hit, Progress


@dataclass(frozen=True, slots=True)
class Report:
    """What a cross-encoder was trained on, the listwise loss on held-out queries before and after (see `Learned`), and
    the calibration of its probabilities, fitted on the same queries."""

    sources: tuple[Taken, ...]
    negatives: int
    recipe: Recipe
    before: float
    after: float
    steps: int
    stopped: int | None
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
    drawing = Drawing(negatives, most, held_out)
    check_out(out)
    material = training_set(sources, drawing, seed=recipe.seed, work=work, device=device, progress=progress)
    learned = train(recipe, material.learn, material.held_out, out, progress=progress)
    calibration = calibrate(out, material.held_out, device, progress=progress)
    report = Report(material.taken, negatives, recipe, *learned, calibration)
    write_provenance(out, asdict(report))
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
        positives = len(group.grades)
        negatives = len(group.passages) - positives
        scores.append(found.scores)
        relevant += [True] * positives + [False] * negatives
        weights += [1.0] * positives + [group.drawn_from / negatives] * negatives
    calibration = fit_calibration(np.concatenate(scores), relevant, weights)
    calibration.write(folder)
    return calibration
