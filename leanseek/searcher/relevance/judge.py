"""Which relevance model a searcher uses, and how probable a hit must be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from shlex import quote
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from leanseek.errors import IndexDamagedError, MissingPackageError, RelevanceFileError, UsageError
from leanseek.indexing.search_source import SearchSource
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher.ranking import Mode, Ranking, Sides
from leanseek.searcher.relevance.features import DenseEvidence, Evidence, SparseEvidence
from leanseek.searcher.relevance.model import RelevanceModel, load_relevance
from leanseek.text import each_term_once
from leanseek.types import Float32Array

AUTO = "auto"
RelevanceChoice: TypeAlias = "str | os.PathLike[str] | RelevanceModel | None"
"""`auto`: the model fitted to the index, else the packaged one where it fits; `default`: the packaged one; a file; a
model; None: no probabilities."""


def choose_relevance(choice: RelevanceChoice, settings: IndexSettings, mode: Mode) -> RelevanceModel | None:
    """The model that judges the hits of an index, searched in a mode.

    `auto` gives the one that was fitted to the index, else the packaged one, or None where that is for another encoder
    or only the sparse side is searched.

    Raises UsageError where a model is asked for that would have nothing to judge, RelevanceFileError where its
    file is missing, damaged or for another encoder.
    """
    if choice is None:
        return None
    encoder = settings.encoder
    if encoder is None or mode in ("sparse", "learned", "ngram"):
        if choice == AUTO:
            return None
        raise UsageError(
            "a relevance model judges by the vectors of the index, and this search is sparse: leave the model out, "
            + ("or search with mode hybrid" if encoder is not None else "or index again with an encoder")
        )
    if choice == AUTO:
        if settings.relevance is not None:
            return stored(settings.relevance)
        try:
            model = packaged()
        except MissingPackageError:
            return None  # nobody has asked for it, and the encoder it is for needs the same package
        return model.at(settings.background) if model.fits(encoder.fingerprint) else None
    if isinstance(choice, RelevanceModel):
        model, name = choice, "the relevance model given"
    elif isinstance(choice, str | os.PathLike):
        model = load_relevance(choice)
        name = "the packaged relevance model" if choice == "default" else f"the relevance model '{choice}'"
    else:
        raise UsageError(
            f"relevance is {choice!r}; it may be auto, default, the path of a file, a RelevanceModel, or None"
        )
    if not model.fits(encoder.fingerprint):
        raise RelevanceFileError(
            f"{name} is for the encoder {model.fingerprint[:12]}, and the index's vectors are of "
            f"{encoder.fingerprint[:12]} ({encoder.name}): its probabilities would mean nothing. Train one for this "
            f"encoder: leanseek train relevance COLLECTION --encoder {quote(encoder.name)} --out FILE"
        )
    # A model that was given as an object is used as it is.
    return model if isinstance(choice, RelevanceModel) else model.at(settings.background)


def stored(values: Mapping[str, Any]) -> RelevanceModel:
    """The model that was fitted to an index. Raises IndexDamagedError where it cannot be understood."""
    try:
        return RelevanceModel.of(values, {})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise IndexDamagedError(
            f"the relevance model stored in the index cannot be read ({error}). Fit it again: "
            "leanseek train relevance --unlabelled INDEX"
        ) from error


@cache
def packaged() -> RelevanceModel:
    """The packaged model, read once."""
    return load_relevance()


def choose_threshold(
    model: RelevanceModel | None, mode: Mode, min_probability: float | None, relevant_only: bool
) -> float | None:
    """How probable a hit must be: the probability given, the model's own threshold for the mode, or None.

    Raises UsageError where both are asked for, the probability is none, or there is no model to tell.
    """
    if min_probability is None and not relevant_only:
        return None
    if min_probability is not None:
        if relevant_only:
            raise UsageError(
                "min_probability and relevant_only each set how probable a hit must be; give one of the two"
            )
        number = isinstance(min_probability, int | float) and not isinstance(min_probability, bool)
        if not (number and 0.0 <= min_probability <= 1.0):
            raise UsageError(f"min_probability is {min_probability!r}; it must be a number from 0 to 1")
    asked = "relevant_only" if relevant_only else "min_probability"
    if mode == "sparse" or mode == "learned" or mode == "ngram":
        raise UsageError(
            f"{asked} needs the dense side: BM25 scores alone do not tell how probable it is that a hit is "
            "relevant. Leave it out, or search an index that has vectors with mode hybrid or dense"
        )
    if model is None:
        raise UsageError(
            f"{asked} needs a relevance model, and this searcher has none: either it was opened without, or the "
            "packaged one is for another encoder than the index's. Train one with 'leanseek train relevance' and "
            "give its file as relevance (--relevance FILE)"
        )
    return model.threshold(mode) if min_probability is None else float(min_probability)


@dataclass(frozen=True, slots=True)
class Judge:
    """How the hits of one call are judged: by `model`, as some of the `searched` passages (those a filter leaves).

    `threshold`: those that are less probable are left out; None leaves out none.
    """

    model: RelevanceModel
    searched: int
    threshold: float | None = None

    def judged(
        self, snapshot: SearchSource, query: str, vector: Float32Array, ranking: Ranking, sides: Sides
    ) -> Ranking:
        """The ranking of a query with its probabilities; `sides`: of the whole index, with lists."""
        if not len(ranking.ordinals):
            return ranking._replace(probabilities=np.zeros(0))
        evidence = evidence_on(snapshot, query, vector, ranking, sides, self.searched)
        return ranking._replace(probabilities=self.model.probabilities(evidence))


def evidence_on(
    snapshot: SearchSource, query: str, vector: Float32Array, ranking: Ranking, sides: Sides, searched: int
) -> Evidence:
    """The evidence on the passages of a query's ranking; `searched`: how many passages there were to find.

    On the sparse side the query's terms count once: a term that comes n times scores n times as high, which tells
    nothing of a passage.
    """
    lists = sides.lists
    assert lists is not None, "the sides were searched with lists"
    sparse = None
    if lists.sparse is not None and ranking.sparse is not None:
        once = each_term_once(query, snapshot.passages.analyzer)
        scores = ranking.sparse.scores
        if once != query:
            scores = snapshot.sparse.score(once, ranking.ordinals)
        sparse = SparseEvidence(scores, lists.sparse, snapshot.sparse.idf(query))
    cosines = ranking.dense.scores if ranking.dense is not None else ranking.scores
    return Evidence(DenseEvidence(vector, cosines, lists.dense), sparse, searched)


class Cut(NamedTuple):
    """A judged ranking cut at a threshold: what is `kept`, how many are `left_out`.

    `nearest`: the place, in the ranking, of the most probable one where none is kept; else None.
    """

    kept: Ranking
    left_out: int
    nearest: int | None


def cut(ranking: Ranking, threshold: float | None, k: int) -> Cut:
    """The first k of a ranking that reach the threshold, in its order; where all miss it, the first of the nearest."""
    if threshold is None or ranking.probabilities is None or not len(ranking.ordinals):
        return Cut(ranking.take(np.arange(min(k, len(ranking.ordinals)))), 0, None)
    passing = ranking.probabilities >= threshold
    nearest = None if passing.any() else int(np.argmax(ranking.probabilities))
    return Cut(ranking.take(np.flatnonzero(passing)[:k]), int(np.count_nonzero(~passing)), nearest)
