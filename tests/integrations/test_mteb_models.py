"""mteb's own retrieval evaluation, driving leanseek's encoder and its pipeline, gives leanseek's own numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import HashEncoder

from leanseek.encode import Encoder
from leanseek.errors import UsageError
from leanseek.eval.measures import score
from leanseek.indexing.settings import SparseSettings
from leanseek.integrations.mteb import MtebEncoder, MtebSearch
from leanseek.integrations.pipeline import Pipeline, PipelineSettings

os.environ["HF_DATASETS_OFFLINE"] = "1"
mteb = pytest.importorskip("mteb")


ENCODED = [pytest.mark.slow, pytest.mark.xdist_group("vectors of scifact")]
"""Minutes of encoding, once for all tests that need these vectors."""


def make_task(data: Any, name: str, top_ranked: dict[str, list[str]] | None = None) -> Any:
    """A retrieval task of mteb's over what is on the disk, where its own tasks would be downloaded."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class LocalTask(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=name,
            dataset={"path": "local/files", "revision": "1"},
            description="A collection on the disk.",
            reference=None,
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            date=None,
            domains=None,
            task_subtypes=None,
            license=None,
            annotations_creators=None,
            dialect=None,
            sample_creation=None,
            bibtex_citation=None,
        )

        def load_data(self, num_proc: int | None = None, **settings: Any) -> None:
            self.corpus = {"test": data.corpus}
            self.queries = {"test": data.queries}
            self.relevant_docs = {"test": data.qrels}
            if top_ranked is not None:
                self.top_ranked = {"test": top_ranked}
            self.data_loaded = True

        def task_specific_scores(self, scores: Any, *task: Any, **settings: Any) -> dict[str, float]:
            """The means that mteb rounds to five places, before it does."""
            rows = list(scores.values())
            return {
                name: sum(row[name] for row in rows) / len(rows) for name in ("ndcg_cut_10", "recall_100")
            }

    return LocalTask()


def evaluate(model: Any, task: Any) -> dict[str, float]:
    """The scores of mteb's public `evaluate`, without its cache of results."""
    [result] = mteb.evaluate(
        model, [task], cache=None, co2_tracker=False, show_progress_bar=False
    ).task_results
    return dict(result.scores["test"][0])


def own_scores(run: dict[str, dict[str, float]], data: Any) -> dict[str, float]:
    return dict(score(run, data.qrels, ["nDCG@10", "R@100"]).means)


def assert_same(theirs: dict[str, float], ours: dict[str, float]) -> None:
    assert theirs["ndcg_cut_10"] == pytest.approx(ours["nDCG@10"], abs=1e-6)
    assert theirs["recall_100"] == pytest.approx(ours["R@100"], abs=1e-6)
    assert theirs["ndcg_at_10"] == round(ours["nDCG@10"], 5)
    assert theirs["recall_at_100"] == round(ours["R@100"], 5)


OwnRun = Callable[[str, str], dict[str, dict[str, float]]]


def test_our_encoder(loaded: Callable[[str], Any], own_run: OwnRun, encoder: Encoder) -> None:
    data = loaded("few")
    ours = own_scores(own_run("few", "dense"), data)
    theirs = evaluate(MtebEncoder(encoder), make_task(data, "LocalEncoder"))
    assert_same(theirs, ours)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("few", "sparse"), pytest.param("scifact", "hybrid", marks=ENCODED)],
)
def test_our_pipeline(
    name: str, mode: str, loaded: Callable[[str], Any], own_run: OwnRun, encoder: Encoder
) -> None:
    data = loaded(name)
    ours = own_scores(own_run(name, mode), data)
    with Pipeline(PipelineSettings(encoder=encoder, mode=mode)) as pipeline:
        theirs = evaluate(MtebSearch(pipeline), make_task(data, "LocalPipeline"))
    assert_same(theirs, ours)


def test_candidates_are_reranked_and_nothing_else(
    loaded: Callable[[str], Any], own_run: OwnRun, encoder: Encoder
) -> None:
    data = loaded("few")
    stored = {query: list(ranking)[:20] for query, ranking in own_run("few", "sparse").items()}
    reranked = evaluate(MtebEncoder(encoder), make_task(data, "LocalRerank", stored))
    with Pipeline(PipelineSettings(encoder=encoder, mode="dense")) as pipeline:
        ours = evaluate(MtebSearch(pipeline), make_task(data, "LocalRerank", stored))
    assert ours["ndcg_at_10"] == reranked["ndcg_at_10"]
    assert ours["recall_at_20"] == ours["recall_at_100"] == reranked["recall_at_100"]


def test_it_follows_mtebs_protocols() -> None:
    from mteb.models.models_protocols import EncoderProtocol, SearchProtocol

    encoder = MtebEncoder(HashEncoder())
    assert isinstance(encoder, EncoderProtocol)
    assert not isinstance(encoder, SearchProtocol)
    with Pipeline(PipelineSettings(encoder=None)) as pipeline:
        assert isinstance(MtebSearch(pipeline), SearchProtocol)


def test_what_changes_a_result_changes_the_revision() -> None:
    """mteb keeps results by name and revision: two systems must never share both."""
    encoder = HashEncoder()
    systems = [
        PipelineSettings(encoder=encoder),
        PipelineSettings(encoder=encoder, mode="dense"),
        PipelineSettings(encoder=encoder, fusion="rrf"),
        PipelineSettings(encoder=encoder, dense_weight=0.5),
        PipelineSettings(encoder=encoder, depth=500),
        PipelineSettings(encoder=encoder, sparse=SparseSettings(k1=1.2)),
        PipelineSettings(encoder=None),
    ]
    metas = [MtebSearch(Pipeline(settings)).mteb_model_meta for settings in systems]
    assert len({(meta.name, meta.revision) for meta in metas}) == len(systems)
    again = MtebSearch(Pipeline(PipelineSettings(encoder=HashEncoder()))).mteb_model_meta
    assert (again.name, again.revision) == (metas[0].name, metas[0].revision)
    assert MtebEncoder(encoder).mteb_model_meta.revision == encoder.fingerprint[:40]


def test_similarity_is_the_inner_product() -> None:
    import torch

    encoder = MtebEncoder(HashEncoder())
    left, right = np.eye(3, 16, dtype=np.float32), torch.ones(2, 16)
    assert encoder.similarity(left, right).shape == (3, 2)
    assert encoder.similarity(left[0], right[0]).tolist() == [[1.0]]
    assert encoder.similarity_pairwise(left[:2], right).tolist() == [1.0, 1.0]


def test_conversations_are_refused_and_instructions_follow_the_query() -> None:
    with Pipeline(PipelineSettings(encoder=None)) as pipeline:
        model = MtebSearch(pipeline)
        model.index([{"id": "a", "text": "statins"}, {"id": "b", "text": "placebo", "title": None}])
        found = model.search([{"id": "q", "text": "wing", "instruction": "no placebo"}], top_k=5)
        assert set(found["q"]) == {"b"}
        with pytest.raises(UsageError, match="conversation"):
            model.search([{"id": "q", "text": ["hello", "there"]}], top_k=5)
