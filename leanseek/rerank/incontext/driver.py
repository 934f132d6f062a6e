"""How much a decoder reads in a given time, learned from what it has read."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from leanseek.encode.batches import Deadline, out_of_memory
from leanseek.errors import ModelError
from leanseek.rerank.incontext.listing import Listing
from leanseek.rerank.incontext.reader import Read, Task, TooLong

_GROWTH = 4
"""So many times the longest prompt measured is foreseen at most: a longer one takes more than its share of time."""


class Pace:
    """Keeps how long a token takes from call to call. Thread-safe."""

    def __init__(self) -> None:
        """Nothing is known at first."""
        self._seconds: float | None = None
        self._longest = 0
        self._skipped = 0
        self._patience = 1
        self._lock = threading.Lock()

    def learn(self, tokens: int, seconds: float) -> None:
        """A prompt with so many tokens of documents took so many seconds.

        A slower one counts at once; after a faster one the pace is the geometric mean of both, so that a slow
        beginning is soon forgotten.
        """
        with self._lock:
            new = seconds / max(1, tokens)
            known = new if self._seconds is None else self._seconds
            self._seconds = max(new, math.sqrt(known * new))
            self._longest = max(self._longest, tokens)

    def reach(self, seconds: float) -> float | None:
        """How many tokens of documents are read in so many seconds; None where nothing was measured yet."""
        with self._lock:
            if self._seconds is None:
                return None
            return min(seconds / self._seconds if self._seconds else math.inf, _GROWTH * self._longest)

    def tries(self) -> bool:
        """Whether a query is read for which there seems to be no time: the machine may have become faster.

        The first such query is left out, then one is tried, then twice as many are left out each time.
        """
        with self._lock:
            if self._skipped < self._patience:
                self._skipped += 1
                return False
            self._skipped, self._patience = 0, 2 * self._patience
            return True

    def keeps_up(self) -> None:
        """Something was read in time: the next query without time is the first again."""
        with self._lock:
            self._skipped, self._patience = 0, 1


ReadAll = Callable[[Sequence[Task]], list[list[Read]]]
Done = Callable[[int], None]

LEAST = 32
"""Tokens of documents that a prompt must hold."""
FEWEST = 2
"""Documents that are read at least, or there is nothing to compare."""


class Make(Protocol):
    """Makes the listing of a query by its number."""

    def __call__(self, number: int, room: int | None, reach: float | None = None) -> Listing:
        """With prompts of at most `room` tokens of documents (None: as many as the model holds).

        Of the most promising documents alone, at least `FEWEST`, as many as cost `reach` tokens (None: of all).
        """
        ...


class Driver:
    """Keeps what was learned of the memory and the time: `batch` prompts are read at once, of at most `room` tokens."""

    def __init__(self, read: ReadAll, batch: int) -> None:
        self.batch = batch
        self.room: int | None = None
        self._asked = batch
        self._read = read
        self._pace = Pace()
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be made smaller."""
        prompts = "one prompt at a time is" if self.batch == 1 else f"{self.batch:,} prompts at a time are"
        batch = f"memory ran out: {prompts} read from now on"
        room = f"memory ran out: prompts hold at most {self.room or 0:,} tokens of documents from now on"
        return (*([batch] if self.batch < self._asked else []), *([room] if self.room is not None else []))

    def drive(self, count: int, make: Make, done: Done) -> list[Listing | None]:
        """The listings of `count` queries, each with its scores. `done` is told the number of finished queries."""
        finished: list[Listing | None] = [None] * count
        waiting, active = list(range(count))[::-1], dict[int, Listing]()
        while waiting or active:
            while waiting and len(active) < self.batch:
                number = waiting.pop()
                active[number] = make(number, self.room)
            for number in [number for number, listing in active.items() if listing.task is None]:
                finished[number] = active.pop(number)
            done(count - len(waiting) - len(active))
            if active:
                self._step(list(active)[: self.batch], active, make)
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
            if best is None and reach is not None and few and not self._pace.tries():
                return None
            # What was read is read again only for many more.
            if best is not None and (few or (len(listing) < 2 * len(best) and listing.left_out)):
                break
            found = self._finish(number, listing, make, deadline)
            if found is None:
                break
            best = found
            if deadline.allows():
                self._pace.keeps_up()
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
        """One window of each of the chosen queries. Where memory runs out nothing is told, and less is tried next."""
        tasks = [task for number in chosen if (task := active[number].task) is not None]
        try:
            found = self._read(tasks)
        except Exception as error:
            if isinstance(error, TooLong):
                self._shorten(chosen, error, active, make)
            elif not out_of_memory(error):
                raise
            elif len(tasks) > 1:
                with self._lock:
                    self.batch = min(self.batch, len(tasks) // 2)
            else:
                self._narrow(active[chosen[0]].size, error)
                # All were made for more memory than there is.
                for number in active:
                    active[number] = make(number, self.room)
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
        if size // 2 < LEAST:
            raise ModelError("memory runs out over a few words; choose a smaller model") from error
        with self._lock:
            self.room = size // 2 if self.room is None else min(self.room, size // 2)
