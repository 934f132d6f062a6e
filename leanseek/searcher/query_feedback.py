"""Expanding the queries of a request: a first search, or documents that are named, and what a method learns of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.search_source import Allowed, SearchSource
from leanseek.indexing.sparse import WeightedQuery
from leanseek.indexing.sparse.parameters import inverse_document_frequency
from leanseek.searcher.context import parse_expansion
from leanseek.searcher.ranking import Mode, Sides, rank
from leanseek.searcher.request import Generation, Request
from leanseek.searcher.search import Asked, Typed, encoded, searched
from leanseek.types import Description, Int64Array, QueryExpansion, WeightedTerm, content
from leanseek.understanding import (
    EXPANDERS,
    Feedback,
    FeedbackDocument,
    QueryExpander,
    describe_feedback,
    load_expander,
)

if TYPE_CHECKING:
    from leanseek.decode import Decoder

ENGLISH = ("english", "lucene")
"""Analysers of English, whose terms with other letters than a to z expand no query."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """How the queries of a request are expanded. `relevant` and `irrelevant` have the ordinals of named documents."""

    method: str
    expander: QueryExpander
    relevant: Mapping[str, Sequence[int]]
    irrelevant: Mapping[str, Sequence[int]]


def divided(expand: str | Sequence[str] | None) -> tuple[str | None, str | None]:
    """What `expand` says of a context's passages, and of the query; None for nothing.

    Raises UsageError for a value that is neither, and for two of one kind.
    """
    if expand is not None and not isinstance(expand, str | list | tuple):
        raise UsageError(f"expand is {expand!r}; give a string, or a list of strings")
    passages: list[str] = []
    methods: list[str] = []
    for one in [expand] if isinstance(expand, str) else expand or ():
        if isinstance(one, str) and one.partition("(")[0].strip().lower() in EXPANDERS:
            methods.append(one)
        else:
            check_passages(one)
            passages.append(one)
    for given in (passages, methods):
        if len(given) > 1:
            raise UsageError(f"expand has {' and '.join(given)}; give one of them")
    return passages[0] if passages else None, methods[0] if methods else None


def check_passages(given: str) -> None:
    """Raise UsageError for what names neither a query expansion nor what comes along of passages."""
    try:
        parse_expansion(given)
    except UsageError as error:
        raise UsageError(f"{error}; to expand the query, {', '.join(EXPANDERS)}") from None


def choose_expansion(
    generation: Generation,
    mode: Mode,
    allowed: Allowed,
    expand: str | Sequence[str] | None,
    relevant: Sequence[str] | None,
    irrelevant: Sequence[str] | None,
) -> Expansion | None:
    """How queries searched in a mode are expanded; None: not at all.

    Raises UsageError for a method that changes none of the sides that are asked, and for documents that are named but
    not in the index, or not admitted, or of no use to the method.
    """
    passages, method = divided(expand)
    if passages is not None:
        raise UsageError(
            f"expand={passages!r} is for the passages of a context; of a query: {', '.join(EXPANDERS)}"
        )
    if method is None:
        if relevant or irrelevant:
            raise UsageError(
                "relevant and irrelevant documents are what a query is expanded by; give expand too, such as "
                "description (--expand description)"
            )
        return None
    expander = load_expander(method)
    name = method.partition("(")[0].strip().lower()
    sides = generation.sides(mode) & expander.sides
    if not sides:
        raise UsageError(
            f"{name} expands the query of the {' and the '.join(sorted(expander.sides))} side, and this search is "
            f"{mode}; choose another mode, or one of {', '.join(EXPANDERS)}"
        )
    settings = generation.snapshot.state.settings.sparse
    if "sparse" in sides and settings is not None and settings.backend != "bm25":
        raise UsageError(
            f"{name} weighs the terms of a query, which the sparse back end {settings.backend} does not; index again "
            "with --sparse bm25"
        )
    if irrelevant and not expander.learns_from_irrelevant:
        others = [one for one, kind in EXPANDERS.items() if kind.learns_from_irrelevant]
        raise UsageError(
            f"{name} learns from relevant documents alone; irrelevant ones go with {' or '.join(others)}"
        )
    named = {"relevant": relevant or (), "irrelevant": irrelevant or ()}
    for kind, ids in named.items():
        if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
            raise UsageError(f"{kind} is {ids!r}; give a list of document ids")
    if both := set(named["relevant"]) & set(named["irrelevant"]):
        raise UsageError(f"{min(both)!r} is named as relevant and as irrelevant; it can be one of the two")
    here, there = (named_documents(generation.snapshot, ids, kind, allowed) for kind, ids in named.items())
    return Expansion(name, expander, here, there)


def named_documents(
    snapshot: SearchSource, ids: Sequence[str], kind: str, allowed: Allowed
) -> dict[str, list[int]]:
    """The ordinals of each named document. Raises UsageError where one is not in the index or not admitted."""
    found = snapshot.find(list(dict.fromkeys(ids)))
    documents: dict[str, list[int]] = {}
    for one in ids:
        ordinals = np.array(sorted(found.get(one, ())), np.int64)
        if allowed is not None and len(ordinals):
            ordinals = ordinals[allowed[ordinals]]
        if not len(ordinals):
            raise UsageError(
                f"the index has no document {one!r}, which is named as {kind}"
                + ("" if allowed is None else ", or the filter leaves it out")
            )
        documents[one] = ordinals.tolist()
    return documents


def expanded_queries(request: Request, asked: Sequence[Asked]) -> list[Asked]:
    """The queries expanded as the request wants it; each knows what it was, and what the sides found for that."""
    expansion = request.expansion
    assert expansion is not None, "the request expands its queries"
    if not asked:
        return []
    depth = min(request.depth, max(request.snapshot.size, 1))
    sides: Sequence[Sides | None] = [None] * len(asked)
    # Documents that are named stand for those that a search finds.
    if (
        request.judge is not None
        or not expansion.relevant
        or (expansion.expander.others and not expansion.irrelevant)
    ):
        sides = searched(request, asked, depth)
    return [
        expanded_query(request, expansion, one, found, depth) for one, found in zip(asked, sides, strict=True)
    ]


def expanded_query(
    request: Request, expansion: Expansion, one: Asked, sides: Sides | None, depth: int
) -> Asked:
    """A query expanded by its feedback; as it was, where that has no relevant document."""
    feedback = feedback_of(request, expansion, one, sides, depth)
    report = QueryExpansion(expansion.method)
    if not feedback.relevant:
        return one._replace(typed=Typed(one, sides, report))
    found = expansion.expander.expand(feedback)
    report = report._replace(
        relevant=tuple(dict.fromkeys(document.id for document in feedback.relevant)),
        irrelevant=tuple(dict.fromkeys(document.id for document in feedback.irrelevant)),
        sentences=found.sentences,
    )
    text, vector = one.text, one.vector
    if found.terms and "sparse" in request.sides:
        heaviest = sorted(found.terms.items(), key=lambda term: (-term[1], term[0]))
        report = report._replace(terms=tuple(map(WeightedTerm._make, heaviest)))
        text = WeightedQuery(report.terms)
    if found.vector is not None and vector is not None:
        vector = found.vector
    return Asked(text, vector, one.learned, Typed(one, sides, report))


def describe(request: Request, generator: Decoder | None) -> Description:
    """What the only query of a request wants. Raises UsageError where there is no relevant document."""
    expansion, alone = request.expansion, request.alone(0)
    assert expansion is not None, "the request expands its query"
    depth = min(request.depth, max(request.snapshot.size, 1))
    _, asked = encoded(alone)
    for one in asked:
        named = expansion.relevant and expansion.irrelevant
        [sides] = [None] if named else searched(alone, [one], depth)
        feedback = feedback_of(alone, expansion, one, sides, depth)
        if feedback.relevant:
            return describe_feedback(feedback, generator)
    raise UsageError(
        f"nothing in the index is relevant to {request.queries[0]!r}, so that there is nothing to describe; ask in "
        "other words, or name relevant documents (--relevant ID)"
    )


def feedback_of(
    request: Request, expansion: Expansion, one: Asked, sides: Sides | None, depth: int
) -> Feedback:
    """What a query can learn from: the documents that are named, else the best hits of its search and some behind."""
    snapshot, expander = request.snapshot, expansion.expander
    relevant = [(id, ordinals, 1.0) for id, ordinals in expansion.relevant.items()]
    irrelevant = [(id, ordinals, 1.0) for id, ordinals in expansion.irrelevant.items()]
    if sides is not None:
        fusion = request.generation.fusion
        ranking = rank(snapshot, one.text, one.vector, sides, depth, fusion, one.learned)
        reach = max(expander.hits + len(irrelevant), expander.others.stop)
        ids = snapshot.passages.ids(ranking.ordinals[:reach])
        found: list[tuple[str, Sequence[int], float]] = [
            (id, [ordinal], score)
            for id, ordinal, score in zip(
                ids, ranking.ordinals.tolist(), ranking.scores.tolist(), strict=False
            )
            if id not in expansion.irrelevant
        ]
        if not relevant:
            relevant = found[: expander.hits]
        if not irrelevant:
            taken = {id for id, _, _ in relevant}
            irrelevant = [
                hit for hit in found[expander.others.start : expander.others.stop] if hit[0] not in taken
            ]
    analyzer = snapshot.passages.analyzer
    passages = max(snapshot.count(), 1)
    counts_terms = snapshot.state.settings.sparse is not None

    def frequencies(wanted: Sequence[str]) -> list[int]:
        # Without a sparse side every term counts as one that a single passage has.
        return snapshot.sparse.frequencies(wanted) if counts_terms else [1] * len(wanted)

    assert isinstance(one.text, str), "a query is expanded once"
    return Feedback(
        query=one.text,
        vector=one.vector,
        relevant=documents_of(snapshot, relevant, one.vector is not None),
        irrelevant=documents_of(snapshot, irrelevant, one.vector is not None),
        tokens=analyzer.tokens,
        shares=lambda wanted: [count / passages for count in frequencies(wanted)],
        idf=lambda wanted: [inverse_document_frequency(passages, count) for count in frequencies(wanted)],
        encode=lambda text: request.generation.encoder.load().encode_queries([text]).vectors[0],
        ascii_only=analyzer.spec.partition("@")[0].partition(";")[0] in ENGLISH,
    )


def documents_of(
    snapshot: SearchSource, found: Sequence[tuple[str, Sequence[int], float]], vectors: bool
) -> list[FeedbackDocument]:
    """Documents given as (id, ordinals of their passages, score), with their texts and the means of their vectors."""
    ordinals: Int64Array = np.array([one for _, here, _ in found for one in here], np.int64)
    if not len(ordinals):
        return []
    stored = iter(snapshot.passages.get(ordinals))
    each = iter(snapshot.vectors(ordinals)) if vectors else None
    documents = []
    for id, here, score in found:
        passages = [next(stored) for _ in here]
        text = content(passages[0].title, " ".join(passage.text for passage in passages))
        vector = np.mean([next(each) for _ in here], axis=0) if each is not None else None
        documents.append(FeedbackDocument(id, text, score, vector))
    return documents
