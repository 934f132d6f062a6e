"""Codes, numbers, names with signs and identifiers find their own document first, on the sparse side and in both."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from leanseek import Document, Index, Searcher
from tests.support import HashEncoder

CODES = {
    "part numbers": [f"M{a}-1{b}/{c}" for a, b, c in product("AB", "02", range(1, 10))],
    "serial numbers": [f"SN{n}" for n in range(48201970, 48202006)],
    "sections": [f"{a}.{b}.{c}" for a, b, c in product((1, 2, 3), repeat=3)],
    "versions": [f"v{a}.{b}.{c}" for a, b, c in product((1, 2), (0, 10, 11), (1, 2, 11))],
    "decimals": [f"{a}.{b}" for a, b in product(range(1, 5), (1, 2, 11, 12))],
    "dates": [f"2024-{m:02}-{d:02}" for m, d in product((1, 2, 10, 11, 12), repeat=2)],
    "telephones": [f"+49 30 555-{n}" for n in range(1201, 1220)],
    "pairs": [f"{a}-{b}" for a, b in product(range(1, 6), repeat=2)],
    "chemicals": [f"{a},{b}-dichloro{c}" for a, b, c in product((1, 2), (1, 2, 3), ("benzene", "propane"))],
    "money": [f"${n},{m}00" for n, m in product(range(1, 5), range(4))],
    "articles": [f"Article {n}" for n in range(1, 13)],
    "numerals": [f"Type {n}" for n in "I II III IV V VI".split()],
    "letters": [f"Vitamin {n}" for n in "ABCDEK"],
    "names": "C++ C# F# .NET Java C R AT&T R&D U.S.A. U.K.".split(),
    "identifiers": "getUserById getUserByName setUserById get_user_by_mail XMLParser XMLWriter put_order".split(),
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_find_their_own_document_first(kind: str, tmp_path: Path) -> None:
    codes = CODES[kind]
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    # In reverse, so that ties do not go to the right one throughout.
    index.add(
        Document(f"{99 - n}", f"Gasket ring {code} for pump housings, steel.") for n, code in enumerate(codes)
    )
    searcher = Searcher.open(tmp_path / "index", encoder=HashEncoder())
    for mode in ("sparse", "hybrid"):
        first = [searcher.search(code, k=1, mode=mode) for code in codes]
        assert [hits[0].text.split("ring ")[1].split(" for")[0] if hits else "" for hits in first] == codes


def test_signs_alone_share_nothing_with_letters(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add([Document("r", "The R language"), Document("d", "Vitamin D"), Document("c", "A tutorial on C")])
    searcher = Searcher.open(tmp_path / "index")
    assert searcher.search("R&D") == searcher.search("C++") == []


def test_identifiers_are_found_by_their_words(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    texts = {
        "get": "def getUserById(userId): ...",
        "parse": "class XMLParser: ...",
        "put": "def put_order(order_id): ...",
    }
    index.add(Document(*item) for item in texts.items())
    searcher = Searcher.open(tmp_path / "index")
    for query, identifier in (
        ("user by id", "get"),
        ("xml parser", "parse"),
        ("getUserById", "get"),
        ("get_user_by_id", "get"),
        ("put order", "put"),
        ("putOrder", "put"),
    ):
        assert searcher.search(query)[0].id == identifier


def test_snippets_mark_wholes_and_parts(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add([Document("get", "Call getUserById with AB-123/5.")])
    searcher = Searcher.open(tmp_path / "index")
    for query, marked in (("user", ["User"]), ("getuserbyid", ["getUserById"]), ("AB-123/5", ["AB-123/5"])):
        explanation = searcher.search(query, explain=True)[0].explanation
        assert explanation is not None
        shown = explanation.snippet
        assert [shown.text[start:end] for start, end in shown.highlights] == marked
