"""Fixtures that every part's tests share. No test reaches the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

DATA = Path(
    os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir")
).resolve()


@pytest.fixture(scope="session")
def collection() -> Callable[[str], Path]:
    """`collection("scifact")` is that collection's folder; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f"the collection {name} is not in {DATA} (set LEANSEEK_DATA to its folder)")
        return folder

    return find


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the whole run away from the user's own cache; what one test exports serves the next."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LEANSEEK_CACHE", str(folder))
        yield folder
