"""A relevance model: for an encoder, from the evidence on a query's candidates to probabilities."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from leanseek.encode.backends import int8_fingerprint
from leanseek.errors import RelevanceFileError, UsageError
from leanseek.searcher.relevance.features import (
    DENSE_CANDIDATE,
    DENSE_LIST,
    SPARSE_CANDIDATE,
    SPARSE_LIST,
    Evidence,
    SparseEvidence,
    completed,
    dense_features,
    sparse_features,
)
from leanseek.searcher.relevance.model_file import MAKE, read_contents, write_contents
from leanseek.searcher.relevance.network import MonotoneNetwork, QueryMap
from leanseek.types import Float32Array, Float64Array

Judged = Literal["dense", "hybrid"]
PACKAGED: Final = Path(__file__).with_name("default.safetensors")
HYBRID_CANDIDATE: Final = 1 + len(DENSE_CANDIDATE) + len(SPARSE_CANDIDATE)
HYBRID_LIST: Final = 1 + len(SPARSE_LIST)


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


@dataclass(frozen=True, eq=False)
class RelevanceModel:
    """How probable it is that a candidate is relevant, for the vectors of one encoder.

    `fingerprint` is the encoder's. Within one query the probability never falls where the cosine rises while the
    BM25 score does not fall, nor the other way round: the order of a dense list never changes.

    `dense` looks at the query's list (`MonotoneNetwork`) or at its vector alone (`QueryMap`); `hybrid` puts what it
    says together with the sparse side.
    """

    fingerprint: str
    thresholds: Mapping[Judged, float]
    provenance: Provenance
    dense: MonotoneNetwork | QueryMap
    hybrid: MonotoneNetwork

    def fits(self, fingerprint: str) -> bool:
        """Whether it judges the vectors of an encoder: its own, or those of the same weights in 8 bits.

        The cosines of these differ by 0.003 (standard deviation, SciFact), which the probabilities do not notice.
        """
        return fingerprint in (self.fingerprint, int8_fingerprint(self.fingerprint))

    def threshold(self, mode: Judged) -> float:
        """The probability that 95 % of the relevant candidates reached, on queries it was not fitted on."""
        return self.thresholds[mode]

    def probabilities(self, evidence: Evidence) -> Float64Array:
        """(c,) the probability that each candidate is relevant, in the order of the evidence."""
        if not len(evidence.dense.cosines):
            return np.zeros(0)
        if evidence.sparse is None:
            logits = self.dense_logits(evidence)
        else:
            candidates, whole = self.hybrid_features(evidence, evidence.sparse)
            logits = self.hybrid.logits(candidates, whole) - self.closing(evidence)
        chances: Float64Array = 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))
        return chances

    def dense_logits(self, evidence: Evidence) -> Float64Array:
        """(c,) the log odds by the dense side alone."""
        # Rounding must not order what the cosines do not: equal ones get one value, and a higher one no lower value.
        cosines, inverse = np.unique(evidence.dense.cosines, return_inverse=True)
        if isinstance(self.dense, QueryMap):
            logits = self.dense.logits(cosines.astype(np.float64), evidence.dense.query.astype(np.float64))
        else:
            logits = self.dense.logits(*dense_features(cosines, *self.dense_list(evidence)))
        rising: Float64Array = np.maximum.accumulate(logits)[inverse]
        return rising

    def hybrid_features(
        self, evidence: Evidence, sparse: SparseEvidence
    ) -> tuple[Float64Array, Float64Array]:
        """Candidate features (c, 15) and list features (9,) of `hybrid`.

        For a candidate the dense log odds (the gate being open), then what either side's list says of it; for the list
        the log odds of its best one by the dense side, then the sparse side's.
        """
        listed, size = self.dense_list(evidence)
        # The list's best one comes last.
        cosines = np.append(evidence.dense.cosines, listed[0])
        in_list, whole = dense_features(cosines, listed, size)
        if isinstance(self.dense, QueryMap):
            query = evidence.dense.query.astype(np.float64)
            by_vector = self.dense.logits(cosines.astype(np.float64), query)
        else:
            by_vector = self.dense.open_logits(in_list, whole)
        candidates, of_terms = sparse_features(sparse)
        return (
            np.column_stack([by_vector[:-1], in_list[:-1], candidates]),
            np.concatenate([by_vector[-1:], of_terms]),
        )

    def closing(self, evidence: Evidence) -> float:
        """What the gate takes off the log odds where the dense list looks as if nothing were to be found."""
        if isinstance(self.dense, QueryMap):
            return 0.0
        listed, size = self.dense_list(evidence)
        _, whole = dense_features(listed[:1], listed, size)
        return self.dense.closing(whole)

    def dense_list(self, evidence: Evidence) -> tuple[Float32Array, int]:
        """The list (l,), descending, that candidates are seen in, and among how many passages it was found.

        Where the side listed nothing its candidates stand for the list; a short one is completed (see `completed`).
        """
        listed = evidence.dense.listed
        if not len(listed):
            listed = np.sort(evidence.dense.cosines)[::-1]
        if isinstance(self.dense, MonotoneNetwork):
            listed = completed(listed, self.dense.centre)
        return listed, max(evidence.size, len(listed))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model whole or not at all. Raises StorageError, MissingPackageError."""
        header: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "thresholds": dict(self.thresholds),
            "provenance": asdict(self.provenance),
            "dense": self.dense.kind if isinstance(self.dense, QueryMap) else "list",
        }
        parts = {"dense": self.dense, "hybrid": self.hybrid}
        tensors = {
            f"{side}.{name}": array for side, part in parts.items() for name, array in part.tensors().items()
        }
        write_contents(Path(path), header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RelevanceModel:
        """Read a model. Raises RelevanceFileError (missing, damaged, newer), MissingPackageError."""
        header, tensors = read_contents(Path(path))
        parts = {
            side: {
                name.removeprefix(f"{side}."): array
                for name, array in tensors.items()
                if name.startswith(side)
            }
            for side in ("dense", "hybrid")
        }
        try:
            kind, origin = header["dense"], header["provenance"]
            dense: MonotoneNetwork | QueryMap
            if kind == "list":
                dense = MonotoneNetwork.of(parts["dense"], len(DENSE_CANDIDATE), len(DENSE_LIST))
            else:
                dense = QueryMap.of(parts["dense"], kind)
            return cls(
                str(header["fingerprint"]),
                {
                    "dense": float(header["thresholds"]["dense"]),
                    "hybrid": float(header["thresholds"]["hybrid"]),
                },
                Provenance(
                    tuple(origin["trained_on"]),
                    tuple(origin["checksums"]),
                    str(origin["form"]),
                    int(origin["queries"]),
                    int(origin["seed"]),
                ),
                dense,
                MonotoneNetwork.of(parts["hybrid"], HYBRID_CANDIDATE, HYBRID_LIST),
            )
        except (KeyError, TypeError, ValueError) as error:
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
