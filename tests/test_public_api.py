"""What a release promises to keep is written down, and changes only on purpose."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

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
