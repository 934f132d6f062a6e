"""What the kinds of collections do alike with splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leanseek.errors import UsageError
from leanseek.eval.base import Qrels
from leanseek.types import Query


def one_of(name: str, splits: Sequence[str], split: str) -> str:
    """The split, if it is one. Raises UsageError that lists those that are."""
    if split in splits:
        return split
    if not splits:
        raise UsageError(
            f"the collection '{name}' has no judgments, so it has no split '{split}'; it can be indexed and "
            "searched, but not scored"
        )
    raise UsageError(f"the collection '{name}' has no split '{split}'; its splits are: {', '.join(splits)}")


def judged(queries: Iterable[Query], qrels: Qrels) -> list[Query]:
    """The queries that have judgments, in their order."""
    return [query for query in queries if query.id in qrels]


def usual_order(splits: Iterable[str]) -> list[str]:
    """Test first, then dev and train, then others by name: the first is what to report on."""
    usual = ("test", "dev", "train")
    return sorted(splits, key=lambda split: (usual.index(split) if split in usual else len(usual), split))
