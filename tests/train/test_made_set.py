"""An evaluation set made from documents alone: which documents, which queries, and the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import InputError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.indexing.snapshot import Snapshot
from leanseek.numbers import kendall
from leanseek.train import SetRecipe, make_set
from leanseek.train.made_set import Candidate, chosen, drawn_documents, shared, taken_out
from leanseek.train.salience import NEIGHBOURS, document_vectors, salience, topics

DOCUMENTS = 120


@pytest.fixture(scope="module")
def words(collection: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of real documents without vectors."""
    folder = tmp_path_factory.mktemp("words") / "index"
    Index.create(folder, encoder=None).add(
        islice(open_collection(collection("cranfield")).documents(), DOCUMENTS)
    )
    return folder


@pytest.fixture(scope="module")
def made(words: Path) -> Path:
    out = words.parent / "made"
    make_set(words, out, SetRecipe(queries=20))
    return out


def test_the_folder_is_a_collection_of_its_own(made: Path, words: Path) -> None:
    collection = open_collection(made)
    assert collection.splits == ("test",)
    before = {one.id: one for one in Snapshot.open(words).whole(Snapshot.open(words).ids())}
    documents = {one.id: one for one in collection.documents()}
    assert documents.keys() == before.keys()
    queries, qrels = collection.queries("test"), collection.qrels("test")
    assert 0 < len(queries) <= 20
    assert len({one.text.casefold() for one in queries}) == len(queries)
    asked = set()
    for one in queries:
        [(id, grade)] = qrels[one.id].items()
        asked.add(id)
        assert grade == 1
        # It was in the document, and has been taken out.
        told, left = (" ".join(f"{each[id].title} {each[id].text}".split()) for each in (before, documents))
        assert told.count(one.text) > left.count(one.text)
        assert documents[id].title != one.text and not documents[id].text.startswith(one.text)
    for id in before.keys() - asked:
        assert documents[id].title == before[id].title
        assert documents[id].text.split() == before[id].text.split()
    settings = json.loads((made / "made.json").read_text("utf-8"))
    assert settings["recipe"] == {"queries": 20, "generator": "none", "seed": 0}
    assert settings["queries"] == len(queries)
    assert settings["systems"].keys() == {"sparse", "sparse-rm3"}
    assert sorted(path.name for path in made.parent.iterdir()) == ["index", "made"]


def test_it_is_the_same_again(made: Path, words: Path, tmp_path: Path) -> None:
    make_set(words, tmp_path / "again", SetRecipe(queries=20))
    for name in ("queries.jsonl", "corpus.jsonl", "qrels/test.tsv", "made.json"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()


def test_an_index_with_vectors_has_more_systems(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    long = [
        Document(one.id, f"{one.text} {' '.join(reversed(one.text.split()))} " * 6, f"{one.text} {one.id}")
        for one in make_documents(90, 4)
    ]
    index.add(long, cache=False)
    report = make_set(tmp_path / "index", tmp_path / "set", SetRecipe(queries=15), encoder=HashEncoder())
    assert report.systems.keys() == {"sparse", "sparse-rm3", "dense", "dense-prf", "hybrid"}
    assert 0 < report.queries <= 15
    assert report.corpus == 90


def test_nothing_is_half_written(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "set"

    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("leanseek.train.made_set.write_set", broken)
        with pytest.raises(RuntimeError):
            make_set(words, out, SetRecipe(queries=5))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no made set"):
        make_set(words, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_what_no_set_can_be_made_of(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    Index.create(empty, encoder=None)
    with pytest.raises(InputError, match="no documents"):
        make_set(empty, tmp_path / "set")
    short = Index.create(tmp_path / "short", encoder=None)
    short.add([Document("a", "few words"), Document("b", "as few")])
    with pytest.raises(InputError, match="--generator a decoder"):
        make_set(tmp_path / "short", tmp_path / "set")
    with pytest.raises(UsageError, match="make no set"):
        SetRecipe(queries=0)
    assert not (tmp_path / "set").exists()


def test_on_the_command_line(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = CliRunner().invoke(app, ["eval", "make", str(words), "--out", str(out), "--queries", "8"])
    assert done.exit_code == 0, done.output
    assert "nDCG@10" in done.stdout and f"leanseek eval collection {out}" in done.stdout
    again = CliRunner().invoke(
        app, ["eval", "make", str(words), "--out", str(out), "--queries", "8", "--json"]
    )
    assert json.loads(again.stdout)["queries"] == len((out / "queries.jsonl").read_text().splitlines())
    refused = CliRunner().invoke(app, ["eval", "make", str(words), "--out", str(words)])
    assert refused.exit_code == 2 and "holds no made set" in " ".join(refused.stderr.split())


def test_a_query_is_taken_out_of_its_document() -> None:
    rest = "boundary layers grow along a plate and the flow in them is slow near the wall of it"
    document = Document("a", f"Shear flow past a plate. {rest}", "Shear flow past a plate.")
    for seed in range(4):
        found = taken_out(document, seed)
        assert found is not None
        query, without = found
        assert query == "Shear flow past a plate."
        assert "Shear" not in without.text and without.text == rest
    other = Document("b", f"Why do layers grow? {rest.capitalize()} of boundary layers", "Boundary layers")
    drawn = {found[0] for seed in range(9) if (found := taken_out(other, seed)) is not None}
    assert drawn == {"Why do layers grow?", "Boundary layers"}
    found = taken_out(Document("c", f"{rest} Boundary layers", "Boundary layers"), 0)
    assert found is not None and found[1].text == f"{rest} Boundary layers"  # a mention stays
    assert taken_out(Document("a", "Too short. To ask for.", "A title of it"), 0) is None


def test_queries_on_which_all_agree_are_left_out() -> None:
    candidates = [Candidate(f"q{place}", Document(f"d{place}", "x"), place % 2) for place in range(6)]
    gains = {"one": [1, 0, 0.5, 1, 0, 0.3], "two": [1, 0, 0.4, 0.2, 0.6, 0.3]}
    values, kept = chosen(candidates, gains, SetRecipe(queries=10))
    assert kept == [2, 3, 4]
    assert len(values) == 2
    assert chosen(candidates, gains, SetRecipe(queries=1))[1] == [2]


def test_the_second_half_goes_to_topics_by_their_worth() -> None:
    left = {0: list(range(100)), 1: list(range(100, 200)), 2: [200]}
    found = shared(left, {0: 1.0, 1: 3.0, 2: 9.0}, 41)
    assert [sum(one in places for one in found) for places in left.values()] == [10, 30, 1]
    assert len(shared(left, {0: 0.0, 1: 0.0, 2: 0.0}, 500)) == 201


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_salience_counts_who_has_a_document_nearest(count: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reach = min(NEIGHBOURS, count - 1)
    expected = [0] * count
    for one in range(count):
        cosines = vectors @ vectors[one]
        others = sorted(set(range(count)) - {one}, key=lambda other: -float(cosines[other]))
        for other in others[:reach]:
            expected[other] += 1
    assert salience(vectors).tolist() == expected


def test_topics_are_groups_that_lie_apart() -> None:
    draw = np.random.default_rng(1)
    centres = np.eye(5, dtype=np.float32)
    own = draw.integers(5, size=200)
    vectors = centres[own] + 0.1 * draw.standard_normal((200, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = topics(vectors, 5)
    assert len({(int(a), int(b)) for a, b in zip(own, found, strict=True)}) == 5
    assert topics(vectors[:1], 5).tolist() == [0]
    drawn = drawn_documents([f"d{place}" for place in range(200)], salience(vectors), found, 10)
    assert sorted(topic for _, topic in drawn) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_documents_without_vectors_are_compared_by_their_terms(words: Path) -> None:
    snapshot = Snapshot.open(words)
    ids, vectors = document_vectors(snapshot)
    assert ids == sorted(snapshot.ids())
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(ids)), abs=1e-5)
    # What shares terms is near: the nearest by terms have far more in common than others.
    analyzer = snapshot.passages.analyzer
    terms = [set(analyzer.tokens(f"{one.title} {one.text}")) for one in snapshot.whole(ids)]
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    near = [
        len(terms[row] & terms[int(np.argmax(cosines[row]))]) / len(terms[row]) for row in range(len(ids))
    ]
    far = [len(terms[row] & terms[int(np.argmin(cosines[row]))]) / len(terms[row]) for row in range(len(ids))]
    assert np.mean(near) > 2 * np.mean(far)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_kendall_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    agree = part = 0
    first_ties = second_ties = untied = 0
    for place, (a, b) in enumerate(pairs):
        for c, d in pairs[:place]:
            first_ties += a == c
            second_ties += b == d
            untied += 1
            agree += (a < c) == (b < d) and a != c and b != d
            part += (a < c) != (b < d) and a != c and b != d
    scale = ((untied - first_ties) * (untied - second_ties)) ** 0.5
    first, second = (list(map(float, column)) for column in zip(*pairs, strict=True))
    assert kendall(first, second) == pytest.approx((agree - part) / scale if scale else 0.0, abs=1e-12)
