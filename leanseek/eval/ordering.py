"""trec_eval's order of a ranking, given to every measure alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from leanseek.errors import InputError


def trec_order(query: str, ranking: Mapping[str, float]) -> list[str]:
    """The documents of a ranking, best first: by score as float32, equal ones by id from last to first.

    It is how trec_eval, and pytrec_eval with it, sorts; other providers of measures have other rules for
    ties. Ids compare by Unicode code point, which is the order of their UTF-8 bytes.

    Raises InputError for a score that is not finite.
    """
    documents = list(ranking)
    exact = np.fromiter(ranking.values(), np.float64, len(documents))
    if not np.isfinite(exact).all():
        place = int(np.argmin(np.isfinite(exact)))
        raise InputError(
            f"query {query!r} has document {documents[place]!r} with the score {exact[place]}; scores must be "
            "finite numbers"
        )
    with np.errstate(over="ignore"):
        scores = exact.astype(np.float32)
    if (scores[:-1] > scores[1:]).all():
        return documents
    return [document for _, document in sorted(zip(scores.tolist(), documents, strict=True), reverse=True)]


def by_place(order: list[str]) -> dict[str, float]:
    """The same ranking with scores that leave no tie: n for the first of n documents, 1 for the last."""
    return dict(zip(order, map(float, range(len(order), 0, -1)), strict=True))
