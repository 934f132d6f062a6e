"""Training relevance models: what is sampled, what is fitted, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.cli.options import name_and_split
from leanseek.encode.base import Encoded
from leanseek.errors import InputError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.eval.relevance.judged_lists import JudgedList
from leanseek.indexing.creation import make_plan
from leanseek.searcher.relevance import DenseEvidence, Evidence, load_relevance
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.query_map import MAPS, MapName, QueryMap
from leanseek.train.relevance import adapter as training
from leanseek.train.relevance import published_fit as published
from leanseek.train.relevance import train_relevance
from leanseek.train.relevance.list_fit import (
    TOLERATED,
    Field,
    Tried,
    area,
    fit_curve,
    logistic,
    missing,
    shapes,
    try_shapes,
)
from leanseek.train.relevance.material import (
    HEAD,
    WIDTH,
    Candidates,
    Sample,
    chosen,
    gather,
    sample,
    split,
)
from leanseek.train.relevance.published_fit import fit_map, loss_on, start_power

pytest.importorskip("torch")


def judged_list(relevant: Sequence[int], count: int) -> JudgedList:
    cosines = np.linspace(0.9, 0.1, count, dtype=np.float32)
    evidence = Evidence(DenseEvidence(np.ones(4, np.float32), cosines, cosines), None, count)
    labels = np.zeros(count, np.bool_)
    labels[list(relevant)] = True
    return JudgedList(np.arange(count), cosines, evidence, labels)


@settings(deadline=None)
@given(st.integers(1, 1000), st.data())
def test_a_sample_stands_for_its_list(count: int, data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.integers(0, count - 1), max_size=8), label="relevant")
    found = judged_list(sorted(wanted), count)
    places, weights = chosen(found.relevant, np.random.default_rng(count))
    assert places.shape == weights.shape == (WIDTH,)
    assert (places[:HEAD][: min(HEAD, count)] == np.arange(min(HEAD, count))).all()
    # Each relevant candidate stands for itself, once.
    for place in wanted:
        assert weights[places == place].sum() == 1
    if not wanted:
        assert weights.sum() == pytest.approx(count)


def test_sampling_is_right_in_the_mean() -> None:
    found = judged_list([3, 400], 1000)
    height = np.random.default_rng(0).random(1000)
    sums = []
    for seed in range(400):
        places, weights = chosen(found.relevant, np.random.default_rng(seed))
        sums.append(float((weights * height[places]).sum()))
    assert np.mean(sums) == pytest.approx(height.sum(), rel=0.01)


def test_likely_ones_have_no_weight_unless_judged_relevant() -> None:
    found = judged_list([1], 50)
    near = np.zeros(50, np.bool_)
    near[[1, 2]] = True
    taken = sample(found, near, np.random.default_rng(0))
    assert taken.weights[:4].tolist() == [1, 1, 0, 1]
    assert taken.labels[:4].tolist() == [0, 1, 0, 0]


@given(st.integers(2, 200), st.integers(0, 9))
def test_held_out_rows_are_never_learned_from(count: int, seed: int) -> None:
    learned, held = split(count, 0.1, np.random.default_rng(seed))
    assert sorted([*learned.tolist(), *held.tolist()]) == list(range(count))
    assert len(learned)
    assert len(held)


def field_of(seed: int, slope: float, offset: float, queries: int = 60, best: float = 3.0) -> Field:
    """Lists of 50 candidates whose z score tells by a logistic curve; the best has the z score `best`."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(queries):
        z = np.sort(np.append(rng.uniform(-2, best - 0.5, 49), best))[::-1].astype(np.float32)
        labels = rng.random(50) < 1 / (1 + np.exp(-(slope * z + offset)))
        zeros = np.zeros(50, np.float32)
        lists.append(Candidates(z, zeros, zeros, z, labels, np.ones(50, np.bool_), z, 0.5))
    return Field(f"toy{seed}:train", lists)


def test_a_logistic_curve_is_the_likeliest_one() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    scores, weights = rng.normal(0, 2, 500), rng.random(500) + 0.5
    labels = (rng.random(500) < 1 / (1 + np.exp(-(1.3 * scores - 2)))).astype(np.float64)
    slope, offset = logistic(scores, labels, weights)
    other = linear.LogisticRegression(C=1e9, tol=1e-10, max_iter=5000)
    other.fit(scores[:, None], labels, sample_weight=weights)
    assert (slope, offset) == pytest.approx((float(other.coef_[0, 0]), float(other.intercept_[0])), abs=1e-4)
    # A curve that would fall is flat, and a strong prior keeps what it starts from.
    assert logistic(-scores, labels, weights)[0] == 0
    held = logistic(scores, labels, weights, (0.7, -1.0), (1e9, 1e9))
    assert held == pytest.approx((0.7, -1.0), abs=1e-4)
    assert missing(slope * scores + offset - 1.5, labels) == pytest.approx(1.5, abs=0.2)


def test_a_curve_is_fitted_to_all_fields_and_knows_broad_from_narrow_ones() -> None:
    narrow = [field_of(seed, 1.5, -5.0, best=4.0) for seed in range(3)]
    broad = [field_of(seed, 1.5, -2.0, best=2.0) for seed in range(3, 6)]
    curve = fit_curve([*narrow, *broad], ListCurve(0, 0, 0, 0, 1, 0))
    assert curve.slope == pytest.approx(1.5, rel=0.35)
    assert curve.breadth < 0
    assert curve.shift(2.0) - curve.shift(4.0) == pytest.approx(3.0, abs=0.5)
    alone = fit_curve(narrow[:1], ListCurve(0, 0, 0, 0, 1, 0))
    assert (alone.slope, alone.offset) == pytest.approx((1.5, -5.0), rel=0.2)
    assert alone.breadth == 0


def test_the_area_is_average_precision() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(0, 1, 300), rng.random(300) < 0.1
    assert area(labels, scores) == pytest.approx(metrics.average_precision_score(labels, scores))
    assert area(np.zeros(3, np.bool_), scores[:3]) == 0


def test_the_shape_gains_most_without_losing_to_the_z_score_anywhere() -> None:
    tried = shapes("dense")
    gains = np.zeros((len(tried), 3))
    gains[4] = (0.2, 0.2, -TOLERATED - 0.1)  # the highest mean, but one collection loses
    gains[5] = (0.06, 0.06, -TOLERATED)
    found = Tried(tried, gains + 0.4, np.full(3, 0.4))
    assert found.best([0, 1, 2]) == tried[5]
    assert found.best([0, 1]) == tried[4]  # where that collection is not learned from
    assert Tried(tried, np.full_like(gains, 0.4), np.full(3, 0.4)).best([0, 1, 2]) == tried[0]
    assert (tried[0].rank, tried[0].lead) == (0, 0)


def test_shapes_are_tried_on_whole_lists() -> None:
    field = field_of(0, 1.5, -4.0)
    found = try_shapes([field], "dense")
    z = np.concatenate([one.z for one in field.lists]).astype(np.float64)
    assert found.areas[0, 0] == pytest.approx(area(field.relevant, z))
    assert found.zscores[0] == pytest.approx(found.areas[0, 0], abs=0.05)
    assert len({*found.areas[:, 0].tolist()}) > 5


@pytest.mark.parametrize("kind", MAPS)
def test_a_map_starts_as_the_logistic_fit_and_is_never_worse(
    kind: MapName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "STEPS", 100)
    taught, held = query_samples(0, 120), query_samples(1, 40)
    fitted = fit_map([taught], [held], kind, 0)
    part = [published.tensors(held)]
    slope, offset = published.logistic_fit([published.tensors(taught)], kind)
    start = loss_on(published.initial(6, slope, offset, 0), part, kind)
    assert log_loss(fitted, held) <= start + 1e-5
    # The slope of the query is what there is to learn here.
    assert log_loss(fitted, held) < 0.97 * start
    with_sklearn = pytest.importorskip("sklearn.linear_model").LogisticRegression(C=1e9, tol=1e-9)
    cosines = np.concatenate([one.evidence.dense.cosines for one in taught]).astype(np.float64)
    powers = {"linear": 1.0, "sqrt": 0.5, "quadratic": 2.0, "power": 1.0}
    inputs = cosines.clip(1e-4) ** powers[kind]
    with_sklearn.fit(inputs[:, None], np.concatenate([one.labels for one in taught]))
    assert slope == pytest.approx(float(with_sklearn.coef_[0, 0]), rel=0.02)
    assert np.logaddexp(0, start_power()) == pytest.approx(0.75)


def test_a_map_stays_as_it_starts_where_held_out_queries_contradict_what_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, "STEPS", 100)
    taught, held = query_samples(0, 120), []
    for one in query_samples(1, 40):
        dense = one.evidence.dense._replace(query=-one.evidence.dense.query)
        held.append(one._replace(evidence=one.evidence._replace(dense=dense)))
    fitted = fit_map([taught], [held], "linear", 0)
    slope, offset = published.logistic_fit([published.tensors(taught)], "linear")
    start = loss_on(published.initial(6, slope, offset, 0), [published.tensors(held)], "linear")
    assert log_loss(fitted, held) <= start + 1e-5


def query_samples(seed: int, count: int) -> list[Sample]:
    """Lists whose cosines tell by a slope that the query's first dimension decides."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        query = rng.normal(0, 1, 6).astype(np.float32)
        cosines = rng.random(30).astype(np.float32)
        logits = (6 + 5 * query[0]) * (cosines - 0.6)
        labels = (rng.random(30) < 1 / (1 + np.exp(-logits))).astype(np.float32)
        evidence = Evidence(DenseEvidence(query, cosines, np.sort(cosines)[::-1]), None, 30)
        found.append(Sample(evidence, labels, np.ones(30, np.float32)))
    return found


def log_loss(fitted: QueryMap, samples: Sequence[Sample]) -> float:
    losses = []
    for one in samples:
        dense = one.evidence.dense
        logits = fitted.logits(dense.cosines.astype(np.float64), dense.query.astype(np.float64))
        losses.append((np.logaddexp(0, logits) - one.labels * logits).sum())
    return float(np.mean(losses))


def write_collection(folder: Path, documents: dict[str, str], queries: dict[str, tuple[str, str]]) -> Path:
    """A collection in BEIR's layout with a train split; `queries`: id to (text, id of the relevant document)."""
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in documents.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = [json.dumps({"_id": key, "text": text}) for key, (text, _) in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{key}\t{found}\t1" for key, (_, found) in queries.items())]
    (folder / "qrels" / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def toy(folder: Path, words: str, queries: int = 40, documents: int = 150) -> Path:
    """Documents of five words each, and queries of three of the words of one of them."""
    rng = np.random.default_rng(len(words))
    vocabulary = [f"{words}{number}" for number in range(200)]
    texts = {f"{words}-{n}": " ".join(rng.choice(vocabulary, 5)) for n in range(documents)}
    return write_collection(
        folder / words,
        texts,
        {f"q{n}": (" ".join(texts[f"{words}-{n}"].split()[:3]), f"{words}-{n}") for n in range(queries)},
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "STEPS", 50)


@pytest.mark.usefixtures("quick")
def test_the_same_collections_give_the_same_file(tmp_path: Path) -> None:
    given_ = [(open_collection(toy(tmp_path, words)), "train") for words in ("wing", "heart")]
    for name, form in (("one", "all"), ("two", "all"), ("three", "query")):
        model = train_relevance(
            given_,
            encoder=HashEncoder(),
            form=form,  # type: ignore[arg-type]
            map="sqrt" if form == "query" else None,
            work=tmp_path / "work",
        )
        model.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = load_relevance(tmp_path / "one", HashEncoder.fingerprint)
    assert found.provenance.trained_on == ("wing:train", "heart:train")
    assert found.provenance.queries == 80
    assert isinstance(found.dense, ListCurve)
    other = load_relevance(tmp_path / "three", HashEncoder.fingerprint)
    assert isinstance(other.dense, QueryMap)
    assert other.provenance.form == "query, sqrt map"
    for model in (found, other):
        assert 0 < model.threshold("dense") < 1
        assert 0 < model.threshold("hybrid") < 1


def test_what_may_be_relevant_unjudged_is_no_example_of_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FEWEST", 1)
    documents = {
        "a": "wing shock layer",
        "twin": "layer shock wing",
        **{f"d{n}": f"far{n}" for n in range(9)},
    }
    folder = write_collection(tmp_path / "wing", documents, {"q": ("wing shock", "a")})
    encoder = HashEncoder()
    plan = make_plan(encoder=encoder, dense="flat")
    material = training.open_material(
        open_collection(folder), "train", plan, tmp_path / "work", cache=False, progress=None
    )
    [own] = gather(
        material.snapshot, material.queries, "dense", training.mean_usual([material], [material.queries])
    )
    # The twin says the same as the relevant document, and nobody has judged it: it does not count.
    assert own.relevant.sum() == 1
    assert own.counts.sum() == len(documents) - 1
    assert (own.z[own.counts] == own.z.max()).sum() == 1
    material.snapshot.close()


def refused(folder: Path, tmp_path: Path, encoder: HashEncoder | None = None) -> None:
    train_relevance(
        [(open_collection(folder), "train")], encoder=encoder or HashEncoder(), work=tmp_path / "work"
    )


def test_judgments_of_other_documents_are_told(tmp_path: Path) -> None:
    folder = write_collection(
        tmp_path / "strange", {"a": "wing"}, {f"q{n}": ("wing", "gone") for n in range(30)}
    )
    with pytest.raises(InputError, match=r"none of the 1 relevant documents.*'gone'"):
        refused(folder, tmp_path)


def test_a_single_query_teaches_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few queries with a relevant document, 1: fewer than 20"):
        refused(toy(tmp_path, "wing", queries=1), tmp_path)


def test_only_relevant_candidates_teach_nothing(tmp_path: Path) -> None:
    folder = write_collection(
        tmp_path / "one", {"a": "wing shock"}, {f"q{n}": ("wing", "a") for n in range(30)}
    )
    with pytest.raises(InputError, match="every candidate of one:train is relevant"):
        refused(folder, tmp_path)


class Blind(HashEncoder):
    """Sees no difference between texts."""

    fingerprint = "bb" * 32

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        found = super().encode_queries(texts)
        return found._replace(vectors=np.full_like(found.vectors, 0.25))


def test_equal_scores_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="equally close"):
        refused(toy(tmp_path, "wing"), tmp_path, Blind())


def test_nothing_and_the_same_twice_are_refused(tmp_path: Path) -> None:
    given_ = (open_collection(toy(tmp_path, "wing")), "train")
    with pytest.raises(UsageError, match="no collection"):
        train_relevance([], work=tmp_path)
    with pytest.raises(UsageError, match="'wing:train' is given twice"):
        train_relevance([given_, given_], work=tmp_path)
    with pytest.raises(UsageError, match="seed is -1"):
        train_relevance([given_], seed=-1, work=tmp_path)


def test_a_quantile_gives_every_collection_the_same_weight() -> None:
    few, many = np.array([0.0, 1.0]), np.full(1000, 2.0)
    assert training.quantile([few, many], 0.2) == 0.0
    assert training.quantile([few, many], 0.3) == 1.0
    assert training.quantile([few, many], 0.6) == 2.0


def test_the_command_names_what_does_not_go_together(tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app, ["train", "relevance", str(tmp_path), "--out", str(tmp_path / "x"), "--map", "sqrt"]
    )
    assert found.exit_code == 2
    assert "--features query" in found.stderr


def test_a_place_where_no_file_can_go_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, told in ((tmp_path, "a folder"), (tmp_path / "file" / "x", "which is a file")):
        found = CliRunner().invoke(app, ["train", "relevance", "nothing-there", "--out", str(out)])
        assert found.exit_code == 2
        assert told in found.stderr


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("scifact", ("scifact", "train")),
        ("scifact:dev", ("scifact", "dev")),
        ("irds:vaswani", ("irds:vaswani", "train")),
        ("irds:vaswani:test", ("irds:vaswani", "test")),
        ("beir:scifact", ("beir:scifact", "train")),
        ("data/scifact:dev", ("data/scifact", "dev")),
        ("irds:beir/scifact/train", ("irds:beir/scifact/train", "train")),
    ],
)
def test_a_collection_may_name_its_split(given_: str, wanted: tuple[str, str]) -> None:
    assert name_and_split(given_) == wanted
