"""Numbers, versions, codes, identifiers, initials, and names with signs: the whole, and its parts."""

from __future__ import annotations

import pytest

from leanseek.text import load_analyzer

ENGLISH = load_analyzer("english")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # Numbers are whole, however thousands are written.
        ("3.14 5.14 .05 0.05", ["3.14", "5.14", "0.05", "0.05"]),
        ("1,000 1000 9,000. $1,234,567.89 12.5mg", ["1000", "1000", "9000", "1234567.89", "12.5", "mg"]),
        ("[1,2] 1,0000", ["1", "2", "1", "0000"]),
        # Versions are found by their beginnings.
        ("3.11.4", ["3.11.4", "3.11", "3", "11", "4"]),
        ("v3.11", ["3.11", "v3", "11"]),
        ("192.168.0.1", ["192.168.0.1", "192.168.0", "192.168", "192", "168", "0", "1"]),
        # Codes.
        ("AB-123/5", ["ab123/5", "ab", "123", "5"]),
        ("ab123/5", ["ab123/5", "ab123", "5"]),
        ("AB\u2011123/5", ["ab123/5", "ab", "123", "5"]),
        ("IL-6 IL6", ["il6", "il", "6", "il6"]),
        ("MA-12/35 MA-123/5", ["ma12/35", "ma", "12", "35", "ma123/5", "ma", "123", "5"]),
        ("COVID-19-related", ["covid", "19", "relat"]),
        ("2024-03-01 1997-2001", ["2024-03-01", "2024", "03", "01", "1997-2001", "1997", "2001"]),
        ("2024-03-01T12:15", ["2024-03-01", "2024", "03", "01", "t12:15", "t12", "15"]),
        ("1,2-dichloroethane 2,4-D", ["1,2", "1", "2", "dichloroethan", "2,4d", "2,4", "2", "4", "d"]),
        ("ISO 9001:2015", ["iso", "9001:2015", "9001", "2015"]),
        # Words with hyphens are words.
        ("well-known x-ray vitamin-C and/or", ["well", "known", "x", "ray", "vitamin", "c"]),
        # Identifiers.
        ("getUserById userId", ["getuserbyid", "get", "user", "id", "userid", "user", "id"]),
        ("XMLParser HTTPServer2", ["xmlparser", "xml", "parser", "httpserver2", "http", "server2"]),
        ("put_order __init__", ["putorder", "put", "order", "init"]),
        ("mRNA DNAs pH iPhone IgG", ["mrna", "dnas", "ph", "iphon", "igg"]),
        # Names with signs, and initials.
        ("C++ c# F#, .NET C++17 C/C++", ["c++", "c#", "f#", ".net", "net", "c++", "17", "c", "c++"]),
        ("AT&T R&D Q&A johnson&johnson", ["at&t", "r&d", "q&a", "johnson&johnson", "johnson", "johnson"]),
        ("U.S.A. U.S.A USA, e.g. the U.S.", ["usa", "usa", "usa", "us"]),
        ("J.R.R.Tolkien", ["j", "r", "r", "tolkien"]),
        ("Notepad++ a+b", ["notepad++", "notepad", "b"]),
        ("end. (next) the.end", ["end", "next", "end"]),
    ],
)  # fmt: skip
def test_compounds(text: str, tokens: list[str]) -> None:
    assert ENGLISH.tokens(text) == tokens
    assert [span.token for span in ENGLISH.spans(text)] == tokens


def test_a_whole_covers_its_parts_and_comes_before_them() -> None:
    text = "see AB-123/5, getUserById and .NET"
    assert [(token, text[start:end]) for token, start, end in load_analyzer("simple").spans(text)] == [
        ("see", "see"),
        ("ab123/5", "AB-123/5"),
        ("ab", "AB"),
        ("123", "123"),
        ("5", "5"),
        ("getuserbyid", "getUserById"),
        ("get", "get"),
        ("user", "User"),
        ("by", "By"),
        ("id", "Id"),
        ("and", "and"),
        (".net", ".NET"),
        ("net", "NET"),
    ]


def test_encoded_data_is_no_identifier() -> None:
    assert load_analyzer("simple").tokens("aBcDeF" * 100) == ["abcdef" * 42 + "abc"]
