"""Whether fidelity tells answers that their passages support from others.

    python benchmarks/fidelity.py FOLDER... [--split test] [--queries 60]

A FOLDER is a collection in BEIR's layout whose judgments list all candidate sentences of a question, such as WikiQA. An
answer is a question's answering sentence. Its passage is that sentence and up to three of the other candidates, put
together; "another question" has the passage of the next question, "same topic" the other candidates alone, "number" and
"name" the right passage and an answer with one number or name changed. Shown are the AUC of the cross-encoder's
probability against the right answers, and the shares that count as supported at several thresholds.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from leanseek import read
from leanseek.rag import check_answers
from leanseek.reading import read_qrels

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
OTHERS = 3
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}")


def cases(folder: Path, split: str, count: int) -> dict[str, list[tuple[str, str]]]:
    """Pairs of an answer and a passage, by their kind; the right ones first."""
    texts = {document.id: document.text for document in read(folder)}
    pools = [
        (
            [texts[one] for one, grade in grades.items() if grade > 0],
            [texts[one] for one, grade in grades.items() if grade <= 0],
        )
        for grades in read_qrels(folder / "qrels" / f"{split}.tsv").values()
    ]
    pools = [(right, wrong) for right, wrong in pools if right and len(wrong) > 1]
    draw = random.Random(0)
    draw.shuffle(pools)
    pools = pools[:count]
    passages = [" ".join([right[0], *wrong[:OTHERS]]) for right, wrong in pools]
    found: dict[str, list[tuple[str, str]]] = {
        kind: [] for kind in ("right", "another question", "same topic", "number", "name")
    }
    for place, (right, wrong) in enumerate(pools):
        answer, passage, other = right[0], passages[place], passages[(place + 1) % len(pools)]
        found["right"].append((answer, passage))
        found["another question"].append((answer, other))
        found["same topic"].append((answer, " ".join(wrong[: OTHERS + 1])))
        if numbers := list(re.finditer(r"\d+", answer)):
            one = draw.choice(numbers)
            number = str(int(one[0]) + draw.choice([1, 2, 3, 7]))
            found["number"].append((answer[: one.start()] + number + answer[one.end() :], passage))
        names, others = list(NAME.finditer(answer)), NAME.findall(other)
        if names and others:
            one = draw.choice(names)
            found["name"].append((answer[: one.start()] + draw.choice(others) + answer[one.end() :], passage))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=60)
    given = parser.parse_args()

    for folder in given.folders:
        right: np.ndarray | None = None
        for kind, pairs in cases(folder, given.split, given.queries).items():
            # At a threshold of 0 the numbers alone decide.
            found = [one for one in check_answers(pairs, threshold=0.0) if one]
            chances = np.array([min(support.probability for support in one) for one in found])
            numbers = np.array([all(support.supported for support in one) for one in found])
            right = chances if right is None else right
            auc = np.mean(right[:, None] > chances) + np.mean(right[:, None] == chances) / 2
            shares = ", ".join(f"{np.mean((chances >= one) & numbers):.3f} at {one}" for one in THRESHOLDS)
            print(f"{folder.name} {given.split}, {kind} ({len(found)}): AUC {auc:.3f}; {shares}", flush=True)


if __name__ == "__main__":
    main()
