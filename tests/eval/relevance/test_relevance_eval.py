"""Relevance models measured beside controls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder
from typer.testing import CliRunner

from leanseek.cli.report_commands import show_relevance
from leanseek.errors import InputError, RelevanceFileError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.eval.relevance import RelevanceResult, evaluate_relevance
from leanseek.eval.relevance.relevance_result import Pool, summary
from leanseek.eval.relevance.relevance_scores import (
    calibration_error,
    controls,
    empty_share,
    measure,
    ranks,
    recall_threshold,
    reliability,
)
from leanseek.eval.reports.page import relevance_page
from leanseek.searcher.relevance.features import Usual
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Level, Provenance, RelevanceModel

KEYS = {"pr_auc", "p_at_r95", "dropped_at_r95", "ece", "kept_per_query"}
CONTROLS = {"rank", "score", "share of top", "z score", "platt", "isotonic"}

pooled = st.lists(
    st.tuples(st.floats(0, 1, allow_subnormal=False), st.booleans()), min_size=1, max_size=120
).filter(lambda rows: any(relevant for _, relevant in rows))


@settings(deadline=None)
@given(pooled)
def test_the_threshold_is_the_highest_that_keeps_the_recall(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    relevant = np.array([one for _, one in rows])
    threshold = recall_threshold(scores, relevant)
    assert (scores[relevant] >= threshold).mean() >= 0.95 - 1e-12
    for higher in np.unique(scores[scores > threshold]):
        assert (scores[relevant] >= higher).mean() < 0.95


@settings(deadline=None)
@given(pooled)
def test_figures_against_counting(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    relevant = np.array([one for _, one in rows])
    found = measure(scores, relevant, np.arange(len(rows)), 3, True)
    kept = [one for score, one in rows if score >= found.threshold]
    assert found.p_at_r95 == pytest.approx(sum(kept) / len(kept))
    assert found.dropped_at_r95 == pytest.approx(1 - len(kept) / len(rows))
    assert found.kept_per_query == pytest.approx(len(kept) / 3)
    # The area by its definition: precision at each distinct score, times the recall that it adds.
    area, before = 0.0, 0.0
    for score in sorted(set(scores.tolist()), reverse=True):
        above = relevant[scores >= score]
        recall = above.sum() / relevant.sum()
        area += above.mean() * (recall - before)
        before = recall
    assert found.pr_auc == pytest.approx(area)


@settings(deadline=None)
@given(pooled)
def test_calibration_error_against_a_loop(rows: list[tuple[float, bool]]) -> None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for chance, relevant in rows:
        bins.setdefault(min(int(chance * 15), 14), []).append((chance, relevant))
    wanted = sum(abs(sum(c for c, _ in found) - sum(r for _, r in found)) for found in bins.values()) / len(
        rows
    )
    chances, labels = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    assert calibration_error(chances, labels) == pytest.approx(wanted, abs=1e-9)
    assert sum(one.count for one in reliability(chances, labels)) == len(rows)


def test_true_probabilities_have_hardly_any_error() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random(40_000)
    labels = rng.random(40_000) < chances
    assert calibration_error(chances, labels) < 0.01
    assert calibration_error(chances**3, labels) > 0.1


def test_ties_at_the_threshold_are_kept_together() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    relevant = np.array([True, True, False, False, False])
    found = measure(scores, relevant, np.arange(5), 1, False)
    assert (found.threshold, found.p_at_r95) == (0.5, 0.5)
    assert found.dropped_at_r95 == pytest.approx(0.2)
    assert found.ece is None


def test_nothing_relevant_is_told() -> None:
    with pytest.raises(InputError, match="none of the candidates is relevant"):
        measure(np.ones(3), np.zeros(3, np.bool_), np.arange(3), 1, False)


def test_empty_answers_are_counted() -> None:
    assert empty_share([0.1, 0.5, -np.inf], 0.5) == pytest.approx(2 / 3)


def test_controls_are_what_they_are_called() -> None:
    lists = [np.array([0.8, 0.4, 0.4]), np.array([0.2, 0.1])]
    relevant = [np.array([True, False, False]), np.array([False, True])]
    found = {control.name: control for control in controls(lists, relevant)}
    assert set(found) == CONTROLS
    assert found["rank"].scores.tolist() == [-1, -2, -2, -1, -2]
    assert found["share of top"].scores.tolist() == [1, 0.5, 0.5, 1, 0.5]
    z = (lists[0] - lists[0].mean()) / lists[0].std()
    np.testing.assert_allclose(found["z score"].scores[:3], z)
    assert {name for name, control in found.items() if control.probable} == {"platt", "isotonic"}
    assert ranks(np.array([1.0, 3.0, 1.0])).tolist() == [2, 1, 2]


def test_fitted_controls_never_see_the_queries_they_judge() -> None:
    rng = np.random.default_rng(1)
    lists = [np.sort(rng.random(50))[::-1] for _ in range(8)]
    relevant = [scores > 0.8 for scores in lists]
    found = {control.name: control for control in controls(lists, relevant)}
    turned = [
        relevant[0],
        *(~labels if row % 2 == 0 else labels for row, labels in enumerate(relevant[1:], 1)),
    ]
    again = {control.name: control for control in controls(lists, turned)}
    for name in ("platt", "isotonic"):
        # The even queries are judged by curves of the odd ones, whose labels are the same.
        np.testing.assert_array_equal(found[name].scores[:50], again[name].scores[:50])
        assert not np.array_equal(found[name].scores[50:100], again[name].scores[50:100])


def test_equal_scores_and_single_queries_are_measured() -> None:
    lists, relevant = [np.full(4, 0.5)], [np.array([True, False, False, False])]
    for control in controls(lists, relevant):
        found = measure(control.scores, relevant[0], np.arange(4), 1, control.probable)
        if control.name != "rank":
            assert found.dropped_at_r95 == 0


def write_collection(folder: Path, documents: dict[str, str], queries: dict[str, tuple[str, str]]) -> Path:
    """A collection in BEIR's layout; `queries`: id to (text, id of the relevant document)."""
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in documents.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = [json.dumps({"_id": key, "text": text}) for key, (text, _) in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{key}\t{found}\t1" for key, (_, found) in queries.items())]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def toy(folder: Path, words: str, count: int = 60) -> Path:
    """Documents of five words each, and queries of two of the words of one of them."""
    rng = np.random.default_rng(len(words))
    vocabulary = [f"{words}{number}" for number in range(120)]
    documents = {f"{words}-{n}": " ".join(rng.choice(vocabulary, 5)) for n in range(count)}
    queries = {f"q{n}": (" ".join(documents[f"{words}-{n}"].split()[:3]), f"{words}-{n}") for n in range(20)}
    return write_collection(folder, documents, queries)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for the test encoder."""
    curve = ListCurve(0.3, 4.0, 0.5, 0.5, 1.0, -4.0)
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    RelevanceModel(
        HashEncoder.fingerprint,
        {"dense": 0.5, "hybrid": 0.5},
        Provenance(("toy:train",), ("0" * 64,), "all", 20, 0),
        curve,
        curve,
        Usual(0.0, 0.1),
        Level(0.0, 60),
    ).save(path)
    return path


@pytest.fixture(scope="module")
def toy_result(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> RelevanceResult:
    folder = tmp_path_factory.mktemp("toy")
    return evaluate_relevance(
        open_collection(toy(folder / "wing", "wing")),
        relevance=model_file,
        encoder=HashEncoder(),
        foreign=[open_collection(toy(folder / "other", "far"))],
        out=folder / "results",
    )


def test_a_collection_is_measured(toy_result: RelevanceResult) -> None:
    assert (toy_result.queries, toy_result.candidates, toy_result.relevant) == (20, 20 * 60, 20)
    assert next(iter(toy_result.systems)) == "adapter"
    assert set(toy_result.systems) == CONTROLS | {"adapter"}
    assert toy_result.systems["adapter"].pr_auc > 0.3
    assert toy_result.systems["rank"].pr_auc > 0.3
    [other] = toy_result.foreign
    assert (other.collection, other.queries) == ("other", 20)
    assert 0 <= other.empty["adapter"] <= 1
    record = json.loads(json.dumps(asdict(toy_result)))
    for scores in record["systems"].values():
        assert set(scores) >= KEYS
    assert record["systems"]["z score"]["ece"] is None


def test_the_stored_threshold_is_measured_on_own_and_foreign_lists(model_file: Path) -> None:
    def pool(*lists: list[float], relevant: int = 0) -> Pool:
        chances = [np.array(each) for each in lists]
        return Pool(chances, chances, [np.arange(len(each)) < relevant for each in lists], [])

    model = RelevanceModel.load(model_file)  # its threshold is 0.5
    found = summary(
        "toy",
        "test",
        "dense",
        9,
        model,
        "model",
        pool([0.9, 0.2], [0.4, 0.5, 0.1], relevant=1),
        {"other": pool([0.6], [0.49], [])},
    )
    assert (found.stored_threshold, found.stored_recall) == (0.5, 0.5)
    assert found.stored_dropped == pytest.approx(3 / 5)
    assert found.stored_kept_per_query == 1.0
    [other] = found.foreign
    assert other.stored == pytest.approx(2 / 3)
    # 95 % recall keeps what has 0.4 or more.
    assert other.empty["adapter"] == pytest.approx(1 / 3)


def test_the_page_has_the_table_and_the_figure(
    toy_result: RelevanceResult, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    text = relevance_page(toy_result)
    assert text == relevance_page(toy_result)
    assert "<svg" in text
    assert "http" not in text
    for name, scores in toy_result.systems.items():
        assert f"<td>{name}</td><td>{scores.pr_auc:.4f}</td>" in text
    show_relevance(toy_result)
    assert "at the stored threshold" in capsys.readouterr().out


def test_a_model_for_another_encoder_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(RelevanceFileError, match="packaged"):
        evaluate_relevance(
            open_collection(toy(tmp_path / "wing", "wing")), encoder=HashEncoder(), out=tmp_path / "results"
        )


def test_judgments_of_other_documents_are_told(tmp_path: Path, model_file: Path) -> None:
    folder = write_collection(
        tmp_path / "strange",
        {"a": "wing", "b": "shock"},
        {"q": ("wing", "elsewhere"), "r": ("shock", "else")},
    )
    with pytest.raises(InputError, match=r"none of the 2 relevant documents.*'elsewhere'"):
        evaluate_relevance(
            open_collection(folder), relevance=model_file, encoder=HashEncoder(), out=tmp_path / "results"
        )


def test_a_k_that_nothing_rests_on_is_refused(tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(UsageError, match="from 1 to 1000"):
        evaluate_relevance(
            open_collection(toy(tmp_path / "wing", "wing")), k=1001, relevance=model_file, out=tmp_path
        )


def test_a_single_query_is_measured_in_both_modes(tmp_path: Path, model_file: Path) -> None:
    folder = write_collection(
        tmp_path / "one", {f"d{n}": f"word{n} text" for n in range(9)}, {"q": ("word3", "d3")}
    )
    for mode in ("dense", "hybrid"):
        found = evaluate_relevance(
            open_collection(folder),
            mode=mode,  # type: ignore[arg-type]
            relevance=model_file,
            encoder=HashEncoder(),
            out=tmp_path / "results",
        )
        assert found.systems["adapter"].pr_auc == 1.0


def test_the_command_refuses_what_it_cannot_measure(tmp_path: Path) -> None:
    from leanseek.cli import app

    found = CliRunner().invoke(app, ["eval", "relevance", str(tmp_path / "absent")])
    assert found.exit_code == 3


# In one process with other tests that encode this collection, so that the vector cache spares them the work.
@pytest.mark.slow
@pytest.mark.xdist_group("vectors of scifact")
def test_the_packaged_model_beats_every_control_on_scifact(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    found = evaluate_relevance(
        open_collection(collection("scifact")),
        encoder="onnx:sentence-transformers/all-MiniLM-L6-v2",
        out=tmp_path,
    )
    adapter = found.systems["adapter"]
    # The controls' figures are those of an independent computation over the same vectors.
    for name, figures in {
        "score": (0.2935, 0.0043, 0.7516),
        "share of top": (0.3307, 0.0114, 0.9065),
        "z score": (0.3905, 0.0085, 0.8734),
    }.items():
        control = found.systems[name]
        assert (control.pr_auc, control.p_at_r95, control.dropped_at_r95) == pytest.approx(figures, abs=2e-4)
    for name in CONTROLS:
        assert adapter.pr_auc > found.systems[name].pr_auc
    assert adapter.pr_auc > 0.42
    assert adapter.ece is not None
    assert adapter.ece < 0.05
