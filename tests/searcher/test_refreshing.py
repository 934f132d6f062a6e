"""A searcher shared by threads while the index changes under it."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import HashEncoder, make_documents

from leanseek import Document, Encoder, Index, Searcher
from leanseek.errors import UsageError
from leanseek.indexing.creation import make_plan
from leanseek.indexing.settings import EncoderSettings
from leanseek.searcher import request as serving

SIZE = 12


class SmallEncoder(HashEncoder):
    """Another encoder: vectors of one kind cannot be compared with the other's, not even by accident."""

    name = "test-small-encoder"
    fingerprint = hashlib.sha256(b"test-small-encoder").hexdigest()
    dimensions = 8
    max_tokens = 5


ENCODERS: dict[str, type[HashEncoder]] = {kind.fingerprint: kind for kind in (HashEncoder, SmallEncoder)}


class Loader:
    """Stands in for loading a recorded encoder, and counts."""

    def __init__(self) -> None:
        self.loaded = 0

    def __call__(self, recorded: EncoderSettings, device: str | None, for_queries: bool) -> Encoder:
        self.loaded += 1
        threading.Event().wait(0.05)  # long enough for every other thread to arrive
        return ENCODERS[recorded.fingerprint]()


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    loader = Loader()
    monkeypatch.setattr(serving, "recorded_encoder", loader)
    return loader


def version(number: int) -> list[Document]:
    return [Document(f"d{n}", f"statin wing {n}", metadata={"version": number}) for n in range(SIZE)]


def test_searches_see_one_generation_whole_while_others_are_committed(tmp_path: Path, loader: Loader) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(version(0), cache=False)
    searcher = Searcher.open(tmp_path / "index")
    done = threading.Event()

    def search() -> list[int]:
        seen: list[int] = []
        while not done.is_set():
            hits = searcher.search("statin wing", 2 * SIZE, filter="version >= 0")
            assert len(hits) == SIZE
            versions = {hit.metadata["version"] for hit in hits}
            assert len(versions) == 1
            seen += [int(str(number)) for number in versions]
        return seen

    # Each rebuild changes the vectors' length, or takes the dense side away.
    kinds: list[Encoder | None] = [SmallEncoder(), None, HashEncoder(), SmallEncoder(), None]
    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(search) for _ in range(4)]
        try:
            for number, encoder in enumerate(kinds, 1):
                index.rebuild(version(number), plan=make_plan(encoder=encoder), cache=False)
                assert searcher.refresh()
                assert not searcher.refresh()
                assert searcher.generation == index.generation
                assert searcher.mode == ("sparse" if encoder is None else "hybrid")
        finally:
            done.set()
        for thread in threads:
            seen = thread.result()
            assert seen == sorted(seen) and set(seen) <= set(range(len(kinds) + 1))
    assert {hit.metadata["version"] for hit in searcher.search("statin")} == {len(kinds)}


def test_of_refreshes_at_the_same_time_one_moves_on(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add(version(0))
    searcher = Searcher.open(tmp_path / "index")
    index.add([Document("new", "wing")])
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: searcher.refresh(), range(8))) == [False] * 7 + [True]


def test_a_refresh_that_fails_leaves_the_older_generation(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(version(0), cache=False)
    searcher = Searcher.open(tmp_path / "index", encoder=HashEncoder(), mode="hybrid")
    before = searcher.search("statin wing")
    index.rebuild(version(1), plan=make_plan(encoder=None))
    with pytest.raises(UsageError, match="without a dense side"):
        searcher.refresh()
    assert searcher.search("statin wing") == before and searcher.mode == "hybrid"


def test_the_encoder_is_loaded_once_and_stays_over_a_refresh(tmp_path: Path, loader: Loader) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(version(0), cache=False)
    searcher = Searcher.open(tmp_path / "index")
    long = " ".join(f"statin{number}" for number in range(HashEncoder.max_tokens + 3))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: searcher.search(long), range(64)))
    assert loader.loaded == 1
    assert all(answer == answers[0] for answer in answers)
    report = searcher.truncation
    assert (report.documents, report.truncated, report.tokens_lost) == (64, 64, 64 * 3)
    index.add([Document("new", "wing")], cache=False)
    assert searcher.refresh()
    searcher.search(long)
    assert (loader.loaded, searcher.truncation.documents) == (1, 65)


def test_after_close_every_question_is_refused(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(20), cache=False)
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        assert searcher.search("statin")
    for ask in (
        lambda: searcher.search("statin"),
        lambda: searcher.rank_batch(["statin"], candidates=[["d1"]]),
        lambda: searcher.context("statin"),
        lambda: searcher.missing(["d1"]),
        lambda: searcher.refresh(),
        lambda: searcher.fields,
    ):
        with pytest.raises(UsageError, match=r"closed; open another with Searcher\.open"):
            ask()
    searcher.close()


def test_a_close_during_a_search_is_told(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(20), cache=False)
    searcher = Searcher.open(tmp_path / "index", encoder=HashEncoder())

    class Closing(HashEncoder):
        def encode_queries(self, texts):  # type: ignore[no-untyped-def]
            searcher.close()
            return super().encode_queries(texts)

    searcher = Searcher.open(tmp_path / "index", encoder=Closing())
    with pytest.raises(UsageError, match="closed while it was being searched"):
        searcher.search("statin")
