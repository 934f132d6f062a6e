"""A relevance model: for an encoder, from the evidence on a query's candidates to probabilities."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from leanseek.encode.backends import int8_fingerprint
from leanseek.errors import RelevanceFileError, UsageError
from leanseek.indexing.background import list_level
from leanseek.indexing.settings import Background
from leanseek.searcher.relevance.features import (
    Evidence,
    Usual,
    completed,
    dense_zscore,
    lexical_zscore,
    matched_share,
    usual_cosines,
)
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model_file import MAKE, read_contents, write_contents
from leanseek.searcher.relevance.query_map import QueryMap
from leanseek.types import Float32Array, Float64Array

Judged = Literal["dense", "hybrid"]
PACKAGED: Final = Path(__file__).with_name("default.safetensors")
MARGIN: Final = 0.08
"""How far below what queries made from the documents reach a list is taken for one with nothing to find."""
CLOSING: Final = 200.0
"""Log odds that a list loses by each unit that it is below the level: 2 at a hundredth."""
CLOSED: Final = 30.0


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a model was trained on and how; no dates, so that the same training gives the same file.

    `trained_on`: collections and splits, as `scifact:train`. `checksums`: of those collections. `form`: what the dense
    side looks at, as `all` or `query, power map`. `queries`: how many judged queries were learned from.
    """

    trained_on: tuple[str, ...]
    checksums: tuple[str, ...]
    form: str
    queries: int
    seed: int


class Level(NamedTuple):
    """How close a list of cosines must be, by `list_level`, where `passages` are searched, to hold an answer."""

    value: float
    passages: int


class Strengths(NamedTuple):
    """How strong candidates (c,) are, and the list (l,), descending, that they are seen in."""

    candidates: Float64Array
    listed: Float64Array


@dataclass(frozen=True, eq=False)
class RelevanceModel:
    """How probable it is that a candidate is relevant, for the vectors of one encoder.

    `fingerprint` is the encoder's. Within one query the probability never falls where the cosine rises while the
    BM25 score does not fall, nor the other way round: the order of a dense list never changes.

    `dense` looks at the query's list (`ListCurve`) or at its vector alone (`QueryMap`), `hybrid` at both sides' lists.
    `usual` are cosines with any passage, `level` is what the list of a query that has an answer reaches.
    """

    fingerprint: str
    thresholds: Mapping[Judged, float]
    provenance: Provenance
    dense: ListCurve | QueryMap
    hybrid: ListCurve
    usual: Usual
    level: Level

    def fits(self, fingerprint: str) -> bool:
        """Whether it judges the vectors of an encoder: its own, or those of the same weights in 8 bits.

        The cosines of these differ by 0.003 (standard deviation, SciFact), which the probabilities do not notice.
        """
        return fingerprint in (self.fingerprint, int8_fingerprint(self.fingerprint))

    def at(self, background: Background | None) -> RelevanceModel:
        """The model for the index that the background was measured in."""
        if background is None:
            return self
        level = Level(background.level - MARGIN, background.passages)
        return replace(self, level=level, usual=Usual(background.mean, background.spread))

    def shifted(self, mode: Judged, log_odds: float) -> RelevanceModel:
        """The model with all log odds of a mode raised by so much."""
        curve = self.hybrid if mode == "hybrid" else self.dense
        if not isinstance(curve, ListCurve):
            return self
        moved = replace(curve, offset=curve.offset + log_odds)
        return replace(self, hybrid=moved) if mode == "hybrid" else replace(self, dense=moved)

    def threshold(self, mode: Judged) -> float:
        """The probability that 95 % of the relevant candidates of a collection reached, in the median of those that it
        was trained on."""
        return self.thresholds[mode]

    def probabilities(self, evidence: Evidence) -> Float64Array:
        """(c,) the probability that each candidate is relevant, in the order of the evidence."""
        if not len(evidence.dense.cosines):
            return np.zeros(0)
        if evidence.sparse is None and isinstance(self.dense, QueryMap):
            logits = self.vector_logits(evidence, self.dense)
        else:
            curve = self.hybrid if evidence.sparse is not None else self.dense
            assert isinstance(curve, ListCurve)
            logits = curve.logits(*self.strengths(evidence)) - self.closing(evidence)
        chances: Float64Array = 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))
        return chances

    def vector_logits(self, evidence: Evidence, map: QueryMap) -> Float64Array:
        """(c,) the log odds by the query's vector alone."""
        # Rounding must not order what the cosines do not: equal ones get one value, and a higher one no lower value.
        cosines, inverse = np.unique(evidence.dense.cosines, return_inverse=True)
        logits = map.logits(cosines.astype(np.float64), evidence.dense.query.astype(np.float64))
        rising: Float64Array = np.maximum.accumulate(logits)[inverse]
        return rising

    def strengths(self, evidence: Evidence) -> Strengths:
        """The strengths of the candidates: of the dense side in its list, of both sides among the candidates."""
        here = self.dense_list(evidence)
        listed = completed(here, self.usual)
        sparse = evidence.sparse
        if sparse is None:
            return Strengths(*dense_zscore(evidence.dense.cosines, listed))
        # Where the list had to be completed, the candidates are among usual passages too, which share no term.
        others = usual_cosines(len(listed) - len(here), self.usual)
        cosines = np.concatenate([evidence.dense.cosines, others])
        scores = np.concatenate([sparse.scores, np.zeros_like(others)])
        z, _ = dense_zscore(cosines, listed)
        strength = self.hybrid.strength(
            z, lexical_zscore(scores, sparse.listed, evidence.size), matched_share(scores, sparse.idf)
        )
        return Strengths(strength[: len(evidence.dense.cosines)], np.sort(strength)[::-1])

    def best(self, evidence: Evidence) -> float:
        """The strength of the best candidate, by which fields differ; see `ListCurve.shift`."""
        return float(self.strengths(evidence).candidates.max())

    def closing(self, evidence: Evidence) -> float:
        """What the log odds of a list lose that is farther from the query than the field is from its own queries.

        A filter leaves fewer passages, of which none need be close: nothing is taken off then.
        """
        if 2 * evidence.size < self.level.passages:
            return 0.0
        missing = self.level.value - list_level(self.dense_list(evidence))
        return min(CLOSING * max(missing, 0.0), CLOSED)

    def dense_list(self, evidence: Evidence) -> Float32Array:
        """The list (l,), descending, that candidates are seen in; they stand for it where the side listed nothing."""
        listed = evidence.dense.listed
        return listed if len(listed) else np.sort(evidence.dense.cosines)[::-1]

    def values(self) -> dict[str, Any]:
        """All but the arrays of a `QueryMap`, as JSON holds it."""
        return {
            "fingerprint": self.fingerprint,
            "thresholds": dict(self.thresholds),
            "provenance": asdict(self.provenance),
            "dense": self.dense.kind if isinstance(self.dense, QueryMap) else self.dense.values(),
            "hybrid": self.hybrid.values(),
            "usual": list(self.usual),
            "level": list(self.level),
        }

    @classmethod
    def of(cls, values: Mapping[str, Any], arrays: Mapping[str, Float32Array]) -> RelevanceModel:
        """The model that gave `values`, with the arrays of its `QueryMap` where it has one.

        Raises ValueError, KeyError or TypeError where they do not fit.
        """
        origin, thresholds, dense = values["provenance"], values["thresholds"], values["dense"]
        return cls(
            str(values["fingerprint"]),
            {"dense": float(thresholds["dense"]), "hybrid": float(thresholds["hybrid"])},
            Provenance(
                tuple(origin["trained_on"]),
                tuple(origin["checksums"]),
                str(origin["form"]),
                int(origin["queries"]),
                int(origin["seed"]),
            ),
            QueryMap.of(arrays, dense) if isinstance(dense, str) else ListCurve.of(dense),
            ListCurve.of(values["hybrid"]),
            Usual(*(float(value) for value in values["usual"])),
            Level(float(values["level"][0]), int(values["level"][1])),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model whole or not at all. Raises StorageError, MissingPackageError."""
        write_contents(
            Path(path), self.values(), self.dense.tensors() if isinstance(self.dense, QueryMap) else {}
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RelevanceModel:
        """Read a model. Raises RelevanceFileError (missing, damaged, of another format), MissingPackageError."""
        try:
            return cls.of(*read_contents(Path(path)))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RelevanceFileError(f"{path}: this is no relevance model ({error}); {MAKE}") from error


def load_relevance(
    spec: str | os.PathLike[str] = "default", fingerprint: str | None = None
) -> RelevanceModel:
    """The packaged model ("default"), or that of a file.

    `fingerprint` is that of the encoder whose vectors it must fit; None asks for no check.

    Raises RelevanceFileError where the file is missing, damaged, of a newer format or for another encoder,
    UsageError for an empty name, MissingPackageError.
    """
    if not os.fspath(spec):
        raise UsageError("the relevance model has no name; give 'default' or a file")
    packaged = spec == "default"
    path = PACKAGED if packaged else Path(spec)
    model = RelevanceModel.load(path)
    if fingerprint is not None and not model.fits(fingerprint):
        raise RelevanceFileError(
            f"{'the packaged relevance model' if packaged else path} is for the encoder {model.fingerprint[:12]}, and "
            f"the index's vectors are of {fingerprint[:12]}: its probabilities would mean nothing. Train one for this "
            "encoder: leanseek train relevance COLLECTION --encoder MODEL --out FILE"
        )
    return model
