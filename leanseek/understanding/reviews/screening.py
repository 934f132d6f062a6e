"""A systematic review under way: all candidates in the order in which to read them, which each label improves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.searcher.ranking import choose_mode
from leanseek.types import Float64Array, Int64Array, Progress, Ranked
from leanseek.understanding.reviews.recall_estimate import RecallEstimate, estimate_recall
from leanseek.understanding.reviews.review_documents import review_documents
from leanseek.understanding.reviews.ridge_logistic import fit

if TYPE_CHECKING:
    from leanseek.filters import Filter
    from leanseek.searcher import Searcher

RELEVANT: Final = 1.0
"""What a relevant document costs that is taken for irrelevant; the title counts as one."""
BALANCE: Final = 1.0
"""What all irrelevant documents read cost together, as a share of the relevant ones."""
FOLDS: Final = 5


class Screening:
    """The candidates of a review, which are read in the order of `next` and labelled by `label`.

    Before the first label they are in the order in which a search for the title has them, all of them. Then a logistic
    regression over their terms and vectors learns from the labels, with the title as one more relevant document (as in
    AutoTAR; Cormack, Grossman: "Autonomy and Reliability of Continuous Active Learning for Technology-Assisted
    Review", 2015).

    >>> screening = Screening(searcher, "statins for the prevention of dementia")
    >>> while not screening.estimate().reached():
    ...     screening.label({one.id: decide(one.id) for one in screening.next(10)})
    """

    def __init__(
        self,
        searcher: Searcher,
        title: str,
        *,
        labels: Mapping[str, int] | None = None,
        candidates: Iterable[str] | None = None,
        filter: str | Filter | None = None,
        mode: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """The candidates are all documents of the searcher's index that the `filter` admits, or those of them whose ids
        are among the `candidates`.

        `labels` are those that there are, in the order in which they were read. `mode` is hybrid, dense or sparse, by
        default the searcher's: which sides find by the title, and whether terms, vectors or both are learned from.
        `progress` is called with the documents that are read in.

        Raises UsageError for an empty title, a mode that the index does not have and where there is no candidate;
        FilterError; and as `label` does.
        """
        if not title.strip():
            raise UsageError("the title of the review is empty; give what it is about, as in a search")
        chosen = searcher.mode if mode is None else choose_mode(searcher.settings, mode)
        ids = searcher.ids(filter=filter)
        if candidates is not None:
            wanted = set(candidates)
            ids = [id for id in ids if id in wanted]
        if not ids:
            raise UsageError(
                "there is no candidate: the index is empty, or the filter admits none of its documents"
            )
        self._documents = review_documents(searcher, ids, title, chosen, progress)
        count = len(self._documents.ids)
        self._by_title = np.zeros(count)
        for one in searcher.rank_batch([title], count, candidates=[ids], mode=chosen)[0]:
            self._by_title[self._documents.places[one.id]] = one.score
        self._labels: dict[str, int] = {}
        self._weights: Float64Array | None = None
        self._scores: Float64Array | None = self._by_title
        if labels:
            self.label(labels)

    @property
    def labels(self) -> Mapping[str, int]:
        """The labels so far, in the order in which they came; relevant from 1."""
        return self._labels

    def label(self, labels: Mapping[str, int]) -> None:
        """Take what was decided about documents: 1 (and above) is relevant, 0 is not. A later label replaces a former.

        Raises InputError for an id that is none of a candidate; then none of the labels is taken.
        """
        strangers = [id for id in labels if id not in self._documents.places]
        if strangers:
            some = ", ".join(map(repr, strangers[:3]))
            more = f" and {len(strangers) - 3:,} more" if len(strangers) > 3 else ""
            raise InputError(
                f"the labels have ids that are none of the {len(self._documents.ids):,} candidates: {some}{more}. "
                "Give labels of documents that the index has and the filter admits"
            )
        self._labels.update(labels)
        self._scores = None

    def next(self, count: int = 10) -> list[Ranked]:
        """The documents to read next: the best of those without a label, equal ones by id; fewer at the end.

        Raises UsageError for a count below 1.
        """
        if count < 1:
            raise UsageError(f"{count} documents to read next; it must be at least 1")
        return self._unread()[:count]

    def ranking(self) -> list[Ranked]:
        """All candidates: those with a label in the order of their labels, and then the others, best first.

        The scores of the others are those of the ranking; those before them have higher ones, one apart.
        """
        rest = self._unread()
        highest = rest[0].score if rest else 0.0
        read = len(self._labels)
        return [*(Ranked(id, highest + read - place) for place, id in enumerate(self._labels)), *rest]

    def estimate(self, recall: float = 0.95) -> RecallEstimate:
        """How much of what is relevant has been found, and how probable it is that this is the `recall`.

        Raises UsageError for a recall that is not above 0 and at most 1.
        """
        places, relevant = self._read()
        unread = self._unread_places()
        return estimate_recall(
            self._held_out(places, relevant), relevant > 0, self._learned()[unread], recall
        )

    def _unread(self) -> list[Ranked]:
        places, scores = self._unread_places(), self._learned()
        order = places[np.argsort(-scores[places], kind="stable")]
        return [Ranked(self._documents.ids[place], float(scores[place])) for place in order.tolist()]

    def _read(self) -> tuple[Int64Array, Float64Array]:
        """(r,) the places of the documents with a label, in the order of the labels, and (r,) 1 for relevant ones."""
        places = np.fromiter((self._documents.places[id] for id in self._labels), np.int64)
        relevant = np.fromiter((label > 0 for label in self._labels.values()), np.float64)
        return places, relevant

    def _unread_places(self) -> Int64Array:
        unread = np.ones(len(self._documents.ids), np.bool_)
        unread[self._read()[0]] = False
        return np.flatnonzero(unread)

    def _learned(self) -> Float64Array:
        """(n,) what the candidates are ranked by."""
        if self._scores is None:
            self._weights = self._fitted(*self._read(), self._weights)
            self._scores = self._documents.rows.dot(self._weights)[:-1]
        return self._scores

    def _fitted(
        self, places: Int64Array, relevant: Float64Array, start: Float64Array | None = None
    ) -> Float64Array:
        """(width,) the weights that these labels teach, beside the title."""
        used = np.append(places, len(self._documents.ids))
        targets = np.append(relevant, 1.0)
        irrelevant = max(float((1.0 - targets).sum()), 1.0)
        costs = RELEVANT * np.where(targets > 0, 1.0, BALANCE * targets.sum() / irrelevant)
        return fit(self._documents.rows.take(used), targets, costs, start)

    def _held_out(self, places: Int64Array, relevant: Float64Array) -> Float64Array:
        """(r,) the scores of the documents read, each by a model that has not seen its label."""
        scores = np.zeros(len(places))
        self._learned()
        for fold in range(FOLDS):
            held = np.arange(len(places)) % FOLDS == fold
            weights = self._fitted(places[~held], relevant[~held], self._weights)
            scores[held] = self._documents.rows.take(places[held]).dot(weights)
        return scores
