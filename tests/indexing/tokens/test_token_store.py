"""Stored token vectors: what they stand for, how they follow the index, and what becomes of damage."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rerank.late_interaction_support import unit
from support import WORDS, make_documents

from leanseek import Document, Index, Searcher
from leanseek.encode import TruncationReport
from leanseek.encode.token_model import TokenVectors
from leanseek.errors import IndexLockedError, IndexNotFoundError, InputError, StorageError, UsageError
from leanseek.indexing.arrays import ArrayAppender
from leanseek.indexing.catalog import TOKENS
from leanseek.indexing.folder import remove_files, writer_lock
from leanseek.indexing.info import describe_index
from leanseek.indexing.tokens import block_upkeep, token_writer
from leanseek.indexing.tokens.block import code_width, decode, encode
from leanseek.indexing.tokens.matrices import rotation
from leanseek.indexing.tokens.store import TokenStore
from leanseek.indexing.tokens.token_writer import forget_tokens, store_tokens
from leanseek.indexing.verification import verify
from leanseek.rerank.lateinteraction import LateInteractionReranker, Mix
from leanseek.rerank.lateinteraction.stored_tokens import StoredTokens, TokenStoreWarning, with_stored
from leanseek.types import Hit, content

D, D_TEXT = 24, 10
QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "matrix"]


class Hashed:
    """Tokens are words hashed to directions, turned a little by the word before; it counts what it reads."""

    name = "hashed"
    whole = True
    passage_tokens = 6
    budget = 40

    def __init__(self, dimensions: int = D, whole: bool = True, breaks_at: int = 1 << 30) -> None:
        self.fingerprint = hashlib.sha256(f"{dimensions}{whole}".encode()).hexdigest()
        self.whole = whole
        self.read = 0
        self._dimensions = dimensions
        self._breaks_at = breaks_at

    def lengths(self, passages: Sequence[str]) -> np.ndarray:
        return np.array([len(text.split()) for text in passages], dtype=np.int32)

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        return TruncationReport.of([len(text.split()) for text in texts], None)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        tokens = [self._tokens(text) for text in texts]
        means = [one.mean(axis=0)[:D_TEXT] if len(one) else np.ones(D_TEXT) for one in tokens]
        return TokenVectors(tokens, unit(np.stack(means)).astype(np.float32) if self.whole else None)

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        self.read += len(texts)
        if self.read > self._breaks_at:
            raise KeyboardInterrupt
        return self.queries([" ".join(text.split()[: self.passage_tokens]) for text in texts])

    def _tokens(self, text: str) -> np.ndarray:
        words = text.split()
        found = [
            self._direction(word) + 0.3 * self._direction(before)
            for word, before in zip(words, ["", *words], strict=False)
        ]
        return unit(np.array(found).reshape(-1, self._dimensions)).astype(np.float32)

    def _direction(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
        return np.random.default_rng(seed).standard_normal(self._dimensions)


def make_index(folder: Path, documents: Sequence[Document]) -> Index:
    index = Index.create(folder, encoder=None)
    index.add(documents)
    return index


def hits_of(documents: Sequence[Document]) -> list[Hit]:
    return [Hit(i, one.id, 1 / i, one.title, one.text, {}) for i, one in enumerate(documents, 1)]


def different(documents: Sequence[Document]) -> int:
    return len({content(one.title, one.text) for one in documents})


def opened(index: Path) -> TokenStore:
    store = TokenStore.open(index)
    assert store is not None
    return store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Document]]:
    """An index with everything stored in 8 bits; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("kept") / "index"
    documents = [*make_documents(120, 4), Document("blank", ""), Document("long", " ".join(WORDS))]
    make_index(folder, documents)
    store_tokens(folder, Hashed(), bits=8)
    return folder, documents


def copied(kept: tuple[Path, list[Document]], to: Path) -> Path:
    return Path(shutil.copytree(kept[0], to / "copy"))


vectors = st.tuples(st.integers(0, 9), st.integers(1, 13)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-4, 4, width=32))
)


@settings(max_examples=80, deadline=None)
@given(vectors, st.sampled_from([4, 8]))
def test_codes_decode_within_half_a_step(given_: np.ndarray, bits: int) -> None:
    codes = encode(given_, bits)
    found = decode(codes, given_.shape[1], bits)
    assert (
        codes.codes.shape == (len(given_), code_width(given_.shape[1], bits)) and found.shape == given_.shape
    )
    if len(given_):
        least, most = given_.min(axis=1), given_.max(axis=1)
        half = (most - least) / (2**bits - 1) / 2
        rounding = 2.0**-11 * (np.abs(least) + most - least) + 2.0**-15
        assert (np.abs(found - given_).max(axis=1) <= half + rounding).all()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("bits", "bound"), [(8, 0.01), (4, 0.12)])
def test_stored_scores_are_those_on_the_fly_but_for_the_bits(
    tmp_path: Path, bits: int, bound: float, whole: bool
) -> None:
    documents = make_documents(60, 1)
    make_index(tmp_path / "index", documents)
    report = store_tokens(tmp_path / "index", Hashed(whole=whole), bits=bits)
    assert (report.passages, report.added, report.dropped) == (different(documents), different(documents), 0)
    assert report.tokens == sum(
        min(6, len(text.split())) for text in {content(one.title, one.text) for one in documents}
    )
    silent = Hashed(whole=whole, breaks_at=0)
    stored = LateInteractionReranker(with_stored(silent, tmp_path / "index"), mix=Mix())
    fresh = LateInteractionReranker(Hashed(whole=whole), mix=Mix())
    hits = [hits_of(documents)] * len(QUERIES)
    for found, wanted in zip(stored.measure(QUERIES, hits), fresh.measure(QUERIES, hits), strict=True):
        assert found.maxsim == pytest.approx(wanted.maxsim, abs=bound)
        assert np.abs(found.maxsim - wanted.maxsim).max() > 0
        if whole:
            assert found.cosine == pytest.approx(wanted.cosine, abs=0.01)
        else:
            assert found.cosine is None
    # What was cut is told as when the passages are read.
    assert stored.notes == fresh.notes and "longer than the model's 6 tokens" in stored.notes[0]
    assert stored.name == fresh.name and stored.fingerprint != fresh.fingerprint


def test_what_is_not_stored_is_read_as_it_comes(kept: tuple[Path, list[Document]]) -> None:
    folder, documents = kept
    strangers = make_documents(30, 9, prefix="s")
    model = Hashed()
    reranker = LateInteractionReranker(with_stored(model, folder), mix=Mix())
    fresh = LateInteractionReranker(Hashed(), mix=Mix())
    known = {content(one.title, one.text) for one in documents}
    unknown = [one for one in strangers if content(one.title, one.text) not in known]
    assert unknown
    [found] = reranker.measure(QUERIES[:1], [hits_of([*documents, *strangers])])
    [wanted] = fresh.measure(QUERIES[:1], [hits_of([*documents, *strangers])])
    assert model.read == different(unknown)
    assert found.maxsim == pytest.approx(wanted.maxsim, abs=0.01)
    assert [hit.id for hit in reranker.rerank(QUERIES[0], hits_of(unknown))] == [
        hit.id for hit in fresh.rerank(QUERIES[0], hits_of(unknown))
    ]


def test_all_dimensions_but_turned_give_the_same_scores_and_fewer_nearly(tmp_path: Path) -> None:
    documents = make_documents(200, 2)
    make_index(tmp_path / "index", documents)
    fresh = LateInteractionReranker(Hashed(), mix=Mix())
    hits = [hits_of(documents)] * len(QUERIES)
    wanted = fresh.measure(QUERIES, hits)
    errors = []
    for dims in (23, 12, 4):
        report = store_tokens(tmp_path / "index", Hashed(), dims=dims, bits=8)
        assert (report.dims, report.dimensions, report.added) == (dims, D, different(documents))
        stored = LateInteractionReranker(with_stored(Hashed(breaks_at=0), tmp_path / "index"), mix=Mix())
        found = stored.measure(QUERIES, hits)
        errors.append(
            np.mean([np.square(a.maxsim - b.maxsim).mean() for a, b in zip(found, wanted, strict=True)])
        )
        # A passage read as it comes goes through the same reduction.
        store = opened(tmp_path / "index")
        bare = LateInteractionReranker(
            StoredTokens(Hashed(), TokenStore(store.folder, store.form, [])), mix=Mix()
        )
        for one, other in zip(bare.measure(QUERIES, hits), found, strict=True):
            assert one.maxsim == pytest.approx(other.maxsim, abs=0.02)
    assert errors[0] < 1e-3 and errors[0] < errors[1] < errors[2]


class Skewed(Hashed):
    """Of its vectors the first elements are by far the largest, as those of a reduced vector are."""

    def _direction(self, word: str) -> np.ndarray:
        return super()._direction(word) * 0.7 ** np.arange(D)


def test_the_elements_of_a_reduced_vector_are_of_one_size(tmp_path: Path) -> None:
    documents = make_documents(200, 2)
    make_index(tmp_path / "index", documents)
    store_tokens(tmp_path / "index", Skewed(), dims=16, bits=8)
    stored = with_stored(Skewed(breaks_at=0), tmp_path / "index")
    tokens = np.concatenate(stored.passages([content(one.title, one.text) for one in documents]).tokens)
    spread = tokens.std(axis=0)
    assert spread.max() < 15 * spread.min()
    turn = rotation(16)
    assert turn @ turn.T == pytest.approx(np.eye(16), abs=1e-6) and (turn == rotation(16)).all()


def test_the_store_follows_the_index(tmp_path: Path) -> None:
    first, second = make_documents(80, 1), make_documents(50, 2, prefix="e")
    index = make_index(tmp_path / "index", first)
    store_tokens(index.path, Hashed())
    index.add(second)
    known = {content(one.title, one.text) for one in first}
    new = [one for one in second if content(one.title, one.text) not in known]
    tokens = describe_index(index.path).tokens
    assert tokens is not None and tokens.passages == different(first) and tokens.lacking == len(new)
    model = Hashed()
    report = store_tokens(index.path, model)
    assert model.read == report.added == different(new) and report.dropped == 0
    index.delete([one.id for one in first[:40]])
    index.compact()
    left = [*first[40:], *second]
    assert verify(index.path).sound and verify(index.path).strangers == ()
    silent = LateInteractionReranker(with_stored(Hashed(breaks_at=0), index.path), mix=Mix())
    silent.rerank(QUERIES[0], hits_of(left))
    before = opened(index.path).passages
    report = store_tokens(index.path, Hashed(breaks_at=0))
    assert (report.added, report.passages) == (0, different(left))
    assert report.dropped == before - different(left) > 0
    silent = LateInteractionReranker(with_stored(Hashed(breaks_at=0), index.path), mix=Mix())
    silent.rerank(QUERIES[0], hits_of(left))
    with pytest.raises(KeyboardInterrupt):
        silent.rerank(QUERIES[0], hits_of(first[:40]))
    tokens = describe_index(index.path).tokens
    assert tokens is not None and tokens.lacking == 0 and tokens.bytes == report.bytes


def test_an_interruption_costs_a_block_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_writer, "AT_ONCE", 16)
    monkeypatch.setattr(token_writer, "_SMALL_BLOCKS", 3)
    monkeypatch.setattr(block_upkeep, "FULL", 48)
    documents = make_documents(150, 3)
    total = different(documents)
    index = make_index(tmp_path / "index", documents)
    with pytest.raises(KeyboardInterrupt):
        store_tokens(index.path, Hashed(breaks_at=100))
    partly = opened(index.path).passages
    assert 100 - 16 <= partly <= 100
    # What is stored by then serves already.
    model = Hashed()
    LateInteractionReranker(with_stored(model, index.path)).rerank(QUERIES[0], hits_of(documents))
    assert model.read == total - partly
    model = Hashed()
    report = store_tokens(index.path, model)
    assert model.read == report.added == total - partly and report.passages == total
    store = opened(index.path)
    assert sum(block.size for block in store.blocks) == total and len(store.blocks) <= -(-total // 48) + 1
    assert all((block.keys[1:] > block.keys[:-1]).all() for block in store.blocks)
    assert verify(index.path).sound and verify(index.path).strangers == ()


def test_a_merge_that_was_broken_off_leaves_nothing_twice(
    kept: tuple[Path, list[Document]], tmp_path: Path
) -> None:
    folder = copied(kept, tmp_path)
    shutil.copytree(folder / TOKENS / "000001", folder / TOKENS / "000002")
    (folder / TOKENS / ".000003").mkdir()
    assert opened(folder).passages == 2 * different(kept[1])
    report = store_tokens(folder, Hashed(breaks_at=0))
    assert (report.added, report.passages) == (0, different(kept[1]))
    assert verify(folder).strangers == ()


def test_what_is_not_said_stays_as_it_was_stored(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", make_documents(40, 1))
    assert store_tokens(index.path, Hashed()).bits == 4
    report = store_tokens(index.path, Hashed(), bits=8, dims=8)
    assert (report.bits, report.dims, report.added) == (8, 8, report.passages)
    report = store_tokens(index.path, Hashed(breaks_at=0))
    assert (report.bits, report.dims, report.added) == (8, 8, 0)
    report = store_tokens(index.path, Hashed(), dims=D)
    assert (report.bits, report.dims, report.added) == (8, D, report.passages)
    other = store_tokens(index.path, Hashed(dimensions=30, whole=False))
    assert (other.bits, other.dims, other.dropped) == (4, 30, 0) and other.passages == report.passages
    assert forget_tokens(index.path) and not forget_tokens(index.path)
    assert TokenStore.open(index.path) is None and not (index.path / TOKENS).exists()
    assert describe_index(index.path).tokens is None


def test_the_same_index_gives_the_same_bytes(tmp_path: Path) -> None:
    documents = make_documents(60, 5)
    for name, order in (("one", 1), ("two", -1)):
        index = Index.create(tmp_path / name, encoder=None)
        for part in (documents[:20], documents[20:])[::order]:
            index.add(part)
        index.compact()
        store_tokens(index.path, Hashed(), dims=10)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one" / TOKENS).rglob("*.*"))
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_vectors_of_another_model_stand_aside(kept: tuple[Path, list[Document]]) -> None:
    other = Hashed(dimensions=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_stored(other, kept[0]) is other
        assert with_stored(other, kept[0] / "absent") is other
        assert isinstance(with_stored(Hashed(), kept[0]), StoredTokens)


@pytest.mark.parametrize("file", ["tokens.json", "000001/block.json", "000001/codes.npy", "000001/keys.npy"])
def test_damage_is_told_stands_aside_and_is_mended(
    kept: tuple[Path, list[Document]], tmp_path: Path, file: str
) -> None:
    folder = copied(kept, tmp_path)
    path = folder / TOKENS / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    model = Hashed()
    with pytest.warns(TokenStoreWarning, match=r"cannot be used: .*leanseek tokens") as told:
        found = with_stored(model, folder)
    assert found is model and len(told) == 1
    described = describe_index(folder)
    assert described.tokens is None and described.tokens_unusable is not None
    LateInteractionReranker(found).rerank(QUERIES[0], hits_of(kept[1]))
    assert model.read == different(kept[1])
    report = verify(folder)
    assert len(report.problems) == 1 and report.problems[0].startswith(f"{TOKENS}/{file}")
    store_tokens(folder, Hashed(), bits=8)
    assert verify(folder).sound and verify(folder).strangers == ()
    assert opened(folder).passages == different(kept[1])


def test_a_flipped_bit_is_found_and_mended(kept: tuple[Path, list[Document]], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    path = folder / TOKENS / "000001" / "codes.npy"
    flipped = bytearray(path.read_bytes())
    flipped[-7] ^= 1
    path.write_bytes(flipped)
    assert f"{TOKENS}/000001/codes.npy differs from its checksum" in verify(folder).problems[0]
    report = store_tokens(folder, Hashed())
    assert report.added == report.passages == different(kept[1]) and verify(folder).sound


def test_an_index_without_passages(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    with pytest.raises(InputError, match="no vectors to learn a reduction from"):
        store_tokens(index.path, Hashed(), dims=4)
    report = store_tokens(index.path, Hashed())
    assert (report.passages, report.tokens, report.bytes_per_passage) == (0, 0, 0)
    index.add([Document("a", ""), Document("b", "")])
    report = store_tokens(index.path, Hashed())
    assert (report.passages, report.tokens) == (1, 0)
    [found] = LateInteractionReranker(with_stored(Hashed(breaks_at=0), index.path), mix=Mix()).measure(
        ["wing"], [hits_of([Document("a", "")])]
    )
    assert list(found.maxsim) == [-1]
    remove_files(index.path)
    assert sorted(path.name for path in index.path.iterdir()) == ["LOCK"]


def test_bad_wishes_are_refused_before_anything_is_removed(
    kept: tuple[Path, list[Document]], tmp_path: Path
) -> None:
    folder = copied(kept, tmp_path)
    for wish, told in (
        ({"dims": D + 1}, "from 1 to 24"),
        ({"dims": 0}, "from 1 to"),
        ({"bits": 3}, "4 or 8"),
    ):
        with pytest.raises(UsageError, match=told):
            store_tokens(folder, Hashed(), **wish)  # type: ignore[arg-type]
    assert opened(folder).passages == different(kept[1])
    with pytest.raises(IndexNotFoundError):
        store_tokens(tmp_path / "absent", Hashed())
    assert not (tmp_path / "absent").exists()


def test_searching_goes_on_over_what_was_open(kept: tuple[Path, list[Document]], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    reranker = LateInteractionReranker(with_stored(Hashed(breaks_at=0), folder), mix=Mix())
    before = reranker.rerank(QUERIES[0], hits_of(kept[1]))
    store_tokens(folder, Hashed(), bits=4)
    assert reranker.rerank(QUERIES[0], hits_of(kept[1])) == before
    with Searcher.open(folder, reranker=reranker) as searcher:
        assert searcher.search(QUERIES[0], 3)


def test_the_parts_of_long_documents_are_stored_as_they_are_found(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None, chunk_words=5, chunk_overlap=1)
    index.add(Document(f"d{n}", " ".join(WORDS[n : n + 19]) + ".", "Wing" * (n % 2)) for n in range(8))
    report = store_tokens(index.path, Hashed())
    assert report.passages > 20
    reranker = LateInteractionReranker(with_stored(Hashed(breaks_at=0), index.path))
    with Searcher.open(index.path, reranker=reranker) as searcher:
        found = searcher.search("wing shock wave trial", 8)
    assert len(found) > 4 and all(hit.history for hit in found)


def test_nothing_is_stored_while_another_writes(kept: tuple[Path, list[Document]], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    with writer_lock(folder):
        with pytest.raises(IndexLockedError):
            store_tokens(folder, Hashed(), bits=4)
        with pytest.raises(IndexLockedError):
            forget_tokens(folder)
        assert isinstance(with_stored(Hashed(), folder), StoredTokens)
    assert opened(folder).settings.bits == 8


def test_a_full_disk_leaves_what_was_there(
    kept: tuple[Path, list[Document]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(kept, tmp_path)
    Index.open(folder).add([Document("new", "orbit wing")])

    def refuse(self: ArrayAppender, values: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ArrayAppender, "append", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        store_tokens(folder, Hashed())
    assert opened(folder).passages == different(kept[1])
    assert verify(folder).sound and verify(folder).strangers == ()
    monkeypatch.undo()
    assert store_tokens(folder, Hashed()).added == 1


def test_what_removing_left_is_no_store_and_goes(kept: tuple[Path, list[Document]], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    (folder / TOKENS / "000001" / "block.json").unlink()
    assert opened(folder).passages == 0
    (folder / TOKENS / "tokens.json").unlink()
    (folder / f".{TOKENS}").mkdir()
    assert TokenStore.open(folder) is None and not forget_tokens(folder)
    assert sorted(path.name for path in folder.iterdir() if TOKENS in path.name) == []
