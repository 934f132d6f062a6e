"""What a cross-encoder is given to learn from."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.eval.collections import open_collection
from leanseek.indexing.index import Index
from leanseek.searcher.searcher import Searcher
from leanseek.train.mining import Mined, choose, mine
from leanseek.types import content

names = st.text("abcdef", min_size=1, max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    near=st.lists(names, max_size=20, unique=True),
    grades=st.dictionaries(names, st.integers(-1, 2), max_size=8),
    negatives=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_a_group_is_a_relevant_document_and_others_near_the_query(
    near: list[str], grades: dict[str, int], negatives: int, seed: int
) -> None:
    found = choose("q", near, grades, negatives, random.Random(seed))
    relevant = {name for name in near if grades.get(name, 0) > 0}
    others = set(near) - relevant
    if found is None:
        assert not relevant or not others
        return
    levels = sorted({grades[name] for name in relevant}, reverse=True)
    assert list(found.grades) == levels == [grades[name] for name in group_of(found)[: len(levels)]]
    irrelevant = group_of(found)[len(levels) :]
    assert set(irrelevant) <= others and found.drawn_from == len(others)
    assert len(irrelevant) == len(set(irrelevant)) == min(negatives, len(others))
    scored = found._replace(scores=range(len(group_of(found))))
    for most in range(1, negatives + 3):
        fewer = scored.first(most)
        assert [group_of(found)[place] for place in fewer.scores] == group_of(fewer)
        assert len(fewer.grades) <= len(fewer.others) <= most, "one is irrelevant"
        assert len(fewer.others) == min(most, len(found.others))


def group_of(mined: Mined) -> list[str]:
    return [mined.positive, *mined.others]


def write(folder: Path, relevant: str) -> Path:
    (folder / "qrels").mkdir(parents=True)
    texts = ["cats purr", "cats purr", "dogs bark", "cats and dogs", "fish swim"]
    (folder / "corpus.jsonl").write_text(
        "".join(
            f'{{"_id": "{number}", "title": "", "text": "{text}"}}\n' for number, text in enumerate(texts)
        )
    )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "cats purr"}\n')
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{relevant}")
    return folder


def open_index(folder: Path, index: Path) -> Searcher:
    Index.create(index).add(open_collection(folder).documents())
    return Searcher.open(index, relevance=None)


def test_copies_of_the_positive_s_text_are_no_negatives(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", "q\t0\t1\nq\t1\t0\n")
    with open_index(folder, tmp_path / "index") as searcher:
        [group] = mine(open_collection(folder), "train", searcher, negatives=10, seed=0)
    assert group.passages[0] == "cats purr"
    assert set(group.passages[1:]) == {"dogs bark", "cats and dogs", "fish swim"}


def test_one_document_of_each_grade_comes_before_those_not_judged(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", "q\t2\t1\nq\t3\t2\nq\t0\t0\n")
    with open_index(folder, tmp_path / "index") as searcher:
        [group] = mine(open_collection(folder), "train", searcher, negatives=2, seed=0)
    assert group.passages[:2] == ["cats and dogs", "dogs bark"] and list(group.grades) == [2, 1]
    assert len(group.passages) == 3 and group.drawn_from == 3


def test_a_split_without_relevant_documents_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", "q\t9\t1\nq\t1\t0\n")
    with (
        open_index(folder, tmp_path / "index") as searcher,
        pytest.raises(InputError, match=r"no query of the split 'train' of 'pets'"),
    ):
        mine(open_collection(folder), "train", searcher, negatives=10, seed=0)


def test_mined_from_a_real_collection_twice_the_same(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    trecqa = open_collection(collection("trecqa"))
    relevant = {
        identifier
        for grades in trecqa.qrels("train").values()
        for identifier, grade in grades.items()
        if grade > 0
    }
    everything = list(trecqa.documents())
    documents = [document for document in everything if document.id in relevant][:150] + everything[:50]
    documents = list({document.id: document for document in documents}.values())
    Index.create(tmp_path / "index").add(documents)
    with Searcher.open(tmp_path / "index", relevance=None) as searcher:
        first = mine(trecqa, "train", searcher, negatives=3, seed=1, most=40)
        again = mine(trecqa, "train", searcher, negatives=3, seed=1, most=40)
        other = mine(trecqa, "train", searcher, negatives=3, seed=2, most=40)
    assert first == again != other
    texts = {content(document.title, document.text) for document in documents}
    assert first and all(set(group.passages) <= texts and 2 <= len(group.passages) <= 4 for group in first)
