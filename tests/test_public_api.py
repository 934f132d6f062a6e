"""What a release promises to keep is written down, and changes only on purpose."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import leanseek

ROOT = Path(__file__).parents[1]
LIST = ROOT / "tests" / "public_api.txt"


def test_the_public_names_are_those_of_the_list() -> None:
    script = ROOT / "scripts" / "public_api.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    written, found = LIST.read_text("utf-8").splitlines(), done.stdout.splitlines()
    changes = [
        line
        for line in difflib.unified_diff(written, found, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    assert not changes, (
        "public names changed; if that is meant, note it in CHANGELOG.md and run\n"
        "    python scripts/public_api.py > tests/public_api.txt\n" + "\n".join(changes[:40])
    )


def test_one_version_is_given_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert leanseek.__version__ == project
    assert f"\nversion: {project}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None and newest[1] == project
    bill = json.loads((ROOT / "licenses" / "leanseek.cdx.json").read_text("utf-8"))
    assert bill["metadata"]["component"]["version"] == project
