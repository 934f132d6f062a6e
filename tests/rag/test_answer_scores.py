"""Fidelity of answers to their passages, and quality by references."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.rag import check_answers, fidelity, quality, supports
from leanseek.rag.answer_scores import statements_of
from leanseek.rerank import ByScore, Judged
from leanseek.searcher import Cited, Context
from leanseek.types import Hit


class Overlap(ByScore):
    """A judge whose probability is the share of the sentence's words that the passage has."""

    name = fingerprint = "overlap"
    notes = ()

    def judge(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], **_: Any) -> list[Judged]:
        found = []
        for query, listed in zip(queries, hits, strict=True):
            words = set(re.findall(r"\w+", query.lower()))
            shares = [len(words & set(re.findall(r"\w+", hit.text.lower()))) / len(words) for hit in listed]
            found.append(Judged(np.array(shares), np.array(shares)))
        return found


JUDGE = Overlap()
PASSAGES = [
    "Statins lower cholesterol in the blood.",
    "A placebo has no drug in it.",
    "The study had 1,200 men.",
]


def score(answer: str, context: Any = PASSAGES, **options: Any) -> float:
    return fidelity(answer, context, judge=JUDGE, **options)


def test_it_is_the_share_of_sentences_that_a_passage_supports() -> None:
    assert score("Statins lower cholesterol.") == 1
    assert score("Statins lower cholesterol. Aspirin cures colds quickly.") == 0.5
    assert score("Aspirin cures colds quickly.") == 0
    assert score("Statins lower prices.", threshold=0.6) == 1
    assert score("Statins lower prices.", threshold=0.7) == 0


def test_citations_are_respected() -> None:
    assert score("Statins lower cholesterol [1].") == 1
    assert score("Statins lower cholesterol. [1] A placebo has no drug.[2]") == 1
    assert score("Statins lower cholesterol [2].") == 0
    assert score("Statins lower cholesterol [2, 1].") == 1
    assert score("Statins lower cholesterol [2-3].") == 0
    [one, other] = supports("Statins lower cholesterol [2][1]. Men [3].", PASSAGES, judge=JUDGE)
    assert (one.sentence, one.cited, one.passage) == ("Statins lower cholesterol.", (2, 1), 1)
    assert (other.cited, other.passage, other.supported) == ((3,), 3, True)


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("One [1]. Two.", [("One.", (1,)), ("Two.", ())]),
        ("One. [1] Two. [2]", [("One.", (1,)), ("Two.", (2,))]),
        ("[3] One. Two[1-3]!", [("One.", (3,)), ("Two!", (1, 2, 3))]),
        ("One [1; 2] and [2].", [("One and.", (1, 2))]),
        ("[1]", []),
        ("  \n ... [2] -- ", []),
        ("", []),
        ("One [5-2].", [("One.", (5, 2))]),
    ],
)
def test_sentences_and_their_citations(answer: str, claims: list[tuple[str, tuple[int, ...]]]) -> None:
    assert [tuple(one) for one in statements_of(answer)] == claims


def test_a_citation_that_the_context_does_not_have_supports_nothing() -> None:
    [one] = supports("Statins lower cholesterol [7].", PASSAGES, judge=JUDGE)
    assert (one.supported, one.passage, one.probability, one.unknown) == (False, None, 0.0, (7,))
    [one] = supports("Statins lower cholesterol [7, 1].", PASSAGES, judge=JUDGE)
    assert (one.supported, one.passage, one.unknown) == (True, 1, (7,))
    assert not supports("Statins lower cholesterol [999999999].", PASSAGES, judge=JUDGE)[0].supported


def test_numbers_must_be_in_the_passage() -> None:
    assert score("The study had 1200 men.") == score("The study had 1,200 men.") == 1
    assert score("The study had 1300 men.") == 0
    [one] = supports(
        "The study had 1,200 men.", ["The study had 900 men of all.", "Men: 1200 in the study"], judge=JUDGE
    )
    assert one.passage == 2


@pytest.mark.parametrize("context", [[], "", ["", "  "], Context("", (), 0, 0)])
def test_nothing_supports_nothing(context: Any) -> None:
    assert score("Statins lower cholesterol.", context) == 0
    [one] = supports("Statins lower cholesterol.", context, judge=JUDGE)
    assert (one.passage, one.probability) == (None, 0.0)


@pytest.mark.parametrize("answer", ["", "  ", "[1]", "…!"])
def test_an_answer_without_sentences_says_nothing_that_is_supported(answer: str) -> None:
    assert supports(answer, PASSAGES, judge=JUDGE) == ()
    assert score(answer) == 0


def test_contexts_of_every_kind_are_read_by_their_numbers() -> None:
    cited = tuple(Cited(number, f"d{number}", "Title", text, 0.5) for number, text in enumerate(PASSAGES, 1))
    context = Context("…", cited[1:], 10, 0)
    assert score("A placebo has no drug [2].", context) == 1
    assert score("A placebo has no drug [1].", context) == 0
    assert score("A placebo has no drug [2].", cited) == 1
    assert score("Title: statins lower cholesterol [1].", cited) == 1
    assert score("Statins lower cholesterol [1].", PASSAGES[0]) == 1


def test_many_answers_are_checked_as_each_alone() -> None:
    pairs: list[tuple[str, Any]] = [
        ("Statins lower cholesterol. Aspirin cures colds.", PASSAGES),
        ("", PASSAGES),
        ("A placebo has no drug [1].", []),
        ("Statins!", PASSAGES[0]),
    ]
    assert check_answers(pairs, judge=JUDGE) == [supports(*pair, judge=JUDGE) for pair in pairs]
    assert check_answers([]) == []


class Uncalibrated(Overlap):
    def judge(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], **_: Any) -> list[Judged]:
        return [Judged(one.scores) for one in super().judge(queries, hits)]


def test_judges_and_thresholds_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="no probabilities"):
        fidelity("Statins.", PASSAGES, judge=Uncalibrated())
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="from 0 to 1"):
            fidelity("Statins.", PASSAGES, judge=JUDGE, threshold=threshold)


def squad_f1(prediction: str, truth: str) -> float:
    """As SQuAD's evaluation defines it: normalise, split, count common tokens, harmonic mean."""

    def words(text: str) -> list[str]:
        lowered = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split()).split()

    one, other = words(prediction), words(truth)
    if not one or not other:
        return float(one == other)
    rest, common = list(other), 0
    for word in one:
        if word in rest:
            rest.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(one), common / len(other)
    return 2 * precision * recall / (precision + recall)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    *[
        st.lists(
            st.sampled_from(
                ["the", "The", "a", "an", "statin", "Statin,", "statins", "cat", "U.S.", "-", "é", "12"]
            ),
            max_size=10,
        ).map(" ".join)
    ]
    * 3
)
def test_quality_is_the_f1_of_squad_and_the_best_of_several(answer: str, one: str, other: str) -> None:
    assert quality(answer, one) == pytest.approx(squad_f1(answer, one))
    assert quality(answer, [one, other]) == max(quality(answer, one), quality(answer, other))


def test_quality_leaves_citations_out() -> None:
    assert quality("The statin [1].", "a statin") == 1
    assert quality("cat cat dog", "cat") == 0.5
    assert quality("", "cat") == 0
    with pytest.raises(UsageError, match="no reference"):
        quality("cat", [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wikiqa", "selqa"])
def test_true_answers_stand_apart_from_those_of_other_questions(
    collection: Callable[[str], Path], name: str
) -> None:
    """Of 40 questions: the answering sentence with its own passage, with another's, and with another number."""
    folder = collection(name)
    texts = {}
    for line in (folder / "corpus.jsonl").open(encoding="utf-8"):
        record = json.loads(line)
        texts[record["_id"]] = record["text"]
    pools: dict[str, list[tuple[str, int]]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        pools.setdefault(query, []).append((document, int(grade)))
    answered = [pool for pool in pools.values() if any(grade for _, grade in pool)]
    random.Random(3).shuffle(answered)
    answered = answered[:40]
    answers = [next(texts[document] for document, grade in pool if grade) for pool in answered]
    passages = [
        " ".join([answer, *(texts[document] for document, grade in pool if not grade)][:3])
        for answer, pool in zip(answers, answered, strict=True)
    ]
    changed = [re.sub(r"\d+", lambda match: str(int(match[0]) + 3), answer) for answer in answers]
    numbers = [place for place, answer in enumerate(answers) if changed[place] != answer]

    def mean(pairs: list[tuple[str, Any]]) -> float:
        found = check_answers(pairs)
        return sum(all(one.supported for one in sentences) for sentences in found) / len(found)

    assert mean(list(zip(answers, passages, strict=True))) >= 0.85
    assert mean(list(zip(answers, [*passages[1:], passages[0]], strict=True))) <= 0.05
    assert mean([(changed[place], passages[place]) for place in numbers]) <= 0.15
