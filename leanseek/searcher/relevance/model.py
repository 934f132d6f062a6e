"""A relevance model: for an encoder, from the evidence on a query's candidates to probabilities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import RelevanceFileError, UsageError
from leanseek.searcher.relevance.base import Evidence
from leanseek.searcher.relevance.files import read_contents, write_contents

Judged = Literal["dense", "hybrid"]
PACKAGED: Final = Path(__file__).with_name("default.safetensors")


@dataclass(frozen=True)
class Provenance:
    """What a model was trained on (collection:split, documents checksum) and how; no dates, so it is reproducible."""

    trained_on: tuple[str, ...]
    seed: int
    command: str


@dataclass(frozen=True)
class RelevanceModel:
    """How probable it is that a candidate is relevant, for the vectors of one encoder.

    `fingerprint` is the encoder's. Within one query the probability never falls where the cosine rises (and
    the BM25 score does not fall), so the order of a single side's list never changes.
    """

    fingerprint: str
    thresholds: dict[Judged, float]
    provenance: Provenance
    dense: NDArray[np.float32]
    hybrid: NDArray[np.float32]

    def threshold(self, mode: Judged) -> float:
        """The probability that 95 % of the relevant candidates reached, on queries it was not fitted on."""
        return self.thresholds[mode]

    def probabilities(self, evidence: Evidence) -> NDArray[np.float64]:
        """(c,) the probability that each candidate is relevant, in the order of the evidence."""
        cosines = evidence.dense.cosines.astype(np.float64)
        if evidence.sparse is None:
            offset, slope = self.dense
            logits = offset + slope * cosines
        else:
            offset, slope, weight = self.hybrid
            ceiling = max(float(evidence.sparse.idf.sum()), 1e-9)
            logits = offset + slope * cosines + weight * evidence.sparse.scores / ceiling
        chances: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits))
        return chances

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model whole or not at all. Raises StorageError, MissingPackageError."""
        header: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "thresholds": self.thresholds,
            "provenance": {
                "trained_on": list(self.provenance.trained_on),
                "seed": self.provenance.seed,
                "command": self.provenance.command,
            },
        }
        write_contents(Path(path), header, {"dense": self.dense, "hybrid": self.hybrid})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RelevanceModel:
        """Read a model. Raises RelevanceFileError (missing, damaged, newer), MissingPackageError."""
        header, tensors = read_contents(Path(path))
        origin = header["provenance"]
        return cls(
            header["fingerprint"],
            header["thresholds"],
            Provenance(tuple(origin["trained_on"]), origin["seed"], origin["command"]),
            tensors["dense"],
            tensors["hybrid"],
        )


def load_relevance(
    spec: str | os.PathLike[str] = "default", fingerprint: str | None = None
) -> RelevanceModel:
    """The packaged model ("default"), or that of a file.

    `fingerprint` is that of the encoder whose vectors are to be judged; None asks for no check.

    Raises RelevanceFileError where the file is missing, damaged, of a newer format or for another encoder,
    UsageError for an empty name, MissingPackageError.
    """
    if not os.fspath(spec):
        raise UsageError("the relevance model has no name; give 'default' or a file")
    packaged = spec == "default"
    path = PACKAGED if packaged else Path(spec)
    model = RelevanceModel.load(path)
    if fingerprint is not None and model.fingerprint != fingerprint:
        raise RelevanceFileError(
            f"{'the packaged relevance model' if packaged else path} is for the encoder {model.fingerprint[:12]}, and "
            f"the index's vectors are of {fingerprint[:12]}: its probabilities would mean nothing. Train one for this "
            "encoder: leanseek train relevance COLLECTION --encoder MODEL --out FILE"
        )
    return model
