"""What re-rankers in context are told, and what they are called."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rerank.incontext_support import decoder, passages, tokenizer

from leanseek.decode.chat import Frame, chat_frame
from leanseek.errors import ModelError, UsageError
from leanseek.rerank import InContextReranker, load_reranker
from leanseek.rerank.incontext import Head, HeadList
from leanseek.types import Hit, Standing

MODEL = (decoder(), tokenizer())
HEADS = HeadList("tiny", "", 3, 4, (Head(1, 3), Head(0, 2)), "contrastive", "test")


@pytest.mark.parametrize("options", [{}, {"block_memory": 0}])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_attention_that_is_no_numbers_is_told(options: dict[str, Any], value: float) -> None:
    model = copy.deepcopy(decoder())
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[0, 0] = value
    judge = InContextReranker((model, tokenizer()), **options)
    with pytest.raises(ModelError, match="NaN or infinite attention"):
        judge.score("q", passages(3))


def test_other_scores_have_other_names_and_the_same_have_the_same() -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"prompt": "QA"},
        {"prompt_prefix": "[INST]"},
        {"prompt_suffix": "[/INST]"},
        {"separator": " \n\n"},
        {"layers": (0, 1)},
        {"layers": (1, 2)},
        {"heads": HEADS},
        {"heads": replace(HEADS, heads=HEADS.heads[:1])},
        {"calibrated": False},
        {"window": 4},
        {"window": 4, "stride": 1},
        {"block_memory": 0},
        {"block_memory": 0, "block_bits": 8},
        {"window": 4, "layers": (0, 1), "calibrated": False},
    ]
    names: dict[str, str] = {}
    for chosen in choices:
        judge = InContextReranker(MODEL, **chosen)
        names[judge.name] = judge.fingerprint
    assert len(names) == len(set(names.values())) == len(choices)
    for chosen in (
        {"layers": (0, 3), "prompt_prefix": "", "prompt_suffix": ""},
        {"batch_size": 4},
        {"block_memory": 1 << 20},
        {"block_memory": 1 << 20, "block_bits": 8},
    ):
        judge = InContextReranker(MODEL, **chosen)
        assert names[judge.name] == judge.fingerprint


def test_names_tell_what_was_chosen_and_stand_in_the_history() -> None:
    judge = InContextReranker(MODEL, layers=(0, 2), window=4)
    plain = InContextReranker(MODEL).name
    assert judge.name == f"{plain}[layers 0:2, window 4]"
    (found,) = judge.rerank("statin", [Hit(1, "d", 0.5, "", "heart", {})])
    assert found.history == (Standing("search", 1, 0.5), Standing(judge.name, 1, found.score))
    with pytest.raises(UsageError, match="made in Python"):
        load_reranker(judge.name)


def test_heads_found_with_one_prompt_are_refused_for_the_other() -> None:
    found = replace(HEADS, fingerprint=InContextReranker(MODEL)._decoder.weights)
    InContextReranker(MODEL, "IE", heads=found)
    with pytest.raises(UsageError, match="found with the prompt IE, not QA; give prompt='IE'"):
        InContextReranker(MODEL, "QA", heads=found)
    with pytest.raises(UsageError, match="--prompt IE"):
        InContextReranker(MODEL, heads=replace(found, prompt="QA"))
    InContextReranker(MODEL, "QA", heads=HEADS)  # as published lists are, of no known prompt


def test_memory_below_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        InContextReranker(Path("absent"), block_memory=-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"block_bits": 8}, "goes with block_memory"), ({"block_memory": 0, "block_bits": 4}, "give 8")],
)
def test_bits_that_nothing_is_kept_in_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InContextReranker(Path("absent"), **options)  # type: ignore[arg-type]


def test_a_chat_template_with_the_time_in_it_gives_the_same_prompt_at_any_time() -> None:
    dated = copy.deepcopy(tokenizer())
    dated.chat_template = (
        "\n{% macro day() %}{{ strftime_now('%d %b %Y, %A 100%% %H:%M:%S.%f %-d') }}{% endmacro %}"
        "{{ day() }}|{{ date_string }}{% for m in messages %}<{{ m.content }}>{% endfor %}"
    )
    expected = "\n26 Jul 2024, Friday 100% 00:00:00.000000 26|26 Jul 2024<"
    assert chat_frame(dated) == Frame(expected, ">")
