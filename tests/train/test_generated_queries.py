"""Queries made from documents alone: their grades, what confirms them, and the folder that trainers take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rerank.incontext_support import decoder_folder
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.decode import Decoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.indexing.learning_queries import query_texts
from leanseek.indexing.snapshot import Snapshot
from leanseek.train import Drawing, EncoderRecipe, QueryRecipe, Source, generate_queries, plan_training
from leanseek.train.generated_queries import confirm, merged
from leanseek.train.query_writers import FAR, NEAR, TextWriter, WrittenQuery, grades_of
from leanseek.types import Ranked

DOCUMENTS = 130


@pytest.fixture(scope="module")
def trecqa(collection: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = tmp_path_factory.mktemp("trecqa") / "index"
    documents = open_collection(collection("trecqa")).documents()
    with Index.create(index) as made:
        made.add(islice((one for one in documents if one.text), DOCUMENTS))
    return index


@pytest.fixture(scope="module")
def made(trecqa: Path) -> Path:
    out = trecqa.parent / "made"
    generate_queries(trecqa, out)
    return out


@pytest.fixture
def snapshot(trecqa: Path) -> Iterator[Snapshot]:
    opened = Snapshot.open(trecqa)
    yield opened
    opened.close()


def test_the_grades_are_those_of_the_own_text_a_neighbour_s_and_a_distant_one_s(
    made: Path, snapshot: Snapshot
) -> None:
    collection = open_collection(made)
    documents = {one.id: one for one in collection.documents()}
    assert len(documents) == DOCUMENTS
    texts = {query.id: query.text for query in collection.queries("train")}
    order = nearest(snapshot)
    seen = set()
    for query, grades in collection.qrels("train").items():
        own = [name for name, grade in grades.items() if grade == 2]
        assert own and all(texts[query] in {text for _, text in query_texts(documents[name])} for name in own)
        for name, grade in grades.items():
            places = [order[name].index(one) for one in own if one != name]
            seen.add(grade)
            if grade == 1:
                assert any(NEAR.start <= place < NEAR.stop for place in places)
            if grade == 0:
                assert all(place >= FAR for place in places)
    assert seen == {0, 1, 2}


def nearest(snapshot: Snapshot) -> dict[str, list[str]]:
    """All other documents by their cosine with each."""
    everything = np.arange(snapshot.size)
    names, vectors = snapshot.passages.ids(everything), snapshot.vectors(everything).astype(np.float64)
    ranks = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")
    return {name: [names[i] for i in row if names[i] != name] for name, row in zip(names, ranks, strict=True)}


def test_it_is_the_same_for_the_same_seed_and_an_interruption_changes_nothing(
    made: Path, trecqa: Path, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int | None) -> None:
        if stage == "searching":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_queries(trecqa, tmp_path / "again", progress=interrupt)
    assert not (tmp_path / "again").exists()
    log = tmp_path / "again.written.jsonl"
    log.write_text(log.read_text()[:-20])  # the machine was switched off
    generate_queries(trecqa, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]
    generate_queries(trecqa, tmp_path / "other", QueryRecipe(seed=1))
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        assert (made / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (made / "qrels/train.tsv").read_bytes() != (tmp_path / "other/qrels/train.tsv").read_bytes()


def test_a_search_has_to_agree() -> None:
    class Ranking:
        def rank_batch(self, queries: list[str], k: int, **_: object) -> list[list[Ranked]]:
            return [[Ranked(name, 1.0) for name in "abcdef"[:k]] for _ in queries]

    searcher: Searcher = Ranking()  # type: ignore[assignment]
    judged = {
        "kept": {"c": 2, "x": 0, "y": 1},
        "not found": {"d": 2, "x": 0},
        "found all the same": {"a": 2, "f": 0},
        "nothing left": {"f": 0},
    }
    assert confirm(judged, searcher) == {"kept": judged["kept"], "found all the same": {"a": 2}}


def test_of_two_grades_the_better_holds_and_case_makes_no_query() -> None:
    written = [
        WrittenQuery("Wing loads", "a", 1),
        WrittenQuery("wing loads", "a", 2),
        WrittenQuery("Wing loads", "b", 0),
    ]
    assert merged(written) == {"Wing loads": {"a": 2, "b": 0}}
    assert grades_of(1) == [2] and grades_of(5) == [2, 1, 0, 2, 1]


def test_positives_alone_and_a_limit(trecqa: Path, tmp_path: Path) -> None:
    report = generate_queries(trecqa, tmp_path / "out", QueryRecipe(per_document=1, limit=7))
    assert report.documents == 7 and report.corpus == DOCUMENTS
    assert report.partial == report.not_relevant == 0 and 1 <= report.perfect <= 7
    assert report.queries + report.refused == 7 - report.silent


def test_the_trainers_take_the_folder(made: Path, tmp_path: Path) -> None:
    plan = plan_training(
        [Source(open_collection(made), "train")], EncoderRecipe(), Drawing(), tmp_path / "model"
    )
    assert plan.queries["made:train"] == len(open_collection(made).queries("train")) > 50


def test_a_decoder_writes_a_form_and_its_blocks_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def write(self: Decoder, prompts: list[str], **options: object) -> list[object]:
        from leanseek.decode import Generated

        asked.extend(prompts)
        texts = []
        for prompt in prompts:
            word = next(word for word in WORDS if f"{word} is here" in prompt)
            values = {"perfect": f"where is {word}", "partial": "what is here", "not relevant": "x\ufffd"}
            texts.append(Generated(json.dumps(values), (), word != WORDS[0]))
        if len(asked) == 12:
            raise KeyboardInterrupt
        return texts

    monkeypatch.setattr(Decoder, "generate", write)
    documents = [Document(f"{number:02}", f"{word} is here.") for number, word in enumerate(WORDS)]
    recipe = QueryRecipe(generator=decoder_folder(tmp_path / "decoder"))
    with pytest.raises(KeyboardInterrupt):
        generate_queries(iter(documents), tmp_path / "out", recipe)
    report = generate_queries(iter(documents), tmp_path / "out", recipe)
    assert len(asked) == 16, "the first block is not written again"
    assert report.perfect == report.partial == 11 and report.silent == 1, "an unfinished form is no query"
    assert report.queries == 12 and report.not_relevant == 0


WORDS = "owls bats moles hares foxes deer otters voles shrews stoats newts toads".split()


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="holds no generated queries"):
        generate_queries([], tmp_path / "taken")
    for wrong in ({"per_document": 0}, {"limit": 0}):
        with pytest.raises(UsageError, match="give 1 or more"):
            QueryRecipe(**wrong)
    with pytest.raises(InputError, match="no query was found"):
        generate_queries([Document("a", "word"), Document("b", "other")], tmp_path / "out")
    Index.create(tmp_path / "sparse", encoder=None).add([Document("a", "What is a wing?")])
    found = CliRunner().invoke(
        app, ["generate", "queries", str(tmp_path / "sparse"), "--out", str(tmp_path / "out")]
    )
    assert found.exit_code == 2 and "has no vectors" in found.stderr
    with (
        Searcher.open(tmp_path / "sparse") as searcher,
        pytest.raises(UsageError, match="--generator a decoder"),
    ):
        TextWriter(searcher.source, 3, seed=0)
    assert not (tmp_path / "out").exists()


def test_the_command_tells_what_it_made(trecqa: Path, tmp_path: Path) -> None:
    command = ["generate", "queries", str(trecqa), "--out", str(tmp_path / "out"), "--limit", "5"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0 and "for 5 documents of 130" in found.stdout
    report = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    stored = json.loads((tmp_path / "out" / "generated.json").read_text())
    assert {key: stored[key] for key in report if key != "out"} | {"out": report["out"]} == report
