"""The documentation as a site: it builds without a warning, and its reference has everything that is public."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_page_is_in_the_navigation() -> None:
    configuration = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r"^ +- (?:.*: )?(\S+\.md)$", configuration, re.MULTILINE))
    docs = ROOT / "docs"
    assert {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} <= named


@pytest.mark.slow
def test_the_site_builds_and_its_reference_is_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    # In strict mode a link to a page or a heading that does not exist fails the build.
    assert done.returncode == 0, done.stderr[-3000:]
    reference = tmp_path / "site" / "reference"
    for door in sorted((ROOT / "leanseek").rglob("__init__.pyi")):
        name = ".".join(door.parent.relative_to(ROOT).parts)
        page = (reference / name / "index.html").read_text("utf-8")
        for public in re.findall(r" as (\w+)$", door.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"doc-heading.*?{public}\b", page, re.DOTALL), (name, public)
        assert "&gt;&gt;&gt;" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    commands = (reference / "commands" / "index.html").read_text("utf-8")
    for command_line in ("leanseek index", "leanseek eval score", "leanseek train fusion"):
        assert re.search(rf'<h2 id="[\w-]+">{command_line}', commands)
    for page in (tmp_path / "site").rglob("*.html"):
        # A browser that opens the page asks no other host for anything.
        assert not re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="https?://', page.read_text("utf-8")), (
            page
        )
