"""The graph of a question, and how a planner's reply becomes one."""

from __future__ import annotations

import json
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from leanseek.errors import InputError, UsageError
from leanseek.rag.research import Graph, Node, read_graph


def nodes_of(edges: set[tuple[int, int]], count: int) -> list[Node]:
    return [
        Node(
            f"n{child}", f"question {child}?", tuple(f"n{one}" for one, two in sorted(edges) if two == child)
        )
        for child in range(count)
    ]


@some.composite
def acyclic(draw: some.DrawFn) -> list[Node]:
    """Nodes in any order whose parents come before them in another order."""
    count = draw(some.integers(1, 9))
    edges = draw(some.sets(some.sampled_from([*combinations(range(count), 2)]))) if count > 1 else set()
    return draw(some.permutations(nodes_of(edges, count)))


@given(acyclic())
def test_each_node_comes_after_its_parents(nodes: list[Node]) -> None:
    graph = Graph(nodes)
    assert {node.name for node in graph.nodes} == {node.name for node in nodes} and len(graph) == len(nodes)
    for order in (graph.nodes, [node for wave in graph.waves for node in wave]):
        place = {node.name: number for number, node in enumerate(order)}
        assert all(place[parent] < place[node.name] for node in nodes for parent in node.parents)
    wave_of = {node.name: number for number, wave in enumerate(graph.waves) for node in wave}
    for node in nodes:  # asked as soon as it can be, no later
        assert wave_of[node.name] == max((wave_of[parent] + 1 for parent in node.parents), default=0)


@given(acyclic())
def test_nodes_stay_in_the_order_given_where_they_can(nodes: list[Node]) -> None:
    ordered = Graph(nodes).nodes
    assert Graph(ordered).nodes == ordered


@given(acyclic(), some.integers(1, 9))
def test_a_graph_survives_its_json_and_is_cut_to_the_limit(nodes: list[Node], most: int) -> None:
    graph = Graph(nodes)
    plan = read_graph(json.dumps(graph.record()), most)
    assert plan.graph == Graph(graph.nodes[:most])
    assert bool(plan.notes) == (len(graph) > most)


@given(some.integers(2, 7), some.data())
def test_a_circle_is_refused_wherever_it_is(length: int, data: some.DataObject) -> None:
    count = data.draw(some.integers(length, 9))
    ring = data.draw(some.permutations(range(count)))[:length]
    more = data.draw(some.sets(some.sampled_from([*permutations(range(count), 2)])))
    nodes = nodes_of({*zip(ring, [*ring[1:], ring[0]], strict=True)} | more, count)
    with pytest.raises(UsageError, match=r"in a circle: n.* → n"):
        Graph(nodes)
    with pytest.raises(InputError, match="circle"):
        read_graph(json.dumps({"nodes": [vars_of(node) for node in nodes]}), 9)


def vars_of(node: Node) -> dict[str, object]:
    return {"name": node.name, "question": node.question, "parents": list(node.parents)}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "no nodes"),
        ([Node("a", "x"), Node("a", "y")], "two nodes are named 'a'"),
        ([Node("a", " ")], "asks nothing"),
        ([Node("", "x")], "has no name"),
        ([Node("a", "x", ("b",))], "waits for 'b', which is no node; there are a"),
        ([Node("a", "x", ("a",))], "circle: a → a"),
    ],
)
def test_what_is_no_graph(nodes: list[Node], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Graph(nodes)


A = {"name": "a", "question": "Who founded Fiat?"}
B = {"name": "b", "question": "When was {a} born?", "parents": ["a"]}


@pytest.mark.parametrize(
    ("reply", "noted"),
    [
        (json.dumps({"nodes": [A, B]}), ""),
        (json.dumps([A, B]), ""),
        (json.dumps({"graph": {"nodes": [A, B]}}), ""),
        (json.dumps({"nodes": {"a": A["question"], "b": B}}), ""),
        (
            json.dumps(
                {"nodes": [{"id": "a", "query": A["question"]}, {**B, "parents": None, "after": "a"}]}
            ),
            "",
        ),
        (
            f"Sure {{I think}}!\n```json\n{json.dumps({'nodes': [A, B]}, indent=1)}\n```\nDone.",
            "around the JSON",
        ),
        (json.dumps({"nodes": [A, {**B, "parents": []}]}), "names 'a' in its question and waits for it"),
        (json.dumps({"nodes": [A, {**B, "parents": ["a", "b", "root"]}]}), "does not wait for 'root'"),
        (json.dumps({"nodes": [B, A, {"name": "c", "question": "  "}]}), "'c' asks nothing"),
        (json.dumps({"nodes": [A, B, {"name": "c", "question": 7}]}), "'c' asks nothing"),
        (json.dumps({"nodes": [A, B, {**A, "question": "who founded  FIAT?"}]}), "given twice"),
        (json.dumps({"nodes": [A, B, {**A, "name": "c"}]}), "ask the same"),
        (
            json.dumps({"nodes": [A, {**B, "parents": []}], "edges": [["a", "b"], {"from": "a"}, 3]}),
            "edge without two ends",
        ),
    ],
)
def test_replies_that_mean_the_same_graph(reply: str, noted: str) -> None:
    plan = read_graph(reply, 8)
    assert plan.graph == Graph([Node("a", A["question"]), Node("b", "When was {a} born?", ("a",))])
    assert noted in " ".join(plan.notes) if noted else not plan.notes


def test_nodes_without_names_are_numbered_and_second_ones_renamed() -> None:
    plan = read_graph('["one?", {"question": "two?"}]', 8)
    assert plan.graph == Graph([Node("1", "one?"), Node("2", "two?")])
    assert len(plan.notes) == 2
    plan = read_graph(json.dumps([{"name": "q", "question": "one?"}, {"name": "q", "question": "two?"}]), 8)
    assert plan.graph == Graph([Node("q", "one?"), Node("q-2", "two?")])
    assert plan.notes == ("a second node named 'q' was named 'q-2'",)


def test_who_waits_for_a_repeated_question_waits_for_the_first() -> None:
    again = [
        {"name": "a2", "question": A["question"]},
        {**B, "question": "When was {a2} born?", "parents": ["a2"]},
    ]
    assert read_graph(json.dumps([A, *again]), 8).graph == Graph(
        [Node("a", A["question"]), Node("b", "When was {a} born?", ("a",))]
    )


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("", "is empty"),
        ("I cannot do that.", 'begins "I cannot do that."'),
        ('{"nodes": [{"name": "a", "question": "Who fou', "no graph"),
        ('{"nodes": []}', "no graph"),
        ('{"nodes": [{"name": "a"}]}', "no question"),
        ("[" * 100_000, "no graph"),
        ("[" * 2_000_000, "characters"),
        ('{"nodes": ' * 3000, "no graph"),
        (json.dumps([{**A}, {**A, "question": "other?"}, B]), "two different questions are named 'a'"),
        (json.dumps([{"name": "a", "question": "and then " * 300}]), "has 2,699 characters"),
        (json.dumps([{**A, "parents": ["b"]}, B]), "in a circle"),
        ("NaN", "no graph"),
    ],
)
def test_replies_that_are_refused(reply: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_graph(reply, 8)


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers(-3, 3) | some.text(max_size=5),
        lambda inner: (
            some.lists(inner, max_size=4)
            | some.dictionaries(
                some.sampled_from("nodes name id question query parents edges from to graph".split()),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_any_json_is_a_graph_or_refused(value: object) -> None:
    try:
        plan = read_graph(json.dumps(value), 4)
    except InputError:
        return
    assert 1 <= len(plan.graph) <= 4
    assert len({node.question.casefold() for node in plan.graph.nodes}) == len(plan.graph)
