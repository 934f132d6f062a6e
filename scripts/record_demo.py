"""Record `leanseek demo` in a terminal as an animated picture, docs/demo.svg.

    pip install pyte
    python scripts/record_demo.py

The command runs as it would for a user, in an empty folder. What it shows when is recorded; the clock in the picture is
that of the recording, while the picture itself plays faster, so that nobody waits. Then the view scrolls through the
answers.
"""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fcntl import ioctl
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
COMMAND = "leanseek demo"
COLUMNS, LINES, SHOWN = 100, 120, 26
"""The terminal is so long that nothing scrolls out of it; `SHOWN` of its lines are in the picture at a time."""
APART = 0.2
"""Seconds between two looks at the terminal."""
ADVANCE, HEIGHT, MARGIN, BAR = 8.0, 18, 14, 34
WORK, SCROLL, REST = 7.0, 12.0, 3.0
"""Seconds of the picture: for the command however long it took, for the way down, and before it begins again."""
COLOURS = {
    "default": "#d8dee4",
    "black": "#6b7680",
    "red": "#f28b82",
    "green": "#6fcf97",
    "brown": "#e6c07b",
    "blue": "#7aa7f0",
    "magenta": "#d7a0ea",
    "cyan": "#5fd0c5",
    "white": "#ffffff",
}


@dataclass(frozen=True)
class Piece:
    """Text of one look within a line."""

    column: int
    text: str
    colour: str
    bold: bool


Line = tuple[Piece, ...]


@dataclass(frozen=True)
class Frame:
    """The terminal's lines, so many seconds after the command began."""

    seconds: float
    lines: tuple[Line, ...]


def record() -> list[Frame]:
    """The command's terminal, each time that it had changed."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    frames: list[Frame] = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "leanseek", *COMMAND.split()[1:]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment,
        )
        os.close(theirs)
        going = True
        while going:
            going = drained(ours, stream, patience=0.5) or process.poll() is None
            lines = tuple(line(screen, number) for number in range(LINES))
            if not frames or lines != frames[-1].lines:
                frames.append(Frame(time.monotonic() - started, lines))
            time.sleep(APART)
        os.close(ours)
        if process.wait():
            sys.exit(f"{COMMAND} failed:\n" + "\n".join(screen.display))
    return frames


def drained(ours: int, stream: pyte.ByteStream, patience: float) -> bool:
    """Whether something was written within so many seconds, and all of it that belongs together."""
    found = False
    while select.select([ours], [], [], 0.03 if found else patience)[0]:
        try:
            stream.feed(os.read(ours, 1 << 16))
        except OSError:  # how Linux says that the other end is closed
            return False
        found = True
    return found


def line(screen: pyte.Screen, number: int) -> Line:
    """A line of the terminal, in pieces of one look each."""
    pieces: list[Piece] = []
    for column in range(COLUMNS):
        cell = screen.buffer[number][column]
        colour = COLOURS.get(cell.fg, f"#{cell.fg}" if len(cell.fg) == 6 else COLOURS["default"])
        last = pieces[-1] if pieces else None
        if last and (last.colour, last.bold) == (colour, cell.bold):
            pieces[-1] = replace(last, text=last.text + cell.data)
        else:
            pieces.append(Piece(column, cell.data, colour, cell.bold))
    return tuple(piece for piece in pieces if piece.text.strip())


def thinned(frames: list[Frame], most: int = 60) -> list[Frame]:
    """At most so many of the frames, at even distances, and the last one."""
    kept = frames[:1]
    for frame in frames[1:-1]:
        if frame.seconds - kept[-1].seconds >= frames[-1].seconds / most:
            kept.append(frame)
    return [*kept, *frames[1:][-1:]]


def runs(frames: list[Frame]) -> Iterator[tuple[int, Line, int, int]]:
    """Each line that was shown: its number, what it was, and from which frame to which."""
    for number in range(LINES):
        begin = 0
        for at in range(1, len(frames) + 1):
            if at == len(frames) or frames[at].lines[number] != frames[begin].lines[number]:
                if frames[begin].lines[number]:
                    yield number, frames[begin].lines[number], begin, at
                begin = at


def drawn(pieces: Line, y: float) -> str:
    """The elements of a line. Each text has the width that its letters have in the terminal."""
    found = []
    for piece in pieces:
        text = piece.text.strip()
        x = MARGIN + ADVANCE * (piece.column + len(piece.text) - len(piece.text.lstrip()))
        weight = ' font-weight="700"' if piece.bold else ""
        width = ADVANCE * len(text)
        found.append(
            f'<text x="{x:g}" y="{y:g}" fill="{piece.colour}" textLength="{width:g}"{weight}>{escape(text)}</text>'
        )
    return "".join(found)


STYLE = """
text { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; white-space: pre }
.clock { text-anchor: end; fill: #9aa7b1 }
"""


def picture(frames: list[Frame]) -> str:
    """The animated picture."""
    took, total = frames[-1].seconds, 1 + WORK + SCROLL + REST
    width, height = COLUMNS * ADVANCE + 2 * MARGIN, SHOWN * HEIGHT + BAR + MARGIN
    spans: dict[tuple[int, int], str] = {}

    def within(begin: int, end: int) -> str:
        return spans.setdefault((begin, end), f"s{len(spans)}")

    prompt = (Piece(0, "$", COLOURS["green"], True), Piece(2, COMMAND, COLOURS["white"], True))
    body = [drawn(prompt, HEIGHT)]
    used = 0
    for number, pieces, begin, end in runs(frames):
        body.append(f'<g class="{within(begin, end)}">{drawn(pieces, (number + 2) * HEIGHT)}</g>')
        used = max(used, number + 3)
    clocks = [
        f'<text class="{within(at, at + 1)} clock" x="{width - MARGIN:g}" y="22">{frame.seconds:.1f} s</text>'
        for at, frame in enumerate(frames)
    ]

    def percent(seconds: float) -> str:
        return f"{100 * seconds / total:.3f}%"

    at = [percent(1 + WORK * frame.seconds / took) for frame in frames]
    rules = []
    for (begin, end), name in spans.items():
        steps = ["0% { visibility: hidden }", f"{at[begin]} {{ visibility: visible }}"]
        steps += [f"{at[end]} {{ visibility: hidden }}"] if end < len(frames) else []
        rules.append(f"@keyframes {name} {{ {' '.join(steps)} }}")
        rules.append(f".{name} {{ animation: {name} {total:g}s step-end infinite; visibility: hidden }}")
    down = f"translateY(-{max(0, used - SHOWN) * HEIGHT}px)"
    begin, end = percent(1 + WORK + 2), percent(1 + WORK + SCROLL)
    rules.append(
        f"@keyframes down {{ 0%, {begin} {{ transform: none }} {end}, 100% {{ transform: {down} }} }}"
    )
    rules.append(f".down {{ animation: down {total:g}s linear infinite }}")
    # Who wants no motion gets the end of the recording.
    last = ", ".join(f".{name}" for (_, end), name in spans.items() if end == len(frames))
    rules.append("@media (prefers-reduced-motion: reduce) {")
    rules.append(f"* {{ animation: none !important }} {last} {{ visibility: visible !important }} }}")
    title = f"{COMMAND} in a terminal: Python's documentation is indexed, five questions answered; {took:.0f} seconds"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            f"<title>{title}</title>\n<style>{STYLE}",
            *rules,
            f'</style>\n<rect width="{width:g}" height="{height:g}" rx="9" fill="#12181d"/>',
            *(f'<circle cx="{20 + 18 * place}" cy="17" r="5.5" fill="#3a454e"/>' for place in range(3)),
            *clocks,
            f'<svg y="{BAR}" width="{width:g}" height="{SHOWN * HEIGHT}"><g class="down">',
            *body,
            "</g></svg>\n</svg>\n",
        ]
    )


def main() -> None:
    """Record and write."""
    frames = thinned(record())
    PICTURE.write_text(picture(frames), "utf-8")
    size = PICTURE.stat().st_size
    sys.stdout.write(f"{PICTURE}: {size / 1000:.0f} kB, {len(frames)} frames, {frames[-1].seconds:.1f} s\n")


if __name__ == "__main__":
    main()
