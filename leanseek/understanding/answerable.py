"""Queries that an index can answer: texts of its documents and of a log, each searched for before it is suggested.

From the documents come their titles, the questions in them, and phrases: runs of two or three of their words that occur
together more often than by chance. From a log come the queries that people asked, with how often. Each is searched for
once, and is kept where a hit is relevant by the searcher's own threshold (`relevant_only`); in an index without a
relevance model where a hit has most of it, by the weight of its words. What is kept is stored in the cache folder under
the state of the index, so that it is made once for each.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, Unpack

import numpy as np

from leanseek.errors import LeanseekError
from leanseek.files import cache_folder, replacing
from leanseek.indexing.catalog import CATALOG, stamp
from leanseek.indexing.learning_queries import query_texts
from leanseek.indexing.search_source import SearchSource
from leanseek.reading import read_queries
from leanseek.text import Analyzer
from leanseek.types import Document, Progress
from leanseek.understanding.profile import Entity, entities_of

if TYPE_CHECKING:
    from leanseek.searcher import Generation, SearchOptions

Origin: TypeAlias = Literal["log", "title", "question", "phrase"]
"""Where a query comes from."""

PASSAGES: Final = 20_000
"""Passages that titles, questions and phrases are taken from: a sample of a larger index."""
MOST: Final[dict[Origin, int]] = {"log": 10_000, "title": 1_000, "question": 1_000, "phrase": 2_000}
"""Queries of each kind that are searched for: those that are most frequent."""
LONGEST: Final = 200
"""Characters of a query that is suggested."""
COVERED: Final = 0.7
"""The share of a query's weight that a hit must have in an index without a relevance model."""
LOOKED_AT: Final = 10
"""Hits that are compared with a query there."""
FORM: Final = 1
_BLOCK: Final = 256
_FEWEST: Final = 3
"""Passages that a phrase must be in."""
_TOGETHER: Final = 0.2
"""The least normalised pointwise mutual information of a phrase's neighbours (Bouma 2009)."""
_GAP: Final = re.compile(r"[ \-\u2010\u2011]|\s\w{1,4}\s")
"""What may be between two words of a phrase: a space, a hyphen, or a short word that is not searched."""
_WORDS: Final = re.compile(r"\w+")


class AnswerableQuery(NamedTuple):
    """A query that the index can answer, taken from the `source`.

    `asked`: how often the log has it; `found`: how many passages it was taken from, 0 where it is from the log alone.
    `document` is the id of the best hit, and `entities` are that document's title and metadata values.
    """

    text: str
    source: Origin
    asked: int
    found: int
    document: str
    entities: tuple[Entity, ...]


def answerable_queries(
    generation: Generation,
    log: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> list[AnswerableQuery]:
    """What can be suggested, in order of text: made at the first call for a state of the index, then read.

    `log` is a file of queries as `read_queries` takes it, repeated ones included. Raises InputError for a log that
    cannot be read.
    """
    asked = Counter(query.text for query in read_queries(log)) if log is not None else Counter[str]()
    place = cached_at(generation, asked)
    if place is not None and (known := read_cached(place)) is not None:
        return known
    candidates = distinct([*of_log(asked), *of_documents(generation.snapshot)])
    found = sorted(answered(generation, candidates, progress))
    if place is not None:
        with suppress(LeanseekError):  # a cache that cannot be written is no reason to answer nothing
            write_cached(place, found)
    return found


def of_log(asked: Mapping[str, int]) -> Iterator[AnswerableQuery]:
    """The most frequent queries of a log."""
    often = sorted(asked, key=lambda text: (-asked[text], text))
    for text in [one for one in often if usable(one)][: MOST["log"]]:
        yield AnswerableQuery(text, "log", asked[text], 0, "", ())


def of_documents(source: SearchSource) -> Iterator[AnswerableQuery]:
    """Titles, questions and phrases of the documents, or of a sample of them."""
    counts: dict[Origin, Counter[str]] = {"title": Counter(), "question": Counter(), "phrase": Counter()}
    neighbours = Neighbours(source.passages.analyzer)
    ordinals = source.sample(PASSAGES)
    for start in range(0, len(ordinals), _BLOCK):
        for passage in source.passages.get(ordinals[start : start + _BLOCK]):
            title = " ".join(passage.title.split())
            if passage.number == 0 and title:
                counts["title"][title] += 1
            for rank, text in query_texts(Document(passage.id, passage.text)):
                if rank == 2:
                    counts["question"][text] += 1
            neighbours.add(passage.text)
    counts["phrase"] = neighbours.phrases()
    for kind, texts in counts.items():
        often = sorted(texts, key=lambda text: (-texts[text], text))
        for text in [one for one in often if usable(one)][: MOST[kind]]:
            yield AnswerableQuery(text, kind, 0, texts[text], "", ())


def usable(text: str) -> bool:
    """Whether a text can be shown as a suggestion: on one line, short, with a letter in it."""
    return len(text) <= LONGEST and text.isprintable() and any(map(str.isalpha, text))


class Neighbours:
    """Counts the words of texts, and their neighbours, as the analyser sees them."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._passages = 0
        self._words: Counter[str] = Counter()
        self._runs: Counter[tuple[str, ...]] = Counter()
        self._written: dict[tuple[str, ...], Counter[str]] = {}

    def add(self, text: str) -> None:
        """Count the words and the runs of two and three words of a passage, each once."""
        self._passages += 1
        spans = [span for span in self._analyzer.spans(text) if text[span.start : span.end].isalpha()]
        self._words.update({span.token for span in spans})
        joined = [
            after.start > before.end and bool(_GAP.fullmatch(text, before.end, after.start))
            for before, after in pairwise(spans)
        ]
        runs: dict[tuple[str, ...], str] = {}
        for at, near in enumerate(joined):
            if near:
                for size in (2, 3) if at + 1 < len(joined) and joined[at + 1] else (2,):
                    run = spans[at : at + size]
                    runs.setdefault(tuple(one.token for one in run), text[run[0].start : run[-1].end])
        for tokens, written in runs.items():
            self._runs[tokens] += 1
            self._written.setdefault(tokens, Counter())[written] += 1

    def phrases(self) -> Counter[str]:
        """The runs of words that belong together, as they are mostly written, with how many passages have each."""
        found: Counter[str] = Counter()
        for run, count in self._runs.items():
            if count >= _FEWEST and self._bound(run, count):
                written = self._written[run]
                found[min(written, key=lambda text: (-written[text], text))] = count
        return found

    def _bound(self, run: Sequence[str], count: int) -> bool:
        """Whether words are together more often than by chance: NPMI = ln(p(run) / Π p(word)) / -ln p(run)."""
        together = math.log(count / self._passages)
        apart = sum(math.log(self._words[word] / self._passages) for word in run)
        return together < 0 and (together - apart) / -together / (len(run) - 1) >= _TOGETHER


def distinct(candidates: Iterable[AnswerableQuery]) -> list[AnswerableQuery]:
    """Each query once, whatever its case and punctuation: as its first source writes it, with all counts."""
    found: dict[tuple[str, ...], AnswerableQuery] = {}
    for one in candidates:
        key = tuple(_WORDS.findall(one.text.casefold()))
        known = found.get(key)
        if known is None:
            found[key] = one
        else:
            found[key] = known._replace(asked=known.asked + one.asked, found=max(known.found, one.found))
    return list(found.values())


def answered(
    generation: Generation,
    candidates: Sequence[AnswerableQuery],
    progress: Progress | None,
) -> Iterator[AnswerableQuery]:
    """Those of the queries that have a hit, with its document."""
    source = generation.snapshot
    for start in range(0, len(candidates), _BLOCK):
        block = candidates[start : start + _BLOCK]
        texts = [one.text for one in block]
        if generation.relevance is not None:
            hits = first_hits(generation, texts, 1, relevant_only=True)
        else:
            some = first_hits(generation, texts, LOOKED_AT)
            hits = [covering(source, text, ids) for text, ids in zip(texts, some, strict=True)]
        best = list(dict.fromkeys(ids[0] for ids in hits if ids))
        documents = heads(source, best)
        for one, ids in zip(block, hits, strict=True):
            if ids:
                yield one._replace(document=ids[0], entities=documents[ids[0]])
        if progress is not None:
            progress("searching for suggestions", start + len(block), len(candidates))


def first_hits(
    generation: Generation, texts: Sequence[str], k: int, **options: Unpack[SearchOptions]
) -> list[list[str]]:
    """The ids of the first k documents for each query, taken literally, without re-ranking."""
    from leanseek.searcher.answer import ranked_lists
    from leanseek.searcher.request import make_request
    from leanseek.searcher.search import search_all

    request = make_request(generation, None, texts, k, options, probabilities=False, literal=True)
    return [[hit.id for hit in one] for one in ranked_lists(request, search_all(request))]


def covering(source: SearchSource, query: str, ids: Sequence[str]) -> list[str]:
    """Those of the documents of which a passage has most of a query, by the weight of its terms."""
    if source.state.settings.sparse is None:
        return []
    terms = list(dict.fromkeys(source.passages.analyzer.tokens(query)))
    idf = source.sparse.idf(query)
    if not terms or not idf.all():
        return []  # a word that no passage has may be all that was meant
    weight = dict(zip(terms, idf.tolist(), strict=True))
    found = source.find(ids)
    for id in ids:
        for passage in source.passages.get(np.array(sorted(found.get(id, ())), dtype=np.int64)):
            there = set(source.passages.analyzer.tokens(f"{passage.title} {passage.text}"))
            if sum(weight[term] for term in terms if term in there) >= COVERED * sum(weight.values()):
                return [id]
    return []


def heads(source: SearchSource, ids: Sequence[str]) -> dict[str, tuple[Entity, ...]]:
    """What a profile can know of each document: its title and metadata values."""
    first = {id: min(ordinals) for id, ordinals in source.find(ids).items()}
    passages = source.passages.get(np.array(list(first.values()), dtype=np.int64))
    return {
        id: tuple(entities_of(passage.title, passage.metadata))
        for id, passage in zip(first, passages, strict=True)
    }


def cached_at(generation: Generation, asked: Mapping[str, int]) -> Path | None:
    """The file for what can be suggested in this state of an index; None for a cluster, whose parts are elsewhere."""
    source, relevance, mode = generation.snapshot, generation.relevance, generation.mode
    if not (source.folder / CATALOG).is_file():
        return None
    judged = None
    if relevance is not None and (mode == "dense" or mode == "hybrid"):
        judged = [relevance.fingerprint, repr(relevance.threshold(mode))]
    key = [
        FORM,
        str(source.folder.resolve()),
        stamp(source.folder),
        source.state.generation,
        mode,
        repr(generation.fusion),
        judged,
        sorted(asked.items()),
    ]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    return cache_folder() / "suggestions" / f"{name}.json"


def read_cached(path: Path) -> list[AnswerableQuery] | None:
    """What was stored; None where there is nothing, or nothing that can be read: it is made again."""
    try:
        rows: list[list[Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [
            AnswerableQuery(
                text, origin, asked, found, document, tuple((field, value) for field, value in entities)
            )
            for text, origin, asked, found, document, entities in rows
        ]
    except (OSError, ValueError, TypeError):
        return None


def write_cached(path: Path, queries: Sequence[AnswerableQuery]) -> None:
    """Store what can be suggested. Raises StorageError."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(queries, ensure_ascii=False), encoding="utf-8")
