"""Which relevance model a searcher uses, and how probable a hit must be."""

from __future__ import annotations

import os
from functools import cache
from typing import TypeAlias

from leanseek.errors import MissingPackageError, RelevanceFileError, UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher.ranking import Mode
from leanseek.searcher.relevance.model import RelevanceModel, load_relevance

AUTO = "auto"
RelevanceChoice: TypeAlias = "str | os.PathLike[str] | RelevanceModel | None"
"""`auto`: the packaged model where it fits; `default`: that model; a file; a model; None: no probabilities."""


def choose_relevance(choice: RelevanceChoice, settings: IndexSettings, mode: Mode) -> RelevanceModel | None:
    """The model that judges the hits of an index, searched in a mode.

    `auto` gives the packaged one, or None where it is for another encoder or only the sparse side is searched.

    Raises UsageError where a model is asked for that would have nothing to judge, RelevanceFileError where its
    file is missing, damaged or for another encoder.
    """
    if choice is None:
        return None
    encoder = settings.encoder
    if encoder is None or mode == "sparse":
        if choice == AUTO:
            return None
        raise UsageError(
            "a relevance model judges by the vectors of the index, and this search is sparse: leave the model out, "
            + ("or search with mode hybrid" if encoder is not None else "or index again with an encoder")
        )
    if choice == AUTO:
        try:
            model = packaged()
        except MissingPackageError:
            return None  # nobody has asked for it, and the encoder it is for needs the same package
        return model if model.fits(encoder.fingerprint) else None
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
            f"encoder: leanseek train relevance COLLECTION --encoder {encoder.name} --out FILE"
        )
    return model


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
    if mode == "sparse":
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
