"""The cache folder and folders that appear at once or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from leanseek.errors import StorageError
from leanseek.files import cache_folder, new_folder


def test_the_environment_chooses_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("LEANSEEK_CACHE")
    assert cache_folder().name == "leanseek"


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with new_folder(target) as folder:
        (folder / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), new_folder(tmp_path / "target") as folder:
        (folder / "file").write_text("half")
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []


def test_the_faster_of_two_writers_wins(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with new_folder(target) as slow:
        (slow / "file").write_text("slow")
        with new_folder(target) as fast:
            (fast / "file").write_text("fast")
    assert (target / "file").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=r"No space left on device.*LEANSEEK_CACHE"):  # noqa: SIM117
        with new_folder(tmp_path / "target"):
            raise full
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="LEANSEEK_CACHE"), new_folder(tmp_path / "file" / "target"):
        pass
