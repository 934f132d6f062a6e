"""Folders of mixed files: what is read, what is left out and named, and the ids that files have."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from leanseek.errors import InputError, MissingPackageError
from leanseek.reading import ReadReport, read
from leanseek.reading.folders import IdList, Root, Roots, SourceFile


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "mixed"
    write(folder / "config.json", '{"debug": true, "paths": ["a", "b"]}')
    write(folder / "members.csv", "name,city,notes\nZoe,Berlin,likes sailing\nMax,Rome,plays cello\n")
    write(folder / "notes" / "heating.md", "# Heating\n\nBleed the radiators in October.")
    write(folder / "broken.jsonl", '{"id": 1, "text": "good"}\n{"id": 2\n{"id": 3\n')
    write(folder / "photo.jpg", b"\xff\xd8\xff\xe0")
    write(folder / "readme.txt", "Read this first.")
    return folder


def test_a_folder_is_read_as_far_as_it_can_be(mixed: Path) -> None:
    report = ReadReport()
    found = {document.id: document.text for document in read(mixed, on_error="auto", report=report)}
    assert found == {
        "1": "good",
        "members.csv#1": "name: Zoe\ncity: Berlin\nnotes: likes sailing",
        "members.csv#2": "name: Max\ncity: Rome\nnotes: plays cello",
        "notes/heating.md": "# Heating\n\nBleed the radiators in October.",
        "readme.txt": "Read this first.",
    }
    assert (report.read, report.skipped, report.ignored) == (5, 3, 1)
    told = "\n".join(report.details())
    assert "1 .jpg file not read" in told and "photo.jpg" in told
    assert "config.json:1: no text field" in told and "--text-field" in told
    assert told.count("broken.jsonl") == 1 and "(and 1 more of its records)" in told
    assert "members.csv#1" in told and "--id-field" in told


def test_a_folder_stops_reading_where_that_is_asked_for(mixed: Path) -> None:
    with pytest.raises(InputError, match=r"broken\.jsonl:2"):
        list(read(mixed))


def test_what_is_named_or_a_collection_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    bad = '{"id": 1, "text": "good"}\n{"id": 2}\n'
    with pytest.raises(InputError, match=r"rows\.jsonl:2"):
        list(read(write(tmp_path / "rows.jsonl", bad), on_error="auto"))
    write(tmp_path / "beir" / "corpus.jsonl", bad)
    with pytest.raises(InputError, match=r"corpus\.jsonl:2"):
        list(read(tmp_path / "beir", on_error="auto"))
    write(tmp_path / "trec" / "one", "<DOC><DOCNO>1</DOCNO>text</DOC><DOC><DOCNO>2</DOCNO>")
    with pytest.raises(InputError, match="no </DOC>"):
        list(read(tmp_path / "trec", on_error="auto"))


def test_records_without_ids_are_numbered_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,n\na,1\nb,2\n")
    with pytest.raises(InputError, match="--id-field '#'"):
        list(read(path))
    assert [document.id for document in read(path, id_field="#")] == ["rows.csv#1", "rows.csv#2"]
    path = write(tmp_path / "hash.csv", "#,text\n7,a\n")
    assert [document.id for document in read(path, id_field="#")] == ["7"]


def test_numbers_of_records_count_those_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path / "d" / "rows.jsonl", '{"text": "a"}\n{"text": 5, \n{"text": "c"}\n')
    assert [document.id for document in read(tmp_path / "d", on_error="auto")] == [
        "rows.jsonl#1",
        "rows.jsonl#3",
    ]


def test_rows_without_words_are_no_documents(tmp_path: Path) -> None:
    write(tmp_path / "d" / "numbers.csv", "time,value\n12,0.5\n13,0.7\n")
    write(tmp_path / "d" / "a.txt", "text")
    report = ReadReport()
    assert [document.id for document in read(tmp_path / "d", on_error="auto", report=report)] == ["a.txt"]
    assert report.skipped == 2
    assert any("numbers.csv" in line and "no text in its fields" in line for line in report.messages)


def test_what_is_beside_a_corpus_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    write(folder / "corpus.jsonl", '{"_id": "d", "text": "x"}')
    write(folder / "queries.jsonl", '{"_id": "q", "text": "x"}')
    write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n")
    write(folder / "notes.md", "beside")
    write(folder / "sub" / "s.txt", "below")
    report = ReadReport()
    assert [document.id for document in read(folder, report=report)] == ["d"]
    (line,) = report.details()
    assert line.startswith(f"2 files beside {folder / 'corpus.jsonl'} not read: ")
    assert "notes.md" in line and str(Path("sub") / "s.txt") in line and "queries" not in line


def test_links_hidden_files_and_indexes_are_passed_over_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder / "a.txt", "text")
    write(folder / ".git" / "config", "hidden")
    write(folder / "my.index" / "catalog.sqlite", "")
    (folder / "my.index" / "segments").mkdir()
    write(folder / "my.index" / "segments" / "x.txt", "never")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "link.txt").symlink_to(folder / "a.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    report = ReadReport()
    assert [document.id for document in read(folder, report=report)] == ["a.txt", "link.txt"]
    kinds = {one.kind: [Path(path).name for path in one.paths] for one in report.left_out}
    assert kinds.pop("special file", ["pipe"]) == ["pipe"]
    assert kinds == {
        "hidden file or folder": [".git"],
        "index of leanseek": ["my.index"],
        "link to a folder": ["loop"],
        "broken link": ["gone"],
    }


def test_many_of_a_kind_are_shown_by_the_first_and_all_listed(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "d" / f"{number:02}.bin", b"\0\xff")
    write(tmp_path / "d" / "a.txt", "text")
    report = ReadReport()
    list(read(tmp_path / "d", report=report))
    (line,) = report.details()
    assert (
        line.startswith("12 .bin files not read: ") and "04.bin and 7 more" in line and "05.bin" not in line
    )
    assert len(report.left_out[0].paths) == 12


def test_an_absent_package_costs_a_folder_only_the_files_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    write(tmp_path / "d" / "a.pdf", "x")
    write(tmp_path / "d" / "b.txt", "text")
    report = ReadReport()
    assert [document.id for document in read(tmp_path / "d", on_error="auto", report=report)] == ["b.txt"]
    (line,) = report.details()
    assert "a.pdf" in line and "pip install 'leanseek[files]'" in line
    with pytest.raises(MissingPackageError):
        list(read(tmp_path / "d"))


def test_a_deep_folder(tmp_path: Path) -> None:
    here, depth = Path.cwd(), 1200
    folder = tmp_path / "d"
    folder.mkdir()
    try:
        for _ in range(depth):
            os.chdir(folder if _ == 0 else "e")
            Path("e").mkdir()
        os.chdir(folder)
        write(Path("a.txt"), "text")
        assert [document.id for document in read(".", on_error="auto")] == ["a.txt"]
    finally:
        os.chdir(folder)
        for _ in range(depth - 1):
            os.chdir("e")
        for _ in range(depth):  # pytest would remove it by recursion
            Path("e").rmdir()
            os.chdir("..")
        os.chdir(here)


def test_a_file_has_one_id_however_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    path = write(folder / "one" / "gate.txt", "code")
    write(folder / "b.txt", "b")
    roots = [Root(str(folder.resolve()), "")]
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    for source in (
        path,
        folder / "one",
        tmp_path / "d" / ".." / "d" / "one",
        tmp_path / "link" / "one" / "gate.txt",
    ):
        reading = read(source)
        reading.below(roots)
        assert [document.id for document in reading] == ["one/gate.txt"]
        assert reading.roots.known == roots
    assert [document.id for document in read(folder, path)] == ["b.txt", "one/gate.txt"]


def test_files_from_elsewhere_get_roots_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c/b", "a/below"):
        write(tmp_path / name / "x.txt", name)
    roots = Roots()
    roots.include([str(tmp_path / "a")])
    roots.include([str(tmp_path / "b"), str(tmp_path / "a" / "below")])
    roots.include([str(tmp_path / "c" / "b")])
    roots.include([str(tmp_path)])

    def id(*parts: str) -> str:
        return roots.place(str((tmp_path.resolve()).joinpath(*parts)))[1]

    assert id("a", "x.txt") == "x.txt"
    assert id("a", "below", "x.txt") == "below/x.txt"
    assert id("b", "x.txt") == "b/x.txt"
    assert id("c", "b", "x.txt") == "b-2/x.txt"
    assert id("c", "y.txt") == f"{tmp_path.resolve().name}/c/y.txt"
    with pytest.raises(InputError, match="no source holds"):
        roots.place(str(Path(tmp_path.anchor) / "elsewhere"))
    for number, id_ in ((0, "below/x.txt"), (1, "b/x.txt"), (2, "b-2/x.txt")):
        assert Path(roots.real(SourceFile(id_, number, "", "", 1))).is_file()


def test_several_sources_of_one_reading_are_known_below_the_folder_above_them(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "x.txt", "1")
    write(tmp_path / "notes" / "x.txt", "2")
    assert [document.id for document in read(tmp_path / "docs", tmp_path / "notes")] == [
        "docs/x.txt",
        "notes/x.txt",
    ]


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "ü😀", "a b"], [str(number) for number in range(10_000)]])
def test_packed_ids_come_out_as_they_went_in(ids: list[str]) -> None:
    packed = IdList()
    for id in ids:
        packed.add(id)
    assert SourceFile("f.csv", 0, "", "", packed.count, packed.packed()).document_ids() == ids
