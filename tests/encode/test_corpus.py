"""The truncation report's figures and words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.encode import TruncationReport
from leanseek.errors import UsageError

LENGTHS = st.lists(st.integers(0, 1000), max_size=30)


def test_the_figures_count_what_is_over_the_limit() -> None:
    assert TruncationReport.of([10, 11, 15, 2], 10) == TruncationReport(4, 38, 2, 6, 10)
    assert TruncationReport.of([], 10) == TruncationReport(0, 0, 0, 0, 10)
    assert TruncationReport.of([5, 5_000_000], None) == TruncationReport(2, 5_000_005, 0, 0, None)


@given(LENGTHS, LENGTHS, st.one_of(st.none(), st.integers(1, 500)))
def test_the_sum_of_two_reports_is_the_report_of_both(a: list[int], b: list[int], limit: int | None) -> None:
    both = TruncationReport.of(a + b, limit)
    assert TruncationReport.of(a, limit) + TruncationReport.of(b, limit) == both
    assert sum([both], TruncationReport()) == both


def test_reports_of_different_encoders_do_not_add_up() -> None:
    with pytest.raises(UsageError):
        TruncationReport.of([1], 10) + TruncationReport.of([1], 20)


def test_a_loss_names_the_option_that_avoids_it() -> None:
    sentence = TruncationReport(5183, 1_747_679, 3681, 505_438, 256).sentence()
    assert sentence == (
        "3,681 of 5,183 documents (71.0%) were longer than the encoder's 256 tokens and were cut: "
        "505,438 of 1,747,679 tokens (28.9%) cannot be found by meaning. "
        "To encode everything, split documents with --chunk WORDS (--chunk 150 fits)."
    )


def test_one_is_singular() -> None:
    assert (
        TruncationReport(1, 300, 1, 44, 256)
        .sentence()
        .startswith(
            "1 of 1 document (100.0%) was longer than the encoder's 256 tokens and was cut: 44 of 300 tokens"
        )
    )
    assert TruncationReport(1, 1, 0, 0, 256).sentence() == (
        "1 document, 1 token: nothing was cut (all fit the encoder's 256 tokens)."
    )


def test_nothing_cut_and_nothing_encoded_have_their_own_words() -> None:
    assert "nothing was cut" in TruncationReport(2, 20, 0, 0, 256).sentence()
    assert "any length" in TruncationReport(2, 20, 0, 0, None).sentence()
    assert TruncationReport().sentence() == "No documents were encoded."
