"""What several questions found, as one list and one context: each question is served before any is served twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from leanseek.rerank.base import part
from leanseek.searcher.context import Context, pack
from leanseek.types import Hit

SURE: Final = 0.95
"""The most that one hit can do for a question; a probability of 1 would close it for all others."""

Key: TypeAlias = tuple[str, int]
Count: TypeAlias = Callable[[str], int]


def key(hit: Hit) -> Key:
    """What makes two hits the same: the document and the part of it."""
    return hit.id, part(hit)


def merged(lists: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """The k hits that leave the fewest questions open, best first (IA-Select, Agrawal et al., WSDM 2009).

    `lists` has the hits of each question. A hit answers a question with its probability there, or 1 / (rank + 1) where
    it has none; what a question still gains from a hit is that times the probability that none before has answered it.
    The score is the gain over all questions, which never rises along the list. The same passage comes once, with its
    best probability; equal gains stand in the order of rank, question and id.
    """
    chances: dict[Key, dict[int, float]] = {}
    best: dict[Key, Hit] = {}
    found = [(hit.rank, question, hit.id, hit) for question, hits in enumerate(lists) for hit in hits]
    for _, question, _, hit in sorted(found, key=lambda one: one[:3]):
        chance = hit.probability if hit.probability is not None else 1 / (hit.rank + 1)
        chances.setdefault(key(hit), {})[question] = min(chance, SURE)
        other = best.setdefault(key(hit), hit)
        if (other.probability or 0) < (hit.probability or 0):
            best[key(hit)] = hit
    still_open = [1.0] * len(lists)
    order: list[Hit] = []
    while chances and len(order) < k:
        gains = {
            one: sum(still_open[question] * chance for question, chance in sorted(answers.items()))
            for one, answers in chances.items()
        }
        chosen = max(gains, key=gains.__getitem__)
        for question, chance in chances.pop(chosen).items():
            still_open[question] *= 1 - chance
        order.append(replace(best[chosen], rank=len(order) + 1, score=gains[chosen]))
    return order


def shared_context(
    hits: Sequence[Hit], lists: Sequence[Sequence[Hit]], max_tokens: int, count_tokens: Count
) -> Context:
    """The hits packed into `max_tokens`, of which each question in `lists` gets its share before the rest is filled.

    What a question does not need others get. The first hit of a question is shortened where its share is smaller.
    """
    listed = {key(hit): hit for hit in hits}
    own = [[key(hit) for hit in found if key(hit) in listed] for found in lists]
    costs = {one: count_tokens(entry_of(hit)) for one, hit in listed.items()}
    served: dict[Key, Hit] = {}
    cut: list[str] = []
    left = max_tokens
    waiting = sorted((sum(costs[one] for one in keys), place) for place, keys in enumerate(own) if keys)
    for already, (_, place) in enumerate(waiting):
        share = left // (len(waiting) - already)
        used = 0
        for number, one in enumerate(own[place]):
            if one in served:
                continue
            if used + costs[one] > share:
                if number == 0 and share > 0 and (short := shortened(listed[one], share, count_tokens)):
                    served[one] = short
                    cut.append(short.id)
                    used += count_tokens(entry_of(short))
                break
            served[one] = listed[one]
            used += costs[one]
        left -= used
    order = [served[one] for one in listed if one in served]
    rest = [listed[one] for one in listed if one not in served]
    context = pack([*order, *rest], max_tokens, count_tokens)
    known = {passage.id for passage in context.passages}
    notes = [f"only the beginning of {one!r} fits" for one in cut if one in known]
    return replace(context, notes=tuple(dict.fromkeys([*notes, *context.notes])))


def entry_of(hit: Hit) -> str:
    """About what a hit takes of a context."""
    return f"[99] {hit.title} ({hit.id})\n{hit.text}\n\n"


def shortened(hit: Hit, tokens: int, count_tokens: Count) -> Hit | None:
    """The beginning of a hit that fits; None where nothing does."""
    passages = pack([hit], tokens, count_tokens).passages
    if not passages:
        return None
    begin = len(hit.text) - len(hit.text.lstrip())
    quote = passages[0].text.removesuffix("…").rstrip()
    return replace(hit, text=hit.text[: begin + len(quote)])
