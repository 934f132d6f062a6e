"""Word sets against plain arithmetic, and pre-training from texts to a base that training goes on from."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError, ModelError, UsageError
from leanseek.train import PretrainRecipe, plan_pretrain, pretrain
from leanseek.train.crossencoder.word_sets import (
    SATURATION,
    SMOOTHING,
    Words,
    attended,
    contrasted,
    counted,
    drawn,
    set_pairs,
    spread,
)
from leanseek.types import Document

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

WORDS = [f"{one}{two}{three}" for one in "bdfk" for two in "aeio" for three in "lmnr"]
COMMON, RARE = WORDS[:8], WORDS[8:]
TEXTS = [
    " ".join([*COMMON, *(RARE[(7 * at + (at // 9 + 1) * step) % len(RARE)] for step in range(8))])
    for at in range(160)
]
"""Half of a text's words stand in all texts."""
DOCUMENTS = [Document(str(at), f"{text} {at}") for at, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of three layers with random weights."""
    import transformers

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ba", "##l", ".", *WORDS[1:]]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_words_have_the_attention_of_their_first_pieces(base: str) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = ["bal dam. bal fel", "dam"]
    found = attended(texts, Path(base), "cpu")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModel.from_pretrained(base, attn_implementation="eager").eval()
    for text, words in zip(texts, found, strict=True):
        tokens = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            attention = model(**tokens, output_attentions=True).attentions[-1][0].mean(dim=(0, 1)).tolist()
        sums: Counter[str] = Counter()
        for piece, weight in zip(
            tokenizer.convert_ids_to_tokens(tokens["input_ids"][0]), attention, strict=True
        ):
            if piece == "ba":  # the first piece of "bal", which stands twice
                sums["bal"] += weight
            elif piece in WORDS:
                sums[piece] += weight
        full = {word: weight / (weight + SATURATION) for word, weight in sums.items()}
        assert words == pytest.approx(
            {word: one / sum(full.values()) for word, one in full.items()}, abs=1e-5
        )


def test_numbers_and_signs_are_no_words() -> None:
    assert spread(
        "Dam 12 dam!", [0, 1, 2, 3, None], [(0, 3), (4, 6), (7, 10), (10, 11), (0, 0)], [0.1] * 5
    ) == {"dam": 1.0}


def test_what_a_word_is_worth_is_its_contrast_with_all_texts() -> None:
    texts = [{"a": 0.75, "b": 0.25}, {"b": 0.5, "c": 0.5}]
    first, second = contrasted(texts)
    whole = {"a": 0.375, "b": 0.375, "c": 0.25}
    for words, text in ((first, texts[0]), (second, texts[1])):
        worth = {word: chance * -math.log2(whole[word]) for word, chance in text.items()}
        assert dict(zip(words.words, words.worth, strict=True)) == pytest.approx(worth)
        total = sum(map(math.exp, worth.values()))
        assert words.chances == pytest.approx([math.exp(worth[word]) / total for word in words.words])


def test_counts_are_smoothed_by_those_of_all_texts() -> None:
    words = counted([{"a": 3, "b": 1}, {"b": 4}])[0]
    model = [(3 + SMOOTHING * 3 / 8) / (4 + SMOOTHING), (1 + SMOOTHING * 5 / 8) / (4 + SMOOTHING)]
    assert words.worth == pytest.approx(np.log(model))
    assert words.chances == pytest.approx(np.array(model) / sum(model))


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=30), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_the_first_set_is_worth_more_and_none_has_a_word_twice(worth: list[float], seed: int) -> None:
    words = Words(
        [f"w{at}" for at in range(len(worth))], np.full(len(worth), 1 / len(worth)), np.array(worth)
    )
    value = dict(zip(words.words, worth, strict=True))
    for better, worse in drawn(words, 10, np.random.default_rng(seed)):
        first, second = better.split(), worse.split()
        assert len(first) == len(second) == len(set(first)) == len(set(second))
        assert sum(map(value.__getitem__, first)) > sum(map(value.__getitem__, second))


def test_texts_of_few_words_and_stop_words_give_no_sets(base: str) -> None:
    long, short = " ".join(WORDS[:12]), " ".join(WORDS[:9])
    for method in ("b-prop", "prop"):
        pairs = set_pairs([long, short], method, 6, 0, Path(base), "cpu")
        assert {pair.text for pair in pairs} == {long}
        assert pairs == set_pairs([long, short], method, 6, 0, Path(base), "cpu")
    told = set_pairs([f"the {long} and"], "prop", 9, 0, Path(base))
    assert not {"the", "and"} & {word for pair in told for word in f"{pair.better} {pair.worse}".split()}


@pytest.mark.parametrize("method", ["b-prop", "prop"])
def test_what_is_pre_trained_is_a_base(base: str, tmp_path: Path, method: Any) -> None:
    from leanseek.train.crossencoder.recipe import untrained

    out = tmp_path / "pretrained"
    recipe = PretrainRecipe(base, 1, method=method, pairs=6, epochs=2, batch=16, learning_rate=1e-3)
    plan = plan_pretrain(DOCUMENTS, out, recipe)
    report = pretrain(DOCUMENTS, out, recipe, device="cpu")
    assert (plan.texts, plan.held_out) == (report.texts, report.held_out) and report.steps <= plan.steps
    assert report.after < report.before
    assert json.loads((out / "training.json").read_text())["recipe"]["method"] == method
    assert [path.name for path in tmp_path.iterdir()] == ["pretrained"]
    trained = untrained(PretrainRecipe(str(out), 1))
    pairs = set_pairs(TEXTS[:60], method, 10, 5, Path(base), "cpu")
    better = trained.predict([(pair.better, pair.text) for pair in pairs])
    worse = trained.predict([(pair.worse, pair.text) for pair in pairs])
    assert (better > worse).mean() > 0.6


def test_what_cannot_be_done_is_told(base: str, tmp_path: Path) -> None:
    for wrong in ({"pairs": 0}, {"method": "other"}, {"batch": 0}, {"joint_layers": 0}):
        with pytest.raises(UsageError):
            PretrainRecipe(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 100"):
        pretrain(DOCUMENTS[:9], tmp_path / "out", PretrainRecipe(base, 1))
    with pytest.raises(InputError, match="fewer than 10 different words"):
        short = [Document(str(at), f"{WORDS[at % 64]} {at}") for at in range(150)]
        pretrain(short, tmp_path / "out", PretrainRecipe(base, 1, method="prop"))
    (tmp_path / "joint_reader_config.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="a cross-encoder already"):
        pretrain(DOCUMENTS, tmp_path / "out", PretrainRecipe(str(tmp_path), 1))
    assert not (tmp_path / "out").exists()
