"""Recency: scores halved with every half-life, from dates of every form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Curve, HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.errors import InputError, UsageError
from leanseek.filters import seconds_of
from leanseek.searcher.recency import UNDATED, UNITS, parse_recency

NOW = "2025-06-01"
DAY = 86_400.0


def dated(place: int) -> Any:
    """Dates of all forms, and some that are none."""
    date = datetime(2025, 5, 30, tzinfo=UTC) - timedelta(days=13 * place % 900)
    forms = [
        date.date().isoformat(),
        date.isoformat(),
        date.strftime("%Y-%m"),
        [date.date().isoformat(), "1990-01-01"],
        int(date.timestamp()),
        int(date.timestamp() * 1000),
        date.year,
        "2031-01-01",
        "some day",
        None,
    ]
    return forms[place % len(forms)]


DOCUMENTS = [
    Document(one.id, one.text, one.title, {"published": dated(place), "lang": "en", "flag": True})
    for place, one in enumerate(make_documents(200, 4))
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recency") / "index"
    index = Index.create(folder, encoder=HashEncoder())
    index.add(DOCUMENTS[:90], cache=False)
    index.add(DOCUMENTS[90:], cache=False)
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder())


def days_old(value: Any) -> float | None:
    """The age of a document, read here by Python's own datetime."""
    now = datetime(2025, 6, 1, tzinfo=UTC)
    if isinstance(value, list):
        return min(age for age in map(days_old, value) if age is not None)
    if isinstance(value, int):
        then = (
            datetime(value, 1, 1, tzinfo=UTC)
            if value < 9999
            else datetime.fromtimestamp(value if value < 10**11 else value / 1000, UTC)
        )
    elif isinstance(value, str) and value[0].isdigit():
        then = datetime.fromisoformat(value if len(value) > 7 else f"{value}-01")
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
    else:
        return None
    return max(0.0, (now - then).total_seconds() / DAY)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_scores_are_halved_with_every_half_life(searcher: Searcher, mode: str) -> None:
    plain = searcher.search("statin trial heart", 200, mode=mode, depth=200)
    least = min(0.0, *(hit.score for hit in plain))
    assert (least < 0) is (mode == "dense")
    factors = {
        one.id: UNDATED if (age := days_old(one.metadata["published"])) is None else 0.5 ** (age / 90)
        for one in DOCUMENTS
    }
    expected = {hit.id: (hit.score - least) * factors[hit.id] for hit in plain}
    hits = searcher.search(
        "statin trial heart", 200, mode=mode, depth=200, recency="published:90d", now=NOW, explain=True
    )
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    keys = [(-hit.score, hit.id) for hit in hits]
    assert keys == sorted(keys) and [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.id for hit in hits] != [hit.id for hit in plain]
    for hit in hits:
        fresh = hit.explanation.freshness
        assert fresh.factor == pytest.approx(factors[hit.id])
        dates = hit.metadata["published"]
        assert fresh.date in (dates if isinstance(dates, list) else [dates, None])
        assert (fresh.date is None) is (days_old(dates) is None)
    [ranked] = searcher.rank_batch(
        ["statin trial heart"], 200, mode=mode, depth=200, recency="published:90d", now=NOW
    )
    assert [one.id for one in ranked] == [hit.id for hit in hits]
    assert [hit.explanation.freshness for hit in searcher.search("statin", explain=True)] == [None] * 10


def test_wordings_and_parts_of_documents(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=HashEncoder(), chunk_words=3)
    index.add(
        [
            Document("old", "statin heart trial " * 40, metadata={"d": "2015-01-01"}),
            Document("new", "statin placebo wing", metadata={"d": "2025-05-31"}),
            *(Document(f"x{place}", "orbit rocket wave", metadata={"d": "2025"}) for place in range(30)),
        ],
        cache=False,
    )
    searcher = Searcher.open(tmp_path / "i", encoder=HashEncoder())
    asked: dict[str, Any] = {"recency": "d:1y", "now": NOW}
    assert searcher.search("statin heart trial", 1)[0].id == "old"
    assert searcher.search("statin heart trial", 1, **asked)[0].id == "new"
    assert searcher.search("statin heart trial", 1, queries=["statin"], **asked)[0].id == "new"
    assert searcher.context("statin heart trial", k=1, **asked).passages[0].id == "new"


def test_the_reference_time(searcher: Searcher) -> None:
    def asked(now: Any) -> list[float]:
        return [hit.score for hit in searcher.search("heart", recency="published:90d", now=now)]

    assert asked("2025-06-01") == asked("2025-06-01T00:00:00Z") == asked("2025-06-01T02:00:00+02:00")
    assert asked("2025-06-01") == asked(datetime(2025, 6, 1)) == asked(datetime(2025, 6, 1, tzinfo=UTC))
    assert asked("2025-06-01") == asked("2025-06") != asked("2025-07")
    assert len(asked(None)) == 10


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(1, 1, 3), datetime(9998, 1, 1)),
    st.sampled_from([None, UTC, "+05:30", "-11:00"]),
    st.sampled_from(["T", " "]),
)
def test_moments_are_those_of_datetime(moment: datetime, zone: Any, between: str) -> None:
    text = moment.isoformat(between)
    offset = timedelta()
    if zone is UTC:
        text += "Z"
    elif zone is not None:
        text += zone
        sign = -1 if zone[0] == "-" else 1
        offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    expected = (moment - offset - datetime(1970, 1, 1)) / timedelta(seconds=1)
    assert seconds_of(text) == pytest.approx(expected, abs=1e-4)


def test_what_else_is_a_date() -> None:
    assert (
        seconds_of("1970-01-02") == DAY
        and seconds_of("1970") == seconds_of(1970) == seconds_of(1970.0) == 0.0
    )
    assert seconds_of("1970-02") == 31 * DAY
    assert seconds_of(1_700_000_000) == seconds_of(1_700_000_000_000) == 1.7e9
    for none in ("", "soon", "2024-13-01", "70", True, 0, -5, 12345, 1970.5, 1e15, float("nan")):
        assert seconds_of(none) is None


def test_the_units() -> None:
    lengths = {"h": 1 / 24, "d": 1, "w": 7, "m": 365.25 / 12, "y": 365.25}
    assert {unit: seconds / DAY for unit, seconds in UNITS.items()} == pytest.approx(lengths)
    found = parse_recency("a:b:1.5w", NOW)
    assert (found.field, found.half_life) == ("a:b", 1.5 * 7 * DAY)
    assert found.of({"a:b": "2025-06-01T00:00:00"}) == ("2025-06-01T00:00:00", 1.0)
    assert found.of({"a:b": "0001-01-01"}).factor == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "published",
        ":90d",
        "published:",
        "published:0d",
        "published:-3d",
        "published:90x",
        "published:d",
        90,
    ],
)
def test_a_half_life_that_is_none(searcher: Searcher, wrong: Any) -> None:
    with pytest.raises(UsageError, match="published:90d"):
        searcher.search("heart", recency=wrong)


def test_a_field_that_has_no_dates(searcher: Searcher, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"names the field publishd, which no document has; did you mean published\?"
    ):
        searcher.search("heart", recency="publishd:90d")
    for field in ("lang", "flag", "id"):
        with pytest.raises(InputError, match="no document has a date there"):
            searcher.search("heart", recency=f"{field}:90d")
    with pytest.raises(UsageError, match="give recency too"):
        searcher.search("heart", now="2025-01-01")
    with pytest.raises(UsageError, match="ISO date"):
        searcher.search("heart", recency="published:90d", now="soon")
    Index.create(tmp_path / "empty", encoder=None)
    assert Searcher.open(tmp_path / "empty").search("heart", recency="published:90d") == []


def test_probabilities_are_the_models(path: Path, searcher: Searcher) -> None:
    """A curve of the cosine: what the score is multiplied by does not reach it."""
    judged = Searcher(searcher._generation.snapshot, encoder=HashEncoder(), relevance=Curve())
    plain = {hit.id: hit.probability for hit in judged.search("statin trial", 200, depth=200)}
    assert None not in plain.values() and len(set(plain.values())) > 50
    for options in ({"recency": "published:30d", "now": NOW}, {"diversity": 0.7}):
        hits = judged.search("statin trial", 200, depth=200, **options)
        assert {hit.id: hit.probability for hit in hits} == plain
        least = float(np.quantile(list(plain.values()), 0.9))
        kept = judged.answer("statin trial", 200, depth=200, min_probability=least, **options)
        assert {hit.id for hit in kept.hits} == {one for one, chance in plain.items() if chance >= least}
    first, second = (
        {hit.id: hit.probability for hit in judged.search(one, 200, depth=200)} for one in ("statin", "wing")
    )
    both = judged.search("statin", 200, queries=["wing"], depth=200)
    assert {hit.id: hit.probability for hit in both} == pytest.approx(
        {one: (first[one] + second[one]) / 2 for one in first}
    )
