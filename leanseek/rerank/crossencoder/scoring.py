"""Runs pairs of any number and length through a model: sorted, in batches, in time, in the memory there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from leanseek.errors import ModelError
from leanseek.rerank.crossencoder.layout import PairIds
from leanseek.rerank.crossencoder.model import PairModel
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.memory import out_of_memory
from leanseek.types import Float32Array, Float64Array


class Scorer:
    """Scores pairs by a model. Thread-safe where the model is."""

    def __init__(self, model: PairModel) -> None:
        self._model = model
        self._budget = model.budget
        self._pace = 0.0
        self._lock = threading.Lock()
        self._halved = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether memory ran out."""
        if not self._halved:
            return ()
        return (f"memory ran out, so batches were made smaller, down to {self._budget:,} tokens",)

    def score(
        self,
        lengths: Sequence[int],
        pair: Callable[[int], PairIds],
        rounds: Sequence[Sequence[int]],
        *,
        deadline: Deadline | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Float64Array:
        """(n,) the raw scores of n pairs of `lengths` (n,) tokens; NaN for those that the deadline left out.

        `pair(place)` makes the ids. `rounds` are places in the order in which they matter: a round is finished
        before the next begins, and inside one the longest stand together, so that little is spent on padding.
        """
        scores = np.full(len(lengths), np.nan)
        done = 0
        for places in rounds:
            queue = sorted(places, key=lambda place: (-lengths[place], place))
            start = 0
            while start < len(queue):
                longest = max(1, lengths[queue[start]])
                budget = self._budget
                if deadline is not None:
                    # The first batch measures the pace, so it is one pair.
                    if not deadline.allows(longest * self._pace):
                        return scores
                    budget = min(budget, int(deadline.remaining() / self._pace)) if self._pace else 1
                batch = queue[start : start + max(1, budget // longest)]
                began = deadline.now() if deadline is not None else 0.0
                found = self._run([pair(place) for place in batch])
                if found is None:
                    continue  # with smaller batches
                if deadline is not None:
                    self._learn((deadline.now() - began) / (longest * len(batch)))
                scores[batch] = found
                start += len(batch)
                done += len(batch)
                if progress is not None:
                    progress(done)
        return scores

    def _run(self, pairs: Sequence[PairIds]) -> Float32Array | None:
        """The batch's logits; None where it does not fit into memory, and smaller ones will be made.

        Raises ModelError where a single pair does not fit, or a logit is no number.
        """
        try:
            logits = self._model.logits(pairs)
        except Exception as error:
            if not out_of_memory(error):
                raise
            longest = max(len(one.ids) for one in pairs)
            if len(pairs) == 1:
                raise ModelError(
                    f"memory ran out for a single pair of {longest:,} tokens; choose a smaller model, or another "
                    "device with --device"
                ) from error
            with self._lock:
                self._budget = max(1, min(self._budget, longest * len(pairs)) // 2)
                self._halved = True
            return None
        if not np.isfinite(logits).all():
            raise ModelError(
                f"the model '{self._model.name}' gave NaN or infinite scores; they order nothing. Check its weights"
            )
        return logits

    def _learn(self, pace: float) -> None:
        """Keep how many seconds a token takes; a faster one counts at once, a slower one half."""
        with self._lock:
            self._pace = min(pace, (self._pace + pace) / 2) if self._pace else pace
