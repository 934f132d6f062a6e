"""The content of a report: results grouped by collection and split, with everything that is drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leanseek.eval.base import Rules
from leanseek.eval.comparison import Change
from leanseek.eval.results import Result
from leanseek.types import Hit


@dataclass(frozen=True, slots=True)
class Cell:
    """One mean with its confidence interval; `p` is Holm-corrected, against the baseline (None: the baseline itself,
    or nothing to compare with)."""

    mean: float
    low: float
    high: float
    p: float | None
    significant: bool
    difference: float | None

    @property
    def mark(self) -> str:
        """▲ significantly better than the baseline, ▼ significantly worse, else empty."""
        if not self.significant or not self.difference:
            return ""
        return "▲" if self.difference > 0 else "▼"


@dataclass(frozen=True, slots=True)
class Curves:
    """Means over the queries: `recall` and `precision` at each k of `depths`; `interpolated` precision at each
    level of recall of `levels`."""

    depths: tuple[int, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    levels: tuple[float, ...]
    interpolated: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Against:
    """A system beside the baseline, by the main measure: each query's change, from the best to the worst."""

    changes: tuple[Change, ...]
    wins: int
    ties: int
    losses: int

    def most_changed(self, count: int) -> tuple[Change, ...]:
        """The `count` queries that changed most either way, the best first; unchanged ones are left out."""
        moved = [change for change in self.changes if change.difference]
        moved.sort(key=lambda change: (-abs(change.difference), change.query))
        return tuple(sorted(moved[:count], key=lambda change: (-change.difference, change.query)))


@dataclass(frozen=True, slots=True)
class ShownHit:
    """An explained hit, and whether it was judged relevant."""

    hit: Hit
    relevant: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """A query and the best hits that a system has for it."""

    query: str
    text: str
    hits: tuple[ShownHit, ...]


@dataclass(frozen=True, slots=True)
class System:
    """One row of the table, and what is drawn of it. `against` is None for the baseline.

    `explained` is empty unless a re-ranker in context was to be explained.
    """

    result: Result
    cells: Mapping[str, Cell]
    curves: Curves
    against: Against | None
    explained: tuple[Explained, ...] = ()

    @property
    def name(self) -> str:
        """The system's name."""
        return self.result.system


@dataclass(frozen=True, slots=True)
class Group:
    """The systems on one split of one collection. The baseline is the first; `main` is the measure that plots show."""

    collection: str
    split: str
    measures: tuple[str, ...]
    main: str
    systems: tuple[System, ...]
    rules: Sequence[tuple[tuple[str, ...], Rules]]
    """Each set of rules with the names of the systems whose numbers were taken by it."""
    method: str
    """How the intervals and p values were computed, in a sentence."""
    warnings: tuple[str, ...]

    @property
    def title(self) -> str:
        """Collection and split."""
        return f"{self.collection} · {self.split}"

    @property
    def baseline(self) -> System:
        """The system that the others are compared with."""
        return self.systems[0]

    @property
    def others(self) -> tuple[System, ...]:
        """The systems beside the baseline; empty where there is only one."""
        return self.systems[1:]


@dataclass(frozen=True, slots=True)
class Study:
    """The content of a report."""

    groups: tuple[Group, ...]
    level: float
    """The confidence level of the intervals, e.g. 0.95; p below 1 - level is marked."""
