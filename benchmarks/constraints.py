"""From words to fields: made queries with constraints, titles that queries are about, and boosts on collections.

    python benchmarks/constraints.py made   BIG MEDQUAD [--folder DIR] [--queries 500]
    python benchmarks/constraints.py titles COLLECTION... [--folder DIR] [--split test] [--queries N] [--fit]
    python benchmarks/constraints.py boost  COLLECTION... [--folder DIR] [--queries N]

`made` indexes 3,000 documents of two collections with metadata made of their ids and texts (Debian packages by the
first word of their names, WordNet by part of speech, FOLDOC by date, diseases of MedQuAD), writes queries with one or
two constraints, seeded, and prints KITAB's measures of a plain hybrid search, one with boosts, and a strict one.
`titles` links each query to a title: right if it is that of its judged documents; `--fit` prints weights fitted to
them. `boost` prints nDCG@10 with and without. Indexes are kept in the folder (a temporary one by default).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from leanseek import Document, Index, Searcher
from leanseek.eval import evaluate_constraints, open_collection, read_constraints
from leanseek.eval import score as measured
from leanseek.filters import quote_name
from leanseek.understanding.title_link import title_evidence

PARTS = {"wn-n": "noun", "wn-v": "verb", "wn-a": "adjective", "wn-r": "adverb"}
FAMILIES = ("python3", "golang", "ruby", "node", "fonts", "libjs", "elpa", "php")
SHARES = {
    "noun": 300,
    "verb": 300,
    "adjective": 300,
    "adverb": 300,
    "package": 800,
    "foldoc": 500,
    "disease": 500,
}
TEXT = 200
"""Characters of a text: enough to be found by, and quick to encode."""
NUMBERS = ("zero", "one", "two", "three", "four", "five")


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """The documents of a collection."""
    for name, opened in (("corpus.jsonl", open), ("corpus.jsonl.gz", gzip.open)):
        if (folder / name).exists():
            with opened(folder / name, "rt", encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def made_documents(big: Path, medquad: Path) -> list[Document]:
    """A seeded sample of documents of each kind, with metadata."""
    kinds: dict[str, list[Document]] = {kind: [] for kind in SHARES}
    for record in records(big):
        id, title, text = record["_id"], record["title"], record["text"][:TEXT]
        if (part := PARTS.get(id[:4])) is not None:
            kinds[part].append(Document(id, text, title, {"part": part}))
        elif id.startswith("deb-") and (family := id[4:].split("-")[0]) in FAMILIES:
            kinds["package"].append(Document(id, text, title.split(":")[0], {"family": family}))
        elif id.startswith("fo-") and (date := re.search(r"\((\d{4}-\d{2}-\d{2})\)\s*$", record["text"])):
            kinds["foldoc"].append(Document(id, text, title, {"source": "foldoc", "dated": date[1]}))
    seen: set[str] = set()
    for record in records(medquad):
        if record["title"] not in seen:
            seen.add(record["title"])
            kinds["disease"].append(Document(record["_id"], record["text"][:TEXT], record["title"]))
    chance = random.Random(0)
    return [
        one
        for kind, share in SHARES.items()
        for one in chance.sample(kinds[kind], min(share, len(kinds[kind])))
    ]


def made_queries(documents: list[Document], count: int) -> Iterator[dict[str, str]]:
    """Queries with one or two constraints that some documents meet."""
    chance = random.Random(1)
    written: set[str] = set()
    while len(written) < count:
        kind = chance.choice(["part", "family", "foldoc", "disease"])
        about = [one for one in documents if fits(kind, one)]
        example = chance.choice(about)
        base, subject, noun = based(kind, example, chance)
        asked = [lettered, counted, dated] if kind == "foldoc" else [lettered, counted]
        parts = [one(example, noun, chance) for one in chance.sample(asked, chance.choice([1, 2]))]
        text = subject + " " + " and ".join(words for words, _ in parts)
        if text not in written:
            written.add(text)
            gold = " and ".join(condition for _, condition in parts)
            yield {"id": str(len(written)), "text": text, "base": base, "gold": gold}


def fits(kind: str, document: Document) -> bool:
    """Whether a document is of a kind; diseases are asked for by a word of their title."""
    if kind == "disease":
        return (
            not document.metadata and len(document.title.split()) > 1 and document.title.split()[-1].isalpha()
        )
    return kind in document.metadata or document.metadata.get("source") == kind


def based(kind: str, example: Document, chance: random.Random) -> tuple[str, str, str]:
    """What a query is about, as a filter and in words, and what a title is called there."""
    if kind == "disease":
        word = example.title.split()[-1].lower()
        return f'title contains "{word}"', f"titles containing {word}", "title"
    if kind == "foldoc":
        return 'source = "foldoc"', chance.choice(["foldoc entries", "entries of source foldoc"]), "title"
    value = str(example.metadata[kind])
    subject = {
        "part": [f"{value}s", f"words of part {value}"],
        "family": [f"{value} packages", f"family {value}"],
    }[kind]
    return f'{quote_name(kind)} = "{value}"', chance.choice(subject), "name" if kind == "family" else "title"


def lettered(example: Document, noun: str, chance: random.Random) -> tuple[str, str]:
    """How the title begins or ends, in words and as a condition."""
    size = chance.choice([1, 1, 2, 3])
    starts = chance.random() < 0.6
    piece = (example.title[:size] if starts else example.title[-size:]).strip()
    if not piece or not piece.isalnum():
        piece, starts = example.title[:1], True
    how = "starts with" if starts else "ends with"
    verb = chance.choice(["starting", "beginning"]) if starts else "ending"
    words = chance.choice(
        [
            f"whose {noun} {how} {piece}",
            f"{noun} {verb} with {piece}",
            f'that {how.split()[0][:-1]} with "{piece}"',
        ]
    )
    return words, f"title {how} {json.dumps(piece)}"


def counted(example: Document, noun: str, chance: random.Random) -> tuple[str, str]:
    """How many words the title has, in words and as a condition."""
    from leanseek.filters import word_count

    number = word_count(example.title)
    written = NUMBERS[number] if number < len(NUMBERS) and chance.random() < 0.5 else str(number)
    plural = "word" if number == 1 else "words"
    how, operator = chance.choice([("", "="), ("exactly ", "="), ("at least ", ">="), ("at most ", "<=")])
    words = chance.choice(
        [f"with {how}{written} {plural} in the {noun}", f"with a {noun} of {how}{written} {plural}"]
    )
    return words, f"words(title) {operator} {number}"


def dated(example: Document, noun: str, chance: random.Random) -> tuple[str, str]:
    """When an entry was written, in words and as a condition."""
    year = int(str(example.metadata["dated"])[:4])
    return chance.choice(
        [
            (f"dated {year}", f'dated = "{year}"'),
            (f"after {year - 1}", f'dated > "{year - 1}"'),
            (f"before {year + 1}", f'dated < "{year + 1}"'),
            (f"between {year - 1} and {year + 1}", f'dated in "{year - 1}".."{year + 1}"'),
            (f"in the {year // 10 * 10}s", f'dated in "{year // 10 * 10}".."{year // 10 * 10 + 9}"'),
        ]
    )


def made(paths: list[Path], folder: Path, count: int, mode: str | None) -> None:
    """KITAB's measures on the made set."""
    index, file = folder / f"made-{mode}.index", folder / "made.jsonl"
    documents = made_documents(*paths)
    if not index.exists():
        with Index.create(index, **({"encoder": None} if mode == "sparse" else {})) as made_index:
            made_index.add(documents)
    file.write_text("\n".join(map(json.dumps, made_queries(documents, count))) + "\n")
    with Searcher.open(index, mode=mode) as searcher:
        print(
            "| search | constraints | queries | irrelevant | satisfied | unsatisfied | completeness | all correct | κ |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, options in (("plain", (False, False)), ("boosts", (True, False)), ("strict", (True, True))):
            report = evaluate_constraints(
                searcher, read_constraints(file), understand=options[0], strict=options[1]
            )
            for group in report.groups:
                cells = " | ".join(f"{value:.3f}" for value in group.means)
                print(f"| {name} | {group.constraints or 'all'} | {group.queries} | {cells} |")
            if options[1]:
                wrong = [id for id, scores in report.scores.items() if not scores.all_correct]
                texts = {one.id: one.text for one in read_constraints(file)}
                print("\nNot all correct:", *(f"{texts[id]!r}" for id in wrong[:20]), sep="\n  ")


def opened(path: Path, folder: Path, mode: str | None) -> Searcher:
    """A searcher of a collection, indexed where it is not yet."""
    index = folder / f"{path.name}.index"
    if not index.exists():
        with Index.create(index, **({"encoder": None} if mode == "sparse" else {})) as made_index:
            made_index.add(open_collection(path).documents())
    return Searcher.open(index, mode=mode)


def judged_queries(
    path: Path, split: str, most: int | None
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """The texts and judgments of a split's queries, or of a seeded sample of them."""
    collection = open_collection(path)
    qrels = collection.qrels(split)
    texts = {query.id: query.text for query in collection.queries() if query.id in qrels}
    ids = sorted(texts)
    if most is not None and most < len(ids):
        ids = sorted(random.Random(0).sample(ids, most))
    return {id: texts[id] for id in ids}, {id: dict(qrels[id]) for id in ids}


def titles(
    paths: list[Path], folder: Path, split: str, most: int | None, mode: str | None, fit: bool
) -> None:
    """How many queries are linked to the title of what was judged for them."""
    rows: list[tuple[float, ...]] = []
    print("| collection | queries | right | wrong | none |\n| --- | --- | --- | --- | --- |")
    for path in paths:
        of = {one.id: one.title for one in open_collection(path).documents()}
        texts, qrels = judged_queries(path, split, most)
        right = wrong = asked = 0
        with opened(path, folder, mode) as searcher:
            for id, text in texts.items():
                wanted = {of[one] for one in qrels[id] if of.get(one)}
                if not wanted:
                    continue
                asked += 1
                if fit:
                    hits = searcher.search(text, 100)
                    snapshot = searcher._generation.snapshot
                    analyzer = snapshot.passages.analyzer
                    for title, evidence in title_evidence(
                        set(analyzer.tokens(text)),
                        [(hit.title, hit.score) for hit in hits],
                        analyzer,
                        lambda one, sparse=snapshot.sparse: sparse.idf(one).tolist(),  # type: ignore[misc]
                    ):
                        rows.append((*evidence, float(title in wanted)))
                linked = [
                    one
                    for one in searcher.understand(text).constraints
                    if one.condition.startswith("title = ")
                ]
                if linked:
                    hit = any(
                        json.loads(linked[0].condition.removeprefix("title = ")) == title for title in wanted
                    )
                    right, wrong = right + hit, wrong + (not hit)
        cells = " | ".join(f"{value / asked:.3f}" for value in (right, wrong, asked - right - wrong))
        print(f"| {path.name} {split} | {asked} | {cells} |", flush=True)
    if fit:
        from sklearn.linear_model import LogisticRegression

        table = np.array(rows)
        model = LogisticRegression(C=100.0, max_iter=1000).fit(table[:, :-1], table[:, -1])
        print("bias", model.intercept_.round(2).tolist(), "weights", model.coef_.round(2).tolist())


def boost(paths: list[Path], folder: Path, split: str, most: int | None, mode: str | None) -> None:
    """nDCG@10 with and without boosts."""
    print("| collection | queries | linked | plain | understand |\n| --- | --- | --- | --- | --- |")
    for path in paths:
        texts, qrels = judged_queries(path, split, most)
        with opened(path, folder, mode) as searcher:
            means = []
            for understand in (False, True):
                ranked = searcher.rank_batch(list(texts.values()), 100, understand=understand)
                run = {
                    id: {one.id: one.score for one in found} for id, found in zip(texts, ranked, strict=True)
                }
                means.append(measured(run, qrels, ["nDCG@10"]).means["nDCG@10"])
            some = list(texts.values())[:100]
            linked = sum(bool(searcher.understand(text).constraints) for text in some) / len(some)
        print(
            f"| {path.name} {split} | {len(texts)} | {linked:.2f} | {means[0]:.4f} | {means[1]:.4f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("made", "titles", "boost"))
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int)
    parser.add_argument("--mode")
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    if given.what == "made":
        made(given.collections, folder, given.queries or 500, given.mode)
    elif given.what == "titles":
        titles(given.collections, folder, given.split, given.queries, given.mode, given.fit)
    else:
        boost(given.collections, folder, given.split, given.queries, given.mode)


if __name__ == "__main__":
    main()
