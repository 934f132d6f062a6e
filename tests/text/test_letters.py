"""Spellings that readers take for the same give the same terms, in every script."""

from __future__ import annotations

import pytest

from leanseek.text import load_analyzer
from leanseek.text.letters import Folding


@pytest.mark.parametrize("analyzer", ["simple", "english"])
@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Łódź", "lodz"),
        ("Øresund", "oresund"),
        ("Diyarbakır", "diyarbakir"),
        ("encyclopædia", "encyclopaedia"),
        ("Œuvre", "oeuvre"),
        ("Đà Nẵng", "da nang"),
        ("Þórr Guðmundsson", "thorr gudmundsson"),
        ("Ħal Ŧ", "hal t"),
        ("GROẞ groß", "gross gross"),
        ("São Paulo café", "sao paulo cafe"),
        ("שָׁלוֹם", "שלום"),
        ("בְּרֵאשִׁית־בָּרָא", "בראשית ברא"),
        ('צה"ל צה״ל', "צהל צהל"),
        ("مَدْرَسَة", "مدرسة"),
        ("مـدرسـة", "مدرسة"),
        ("أحمد إلى", "احمد الي"),
        ("ی ک", "ي ك"),
        ("سنة ٢٠٢٤", "سنة 2024"),
        ("۲۰۲۴ २०२४ ๒๐๒๔ ２０２４", "2024 2024 2024 2024"),
        ("٣٫١٤", "3.14"),
        ("so\u00adft wo\u200brd jo\u2060in \u202eabc\u202c \ufeffbom a\u200db", "soft word join abc bom ab"),
        ("می\u200cخواهم", "میخواهم"),
        ("don\u2019t", "don't"),
        ("２０２４年", "2024年"),
    ],
)
def test_spellings_are_one(analyzer: str, written: str, asked: str) -> None:
    loaded = load_analyzer(f"{analyzer};stopwords=none")
    assert loaded.tokens(written) == loaded.tokens(asked) != []


@pytest.mark.parametrize(
    ("language", "kept", "folded"),
    [
        ("swedish", ("får", "för"), ("Łódź", "lodz")),
        ("german", ("schön", "müd"), ("Café", "cafe")),
        ("danish", ("rød", "bær"), ("Łódź", "lodz")),
        ("turkish", ("ılık", "gül"), ("Łódź", "lodz")),
        ("spanish", ("año", "canción"), ("Łukasz Škoda", "lukasz skoda")),
        ("russian", ("йод", "ель"), ("Łódź", "lodz")),
    ],
)
def test_languages_keep_their_own_letters(
    language: str, kept: tuple[str, str], folded: tuple[str, str]
) -> None:
    fold = Folding(language)
    assert tuple(map(fold, kept)) == kept
    assert fold(folded[0]) == folded[1]


def test_digits_and_hidden_characters_are_one_in_every_language() -> None:
    for language in ("arabic", "persian", "hindi", "german", "yiddish"):
        tokens = load_analyzer(language).tokens
        assert tokens("٢٠٢٤ २०२४") == ["2024", "2024"]
        assert tokens("so\u00adf") == tokens("sof")


def test_yiddish_points_are_letters() -> None:
    assert Folding("yiddish")("פּאַ") == "פּאַ"
    assert Folding("simple")("פּאַ") == "פא"


def test_persian_endings_behind_a_non_joiner_are_stemmed() -> None:
    tokens = load_analyzer("persian").tokens
    assert tokens("کتاب\u200cها") == tokens("کتاب")
    assert tokens("می\u200cخواهم") == ["خواه"]
