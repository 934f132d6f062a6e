"""What adapters make of documents that any retriever found: put into a better order, and shortened to what answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from leanseek.encode import DEFAULT_MODEL
from leanseek.errors import UsageError
from leanseek.rerank import Reranker, load_reranker
from leanseek.rerank.lateinteraction.sentence_similarity import load_similarity
from leanseek.searcher.context.compression import Shortening, check_share, order_by
from leanseek.searcher.context.packing import ELLIPSIS
from leanseek.types import Hit


class Refined(NamedTuple):
    """A document by its `place` among those given: what is left of its `text`, and what was found out about it.

    `score` is the re-ranker's, None where there is none.
    """

    place: int
    text: str
    score: float | None
    said: Mapping[str, Any]


class Refinement:
    """Keeps the best documents by a re-ranker, and of each the sentences that answer. Safe to share between threads.

    >>> refine = Refinement("cross-encoder", compress=0.5)
    >>> refine("do statins help?", [("", "Statins lower cholesterol. They were found in 1971.")])
    """

    def __init__(
        self, reranker: str | Reranker | None, *, compress: float | None = None, encoder: str = DEFAULT_MODEL
    ) -> None:
        """`compress` is the share of each document's words to keep; sentences are compared with the query by the token
        vectors of `encoder`. Without a `reranker` documents stay in the order given.

        Raises UsageError for a share outside (0, 1], or where neither is given, and what loading a model raises.
        """
        if reranker is None and compress is None:
            raise UsageError("there is nothing to do; give a reranker, or compress, or both")
        self._share = None if compress is None else check_share(compress)
        self._reranker = load_reranker(reranker) if isinstance(reranker, str) else reranker
        self._similarity = None if self._share in (None, 1.0) else load_similarity(encoder)

    def __call__(self, query: str, texts: Sequence[tuple[str, str]], top: int | None = None) -> list[Refined]:
        """The best `top` documents (None: all) of these titles and texts, best first; equal scores as given."""
        # Documents of other packages may lack ids, or share them: their places order equal scores.
        hits = [
            Hit(place + 1, f"{place:08}", 0.0, title, text, {}) for place, (title, text) in enumerate(texts)
        ]
        if self._reranker is not None:
            hits = self._reranker.rerank(query, hits)
        hits = hits[:top]
        runs: Sequence[Sequence[tuple[int, int]]] = [()] * len(hits)
        if self._share is not None and self._similarity is not None:
            runs = Shortening(self._share, order_by(self._similarity, query))(hits)
        return [self._refined(hit, some) for hit, some in zip(hits, runs, strict=True)]

    def _refined(self, hit: Hit, runs: Sequence[tuple[int, int]]) -> Refined:
        said: dict[str, Any] = {}
        if self._reranker is not None:
            said = {"rank": hit.rank, "score": hit.score}
            if hit.probability is not None:
                said["probability"] = hit.probability
        if self._share is not None:
            said["kept"] = [list(run) for run in runs or [(0, len(hit.text))]]
        return Refined(
            int(hit.id), shown(hit.text, runs), hit.score if self._reranker is not None else None, said
        )


def shown(text: str, runs: Sequence[tuple[int, int]]) -> str:
    """The characters [start, end) of a text in runs, with … where something is left out behind one; no runs: all."""
    if not runs:
        return text
    after = [*(start for start, _ in runs[1:]), len(text)]
    gaps = [
        f" {ELLIPSIS} " if text[end:following].strip() else text[end:following]
        for (_, end), following in zip(runs, after, strict=True)
    ]
    return "".join(text[start:end] + gap for (start, end), gap in zip(runs, gaps, strict=True)).strip()
