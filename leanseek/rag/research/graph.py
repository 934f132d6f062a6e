"""The graph of a question: simpler questions, and which of them wait for what others find."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from leanseek.errors import UsageError

PLACE: Final = re.compile(r"\{([^{}]+)\}")
"""Where a question takes what a parent has found: the parent's name in braces."""


@dataclass(frozen=True, slots=True)
class Node:
    """A question of a graph. It is asked after its `parents`, the names of other nodes.

    `{name}` in the question stands for the title of what the parent of that name has found; titles of parents that it
    does not name are added to its words.
    """

    name: str
    question: str
    parents: tuple[str, ...] = ()


class Graph:
    """Questions in an order in which each comes after its parents. Immutable.

    >>> Graph([Node("film", "the film that won in 1998"), Node("who", "Who directed {film}?", ("film",))])
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Nodes may come in any order.

        Raises UsageError for no nodes, a name that is empty or taken, an empty question, a parent that is no node, and
        a circle.
        """
        given = list(nodes)
        by_name: dict[str, Node] = {}
        for node in given:
            if not node.name.strip():
                raise UsageError(f"the node with the question '{node.question}' has no name; give it one")
            if node.name in by_name:
                raise UsageError(f"two nodes are named '{node.name}'; give each a name of its own")
            if not node.question.strip():
                raise UsageError(f"the node '{node.name}' asks nothing; give it a question, or leave it out")
            by_name[node.name] = node
        if not by_name:
            raise UsageError("the graph has no nodes; give it at least one question")
        for node in given:
            for parent in node.parents:
                if parent not in by_name:
                    names = ", ".join(by_name)
                    raise UsageError(
                        f"the node '{node.name}' waits for '{parent}', which is no node; there are {names}"
                    )
        self._waves = tuple(_waves(given))
        self.nodes: Final = tuple(_in_order(given))
        """The nodes, each after its parents, and otherwise as they were given."""

    @property
    def waves(self) -> tuple[tuple[Node, ...], ...]:
        """The nodes by when they can be asked: first those without parents, then those that wait for these alone, …"""
        return self._waves

    def record(self) -> dict[str, Any]:
        """The graph as the JSON object that planners return."""
        return {
            "nodes": [
                {"name": node.name, "question": node.question, "parents": list(node.parents)}
                for node in self.nodes
            ]
        }

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.nodes == other.nodes

    def __hash__(self) -> int:
        return hash(self.nodes)

    def __repr__(self) -> str:
        return f"Graph({list(self.nodes)!r})"


def _waves(nodes: list[Node]) -> Iterator[tuple[Node, ...]]:
    waiting, done = nodes, set[str]()
    while waiting:
        ready = tuple(node for node in waiting if done.issuperset(node.parents))
        if not ready:
            names = " → ".join(_circle({node.name: node.parents for node in waiting}))
            raise UsageError(f"the nodes wait for each other in a circle: {names}; take one of the waits out")
        yield ready
        done.update(node.name for node in ready)
        waiting = [node for node in waiting if node.name not in done]


def _in_order(nodes: list[Node]) -> Iterator[Node]:
    """Always the first of the nodes whose parents have come; there is no circle."""
    waiting, done = list(nodes), set[str]()
    while waiting:
        place = next(place for place, node in enumerate(waiting) if done.issuperset(node.parents))
        done.add(waiting[place].name)
        yield waiting.pop(place)


def _circle(parents: dict[str, tuple[str, ...]]) -> list[str]:
    """A way that comes back to where it began, where every node has a parent that waits too."""
    way = [next(iter(parents))]
    while True:
        following = next(parent for parent in parents[way[-1]] if parent in parents)
        if following in way:
            return [*way[way.index(following) :], following]
        way.append(following)
