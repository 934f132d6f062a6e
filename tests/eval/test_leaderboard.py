"""The BEIR table: what is missing is marked, what is averaged is said."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from statistics import fmean

import pytest

from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Rules
from leanseek.eval.collections.official import BEIR_SETS, FORUMS, MTEB_TASKS, beir_name
from leanseek.eval.leaderboard import as_csv, as_markdown, leaderboard, table
from leanseek.eval.results import Efficiency, Machine, Provenance, Result, SystemSettings

BLANK = Result(
    collection="scifact",
    split="test",
    system="a",
    settings=SystemSettings("sparse", None, None, None, None, None, None, None, 0, None, None),
    k=1000,
    documents=1,
    queries=1,
    measures=("nDCG@10",),
    means={"nDCG@10": 0.0},
    rules=Rules("", "", "", "", "", ""),
    warnings=(),
    efficiency=Efficiency(None, None, 1.0, 1.0, None, Machine("", 1, "")),
    provenance=Provenance(
        (), "0", None, "3", {}, None, "f", "c", None, "r", "i", {}, "2025-01-01T00:00:00+00:00"
    ),
)


def result(collection: str, system: str, value: float, split: str = "test") -> Result:
    return replace(BLANK, collection=collection, system=system, split=split, means={"nDCG@10": value})


def test_means_are_over_what_is_there_and_say_so() -> None:
    board = leaderboard(
        [result("scifact", "a", 0.6), result("fiqa", "a", 0.2), result("cranfield", "a", 0.9)]
    )
    assert len(board.rows) == len(BEIR_SETS) == 18
    assert board.means["a"].value == pytest.approx(0.4)  # cranfield is no BEIR set
    assert board.means["a"].label == "mean of 2 of 18"
    lines = {line[0]: line[1] for line in table(board)}
    assert lines["SciFact"] == "0.6000"
    assert lines["ArguAna"] == "—"
    assert lines["mean of 2 of 18"] == "0.4000"
    assert lines["cranfield (test), not in BEIR"] == "0.9000"


def test_other_splits_do_not_count() -> None:
    board = leaderboard([result("scifact", "a", 0.6), result("fiqa", "a", 0.2, split="dev")])
    assert board.means["a"].present == 1
    assert [row.title for row in board.others] == ["fiqa (dev)"]


def test_cqadupstack_is_the_mean_of_its_forums_and_counts_only_whole() -> None:
    values = [0.1 + 0.01 * number for number in range(len(FORUMS))]
    parts = [
        result(f"cqadupstack/{forum.name}", "a", value) for forum, value in zip(FORUMS, values, strict=True)
    ]
    assert len(parts) == 12
    whole = leaderboard([*parts, result("scifact", "a", 0.6)])
    cell = next(row for row in whole.rows if row.title == "CQADupStack").cells["a"]
    assert cell.value == pytest.approx(fmean(values))
    assert whole.means["a"].value == pytest.approx((fmean(values) + 0.6) / 2)
    part = leaderboard([*parts[:5], result("scifact", "a", 0.6)])
    assert part.means["a"].value == pytest.approx(0.6)
    assert ["CQADupStack", f"{fmean(values[:5]):.4f} (5/12)"] in table(part)


def test_systems_with_different_sets_are_compared_on_the_common_ones() -> None:
    board = leaderboard(
        [
            result("scifact", "a", 0.6),
            result("fiqa", "a", 0.2),
            result("scifact", "b", 0.7),
        ]
    )
    assert board.systems == ("a", "b")
    assert board.shared == ("SciFact",)
    assert (board.common["a"].value, board.common["b"].value) == (0.6, 0.7)
    lines = table(board)
    assert ["mean of those there, of 18", "0.4000 (2)", "0.7000 (1)"] in lines
    assert ["mean of 1 of 18 that all have", "0.6000", "0.7000"] in lines


def test_systems_without_a_common_set_get_no_common_mean() -> None:
    board = leaderboard([result("scifact", "a", 0.6), result("fiqa", "b", 0.2)])
    assert board.common == {}
    assert ["mean of 1 of 18", "0.6000", "0.2000"] not in [line for line in table(board) if "all" in line[0]]


def test_names_under_which_collections_were_opened_do_not_matter() -> None:
    board = leaderboard([result("beir:scifact", "a", 0.6), result("irds:beir/scifact/test", "b", 0.7)])
    row = next(row for row in board.rows if row.title == "SciFact")
    assert set(row.cells) == {"a", "b"}
    assert beir_name("beir-cqadupstack-android") == "cqadupstack/android"
    assert beir_name("beir-webis-touche2020-v2") == "webis-touche2020"
    assert {beir_name(one.name) for one in BEIR_SETS} == {one.name for one in BEIR_SETS}


def test_csv_and_markdown_hold_the_same_table() -> None:
    board = leaderboard([result("scifact", "a|b", 0.6)])
    rows = list(csv.reader(io.StringIO(as_csv(board))))
    assert rows[0] == ["nDCG@10", "a|b"]
    assert ["SciFact", "0.6000"] in rows
    assert ["ArguAna", ""] in rows
    markdown = as_markdown(board).splitlines()
    assert markdown[0] == "| nDCG@10 | a\\|b |"
    assert "| SciFact | 0.6000 |" in markdown
    assert len(markdown) == len(rows) + 1


def test_what_cannot_be_tabled_is_told() -> None:
    with pytest.raises(InputError):
        leaderboard([])
    with pytest.raises(UsageError, match=r"nDCG@10"):
        leaderboard([BLANK], "P@5")


def test_mteb_tasks() -> None:
    assert MTEB_TASKS["scifact"] == "SciFact"
    assert MTEB_TASKS["cqadupstack/tex"] == "CQADupstackTexRetrieval"
    assert MTEB_TASKS["robust04"] is None
    assert MTEB_TASKS.get("cranfield") is None
