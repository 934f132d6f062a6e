"""ir_datasets by id, on data sets made of local files; nothing is downloaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from leanseek.errors import InputError, MissingPackageError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.types import Document, Query

library: Any = pytest.importorskip("ir_datasets")


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`local`, with `local/dev` and `local/trec/judged`, and `local-other`, in a registry of their own."""
    docs, queries = tmp_path / "docs.tsv", tmp_path / "queries.tsv"
    docs.write_text("d1\tfirst text\nd2\tsecond text\n")
    queries.write_text("q1\tone\nq2\ttwo\nq3\tthree\n")
    for name, lines in (("dev", "q2 0 d1 1\nq1 0 d2 0\n"), ("judged", "q3 0 d2 2\n")):
        (tmp_path / f"{name}.qrels").write_text(lines)
    whole = library.create_dataset(docs_tsv=str(docs), queries_tsv=str(queries))
    parts = {
        name: library.datasets.base.Dataset(
            whole.docs_handler(),
            whole.queries_handler(),
            library.formats.TrecQrels(library.util.LocalDownload(tmp_path / f"{name}.qrels"), {}),
        )
        for name in ("dev", "judged")
    }
    monkeypatch.setattr(library, "registry", library.util.Registry())
    library.registry.register("local", whole)
    library.registry.register("local/dev", parts["dev"])
    library.registry.register("local/trec/judged", parts["judged"])
    library.registry.register("local-other", library.create_dataset(queries_tsv=str(queries)))
    return tmp_path


def test_an_id_with_judgments_is_one_split(registered: Path) -> None:
    opened = open_collection("irds:local/trec/judged")
    assert opened.name == "local-trec-judged"
    assert opened.splits == ("trec-judged",)
    assert list(opened.documents()) == [Document("d1", "first text"), Document("d2", "second text")]
    assert opened.queries("trec-judged") == [Query("q3", "three")]
    assert opened.qrels("trec-judged") == {"q3": {"d2": 2}}
    assert not opened.self_hits
    with pytest.raises(UsageError, match="splits are: trec-judged"):
        opened.qrels("dev")


def test_an_id_without_has_those_below_it(registered: Path) -> None:
    opened = open_collection("irds:local")
    assert opened.splits == ("dev", "trec-judged")
    assert opened.queries("dev") == [Query("q1", "one"), Query("q2", "two")]
    assert opened.qrels("dev") == {"q1": {"d2": 0}, "q2": {"d1": 1}}
    assert [query.id for query in opened.queries()] == ["q1", "q2", "q3"]


def test_the_checksum_is_of_the_content(registered: Path) -> None:
    first = open_collection("irds:local/dev").checksum
    assert first == open_collection("irds:local/dev").checksum
    assert first != open_collection("irds:local/trec/judged").checksum
    (registered / "dev.qrels").write_text("q2 0 d1 2\nq1 0 d2 0\n")
    assert open_collection("irds:local/dev").checksum != first


def test_titles_are_told_apart(registered: Path, tmp_path: Path) -> None:
    class Docs(library.formats.BaseDocs):  # type: ignore[misc]
        def docs_iter(self) -> Any:
            from ir_datasets.datasets.beir import BeirTitleDoc

            yield BeirTitleDoc("a", "body", "Head")

    library.registry.register("titled", library.datasets.base.Dataset(Docs()))
    assert list(open_collection("irds:titled").documents()) == [Document("a", "body", "Head")]


def test_what_cannot_be_had(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match=r"no data set 'local/trec/jugded'. Did you mean irds:local/trec/judged"
    ):
        open_collection("irds:local/trec/jugded")
    with pytest.raises(InputError, match="'local-other' has no documents"):
        open_collection("irds:local-other")
    opened = open_collection("irds:local/dev")
    (registered / "docs.tsv").unlink()
    with pytest.raises(InputError, match="ir_datasets cannot read the docs of 'local/dev'"):
        list(opened.documents())
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingPackageError, match=r"leanseek\[irds\]"):
        open_collection("irds:local/dev")


def test_its_own_ids_have_the_splits_it_documents() -> None:
    assert open_collection("irds:beir/scifact").splits == ("test", "train")
    assert open_collection("irds:vaswani").splits == ("test",)
    assert open_collection("irds:msmarco-passage/trec-dl-2019/judged").splits == ("trec-dl-2019-judged",)
    assert json.dumps(open_collection("irds:beir/scifact/test").splits) == '["test"]'
