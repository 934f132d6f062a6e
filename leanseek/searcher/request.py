"""What a searcher answers from at one time: a generation of the index, the mode, the encoder, the relevance model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leanseek.encode import Encoder, TruncationReport
from leanseek.errors import UsageError
from leanseek.filters import parse_filter
from leanseek.indexing.creation import recorded_encoder
from leanseek.indexing.settings import EncoderSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.ranking import Mode, choose_mode
from leanseek.searcher.relevance.judge import Judge, choose_threshold
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import BoolArray, Float32Array, Int64Array


@dataclass(frozen=True, slots=True)
class Request:
    """How the queries of one call are answered: at most `k` results each, of `depth` candidates from each side.

    `allowed` (n,) keeps the passages that are True. `documents` (n,) numbers each passage's document, None
    where every passage is a result of its own.

    `judge` gives the results their probabilities. Where it has a threshold, every candidate is a result: which of
    them reach it is seen afterwards, so that one that does not cannot take another's place.
    """

    mode: Mode
    fusion: Fusion
    k: int
    depth: int
    allowed: BoolArray | None
    documents: Int64Array | None
    judge: Judge | None = None

    @property
    def threshold(self) -> float | None:
        """How probable a result must be; None: that does not matter."""
        return self.judge.threshold if self.judge is not None else None

    @property
    def most(self) -> int | None:
        """How many results are wanted of the candidates; None: all of them."""
        return self.k if self.threshold is None else None


class QueryEncoder:
    """The encoder of an index's queries, loaded once, by the first who needs it. Thread-safe."""

    def __init__(
        self, recorded: EncoderSettings | None, given: Encoder | None = None, device: str | None = None
    ) -> None:
        self._recorded = recorded
        self._encoder = given
        self._device = device
        self._lock = threading.Lock()
        self._truncation = TruncationReport()

    def load(self) -> Encoder:
        """The encoder itself.

        Raises UsageError where the index has no dense side, ModelError or MissingPackageError.
        """
        with self._lock:
            if self._encoder is None:
                if self._recorded is None:
                    raise UsageError("the index was made without a dense side; search it with --mode sparse")
                self._encoder = recorded_encoder(self._recorded, self._device, for_queries=True)
            return self._encoder

    def encode(self, queries: Sequence[str]) -> Float32Array:
        """(m, D) the queries' vectors; what the encoder's limit cuts off is counted."""
        encoder = self.load()
        encoded = encoder.encode_queries(queries)
        report = TruncationReport.of(encoded.tokens, encoder.max_tokens)
        with self._lock:
            self._truncation += report
        return encoded.vectors

    @property
    def truncation(self) -> TruncationReport:
        """What the encoder's limit has cut off the queries so far."""
        with self._lock:
            return self._truncation

    def for_settings(self, recorded: EncoderSettings | None) -> QueryEncoder:
        """This one where it fits an index with these settings, else another."""
        mine = self._encoder or self._recorded
        if mine is not None and recorded is not None and mine.fingerprint == recorded.fingerprint:
            return self
        return QueryEncoder(recorded, device=self._device)


@dataclass(frozen=True, slots=True)
class Serving:
    """They belong together: a searcher moves on to a newer generation by replacing all of them at once."""

    snapshot: Snapshot
    encoder: QueryEncoder
    mode: Mode
    fusion: Fusion
    relevance: RelevanceModel | None


DEPTH = 100
"""Candidates asked of each side, where k is smaller."""


def make_request(
    serving: Serving,
    queries: Sequence[str],
    k: int,
    filter: str | None,
    mode: str | None,
    depth: int | None,
    roll_up: bool = True,
) -> Request:
    """How the queries are to be answered; `roll_up` makes the passages of a document one result.

    Raises UsageError or FilterError.
    """
    if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
        raise UsageError("queries must be a list of strings; `search` takes a single one")
    if not isinstance(k, int) or k < 1:
        raise UsageError(f"k is {k!r}; it must be a whole number, at least 1")
    if depth is not None and depth < k:
        raise UsageError(f"depth is {depth}; it must be at least k, which is {k}")
    snapshot = serving.snapshot
    chosen = choose_mode(snapshot.state.settings, mode) if mode is not None else serving.mode
    if chosen != "sparse" and not snapshot.with_dense:
        raise UsageError(f"this searcher was opened with mode='sparse'; open another for mode='{chosen}'")
    return Request(
        mode=chosen,
        fusion=serving.fusion,
        k=k,
        depth=max(k, depth or DEPTH),
        allowed=snapshot.matching(parse_filter(filter)) if filter is not None else None,
        documents=snapshot.documents if roll_up else None,
    )


def with_judge(
    serving: Serving, request: Request, min_probability: float | None, relevant_only: bool
) -> Request:
    """The request with its hits judged, where there is a model and a dense side to judge by.

    Raises UsageError where a least probability is asked for and there is not, or it is none.
    """
    model = serving.relevance
    threshold = choose_threshold(model, request.mode, min_probability, relevant_only)
    if model is None or request.mode == "sparse":
        return request
    snapshot, mask = serving.snapshot, request.allowed
    mask = snapshot.live if mask is None else mask
    searched = snapshot.size if mask is None else int(np.count_nonzero(mask))
    return replace(request, judge=Judge(model, searched, threshold))
