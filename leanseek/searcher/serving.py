"""What a searcher answers from at one time: a generation of the index, the mode, the encoder, the relevance model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from leanseek.encode import Encoder, TruncationReport
from leanseek.errors import UsageError
from leanseek.indexing.configuring import recorded_encoder
from leanseek.indexing.settings import EncoderSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion import Fusion
from leanseek.searcher.ranking import Mode
from leanseek.searcher.relevance.model import RelevanceModel
from leanseek.types import Float32Array


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
