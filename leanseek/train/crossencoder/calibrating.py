"""Probabilities for a cross-encoder that was just trained, from the queries that it has not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek.rerank.crossencoder import Calibration, fit_calibration, load
from leanseek.train.crossencoder.groups import Group
from leanseek.types import Hit, Progress


def calibrate(
    folder: Path,
    held_out: Sequence[Group],
    device: str | None = None,
    *,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the probabilities of the model in `folder` on held-out groups, and write them there.

    A group's negatives count as all those that they were drawn from, so that what is relevant is as rare as among
    the candidates of a search.

    Raises ModelError, MissingPackageError or StorageError.
    """
    reranker = load(f"torch:{folder}", device, cache=False)
    hits = [
        [Hit(rank, f"{rank:04}", 0.0, "", passage, {}) for rank, passage in enumerate(group.passages, 1)]
        for group in held_out
    ]
    judged = reranker.judge([group.query for group in held_out], hits, progress=progress)
    scores, relevant, weights = [], [], []
    for group, said in zip(held_out, judged, strict=True):
        negatives = len(group.passages) - 1
        scores.append(said.scores)
        relevant += [True, *[False] * negatives]
        weights += [1.0, *[group.drawn_from / negatives] * negatives]
    calibration = fit_calibration(np.concatenate(scores), relevant, weights)
    calibration.write(folder)
    return calibration
