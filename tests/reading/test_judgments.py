"""Reading judgments: the two formats, and what is said of bad lines."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.errors import InputError
from leanseek.reading.judgments import qrels_lines, read_qrels


def written(folder: Path, text: str) -> Path:
    path = folder / "qrels"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1 0 a 2\n1 0 b 0\n2 0 a -1\n",
        "1\t0\ta\t2\r\n1\t0\tb\t0\r\n\r\n2\t0\ta\t-1",
        "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n2\ta\t-1\n",
        "Topic,Iter,DocNo,Rel\n1,0,a,2\n1,0,b,0\n2,0,a,-1\n",
        '"qid";"docid";"label"\n1;a;2\n1;"b";0\n2;a;-1\n',
        "query_id iter doc_id relevance\n1 0 a 2\n1 0 b 0\n2 0 a -1\n",
        "score\tcorpus-id\tquery-id\n2\ta\t1\n0\tb\t1\n-1\ta\t2\n",
        "\n\n1 0 a 2.0\n1 0 b 0.00\n2 0 a -1.0\n",
        '{"1": {"a": 2, "b": 0},\n\n"2": {"a": -1.0}}',
        '{"query-id": "1", "corpus-id": "a", "score": 2}\n{"query-id": 1, "corpus-id": "b", "score": 0}\n'
        '{"query-id": "2", "corpus-id": "a", "score": "-1"}\n',
        '[{"qid": "1", "docid": "a", "rel": 2}, {"qid": "1", "docid": "b", "rel": 0},\n'
        '{"qid": "2", "docid": "a", "rel": -1}]',
        "\ufeffquery_id\tdoc_id\trelevance\n1\ta\t2\n1\tb\t0\n1\ta\t2\n2\ta\t-1\n",
    ],
)
def test_formats(tmp_path: Path, text: str) -> None:
    assert read_qrels(written(tmp_path, text)) == {"1": {"a": 2, "b": 0}, "2": {"a": -1}}


def test_beir_ids_may_hold_spaces_and_files_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv.gz"
    path.write_bytes(gzip.compress(b"query-id\tcorpus-id\tscore\nq 1\tThe title\t1\n"))
    assert read_qrels(path) == {"q 1": {"The title": 1}}


def test_ids_with_spaces_between_tabs_or_percent_encoded_on_marked_lines(tmp_path: Path) -> None:
    text = "q 1\t0\tdoc 4\t1\nq 1\t0\td5\t0\nq2 0% doc%204 1\nq2 0 50%25 1\n"
    expected = {"q 1": {"doc 4": 1, "d5": 0}, "q2": {"doc 4": 1, "50%25": 1}}
    assert read_qrels(written(tmp_path, text)) == expected


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1, max_size=8)
grades = st.dictionaries(ids, st.integers(-1000, 1000), min_size=1, max_size=4)


@given(st.dictionaries(ids, grades, min_size=1, max_size=4))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, qrels: dict[str, dict[str, int]]
) -> None:
    lines = "".join(f"{line}\n" for line in qrels_lines(qrels))
    assert read_qrels(written(tmp_path_factory.getbasetemp(), lines)) == qrels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 a 2\n1 0 b\n", "qrels:2: 3 columns; TREC judgments have four"),
        ("1 0 a x\n", "qrels:1: the grade is 'x'; it must be a whole number"),
        (
            "1 0 a 1\n1 0 b 0.5\n",
            "qrels:2: the grade is '0.5'; it must be a whole number, such as 0, 1 or 2; grades",
        ),
        (
            "query-id\tcorpus-id\tscore\nq\ta\thigh\n",
            "qrels:2: the grade is 'high'; it must be a whole number",
        ),
        ("q\ta\thigh\nq\tb\t1\n", "qrels:1: three columns without a header"),
        ("1 0 a nan\n", "qrels:1: the grade is 'nan'"),
        (f"1 0 a {'9' * 5000}\n", "qrels:1: the grade is '999"),
        ('{"q": {"a": 1}}\n{"q": {"b": 0.5}}', "qrels:2: the grade is 0.5"),
        ('{"q": {"a": true}}', "qrels:1: the grade is True"),
        ('{"q": {"a": null}}', "qrels:1: the grade is None"),
        ('{"q": ["a"]}', "qrels:1: no grades by document under 'q'"),
        ("[\n[1]]", "qrels:2: not a JSON object"),
        ('[{"qid": "1", "docid": null, "rel": 2}]', "qrels:1: the id is None"),
        ("qid,docid,rel\n1,a\n", "qrels:2: 2 columns; BEIR's have three"),
        ("1 0 a ١\n", "qrels:1: the grade is"),
        ("1 0 a 100000\n", "qrels:1: the grade is 100000; grades lie between -1000 and 1000"),
        (
            "1 0 a 1\n2 0 a 1\n1 0 a 2\n",
            "qrels:3: document 'a' has the grade 2 for query '1', but 1 further up",
        ),
        ("query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb 0\n", "qrels:3: 2 columns; BEIR's have three"),
        ("query-id\tcorpus-id\tscore\n1\t\t2\n", "qrels:2: 2 columns"),
        ("query-id\tcorpus-id\tscore\n", "no judgments under the header"),
        ("", "there are no judgments in it"),
        (
            "1 Q0 a 1 2.5 t\n",
            "qrels:1: this looks like a run, not like judgments (qrels); are the two arguments swapped?",
        ),
        ("1\ta\t1\n", "qrels:1: three columns without a header"),
        ("1 2\n", "qrels:1: 2 columns"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_qrels(written(tmp_path, text))
    assert message in str(raised.value)


def test_real_judgments_as_the_csv_module_reads_them(collection: Callable[[str], Path]) -> None:
    for path in (
        collection("scifact") / "qrels" / "test.tsv",
        collection("trec-dl-2019") / "qrels" / "test_full.tsv",
    ):
        with path.open(encoding="utf-8", newline="") as file:
            table = list(csv.reader(file, delimiter="\t"))[1:]
        qrels = read_qrels(path)
        assert {(query, id, str(grade)) for query, docs in qrels.items() for id, grade in docs.items()} == {
            tuple(row) for row in table
        }
    assert sum(map(len, qrels.values())) == 9260


def test_ids_that_look_like_json(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "{ 0 a 1\n[ 0 b 0\n")) == {"{": {"a": 1}, "[": {"b": 0}}
