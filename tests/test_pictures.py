"""The pictures in docs/ are those that the scripts draw, with today's numbers; the recordings show today's demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from leanseek.cli.demo import QUESTIONS

ROOT = Path(__file__).parents[1]
LARGEST = 2_000_000
"""Bytes of what opens the README."""


def test_the_concepts_are_as_drawn() -> None:
    script = ROOT / "scripts" / "draw_concepts.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_recordings_are_small_and_show_the_questions_of_the_demo() -> None:
    files = [ROOT / "docs" / name for name in ("demo.svg", "page.gif")]
    assert sum(file.stat().st_size for file in files) < LARGEST
    picture = ElementTree.parse(files[0])
    shown = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert shown >= set(QUESTIONS)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(f"](docs/{file.name})" in readme.partition("## Install")[0] for file in files)
