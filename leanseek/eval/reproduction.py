"""Published numbers, stored beside the commands that yield them, and checked by running those commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from leanseek.errors import ExitCode, UsageError
from leanseek.types import Progress

OFF = 5
"""A difference of up to this many tolerances is off; a larger one fails."""
DATA_VARIABLE = "LEANSEEK_DATA"

Status = Literal["OK", "off", "FAIL", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """A measure's expected value, and by how much it may differ."""

    measure: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """A command, the numbers it must yield, and their source.

    In `command` {data} is the folder of collections and {out} for that of results. `url` is None for
    a figure that is not published.
    """

    name: str
    title: str
    collection: str
    command: tuple[str, ...]
    checks: tuple[Check, ...]
    source: str
    url: str | None

    def arguments(self, data: Path, out: Path) -> list[str]:
        """The command with its folders filled in."""
        return [part.replace("{data}", str(data)).replace("{out}", str(out)) for part in self.command]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check; without a number `measured` and `difference` are None, and `reason` says why."""

    name: str
    measure: str
    expected: float
    tolerance: float
    measured: float | None
    difference: float | None
    status: Status
    reason: str | None


class Ran(NamedTuple):
    """The outcome of a command: its exit code, the means it printed (none after an error), its last message."""

    code: int
    means: Mapping[str, float]
    complaint: str


Runner = Callable[[Sequence[str]], Ran]


def expectations() -> tuple[Expectation, ...]:
    """All expected numbers, in the order in which they are checked."""
    text = files("leanseek.eval").joinpath("expected.json").read_text(encoding="utf-8")
    return tuple(
        Expectation(
            **entry
            | {
                "command": tuple(entry["command"]),
                "checks": tuple(Check(**check) for check in entry["checks"]),
            }
        )
        for entry in json.loads(text)
    )


def expected(names: Sequence[str] = ()) -> tuple[Expectation, ...]:
    """The expected numbers of these names, in the data's order; all where none is given.

    A name may also be that of a collection, or the beginning of names. Raises UsageError where there is none.
    """
    known = expectations()
    wanted: set[str] = set()
    for name in names:
        alike = [one.name for one in known if one.collection == name]
        alike = alike or [one.name for one in known if name and one.name.startswith(name)]
        if not alike:
            listed = ", ".join(one.name for one in known)
            collections = ", ".join(dict.fromkeys(one.collection for one in known))
            raise UsageError(
                f"'{name}' is no expected number. Known: {listed}; and all those of a collection: {collections}"
            )
        wanted.update([name] if name in alike else alike)
    return tuple(one for one in known if not names or one.name in wanted)


def data_folder(given: Path | None) -> Path:
    """The folder of collections: the one given, else that of LEANSEEK_DATA. Raises UsageError where neither is."""
    folder = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if folder is None:
        raise UsageError(
            f"no folder of collections was named. Give it with --data FOLDER, or set {DATA_VARIABLE}; it holds "
            "scifact/, trec-dl-2019/ and so on, in BEIR's layout"
        )
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is not a folder; --data names the one that holds scifact/ and others")
    return folder


def reproduce(
    wanted: Iterable[Expectation],
    *,
    data: Path,
    out: Path,
    run: Runner | None = None,
    progress: Progress | None = None,
) -> Iterator[Verdict]:
    """Run the command of each expectation and check its numbers: one verdict for each check, as it is known.

    Skipped, with the reason, where the collection is not in `data`, or a package or model is missing.
    """
    wanted = tuple(wanted)
    for done, one in enumerate(wanted):
        if progress is not None:
            progress(f"reproducing {one.name}", done, len(wanted))
        if not (data / one.collection).is_dir():
            ran = Ran(ExitCode.MISSING, {}, f"the collection '{one.collection}' is not in {data}")
        else:
            ran = (run or run_command)(one.arguments(data, out))
        yield from (verdict_on(one.name, check, ran) for check in one.checks)


def verdict_on(name: str, check: Check, ran: Ran) -> Verdict:
    """OK within the tolerance, off within five times that, FAIL beyond or without a number."""
    measured = ran.means.get(check.measure) if ran.code == ExitCode.OK else None
    difference, reason = None, None
    status: Status
    if measured is not None:
        difference = measured - check.value
        # Values and tolerances are decimal: binary rounding must not push a value just inside out.
        error = abs(difference) - 1e-9
        status = "OK" if error <= check.tolerance else "off" if error <= OFF * check.tolerance else "FAIL"
    elif ran.code in (ExitCode.MISSING, ExitCode.MODEL):
        status, reason = "skipped", ran.complaint
    elif ran.code == ExitCode.OK:
        status, reason = "FAIL", f"the command printed no {check.measure}"
    else:
        status, reason = "FAIL", f"exit code {ran.code}: {ran.complaint}"
    return Verdict(name, check.measure, check.value, check.tolerance, measured, difference, status, reason)


def run_command(arguments: Sequence[str]) -> Ran:
    """Run `leanseek ARGUMENTS`, in a process of its own as a user would, and read the means it prints as JSON."""
    program = [sys.executable, "-m", "leanseek", *arguments]
    done = subprocess.run(
        program, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    # The last line with any text, without the frame that the option parser draws around its errors.
    lines = [line.strip(" │").removeprefix("error: ") for line in done.stderr.splitlines()]
    complaint = next((line for line in reversed(lines) if any(map(str.isalnum, line))), "")
    if done.returncode != ExitCode.OK:
        return Ran(done.returncode, {}, complaint)
    means: dict[str, float] = {}
    for line in done.stdout.splitlines():
        means |= json.loads(line).get("means", {})
    return Ran(done.returncode, means, complaint)
