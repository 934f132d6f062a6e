"""Encodings: marks, declarations, options and guesses, and whether bytes are text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError, UsageError
from leanseek.reading import ReadReport, read, read_queries
from leanseek.reading.charset import charset, known_encoding, looks_like_text

GERMAN = "Die Größe der Tür beträgt zwölf Meter. Prüfen Sie die Dichtung, bevor Sie das Gerät öffnen."
CHINESE = "水泵在冬天会结冰，如果不把管道里的水放掉。启动之前请检查阀门。"
TEXTS = {
    "cp1252": "Café crème – 5 € “neu”. L’été dernier, nous étions à la forêt près d’un hôtel.",
    "latin-1": GERMAN,
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy. Čerpadlo je třeba vyčistit před zimou.",
    "iso8859-2": "Zażółć gęślą jaźń. Proszę sprawdzić, czy pompa działa prawidłowo, i wyłączyć urządzenie.",
    "cp1251": "Насос замерзает зимой, если не слить воду из трубопровода.",
    "koi8-r": "Насос замерзает зимой, если не слить воду из трубопровода.",
    "gbk": CHINESE,
    "big5": "水泵在冬天會結冰，如果不把管道裡的水放掉。啟動之前請檢查閥門。",
    "shift_jis": "ポンプは冬に凍結することがあります。配管の水を抜いてください。",
    "euc_jp": "ポンプは冬に凍結することがあります。配管の水を抜いてください。",
    "iso2022_jp": "ポンプは冬に凍結することがあります。配管の水を抜いてください。",
    "euc_kr": "펌프는 겨울에 얼 수 있으므로 배관의 물을 빼야 합니다.",
    "utf-16-le": GERMAN,
    "utf-16-be": CHINESE,
    "utf-32-le": GERMAN,
}


def texts(path: Path, encoding: str | None = None) -> tuple[list[str], ReadReport]:
    report = ReadReport()
    return [document.text for document in read(path, encoding=encoding, report=report)], report


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_detected_and_the_file_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXTS[encoding].encode(encoding))
    found, report = texts(tmp_path)
    assert found == [TEXTS[encoding]]
    assert (report.guessed, report.repaired) == (1, 0)
    assert "a.txt: not UTF-8; read as" in report.messages[0] and "--encoding" in report.messages[0]


@pytest.mark.parametrize("encoding", TEXTS)
def test_a_named_encoding_is_no_guess(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXTS[encoding].encode(encoding))
    found, report = texts(tmp_path, encoding)
    assert (found, report.guessed, report.messages) == ([TEXTS[encoding]], 0, [])


def test_a_named_encoding_is_for_files_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(CHINESE.encode("gbk"))
    (tmp_path / "b.txt").write_text(GERMAN, encoding="utf-8")
    (tmp_path / "c.txt").write_text(GERMAN, encoding="utf-8-sig")
    (tmp_path / "d.html").write_bytes(f'<meta charset="iso-8859-1"><p>{GERMAN}'.encode("latin-1"))
    assert texts(tmp_path, "GB2312".lower())[0] == [CHINESE, GERMAN, GERMAN, GERMAN]
    assert texts(tmp_path, "utf-16")[0][1:] == [GERMAN, GERMAN, GERMAN]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"])
def test_tables_are_decoded_alike(tmp_path: Path, name: str) -> None:
    rows = {
        ".csv": 'id,text\n1,"Café crème – 5 € “neu”"\n2,plain\n',
        ".tsv": "id\ttext\n1\tCafé crème – 5 € “neu”\n2\tplain\n",
        ".jsonl": '{"id": 1, "text": "Café crème – 5 € “neu”"}\n{"id": 2, "text": "plain"}\n',
    }
    raw = rows[Path(name.removesuffix(".gz")).suffix].encode("cp1252")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    found, report = texts(tmp_path / name)
    assert found == ["Café crème – 5 € “neu”", "plain"]
    assert (report.read, report.guessed, report.repaired) == (2, 1, 0)


def test_accents_far_behind_the_beginning(tmp_path: Path) -> None:
    plain = '{"id": "%d", "text": "' + "plain words " * 40 + '"}\n'
    rows = "".join(plain % number for number in range(4000)) + '{"id": "x", "text": "Größe und Tür"}\n'
    for encoding, guessed in (("cp1252", 1), ("utf-8", 0)):
        (tmp_path / "a.jsonl").write_bytes(rows.encode(encoding))
        found, report = texts(tmp_path / "a.jsonl")
        assert (found[-1], len(found), report.guessed) == ("Größe und Tür", 4001, guessed)


def test_damaged_utf8_stays_utf8_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(CHINESE.encode() + b" \xff end")
    found, report = texts(tmp_path)
    assert found == [f"{CHINESE} \ufffd end"]
    assert (report.guessed, report.repaired) == (0, 1)
    assert "a.txt" in report.messages[0] and "not valid UTF-8" in report.messages[0]


def test_bytes_invalid_in_the_named_encoding_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 \x81")
    found, report = texts(tmp_path, "cp1252")
    assert (found, report.repaired) == (["café \ufffd"], 1)
    assert "not valid cp1252" in report.messages[0]


def test_an_unknown_encoding_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    for name in ("klingon", "base64", "rot13", ""):
        with pytest.raises(UsageError, match=r"not known; give one such as utf-8, cp1252"):
            read(tmp_path, encoding=name)
    assert known_encoding("Windows-1252") == "cp1252"


def test_queries_are_never_decoded_by_a_guess(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_bytes(f"plain\n{GERMAN}\n".encode("cp1252"))
    with pytest.raises(
        InputError, match=r"q\.txt:2: this is not UTF-8 text; its encoding seems to be cp1252"
    ):
        read_queries(tmp_path / "q.txt")


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_any_valid_utf8_is_utf8(text: str) -> None:
    assert charset(text.encode()).name == "utf-8"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_have_an_encoding(raw: bytes) -> None:
    raw.decode(charset(raw).name, "replace")


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"", True),
        (b"def f():\n    return 1\n", True),
        (GERMAN.encode("cp1252"), True),
        (CHINESE.encode("gbk"), True),
        (GERMAN.encode("utf-16"), True),
        (CHINESE.encode("utf-16-le"), True),
        (b"\x1b[31mred\x1b[0m log line", True),
        (b"%PDF-1.4", False),
        (b"{\\rtf1 text", False),
        (b"\xff\xd8\xff\xe0 jpeg", False),
        (b"PK\x03\x04", False),
        (bytes(range(256)) * 4, False),
        (b"text\0text" * 50, False),
    ],
)
def test_what_looks_like_text(start: bytes, text: bool) -> None:
    assert looks_like_text(start) is text


@pytest.mark.parametrize("name", ["quopri", "base64", "rot13", "zlib"])
def test_a_declared_codec_that_is_no_encoding_of_texts_is_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(f'<meta charset="{name}"><p>caf\u00e9 au lait</p>'.encode("cp1252"))
    [document] = read(tmp_path)
    assert document.text == "caf\u00e9 au lait"
