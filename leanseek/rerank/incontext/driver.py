"""Puts listings to a decoder, window by window, in the memory and the time there is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from leanseek.encode.batches import Deadline, Limit, Pace, out_of_memory
from leanseek.errors import ModelError
from leanseek.rerank.incontext.listing import Listing
from leanseek.rerank.incontext.reader import Read, Task, TooLong

LEAST = 32
"""Tokens of documents that a prompt must hold."""
FEWEST = 2
"""Documents that are read at least; fewer leave nothing to compare."""

ReadAll = Callable[[Sequence[Task]], list[list[Read]]]
Done = Callable[[int], None]


class Make(Protocol):
    """Makes the listing of a query by its number."""

    def __call__(self, number: int, room: int | None, reach: float | None = None) -> Listing:
        """With prompts of at most `room` tokens of documents (None: as many as the model holds).

        Of the most promising documents alone, at least `FEWEST`, as many as cost `reach` tokens (None: of all).
        """
        ...


class Driver:
    """Reads listings, and learns from call to call how much fits into the memory and into a time."""

    def __init__(self, read: ReadAll, batch: int) -> None:
        """At first `batch` prompts are read at once, however long they are."""
        self._read = read
        self._batch = Limit(batch)
        self._room = Limit(sys.maxsize)
        # A prompt cannot be stopped once it is begun.
        self._pace = Pace(cautious=True)
        self._patience = Patience()

    @property
    def room(self) -> int | None:
        """How many tokens of documents a prompt may have; None: as many as the model reads."""
        return self._room.amount if self._room.halved else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be made smaller."""
        batch, notes = self._batch.amount, []
        if self._batch.halved:
            prompts = "one prompt at a time is" if batch == 1 else f"{batch:,} prompts at a time are"
            notes.append(f"memory ran out: {prompts} read from now on")
        if self.room is not None:
            notes.append(
                f"memory ran out: prompts hold at most {self.room:,} tokens of documents from now on"
            )
        return tuple(notes)

    def drive(self, count: int, make: Make, done: Done) -> list[Listing | None]:
        """The listings of `count` queries, each with its scores. `done` gets the number of finished queries."""
        finished: list[Listing | None] = [None] * count
        waiting, active = list(range(count))[::-1], dict[int, Listing]()
        while waiting or active:
            while waiting and len(active) < self._batch.amount:
                number = waiting.pop()
                active[number] = make(number, self.room)
            for number in [number for number, listing in active.items() if listing.task is None]:
                finished[number] = active.pop(number)
            done(count - len(waiting) - len(active))
            if active:
                self._step(list(active)[: self._batch.amount], active, make)
        return finished

    def drive_until(self, deadline: Deadline, count: int, make: Make, done: Done) -> list[Listing | None]:
        """Listings of what can be read until the deadline, query by query; None for those that are not read."""
        finished: list[Listing | None] = []
        for number in range(count):
            done(number)
            finished.append(self._in_time(number, make, deadline))
        done(count)
        return finished

    def _in_time(self, number: int, make: Make, deadline: Deadline) -> Listing | None:
        """The listing of as many of the best documents as there is time for, or None.

        Where nothing is known of the time the fewest are read first, and all there is time for after that.
        """
        best: Listing | None = None
        while deadline.allows() and (best is None or best.left_out):
            reach = self._pace.reach(deadline.remaining())
            listing = make(number, self.room, reach or 0.0)
            few = len(listing) <= FEWEST and listing.cost > (reach or 0.0)
            if best is None and reach is not None and few and not self._patience.tries():
                return None
            # What was read is read again only for many more.
            if best is not None and (few or (len(listing) < 2 * len(best) and listing.left_out)):
                break
            found = self._finish(number, listing, make, deadline)
            if found is None:
                break
            best = found
            if deadline.allows():
                self._patience.reset()
        return best

    def _finish(self, number: int, listing: Listing, make: Make, deadline: Deadline) -> Listing | None:
        """The listing, read; None where there is no time for one of its later windows."""

        def again(number: int, room: int | None, reach: float | None = None) -> Listing:
            return make(number, room, listing.cost if reach is None else reach)

        active, first = {number: listing}, True
        while (now := active[number]).task is not None:
            reach = self._pace.reach(deadline.remaining())
            if not first and reach is not None and now.size > reach:
                return None
            size, begun, first = now.size, deadline.now(), False
            self._step([number], active, again)
            if active[number] is now:
                self._pace.learn(size, deadline.now() - begun)
        return active[number]

    def _step(self, chosen: Sequence[int], active: dict[int, Listing], make: Make) -> None:
        """One window of each of the chosen queries. Where memory runs out none is read, and less is tried next."""
        tasks = [task for number in chosen if (task := active[number].task) is not None]
        try:
            found = self._read(tasks)
        except TooLong as error:
            # Put together, texts may have more tokens than apart.
            for row, excess in error.excess.items():
                room = active[chosen[row]].size - excess
                if room < LEAST:
                    raise ModelError(
                        "the model's context holds no two documents beside the query; choose another model"
                    ) from error
                active[chosen[row]] = make(chosen[row], room)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if len(tasks) > 1:
                self._batch.halve(len(tasks))
                return
            size = active[chosen[0]].size
            if size // 2 < LEAST:
                raise ModelError("memory runs out over a few words; choose a smaller model") from error
            self._room.halve(size)
            # All were made for more memory than there is.
            for number in active:
                active[number] = make(number, self.room)
        else:
            for number, reads in zip(chosen, found, strict=True):
                active[number].take(reads)


class Patience:
    """Decides when a query is read for which there seems to be no time: the machine may have become faster.

    The first such query is left out, then one is tried, then twice as many are left out each time. Thread-safe.
    """

    def __init__(self) -> None:
        self._skipped = 0
        self._most = 1
        self._lock = threading.Lock()

    def tries(self) -> bool:
        """Whether this one is read."""
        with self._lock:
            if self._skipped < self._most:
                self._skipped += 1
                return False
            self._skipped, self._most = 0, 2 * self._most
            return True

    def reset(self) -> None:
        """Something was read in time: the next query without time is the first again."""
        with self._lock:
            self._skipped, self._most = 0, 1
