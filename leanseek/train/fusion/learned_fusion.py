"""The fusion of an index's two sides, learned from a few judged queries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leanseek.encode import Encoder, LearnedEncoder
from leanseek.errors import UsageError
from leanseek.indexing.creation import given_encoder, given_learned
from leanseek.indexing.index import Index
from leanseek.indexing.settings import FusionSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import DEFAULT as DEFAULT_FUSION
from leanseek.searcher.fusion.registry import THREE_SIDED_DEFAULT
from leanseek.searcher.request import LearnedQueries, QueryEncoder
from leanseek.train.fusion.grid import DEFAULT, DEFAULT_SHARE, FEWEST, PAIRS, Choice, Tried, choose, try_all
from leanseek.train.fusion.judged_candidates import JudgedQuery, gather, labelled
from leanseek.types import Progress, Qrels, Query


@dataclass(frozen=True, slots=True)
class LearnedFusion:
    """How to fuse, as `load_fusion` names it, learned from `queries` judged queries.

    `default` and `ndcg` are the mean nDCG@10 of the default (convex, 0.8) and of this fusion on those very queries;
    `gain` is what this way of choosing gains over the default on queries that are held out in turn, `error` its
    standard error. `kept` is the reason why the default was kept, None where it was not. `notes` name the queries and
    judgments that could not be used.
    """

    fusion: str
    dense_weight: float
    queries: int
    default: float
    ndcg: float
    gain: float
    error: float
    kept: str | None
    notes: tuple[str, ...] = ()
    learned_weight: float = 0.0

    @property
    def settings(self) -> FusionSettings | None:
        """What an index records; None where the default was kept."""
        if self.kept is not None:
            return None
        return FusionSettings(
            self.fusion,
            self.dense_weight,
            self.queries,
            self.default,
            self.gain,
            self.error,
            self.learned_weight,
        )


def train_fusion(
    path: str | os.PathLike[str],
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    encoder: str | Encoder | None = None,
    learned: str | LearnedEncoder | None = None,
    device: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> LearnedFusion:
    """Learn how to fuse the sides of the index at `path`, and record it there; `dry_run` only learns.

    The weights of the dense side and of the learned one, where there is one, and the scale of each side's scores are
    chosen by nDCG@10 on the judged queries, close
    to the default where these are few, and the default itself is kept (also in place of what was learned before)
    unless cross-validation speaks against it, see `grid.choose`. Judgments of relevant documents alone suffice.
    The index is locked for writing meanwhile.

    Sebastian Bruch, Siyu Gai, Amir Ingber: An Analysis of Fusion Functions for Hybrid Retrieval. ACM TOIS 42(1), 2023,
    arXiv:2210.11934.

    Raises UsageError where the index lacks a side, InputError where the queries and judgments do not fit it (see
    `labelled`), IndexLockedError, and what `Searcher.open` raises.
    """
    folder = Path(path)

    def learn() -> LearnedFusion:
        snapshot = Snapshot.open(folder)
        try:
            given = given_encoder(snapshot.state.settings, encoder, device)
            return learn_fusion(
                snapshot,
                QueryEncoder(snapshot.state.settings.encoder, given, device),
                queries,
                qrels,
                progress,
                LearnedQueries(
                    snapshot.state.settings.learned,
                    given_learned(snapshot.state.settings, learned, device),
                    device,
                ),
            )
        finally:
            snapshot.close()

    if dry_run:
        return learn()
    found: list[LearnedFusion] = []

    def choice() -> FusionSettings | None:
        found.append(learn())
        return found[0].settings

    Index.open(folder).choose_fusion(choice)
    return found[0]


def reset_fusion(path: str | os.PathLike[str]) -> FusionSettings | None:
    """Return the index at `path` to the default fusion; returns what it had learned, None if nothing.

    Raises IndexLockedError, and what `Index.open` raises.
    """
    index = Index.open(path)
    former = index.settings.fusion
    index.choose_fusion(lambda: None)
    return former


def learn_fusion(
    snapshot: Snapshot,
    encoder: QueryEncoder,
    queries: Sequence[Query],
    qrels: Qrels,
    progress: Progress | None = None,
    learned_queries: LearnedQueries | None = None,
) -> LearnedFusion:
    """What `train_fusion` learns, from an open index. Raises UsageError and InputError as it does."""
    settings = snapshot.state.settings
    for side, absent in (("dense", settings.dense is None), ("sparse", settings.sparse is None)):
        if absent:
            raise UsageError(
                f"'{snapshot.folder}' was made without a {side} side, so there is nothing to fuse; index again with "
                "both sides to learn how to fuse them"
            )
    useful, notes = labelled(snapshot, queries, qrels)
    expansion = None
    if settings.learned is not None:
        expansion = learned_queries or LearnedQueries(settings.learned)
    judged = gather(snapshot, encoder, useful, qrels, progress, expansion)
    return learned(try_all(judged, progress), judged, notes)


def learned(tried: Tried, judged: Sequence[JudgedQuery], notes: tuple[str, ...] = ()) -> LearnedFusion:
    """The choice among the fusions tried, and why it is the default where it is."""
    choice = choose(tried.ndcg, tried.rows)
    pair, share = choice.taken
    row = tried.rows[pair]
    usual = (row.sparse, row.dense) == PAIRS[0]
    means = tried.ndcg.mean(axis=0)
    return LearnedFusion(
        fusion=THREE_SIDED_DEFAULT
        if row.agreement
        else DEFAULT_FUSION
        if usual
        else row.sparse
        if row.sparse == row.dense
        else f"{row.sparse}+{row.dense}",
        dense_weight=float(tried.weights[pair, share]),
        queries=len(judged),
        default=float(means[DEFAULT]),
        ndcg=float(means[pair, share]),
        gain=choice.gain,
        error=choice.error,
        kept=reason(choice, tried) if choice.taken == DEFAULT else None,
        notes=notes,
        learned_weight=float(tried.learned[pair, share]),
    )


def reason(choice: Choice, tried: Tried) -> str:
    """Why the default is kept."""
    queries = len(tried.ndcg)
    if queries < FEWEST:
        few = "1 judged query is" if queries == 1 else f"{queries} judged queries are"
        return f"{few} too few to choose by; give at least {FEWEST}"
    if (tried.ndcg == tried.ndcg[:, :1, :1]).all():
        return f"no way of fusing changes nDCG@10 on these {queries:,} queries"
    if choice.candidate == DEFAULT:
        return f"no other fusion is enough better on these {queries:,} queries (weight {DEFAULT_SHARE})"
    return (
        f"on held-out queries another fusion gains {choice.gain:+.4f} ± {choice.error:.4f} in nDCG@10, "
        "which is not beyond its standard error"
    )
