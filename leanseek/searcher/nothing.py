"""Why a search has no hit: an empty index, a filter, operators, words that the index does not have, a threshold."""

from __future__ import annotations

import re
from typing import Final

from leanseek.searcher.field_boost import contradiction
from leanseek.searcher.request import Request
from leanseek.types import Answer, Nothing

_WORD: Final = re.compile(r"\w+")
SHOWN: Final = 5
"""Words of the query in a sentence."""


def why_nothing(request: Request, query: str, answer: Answer) -> Nothing:
    """The reason why the answer to the only query of a request has no hit; `query` is its text without operators."""
    snapshot, allowed = request.snapshot, request.allowed
    total = snapshot.count_documents()
    if not total:
        return Nothing(
            "empty_index", "the index is empty; add documents to it with leanseek add, or Index.add"
        )
    if not query.strip():
        return Nothing("empty_query", "the query is empty")
    met = snapshot.count_documents(allowed)
    if not met:
        named = ", ".join(dict.fromkeys(("id", "title", *sorted(snapshot.fields))))
        return Nothing(
            "filter",
            f"none of the {total:,} documents meets the filter; the index has the fields {named}",
        )
    if request.constraints and (
        sentence := contradiction(snapshot, request.filter, request.alone(0).constraints[0])
    ):
        return Nothing("constraints", sentence)
    if sentence := left_nothing(answer, allowed is not None):
        return Nothing("operators", sentence)
    if answer.operators or request.constraints:
        allowed = request.alone(0).allowed
        met = snapshot.count_documents(allowed)
    if answer.nearest is not None and answer.threshold is not None:
        return Nothing(
            "threshold",
            f"none of {answer.left_out:,} candidates is relevant with a probability of {answer.threshold:.4g}; the "
            f"nearest is {answer.nearest.id!r} with {answer.nearest.probability:.4g}",
        )
    if request.mode == "sparse":
        words = [query[start:end] for _, start, end in snapshot.passages.analyzer.spans(query)]
        if not words:
            short = any(len(word) == 1 for word in _WORD.findall(query))
            left_out = f"{'one-letter words, ' if short else ''}stop words and punctuation are left out"
            return Nothing("no_words", f"no word of the query is searched ({left_out}){by_meaning(request)}")
        if not snapshot.sparse.idf(query).any():
            return Nothing(
                "unknown_words",
                f"no word of the query is in the index ({shown(words)}){by_meaning(request)}",
            )
        if allowed is not None:
            what = "operators" if answer.operators else "constraints" if request.constraints else "filter"
            return Nothing(
                "filter",
                f"{met:,} of {total:,} documents {'meets' if met == 1 else 'meet'} the {what}, and none of those has a "
                f"word of the query ({shown(words)})",
            )
    return Nothing("no_match", "no document matches the query")


def left_nothing(answer: Answer, filtered: bool) -> str | None:
    """Which operator leaves no document, and how to do without it; None where all leave some."""
    for place, one in enumerate(answer.operators):
        if not one.left:
            others = (
                " of those that the filter and the operators before it leave" if filtered or place else ""
            )
            return (
                f"{'every' if one.excludes else 'no'} document{others} has {one.words!r}, which the query "
                f"{'excludes' if one.excludes else 'requires'}; leave {one.written} out, or take the query literally "
                "(--literal)"
            )
    return None


def by_meaning(request: Request) -> str:
    """What a search of both sides would do, of one that is sparse."""
    if request.snapshot.state.settings.dense is None:
        return "; the index has no dense side, which would find documents by their meaning"
    return "; the search is sparse, while mode hybrid finds documents by their meaning too"


def shown(words: list[str]) -> str:
    """The first few different words."""
    different = list(dict.fromkeys(words))
    return ", ".join(different[:SHOWN]) + (", …" if len(different) > SHOWN else "")
