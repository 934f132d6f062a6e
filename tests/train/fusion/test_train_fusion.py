"""Learning how to fuse from a few judged queries: what is measured, what is chosen, what is refused."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import WORDS, HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import ExitCode, IndexLockedError, InputError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.indexing.folder import writer_lock
from leanseek.indexing.index import Index
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.request import QueryEncoder
from leanseek.searcher.searcher import Searcher
from leanseek.train.fusion.grid import (
    DEFAULT,
    DEFAULT_PLACE,
    FEWEST,
    PAIRS,
    SHARES,
    choose,
    cross_validated,
    equivalent_weights,
    most_probable,
    on_all_scales,
    try_all,
)
from leanseek.train.fusion.judged_candidates import JudgedQuery, gather
from leanseek.train.fusion.learned_fusion import LearnedFusion, reset_fusion, train_fusion
from leanseek.types import Document, Query

QUERIES = [
    Query(f"q{number}", text)
    for number, text in enumerate(
        [
            "statin trial",
            "wing shock wave",
            "vector index query",
            "heart enzyme",
            "kinase receptor",
            "rocket orbit",
        ]
    )
]


def make_index(path: Path, documents: Sequence[Document] | None = None, **options: Any) -> Path:
    Index.create(path, **{"encoder": HashEncoder(), **options}).add(
        documents or make_documents(120), cache=False
    )
    return path


def judgments(queries: Sequence[Query] = QUERIES, seed: int = 0) -> dict[str, dict[str, int]]:
    chance = np.random.default_rng(seed)
    return {
        query.id: {
            f"d{number}": int(chance.integers(1, 4)) for number in chance.choice(120, 25, replace=False)
        }
        for query in queries
    }


def train(path: Path, queries: Sequence[Query] = QUERIES, qrels: Any = None, **options: Any) -> LearnedFusion:
    return train_fusion(path, queries, qrels or judgments(), encoder=HashEncoder(), **options)


def ndcg(ids: Sequence[str], grades: Mapping[str, int]) -> float:
    """nDCG@10 by its definition."""
    gained = sum(max(grades.get(one, 0), 0) / math.log2(place + 2) for place, one in enumerate(ids[:10]))
    best = sorted((max(grade, 0) for grade in grades.values()), reverse=True)[:10]
    return gained / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


@pytest.mark.parametrize("chunk_words", [None, 3])
def test_every_fusion_of_the_grid_is_measured_as_a_search_with_it_is(
    tmp_path: Path, chunk_words: int | None
) -> None:
    path = make_index(tmp_path / "index", chunk_words=chunk_words)
    Index.open(path, encoder=HashEncoder()).add(make_documents(30, prefix="a"), cache=False)
    qrels = judgments() | {"q0": {"d1": 2, "d2": -1, "not there": 3, "d3": 0}}
    snapshot = Snapshot.open(path)
    encoder = QueryEncoder(snapshot.state.settings.encoder, HashEncoder())
    tried = try_all(gather(snapshot, encoder, QUERIES, qrels))
    snapshot.close()
    for pair, scales in enumerate(PAIRS):
        for share in (0, 7, DEFAULT_PLACE, 50):
            fusion = load_fusion("+".join(scales), tried.weights[pair, share])
            with Searcher.open(path, encoder=HashEncoder(), fusion=fusion) as searcher:
                found = searcher.rank_batch([query.text for query in QUERIES], 10, depth=100)
            expected = [
                ndcg([one.id for one in ranked], qrels[query.id])
                for query, ranked in zip(QUERIES, found, strict=True)
            ]
            np.testing.assert_allclose(tried.ndcg[:, pair, share], expected, atol=1e-12)


def test_a_share_spreads_the_sides_alike_on_all_scales() -> None:
    chance = np.random.default_rng(1)
    queries = [
        JudgedQuery(
            chance.gamma(2, 3, 150).astype(np.float32) * (chance.random(150) < 0.6),
            chance.uniform(0.1, 0.7, 150).astype(np.float32),
            np.arange(150),
            (chance.random(150) < 0.05).astype(np.float64),
            1.0,
        )
        for _ in range(20)
    ]
    weights = equivalent_weights([on_all_scales(query) for query in queries])
    assert weights[0].tolist() == SHARES.tolist()
    assert (weights[:, 0] == 0).all() and (weights[:, -1] == 1).all()
    assert (np.diff(weights, axis=1) >= 0).all()
    scored = [on_all_scales(query) for query in queries]
    proportions = [
        weights[pair, DEFAULT_PLACE]
        * np.mean([one.dense[dense].std() for one in scored])
        / ((1 - weights[pair, DEFAULT_PLACE]) * np.mean([one.sparse[sparse].std() for one in scored]))
        for pair, (sparse, dense) in enumerate(PAIRS)
    ]
    np.testing.assert_allclose(proportions, proportions[0], rtol=5e-3)


def made(queries: int, best: float, height: float, noise: float, seed: int = 0) -> np.ndarray:
    """(n, p, s) nDCG that peaks at a share, the higher for all scales, with each query's own whims."""
    chance = np.random.default_rng(seed)
    curve = -((SHARES - best) ** 2) / (best - 0.8) ** 2 if best != 0.8 else -((SHARES - best) ** 2)
    # A whim is smooth in the share, as a query's own nDCG is.
    whims = chance.standard_normal((queries, 1, 1)) * (SHARES - 0.8) * noise
    return np.clip(0.5 + height * (curve + 1) + whims, 0, 1) * np.ones((1, len(PAIRS), 1))


def test_many_labels_find_the_best_weight_and_few_stay_near_the_default() -> None:
    shares = [choose(made(queries, 0.96, 0.08, 0.3)).taken.share for queries in (4, 10, 40, 400)]
    assert shares[0] == DEFAULT_PLACE
    assert shares == sorted(shares)
    assert SHARES[shares[-1]] == pytest.approx(0.96, abs=0.03)
    assert choose(made(400, 0.6, 0.08, 0.3)).taken.share == pytest.approx(list(SHARES).index(0.6), abs=2)


def test_fewer_than_five_queries_change_nothing_however_they_agree() -> None:
    agreeing = np.zeros((6, len(PAIRS), len(SHARES)))
    agreeing[:, :, DEFAULT_PLACE + 1 :] = 1.0
    assert choose(agreeing[:4]).taken == DEFAULT
    assert choose(agreeing).taken.share > DEFAULT_PLACE


def test_noise_seldom_moves_it() -> None:
    chance = np.random.default_rng(5)
    moved = 0
    for seed in range(100):
        moved += choose(made(int(chance.integers(5, 60)), 0.8, 0.0, 0.4, seed)).taken != DEFAULT
    assert moved <= 20


def test_scales_are_changed_only_where_many_queries_speak_for_it() -> None:
    better = made(300, 0.8, 0.0, 0.1)
    better[:, 5] += 0.02
    assert choose(better).taken.pair == 5
    assert choose(better[:20]).taken.pair == 0


@given(st.integers(1, 30), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_the_choice_never_goes_beyond_what_speaks_for_it(queries: int, seed: int) -> None:
    """Where every share above the default is worse, none above it is taken; where all are alike, nothing is."""
    chance = np.random.default_rng(seed)
    ndcg = np.full((queries, len(PAIRS), len(SHARES)), 0.5)
    assert choose(ndcg).taken == DEFAULT
    ndcg[:, :, DEFAULT_PLACE + 1 :] -= chance.uniform(0, 0.4, (queries, 1, len(SHARES) - DEFAULT_PLACE - 1))
    assert choose(ndcg).taken.share <= DEFAULT_PLACE
    assert choose(ndcg) == choose(ndcg[::1].copy())


def test_a_query_has_no_say_in_what_it_is_measured_with() -> None:
    gains = np.zeros((12, len(PAIRS), len(SHARES)))
    gains[3, :, DEFAULT_PLACE + 1 :] = 30.0
    assert not cross_validated(gains).any()
    gains[7, :, DEFAULT_PLACE + 1 :] = 30.0
    found = cross_validated(gains)
    # The two decide for each other wherever they are in different folds.
    assert 0 < found[3] == found[7] <= 30 and np.count_nonzero(found) == 2


def test_the_posterior_is_that_of_its_formula() -> None:
    chance = np.random.default_rng(2)
    for _ in range(20):
        summed = chance.normal(0, 2, (len(PAIRS), len(SHARES)))
        masses = [
            [
                math.exp(summed[pair, place] - (share - 0.8) ** 2 / (2 * 0.1**2) - (pair > 0))
                for place, share in enumerate(SHARES.tolist())
            ]
            for pair in range(len(PAIRS))
        ]
        pair = max(range(len(PAIRS)), key=lambda one: sum(masses[one]))
        mean = sum(mass * share for mass, share in zip(masses[pair], SHARES, strict=True)) / sum(masses[pair])
        found = most_probable(summed)
        assert found.pair == pair
        assert abs(SHARES[found.share] - mean) <= 0.01 + 1e-9


def test_learning_betters_held_out_queries_of_a_real_collection(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    """Hashed words are a poor dense side: with Cranfield's documents the default trusts it far too much."""
    cranfield = open_collection(collection("cranfield"))
    path = make_index(tmp_path / "index", list(cranfield.documents()))
    queries, qrels = cranfield.queries("test"), cranfield.qrels("test")
    learned = train(path, queries[::2], qrels)
    assert learned.kept is None
    assert learned.dense_weight < 0.7 and learned.gain > 2 * learned.error
    assert learned.queries == len(queries[::2])
    held_out = queries[1::2]
    means = []
    for fusion in ("convex", None):
        with Searcher.open(path, encoder=HashEncoder(), fusion=fusion) as searcher:
            found = searcher.rank_batch([query.text for query in held_out], 10)
        means.append(
            np.mean(
                [
                    ndcg([one.id for one in hits], qrels[query.id])
                    for query, hits in zip(held_out, found, strict=True)
                ]
            )
        )
    assert means[1] > 1.1 * means[0]
    assert means[1] - means[0] == pytest.approx(learned.gain, abs=4 * learned.error)

    few = train(path, queries[:FEWEST], qrels)
    assert 0.6 < few.dense_weight <= 0.8


def test_judgments_of_relevant_documents_alone_suffice_and_learning_repeats(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index")
    first = train(path, dry_run=True)
    assert first.queries == len(QUERIES) and first.notes == ()
    assert train(path, dry_run=True) == first
    zeros = {
        query: grades | {f"d{number}": 0 for number in range(120) if f"d{number}" not in grades}
        for query, grades in judgments().items()
    }
    assert train(path, qrels=zeros, dry_run=True) == first
    assert Index.open(path, encoder=HashEncoder()).generation == 1


def test_one_query_keeps_the_default_and_says_why(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index")
    learned = train(path, QUERIES[:1])
    assert (learned.fusion, learned.dense_weight) == ("convex", 0.8)
    assert learned.kept == "1 judged query is too few to choose by; give at least 5"
    assert learned.notes == ("5 judged queries are not among the queries given ('q1', 'q2', 'q3', …)",)
    assert learned.settings is None and learned.default == learned.ndcg > 0


def test_equal_scores_keep_the_default_and_say_why(tmp_path: Path) -> None:
    same = [Document(f"d{number}", "one and the same text") for number in range(120)]
    path = make_index(tmp_path / "index", same)
    queries = [Query(query.id, "same text") for query in QUERIES]
    learned = train(path, queries)
    assert learned.kept == "no way of fusing changes nDCG@10 on these 6 queries"
    unknown_words = [Query(query.id, "zzz") for query in QUERIES]
    assert train(path, unknown_words).kept is not None


def test_learning_the_default_forgets_what_was_learned_before(tmp_path: Path) -> None:
    from leanseek.indexing.settings import FusionSettings

    path = make_index(tmp_path / "index")
    former = FusionSettings("convex", 0.5, 40, 0.5, 0.02, 0.01)
    index = Index.open(path, encoder=HashEncoder())
    index.choose_fusion(lambda: former)
    assert train(path, QUERIES[:1]).settings is None
    assert Index.open(path, encoder=HashEncoder()).settings.fusion is None
    index.choose_fusion(lambda: former)
    assert reset_fusion(path) == former
    assert reset_fusion(path) is None


def test_judgments_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index")
    with pytest.raises(InputError, match=r"none of the 2 judged documents \('x', 'y'\) is in '.*index'"):
        train(path, qrels={"q0": {"x": 1}, "q1": {"y": 1}})
    with pytest.raises(
        InputError, match=r"none of the 6 queries \('q0', 'q1', 'q2', …\) is among the 1 judged"
    ):
        train(path, qrels={"other": {"d1": 1}})
    with pytest.raises(InputError, match="none of the 1 judged queries has a relevant document"):
        train(path, qrels={"q0": {"d1": 0, "d2": -1}})
    learned = train(path, qrels={**judgments(QUERIES[:4]), "q4": {"d1": 1, "x": 1, "y": 1}, "q5": {"x": 2}})
    assert learned.queries == 5
    assert learned.notes[0].startswith("2 of ") and learned.notes[0].endswith("not in the index ('x', 'y')")
    assert learned.notes[1].startswith("1 of 6 judged queries without text, or without a relevant document")


@pytest.mark.parametrize(("absent", "options"), [("dense", {"encoder": None}), ("sparse", {"sparse": None})])
def test_an_index_with_one_side_is_told(tmp_path: Path, absent: str, options: dict[str, Any]) -> None:
    path = make_index(tmp_path / "index", **options)
    with pytest.raises(UsageError, match=f"without a {absent} side, so there is nothing to fuse"):
        train_fusion(path, QUERIES, judgments())
    assert reset_fusion(path) is None


def test_an_index_that_is_being_written_to_is_told_before_the_work(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index")

    def no_work(stage: str, done: int, total: int | None) -> None:
        pytest.fail("the work must not begin")

    with writer_lock(path), pytest.raises(IndexLockedError):
        train(path, progress=no_work)
    with writer_lock(path):
        assert train(path, dry_run=True).queries == len(QUERIES)


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_learns_shows_and_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the queries are after stands beyond the encoder's limit, where only the sparse side sees it."""
    monkeypatch.setattr("leanseek.searcher.request.recorded_encoder", lambda *_, **__: HashEncoder())
    chance = random.Random(3)
    documents, queries, lines = [], [], ["query-id\tcorpus-id\tscore"]
    for number in range(150):
        words = chance.choices(WORDS, k=12)
        documents.append(Document(f"d{number}", " ".join([*words, f"part{number}"])))
        if number < 12:
            queries.append(f"q{number}\t{' '.join(chance.choices(WORDS, k=9))} part{number}")
            lines.append(f"q{number}\td{number}\t1")
    index = make_index(tmp_path / "index", documents)
    (tmp_path / "queries.tsv").write_text("\n".join(queries), encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("\n".join(lines), encoding="utf-8")
    given = ("--queries", tmp_path / "queries.tsv", "--qrels", tmp_path / "qrels.tsv")

    dry = call("train", "fusion", index, *given, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    record = json.loads(dry.stdout)
    assert record["queries"] == 12 and record["stored"] is False and record["kept"] is None, record
    assert record["dense_weight"] < 0.8 and record["ndcg"] > record["default"]
    assert "fusion " not in call("info", index).output

    told = call("train", "fusion", index, *given)
    assert told.exit_code == 0, told.output
    assert f"Learned: convex, dense weight {record['dense_weight']:g}" in told.output
    assert "--reset" in told.output
    assert (
        f"convex, dense weight {record['dense_weight']:g}, learned from 12 judged"
        in call("info", index).output
    )
    assert json.loads(call("info", index, "--json").output)["settings"]["fusion"]["queries"] == 12

    assert "is forgotten" in call("train", "fusion", index, "--reset").output
    assert "Nothing had been learned" in call("train", "fusion", index, "--reset").output
    assert json.loads(call("info", index, "--json").output)["settings"]["fusion"] is None

    (tmp_path / "qrels.tsv").write_text("\n".join(lines[:3]), encoding="utf-8")
    kept = json.loads(call("train", "fusion", index, *given, "--json").stdout)
    assert "too few" in kept["kept"] and kept["stored"] is False


def test_the_command_tells_what_is_missing(tmp_path: Path) -> None:
    path = make_index(tmp_path / "index")
    alone = call("train", "fusion", path)
    assert alone.exit_code == ExitCode.USAGE and "--queries QUERIES --qrels QRELS" in alone.output
    both = call("train", "fusion", path, "--reset", "--dry-run")
    assert both.exit_code == ExitCode.USAGE and "leave out" in both.output
    (tmp_path / "queries.tsv").write_text("q0\tstatin trial", encoding="utf-8")
    (tmp_path / "qrels.txt").write_text("q0 0 x 1", encoding="utf-8")
    nowhere = call(
        "train",
        "fusion",
        tmp_path / "none",
        "--queries",
        tmp_path / "queries.tsv",
        "--qrels",
        tmp_path / "qrels.txt",
    )
    assert nowhere.exit_code == ExitCode.INDEX and "does not exist" in nowhere.output
