"""What the package loads and runs: modules, functions and files of every usual task.

    python benchmarks/walks.py [--root TREE] [--list] [--times 7] [--json FILE]

Each task runs in a process of its own, with its output discarded and with everything that is made once (exports of
models, file digests) already in the cache. Counted are

- modules: those of the package in `sys.modules` when the task is done, packages and extensions included;
- functions: different functions and methods of the package that ran, on all threads, imports included. Module and
  class bodies, lambdas and comprehensions are not counted, nor what `dataclasses` generates;
- files: the files that these functions stand in.

"second query" is the same search once more in a searcher that is warm: the walk of one query. `--list` prints its
functions in the order of their first call. `--times N` adds the time of fresh processes, the median of N rounds.
`--root` measures another source tree, whose compiled extensions must be in place, in the same environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGE = "leanseek"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
QUERIES = ("which river floods the old harbour", "who repairs the engine of a night train")
WORDS = (
    "river harbour bridge engine train night glass copper garden winter market letter island storm doctor valley "
    "window forest teacher battery signal mountain bread music paper summer museum island fever kitchen captain "
    "tunnel silver planet orchard lantern railway machine village voyage"
).split()
DOCUMENTS = 100
REDUCED = ".lean"
"""What the names of the modules of reduced vectors contain."""
FUNCTION = 0x1
"""CO_OPTIMIZED of `inspect`, which costs modules to import: set for functions, not for module and class bodies."""


@dataclass(frozen=True)
class Function:
    """A function by the file it stands in (relative to the package), its first line and its qualified name."""

    file: str
    line: int
    name: str


@dataclass(frozen=True)
class Walk:
    """What one task loads and runs: `modules` by name, `functions` in the order of their first call."""

    task: str
    modules: list[str]
    functions: list[Function]

    @property
    def files(self) -> list[str]:
        """The files that the functions stand in, in the order of their first call."""
        return list(dict.fromkeys(one.file for one in self.functions))

    @property
    def reduced(self) -> list[str]:
        """The modules of reduced vectors among those loaded."""
        return [name for name in self.modules if REDUCED in name]


@dataclass(frozen=True)
class Size:
    """How large a folder of Python files is."""

    files: int
    lines: int
    median: float
    """Lines a file."""
    longest: int


@dataclass(frozen=True)
class Taken:
    """Seconds of fresh processes, one for each round: `wall` as it passes, `processor` as it is used."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    root: str
    package: Size
    tests: Size
    walks: list[Walk]
    times: dict[str, Taken]

    def record(self) -> dict[str, Any]:
        """The report as JSON holds it, with the counts beside the names."""
        record = asdict(self)
        for walk, one in zip(self.walks, record["walks"], strict=True):
            one["counts"] = {
                "modules": len(walk.modules),
                "functions": len(walk.functions),
                "files": len(walk.files),
                "reduced": len(walk.reduced),
            }
        record["median wall seconds"] = {
            task: statistics.median(taken.wall) for task, taken in self.times.items()
        }
        return record


class Recorder:
    """Records the package's functions that run, on all threads, while it is switched on."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, str], None] = {}

    def start(self) -> None:
        self._seen.clear()
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    def stop(self) -> list[Function]:
        sys.setprofile(None)
        threading.setprofile(None)
        home = f"{package_folder()}{os.sep}"
        return [
            Function(Path(file).relative_to(home).as_posix(), line, name)
            for file, line, name in list(self._seen)
            if file.startswith(home)
        ]

    def _event(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and is_function(frame.f_code):
            code = frame.f_code
            self._seen.setdefault((code.co_filename, code.co_firstlineno, code.co_qualname))


def is_function(code: CodeType) -> bool:
    """Whether code of this package is that of a function with a name."""
    return bool(code.co_flags & FUNCTION) and code.co_name[0] != "<" and PACKAGE in code.co_filename


def package_folder() -> Path:
    """Where the package that is being measured lies."""
    return Path(str(sys.modules[PACKAGE].__file__)).resolve().parent


def loaded() -> list[str]:
    """The package's modules that are loaded."""
    return sorted(name for name in sys.modules if name.partition(".")[0] == PACKAGE)


def command_line(*arguments: str) -> Callable[[], None]:
    """A task of the command line, run in this process."""

    def run() -> None:
        from leanseek.cli import main

        sys.argv = [PACKAGE, *arguments]
        try:
            main()
        except SystemExit as done:
            if done.code:
                raise RuntimeError(f"{' '.join(sys.argv)} ended with exit code {done.code}") from done

    return run


def import_package() -> None:
    import leanseek  # noqa: F401


def walks_of(task: str, folder: Path) -> list[Walk]:
    """The walks of a task, measured in this process, which must not have loaded the package before."""
    recorder = Recorder()
    if task != "search, Python":
        run = import_package if task == "import leanseek" else command_line(*arguments_of(task, folder))
        recorder.start()
        run()
        return [Walk(task, loaded(), recorder.stop())]
    recorder.start()
    import leanseek

    with leanseek.Searcher.open(folder / "index") as searcher:
        searcher.search(QUERIES[0])
        first = Walk(task, loaded(), recorder.stop())
        recorder.start()
        searcher.search(QUERIES[1])
        return [first, Walk("second query", loaded(), recorder.stop())]


TASKS = (
    "import leanseek",
    "leanseek --help",
    "search, sparse",
    "search, hybrid",
    "search, Python",
    "index",
    "evaluate",
    "re-rank",
)
TIMED = ("leanseek --help", "search, sparse", "search, hybrid")


def arguments_of(task: str, folder: Path) -> list[str]:
    """What the command line is given for a task."""
    search = ["search", str(folder / "index"), QUERIES[0]]
    return {
        "leanseek --help": ["--help"],
        "search, sparse": [*search, "--mode", "sparse"],
        "search, hybrid": search,
        "index": ["index", str(folder / "collection"), "--into", str(folder / "walks" / "index")],
        "evaluate": [
            "eval",
            "collection",
            str(folder / "collection"),
            "--out",
            str(folder / "walks" / "results"),
        ],
        "re-rank": [*search, "--rerank", "cross-encoder"],
    }[task]


def write_collection(folder: Path) -> None:
    """A small collection in BEIR's format, the same every time."""
    choose = random.Random(1)
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for number in range(DOCUMENTS):
            title = " ".join(choose.choices(WORDS, k=3))
            text = ". ".join(" ".join(choose.choices(WORDS, k=9)) for _ in range(4))
            file.write(json.dumps({"_id": f"d{number}", "title": title, "text": f"{text}."}) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for number, query in enumerate(QUERIES):
            file.write(json.dumps({"_id": f"q{number}", "text": query}) + "\n")
    rows = [f"q{number}\td{choose.randrange(DOCUMENTS)}\t1" for number in (0, 0, 1, 1)]
    lines = ["query-id\tcorpus-id\tscore", *dict.fromkeys(rows)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def environment(root: Path | None, cache: Path) -> dict[str, str]:
    """That of the processes: their cache, one thread, no network, and the tree to measure."""
    changed = {
        **os.environ,
        **dict.fromkeys(THREADS, "1"),
        "LEANSEEK_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
    }
    if root is not None:
        changed["PYTHONPATH"] = str(root)
    return changed


def check(command: list[str], variables: dict[str, str]) -> None:
    """Run a command without its output. Raises RuntimeError with that output where it fails."""
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")


def measure(root: Path | None, folder: Path, tasks: tuple[str, ...], times: int) -> Report:
    """Every task in a process of its own."""
    write_collection(folder / "collection")
    program = [sys.executable, "-m", PACKAGE]
    cache = folder / "cache"
    variables = environment(root, cache)
    # Without the cache of vectors, or the walk of indexing would find all of them there.
    made = ["index", str(folder / "collection"), "--into", str(folder / "index"), "--no-cache"]
    check([*program, *made], variables)
    for task in ("search, hybrid", "re-rank") if "re-rank" in tasks else ("search, hybrid",):
        check([*program, *arguments_of(task, folder)], variables)
    walks: list[Walk] = []
    home = ""
    for task in tasks:
        (folder / "walks").mkdir()
        # A copy, so that what one task keeps in the cache does not shorten the walk of the next.
        shutil.copytree(cache, folder / "walks" / "cache", copy_function=link)
        result = folder / "walk.json"
        command = [sys.executable, str(Path(__file__).resolve()), "--task", task, "--folder", str(folder)]
        check([*command, "--json", str(result)], environment(root, folder / "walks" / "cache"))
        record = json.loads(result.read_text(encoding="utf-8"))
        home = record["home"]
        walks += [
            Walk(one["task"], one["modules"], [Function(**each) for each in one["functions"]])
            for one in record["walks"]
        ]
        shutil.rmtree(folder / "walks")
    if root is not None and Path(home).parent != root:
        raise RuntimeError(f"the package measured is that in {home}, not the one in {root}; is it there?")
    taken = {task: Taken() for task in TIMED} if times else {}
    for _ in range(times):
        for task, one in taken.items():
            started, used = time.perf_counter(), children_seconds()
            check([*program, *arguments_of(task, folder)], variables)
            one.wall.append(time.perf_counter() - started)
            one.processor.append(children_seconds() - used)
    tree = Path(home).parent
    return Report(str(tree), size(Path(home)), size(tree / "tests"), walks, taken)


def children_seconds() -> float:
    """Processor time of the processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def link(source: str, target: str) -> None:
    """A copy that takes no space where the file system can do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def size(folder: Path) -> Size:
    """The size of all Python files below a folder."""
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(folder.rglob("*.py"))]
    if not lines:
        return Size(0, 0, 0.0, 0)
    return Size(len(lines), sum(lines), statistics.median(lines), max(lines))


def table(report: Report) -> str:
    """The report as Markdown."""
    lines = [
        "| task | modules | functions | files | modules of reduced vectors |",
        "|---|---:|---:|---:|---:|",
    ]
    for walk in report.walks:
        modules = [len(walk.modules), len(walk.reduced)] if walk.task != "second query" else ["", ""]
        lines.append(
            f"| {walk.task} | {modules[0]} | {len(walk.functions)} | {len(walk.files)} | {modules[1]} |"
        )
    lines += ["", "| folder | files | lines | median | longest |", "|---|---:|---:|---:|---:|"]
    for name, one in (("package", report.package), ("tests", report.tests)):
        lines.append(f"| {name} | {one.files} | {one.lines:,} | {one.median:g} | {one.longest} |")
    if report.times:
        lines += ["", "| fresh process | median s | fastest s | median processor s |", "|---|---:|---:|---:|"]
        for task, taken in report.times.items():
            median, processor = statistics.median(taken.wall), statistics.median(taken.processor)
            lines.append(f"| {task} | {median:.2f} | {min(taken.wall):.2f} | {processor:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, help="the source tree to measure; by default the installed package"
    )
    parser.add_argument("--tasks", default=";".join(TASKS), help="separated by semicolons; by default all")
    parser.add_argument("--list", action="store_true", help="print the functions of the second query")
    parser.add_argument("--times", type=int, default=0, metavar="N", help="rounds of times; by default none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, names included")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            walks = [asdict(walk) for walk in walks_of(given.task, given.folder)]
        given.json.write_text(json.dumps({"home": str(package_folder()), "walks": walks}), encoding="utf-8")
        return
    tasks = tuple(given.tasks.split(";"))
    if unknown := set(tasks) - set(TASKS):
        parser.error(f"unknown tasks: {'; '.join(sorted(unknown))}. Choose from: {'; '.join(TASKS)}")
    root = given.root.resolve() if given.root is not None else None
    with tempfile.TemporaryDirectory() as folder:
        report = measure(root, Path(folder), tasks, given.times)
    print(table(report))
    if given.list:
        for walk in report.walks:
            if walk.task == "second query":
                print(f"\nFunctions of the {walk.task}, in the order of their first call:")
                for one in walk.functions:
                    print(f"  {one.file}:{one.line} {one.name}")
    if given.json is not None:
        given.json.write_text(json.dumps(report.record(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
