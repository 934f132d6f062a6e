"""leanseek as a retrieval model of the `beir` package (Thakur et al.: "BEIR", NeurIPS Datasets 2021)."""

from __future__ import annotations

from collections.abc import Mapping

from leanseek.errors import InputError, UsageError
from leanseek.integrations.pipeline import Pipeline, make_documents, ranked
from leanseek.searcher.searcher import Searcher
from leanseek.types import Query

SCORE_FUNCTIONS = ("cos_sim", "dot")
"""BEIR's names of scores, which are equal for leanseek's normalised vectors."""


class BeirSearch:
    """A retriever for `EvaluateRetrieval(retriever)` of the `beir` package.

    With a `Pipeline` it indexes the corpus it is given, with a `Searcher` it searches an existing index.

    BEIR's evaluator drops a document under the query's own id unless given `ignore_identical_ids=False`. That is
    right for ArguAna and Quora, where the query is that document, and wrong where the numbers merely coincide,
    as in Cranfield. So that either choice finds `top_k` documents, such a document is returned beside them.

    >>> from beir.retrieval.evaluation import EvaluateRetrieval
    >>> evaluation = EvaluateRetrieval(BeirSearch(Pipeline()))
    >>> results = evaluation.retrieve(corpus, queries)
    >>> ndcg, mean_precision, recall, precision = evaluation.evaluate(qrels, results, evaluation.k_values)

    The evaluator averages over the queries that were searched; give it those that have judgments, as BEIR's
    own loader does.
    """

    def __init__(self, source: Pipeline | Searcher, *, depth: int | None = None) -> None:
        """`depth` is the number of candidates of each side of a `Searcher`; a pipeline has its own.

        Raises UsageError for a depth beside a pipeline.
        """
        if depth is not None and isinstance(source, Pipeline):
            raise UsageError("depth goes with a Searcher; a pipeline takes it in PipelineSettings(depth=…)")
        self._source = source
        self._depth = depth

    def search(
        self,
        corpus: Mapping[str, Mapping[str, str | None]],
        queries: Mapping[str, str],
        top_k: int,
        score_function: str | None = None,
    ) -> dict[str, dict[str, float]]:
        """Query id → document id → score, at most `top_k` documents a query besides one under its own id.

        `corpus` maps ids to `title` and `text`. `score_function` is "cos_sim" or "dot".

        Raises UsageError for another score function, and InputError where a `Searcher`'s index holds
        documents that the corpus does not.
        """
        if score_function is not None and score_function not in SCORE_FUNCTIONS:
            raise UsageError(
                f"score_function is {score_function!r}; leanseek's vectors are normalised, and it can be "
                f"{' or '.join(map(repr, SCORE_FUNCTIONS))}, which are the same to them"
            )
        wanted = [Query(id, text) for id, text in queries.items()]
        if isinstance(self._source, Pipeline):
            self._source.index(make_documents(corpus.items()))
            found = self._source.rank(wanted, top_k + 1)
        else:
            found = ranked(self._source, wanted, top_k + 1, depth=self._depth)
        return {query: self._kept(query, ranking, corpus, top_k) for query, ranking in found.items()}

    def _kept(
        self, query: str, ranking: dict[str, float], corpus: Mapping[str, object], top_k: int
    ) -> dict[str, float]:
        strangers = [document for document in ranking if document not in corpus]
        if strangers:
            raise InputError(
                f"query {query!r} found {strangers[0]!r}, which is not in the corpus given: the index was made "
                "of other documents. Index this corpus, or give BeirSearch a Pipeline, which does so itself"
            )
        others = sum(document != query for document in ranking)
        return dict(list(ranking.items())[:-1]) if others > top_k else ranking
