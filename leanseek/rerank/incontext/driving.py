"""Many queries driven through a decoder: in batches, in smaller ones where memory runs out, until the deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leanseek.errors import ModelError
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.incontext.listing import Listing
from leanseek.rerank.incontext.reading import Read, Task, TooLong
from leanseek.rerank.memory import out_of_memory

ReadAll = Callable[[Sequence[Task]], list[list[Read]]]

Make = Callable[[int, int | None], Listing]
"""Makes the listing of a query by its number, with so much room in a prompt (None: as much as the model has)."""

LEAST = 32
"""Tokens of documents that a prompt must hold."""


class Driver:
    """Keeps what was learned of the memory: `batch` prompts at a time, of at most `room` tokens of documents.

    `notes` says what had to be made smaller.
    """

    def __init__(self, read: ReadAll, batch: int) -> None:
        self.batch = batch
        self.room: int | None = None
        self.notes: list[str] = []
        self._read = read

    def drive(
        self,
        count: int,
        make: Make,
        deadline: Deadline | None = None,
        done: Callable[[int], None] | None = None,
    ) -> list[Listing | None]:
        """The listings of `count` queries, each with its scores; None for those not finished at the deadline.

        `done` is called with the number of finished queries.
        """
        finished: list[Listing | None] = [None] * count
        waiting, active, seconds = list(range(count))[::-1], dict[int, Listing](), 0.0
        while waiting or active:
            while waiting and len(active) < self.batch:
                number = waiting.pop()
                active[number] = make(number, self.room)
            for number in [number for number, listing in active.items() if listing.task is None]:
                finished[number] = active.pop(number)
            if done is not None:
                done(count - len(waiting) - len(active))
            if not active:
                continue
            chosen = list(active)[: self.batch]
            if deadline is not None and not deadline.allows(seconds):
                return finished
            begun = deadline.now() if deadline is not None else 0.0
            self._step(chosen, active, make)
            seconds = deadline.now() - begun if deadline is not None else 0.0
        return finished

    def _step(self, chosen: Sequence[int], active: dict[int, Listing], make: Make) -> None:
        """One window of each of the chosen queries. Where memory runs out nothing is told, and less is tried next."""
        tasks = [task for number in chosen if (task := active[number].task) is not None]
        try:
            found = self._read(tasks)
        except Exception as error:
            if isinstance(error, TooLong):
                self._shorten(chosen, error, active, make)
                return
            if not out_of_memory(error):
                raise
            if len(tasks) > 1:
                self.batch = len(tasks) // 2
                self._note(f"memory ran out: {self.batch} prompts at a time are read from now on")
            else:
                self._narrow(active[chosen[0]].size, error)
                active[chosen[0]] = make(chosen[0], self.room)
            return
        for number, reads in zip(chosen, found, strict=True):
            active[number].tell(reads)

    def _shorten(self, chosen: Sequence[int], error: TooLong, active: dict[int, Listing], make: Make) -> None:
        """Make the listings anew whose prompts are too long: put together texts may have more tokens than apart."""
        for row, excess in error.excess.items():
            room = active[chosen[row]].size - excess
            if room < LEAST:
                raise ModelError(
                    "the model's context holds no two documents beside the query; choose another model"
                ) from error
            active[chosen[row]] = make(chosen[row], room)

    def _narrow(self, size: int, error: Exception) -> None:
        """Half as many tokens of documents in a prompt. Raises ModelError where that is next to none."""
        self.room = size // 2
        if self.room < LEAST:
            raise ModelError("memory runs out over a few words; choose a smaller model") from error
        self._note(f"memory ran out: prompts hold at most {self.room:,} tokens of documents from now on")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
