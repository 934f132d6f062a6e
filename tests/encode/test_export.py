"""What exports of all kinds share: their folders, that they are made once, and what is said where one fails."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from leanseek.encode.export import (
    INT8,
    MODEL_FILE,
    PACKAGES,
    TOKENIZER_FILE,
    Export,
    ExportSettings,
    open_session,
    read_tokenizer,
    write_graph,
)
from leanseek.errors import MissingPackageError, ModelError
from leanseek.files import cache_folder, new_folder

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, PACKAGES)),
    reason="the packages of the extra onnx are not installed",
)


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Export:
    """A kind of export whose graph is a text that names its source."""

    def write(source: Path, target: Path) -> None:
        with new_folder(target) as folder:
            (folder / "graph").write_text(f"of {source.name}")
            (folder / "more").write_text("more")

    def carry(full: Path, folder: Path) -> None:
        (folder / "more").write_text((full / "more").read_text() + " carried")

    def quantise(full: Path, folder: Path) -> None:
        (folder / "graph").write_text((full / "graph").read_text() + " in 8 bits")

    monkeypatch.setattr("leanseek.encode.int8.quantise_export", quantise)
    return Export(form="kind", version=3, write=write, carry=carry)


def test_the_forms_of_a_model_have_folders_of_their_own(export: Export) -> None:
    assert export.folder("f", "int8") == cache_folder() / "onnx" / f"f-kind-{INT8}-v3"
    plain = Export(form="", version=1, write=export.write)
    assert plain.folder("f", "float32") == cache_folder() / "onnx" / "f-float32-v1"


def test_eight_bits_are_made_of_float32_and_both_once(export: Export) -> None:
    small = export.made(Path("a/model"), "f", "int8")
    assert small == export.folder("f", "int8")
    assert (small / "graph").read_text() == "of model in 8 bits"
    assert (small / "more").read_text() == "more carried"
    full = export.made(Path("a/renamed"), "f", "float32")
    assert (full / "graph").read_text() == "of model"
    assert export.made(Path("a/renamed"), "f", "int8") == small
    assert (small / "graph").read_text() == "of model in 8 bits"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_made_where_a_package_is_absent_but_what_is_made_is_found(
    export: Export, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    made = export.made(Path("model"), "f", "float32")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    assert export.made(Path("model"), "f", "float32") == made
    for fingerprint, precision in (("e", "float32"), ("f", "int8")):
        with pytest.raises(MissingPackageError, match=rf"'{package}'.*pip install 'leanseek\[onnx\]'"):
            export.made(Path("model"), fingerprint, precision)
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_network_that_cannot_be_exported_is_refused_with_the_reason(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Stubborn(torch.nn.Module):
        def forward(self, ids: object) -> object:
            raise RuntimeError("this network\n  is stubborn " + "x" * 1000)

    def unsupported(reason: str) -> ModelError:
        return ModelError(f"refused: {reason}")

    with pytest.raises(ModelError, match=r"^refused: ") as caught:
        write_graph(Stubborn(), ["input_ids"], ["vectors"], tmp_path / "model.onnx", unsupported)
    reason = str(caught.value).removeprefix("refused: ")
    assert len(reason) <= 300 and "\n" not in reason
    assert list(tmp_path.iterdir()) == []


def test_each_file_that_cannot_be_read_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / TOKENIZER_FILE).write_bytes(b"\xff")
    (tmp_path / MODEL_FILE).write_bytes(b"no graph")
    for folder in (tmp_path, tmp_path / "nowhere"):
        for read in (ExportSettings.read, read_tokenizer, lambda folder: open_session(folder, None)):
            with pytest.raises(ModelError, match=r"cannot be read \(.+\)\. Delete that folder"):
                read(folder)
