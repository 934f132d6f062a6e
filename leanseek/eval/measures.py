"""Scoring a run: every measure over rankings in trec_eval's order, for each judged query and their means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import fsum
from typing import Final

import numpy as np

from leanseek.errors import InputError, MissingPackageError
from leanseek.eval.base import Rules, Scores
from leanseek.eval.providers import AnyMeasure, Part, PrAuc, assign, describe, evaluate, parse_measures
from leanseek.eval.review_measures import ReviewMeasure
from leanseek.reading.judgments import MAX_GRADE
from leanseek.types import BoolArray, Float64Array, Qrels, Rankings

DEFAULT_MEASURES: Final = ("nDCG@10", "R@100", "RR@10", "Judged@10")
_BLOCK: Final = 1000
"""Queries measured together, which bounds the copies that a provider makes."""

TIES: Final = "as trec_eval: by score as float32, equal scores by document id from last to first"
MISSING: Final = (
    "over all judged queries (trec_eval -c): one without results, or without a relevant document, counts 0 "
    "(BEIR and MTEB take theirs over the queries that the results name), in LastRel 1; queries without judgments are "
    "left out"
)
GAINS: Final = (
    "nDCG: the gain is the grade itself, negative ones 0, discounted by log2(rank + 1), as in trec_eval, BEIR "
    "and MTEB; other measures: relevant from grade 1, unless rel= says otherwise (TREC Deep Learning: rel=2)"
)
SET_F: Final = "SetF: trec_eval does not square beta, so give it squared"
TITLES: Final = "as the run was made; a run does not record it"


def score(
    rankings: Rankings,
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    self_hits: bool = False,
    provider: str | None = None,
) -> Scores:
    """The measures of a run's rankings, for each judged query and their means.

    Every ranking is first put into trec_eval's order (see `trec_order`), so that ties are broken alike
    whichever package computes a measure. `measures` are named as in ir_measures, such as "nDCG@10" or "AP(rel=2)", and
    "PR-AUC", which is 0 to 1 like the others; "PR-AUC(pooled=True)" has a mean only, being one number for the
    whole run. `self_hits` drops from each ranking the document that has the query's own id. `provider` is
    "pytrec_eval", "ranx", or None for the first that is installed.

    Raises UsageError for an unknown measure or provider, MissingPackageError for one that is not installed,
    InputError for empty judgments, grades that are not whole or beyond ±1000, scores that are not finite, and
    rankings of which no query is judged.
    """
    wanted = parse_measures(measures)
    own = (PrAuc, ReviewMeasure)
    parts = assign(dict.fromkeys(one for one in wanted.values() if not isinstance(one, own)), provider)
    judged = {query: _whole_grades(query, documents) for query, documents in qrels.items() if documents}
    _check(rankings, judged)
    answered = (query for query in judged if rankings.get(query))
    single = [name for name, one in wanted.items() if one != PrAuc(pooled=True)]
    unanswered = {name: _of_nothing(wanted[name]) for name in single}
    per_query = {query: dict(unanswered) for query in judged}
    found_judged = dropped = empty = 0
    while block := list(islice(answered, _BLOCK)):
        kept = {query: _kept(query, rankings[query], self_hits) for query in block}
        dropped += sum(len(kept[query]) < len(rankings[query]) for query in block)
        for query, values in _measured(kept, judged, wanted, parts):
            per_query[query].update(values)
        found_judged += sum(not judged[query].keys().isdisjoint(ranking) for query, ranking in kept.items())
        empty += sum(not ranking for ranking in kept.values())
    means = {name: fsum(values[name] for values in per_query.values()) / len(judged) for name in single}
    if len(single) < len(wanted):
        area = pooled_pr_auc(
            (_kept(query, rankings.get(query, {}), self_hits), judged[query]) for query in judged
        )
        means = {name: means.get(name, area) for name in wanted}
    return Scores(
        measures=tuple(wanted),
        per_query=per_query,
        means=means,
        rules=_rules(wanted, parts, self_hits),
        warnings=_warnings(rankings, judged, found_judged, dropped, empty),
    )


def _of_nothing(measure: AnyMeasure) -> float:
    """The value for a query without results."""
    return measure.of_nothing if isinstance(measure, ReviewMeasure) else 0.0


def _whole_grades(query: str, judged: Mapping[str, int]) -> Mapping[str, int]:
    """The grades as integers, which numbers of other packages and 2.0 can be too. Raises InputError for any other."""
    if all(type(grade) is int for grade in judged.values()):
        return judged
    found = {}
    for document, grade in judged.items():
        try:
            found[document] = int(grade)
            whole = found[document] == grade
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise InputError(
                f"document {document!r} has the grade {grade!r} for query {query!r}; grades are whole numbers, such as "
                "0, 1 or 2"
            )
    return found


def _check(rankings: Rankings, judged: Qrels) -> None:
    if not judged:
        raise InputError(
            "there are no judgments to score by; see that the qrels are those of the run's queries"
        )
    if rankings and rankings.keys().isdisjoint(judged):
        raise InputError(
            f"none of the run's {len(rankings):,} queries is judged: the run has, for one, query "
            f"{next(iter(rankings))!r}, the judgments have {next(iter(judged))!r}; see that both are of the same "
            "collection and split"
        )
    for query, documents in judged.items():
        for document, grade in documents.items():
            if abs(grade) > MAX_GRADE:
                raise InputError(
                    f"document {document!r} has the grade {grade} for query {query!r}; grades lie between "
                    f"-{MAX_GRADE} and {MAX_GRADE}"
                )


def _kept(query: str, ranking: Mapping[str, float], self_hits: bool) -> Mapping[str, float]:
    if not self_hits or query not in ranking:
        return ranking
    return {document: score for document, score in ranking.items() if document != query}


def _measured(
    rankings: Rankings, judged: Qrels, wanted: Mapping[str, AnyMeasure], parts: Sequence[Part]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The values of each query of a block, in parts."""
    names: dict[AnyMeasure, list[str]] = {}
    for name, one in wanted.items():
        names.setdefault(one, []).append(name)
    orders = {query: trec_order(query, ranking) for query, ranking in rankings.items() if ranking}
    placed = {query: by_place(order) for query, order in orders.items()}
    if placed:
        for query, measure, value in evaluate(parts, {query: judged[query] for query in placed}, placed):
            yield query, dict.fromkeys(names[measure], value)
    if PrAuc(pooled=False) in names:
        for query in placed:
            value = pr_auc(rankings[query], judged[query])
            yield query, dict.fromkeys(names[PrAuc(pooled=False)], value)
    for measure in names:
        if isinstance(measure, ReviewMeasure):
            for query in placed:
                yield query, dict.fromkeys(names[measure], measure.value(orders[query], judged[query]))


def _rules(wanted: Mapping[str, AnyMeasure], parts: Sequence[Part], self_hits: bool) -> Rules:
    by_area = any(isinstance(one, PrAuc) for one in wanted.values())
    from_elsewhere = ["scikit-learn (PR-AUC)"] if by_area else []
    return Rules(
        ties=f"{TIES}; PR-AUC: equal scores are one threshold" if by_area else TIES,
        missing_queries=MISSING,
        self_hits="the document that has the query's own id is dropped" if self_hits else "kept",
        gains=f"{GAINS}; {SET_F}" if any("SetF(" in str(one) for one in wanted.values()) else GAINS,
        titles=TITLES,
        provider="; ".join(([describe(parts)] if parts else []) + from_elsewhere),
    )


def _warnings(
    rankings: Rankings, judged: Qrels, found_judged: int, dropped: int, empty: int
) -> tuple[str, ...]:
    """What the means alone would hide."""
    found = []
    if unjudged := [query for query in rankings if query not in judged]:
        found.append(
            f"{_queries(len(unjudged))} of the run without judgments left out, such as {unjudged[0]!r}"
        )
    if missing := [query for query in judged if not rankings.get(query)]:
        found.append(
            f"{_queries(len(missing))} of the judgments without results counted 0, such as {missing[0]!r}"
        )
    if without := sum(all(grade < 1 for grade in documents.values()) for documents in judged.values()):
        found.append(f"{_queries(without)} of the judgments without a relevant document counted 0")
    if dropped:
        left = f", after which {empty:,} had no result" if empty else ""
        found.append(f"{_queries(dropped)} had their own document among the results, which was dropped{left}")
    if not found_judged and len(missing) < len(judged):
        found.append("no document found is judged: see that run and judgments are of the same collection")
    return tuple(found)


def _queries(count: int) -> str:
    return f"{count:,} {'query' if count == 1 else 'queries'}"


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


def pr_auc(ranking: Mapping[str, float], judged: Mapping[str, int]) -> float:
    """The area for one query: the sum over the distinct scores, from high to low, of the precision among the
    documents that score at least that, times the recall they add. Grades of 1 and above are relevant.

    Recall counts all relevant documents, so the area ends at the recall that the ranking reaches; 0 where no
    document is relevant or none is found. Between the points the curve is a step: a straight line would
    promise what no threshold delivers (Davis, Goadrich: "The Relationship Between Precision-Recall and ROC
    Curves", ICML 2006). Without ties it is average precision.

    Raises MissingPackageError without scikit-learn.
    """
    return pooled_pr_auc([(ranking, judged)])


def pooled_pr_auc(pairs: Iterable[tuple[Mapping[str, float], Mapping[str, int]]]) -> float:
    """The area of all queries' rankings as one: a single threshold cuts them all, and recall counts the
    relevant documents of all queries. It is high only where scores mean the same for every query.

    `pairs` are (ranking, judgments) of every judged query, the ranking empty where there is none.
    """
    scores: list[Float64Array] = [np.zeros(0)]
    relevant: list[BoolArray] = [np.zeros(0, np.bool_)]
    total = 0
    for ranking, judged in pairs:
        scores.append(np.fromiter(ranking.values(), np.float64, len(ranking)))
        relevant.append(np.fromiter((judged.get(id, 0) > 0 for id in ranking), np.bool_, len(ranking)))
        total += sum(grade > 0 for grade in judged.values())
    pooled = np.concatenate(relevant)
    found = int(pooled.sum())
    # scikit-learn's recall is of the relevant documents that were retrieved, ours of all.
    return average_precision(pooled, np.concatenate(scores)) * found / total if found else 0.0


def average_precision(relevant: BoolArray, scores: Float64Array) -> float:
    """scikit-learn's area under the step curve, of at least one relevant item. Raises MissingPackageError."""
    try:
        from sklearn.metrics import average_precision_score
    except ImportError as error:
        raise MissingPackageError("PR-AUC", "scikit-learn", "eval") from error
    return float(average_precision_score(relevant, scores))
