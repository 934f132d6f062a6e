"""KeyIndex against exact arithmetic: what it finds, what a query may see, how it grows, and what it refuses."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.attention import KeyIndex
from leanseek.attention.key_index import FIRST, RUN
from leanseek.errors import InputError, UsageError
from leanseek.indexing.dense.lean.lists import build_lists, encode
from leanseek.types import Float32Array, Int64Array

PORTABLE = [
    pytest.param(
        False, marks=pytest.mark.skipif(find_spec("leanseek._scan") is None, reason="kernels not compiled")
    ),
    True,
]
WIDTH = 32


def head(
    count: int, asked: int, seed: int = 0, turn: float = 0.0, width: int = WIDTH
) -> tuple[Float32Array, Float32Array]:
    """Keys (count, width) far from the origin, and queries (asked, width) that look where keys vary little.

    With `turn` the keys' mean turns by so many radians over all keys, as rotary positions turn it.
    """
    chance = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(99).standard_normal((width, width)))[0]
    wide, narrow = np.geomspace(4, 0.25, width), np.geomspace(0.1, 3, width)
    keys = chance.standard_normal((count, width)) * wide @ basis
    angles = np.linspace(0, turn, count)
    keys += 30 * (np.cos(angles)[:, None] * basis[0] + np.sin(angles)[:, None] * basis[-1])
    queries = chance.standard_normal((asked, width)) * narrow @ basis + 2 * basis[-1]
    return keys.astype(np.float32), queries.astype(np.float32)


def best(keys: Float32Array, query: Float32Array, k: int) -> Int64Array:
    """The positions of the k largest inner products in double precision, of equal ones the first."""
    return np.argsort(-(keys.astype(float) @ query.astype(float)), kind="stable")[:k]


def recall(index: KeyIndex, keys: Float32Array, queries: Float32Array, k: int, **more: Any) -> float:
    _, found = index.search(queries, k, **more)
    pairs = zip(queries, found, strict=True)
    return float(np.mean([np.isin(best(keys, query, k), row).mean() for query, row in pairs]))


@pytest.mark.parametrize("portable", PORTABLE)
@given(
    count=st.integers(1, 700),
    more=st.integers(0, 300),
    width=st.sampled_from([1, 3, 8, 24]),
    k=st.integers(1, 40),
    seed=st.integers(0, 5),
)
@settings(max_examples=8, deadline=None)
def test_a_search_of_every_key_is_exact_and_sees_no_later_key(
    portable: bool, count: int, more: int, width: int, k: int, seed: int
) -> None:
    keys, queries = head(count + more, 6, seed, width=width)
    index = KeyIndex.build(keys[:count], queries[:3], portable=portable)
    index.add(keys[count:])
    before = np.random.default_rng(seed).integers(0, count + more + 1, size=6)
    scores, positions = index.search(queries, k, before, share=1.0)
    assert scores.shape == positions.shape == (6, k)
    assert scores.dtype == np.float32 and positions.dtype == np.int64
    for query, seen, row_scores, row in zip(queries, before, scores, positions, strict=True):
        answers = min(k, seen)
        exact = keys[:seen].astype(float) @ query.astype(float)
        assert (row[:answers] >= 0).all() and (row[:answers] < seen).all()
        assert len(set(row[:answers].tolist())) == answers
        np.testing.assert_allclose(row_scores[:answers], exact[row[:answers]], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(row_scores[:answers], -np.sort(-exact)[:answers], rtol=1e-4, atol=1e-3)
        assert (row[answers:] == -1).all() and np.isneginf(row_scores[answers:]).all()


@pytest.mark.parametrize("portable", PORTABLE)
def test_by_codes_too_a_query_sees_no_later_key(portable: bool) -> None:
    keys, queries = head(3_000, 520)
    index = KeyIndex.build(keys, queries[:500], portable=portable)
    k, share, asked = 20, 0.1, queries[500:]
    before = np.linspace(1_200, 1_500, len(asked)).astype(int)
    assert (index.search(asked, k, share=share)[1] >= before[:, None]).any(axis=1).all()
    assert index.depth(k, 1_500, share) == 150
    _, positions = index.search(asked, k, before, share=share)
    assert (positions >= 0).all() and (positions < before[:, None]).all()
    rows = zip(asked, before, positions, strict=True)
    assert np.mean([np.isin(best(keys[:seen], query, k), row).mean() for query, seen, row in rows]) >= 0.95


@pytest.mark.parametrize("portable", PORTABLE)
def test_codes_learned_from_queries_find_nearly_all_and_more_than_those_of_the_keys_alone(
    portable: bool,
) -> None:
    keys, queries = head(4_000, 1_040)
    learned = KeyIndex.build(keys, queries[:1_000], portable=portable)
    plain = KeyIndex.build(keys, portable=portable)
    assert (learned.method, plain.method) == ("sphering", "id")
    assert learned.code_bytes == plain.code_bytes == WIDTH // 4
    found, control = (recall(one, keys, queries[1_000:], 20) for one in (learned, plain))
    assert found >= 0.95
    assert 1 - found < (1 - control) / 2


def test_a_wider_share_and_longer_codes_find_more() -> None:
    keys, queries = head(2_000, 540)
    index = KeyIndex.build(keys, queries[:500], WIDTH // 2)
    shares = [recall(index, keys, queries[500:], 20, share=share) for share in (0.01, 0.02, 0.05, 1.0)]
    assert shares == sorted(shares) and shares[0] < 0.95 and shares[-1] == 1.0
    whole = KeyIndex.build(keys, queries[:500])
    assert (whole.dims, index.dims, index.code_bytes) == (WIDTH, WIDTH // 2, WIDTH // 8)
    assert recall(whole, keys, queries[500:], 20, share=0.02) > shares[1]


@pytest.mark.parametrize("portable", PORTABLE)
def test_the_keys_that_a_search_scores_in_full_are_as_many_as_it_says(portable: bool) -> None:
    keys, queries = head(1_000, 100)
    index = KeyIndex.build(keys, queries, portable=portable)
    assert [index.depth(10), index.depth(10, 400), index.depth(10, share=0.5)] == [30, 14, 500]
    assert [index.depth(50), index.depth(50, 20), index.depth(5, 0)] == [54, 20, 0]
    # Those that are scored in full are the answers of a search for so many.
    _, few = index.search(queries[:5], 10)
    _, all_scored = index.search(queries[:5], index.depth(10) - FIRST, share=0.001)
    assert (few == all_scored[:, :10]).all()


def test_added_keys_are_found_wherever_their_mean_has_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = head(3_000, 540, turn=2.0)
    found = []
    for run in (RUN, 1 << 20):
        monkeypatch.setattr("leanseek.attention.key_index.RUN", run)
        index = KeyIndex.build(keys[:1_000], queries[:500])
        index.add(keys[1_000:])
        found.append(recall(index, keys, queries[500:], 15))
    assert found[0] >= 0.9
    assert found[0] > found[1] + 0.1


@pytest.mark.parametrize("portable", PORTABLE)
def test_a_first_key_far_from_all_others_is_found(portable: bool) -> None:
    """Its code would be that of an ordinary key."""
    keys, queries = head(2_000, 540)
    keys[0] = 5 * queries.mean(axis=0)
    index = KeyIndex.build(keys, queries[:500], portable=portable)
    asked = [query for query in queries[500:] if 0 in best(keys, query, 5)]
    assert len(asked) > 20
    _, positions = index.search(np.array(asked), 5)
    assert (positions == 0).any(axis=1).all()


@pytest.mark.parametrize("portable", PORTABLE)
def test_keys_added_one_by_one_are_those_added_at_once(portable: bool) -> None:
    keys, queries = head(RUN + 340, 60)
    one, other = (KeyIndex.build(keys[:300], queries, portable=portable) for _ in range(2))
    for key in keys[300:]:
        one.add(key[None])
        if len(one._keys) % 7 == 0:
            one.search(queries[:1], 3)
    other.add(keys[300:])
    other.add(keys[:0])
    assert one.size == other.size == len(keys)
    for found, expected in zip(one.search(queries, 20), other.search(queries, 20), strict=True):
        assert np.array_equal(found, expected)


def test_an_index_keeps_its_own_keys() -> None:
    keys, queries = head(500, 50)
    index = KeyIndex.build(keys, queries)
    before = index.search(queries, 5)[0]
    keys[:] = 0
    index._engine = None
    assert (index.search(queries, 5)[0] == before).all()


def test_equal_keys_come_in_their_order() -> None:
    keys = np.tile(head(40, 0)[0], (3, 1))
    _, queries = head(0, 4)
    for built in (keys, np.ones_like(keys), keys[:1]):
        _, positions = KeyIndex.build(built, queries).search(queries, 6, share=1.0)
        for query, row in zip(queries, positions, strict=True):
            expected = best(built, query, 6)
            assert (row[: len(expected)] == expected).all()


def test_the_same_input_gives_the_same_index() -> None:
    keys, queries = head(800, 100)
    one, other = (KeyIndex.build(keys, queries).search(queries, 20) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_codes_are_those_that_lists_are_built_with() -> None:
    reduced = np.random.default_rng(0).standard_normal((320, 16)).astype(np.float32)
    lists = build_lists(reduced, np.eye(16, dtype=np.float32), 1, 2, 0)
    codes = encode(reduced - lists.centroids[0], lists.codebooks).reshape(-1, 32, 4).transpose(0, 2, 1)
    assert (codes == lists.codes).all()


KEYS, QUERIES = head(64, 8)
NAN = np.where(np.arange(WIDTH) == 3, np.nan, KEYS).astype(np.float32)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda _: KeyIndex.build(KEYS[0]), UsageError, r"keys have shape \(32,\); an index takes \(n, D\)"),
        (lambda _: KeyIndex.build(KEYS[:, :0]), UsageError, r"keys have shape \(64, 0\)"),
        (lambda _: KeyIndex.build(KEYS[:0]), InputError, "no keys to learn codes from; give"),
        (lambda _: KeyIndex.build(NAN), InputError, "keys hold NaN or infinite values"),
        (lambda _: KeyIndex.build(KEYS, NAN), InputError, "queries hold NaN"),
        (lambda _: KeyIndex.build(KEYS, QUERIES[:, :5]), UsageError, "5 dimensions and keys 32"),
        (lambda _: KeyIndex.build(KEYS, QUERIES * 0), InputError, "zero vector"),
        (lambda _: KeyIndex.build(KEYS, QUERIES, 0), UsageError, "dims is 0; codes have from 1 to 32"),
        (lambda _: KeyIndex.build(KEYS, QUERIES, 33), UsageError, "dims is 33"),
        (lambda one: one.add(KEYS[:, :5]), UsageError, r"takes \(c, 32\)"),
        (lambda one: one.add(NAN), InputError, "NaN"),
        (lambda one: one.search(QUERIES[:, :5], 3), UsageError, r"takes \(m, 32\)"),
        (lambda one: one.search(QUERIES[0], 3), UsageError, r"shape \(32,\)"),
        (lambda one: one.search(NAN[:8], 3), InputError, "queries hold NaN"),
        (lambda one: one.search(QUERIES, 0), UsageError, "k is 0; it must be at least 1"),
        (lambda one: one.search(QUERIES, 3, share=0.0), UsageError, "share is 0.0; it must lie above 0"),
        (lambda one: one.search(QUERIES, 3, share=float("nan")), UsageError, "share is nan"),
        (lambda one: one.search(QUERIES, 3, 65), UsageError, "of this index a query sees 0 to 64 keys"),
        (lambda one: one.search(QUERIES, 3, np.arange(8) - 1), UsageError, "before goes from -1 to 6"),
        (
            lambda one: one.search(QUERIES, 3, np.arange(7)),
            UsageError,
            r"shape \(7,\); give one whole number",
        ),
        (lambda one: one.search(QUERIES, 3, 0.5), UsageError, "before is float64"),
    ],
)
def test_refusals_say_what_was_given_and_what_is_taken(call: Any, error: type[Exception], words: str) -> None:
    index = KeyIndex.build(KEYS, QUERIES)
    with pytest.raises(error, match=words):
        call(index)
    assert index.size == 64


def test_no_queries_and_no_keys_to_see_are_empty_answers() -> None:
    index = KeyIndex.build(KEYS, QUERIES)
    scores, positions = index.search(QUERIES[:0], 3)
    assert scores.shape == positions.shape == (0, 3)
    assert (index.search(QUERIES, 3, 0)[1] == -1).all()
