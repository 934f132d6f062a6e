"""The `beir` package's own evaluator, driving leanseek, gives leanseek's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.encode import Encoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.measures import score
from leanseek.integrations.beir import BeirSearch
from leanseek.integrations.pipeline import Pipeline, PipelineSettings
from leanseek.types import Query

evaluation = pytest.importorskip("beir.retrieval.evaluation")
pytrec_eval = pytest.importorskip("pytrec_eval")

ENCODED = [pytest.mark.slow, pytest.mark.xdist_group("vectors of scifact")]
"""Minutes of encoding, once for all tests that need these vectors."""

CORPUS = {
    "a": {"title": "", "text": "statins lower cholesterol"},
    "b": {"title": "Statins", "text": "heart trial"},
    "c": {"title": "Wings", "text": "slipstream"},
    "d": {"title": None, "text": "boundary layer statins"},
}


@pytest.fixture
def sparse() -> Iterator[Pipeline]:
    with Pipeline(PipelineSettings(encoder=None)) as pipeline:
        yield pipeline


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("few", "hybrid"),
        ("few", "sparse"),
        pytest.param("scifact", "dense", marks=ENCODED),
    ],
)
def test_its_evaluator_gives_our_own_scores(
    name: str,
    mode: str,
    loaded: Callable,  # type: ignore[type-arg]
    own_run: Callable[[str, str], dict[str, dict[str, float]]],
    encoder: Encoder,
) -> None:
    data = loaded(name)
    ours = score(own_run(name, mode), data.qrels, ["nDCG@10", "R@100"])
    with Pipeline(PipelineSettings(encoder=encoder, mode=mode)) as pipeline:
        driver = evaluation.EvaluateRetrieval(BeirSearch(pipeline))
        results = driver.retrieve(data.corpus, data.queries)
    # Its queries and documents, Cranfield's, are both numbered from 1; they are not the same texts.
    same = name != "few"
    ndcg, _, recall, _ = driver.evaluate(data.qrels, results, driver.k_values, ignore_identical_ids=same)
    # The evaluator rounds its means to five places; what it rounds is the same to 1e-6.
    assert ndcg["NDCG@10"] == round(ours.means["nDCG@10"], 5)
    assert recall["Recall@100"] == round(ours.means["R@100"], 5)
    theirs = pytrec_eval.RelevanceEvaluator(data.qrels, {"ndcg_cut.10", "recall.100"}).evaluate(results)
    mean = sum(row["ndcg_cut_10"] for row in theirs.values()) / len(theirs)
    assert mean == pytest.approx(ours.means["nDCG@10"], abs=1e-6)
    mean = sum(row["recall_100"] for row in theirs.values()) / len(theirs)
    assert mean == pytest.approx(ours.means["R@100"], abs=1e-6)
    if (name, mode) == ("scifact", "dense"):
        assert ndcg["NDCG@10"] == pytest.approx(0.64508, abs=5e-4)  # as MTEB publishes it
        assert recall["Recall@100"] == pytest.approx(0.925, abs=5e-4)


def test_a_query_that_is_a_document_loses_no_place(sparse: Pipeline) -> None:
    driver = evaluation.EvaluateRetrieval(BeirSearch(sparse), k_values=[1, 2])
    results = driver.retrieve(CORPUS, {"a": "statins", "q": "statins"})
    assert len(results["q"]) == 2
    assert set(results["a"]) == {"a", "b", "d"}
    kept = driver.evaluate({"a": {"a": 1, "b": 1, "d": 1}}, results, [1, 3], ignore_identical_ids=False)
    assert kept[2]["Recall@3"] == 1.0
    dropped = driver.evaluate({"a": {"a": 1, "b": 1, "d": 1}}, results, [1, 2])
    assert dropped[2]["Recall@2"] == round(2 / 3, 5)  # two others, though the query itself was found too


def test_a_query_without_results_counts_as_zero(sparse: Pipeline) -> None:
    driver = evaluation.EvaluateRetrieval(BeirSearch(sparse), k_values=[1])
    results = driver.retrieve(CORPUS, {"q1": "slipstream", "q2": "unheard"})
    assert results["q2"] == {}
    ndcg, *_ = driver.evaluate({"q1": {"c": 1}, "q2": {"a": 1}}, results, [1])
    assert ndcg["NDCG@1"] == 0.5


def test_corpora_take_each_others_place(sparse: Pipeline) -> None:
    model = BeirSearch(sparse)
    assert set(model.search(CORPUS, {"q": "slipstream"}, 5)["q"]) == {"c"}
    assert set(model.search({"x": {"text": "slipstream"}}, {"q": "slipstream"}, 5)["q"]) == {"x"}


def test_over_an_index_that_is_there(tmp_path: Path, sparse: Pipeline) -> None:
    encoder = HashEncoder()
    Index.create(tmp_path / "index", encoder=encoder).add(
        Document(id, row["text"] or "", row["title"] or "") for id, row in CORPUS.items()
    )
    with Searcher.open(tmp_path / "index", encoder=encoder, mode="sparse") as searcher:
        model = BeirSearch(searcher, depth=50)
        queries = {"q": "statins trial"}
        assert model.search(CORPUS, queries, 3, "cos_sim") == BeirSearch(sparse).search(
            CORPUS, queries, 3, "dot"
        )
        with pytest.raises(InputError, match="not in the corpus"):
            model.search({"a": CORPUS["a"]}, queries, 3)


def test_what_it_cannot_do_is_refused(sparse: Pipeline) -> None:
    with pytest.raises(UsageError, match="'cos_sim' or 'dot'"):
        BeirSearch(sparse).search(CORPUS, {"q": "statins"}, 3, "euclid")
    with pytest.raises(UsageError, match="PipelineSettings"):
        BeirSearch(sparse, depth=10)
    with pytest.raises(UsageError, match="index"):
        sparse.rank([], 10)


def test_candidates_are_ranked_whatever_the_depth() -> None:
    with Pipeline(PipelineSettings(encoder=None, depth=50)) as pipeline:
        pipeline.index(
            [Document("a", "statins"), Document("b", "statins trial"), Document("c", "slipstream")]
        )
        found = pipeline.rank([Query("q", "trial of statins")], 10, [["c", "a"]])
    assert list(found["q"]) == ["a", "c"]
    assert found["q"]["c"] == 0.0


def test_a_closed_pipeline_leaves_nothing_behind(sparse: Pipeline) -> None:
    sparse.index([Document("a", "statins")])
    folder = Path(sparse._folder.name)  # type: ignore[union-attr]
    assert folder.is_dir()
    sparse.close()
    assert not folder.exists()
