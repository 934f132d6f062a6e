"""Cross-encoders whose scores are grades: the fit against a general optimiser, the weights, real judgments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import write_collection

from leanseek.errors import InputError, ModelError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.rerank import RerankOptions
from leanseek.rerank.crossencoder import load
from leanseek.rerank.crossencoder.packed import PACKAGED
from leanseek.train import Source, calibrate_grades
from leanseek.train.crossencoder.grade_scale import fit_grades, judged_documents
from leanseek.types import Hit

optimize = pytest.importorskip("scipy.optimize")


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that follow grades 0 to 3 with much noise, of queries of different difficulty."""
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(12), 9)
    grades = draw.choice(4, len(owners), p=[0.6, 0.2, 0.15, 0.05]).astype(np.int64)
    return 1.7 * grades + draw.normal(0, 2, len(owners)) + draw.normal(0, 1, 12)[owners] - 4, grades, owners


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_what_a_general_optimiser_finds(seed: int) -> None:
    scores, grades, owners = pairs(seed)

    def loss(values: np.ndarray) -> float:
        slope, intercept = values
        scaled = slope * scores + intercept
        squares = [((scaled - grades)[grades == one] ** 2).mean() for one in np.unique(grades)]
        short = [
            max(0.0, (grades[i] - grades[j]) - (scaled[i] - scaled[j]))
            for i in range(len(scores))
            for j in range(len(scores))
            if owners[i] == owners[j] and grades[i] > grades[j]
        ]
        return float(np.mean(squares) + np.mean(short))

    found = fit_grades(scores, grades, owners)
    best = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert loss(np.array([found.slope, found.intercept])) == pytest.approx(best.fun, abs=1e-6)
    assert (found.slope, found.intercept) == pytest.approx(tuple(best.x), abs=1e-3)


def test_two_trainings_come_to_the_same_scale() -> None:
    scores, grades, owners = pairs(7)
    one, other = fit_grades(scores, grades, owners), fit_grades(0.3 * scores + 11, grades, owners)
    assert one.slope * scores + one.intercept == pytest.approx(
        other.slope * (0.3 * scores + 11) + other.intercept, abs=1e-9
    )
    assert [row.grade for row in one.grades] == [0, 1, 2, 3]
    assert [row.after for row in one.grades] == pytest.approx([row.after for row in other.grades])


def test_what_no_scale_can_mend_is_refused() -> None:
    scores, grades, owners = pairs(1)
    with pytest.raises(ModelError, match="do not rise"):
        fit_grades(-scores, grades, owners)
    with pytest.raises(ModelError, match="do not rise"):
        fit_grades(np.zeros(len(scores)), grades, owners)
    with pytest.raises(InputError, match="two grades"):
        fit_grades(scores, np.ones(len(scores), np.int64), owners)


NAMES = (
    "anchor basket candle desert engine forest garden hammer island jacket kettle ladder mirror needle orange pillow "
    "rocket saddle tunnel violin"
).split()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Questions with an answer of grade 2 and a remark of grade 1; all else is irrelevant."""
    folder = tmp_path_factory.mktemp("graded") / "names"
    answers = {f"{name}-2": f"The {name} was invented long ago, and this is its history." for name in NAMES}
    remarks = {f"{name}-1": f"She forgot her {name} at home when she went away." for name in NAMES}
    queries = {name: f"history of the {name}" for name in NAMES}
    write_collection(folder, {**answers, **remarks}, queries, {}, "train")
    rows = "".join(f"{name}\t{name}-{grade}\t{grade}\n" for name in NAMES for grade in (1, 2))
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return Source(open_collection(str(folder)), "train")


def test_the_scale_is_in_the_weights(tmp_path: Path, source: Source) -> None:
    out = tmp_path / "graded"
    scale = calibrate_grades("cross-encoder", [source], out, work=tmp_path)
    assert [(row.grade, row.pairs) for row in scale.grades] == [(0, 160), (1, 20), (2, 20)]
    assert [row.after for row in scale.grades] == pytest.approx([0, 1, 2], abs=0.25)
    written = json.loads((out / "training.json").read_text())
    assert written["slope"] == scale.slope and written["sources"][0]["collection"] == "names"

    texts = ["A boundary layer on a flat plate.", "Wine is made from grapes.", "Heat transfer in slip flow."]
    hits = [Hit(rank, str(rank), 0.0, "", text, {}) for rank, text in enumerate(texts, 1)]
    query = "heat transfer in the boundary layer"
    before = load(RerankOptions(f"torch:{PACKAGED}", cache=False)).rerank(query, hits)
    after = load(RerankOptions(f"torch:{out}", cache=False)).rerank(query, hits)
    assert [hit.id for hit in after] == [hit.id for hit in before]
    expected = [scale.slope * hit.score + scale.intercept for hit in before]
    assert [hit.score for hit in after] == pytest.approx(expected, abs=1e-3)
    probabilities = [hit.probability for hit in before]
    assert [hit.probability for hit in after] == pytest.approx(probabilities, abs=1e-3)


def test_too_few_queries_and_a_folder_of_another_are_refused(tmp_path: Path, source: Source) -> None:
    with pytest.raises(UsageError, match="at least 20"):
        calibrate_grades("cross-encoder", [source], tmp_path / "few", most=5, work=tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="no model trained here"):
        calibrate_grades("cross-encoder", [source], tmp_path / "mine", work=tmp_path)


def test_hits_without_judgment_stand_for_what_nobody_judged_irrelevant(tmp_path: Path) -> None:
    documents = {f"d{number}": f"Paper {number} is about subject {number}." for number in range(12)}
    queries = {f"q{number}": f"what is subject {number}" for number in range(12)}
    judged = {query: [f"d{query[1:]}"] for query in queries}
    folder = write_collection(tmp_path / "papers", documents, queries, judged, "train")
    source = Source(open_collection(str(folder)), "train")
    for text, found in judged_documents(source, None, 0, tmp_path, None, None):
        graded = {one.document.id: one.grade for one in found}
        assert graded.pop(f"d{text.split()[-1]}") == 1
        assert len(graded) == 8 and set(graded.values()) == {0}
