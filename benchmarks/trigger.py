"""What searching only in doubt saves while an answer is written, and what it costs in the answer.

    python benchmarks/trigger.py FOLDER [--split test] [--queries 100] [--thresholds 0.05,0.1] [--work DIR]

FOLDER is a collection in BEIR's layout whose relevant documents are sentences that answer, such as WikiQA; all of its
documents are searched. The packaged decoder answers a sample of the split's questions, 16 tokens at a time, up to 48:

- never: without a search;
- once: after the three passages that the question finds;
- always: after a search before every step;
- a threshold: after searches where the trigger's score is above it.

Recall is the share of an answering sentence's words (SQuAD's normalisation) that the answer has, the best of several
sentences; "new" are those that the question does not have. Intervals are 95 % by the bootstrap over questions. What was
generated is kept in --work, so that other thresholds take less time.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from leanseek import Index, Searcher, read, read_queries
from leanseek.decode import Generated, Token, load_decoder
from leanseek.eval import bootstrap
from leanseek.rag import Trigger, write_answers
from leanseek.rag.answer_scores import normalised
from leanseek.rag.stepwise import Draft
from leanseek.reading import read_qrels

STEP, MOST, K = 16, 48, 3


class Asked(NamedTuple):
    """A question and the sentences that answer it."""

    text: str
    answers: tuple[str, ...]


class Outcome(NamedTuple):
    """An answer and how many searches it took."""

    text: str
    retrievals: int


class Remembering:
    """A decoder that keeps what it has generated in a file, and the attention in memory."""

    def __init__(self, decoder: Any, path: Path) -> None:
        self._decoder = decoder
        self._path = path
        self._known: dict[tuple[str, int], Generated] = {}
        self._rows: dict[tuple[int, ...], Any] = {}
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            prompt, most, text, tokens, finished = json.loads(line)
            self._known[prompt, most] = Generated(text, tuple(Token(*token) for token in tokens), finished)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def generate(self, prompts: Sequence[str], *, most: int, batch_size: int) -> list[Generated]:
        new = [prompt for prompt in dict.fromkeys(prompts) if (prompt, most) not in self._known]
        made = self._decoder.generate(new, most=most, batch_size=batch_size) if new else []
        with self._path.open("a", encoding="utf-8") as out:
            for prompt, one in zip(new, made, strict=True):
                self._known[prompt, most] = one
                out.write(json.dumps([prompt, most, *one]) + "\n")
        return [self._known[prompt, most] for prompt in prompts]

    def attention_rows(self, ids: Sequence[int], rows: int) -> Any:
        key = (*ids, rows)
        if key not in self._rows:
            self._rows[key] = self._decoder.attention_rows(ids, rows)
        return self._rows[key]


def questions(folder: Path, split: str, count: int) -> list[Asked]:
    """A sample of the split's questions that have an answer."""
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    texts = {document.id: document.text for document in read(folder)}
    found = [
        Asked(query.text, tuple(texts[one] for one, grade in qrels[query.id].items() if grade > 0))
        for query in read_queries(str(folder / "queries.jsonl"))
        if any(grade > 0 for grade in qrels.get(query.id, {}).values())
    ]
    random.Random(0).shuffle(found)
    return found[:count]


def recall(asked: Asked, answer: str, new: bool) -> float:
    """The share of an answering sentence's words that the answer has."""
    said = set(normalised(answer))
    known = set(normalised(asked.text)) if new else set()
    wanted = [set(normalised(one)) - known for one in asked.answers]
    return max((len(one & said) / len(one) for one in wanted if one), default=1.0)


def once(asked: Sequence[Asked], searcher: Searcher, decoder: Any) -> list[Outcome]:
    """Answers after the passages that the question finds."""
    prompts = []
    for one in asked:
        draft = Draft(decoder, one.text)
        draft.context = searcher.context(one.text, 512, k=K, count_tokens=draft.count_tokens)
        prompts.append(draft.prompt())
    made: list[Generated] = []
    for start in range(0, len(prompts), 8):
        made += decoder.generate(prompts[start : start + 8], most=MOST, batch_size=8)
    return [Outcome(answer.text, 1) for answer in made]


def in_steps(asked: Sequence[Asked], searcher: Searcher, decoder: Any, trigger: Trigger) -> list[Outcome]:
    """Answers after searches that the trigger asks for."""
    made = write_answers([one.text for one in asked], searcher, decoder, trigger, k=K, step=STEP, most=MOST)
    return [Outcome(one.text, len(one.retrievals)) for one in made]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--thresholds", default="0.05,0.1")
    parser.add_argument("--work", type=Path, default=Path("trigger-work"))
    given = parser.parse_args()

    given.work.mkdir(parents=True, exist_ok=True)
    index = given.work / "index"
    if not index.exists():
        with Index.create(index) as building:
            building.add(read(given.folder))
    asked = questions(given.folder, given.split, given.queries)
    decoder = Remembering(load_decoder(precision="fast"), given.work / "generated.jsonl")
    with Searcher.open(index) as searcher:
        table: dict[str, list[Outcome]] = {}
        for name in ("always", *given.thresholds.split(","), "once", "never"):
            begun = time.process_time()
            if name == "once":
                table[name] = once(asked, searcher, decoder)
            else:
                bound = {"always": -1.0, "never": float("inf")}.get(name)
                trigger = Trigger(float(name) if bound is None else bound)
                table[name] = in_steps(asked, searcher, decoder, trigger)
            show(asked, name, table[name], table["always"], time.process_time() - begun)


def show(
    asked: Sequence[Asked], name: str, made: Sequence[Outcome], always: Sequence[Outcome], seconds: float
) -> None:
    """A row: recall and searches, and both as shares of always searching."""
    values = np.array(
        [
            [recall(question, one.text, False), recall(question, one.text, True), one.retrievals]
            for group in (made, always)
            for question, one in zip(asked, group, strict=True)
        ]
    ).reshape(2, len(asked), 3)
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(asked), size=(10_000, len(asked)))
    shares = values[0].mean(axis=0) / values[1].mean(axis=0)
    sums = values[:, drawn].mean(axis=2)
    low, high = np.quantile(sums[0] / sums[1], [0.025, 0.975], axis=0)
    intervals = bootstrap(values[0], seed=0)
    cells = [
        f"{title} {value:.3f} ({interval.low:.3f} to {interval.high:.3f}), {share:.0%} ({least:.0%} to {most:.0%})"
        for title, value, interval, share, least, most in zip(
            ("recall", "new", "searches"), values[0].mean(axis=0), intervals, shares, low, high, strict=True
        )
    ]
    asked_once = np.mean([one.retrievals > 0 for one in made])
    print(
        f"{name:>8} of {len(asked)}: {'; '.join(cells)}; any search {asked_once:.0%}; {seconds:.0f} s of the processor",
        flush=True,
    )


if __name__ == "__main__":
    main()
