"""The lots by which passages are sampled."""

from __future__ import annotations

import numpy as np

from leanseek.indexing.sampling import lots


def test_lots_are_spread_evenly_and_each_part_of_a_document_has_its_own() -> None:
    ids = [f"d{number // 4}" for number in range(20_000)]
    parts = np.arange(20_000, dtype=np.int64) % 4
    drawn = lots(ids, parts)
    assert len(np.unique(drawn)) == len(drawn)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    found, _ = np.histogram(drawn, bins=10, range=(0.0, 1.0))
    assert abs(found - 2_000).max() < 5 * 2_000**0.5
    # Neighbouring ids and parts say nothing of each other.
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03


def test_a_lot_is_the_passage_s_own_whatever_is_drawn_with_it() -> None:
    ids, parts = ["a", "b", "a\ud800", ""], np.array([0, 3, 1, 2], np.int64)
    together = lots(ids, parts)
    alone = [lots([one], parts[place : place + 1])[0] for place, one in enumerate(ids)]
    assert together.tolist() == alone
