"""A graph executed over one searcher: what can be asked is asked together; what is found goes into what follows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from leanseek.errors import InputError, UsageError
from leanseek.rag.research.claims import Claim, claims_of
from leanseek.rag.research.coverage import key, merged, shared_context
from leanseek.rag.research.graph import PLACE, Graph, Node
from leanseek.rag.research.graph_reading import Plan, read_graph
from leanseek.rag.research.planners import Planner, load_planner
from leanseek.records import hit_record
from leanseek.searcher.context import Context
from leanseek.searcher.request import SearchOptions
from leanseek.searcher.searcher import estimate_tokens
from leanseek.types import Hit

if TYPE_CHECKING:
    from leanseek.searcher import Searcher

CARRIED = 12
"""Words of a passage without a title that go into the question of a child."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A node, what was `asked` for it once its parents had found something, and its hits, best first."""

    node: Node
    asked: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Research:
    """What came of a question.

    `hits` are those of all nodes in one ranking, without duplicates; `context` packs them for a prompt; `claims` are
    the sentences that speak to the nodes' questions, each with the ids of its documents. `notes` say what had to be
    decided: what of the planner's graph was repaired, that the question was asked whole, which nodes found nothing.
    """

    question: str
    graph: Graph
    findings: tuple[Finding, ...]
    hits: tuple[Hit, ...]
    context: Context
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The research as JSON; nodes have the ids of their hits, which `hits` may have as a whole."""
        return {
            "question": self.question,
            "nodes": [
                {
                    "name": finding.node.name,
                    "question": finding.node.question,
                    "parents": list(finding.node.parents),
                    "asked": finding.asked,
                    "ids": [hit.id for hit in finding.hits],
                }
                for finding in self.findings
            ],
            "hits": [hit_record(hit) for hit in self.hits],
            "context": {
                "text": self.context.text,
                "tokens": self.context.tokens,
                "ids": [passage.id for passage in self.context.passages],
                "left_out": self.context.left_out,
                "notes": list(self.context.notes),
            },
            "claims": [{"node": one.node, "text": one.text, "ids": list(one.ids)} for one in self.claims],
            "notes": list(self.notes),
        }


def run(
    searcher: Searcher,
    question: str,
    *,
    planner: str | Planner = "rules",
    max_nodes: int = 8,
    k: int = 10,
    max_tokens: int = 1500,
    count_tokens: Callable[[str], int] | None = None,
    **options: Unpack[SearchOptions],
) -> Research:
    """Take a question apart, search for its parts, and bring together what they find.

    `planner` is a name (see `load_planner`) or a function. Each node gets `k` hits, of which the best `k` over all
    nodes are returned, and the context has `max_tokens`, shared between the nodes. `options` are those of a search;
    questions are text, without operators, unless `literal=False`. The searcher may be a `leanseek.client.Client`.

    A graph that is broken beyond repair is not executed: the question is asked whole, with the reason in `notes`.
    Deterministic where the planner is.

    Raises UsageError for a blank question or numbers below 1, and what loading or asking the planner and searching
    raise.

    >>> found = run(searcher, "Where was Luther born and who printed his bible?")
    >>> [(claim.text, claim.ids) for claim in found.claims]
    """
    if not question.strip():
        raise UsageError("the question is blank; give one")
    for name, value, usual in (("max_nodes", max_nodes, 8), ("k", k, 10), ("max_tokens", max_tokens, 1500)):
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is {value!r}; it must be a whole number, at least 1 ({usual} is usual)")
    options.setdefault("literal", True)
    graph, noted = planned(
        question, load_planner(planner) if isinstance(planner, str) else planner, max_nodes
    )
    found = searched(searcher, graph, k, options)
    findings = tuple(found[node.name] for node in graph.nodes)
    lists = [finding.hits for finding in findings]
    hits = merged(lists, k)
    listed = {key(hit) for hit in hits}
    claims = [
        claim
        for finding in findings
        for claim in claims_of(
            finding.node.name, finding.asked, [hit for hit in finding.hits if key(hit) in listed]
        )
    ]
    context = shared_context(hits, lists, max_tokens, count_tokens or estimate_tokens)
    notes = [*noted, *(f"nothing was found for '{one.asked}'" for one in findings if not one.hits)]
    cited = {passage.id for passage in context.passages}
    notes += [
        f"max_tokens, {max_tokens:,}, has no room for a passage on '{finding.asked}'"
        for finding in findings
        if finding.hits and not cited & {hit.id for hit in finding.hits}
    ]
    return Research(question, graph, findings, tuple(hits), context, tuple(claims), tuple(notes))


def planned(question: str, planner: Planner, max_nodes: int) -> Plan:
    """The planner's graph, repaired; or the question as the only node where the graph is refused."""
    reply = planner(question, max_nodes)
    try:
        if isinstance(reply, Graph):
            if len(reply) > max_nodes:
                left_out = len(reply) - max_nodes
                note = f"of {len(reply)} questions the last {left_out} were left out"
                return Plan(Graph(reply.nodes[:max_nodes]), (note,))
            return Plan(reply)
        if not isinstance(reply, str):
            raise InputError(f"the planner gave a {type(reply).__name__}; expected is a Graph or its JSON")
        return read_graph(reply, max_nodes)
    except InputError as error:
        note = f"the planner's graph was refused, and the question was asked whole: {error}"
        return Plan(Graph([Node("1", " ".join(question.split()))]), (note,))


def searched(searcher: Searcher, graph: Graph, k: int, options: SearchOptions) -> Mapping[str, Finding]:
    """What each node finds, by its name. Nodes that can be asked at the same time are, a batch to each processor."""
    found: dict[str, Finding] = {}
    processors = os.cpu_count() or 1
    with ThreadPoolExecutor(min(processors, max(map(len, graph.waves)))) as pool:
        for wave in graph.waves:
            asked = [asked_after(node, found) for node in wave]
            size = -(-len(asked) // processors)
            blocks = [asked[start : start + size] for start in range(0, len(asked), size)]
            answers = pool.map(lambda block: searcher.search_batch(block, k, **options), blocks)
            hits = [one for answer in answers for one in answer]
            for node, question, ranked in zip(wave, asked, hits, strict=True):
                found[node.name] = Finding(node, question, tuple(ranked))
    return found


def asked_after(node: Node, found: Mapping[str, Finding]) -> str:
    """The node's question with what its parents have found: in the places that name them, or else at its end."""
    titles = {parent: carried(found[parent]) for parent in node.parents}
    named = set(PLACE.findall(node.question))
    question = PLACE.sub(lambda place: titles.get(place[1], place[1]), node.question)
    more = [title for parent, title in titles.items() if parent not in named]
    return " ".join(" ".join([question, *dict.fromkeys(more)]).split())


def carried(finding: Finding) -> str:
    """What a node passes on: its best hit's title, or the beginning of its text; its question where it has no hit."""
    if not finding.hits:
        return finding.asked
    best = finding.hits[0]
    return best.title.strip() or " ".join(best.text.split()[:CARRIED])
