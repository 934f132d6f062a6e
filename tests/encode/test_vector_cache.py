"""The vector cache, and encoding a corpus through it."""

from __future__ import annotations

import hashlib
import multiprocessing
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from leanseek.encode import Encoded, TruncationReport, VectorCache, encode_corpus
from leanseek.encode.cache import CacheWarning

D = 8


def vector_of(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")
    vector = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    return vector / np.linalg.norm(vector)


class CountingEncoder:
    """Vectors from hashes; counts what it is asked for and stops after `limit` texts."""

    name = "counting"
    fingerprint = "f" * 64
    dimensions = D
    max_tokens = 3

    def __init__(self, limit: int | None = None) -> None:
        self.asked: list[str] = []
        self._limit = limit

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        if self._limit is not None and len(self.asked) + len(texts) > self._limit:
            raise KeyboardInterrupt
        self.asked.extend(texts)
        vectors = np.stack([vector_of(text) for text in texts]) if texts else np.zeros((0, D), np.float32)
        return Encoded(vectors, np.array([len(text.split()) for text in texts], dtype=np.int32))

    encode_queries = encode_documents


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache("f" * 64, tmp_path)


def test_what_was_put_is_found_and_roles_are_kept_apart(cache: VectorCache) -> None:
    texts = ["a", "b", "", "nul\0", "\ud800", "日本"]
    cache.put("document", texts, CountingEncoder().encode_documents(texts))
    for text, found in zip(texts, cache.get("document", texts), strict=True):
        assert found is not None
        np.testing.assert_array_equal(found.vector, vector_of(text))
        assert found.tokens == len(text.split())
    assert cache.get("query", texts) == [None] * len(texts)
    assert cache.get("document", ["a", "other"])[1] is None


def test_it_outlives_the_process_and_is_per_encoder(tmp_path: Path) -> None:
    encoded = CountingEncoder().encode_documents(["a"])
    with VectorCache("f" * 64, tmp_path) as cache:
        cache.put("document", ["a"], encoded)
    assert VectorCache("f" * 64, tmp_path).get("document", ["a"])[0] is not None
    assert VectorCache("e" * 64, tmp_path).get("document", ["a"]) == [None]


def test_more_texts_than_one_statement_takes(cache: VectorCache) -> None:
    texts = [f"text {i}" for i in range(1701)]
    cache.put("document", texts, CountingEncoder().encode_documents(texts))
    found = cache.get("document", texts)
    assert all(
        f is not None and np.array_equal(f.vector, vector_of(t)) for f, t in zip(found, texts, strict=True)
    )


def test_a_corpus_is_encoded_in_order_and_duplicates_once(cache: VectorCache) -> None:
    texts = ["one", "two words", "one", "four words are here", "one"]
    encoder = CountingEncoder()
    vectors, report = encode_corpus(encoder, texts, cache)
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))
    assert vectors.dtype == np.float32
    assert encoder.asked == ["one", "two words", "four words are here"]
    assert report == TruncationReport(documents=5, tokens=9, truncated=1, tokens_lost=1, max_tokens=3)
    again, same = encode_corpus(CountingEncoder(limit=0), texts, cache)
    np.testing.assert_array_equal(again, vectors)
    assert same == report


def test_an_empty_corpus_gives_no_rows(cache: VectorCache) -> None:
    for used in (cache, None):
        vectors, report = encode_corpus(CountingEncoder(), [], used)
        assert vectors.shape == (0, D) and report.documents == 0


def test_without_a_cache_the_result_is_the_same(cache: VectorCache) -> None:
    texts = [f"text {i % 300}" for i in range(900)]
    np.testing.assert_array_equal(
        encode_corpus(CountingEncoder(), texts, None)[0], encode_corpus(CountingEncoder(), texts, cache)[0]
    )


def test_an_interrupted_run_goes_on_where_it_stopped(cache: VectorCache) -> None:
    texts = [f"text {i}" for i in range(2000)]
    first = CountingEncoder(limit=1000)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(first, texts, cache)
    assert 500 <= len(first.asked) <= 1000
    second = CountingEncoder()
    vectors, _ = encode_corpus(second, texts, cache)
    assert len(first.asked) + len(second.asked) == 2000
    assert not set(first.asked) & set(second.asked)
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))


def test_progress_counts_up_to_all_texts(cache: VectorCache) -> None:
    texts = [f"text {i % 700}" for i in range(1400)]
    encode_corpus(CountingEncoder(), texts[:100], cache)
    seen: list[int] = []
    encode_corpus(CountingEncoder(), texts, cache, seen.append)
    assert seen[0] == 200 and seen[-1] == 1400
    assert seen == sorted(set(seen)) and len(seen) > 2


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / f"{'f' * 64}.sqlite"
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.warns(CacheWarning, match="damaged"):
        cache = VectorCache("f" * 64, tmp_path)
    cache.put("document", ["a"], CountingEncoder().encode_documents(["a"]))
    assert cache.get("document", ["a"])[0] is not None
    assert path.with_suffix(".damaged").read_bytes().startswith(b"this is not")


def test_a_vector_with_a_flipped_byte_is_computed_again(cache: VectorCache) -> None:
    encode_corpus(CountingEncoder(), ["a", "b"], cache)
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(length(vector))")
    encoder = CountingEncoder()
    vectors, _ = encode_corpus(encoder, ["a", "b"], cache)
    assert encoder.asked == ["a", "b"]
    np.testing.assert_array_equal(vectors, np.stack([vector_of("a"), vector_of("b")]))


def test_damage_met_while_reading_is_a_warning_not_a_failure(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(2000)]
    with VectorCache("f" * 64, tmp_path) as cache:
        encode_corpus(CountingEncoder(), texts, cache)
    content = bytearray(cache.path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    cache.path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        vectors, _ = encode_corpus(CountingEncoder(), texts, VectorCache("f" * 64, tmp_path))
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))


def test_warnings_come_once_from_the_line_that_called_the_cache(tmp_path: Path) -> None:
    path = tmp_path / f"{'f' * 64}.sqlite"
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.warns(CacheWarning) as seen:
        cache = VectorCache("f" * 64, tmp_path)
    assert [str(warning.message) for warning in seen] == [
        f"the vector cache {path} is damaged; it was set aside as {'f' * 64}.damaged, "
        "and vectors are computed again"
    ]
    assert seen[0].filename == __file__

    encoded = CountingEncoder().encode_documents(["a"])
    uses: list[Callable[[VectorCache], object]] = [
        lambda cache: cache.get("document", ["a"]),
        lambda cache: cache.put("document", ["a"], encoded),
    ]
    for use in uses:
        cache = VectorCache("f" * 64, tmp_path)
        with sqlite3.connect(cache.path) as connection:
            connection.execute("DROP TABLE vectors")
        with pytest.warns(CacheWarning, match="cannot be used .*; vectors are computed without it") as seen:
            use(cache)
            use(cache)
        assert [warning.filename for warning in seen] == [__file__]

    (tmp_path / "file").write_text("in the way")
    with pytest.warns(CacheWarning, match="cannot be used") as seen:
        VectorCache("f" * 64, tmp_path / "file")
    assert [warning.filename for warning in seen] == [__file__]


def test_a_cache_that_cannot_be_written_is_a_warning_not_a_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.warns(CacheWarning, match="cannot be used"):
        cache = VectorCache("f" * 64, blocked)
    vectors, _ = encode_corpus(CountingEncoder(), ["a"], cache)
    np.testing.assert_array_equal(vectors[0], vector_of("a"))


def fill(folder: str, worker: int) -> None:
    texts = [f"text {i}" for i in range(worker * 100, worker * 100 + 600)]
    with VectorCache("f" * 64, Path(folder)) as cache:
        encode_corpus(CountingEncoder(), texts, cache)


def test_several_processes_share_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=fill, args=(str(tmp_path), i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    texts = [f"text {i}" for i in range(900)]
    vectors, _ = encode_corpus(CountingEncoder(limit=0), texts, VectorCache("f" * 64, tmp_path))
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))
