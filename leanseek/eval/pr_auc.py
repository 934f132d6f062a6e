"""The area under the precision-recall curve, for answers that are sets cut out of a ranking by its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import MissingPackageError
from leanseek.types import BoolArray


def pr_auc(ranking: Mapping[str, float], judged: Mapping[str, int]) -> float:
    """The area for one query: the sum over the distinct scores, from high to low, of the precision among the
    documents that score at least that, times the recall they add. Grades of 1 and above are relevant.

    Recall counts all relevant documents, so the area ends at the recall that the ranking reaches; 0 where no
    document is relevant or none is found. Between the points the curve is a step: a straight line would
    promise what no threshold delivers (Davis, Goadrich: "The Relationship Between Precision-Recall and ROC
    Curves", ICML 2006). Without ties it is average precision.

    Raises MissingPackageError without scikit-learn.
    """
    scores = np.fromiter(ranking.values(), np.float64, len(ranking))
    relevant = np.fromiter((judged.get(document, 0) > 0 for document in ranking), np.bool_, len(ranking))
    return _area(scores, relevant, _relevant_in(judged))


def pooled_pr_auc(pairs: Iterable[tuple[Mapping[str, float], Mapping[str, int]]]) -> float:
    """The area of all queries' rankings as one: a single threshold cuts them all, and recall counts the
    relevant documents of all queries. It is high only where scores mean the same for every query.

    `pairs` are (ranking, judgments) of every judged query, the ranking empty where there is none.
    """
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    relevant: list[BoolArray] = [np.zeros(0, np.bool_)]
    total = 0
    for ranking, judged in pairs:
        scores.append(np.fromiter(ranking.values(), np.float64, len(ranking)))
        relevant.append(np.fromiter((judged.get(id, 0) > 0 for id in ranking), np.bool_, len(ranking)))
        total += _relevant_in(judged)
    return _area(np.concatenate(scores), np.concatenate(relevant), total)


def _relevant_in(judged: Mapping[str, int]) -> int:
    return sum(grade > 0 for grade in judged.values())


def _area(scores: NDArray[np.float64], relevant: BoolArray, total: int) -> float:
    """scikit-learn's area ends at a recall of 1 over what was retrieved; ours counts what was missed too."""
    try:
        from sklearn.metrics import average_precision_score
    except ImportError as error:
        raise MissingPackageError("PR-AUC", "scikit-learn", "eval") from error
    found = int(relevant.sum())
    if not found:
        return 0.0
    return float(average_precision_score(relevant, scores)) * found / total
