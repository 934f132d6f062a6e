"""What distilling an encoder keeps: nDCG@10 of the dense search and tokens per second, of students and their teacher.

    python benchmarks/train_distil.py --limit 200000
    python benchmarks/train_distil.py --limit 8000 --students values --collections cranfield

Each student is made once, into --out, of the same texts: `values` by the whole loss, `attention` without the relations
between values. A repeated run measures what is there. The texts are of collections other than those reported. Speeds
are the best of several passes over one sample, taken in turns so that a busy machine is unfair to all alike; vectors go
through the vector cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from encoders import DATA, documents_of, ndcg, speeds

from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL, load_encoder
from leanseek.reading import read
from leanseek.train import DistilRecipe, distil
from leanseek.train.training_set import PROVENANCE

LEARNED_FROM = (
    "big", "arguana-train", "medquad", "pubmedqa", "nfcorpus-prep", "squad2-dev", "selqa", "trecqa", "wikiqa",
    "trec-dl-2019",
)  # fmt: skip
REPORTED = ("scifact", "cranfield", "cisi", "vaswani")
STUDENTS = {"values": 1.0, "attention": 0.0}
"""The weight of the relations between values in the loss of each student."""
BACK_ENDS = ("", "onnx-int8:")


def made(recipe: DistilRecipe, limit: int | None, folder: Path, data: Path) -> str:
    """The folder of the student, which is made where it is missing."""
    if not (folder / PROVENANCE).is_file():
        started = time.perf_counter()
        with progress_bar(quiet=False) as progress:
            documents = read(*(data / name for name in LEARNED_FROM))
            report = distil(documents, folder, recipe, limit=limit, progress=progress)
        print(
            f"{folder.name}: {report.texts:,} texts, {report.steps:,} steps in {time.perf_counter() - started:,.0f} s, "
            f"loss {report.before:.4f} to {report.after:.4f}",
            flush=True,
        )
    return str(folder)


def main() -> None:
    """Distil, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", default=DEFAULT_MODEL)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=list(STUDENTS))
    parser.add_argument("--limit", type=int, default=200_000, help="texts (default: 200,000)")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=DistilRecipe().learning_rate)
    parser.add_argument("--collections", nargs="*", default=list(REPORTED))
    parser.add_argument("--back-ends", nargs="+", choices=BACK_ENDS, default=list(BACK_ENDS))
    parser.add_argument("--sample", type=int, default=200, help="documents timed")
    parser.add_argument("--passes", type=int, default=3, help="timed passes; the best counts")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of BEIR collections")
    parser.add_argument("--out", type=Path, default=Path("train-distil-out"))
    given = parser.parse_args()
    models = {"teacher": given.teacher}
    for name in given.students:
        recipe = DistilRecipe(
            given.teacher,
            given.layers,
            STUDENTS[name],
            epochs=given.epochs,
            learning_rate=given.learning_rate,
        )
        folder = given.out / f"{name}-{given.layers}-{given.limit}"
        models[name] = made(recipe, given.limit, folder, given.data)
    named = {f"{end}{name}": f"{end}{model}" for end in given.back_ends for name, model in models.items()}
    encoders = [load_encoder(name, "cpu") for name in named.values()]
    texts = documents_of(given.data / REPORTED[0])[1]
    sample = texts[:: max(1, len(texts) // given.sample)][: given.sample]
    rates = speeds(encoders, sample, given.passes)
    print(f"| encoder | tokens/s | × | {' | '.join(given.collections)} | mean | of the teacher's |")
    print("| --- " * (5 + len(given.collections)) + "|")
    first = None
    for name, encoder, rate in zip(named, encoders, rates, strict=True):
        print(name, file=sys.stderr)
        found = [ndcg(encoder, given.data / collection) for collection in given.collections]
        mean = sum(found) / max(1, len(found))
        first = first or mean or 1.0
        cells = " | ".join(f"{value:.4f}" for value in (*found, mean))
        print(f"| {name} | {rate:,.0f} | {rate / rates[0]:.2f} | {cells} | {mean / first:.1%} |", flush=True)


if __name__ == "__main__":
    main()
