"""Which back end runs a re-ranker's model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from leanseek.encode import ResolvedModel
from leanseek.encode.backends import Backends, int8_fingerprint, split_prefix
from leanseek.encode.export import PACKAGES, Export
from leanseek.encode.models import model_fingerprint
from leanseek.errors import ModelError


class Loaded(NamedTuple):
    by: str
    name: str
    folder: Path
    fingerprint: str
    device: str | None


def by_torch(name: str, folder: Path, fingerprint: str, device: str | None) -> Loaded:
    return Loaded("torch", name, folder, fingerprint, device)


def by_onnx(name: str, folder: Path, fingerprint: str, device: str | None) -> Loaded:
    return Loaded("onnx", name, folder, fingerprint, device)


def write(source: Path, target: Path) -> None:
    target.mkdir(parents=True)


def refuse(source: Path, target: Path) -> None:
    raise ModelError("the model cannot be exported")


Absent = Callable[..., None]


@pytest.fixture(autouse=True)
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Absent:
    """`absent(names)` is a machine with a cache of its own and all packages but these, and no accelerator."""
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("leanseek.encode.int8.quantise_export", lambda full, folder: None)

    def make(*names: str, accelerator: bool = False, platform: str = "linux") -> None:
        find = lambda name: None if name in names else object()  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", find)
        monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi" if accelerator else None)
        monkeypatch.setattr("sys.platform", platform)

    make()
    return make


@pytest.fixture
def model(tmp_path: Path) -> ResolvedModel:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return ResolvedModel("a/model", tmp_path / "model", "path")


BACKENDS: Backends[Loaded] = Backends(by_torch, by_onnx, Export("kind", 1, write))
REFUSING: Backends[Loaded] = Backends(by_torch, by_onnx, Export("kind", 1, refuse))


def test_a_named_back_end_is_taken(model: ResolvedModel) -> None:
    fingerprint = model_fingerprint(model.path)
    export = BACKENDS.export
    assert BACKENDS.load("torch", model, "cpu") == Loaded(
        "torch", "torch:a/model", model.path, fingerprint, "cpu"
    )
    assert BACKENDS.load("onnx", model, None) == Loaded(
        "onnx", "onnx:a/model", export.folder(fingerprint, "float32"), fingerprint, None
    )
    assert BACKENDS.load("onnx-int8", model, "cuda") == Loaded(
        "onnx",
        "onnx-int8:a/model",
        export.folder(fingerprint, "int8"),
        int8_fingerprint(fingerprint),
        "cuda",
    )


def test_the_fastest_is_onnx_runtime_on_the_cpu_and_torch_elsewhere(
    model: ResolvedModel, absent: Absent
) -> None:
    for device, machine, wanted in (
        ("cpu", {}, "onnx:a/model"),
        (None, {}, "onnx:a/model"),
        ("cuda", {}, "torch:a/model"),
        (None, {"accelerator": True}, "torch:a/model"),
        (None, {"platform": "darwin"}, "torch:a/model"),
        ("cpu", {"accelerator": True}, "onnx:a/model"),
    ):
        absent(**machine)
        found = BACKENDS.load("", model, device)
        assert (found.name, found.device) == (wanted, device)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_model_that_is_exported_needs_onnx_runtime_alone(
    model: ResolvedModel, absent: Absent, package: str
) -> None:
    absent(package)
    assert BACKENDS.load("", model, "cpu").by == "torch"
    absent()
    BACKENDS.load("onnx", model, "cpu")
    absent(package)
    assert BACKENDS.load("", model, "cpu").by == ("torch" if package == "onnxruntime" else "onnx")


def test_torch_runs_what_cannot_be_exported_unless_onnx_was_asked_for(model: ResolvedModel) -> None:
    assert REFUSING.load("", model, "cpu").by == "torch"
    for prefix in ("onnx", "onnx-int8"):
        with pytest.raises(ModelError, match="cannot be exported"):
            REFUSING.load(prefix, model, "cpu")


@pytest.mark.parametrize(
    ("name", "prefix", "rest"),
    [
        ("model", "", "model"),
        ("onnx:model", "onnx", "model"),
        ("onnx-int8:a/b", "onnx-int8", "a/b"),
        ("torch:torch:x", "torch", "torch:x"),
        ("C:\\models\\x", "", "C:\\models\\x"),
        ("onnx", "", "onnx"),
    ],
)
def test_a_prefix_is_one_of_the_back_ends(name: str, prefix: str, rest: str) -> None:
    assert split_prefix(name) == (prefix, rest)
