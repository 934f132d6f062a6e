"""Searching a cluster that is stored: the answers of one index, from one epoch at a time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.cluster import ClusterIndex, ClusterSearcher
from leanseek.cluster.questions import Frequencies
from leanseek.errors import EpochGoneError, IndexDamagedError, IndexNotFoundError, UsageError
from leanseek.indexing.creation import make_plan
from leanseek.searcher.relevance.model import RelevanceModel

DOCUMENTS = make_documents(300, 3)
QUERIES = ["statin trial", "wing slipstream layer", "glucose insulin query"]


def both(tmp_path: Path, documents: Sequence[Document] = DOCUMENTS) -> tuple[Index, ClusterIndex]:
    """One index, and a cluster, of the same documents."""
    one = Index.create(tmp_path / "one", encoder=HashEncoder(), dense="flat")
    one.add(documents, on_duplicate="replace")
    plan = make_plan(encoder=HashEncoder(), dense="flat")
    ClusterIndex.build(tmp_path / "many", documents, plan, 3, on_duplicate="replace")
    return one, ClusterIndex.open(tmp_path / "many", encoder=HashEncoder())


def test_every_epoch_answers_as_one_index_of_its_generation(tmp_path: Path) -> None:
    one, many = both(tmp_path)
    single = Searcher.open(one.path, encoder=HashEncoder(), relevance=None)
    searcher = ClusterSearcher.open(tmp_path / "many", encoder=HashEncoder(), relevance=None)
    expected = [single.search_batch(QUERIES, 9)]
    assert searcher.search_batch(QUERIES, 9) == expected[0]
    for index in (one, many):
        index.delete([document.id for document in DOCUMENTS[::5]])
    assert searcher.search_batch(QUERIES, 9) == expected[0]  # not before it is refreshed
    assert single.refresh() and searcher.refresh() and not searcher.refresh()
    expected.append(single.search_batch(QUERIES, 9))
    assert searcher.search_batch(QUERIES, 9) == expected[1] != expected[0]
    for index in (one, many):
        index.add([Document("new", "statin trial wing")])
        index.compact()
    assert single.refresh() and searcher.refresh()
    assert searcher.search_batch(QUERIES, 9) == single.search_batch(QUERIES, 9)
    searcher.close()
    with pytest.raises(UsageError, match="closed"):
        searcher.search("wing")


def test_probabilities_go_by_the_whole_cluster(tmp_path: Path, relevance: RelevanceModel) -> None:
    """The background is that of one index which has had the same history, and so are the probabilities."""
    documents = DOCUMENTS[:160]
    one, many = both(tmp_path, documents)
    relevance.save(tmp_path / "judge.relevance")
    options: Any = {"encoder": HashEncoder(), "relevance": tmp_path / "judge.relevance"}
    searchers = Searcher.open(one.path, **options), ClusterSearcher.open(tmp_path / "many", **options)
    backgrounds = []
    more = make_documents(200, 5, prefix="m")
    changes: list[Callable[[Any], object]] = [
        lambda index: None,
        lambda index: index.delete([document.id for document in documents[:20]]),
        lambda index: index.add(more[:10]),
        lambda index: index.compact(),
        lambda index: index.add(more[10:]),  # twice as many as were measured
    ]
    for change in changes:
        for index in (one, many):
            change(index)
        for searcher in searchers:
            searcher.refresh()
        single, cluster = (searcher.search_batch(QUERIES, 30) for searcher in searchers)
        assert repr(single) == repr(cluster) and single[0][0].probability is not None
        assert many.epoch.settings.background == one.settings.background
        backgrounds.append(one.settings.background)
    first, *_, before, last = backgrounds
    assert (
        first is not None
        and first == before
        and last is not None
        and last.passages == 340 > 2 * first.passages
    )


def test_a_call_ends_on_the_epoch_that_it_began_with(tmp_path: Path) -> None:
    _, many = both(tmp_path)
    searcher = ClusterSearcher.open(tmp_path / "many", encoder=HashEncoder())
    transport = searcher._transport
    asked = {shard: Frequencies(("wing",)) for shard in range(3)}
    before = transport.ask(1, asked)
    many.delete({document.id for document in DOCUMENTS[:200]})
    assert transport.epoch.number == 2
    assert transport.ask(1, asked) == before != transport.ask(2, asked)
    for id in sorted({document.id for document in DOCUMENTS[200:]})[:2]:
        many.delete([id])
        _ = transport.epoch
    with pytest.raises(EpochGoneError):
        transport.ask(1, asked)
    searcher.close()


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    _, many = both(tmp_path)
    with pytest.raises(IndexNotFoundError, match="cluster build"):
        ClusterSearcher.open(tmp_path / "nowhere")
    with pytest.raises(IndexNotFoundError, match="one index"):
        ClusterSearcher.open(tmp_path / "one")
    (tmp_path / "many" / many.epoch.shards[2].folder / "catalog.sqlite").unlink()
    with pytest.raises(IndexDamagedError, match=r"shard 2.*missing"):
        ClusterSearcher.open(tmp_path / "many", encoder=HashEncoder())


def test_the_commands(tmp_path: Path) -> None:
    source = tmp_path / "corpus.jsonl"
    source.write_text("".join(f'{{"id": "a{n}", "text": "wing {n} layer", "n": {n}}}\n' for n in range(40)))
    run = CliRunner()
    url = str(tmp_path / "cluster")

    def call(*words: str, code: int = 0) -> str:
        result = run.invoke(app, ["cluster", *words])
        assert result.exit_code == code, result.output
        return result.output

    build = ("build", str(source), "--into", url, "--dense", "none")
    call(*build, code=2)  # how many shards, nobody has said
    assert "40 documents in 3 shards" in call(*build, "--shards", "3")
    assert "built from these sources before" in call(*build, "--shards", "3")
    assert "40 documents" in call(*build, "--shards", "4", code=4)
    assert "epoch 1, 40 documents" in call("status", url)
    assert "a7" in call("search", url, "wing", "7", "-k", "1").splitlines()[0].split()
    assert "and 30 more" in call("search", url, "wing", "--facet", "n", "--recency", "n:1y")
    assert "[1] a" in call("search", url, "wing", "--context", "90", "--guard", "drop", "--also", "layer")
    assert "no document has" in call("search", url, "wing", "--facet", "m", code=3)
    call("search", url, "wing", "--guard", "mark", code=2)  # what it would look at is a context
    call("add", url, str(source), code=3)
    assert "30 documents deleted; epoch 2" in call("delete", url, "--filter", "n >= 10")
    assert "epoch 3" in call("compact", url) and "Nothing to compact" in call("compact", url)
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\twing 7\nq2\tlayer 3\n")
    call("run", url, str(queries), "--out", str(tmp_path / "run.trec"), "-k", "5")
    assert len((tmp_path / "run.trec").read_text().splitlines()) == 10
    assert "Sound" in call("check", url)
    shard = tmp_path / "cluster" / ClusterIndex.open(url).epoch.shards[1].folder
    next(shard.rglob("rows.npy")).unlink()
    assert "shard 1" in call("check", url, code=4)
    assert "shard 1" in call("search", url, "wing", code=4)
    call("status", str(tmp_path / "nowhere"), code=4)
    call("search", url, "wing", "--address", "nonsense", code=2)
    if importlib.util.find_spec("ray") is None:
        call("search", url, "wing", "--address", "127.0.0.1:1", code=6)
    else:
        assert "Connection refused" in call("compact", url, "--address", "127.0.0.1:1", code=9)
