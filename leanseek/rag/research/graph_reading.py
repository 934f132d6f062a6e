"""What a planner writes, read as a graph: repaired where it is clear what was meant, refused elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from leanseek.errors import InputError, UsageError
from leanseek.rag.research.graph import PLACE, Graph, Node

LONGEST: Final = 1_000_000
"""Characters of a reply that are looked at."""
LONGEST_QUESTION: Final = 2_000
"""Characters of a question; a planner that repeats itself writes more."""

# How planners name the same things.
_NAMES: Final = ("name", "id")
_QUESTIONS: Final = ("question", "query", "content")
_PARENTS: Final = ("parents", "depends_on", "after")
_FROM: Final = ("from", "parent", "source")
_TO: Final = ("to", "child", "target")


class Plan(NamedTuple):
    """A graph, and what of the reply had to be repaired to make it one."""

    graph: Graph
    notes: tuple[str, ...] = ()


class _Draft(NamedTuple):
    """A node as it was written; `named`: by the planner, not by its place."""

    name: str
    question: str
    parents: list[str]
    named: bool


def read_graph(reply: str, max_nodes: int) -> Plan:
    """The graph in a planner's reply: `{"nodes": [{"name": …, "question": …, "parents": […]}]}`.

    Repaired, each with a note: text or a code fence around the JSON, missing names, empty questions, parents that are
    no nodes or the node itself, questions asked twice, a `{parent}` in the question that is not among the parents, more
    than `max_nodes` nodes (those that come last are left out).

    Refused with an InputError that gives the reason: no JSON, no node, a circle, one name for two questions where
    others wait for that name, a question of over 2,000 characters.
    """
    notes: list[str] = []
    drafts = list(_drafts(_found(reply, notes), notes))
    drafts = _once(_distinct_names(drafts, notes), notes)
    known = {draft.name for draft in drafts}
    nodes = [Node(draft.name, draft.question, _parents(draft, known, notes)) for draft in drafts]
    if not nodes:
        raise InputError("the reply has no question; a graph needs at least one node with a question")
    try:
        graph = Graph(nodes)
    except UsageError as error:
        raise InputError(str(error)) from error
    if len(graph) > max_nodes:
        notes.append(f"of {len(graph)} questions the last {len(graph) - max_nodes} were left out")
        graph = Graph(graph.nodes[:max_nodes])
    return Plan(graph, tuple(notes))


def _found(reply: str, notes: list[str]) -> Any:
    """The first JSON in a reply that holds nodes."""
    text = reply.strip()
    if len(text) > LONGEST:
        raise InputError(f"the reply has {len(text):,} characters; a graph has at most {LONGEST:,}")
    decoder = json.JSONDecoder()
    start, tries = 0, 0
    while tries < 100:
        start = min((at for at in (text.find("{", start), text.find("[", start)) if at >= 0), default=-1)
        if start < 0:
            break
        tries += 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
            continue
        if isinstance(value, dict) and isinstance(value.get("graph"), dict):
            value = value["graph"]
        if _listed(value) is not None:
            if start or end < len(text):
                notes.append("the text around the JSON was left out")
            return value
        start = end
    shown = " ".join(text[:80].split())
    raise InputError(
        f'the reply holds no graph: it begins "{shown}"; expected is {{"nodes": [{{"name": …, "question": …}}]}}'
        if text
        else "the reply is empty"
    )


def _listed(value: Any) -> list[Any] | None:
    """The nodes as they are listed in a value; None where it has none."""
    nodes = value
    if isinstance(value, dict):
        nodes = [value] if "nodes" not in value and _first(value, _QUESTIONS) else value.get("nodes")
    if isinstance(nodes, dict):
        nodes = [
            {"name": name, **one} if isinstance(one, dict) else {"name": name, "question": one}
            for name, one in nodes.items()
        ]
    if not isinstance(nodes, list) or not any(isinstance(node, dict | str) for node in nodes):
        return None
    return nodes


def _drafts(value: Any, notes: list[str]) -> Iterator[_Draft]:
    edges = value.get("edges") if isinstance(value, dict) else None
    waits = list(_edges(edges, notes))
    for number, one in enumerate(_listed(value) or (), 1):
        node = one if isinstance(one, Mapping) else {"question": one}
        name = _first(node, _NAMES)
        named = isinstance(name, str | int) and not isinstance(name, bool) and bool(str(name).strip())
        label = str(name).strip() if named else str(number)
        question = _first(node, _QUESTIONS)
        if not isinstance(question, str) or not question.strip():
            notes.append(f"the node '{label}' asks nothing and was left out")
            continue
        question = " ".join(question.split())
        if len(question) > LONGEST_QUESTION:
            raise InputError(
                f"the question of the node '{label}' has {len(question):,} characters; at most {LONGEST_QUESTION:,}"
            )
        if not named:
            notes.append(f"the node {number} has no name and was numbered")
        given = _first(node, _PARENTS)
        parents = given if isinstance(given, list) else [] if given is None else [given]
        parents = [str(parent).strip() for parent in parents if isinstance(parent, str | int)]
        yield _Draft(label, question, parents + [parent for parent, child in waits if child == label], named)


def _edges(edges: Any, notes: list[str]) -> Iterator[tuple[str, str]]:
    """The pairs (parent, child) of a list of edges."""
    for edge in edges if isinstance(edges, list) else []:
        pair = (_first(edge, _FROM), _first(edge, _TO)) if isinstance(edge, Mapping) else edge
        if isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2 and None not in pair:
            yield str(pair[0]).strip(), str(pair[1]).strip()
        else:
            notes.append("an edge without two ends was left out")


def _first(node: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((node[key] for key in keys if node.get(key) is not None), None)


def _distinct_names(drafts: list[_Draft], notes: list[str]) -> list[_Draft]:
    """The drafts, each with a name of its own."""
    waited_for = {parent for draft in drafts for parent in draft.parents}
    taken: dict[str, _Draft] = {}
    for draft in drafts:
        name, number = draft.name, 1
        while name in taken:
            if taken[name].question.casefold() == draft.question.casefold():
                break
            if draft.named and draft.name in waited_for:
                raise InputError(
                    f"two different questions are named '{draft.name}', and others wait for that name"
                )
            number += 1
            name = f"{draft.name}-{number}"
        if name in taken:
            taken[name].parents.extend(draft.parents)
            notes.append(f"the node '{name}' was given twice and is asked once")
            continue
        if name != draft.name:
            notes.append(f"a second node named '{draft.name}' was named '{name}'")
        taken[name] = draft._replace(name=name)
    return list(taken.values())


def _once(drafts: list[_Draft], notes: list[str]) -> list[_Draft]:
    """The drafts without questions that another asks too; those that wait for one of these wait for the other."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for draft in drafts:
        kept = first.setdefault(draft.question.casefold(), draft.name)
        if kept != draft.name:
            same[draft.name] = kept
            notes.append(f"the nodes '{kept}' and '{draft.name}' ask the same, which is asked once")
    return [
        draft._replace(
            question=PLACE.sub(lambda place: f"{{{same.get(place[1], place[1])}}}", draft.question),
            parents=[same.get(parent, parent) for parent in draft.parents],
        )
        for draft in drafts
        if draft.name not in same
    ]


def _parents(draft: _Draft, known: set[str], notes: list[str]) -> tuple[str, ...]:
    """The parents of a draft that there are, those that its question names among them."""
    inside = [name for name in PLACE.findall(draft.question) if name in known]
    found = dict.fromkeys([*draft.parents, *inside])
    for name in inside:
        if name not in draft.parents and name != draft.name:
            notes.append(f"the node '{draft.name}' names '{name}' in its question and waits for it")
    for name in list(found):
        if name == draft.name:
            notes.append(f"the node '{name}' does not wait for itself")
        elif name not in known:
            notes.append(f"the node '{draft.name}' does not wait for '{name}', which is no node")
        else:
            continue
        del found[name]
    return tuple(found)
