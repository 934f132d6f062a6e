"""Texts of any number and length read by a model: sorted, in batches, in time, in the memory there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from leanseek.encode.tokens import Int32Array
from leanseek.errors import ModelError
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.lateinteraction.model import TokenModel, TokenVectors
from leanseek.rerank.memory import out_of_memory


class Worker:
    """Reads passages by a model. Thread-safe where the model is."""

    def __init__(self, model: TokenModel) -> None:
        self._model = model
        self._budget = model.budget
        self._pace = 0.0
        self._halved = False
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether memory ran out."""
        if not self._halved:
            return ()
        return (f"memory ran out, so batches were made smaller, down to {self._budget:,} tokens",)

    def read(
        self,
        passages: Sequence[str],
        lengths: Int32Array,
        rounds: Sequence[Sequence[int]],
        deadline: Deadline | None = None,
    ) -> Iterator[tuple[list[int], TokenVectors]]:
        """Places of passages and their vectors, batch by batch, until all of them are read or the deadline is near.

        `lengths` (n,) are the passages' tokens. `rounds` are places in the order in which they matter: a round is
        finished before the next begins, and inside one the longest stand together, so that little is spent on
        padding.

        Raises ModelError where memory does not suffice for a single passage.
        """
        for places in rounds:
            queue = sorted(places, key=lambda place: (-lengths[place], place))
            start = 0
            while start < len(queue):
                longest = max(1, int(lengths[queue[start]]))
                budget = self._budget
                if deadline is not None:
                    # The first batch measures the pace, so it is one passage.
                    if not deadline.allows(longest * self._pace):
                        return
                    budget = min(budget, int(deadline.remaining() / self._pace)) if self._pace else 1
                batch = queue[start : start + max(1, budget // longest)]
                began = deadline.now() if deadline is not None else 0.0
                found = self._run([passages[place] for place in batch], longest)
                if found is None:
                    continue  # with smaller batches
                if deadline is not None:
                    self._learn((deadline.now() - began) / (longest * len(batch)))
                start += len(batch)
                yield batch, found

    def _run(self, texts: list[str], longest: int) -> TokenVectors | None:
        """The batch's vectors; None where it does not fit into memory, and smaller ones will be made."""
        try:
            return self._model.passages(texts)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if len(texts) == 1:
                raise ModelError(
                    f"memory ran out for a single passage of {longest:,} tokens; choose a smaller model, or another "
                    "device with --device"
                ) from error
            with self._lock:
                self._budget = max(1, min(self._budget, longest * len(texts)) // 2)
                self._halved = True
            return None

    def _learn(self, pace: float) -> None:
        """Keep how many seconds a token takes; what was seen last counts half."""
        with self._lock:
            self._pace = (self._pace + pace) / 2 if self._pace else pace
