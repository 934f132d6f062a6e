from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek.indexing.dense.registry import DENSE, LEAN_AT_ALL_FROM, LEAN_FROM, kind_for, kind_in
from leanseek.indexing.learning_queries import Lesson
from leanseek.indexing.settings import LeanSettings


@pytest.mark.parametrize(
    ("setting", "size", "name"),
    [
        ("flat", 10 * LEAN_FROM, "flat"),
        ("auto", LEAN_FROM - 1, "flat"),
        ("auto", LEAN_FROM, "lean"),
        ("lean", LEAN_AT_ALL_FROM - 1, "flat"),
        ("lean", LEAN_AT_ALL_FROM, "lean"),
        ("lean", 0, "flat"),
    ],
)
def test_one_kind_fits_each_setting_and_size(setting: str, size: int, name: str) -> None:
    assert [kind.fits(setting, size) for kind in DENSE.values()].count(True) == 1
    assert kind_for(setting, size) is DENSE[name]


@pytest.mark.parametrize("name", list(DENSE))
def test_each_kind_is_built_recognised_and_opened(name: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((1200, 24)).astype(np.float32)
    kind = DENSE[name]
    kind.build(
        tmp_path,
        iter(np.array_split(vectors, 5)),
        vectors.shape,
        LeanSettings(precision="float32"),
        lambda: Lesson(vectors[:100] + 0.1, "given"),
    )
    assert kind_in(tmp_path) is kind
    index = kind.open(tmp_path)
    assert (index.size, index.dimensions) == vectors.shape
    assert np.array_equal(index.vectors(np.arange(1200)), vectors)
    about, learned = kind.describe(index), kind.carry(index)
    assert (about is not None) == (learned is not None) == (name == "lean")
    if about is not None and learned is not None:
        assert (about.vectors, about.source) == (1200, "given")
        assert np.array_equal(learned.queries, vectors[:100] + 0.1)
