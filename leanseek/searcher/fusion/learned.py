"""The fusion that an index brings with it."""

from __future__ import annotations

from leanseek.errors import IndexFormatError, UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher.fusion import load_fusion
from leanseek.searcher.fusion.base import Fusion

DEFAULT = "convex"


def own_fusion(settings: IndexSettings) -> Fusion:
    """What the index has learned, else the default. Raises IndexFormatError for a fusion of a newer leanseek."""
    learned = settings.fusion
    if learned is None:
        return load_fusion(DEFAULT)
    try:
        return load_fusion(learned.fusion, learned.dense_weight)
    except UsageError as error:
        raise IndexFormatError(
            f"the index fuses by {learned.fusion!r} with the weight {learned.dense_weight}, which this leanseek does "
            "not know. Upgrade it with: pip install --upgrade leanseek; or search with --fusion convex"
        ) from error
