"""Graphs executed over a searcher, and what is made of what they find."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from support import HashEncoder, make_documents

from leanseek import Document, Hit, Index, Searcher
from leanseek.errors import UsageError
from leanseek.rag.research import Graph, Node, Research, run
from leanseek.rag.research.claims import claims_of
from leanseek.rag.research.coverage import SURE, key, merged, shared_context
from leanseek.searcher.searcher import estimate_tokens

TOWNS = [
    Document("france", "France won the World Cup in 1998. Its team was led by Zidane.", "France"),
    Document("paris", "Paris is the capital of France. It lies on the Seine.", "Paris"),
    Document("brazil", "Brazil won the World Cup in 1994. The final was played in Pasadena.", "Brazil"),
    Document("brasilia", "Brasilia is the capital of Brazil.", "Brasilia"),
    Document("luther", "Luther was born in Eisleben. Luther died in Eisleben too.", "Martin Luther"),
    Document("copy", "Paris is the capital of France. Nothing else is said here.", "Copies"),
]


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    index = Index.create(tmp_path_factory.mktemp("towns") / "i", encoder=None)
    index.add(TOWNS)
    return Searcher.open(index.path)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    index = Index.create(tmp_path_factory.mktemp("many") / "i", encoder=HashEncoder())
    index.add(make_documents(120))
    return Searcher.open(index.path, encoder=HashEncoder())


def test_a_bridge_asks_with_what_its_parent_has_found(towns: Searcher) -> None:
    found = run(towns, "What is the capital of the country that won the World Cup in 1998?")
    first, second = found.findings
    assert first.hits[0].id == "france" and second.node.parents == ("1",)
    assert second.asked == "What is the capital of the country France"
    assert second.hits[0].id in ("paris", "copy")
    assert {"france", "paris"} <= {hit.id for hit in found.hits[:3]}
    claim = next(one for one in found.claims if one.node == "2")
    assert claim.text == "Paris is the capital of France." and set(claim.ids) == {"paris", "copy"}


def test_titles_of_parents_that_a_question_does_not_name_are_added(towns: Searcher) -> None:
    nodes = [
        Node("cup", "World Cup 1994"),
        Node("other", "born in Eisleben"),
        Node("c", "capital", ("cup", "other")),
    ]
    found = run(towns, "?", planner=lambda question, most: Graph(nodes))
    assert found.findings[2].asked == "capital Brazil Martin Luther"
    assert {"brasilia", "luther"} <= {hit.id for hit in found.findings[2].hits}


def test_a_parent_without_hits_or_title_passes_on_what_it_has(towns: Searcher, tmp_path: Path) -> None:
    nodes = [Node("a", "zzz qqq"), Node("b", "capital of {a}", ("a",))]
    found = run(towns, "?", planner=lambda question, most: Graph(nodes))
    assert found.findings[1].asked == "capital of zzz qqq" and found.findings[1].hits
    assert found.notes == ("nothing was found for 'zzz qqq'",)
    index = Index.create(tmp_path / "i", encoder=None)
    index.add([Document("x", " ".join(f"word{number}" for number in range(40)))])
    nodes = [Node("a", "word3"), Node("b", "and {a}", ("a",))]
    found = run(Searcher.open(index.path), "?", planner=lambda question, most: Graph(nodes))
    assert found.findings[1].asked.split() == ["and", *(f"word{number}" for number in range(12))]


def test_each_node_has_the_hits_of_a_search(many: Searcher) -> None:
    question = "What is the statin trial and where is the shock wave and who was the library of the index that is new?"
    found = run(many, question, k=7, filter="year >= 1995")
    assert len(found.findings) == 4
    for finding in found.findings:
        expected = many.search(finding.asked, 7, literal=True, filter="year >= 1995")
        assert list(finding.hits) == expected
    assert run(many, question, k=7, filter="year >= 1995") == found


def test_nodes_of_a_wave_are_asked_at_once_and_after_their_parents(many: Searcher, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    barrier = threading.Barrier(3, timeout=30)
    calls: list[list[str]] = []

    class Watched:
        def search_batch(self, queries: Sequence[str], k: int, **options: Any) -> list[list[Hit]]:
            calls.append(list(queries))
            if len(calls) <= 3:
                barrier.wait()  # passes only where three threads ask at the same time
            return many.search_batch(queries, k, **options)

    nodes = [Node(f"n{number}", f"statin {number}") for number in range(6)]
    nodes.append(Node("last", "wave", tuple(node.name for node in nodes)))
    run(Watched(), "?", planner=lambda question, most: Graph(nodes))  # type: ignore[arg-type]
    assert sorted(map(len, calls)) == [1, 2, 2, 2] and calls[-1][0].startswith("wave")


@given(some.integers(0, 10_000), some.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_the_budget_is_kept_and_shared(many: Searcher, seed: int, budget: int) -> None:
    chance = random.Random(seed)
    words = "statin wing wave library enzyme orbit".split()
    nodes = [
        Node(str(n), " ".join(chance.choices(words, k=2)) + f" {n}") for n in range(chance.randint(1, 6))
    ]
    found = run(many, "?", planner=lambda question, most: Graph(nodes), max_tokens=budget, k=6)
    assert found.context.tokens <= budget and estimate_tokens(found.context.text) == found.context.tokens
    ids = [hit.id for hit in found.hits]
    assert len(ids) == len(set(ids)) and [hit.rank for hit in found.hits] == [*range(1, len(ids) + 1)]
    assert {passage.id for passage in found.context.passages} <= set(ids)
    assert {one for claim in found.claims for one in claim.ids} <= set(ids)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)


def hit(id: str, rank: int, probability: float | None = None, text: str = "") -> Hit:
    return Hit(rank, id, 1 / rank, "", text, {}, probability=probability)


def test_a_question_with_long_passages_leaves_the_others_their_share() -> None:
    long = [hit(f"long{n}", n, 0.9, f"{n} " + f"Sentence {n} of many words. " * 60) for n in range(1, 4)]
    short = [hit("short", 1, 0.2, "A short answer of its own.")]
    both = merged([long, short], 10)
    assert both[0].id == "long1"
    context = shared_context(both, [long, short], 300, estimate_tokens)
    assert context.tokens <= 300 and {"long1", "short"} == {one.id for one in context.passages}
    assert context.tokens > 200  # what the short one does not need the long one gets
    nothing = shared_context([], [[], []], 300, estimate_tokens)
    assert nothing.text == "" and not nothing.passages


lists = some.lists(
    some.lists(
        some.tuples(some.integers(0, 12), some.floats(0, 1)), max_size=8, unique_by=lambda one: one[0]
    ),
    min_size=1,
    max_size=5,
)


@given(lists, some.integers(1, 12))
@settings(max_examples=50)
def test_each_hit_is_the_one_that_leaves_least_open(
    given_lists: list[list[tuple[int, float]]], k: int
) -> None:
    found = [[hit(f"d{one}", rank, p) for rank, (one, p) in enumerate(row, 1)] for row in given_lists]
    order = merged(found, k)
    chances = [{f"d{one}": min(p, SURE) for one, p in row} for row in given_lists]

    def gain(id: str, before: Sequence[str]) -> float:
        total = 0.0
        for row in chances:
            left = 1.0
            for one in before:
                left *= 1 - row.get(one, 0.0)
            total += left * row.get(id, 0.0)
        return total

    ids = [one.id for one in order]
    everything = {id for row in chances for id in row}
    assert len(ids) == len(set(ids)) == min(k, len(everything))
    for place, one in enumerate(order):
        assert one.score == pytest.approx(gain(one.id, ids[:place]))
        assert one.probability == max(p for row in given_lists for d, p in row if f"d{d}" == one.id)
        rest = everything - set(ids[: place + 1])
        assert all(one.score >= gain(other, ids[:place]) - 1e-9 for other in rest)


def test_without_probabilities_questions_take_turns() -> None:
    one = [hit(f"a{n}", n) for n in range(1, 4)]
    two = [hit(f"b{n}", n) for n in range(1, 4)]
    assert [found.id for found in merged([one, two], 6)] == ["a1", "b1", "a2", "b2", "a3", "b3"]
    assert key(one[0]) == ("a1", 0)


def test_claims_are_the_sentences_with_the_rarest_words() -> None:
    text = "It was a mild day. The treaty was signed in Eisleben by Dr. Luther! It was over."
    found = claims_of("n", "Where was the treaty signed?", [hit("a", 1, 0.9, text), hit("b", 2, 0.9, text)])
    assert found[0].text == "The treaty was signed in Eisleben by Dr. Luther!"
    assert found[0].ids == ("a", "b") and found[0].node == "n"
    assert not claims_of("n", "xyz", [hit("a", 1, 0.9, text)])


Planner = Callable[[str, int], Any]


@pytest.mark.parametrize(
    ("planner", "reason"),
    [
        (lambda question, most: "", "the reply is empty"),
        (lambda question, most: "I am a teapot", 'begins "I am a teapot"'),
        (lambda question, most: "again and " * 5000, "no graph"),
        (lambda question, most: None, "a NoneType"),
        (lambda question, most: {"nodes": []}, "a dict"),
        (
            lambda question, most: json.dumps(
                [
                    {"name": "a", "question": "x", "parents": ["b"]},
                    {"name": "b", "question": "y", "parents": ["a"]},
                ]
            ),
            "in a circle: a → b → a",
        ),
    ],
)
def test_a_broken_graph_is_not_executed_and_the_question_asked_whole(
    towns: Searcher, planner: Planner, reason: str
) -> None:
    found = run(towns, "Where was Luther born?", planner=planner)
    assert [one.asked for one in found.findings] == ["Where was Luther born?"]
    assert found.hits[0].id == "luther"
    (note,) = found.notes
    assert (
        note.startswith("the planner's graph was refused, and the question was asked whole: ")
        and reason in note
    )


def test_a_planner_that_repeats_itself_is_asked_once_and_cut(towns: Searcher) -> None:
    same = json.dumps([{"name": f"n{n}", "question": "Where was Luther born?"} for n in range(1000)])
    found = run(towns, "?", planner=lambda question, most: same)
    assert len(found.graph) == 1 and len(found.notes) == 999
    endless = json.dumps([{"name": f"n{n}", "question": f"Luther {n}?"} for n in range(1000)])
    found = run(towns, "?", planner=lambda question, most: endless, max_nodes=3)
    assert len(found.graph) == 3 and "of 1000 questions the last 997 were left out" in found.notes
    graph = Graph([Node(f"n{n}", f"Luther {n}?") for n in range(20)])
    assert len(run(towns, "?", planner=lambda question, most: graph).graph) == 8


def test_an_error_of_the_planner_itself_is_raised(towns: Searcher) -> None:
    def broken(question: str, most: int) -> str:
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        run(towns, "x", planner=broken)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"question": "  "}, "blank"),
        ({"k": 0}, "k is 0"),
        ({"max_nodes": 0}, "max_nodes is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 1.5}, r"max_tokens is 1\.5"),
        ({"planner": " "}, "no name"),
        ({"mode": "dense"}, "without a dense side"),
    ],
)
def test_what_is_refused(towns: Searcher, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(towns, **{"question": "who?", **wrong})


def test_a_budget_below_one_citation_says_so(towns: Searcher) -> None:
    found = run(towns, "Where was Luther born and what is the capital of France?", max_tokens=2)
    assert found.context.text == "" and len(found.notes) == 2
    assert "max_tokens, 2, has no room for a passage on 'Where was Luther born'" in found.notes


def test_the_record_is_json_with_ids_for_every_claim(towns: Searcher) -> None:
    found = run(towns, "Where was Luther born and what is the capital of France?")
    assert isinstance(found, Research)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert [node["asked"] for node in record["nodes"]] == [
        "Where was Luther born",
        "what is the capital of France?",
    ]
    known = {document.id for document in TOWNS}
    assert record["claims"] and all(claim["ids"] and set(claim["ids"]) <= known for claim in record["claims"])
    assert (
        set(record["context"]["ids"]) <= known and f"({record['hits'][0]['id']})" in record["context"]["text"]
    )


def test_both_answers_of_joined_questions_are_found(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = collection("squad2-dev")
    index = Index.create(tmp_path / "i", encoder=None)
    titles = {}
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()]
    index.add(Document(one["_id"], one["text"], one["title"]) for one in documents)
    titles = {one["_id"]: one["title"] for one in documents}
    gold = dict(line.split("\t")[:2] for line in (folder / "qrels" / "dev.tsv").read_text().splitlines()[1:])
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    asked = [(one["text"].strip(), gold[one["_id"]]) for one in queries if one["_id"] in gold]
    random.Random(9).shuffle(asked)
    pairs = [
        pair
        for pair in zip(asked[::2], asked[1::2], strict=False)
        if titles[pair[0][1]] != titles[pair[1][1]]
    ]
    searcher = Searcher.open(index.path)
    whole = steps = 0
    for (first, one), (second, two) in pairs[:60]:
        text = f"{first.rstrip(' ?.')} and {second[0].lower()}{second[1:]}"
        whole += {one, two} <= {hit.id for hit in searcher.search(text, literal=True)}
        steps += {one, two} <= {hit.id for hit in run(searcher, text).hits}
    assert steps >= 49 and steps >= whole + 4, (whole, steps)
