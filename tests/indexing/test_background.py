"""Of which queries the background of an index comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support import HashEncoder

from leanseek import Document, Index
from leanseek.encode.base import Encoded
from leanseek.indexing import Snapshot
from leanseek.indexing.background import background_of


class Asked(HashEncoder):
    """Keeps the queries that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        self.queries += texts
        return super().encode_queries(texts)


def test_questions_that_ask_about_the_sentence_before_them_are_none_of_its_queries(tmp_path: Path) -> None:
    documents = [
        Document(
            f"d{number}",
            f"The flow over wing {number} was measured. In case {number}, how? "
            f"Which of the other wings does number {number} resemble most?",
        )
        for number in range(200)
    ]
    Index.create(tmp_path / "index", encoder=HashEncoder()).add(documents)
    snapshot, encoder = Snapshot.open(tmp_path / "index"), Asked()
    found = background_of(snapshot, encoder)
    snapshot.close()
    assert found is not None and found.queries == len(encoder.queries)
    questions = [query for query in encoder.queries if query.endswith("?")]
    assert questions and len(questions) < len(encoder.queries)
    assert all(query.startswith("Which") for query in questions)
