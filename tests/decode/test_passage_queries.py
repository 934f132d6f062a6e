"""The packaged decoder writes about the passage that it is given, and not about those of its examples."""

from __future__ import annotations

import json

import pytest
from rerank.incontext_support import decoder, tokenizer

from leanseek.decode import PassageQueries, load_decoder
from leanseek.decode.passage_queries import EXAMPLES
from leanseek.errors import UsageError


def test_what_a_random_model_writes_is_no_broken_text() -> None:
    model = load_decoder((decoder(), tokenizer()))
    queries = PassageQueries(model, ["perfect", "perfect", "not relevant"])
    found = queries.write(["A trial of statins.", "Mice."])
    assert [len(row) for row in found] == [3, 3]
    assert "\ufffd" not in str(found)
    assert PassageQueries(model, ["perfect"]).fingerprint != queries.fingerprint


@pytest.mark.parametrize("grades", [[], ["good"], ["perfect", "partly"]])
def test_other_grades_are_refused(grades: list[str]) -> None:
    with pytest.raises(UsageError, match="give one or more of perfect, partial, not relevant"):
        PassageQueries(load_decoder((decoder(), tokenizer())), grades)


def test_examples_are_shown_for_the_grades_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_decoder((decoder(), tokenizer()))
    asked: list[str] = []
    monkeypatch.setattr(type(model), "generate", lambda self, prompts, **_: asked.extend(prompts) or [])
    PassageQueries(model, ["perfect", "partial", "perfect", "partial"]).write(["one " * 200])
    lines = asked[0].split("\n")
    shown = [json.loads(line) for line in lines if line.startswith("{")]
    # The examples have one partial query: the second of a passage is up to the model.
    assert [list(one) for one in shown] == [["perfect", "partial", "perfect 2"]] * len(EXAMPLES)
    assert lines[-2] == "Passage: " + " ".join(["one"] * 150)


@pytest.mark.slow
def test_the_packaged_decoder_writes_about_the_passage() -> None:
    queries = PassageQueries(load_decoder("SmolLM2-135M-Instruct", precision="fast"), ["perfect"])
    passages = [
        "On heat transfer in slip flow. A number of authors have considered the effect of slip on the heat transfer "
        "and skin friction in a laminar boundary layer over a flat plate.",
        "The Great Barrier Reef off the coast of Queensland is the largest coral reef of the world. Warm water "
        "bleaches its corals.",
    ]
    (heat,), (reef,) = queries.write(passages)
    assert {"slip", "heat", "plate", "friction", "layer"} & set(heat.split())
    assert {"reef", "coral", "corals", "barrier"} & set(reef.lower().split())
