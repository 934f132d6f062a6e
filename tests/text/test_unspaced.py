"""Scripts without spaces: characters, and pairs of neighbours."""

from __future__ import annotations

import unicodedata

import pytest

from leanseek.text import load_analyzer

SIMPLE = load_analyzer("simple")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("東京都", ["東京", "東", "京都", "京", "都"]),
        ("行くABC茶 茶", ["行く", "行", "く", "abc", "茶", "茶"]),
        ("한국어", ["한국", "한", "국어", "국", "어"]),
        ("각\u1161", ["각\u1161", "각", "\u1161"]),
        ("ｶﾞｷﾞ", ["ガギ", "ガ", "ギ"]),
        ("第５章，完", ["第", "5", "章", "完"]),
        ("㍿", ["株式", "株", "式会", "式", "会社", "会", "社"]),
        ("ไทย", ["ไท", "ไ", "ทย", "ท", "ย"]),
        ("น้ำ", ["น้ํา", "น้ํ", "า"]),
        ("น\u0e49\u0e4d\u0e32", ["น้ํา", "น้ํ", "า"]),
        ("ລາວ", ["ລາ", "ລ", "າວ", "າ", "ວ"]),
        ("ខ្មែរ", ["ខ្មែ", "ខ្", "មែរ", "មែ", "រ"]),
        ("မြန်မာ", ["မြန်", "မြ", "န်မာ", "န်", "မာ"]),
        ("ไทย\u200bลาว", ["ไท", "ไ", "ทย", "ท", "ย", "ลา", "ล", "าว", "า", "ว"]),
    ],
)
def test_unspaced(text: str, tokens: list[str]) -> None:
    assert SIMPLE.tokens(text) == tokens
    assert [span.token for span in SIMPLE.spans(text)] == tokens


def test_a_character_is_found_inside_words() -> None:
    for character, text in (("茶", "日本茶屋"), ("책", "이책은"), ("น", "คน")):
        assert set(SIMPLE.tokens(character)) <= set(SIMPLE.tokens(text))


def test_jamo_are_syllables_with_their_places() -> None:
    text = unicodedata.normalize("NFD", "한국")
    assert SIMPLE.spans(text) == [("한국", 0, 6), ("한", 0, 3), ("국", 3, 6)]
