"""Relevance models fitted to one index, without judgments and with a few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import InputError, UsageError
from leanseek.indexing.background import FEWEST_PASSAGES, list_level
from leanseek.indexing.creation import make_plan
from leanseek.indexing.settings import SparseSettings
from leanseek.searcher.relevance import choose_relevance, load_relevance
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import MARGIN
from leanseek.train.relevance import reset_relevance, train_judged, train_unlabelled
from leanseek.train.relevance.field import moved
from leanseek.train.relevance.list_fit import Field
from leanseek.train.relevance.material import Candidates
from leanseek.types import Query

WORDS = [f"word{number}" for number in range(300)]


def documents(count: int = 400) -> list[Document]:
    rng = np.random.default_rng(count)
    return [Document(f"d{n:03}", " ".join(rng.choice(WORDS, 8)) + ".") for n in range(count)]


def made(path: Path, count: int = 400, lexical: bool = True) -> Path:
    sparse = SparseSettings() if lexical else None
    Index.make(path, documents(count), make_plan(encoder=HashEncoder(), dense="flat", sparse=sparse))
    return path


def queries(count: int = 60, words: int = 5) -> list[Query]:
    return [
        Query(f"q{n}", " ".join(one.text.strip(".").split()[:words]))
        for n, one in enumerate(documents()[:count])
    ]


def qrels(count: int = 60) -> dict[str, dict[str, int]]:
    return {f"q{n}": {f"d{n:03}": 1} for n in range(count)}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return made(tmp_path / "words.index")


def test_the_background_is_what_generated_queries_find_beside_their_own_passage(index: Path) -> None:
    found = Index.open(index, encoder=HashEncoder()).settings.background
    assert found is not None
    assert (found.passages, found.queries) == (400, 200)
    # The lists of the same texts computed by hand; a fifth of the queries is not drawn, so not to the digit.
    vectors = HashEncoder().encode_documents([one.text for one in documents()]).vectors
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    levels = [list_level(np.sort(row)[::-1][:-1]) for row in cosines]
    assert found.level == pytest.approx(float(np.quantile(levels, 0.05)), abs=0.03)
    off = cosines[~np.eye(400, dtype=bool)]
    assert found.mean == pytest.approx(float(off.mean()), abs=0.02)
    assert found.spread == pytest.approx(float(off.std()), rel=0.15)


def test_an_index_of_a_few_passages_has_no_background(tmp_path: Path) -> None:
    few = made(tmp_path / "few", FEWEST_PASSAGES - 1)
    assert Index.open(few, encoder=HashEncoder()).settings.background is None
    with pytest.raises(InputError, match="too little text"):
        train_unlabelled(few, encoder=HashEncoder())


def test_an_encoder_without_a_packaged_model_gets_one_without_judgments(index: Path) -> None:
    with Searcher.open(index, encoder=HashEncoder()) as searcher:
        assert searcher.search(queries()[0].text)[0].probability is None
    before = Index.open(index, encoder=HashEncoder()).settings
    tried = train_unlabelled(index, encoder=HashEncoder(), dry_run=True)
    assert Index.open(index, encoder=HashEncoder()).settings == before
    fitted = train_unlabelled(index, encoder=HashEncoder())
    assert fitted.modes == tried.modes
    assert fitted.model.fingerprint == HashEncoder.fingerprint
    assert before.background is not None
    assert fitted.model.level.value == pytest.approx(before.background.level - MARGIN)
    with Searcher.open(index, encoder=HashEncoder()) as searcher:
        own = searcher.search(queries()[0].text, k=3)
        assert own[0].id == "d000"
        assert own[0].probability is not None
        assert own[0].probability > 0.3
        other = searcher.search("nothing of this kind is here", k=3)
        assert all(hit.probability is not None and hit.probability < own[0].probability / 2 for hit in other)
    assert reset_relevance(index)
    assert not reset_relevance(index)
    assert Index.open(index, encoder=HashEncoder()).settings == before


class Packaged(HashEncoder):
    """Passes for the encoder that the packaged model is for."""

    fingerprint = load_relevance().fingerprint


def test_queries_whose_best_hits_stand_out_less_have_more_relevant_documents(tmp_path: Path) -> None:
    index = tmp_path / "words.index"
    Index.make(index, documents(), make_plan(encoder=Packaged(), dense="flat"))
    sharp = train_unlabelled(index, queries(words=8), encoder=Packaged(), dry_run=True)
    vague = train_unlabelled(index, queries(words=1), encoder=Packaged(), dry_run=True)
    assert vague.modes["dense"].shift > sharp.modes["dense"].shift
    with pytest.raises(UsageError, match="at least 20"):
        train_unlabelled(index, queries(5), encoder=Packaged())


def test_judged_queries_move_slope_and_offset(index: Path) -> None:
    fitted = train_judged(index, queries(), qrels(), encoder=HashEncoder())
    assert (fitted.queries, fitted.judged) == (60, 60)
    stored = choose_relevance("auto", Index.open(index, encoder=HashEncoder()).settings, "dense")
    assert stored is not None
    assert stored.provenance.form == "judged"
    packaged = load_relevance()
    assert isinstance(stored.dense, ListCurve)
    assert isinstance(packaged.dense, ListCurve)
    assert stored.dense.offset != packaged.dense.offset
    assert set(fitted.modes) == {"dense", "hybrid"}


def lists(seed: int, queries: int, rank_tells: bool) -> Field:
    """Lists in which the first candidate is relevant, or a z score above 1 is, whatever the rank."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(queries):
        z = np.sort(rng.normal(0, 1, 60) + rng.normal(0, 1))[::-1].astype(np.float32)
        labels = (np.arange(60) == 0) if rank_tells else z > 1
        zeros = np.zeros(60, np.float32)
        found.append(Candidates(z, zeros, zeros, z, labels, np.ones(60, np.bool_), z, 0.5))
    return Field("", found)


def test_another_shape_is_taken_only_where_held_out_queries_speak_for_it() -> None:
    former = ListCurve(0.0, 0.0, 0.5, 0.5, 0.8, -3.0)
    curve, fitted = moved(lists(0, 100, rank_tells=False), former)
    assert not fitted.kept
    assert curve.rank == curve.lead == 0
    assert fitted.gain is not None
    assert fitted.error is not None
    assert fitted.gain > fitted.error
    plain = ListCurve(0.0, 0.0, 1.0, 1.0, 0.8, -3.0)
    kept, fitted = moved(lists(1, 100, rank_tells=True), plain)
    assert fitted.kept
    assert (kept.rank, kept.lead) == (1.0, 1.0)


def test_what_cannot_be_fitted_says_why(tmp_path: Path, index: Path) -> None:
    with pytest.raises(UsageError, match=r"not learned for the encoder.*--judged"):
        train_unlabelled(index, queries(), encoder=HashEncoder())
    with pytest.raises(InputError, match="at least 20"):
        train_judged(index, queries(), qrels(5), encoder=HashEncoder())
    lexical = tmp_path / "lexical"
    Index.make(lexical, documents(), make_plan(encoder=None))
    with pytest.raises(UsageError, match="without vectors"):
        train_unlabelled(lexical)
    dense = made(tmp_path / "dense", lexical=False)
    assert set(train_unlabelled(dense, encoder=HashEncoder(), dry_run=True).modes) == {"dense"}


def test_a_rebuilt_index_keeps_its_model_while_the_scores_mean_the_same(index: Path) -> None:
    train_unlabelled(index, encoder=HashEncoder())
    Index.make(index, documents(300), make_plan(encoder=HashEncoder(), dense="flat"))
    assert Index.open(index, encoder=HashEncoder()).settings.relevance is not None

    class Other(HashEncoder):
        fingerprint = "cc" * 32

    Index.make(index, documents(300), make_plan(encoder=Other(), dense="flat"))
    assert Index.open(index, encoder=Other()).settings.relevance is None


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ([], "give collections to learn from"),
        (["scifact", "--unlabelled", "X"], "give collections to learn from"),
        (["scifact"], "--out is missing"),
        (["--unlabelled", "X", "--qrels", "f"], "looks at no judgments"),
        (["--judged", "X", "--queries", "f"], "--qrels QRELS"),
        (["--unlabelled", "X", "--out", "f"], "stores the model in the index"),
        (["scifact", "--out", "f", "--queries", "q"], "go with --unlabelled"),
    ],
)
def test_the_command_names_what_does_not_go_together(given: list[str], reported: str) -> None:
    found = CliRunner().invoke(app, ["train", "relevance", *given])
    assert found.exit_code == 2
    assert reported in " ".join(found.stderr.split())


def test_the_command_forgets(index: Path) -> None:
    train_unlabelled(index, encoder=HashEncoder())
    found = CliRunner().invoke(app, ["train", "relevance", "--reset", str(index), "--json"])
    assert json.loads(found.stdout) == {"index": str(index), "forgotten": True}
    found = CliRunner().invoke(app, ["train", "relevance", "--reset", str(index)])
    assert "No model had been fitted" in found.stdout
