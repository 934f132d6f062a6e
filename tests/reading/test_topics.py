"""Topics in markup: the dialects of the tracks, what is no topic, and that no text takes long."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.reading.judgments import read_qrels
from leanseek.reading.queries import read_queries
from leanseek.reading.runs import read_run
from leanseek.types import Query


def written(folder: Path, text: str, name: str = "topics.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '<webtrack2030>\n<topic number="7" type="single">\n <query>pump seals</query>\n'
            '<description>Find them.</description>\n<subtopic number="1" type="inf">x</subtopic>\n</topic>\n'
            "</webtrack2030>",
            [("7", "pump seals")],
            id="web track",
        ),
        pytest.param(
            "<parameters>\n<index>/i</index><query><type>indri</type><number>7</number>"
            "<text>#combine( pump seals )</text></query></parameters>",
            [("7", "pump seals")],
            id="Indri",
        ),
        pytest.param(
            "<TOP>\n<NUM>Number:  C041\n<EN-TITLE> Pump <b>seals</b> & valves\n<EN-DESC> Description:\nx\n</TOP>",
            [("C041", "Pump seals & valves")],
            id="SGML with inline markup",
        ),
        pytest.param(
            "<topics><topic number='1'><title>Pump <i>seals</i>, H<sub>2</sub>O</title></topic></topics>",
            [("1", "Pump seals, H2O")],
            id="XML with inline markup",
        ),
        pytest.param(
            '<t:topics xmlns:t="x"><t:topic xml:id="1"><t:title/><t:desc>a &lt;b&gt; c</t:desc></t:topic></t:topics>',
            [("1", "a <b> c")],
            id="name spaces, and a title that is empty",
        ),
        pytest.param(
            '<topics><topic number=1 title="a > b"/><topic number=2 title="c"/></topics>',
            [("1", "a > b"), ("2", "c")],
            id="attributes alone",
        ),
        pytest.param(
            "<queries><query><qid>WWW-1</qid><content>pump seals</content></query></queries>",
            [("WWW-1", "pump seals")],
            id="NTCIR",
        ),
        pytest.param(
            '<topics><topic number="1"><summary>s</summary><description>a boy\nof 8</description></topic></topics>',
            [("1", "a boy of 8")],
            id="clinical decision support",
        ),
        pytest.param(
            '<questions><question id="q1"><text>why?</text></question></questions>', [("q1", "why?")], id="questions"
        ),
        pytest.param(
            '<inex_topic topic_id="202" ct_no="1"><title>pumps</title></inex_topic>', [("202", "pumps")], id="INEX"
        ),
        pytest.param("<top><num> Number: 000 <narr> x < 5 and <y", [("0", "x < 5 and <y")], id="neither end nor title"),
        pytest.param(
            "<top>\n<num> Number: " + "9" * 5000 + "\n<title> &#" + "9" * 5000 + ";\n</top>",
            [("9" * 5000, "&#" + "9" * 5000 + ";")],
            id="numbers beyond any limit",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0"?>\n<!DOCTYPE x>\n<!-- <top> -->\n'])
def test_dialects(tmp_path: Path, text: str, expected: list[tuple[str, str]], declaration: str) -> None:
    for name in ("topics.txt", "web.xml", "q.tsv", "q"):
        assert read_queries(written(tmp_path, declaration + text, name)) == [Query(*one) for one in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<html>\n<body><p>hello</p></body></html>",
            r":1: this markup has no topics .*the first tag is <html>",
        ),
        ("<docs>\n<doc id='1'>a</doc></docs>", r":1: this markup has no topics .*<docs>"),
        ("<top>\n<num> 1\n<!-- <title> a\n</top>", r":3: what begins here with <!-- has no -->"),
        ("<top>\n<num> 1\n<title> <![CDATA[a</top>", r":3: what begins here with <!\[CDATA\[ has no ]]>"),
        (
            "<top>\n<num>1</num>\n</top>\n<top>\n<num>2</num><tit",
            r":4: the topic .* no </top>: the file is cut off",
        ),
        (
            "<parameters>\n<query><number>1</number><text>#weight(0.8 a 0.2 b)</text></query></parameters>",
            r":2: Indri's operators are not read",
        ),
        ("<top><num>1<title>a\n<top><num>1<title>b", r":2: the query id '1' is that of line 1 too"),
    ],
)
def test_what_is_no_topic_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_queries(written(tmp_path, text))


REPEATED = (
    "<!-- x -->", "<!--", "<a><a>", "<a", "<", "</top>", "<top>", "<top><num>1", "<b></b>", "<![CDATA[", "<a b='", '="',
    "a=b ", "&#", "&amp;", " ", "\t", "\n", "9", "9:", "9 ", "a\t", "{", "[", '{"a":', "#combine(", ",", '"', ":",
    "1 0 a 1\n", "<?x?>", "<!x>", "a:9:", "\u3000", "%", '<a b="c">', "q Q0 d 1 1 t\n",
)  # fmt: skip
BEGINNINGS = (
    "",
    "<topic number='1' x",
    "1\t",
    "<top><num>1<title>",
    "q1:",
    '{"id": "',
    "[",
    "id,text\n",
    "q 0 ",
)


@pytest.mark.parametrize("part", REPEATED)
@pytest.mark.parametrize(
    ("size", "beginnings"), [(100_000, 3), pytest.param(10**6, 9, marks=pytest.mark.slow)]
)
def test_no_text_takes_long(tmp_path: Path, part: str, size: int, beginnings: int) -> None:
    for beginning in BEGINNINGS[:beginnings]:
        path = written(tmp_path, beginning + part * (size // len(part)), "file")
        for read in (read_queries, read_qrels, read_run):
            begun = time.process_time()
            with suppress(InputError):
                read(path)  # type: ignore[operator]
            assert time.process_time() - begun < 15, (beginning, part, read)


pieces = st.lists(
    st.sampled_from(
        (*REPEATED, *BEGINNINGS, "</num>", "<title>", "<query id='2'>", "é", "\n", "x y", "\t1\n", "]}")
    ),
    max_size=30,
)


@settings(max_examples=400)
@given(pieces)
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    path = written(tmp_path_factory.getbasetemp(), "".join(parts), "any-text")
    for read in (read_queries, read_qrels, read_run):
        try:
            found = read(path)  # type: ignore[operator]
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert found


words = st.text(
    st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="#"), min_size=1, max_size=20
).filter(str.strip)


@given(st.dictionaries(st.integers(1, 10**6).map(str), words, min_size=1))
def test_what_was_written_as_a_topic_is_read(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]
) -> None:
    from xml.sax.saxutils import escape

    expected = [Query(id, " ".join(text.split())) for id, text in texts.items()]
    topics = "".join(
        f"<topic number='{id}'><query>{escape(text)}</query></topic>" for id, text in texts.items()
    )
    path = written(tmp_path_factory.getbasetemp(), f"<anything>{topics}</anything>", "written-topics")
    assert read_queries(path) == expected
