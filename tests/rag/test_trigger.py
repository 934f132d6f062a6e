"""When to search while writing, and for what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leanseek.errors import UsageError
from leanseek.rag import Trigger

STATINS = ["Stat", "ins", " lower", " the", " ferr", "itin", "."]
ENTROPIES = [0.3, 0.1, 0.9, 5.0, 4.1, 0.2, 6.0]
"""The surest tokens are in a stop word and a full stop, which count nothing."""


def looking(*rows: tuple[int, int, float], count: int = len(STATINS)) -> np.ndarray:
    """Attention with these values at (row, column)."""
    found = np.zeros((count, count))
    for row, column, value in rows:
        found[row, column] = value
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from([" statin", " the", " of", "s", ",", "", " 12", "é"]), st.floats(0, 9)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 1 << 30),
)
def test_scores_are_entropy_times_the_most_attention_from_later_tokens(
    parts: list[tuple[str, float]], seed: int
) -> None:
    tokens, entropies = [token for token, _ in parts], [entropy for _, entropy in parts]
    attention = np.random.default_rng(seed).random((len(tokens), len(tokens)))
    found = Trigger(1).scores(tokens, entropies, attention)
    alone = Trigger(1).scores(tokens, entropies)
    for place, entropy in enumerate(entropies):
        later = max((attention[row][place] for row in range(place + 1, len(tokens))), default=0.0)
        assert alone[place] in (0, entropy)
        assert found[place] == pytest.approx(later * alone[place])
        if tokens[place] in ("", ","):
            assert alone[place] == 0


def test_stop_words_and_marks_do_not_count() -> None:
    assert Trigger(1).scores(STATINS, ENTROPIES).tolist() == [0.3, 0.1, 0.9, 0, 4.1, 0.2, 0]
    assert Trigger(1).decide([" of", " the", "."], [9, 9, 9]) is None
    german = Trigger(1, analyzer="german").scores([" das", " the"], [2, 2])
    assert german.tolist() == [0, 2]


def test_words_that_were_read_are_not_in_doubt() -> None:
    read = "The FERRITIN of iron. It lowers"
    assert Trigger(1).scores(STATINS, ENTROPIES, read=read).tolist() == [0.3, 0.1, 0, 0, 0, 0, 0]
    assert Trigger(1).decide(STATINS, ENTROPIES, read=read) is None
    assert Trigger(0.2).decide(STATINS, ENTROPIES, read=read) == "Statins lower ferritin"


def test_the_threshold_decides() -> None:
    assert Trigger(4.0).decide(STATINS, ENTROPIES) == "Statins lower ferritin"
    assert Trigger(4.1).decide(STATINS, ENTROPIES) is None
    # The most uncertain token counts as much as later ones rest on it.
    assert (
        Trigger(0.4).decide(STATINS, ENTROPIES, looking((5, 4, 0.1), (6, 2, 0.1))) == "Statins lower ferritin"
    )
    assert Trigger(0.42).decide(STATINS, ENTROPIES, looking((5, 4, 0.1), (6, 2, 0.1))) is None
    assert Trigger(0.1).decide(STATINS, ENTROPIES, looking((4, 4, 1.0), (3, 4, 1.0))) is None
    assert Trigger(-1).decide(STATINS, [0.0] * 7) == "Statins lower ferritin"
    assert Trigger(float("inf")).decide(STATINS, ENTROPIES) is None


def test_the_query_has_what_the_last_token_attends_to() -> None:
    words = [f" word{chr(97 + number)}" for number in range(12)]
    attention = np.zeros((12, 12))
    attention[11] = [0.0, 0.5, 0.2, 0.9, 0.01, 0.02, 0.03, 0.7, 0.6, 0.4, 0.3, 0.1]
    found = Trigger(-1).decide(words, [0.0] * 12, attention)
    assert found is not None
    assert found.split() == [words[place].strip() for place in (1, 2, 3, 7, 8, 9, 10, 11)]


def test_tokens_become_whole_words_once_each_in_the_order_of_the_text() -> None:
    tokens = ["What", " lower", "s", " Chol", "esterol", "?", "\n", "chol", "esterol", " falls"]
    attention = np.zeros((10, 10))
    attention[9, [8, 4, 1]] = [0.5, 0.4, 0.3]
    found = Trigger(-1).decide(tokens, [0.0] * 10, attention)
    assert found is not None
    assert found.split()[:3] == ["What", "lowers", "Cholesterol"]
    assert "cholesterol" not in found.split()[2:]


def test_without_attention_the_query_has_the_rarest_words_or_the_last() -> None:
    tokens = [f" {letter}{letter}x" for letter in "abcdefghijkl"]
    last = Trigger(-1).decide(tokens, [0.0] * 12)
    assert last == "eex ffx ggx hhx iix jjx kkx llx"
    rare = Trigger(-1, idf=lambda words: [-ord(word[0]) for word in words]).decide(tokens, [0.0] * 12)
    assert rare == "aax bbx ccx ddx eex ffx ggx hhx"
    again = Trigger(-1).decide([" aax", *tokens, " aax"], [0.0] * 14)
    assert again == "ffx ggx hhx iix jjx kkx llx aax"


def test_no_tokens_ask_for_nothing() -> None:
    assert Trigger(-1).decide([], []) is None
    assert Trigger(-1).decide([], [], np.zeros((0, 0))) is None
    assert Trigger(-1).decide(["", ""], [0, 0]) is None


@pytest.mark.parametrize(
    ("tokens", "entropies", "attention", "message"),
    [
        (["a", "b"], [1.0], None, "2 tokens need 2 entropies"),
        ([], [1.0], None, "0 tokens need 0 entropies"),
        (["a"], [float("nan")], None, "entropies must be finite.*nan"),
        (["a"], [float("inf")], None, "entropies must be finite.*inf"),
        (["a"], [-0.1], None, "entropies must be finite.*-0.1"),
        (["a", "b"], [1, 1], np.zeros((1, 2)), r"shape \(2, 2\)"),
        (["a"], [1], [[float("nan")]], "attention must be finite.*nan"),
        ("ab", [1, 1], None, "single text"),
    ],
)
def test_what_cannot_be_decided_on_is_refused(
    tokens: Any, entropies: Any, attention: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Trigger(0.1).decide(tokens, entropies, attention)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="not a number"):
        Trigger(float("nan"))
    with pytest.raises(UsageError, match="unknown analyser"):
        Trigger(0.1, analyzer="klingon")
