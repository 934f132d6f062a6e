"""An evaluation set from one's own documents: queries where systems part, without a judgment by people.

Li et al., "AutoBencher: Towards declarative benchmark construction", ICLR 2025, ask of a benchmark that its subjects
are salient, that it is difficult, and that it tells something new about systems. Here: documents that many others have
among their nearest; queries taken from their own text, or written by a decoder; more of them on topics that are hard
for all systems or put them in another order; and none on which all systems agree.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from leanseek.decode import PassageQueries, load_decoder
from leanseek.decode.passage_queries import GRADES
from leanseek.encode import Encoder
from leanseek.errors import InputError, UsageError
from leanseek.files import draft_folder
from leanseek.indexing.creation import Plan, given_encoder, recorded_encoder
from leanseek.indexing.index import Index
from leanseek.indexing.learning_queries import query_texts
from leanseek.indexing.snapshot import Snapshot
from leanseek.numbers import kendall
from leanseek.records import write_lines
from leanseek.searcher.searcher import Searcher
from leanseek.train.salience import document_vectors, salience, topics
from leanseek.types import Document, Float64Array, Int64Array, Progress, content, silent

SETTINGS: Final = "made.json"
"""The file of a made set that says what it was made from and how."""
SPLIT: Final = "test"
TRIED: Final = 3
"""Queries that are tried for each that is wanted."""
TOPICS: Final = 20
DEPTH: Final = 10
LEFT: Final = 15
"""Words that a document must keep when its query is taken out of it."""
SYSTEMS: Final[Mapping[str, dict[str, Any]]] = {
    "sparse": {"mode": "sparse"},
    "sparse-rm3": {"mode": "sparse", "expand": "rm3"},
    "dense": {"mode": "dense"},
    "dense-prf": {"mode": "dense", "expand": "dense-prf"},
    "hybrid": {"mode": "hybrid"},
}
"""The systems whose disagreement is looked for, as far as the index has their sides."""


@dataclass(frozen=True, slots=True)
class SetRecipe:
    """How a set is made: how many `queries`, and by whom they are written.

    `generator` is a decoder as `load_decoder` takes it, or `none`: titles, questions and first sentences of the
    documents, which are left out of these in the set. Raises UsageError for what is out of range.
    """

    queries: int = 200
    generator: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.queries, bool) or self.queries < 1:
            raise UsageError(f"{self.queries} queries make no set; give 1 or more (200 is usual)")


class TopicValue(NamedTuple):
    """A topic after the first round: its queries then, 1 - the best system's nDCG@10, and 1 - Kendall's τ of the
    systems there with the systems on all topics."""

    queries: int
    difficulty: float
    novelty: float


@dataclass(frozen=True, slots=True)
class MadeSet:
    """What was made: of the `corpus` of documents so many `queries`, of those `tried` on which systems part.

    `systems` are their nDCG@10 on the set, `topics` what the first round has shown of each.
    """

    corpus: int
    tried: int
    queries: int
    systems: Mapping[str, float]
    topics: tuple[TopicValue, ...]


class Candidate(NamedTuple):
    """A query, the document that answers it as the set has it, and its topic."""

    query: str
    document: Document
    topic: int


def make_set(
    index: Path,
    out: Path,
    recipe: SetRecipe | None = None,
    *,
    encoder: str | Encoder | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> MadeSet:
    """Write an evaluation set for the documents of an index into the BEIR folder `out`, with the split test.

    The folder is whole or not there: all documents, the queries with the one document that answers each, and
    `made.json`, which says how it was made. `encoder` takes the place of the recorded one, as in `Searcher.open`.

    Raises UsageError where `out` holds something else, InputError where no query is found on which systems part, and
    what the search and the decoder raise.
    """
    recipe, tell = recipe or SetRecipe(), progress or silent
    if out.exists() and not (out / SETTINGS).is_file():
        raise UsageError(f"'{out}' exists and holds no made set; give another folder with --out")
    snapshot = Snapshot.open(index)
    work = out.with_name(f".{out.name}.index")
    try:
        ids, vectors = document_vectors(snapshot)
        if not ids:
            raise InputError(f"'{index}' has no documents to make queries from")
        tell("salience", 0, len(ids))
        drawn = drawn_documents(ids, salience(vectors), topics(vectors, TOPICS), TRIED * recipe.queries)
        candidates = written(snapshot, drawn, recipe, device, tell)
        if not candidates:
            raise InputError(
                f"none of the {len(drawn):,} salient documents has a title, a question or a first sentence to ask for, "
                "and enough text beside it; give --generator a decoder"
            )
        searched = index
        if recipe.generator == "none":
            searched = work
            shutil.rmtree(work, ignore_errors=True)
            masked = {one.document.id: one.document for one in candidates}
            Index.make(work, corpus(snapshot, masked), plan_like(snapshot, encoder, device), background=False)
        gains = gains_of(searched, candidates, encoder, device, tell)
        values, kept = chosen(candidates, gains, recipe)
        if not kept:
            raise InputError(
                f"all systems agree on each of the {len(candidates):,} queries that were tried, so that none tells "
                "them apart; give more documents, or --generator a decoder"
            )
        on_set = np.array([[gains[name][place] for place in kept] for name in gains]).mean(axis=1)
        report = MadeSet(
            corpus=len(snapshot.ids()),
            tried=len(candidates),
            queries=len(kept),
            systems=dict(zip(gains, map(float, on_set), strict=True)),
            topics=tuple(values),
        )
        settings = {
            **asdict(report),
            "recipe": asdict(recipe),
            "index": {"generation": snapshot.state.generation, "settings": asdict(snapshot.state.settings)},
        }
        with draft_folder(out) as draft:
            write_set(draft, snapshot, [candidates[place] for place in kept], recipe)
            write_lines(draft / SETTINGS, [json.dumps(settings, indent=1, default=str)])
    finally:
        snapshot.close()
        shutil.rmtree(work, ignore_errors=True)
    return report


def drawn_documents(
    ids: Sequence[str], degrees: Int64Array, topic: Int64Array, wanted: int
) -> list[tuple[str, int]]:
    """The most salient documents of each topic in turn, with their topics: at most `wanted`, equal ones by id."""
    order = sorted(range(len(ids)), key=lambda place: (-int(degrees[place]), ids[place]))
    by_topic: dict[int, list[str]] = {}
    for place in order:
        by_topic.setdefault(int(topic[place]), []).append(ids[place])
    turns = [
        (rank, number, one) for number, found in sorted(by_topic.items()) for rank, one in enumerate(found)
    ]
    return [(one, number) for _, number, one in sorted(turns)[:wanted]]


def written(
    snapshot: Snapshot,
    drawn: Sequence[tuple[str, int]],
    recipe: SetRecipe,
    device: str | None,
    tell: Progress,
) -> list[Candidate]:
    """A query for each document that has words for one; the same query is asked once."""
    documents = snapshot.whole([one for one, _ in drawn])
    topic = dict(drawn)
    found: dict[str, Candidate] = {}
    if recipe.generator == "none":
        for document in documents:
            taken = taken_out(document, recipe.seed)
            if taken is not None:
                query, rest = taken
                found.setdefault(query.casefold(), Candidate(query, rest, topic[document.id]))
        return list(found.values())
    decoder = load_decoder(recipe.generator, device, precision="fast", progress=tell)
    writer = PassageQueries(decoder, [GRADES[0]])
    for start in range(0, len(documents), writer.block):
        tell("writing queries", start, len(documents))
        block = documents[start : start + writer.block]
        queries = writer.write([content(one.title, one.text) for one in block])
        for document, [query] in zip(block, queries, strict=True):
            if query:
                found.setdefault(query.casefold(), Candidate(query, document, topic[document.id]))
    return list(found.values())


def taken_out(document: Document, seed: int) -> tuple[str, Document] | None:
    """A text of a document that resembles a query, and the document without it; None where too little would be left.

    A text that stands in its document finds it by its words alone: no question that people ask is so easy.
    """
    texts = list(dict.fromkeys(text for _, text in query_texts(document)))
    random.Random(f"{seed} {document.id}").shuffle(texts)
    title, body = (" ".join(part.split()) for part in (document.title, document.text))
    for text in texts:
        # A title that begins its document too, as in abstracts, goes there as well; where it is mentioned it stays.
        at = 0 if text == title else body.find(text)
        left = body[:at] + body[at + len(text) :] if body.startswith(text, at) else body
        rest = replace(document, title="" if text == title else document.title, text=" ".join(left.split()))
        if len(rest.text.split()) >= LEFT:
            return text, rest
    return None


def corpus(snapshot: Snapshot, masked: Mapping[str, Document]) -> Iterator[Document]:
    """Every document of an index, those that are masked in place of what they were."""
    left = iter(sorted(snapshot.ids()))
    while block := list(islice(left, 1000)):
        for one in snapshot.whole(block):
            yield masked.get(one.id, one)


def plan_like(snapshot: Snapshot, encoder: str | Encoder | None, device: str | None) -> Plan:
    """The plan of an index with exact vectors and BM25 as another has them."""
    settings = snapshot.state.settings
    loaded = given_encoder(settings, encoder, device)
    if loaded is None and settings.encoder is not None:
        loaded = recorded_encoder(settings.encoder, device)
    plain = replace(settings, dense=settings.dense and "flat", learned=None, expansion=None)
    return Plan(plain, loaded, (), None, None)


def gains_of(
    index: Path,
    candidates: Sequence[Candidate],
    encoder: str | Encoder | None,
    device: str | None,
    tell: Progress,
) -> dict[str, list[float]]:
    """The nDCG@10 of each system for each query."""
    gains: dict[str, list[float]] = {}
    queries = [one.query for one in candidates]
    with Searcher.open(index, encoder=encoder, relevance=None, device=device) as searcher:
        settings = searcher.settings
        sides = {"sparse"} if settings.sparse is not None else set()
        sides |= {"dense"} if settings.dense is not None else set()
        sides |= {"hybrid"} if len(sides) == 2 else set()
        for name, options in SYSTEMS.items():
            if options["mode"] not in sides:
                continue
            rankings = searcher.rank_batch(queries, DEPTH, progress=tell, **options)
            gains[name] = [
                gain(one.document.id, [hit.id for hit in found])
                for one, found in zip(candidates, rankings, strict=True)
            ]
    return gains


def gain(wanted: str, found: Sequence[str]) -> float:
    """nDCG of a list of ids where one document is relevant: 1 / log2(1 + its rank), 0 where it is missing."""
    return 1 / float(np.log2(2 + found.index(wanted))) if wanted in found else 0.0


def chosen(
    candidates: Sequence[Candidate], gains: Mapping[str, Sequence[float]], recipe: SetRecipe
) -> tuple[list[TopicValue], list[int]]:
    """What the first round shows of each topic, and the places of the queries that are kept.

    The first half of the set is taken from all topics in turn, the second from the topics by their values. A query on
    which all systems have the same tells nothing of their order, and is not kept.
    """
    table = np.array(list(gains.values()))
    parting = np.flatnonzero(np.ptp(table, axis=0) > 0)
    by_topic: dict[int, list[int]] = {}
    for place in parting.tolist():
        by_topic.setdefault(candidates[place].topic, []).append(place)
    half = (min(recipe.queries, len(parting)) + 1) // 2
    turns = sorted(
        (rank, number, place) for number, found in by_topic.items() for rank, place in enumerate(found)
    )
    first = [place for _, _, place in turns[:half]]
    known = table[:, first].mean(axis=1) if first else np.zeros(len(table))
    values: dict[int, TopicValue] = {}
    for number in sorted(by_topic):
        mine = [place for place in first if candidates[place].topic == number]
        values[number] = topic_value(table[:, mine], known)
    worth = {number: one.difficulty + one.novelty for number, one in values.items()}
    taken = set(first)
    left = {number: [one for one in found if one not in taken] for number, found in by_topic.items()}
    second = shared(left, worth, recipe.queries - len(first))
    return list(values.values()), sorted([*first, *second])


def topic_value(gains: Float64Array, known: Float64Array) -> TopicValue:
    """What a topic is worth by the systems' gains (s, q) on its queries, beside their means `known` (s,) on all."""
    if not gains.shape[1]:
        return TopicValue(0, 0.0, 0.0)
    means = gains.mean(axis=1)
    novelty = 1 - kendall(means.tolist(), known.tolist())
    return TopicValue(gains.shape[1], 1 - float(means.max()), novelty)


def shared(left: Mapping[int, Sequence[int]], worth: Mapping[int, float], wanted: int) -> list[int]:
    """So many places of all topics, each topic's share by its worth; what a topic lacks the next ones give."""
    found: list[int] = []
    given = dict.fromkeys(left, 0)
    while len(found) < wanted:
        open_topics = [number for number in sorted(left) if given[number] < len(left[number])]
        if not open_topics:
            break
        # The topic that is furthest behind its share is next (Jefferson's method).
        number = max(open_topics, key=lambda one: (worth[one] / (given[one] + 1), -one))
        found.append(left[number][given[number]])
        given[number] += 1
    return found


def write_set(folder: Path, snapshot: Snapshot, kept: Sequence[Candidate], recipe: SetRecipe) -> None:
    """Write the BEIR folder: the documents, the queries as m1, m2, …, and their judgments."""
    masked = {one.document.id: one.document for one in kept} if recipe.generator == "none" else {}
    write_lines(
        folder / "corpus.jsonl",
        (
            json.dumps({"_id": one.id, "title": one.title, "text": one.text}, ensure_ascii=False)
            for one in corpus(snapshot, masked)
        ),
    )
    write_lines(
        folder / "queries.jsonl",
        (
            json.dumps({"_id": f"m{number}", "text": one.query}, ensure_ascii=False)
            for number, one in enumerate(kept, 1)
        ),
    )
    rows = (f"m{number}\t{one.document.id}\t1" for number, one in enumerate(kept, 1))
    write_lines(folder / "qrels" / f"{SPLIT}.tsv", ("query-id\tcorpus-id\tscore", *rows))
