"""A review under way: its order, what labels change, and what it refuses."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder

from leanseek import Document, Index, Searcher
from leanseek.errors import FilterError, InputError, UsageError
from leanseek.understanding.reviews import Screening
from leanseek.understanding.reviews.review_documents import review_documents, weighted_terms

TITLE = "statin trial"
TOPICS = ("heart", "enzyme", "rocket", "orbit")


def documents(count: int = 120) -> list[Document]:
    """One in six is about statins of the heart; the title has a word of half of the others too."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        relevant = number % 6 == 0
        topic = "heart" if relevant else TOPICS[1 + number % 3]
        words = ["statin" if relevant or number % 2 else "placebo", topic, "trial" if number % 3 else "study"]
        words += rng.choice(["library", "query", "vector", "matrix", "layer", "wave"], 4).tolist()
        made.append(Document(f"d{number:03}", " ".join(words), "", {"year": 1990 + number % 20}))
    return made


def is_relevant(id: str) -> int:
    return int(int(id[1:]) % 6 == 0)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    encoder = HashEncoder()
    index = Index.create(tmp_path_factory.mktemp("review") / "i", encoder=encoder)
    index.add(documents(70))
    index.add(documents()[70:])
    with Searcher.open(index.path, encoder=encoder, relevance=None) as opened:
        yield opened


def test_before_any_label_the_order_is_that_of_a_search_of_everything(searcher: Searcher) -> None:
    for mode in ("hybrid", "dense", "sparse"):
        screening = Screening(searcher, TITLE, mode=mode)
        ranking = screening.ranking()
        assert len(ranking) == 120
        [found] = searcher.rank_batch([TITLE], 120, mode=mode, candidates=[searcher.ids()])
        assert ranking == found
        assert screening.next(7) == ranking[:7]


def test_labels_lead_to_what_is_relevant(searcher: Searcher) -> None:
    for mode in ("hybrid", "dense", "sparse"):
        screening = Screening(searcher, TITLE, mode=mode)
        by_title = [one.id for one in screening.ranking()]
        while sum(screening.labels.values()) < 20:
            screening.label({one.id: is_relevant(one.id) for one in screening.next(5)})
        last = max(place for place, id in enumerate(by_title, 1) if is_relevant(id))
        assert len(screening.labels) <= (last if mode == "dense" else 50) < 120


def test_those_read_come_first_in_their_order_and_the_rest_by_score(searcher: Searcher) -> None:
    screening = Screening(searcher, TITLE, labels={"d005": 0, "d000": 1})
    screening.label({"d003": 0})
    ranking = screening.ranking()
    assert [one.id for one in ranking[:3]] == ["d005", "d000", "d003"]
    assert len({one.id for one in ranking}) == 120
    scores = [one.score for one in ranking]
    assert scores == sorted(scores, reverse=True)
    assert screening.next(200) == ranking[3:]
    # Equal scores are in the order of ids, and the same labels give the same ranking.
    for one, other in pairwise(ranking[3:]):
        assert one.score > other.score or one.id < other.id
    assert Screening(searcher, TITLE, labels={"d005": 0, "d000": 1, "d003": 0}).ranking() == ranking


def test_a_label_that_is_changed(searcher: Searcher) -> None:
    screening = Screening(searcher, TITLE, labels={"d000": 0, "d001": 1, "d002": 0})
    wrong = screening.ranking()
    screening.label({"d000": 1, "d001": 0})
    assert screening.labels == {"d000": 1, "d001": 0, "d002": 0}
    assert [one.id for one in screening.ranking()[3:]] != [one.id for one in wrong[3:]]
    assert is_relevant(screening.next(1)[0].id)


def test_the_estimate_rises_to_certainty(searcher: Searcher) -> None:
    screening = Screening(searcher, TITLE)
    before = screening.estimate()
    assert (before.read, before.found, before.confidence, before.recall) == (0, 0, 0.0, 0.0)
    while not screening.estimate().reached():
        screening.label({one.id: is_relevant(one.id) for one in screening.next(10)})
    ended = screening.estimate()
    assert ended.found == 20 and ended.read <= 80 and ended.confidence >= 0.9 and ended.recall > 0.9
    screening.label({one.id: is_relevant(one.id) for one in screening.ranking()})
    assert screening.estimate() == (120, 120, 20, 0.0, 0.95, 1.0)
    assert screening.next() == []


def test_a_review_without_anything_relevant(searcher: Searcher) -> None:
    screening = Screening(searcher, TITLE)
    while found := screening.next(40):
        assert not screening.estimate().reached()
        screening.label(dict.fromkeys((one.id for one in found), 0))
    ended = screening.estimate()
    assert ended.reached() and (ended.found, ended.recall) == (0, 0.0)


def test_candidates_are_chosen_by_filter_and_by_id(searcher: Searcher) -> None:
    some = [f"d{number:03}" for number in range(0, 120, 4)]
    both = Screening(searcher, TITLE, candidates=some, filter="year >= 2000")
    assert {one.id for one in both.ranking()} == {id for id in some if int(id[1:]) % 20 >= 10}
    with pytest.raises(InputError, match="'d001'"):
        both.label({"d001": 1})


def test_what_is_refused(searcher: Searcher) -> None:
    screening = Screening(searcher, TITLE)
    with pytest.raises(InputError, match=r"none of the 120 candidates: 'x1', 'x2', 'x3' and 2 more"):
        screening.label({"d001": 1, **{f"x{number}": 0 for number in range(1, 6)}})
    assert not screening.labels
    for title in ("", "  \n"):
        with pytest.raises(UsageError, match="title of the review is empty"):
            Screening(searcher, title)
    with pytest.raises(UsageError, match="at least 1"):
        screening.next(0)
    with pytest.raises(UsageError, match="no candidate"):
        Screening(searcher, TITLE, candidates=[])
    with pytest.raises(UsageError, match="not a search mode"):
        Screening(searcher, TITLE, mode="best")
    with pytest.raises(FilterError):
        Screening(searcher, TITLE, filter="colour = 1")


def test_parts_of_a_document_are_one_candidate(tmp_path: Path) -> None:
    encoder = HashEncoder()
    index = Index.create(tmp_path / "i", encoder=encoder, chunk_words=10)
    long = Document("long", "statin heart. " * 30 + "orbit rocket. " * 30)
    index.add([long, *documents(12)])
    with Searcher.open(index.path, encoder=encoder, relevance=None) as searcher:
        assert searcher.count().passages > 13
        screening = Screening(searcher, TITLE)
        assert len(screening.ranking()) == 13
        found = review_documents(searcher, ["d000", "long"], TITLE, "hybrid")
        vectors = searcher.source.vectors(np.array(sorted(searcher.source.find(["long"])["long"])))
        first = searcher.source.vectors(np.array(searcher.source.find(["d000"])["d000"]))
        mean = vectors.mean(axis=0)
        expected = mean - (mean + first[0]) / 2
        expected /= np.linalg.norm(expected)
        dense = found.rows.dense[1] / np.linalg.norm(found.rows.dense[1])
        assert np.allclose(dense, expected, atol=1e-5)


def test_the_weights_of_terms_are_those_of_scikit_learn() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = [one.text for one in documents(40)]
    rows = weighted_terms([Counter(one.split()) for one in texts])
    vectorizer = text.TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=0.95, token_pattern=r"\S+")
    expected = vectorizer.fit_transform(texts)
    weights = np.random.default_rng(0).standard_normal(1 + rows.width)[:-1]
    assert rows.width == expected.shape[1]
    # The columns are in another order, which inner products between rows do not see.
    dense = np.stack([rows.mixed(np.eye(40)[number]) for number in range(40)])
    assert np.allclose(dense @ dense.T, (expected @ expected.T).toarray())
    assert np.allclose(rows.dot(weights), dense @ weights)


def test_an_empty_document_is_a_candidate(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None)
    index.add([Document("empty", ""), *documents(24)])
    with Searcher.open(index.path) as searcher:
        screening = Screening(searcher, TITLE, labels={"d000": 1, "d001": 0})
        ranking = screening.ranking()
        assert len(ranking) == 25 and all(np.isfinite(one.score) for one in ranking)


@pytest.mark.slow
def test_a_real_review(tmp_path: Path) -> None:
    """Of the drug class review of estrogens, where they are: labels save more than the title alone."""
    folder = Path(os.environ.get("LEANSEEK_SCREENING", Path(__file__).parents[4] / "shared/data/screening"))
    if not (folder / "estrogens").is_dir():
        pytest.skip(f"the reviews are not in {folder} (set LEANSEEK_SCREENING to their folder)")
    from leanseek import read
    from leanseek.eval import score
    from leanseek.reading import read_qrels

    index = Index.create(tmp_path / "i", encoder=None)
    index.add(read(folder / "estrogens"))
    qrels = read_qrels(folder / "estrogens" / "qrels" / "test.tsv")
    [(review, judged)] = qrels.items()
    with Searcher.open(index.path) as searcher:
        screening = Screening(searcher, "drug class review: hormone replacement therapy with estrogens")
        by_title = {one.id: one.score for one in screening.ranking()}
        while not screening.estimate().reached() and len(screening.labels) < 368:
            screening.label({one.id: judged[one.id] for one in screening.next(10)})
        learned = {one.id: one.score for one in screening.ranking()}
        found = screening.estimate().found
    saved = [score({review: run}, qrels, ["WSS@95"]).means["WSS@95"] for run in (by_title, learned)]
    assert saved[1] > saved[0] + 0.2 and saved[1] > 0.3
    assert found >= 0.95 * sum(grade > 0 for grade in judged.values())
