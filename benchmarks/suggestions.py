"""Suggestions: how often the next question is among eight, with a profile and without, and how soon they come.

    python benchmarks/suggestions.py INDEX COLLECTION

INDEX is one of squad2-dev's paragraphs, COLLECTION its folder. Others have asked the questions of its dev split: they
are the log. A session is about one article: its owner has opened the paragraphs of three questions, which make the
profile, asks a fourth, and is about to ask a fifth, drawn at random from the other questions on the article. Success
is that the fifth is among eight suggestions after the fourth (next), and while it is typed: after its first word, its
first two, and its first three. --half 0 and 1 take every other article. What is suggested is searched for again, with
the least probability of the relevance model, and must have a hit. Typing mistakes: one random edit behind the first
letter of a word of a question that leaves a word that the index does not have.
"""

from __future__ import annotations

import argparse
import random
import string
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from leanseek import Document, Searcher
from leanseek.eval.collections import open_collection
from leanseek.types import silent
from leanseek.understanding import Profile

K = 8
EARLIER = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index")
    parser.add_argument("collection")
    parser.add_argument("--mode")
    parser.add_argument("--half", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=400)
    options = parser.parse_args()
    collection = open_collection(options.collection)
    questions = {query.id: query.text for query in collection.queries()}
    titles = {document.id: document.title for document in collection.documents()}
    qrels = collection.qrels("dev")
    articles: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for query, judged in qrels.items():
        for paragraph in judged:
            articles[titles[paragraph]].append((questions[query], paragraph))
    with tempfile.TemporaryDirectory() as folder, Searcher.open(options.index, mode=options.mode) as searcher:
        log = Path(folder) / "log.txt"
        log.write_text("\n".join(questions[query] for query in qrels) + "\n", encoding="utf-8")
        started = time.perf_counter()
        searcher.suggest("", log=log, progress=silent)
        print(f"collected in {time.perf_counter() - started:.1f} s")
        sessions(
            searcher,
            log,
            [articles[one] for one in sorted(articles)[options.half :: 2]],
            titles,
            options.sessions,
        )
        mistakes(searcher, list(questions.values()))


def sessions(
    searcher: Searcher, log: Path, articles: list[list[tuple[str, str]]], titles: dict[str, str], count: int
) -> None:
    """Print success@8 by task, how many suggestions have a hit, and the times."""
    generator = random.Random(0)
    right: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    taken, suggested = [], set()
    for _ in range(count):
        drawn = generator.sample(generator.choice(articles), EARLIER + 2)
        profile = Profile()
        profile.opened([Document(paragraph, "", titles[paragraph]) for _, paragraph in drawn[:EARLIER]])
        (asked, _), (target, _) = drawn[EARLIER:]
        typed = target.split()
        tasks = {"next": asked, "one word": typed[0] + " ", "two words": " ".join(typed[:2]) + " "}
        tasks["three words"] = " ".join(typed[:3]) + " "
        for task, text in tasks.items():
            for given in (None, profile):
                started = time.process_time()
                found = searcher.suggest(text, K, log=log, profile=given).found
                taken.append(time.process_time() - started)
                right[task, given is not None].append(target in [one.text for one in found])
                suggested |= {one.text for one in found}
    print(f"{'task':<12} {'without':>8} {'profile':>8} {'ratio':>6}")
    for task in dict.fromkeys(task for task, _ in right):
        without, with_profile = (float(np.mean(right[task, given])) for given in (False, True))
        print(f"{task:<12} {without:>8.3f} {with_profile:>8.3f} {with_profile / max(without, 1e-9):>6.2f}")
    print(
        "ms of a processor: median {:.2f}, p99 {:.2f}, most {:.2f}".format(
            *(1000 * np.quantile(taken, [0.5, 0.99, 1.0]))
        )
    )
    if searcher.relevance is not None:
        hits = searcher.rank_batch(sorted(suggested), 1, relevant_only=True)
        print(f"answerable: {sum(map(bool, hits))} of {len(suggested)} different suggestions")


def mistakes(searcher: Searcher, questions: list[str], count: int = 200) -> None:
    """Print how many random typing mistakes become the word that was meant, and how long a word takes."""
    generator = random.Random(0)
    analyzer = searcher._generation.snapshot.passages.analyzer
    right, taken = [], []
    while len(right) < count:
        words = [
            word for word in generator.choice(questions).lower().split() if word.isalpha() and len(word) > 4
        ]
        if not words or not searcher.idf([word := generator.choice(words)])[0]:
            continue
        at, letter = generator.randrange(1, len(word)), generator.choice(string.ascii_lowercase)
        before, here, after = word[:at], word[at], word[at + 1 :]
        wrong = generator.choice(
            [
                before + after,
                before + letter + after,
                before + letter + here + after,
                before + after[:1] + here + after[1:],
            ]
        )
        if not analyzer.tokens(wrong) or searcher.idf([wrong])[0]:
            continue
        started = time.process_time()
        better = searcher.corrected(wrong)
        taken.append(time.process_time() - started)
        right.append(better is not None and analyzer.tokens(better) == analyzer.tokens(word))
    print(
        f"mistakes: {np.mean(right):.3f} of {count} corrected as meant, median {1000 * np.median(taken):.1f} ms"
    )


if __name__ == "__main__":
    main()
