"""Letters: the class of each character, and how spellings that readers take for the same are made one.

Each character has a class, one letter or sign, so that patterns of words read a text of any script alike:

| class | characters |
|---|---|
| l, u, d | letters without case or in lower case, letters in upper case, digits |
| m, z | what belongs to the letter before it, seen or not (vowel signs, soft hyphens); the zero-width space |
| c | Han, kana and the like |
| L, V, T, H, J | Hangul: leading, vowel and trailing jamo; syllables of two and of three of them |
| s | letters of Thai, Lao, Khmer, Myanmar and their kin, which are written without spaces |
| - . , / _ : ' & + # | themselves, and signs that look the same |
| o | all else |
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

LONGEST: Final = 255
"""Characters of a term; the rest is cut off, so that a megabyte of base64 is one short term."""

_SIGNS: Final = {
    **{sign: sign for sign in "-.,/_:'&+#"},
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    **dict.fromkeys("\u2018\u2019\u201b\u2032", "'"),
    **{"\u066b": ".", "\u066c": ",", "\u2044": "/", "\u2215": "/"},
}
_SCRIPTS: Final = tuple(
    (kind, re.compile(f"[{ranges}]"))
    for kind, ranges in (
        ("L", "\u1100-\u115e\ua960-\ua97c"),
        ("V", "\u1161-\u11a7\ud7b0-\ud7c6"),
        ("T", "\u11a8-\u11ff\ud7cb-\ud7fb"),
        ("H", "".join(map(chr, range(0xAC00, 0xD7A4, 28)))),
        ("J", "\uac00-\ud7a3"),
        (
            "c",
            "\u3005-\u3007\u3031-\u3035\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
            "\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff"
            "\U00016fe0-\U00018d08\U0001aff0-\U0001b2ff\U00020000-\U000323af",
        ),
        ("s", "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"),
    )
)
_ZERO_WIDTH_SPACE: Final = "\u200b"
_HIDDEN: Final = re.compile(
    "[\xad\u034f\u0640\u05f3\u05f4\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""Characters in words that no reader sees, or that only stretch (tatweel) or abbreviate (gershayim) a word."""
_SIGHT_ONLY: Final = frozenset("\u0e33\u0eb3")
"""Vowels of Thai and Lao that are letters to Unicode, and half marks by their decomposition."""
_POINTS: Final = re.compile(
    "[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0730-\u074a\u08d3-\u08ff]"
)
"""Vowel points and reading signs of Hebrew, Arabic and Syriac, which most writers leave out."""
_ACCENTS: Final = re.compile("[\u0300-\u036f]")

_STROKES: Final = {
    pair[0]: pair[1:]
    for pair in (
        "łl ƚl ɫl ɬl øo đd ðd ɖd ɗd ħh ɦh ŧt ƭt ʈt ıi ɨi ƀb ɓb ƈc ƒf ǥg ɠg ɟj ƙk ɱm ŋn ɲn ɔo ɵo ƥp ɍr ɽr ʂs ʉu "
        "ʋv ƴy ɏy ƶz ȥz ɛe ǝe əa ɣg ʒz ĸq æae œoe þth ßss"
    ).split()
}
"""Latin letters that no decomposition takes apart, by what is written where they are not at hand."""
_ARABIC: Final = {
    "\u0671": "\u0627",
    "\u0649": "\u064a",
    "\u06cc": "\u064a",
    "\u06a9": "\u0643",
    "\u0629": "\u0647",
}
"""Letters of Arabic script that languages and keyboards write in two ways: alef, yeh, kaf, teh marbuta."""

_ALPHABETS: Final = {
    "basque": "ñ", "catalan": "àáèéíïòóúüç", "czech": "áčďéěíňóřšťúůýž", "danish": "æøå", "dutch": "äëïöüáéíóúè",
    "dutch_porter": "äëïöüáéíóúè", "esperanto": "ĉĝĥĵŝŭ", "estonian": "äöõüšž", "finnish": "åäöšž",
    "french": "âàçëéêèïîôûùüÿœæ", "german": "äöü", "hungarian": "áéíóöőúüű", "irish": "áéíóú",
    "italian": "àáèéìíîòóùú", "lithuanian": "ąčęėįšųūž", "norwegian": "æøå", "polish": "ąćęłńóśźż",
    "portuguese": "áàâãéêíóôõúüç", "romanian": "ăâîșşțţ", "serbian": "čćđšž", "sesotho": "š",
    "spanish": "áéíóúüñ", "swedish": "åäö", "turkish": "çğıöşüâîû",
}  # fmt: skip
"""The letters that a language tells apart, which its stemmer expects; all others lose accents and strokes."""
_EVERY_SCRIPT: Final = frozenset({"english", "porter", "simple"})
"""Analysers that drop accents in every script; others leave Greek, Cyrillic and Arabic letters to their stemmers."""
_JOINED: Final = frozenset({"persian"})
"""Languages whose stemmer knows the zero-width non-joiner, which parts a word's endings from it."""
_POINTED: Final = frozenset({"yiddish"})
"""Languages whose points are letters."""


class _Classes(dict[int, str]):
    """Code point -> class, filled as code points are met."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _class_of(chr(code))
        return kind


CLASSES: Final = _Classes()
"""A table for `str.translate`: a text's classes, one for each character."""


def _class_of(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char == _ZERO_WIDTH_SPACE:
        return "z"
    category = unicodedata.category(char)
    if category[0] == "M" or char in _SIGHT_ONLY or _HIDDEN.match(char):
        return "m"
    if category == "Nd":
        return "d"
    for kind, script in _SCRIPTS:
        if script.match(char):
            return kind
    image = unicodedata.normalize("NFKC", char)
    if image != char:
        kinds = {CLASSES[ord(one)] for one in image}
        if len(kinds) == 1:
            kind = kinds.pop()
            return "o" if len(image) > 1 and kind in _SIGNS else kind
        # ½ or ㎏ is a word; what is in it is found once it is folded.
        return "l" if any(map(str.isalnum, image)) else "o"
    if not char.isalnum():
        return "o"
    return "d" if category[0] == "N" else "u" if category in ("Lu", "Lt") else "l"


class Folding:
    """Makes one of the spellings of a word: case, compatibility forms, digits of any script, what no reader sees,
    and the accents and strokes that the language does not tell apart. Thread-safe."""

    def __init__(self, language: str) -> None:
        self._letters = _Letters(
            frozenset(_ALPHABETS.get(language, "")),
            every_script=language in _EVERY_SCRIPT,
            pointed=language in _POINTED,
        )
        self._dotted_i = language == "turkish"
        self._joined = language in _JOINED

    def __call__(self, word: str) -> str:
        """The word's one spelling; "" where nothing of it is seen."""
        if self._dotted_i:
            word = word.replace("I", "ı").replace("İ", "i")
        if word.isascii():
            return word.lower()
        # Unicode's order of marks takes quadratic time, and no term is longer.
        word = word[: 4 * LONGEST]
        if self._joined:
            word = _HIDDEN.sub(lambda match: "\u200c" if match[0] == "\u200c" else "", word)
        else:
            word = _HIDDEN.sub("", word)
        folded = unicodedata.normalize("NFKC", word).casefold()
        folded = unicodedata.normalize("NFKC", folded).translate(self._letters)
        return unicodedata.normalize("NFKC", folded)


class _Letters(dict[int, str]):
    """Code point of a folded letter -> what stays of it, filled as they are met."""

    def __init__(self, alphabet: frozenset[str], *, every_script: bool, pointed: bool) -> None:
        super().__init__()
        self._alphabet = alphabet
        self._every_script = every_script
        self._pointed = pointed

    def __missing__(self, code: int) -> str:
        kept = self[code] = self._kept(chr(code))
        return kept

    def _kept(self, char: str) -> str:
        if char in self._alphabet:
            return char
        if char.isdecimal():
            return str(unicodedata.decimal(char))
        if _ACCENTS.match(char) or (_POINTS.match(char) and not self._pointed):
            return ""
        if char in _STROKES:
            return _STROKES[char]
        if not self._every_script and not unicodedata.name(char, "").startswith("LATIN"):
            return char
        if char in _ARABIC:
            return _ARABIC[char]
        bare = _POINTS.sub("", _ACCENTS.sub("", unicodedata.normalize("NFKD", char)))
        return unicodedata.normalize("NFC", "".join(_STROKES.get(one, one) for one in bare))


@cache
def folding(language: str) -> Folding:
    """The folding for an analyser of that name."""
    return Folding(language)
