"""Labels of a review: the forms they come in, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from leanseek.errors import InputError
from leanseek.reading import read_labels

EXPECTED = {"b2": 1, "a1": 0, "c 3": 2}


@pytest.mark.parametrize(
    "text",
    [
        "b2\t1\na1\t0\nc 3\t2\n",
        "\n\nb2\t1\r\na1\t0\r\n\r\nc 3\t2",
        "b2,1\na1,0\nc 3,2\n",
        '"b2","1"\n"a1","0"\n"c 3","2"\n',
        "doc_id\tlabel\nb2\t1\na1\t0\nc 3\t2\n",
        "included,record_id\n1,b2\n0.0,a1\n2,c 3\n",
        "id,label\nb2,1\nb2,1\na1,0\nc 3,2\n",
        "query-id\tcorpus-id\tscore\nr\tb2\t1\nr\ta1\t0\nr\tc 3\t2\n",
        "r\t0\tb2\t1\nr\t0\ta1\t0\nr\t0\tc 3\t2\n",
        '{"r": {"b2": 1, "a1": 0, "c 3": 2}}',
        "other\t0\tx\t1\nr\t0\tb2\t1\nr\t0\ta1\t0\nr\t0\tc 3\t2\n",
    ],
)
def test_labels_in_any_form_and_their_order(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.tsv"
    path.write_bytes(text.encode())
    labels = read_labels(path, "r")
    assert labels == EXPECTED and list(labels) == list(EXPECTED)


def test_words_between_blanks(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text("b2 1\na1   0\n")
    assert read_labels(path) == {"b2": 1, "a1": 0}


@pytest.mark.parametrize("text", ["", "\n \n", "id,label\n"])
def test_nothing_was_read_yet(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    assert read_labels(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b2\t1\na1\n", r"labels:2: 1 columns; labels have two columns"),
        ("b2\t1\n\ta\n", r"labels:2: 1 columns"),
        ("b2\tyes\n", r"labels:1: the grade is 'yes'"),
        (
            "b2\t1\nb2\t0\n",
            r"labels:2: document 'b2' has the grade 0 for query 'the review', but 1 further up",
        ),
        ("q\t0\tb2\t1\np\t0\tb2\t1\n", r"judgments of 2 queries, such as 'q', and none of them is 'r'"),
        ("b2 x y z 1\n", r"labels:1: 5 columns"),
        ("b2\t\xff\n", r"labels"),
        ('{"r": 3}', r"labels"),
    ],
)
def test_damaged_labels(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_labels(path, "r")


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "none.tsv")
