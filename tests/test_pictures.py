"""The pictures in docs/ are those that the scripts draw, with today's numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_concepts_are_as_drawn() -> None:
    script = ROOT / "scripts" / "draw_concepts.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
