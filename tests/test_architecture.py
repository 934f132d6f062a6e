"""The rules of the house: what may import what, names, doors, documentation, and the help of the command line."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
from support import ROOT
from typer.main import get_command

from leanseek.cli import EPILOG, app
from leanseek.cli.help import FEW, PANEL, TABLES
from leanseek.errors import ExitCode, MissingPackageError

HOUSE = ROOT / "leanseek"

LAYERS = (
    ("cli",),
    ("serve", "integrations"),
    ("cluster",),
    ("client",),
    ("train",),
    ("eval",),
    ("rag", "understanding"),
    ("searcher",),
    ("rerank", "attention"),
    ("indexing",),
    ("decode",),
    ("encode", "text", "reading", "filters"),
    ("numbers", "files", "records"),
    ("types", "errors"),
    ("_native", "_ngrams", "_scan"),
)
"""The rooms from the roof to the ground. A room imports from those below it and from itself."""

NEIGHBOURS = {
    ("records", "files"): "lines of JSON are written atomically",
    (
        "searcher",
        "understanding",
    ): "a search reads its query's operators and expands it; neither knows anything of an index",
}
"""Imports between rooms of one layer or of the layer above, (from, to), each with its reason."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
REPEATED = {"__init__", "base", "registry"}
"""File names that mean the same thing in every package: its door, its protocol, its table."""

WITHOUT_DOOR = {"cli": "a program, entered by `main`"}


class Import(NamedTuple):
    """A line of a file that imports a module of the package, or names one for a later import."""

    file: Path
    line: int
    target: str


def modules() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def packages() -> list[str]:
    """`leanseek` and every package in it, dotted."""
    return [".".join(path.parent.relative_to(ROOT).parts) for path in sorted(HOUSE.rglob("__init__.py"))]


def is_module(name: str) -> bool:
    """Whether a string is the dotted name of a module of the package."""
    if not re.fullmatch(r"leanseek(\.\w+)+", name):
        return False
    path = ROOT.joinpath(*name.split("."))
    return any(path.parent.glob(f"{path.name}.py*")) or (path / "__init__.py").is_file()


def root_exports() -> dict[str, str]:
    """The names of the package's own door, each with the module that defines it."""
    stub = ast.parse((HOUSE / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"leanseek.{node.module}"
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def imports(file: Path, exports: dict[str, str]) -> Iterator[Import]:
    """All imports of the package in a file, those in functions and those by a module's name included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "leanseek":
                    yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            if node.module == "leanseek":
                for alias in node.names:
                    if alias.name != "__version__":
                        yield Import(file, node.lineno, exports.get(alias.name, f"leanseek.{alias.name}"))
            elif (node.module or "").startswith("leanseek."):
                yield Import(file, node.lineno, str(node.module))
        elif isinstance(node, ast.Constant) and is_module(str(node.value)):
            yield Import(file, node.lineno, str(node.value))


@contextmanager
def optional_packages() -> Iterator[None]:
    """Skip the test where a package that is optional is missing."""
    try:
        yield
    except MissingPackageError as error:
        pytest.skip(str(error))
    except ModuleNotFoundError as error:
        if str(error.name).startswith("leanseek"):
            raise
        pytest.skip(f"needs {error.name}")


def test_imports_point_one_way() -> None:
    exports = root_exports()
    wrong, used = [], set()
    for file in modules():
        room = file.relative_to(HOUSE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        above = LEVEL["cli"] if room == "__main__" else LEVEL[room]
        for found in imports(file, exports):
            target = found.target.split(".")[1] if "." in found.target else "leanseek"
            neighbours = (room, target)
            used.add(neighbours)
            allowed = target == room or neighbours in NEIGHBOURS or LEVEL.get(target, -1) > above
            if not allowed and not (room == "__main__" and target == "cli"):
                wrong.append(f"{found.file.relative_to(ROOT)}:{found.line} imports {found.target}")
    assert not wrong, "\n".join(wrong)
    assert set(NEIGHBOURS) <= used, "an exception that nothing needs"


def test_a_file_name_means_one_thing() -> None:
    places = defaultdict(list)
    for file in modules():
        places[file.stem].append(str(file.relative_to(ROOT)))
    assert not {name: where for name, where in places.items() if len(where) > 1 and name not in REPEATED}


@pytest.mark.parametrize("package", packages())
def test_every_package_has_a_door(package: str) -> None:
    door = importlib.import_module(package)
    assert door.__doc__
    if package.removeprefix("leanseek.") in WITHOUT_DOOR:
        return
    assert door.__all__
    for name in door.__all__:
        with optional_packages():
            assert getattr(door, name) is not None


def test_benchmarks_and_scripts_import_what_there_is() -> None:
    lacking = []
    for file in (*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "leanseek":
                with optional_packages():
                    found = importlib.import_module(str(node.module))
                    names = [alias.name for alias in node.names if not hasattr(found, alias.name)]
                    lacking += [f"{file.name}:{node.lineno}: {node.module} has no {name}" for name in names]
    assert not lacking, lacking


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


FROM = re.compile(r"^[>. \t]*from (leanseek[\w.]*) import (\([^)]*\)|[^#\n]*)", re.MULTILINE)
IMPORT = re.compile(r"^[>. \t]*import (leanseek[\w.]*)", re.MULTILINE)
PYTHON = re.compile(r"```py(?:thon|con)?\n(.*?)```", re.DOTALL)
ATTRIBUTE = re.compile(r"(?<![\w./-])leanseek\.(\w+)")


def documented(text: str) -> Iterator[tuple[str, str]]:
    """What a document imports: (module, name), the name empty where a module is imported as a whole."""
    for module, names in FROM.findall(text):
        for name in names.strip("() \n").split(","):
            if name.strip():
                yield module, name.split(" as ")[0].strip()
    for module in IMPORT.findall(text):
        yield module, ""
    for block in PYTHON.findall(text):
        for name in ATTRIBUTE.findall(re.sub(r"^.*\bimport .*$", "", block, flags=re.MULTILINE)):
            yield "leanseek", name


def problem(module: str, name: str) -> str:
    """Why a document should not teach this import; empty where it may."""
    parts = module.split(".")
    depth = 3 if parts[1:2] == ["integrations"] else 2
    if len(parts) > depth:
        return "deeper than a package's door"
    try:
        with optional_packages():
            found = importlib.import_module(module)
    except ImportError as error:
        return str(error)
    if name and module in packages() and name not in getattr(found, "__all__", ()):
        return f"{name} is not exported by {module}"
    if name and not hasattr(found, name):
        return f"{module} has no {name}"
    return ""


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_documents_teach_doors(document: Path) -> None:
    wrong = []
    for module, name in documented(document.read_text(encoding="utf-8")):
        if name != "__version__" and (why := problem(module, name)):
            wrong.append(f"from {module} import {name}: {why}" if name else f"import {module}: {why}")
    assert not wrong, "\n".join(wrong)


def test_what_documents_may_not_teach() -> None:
    taught = "```python\nfrom leanseek.eval.results import (\n    read_results,\n    nothing,\n)\nleanseek.Index\n```"
    assert list(documented(taught)) == [
        ("leanseek.eval.results", "read_results"),
        ("leanseek.eval.results", "nothing"),
        ("leanseek", "Index"),
    ]
    assert "door" in problem("leanseek.eval.results", "read_results")
    assert "no NoSuchName" in problem("leanseek.errors", "NoSuchName")
    assert "not exported" in problem("leanseek.eval", "NoSuchName")
    assert "not exported" in problem("leanseek.eval", "base")
    assert "No module" in problem("leanseek.nowhere", "")
    assert not problem("leanseek", "Index") and not problem("leanseek.eval", "read_results")


def commands() -> dict[str, Any]:
    """Every command by its words, such as `eval collection`."""
    program: Any = get_command(app)
    found = {}
    for name, command in program.commands.items():
        for below, inner in getattr(command, "commands", {"": command}).items():
            found[f"{name} {below}".strip()] = inner
    return found


FENCE = re.compile(r"```.*?```", re.DOTALL)
CALL = re.compile(r"(?:^ {4}|`|^\$ |^ {4}\$ )leanseek ((?:[^`\n\\]|\\\n)+)", re.MULTILINE)
"""A command in inline code or in an indented block."""


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_documents_name_commands_and_options_that_there_are(document: Path) -> None:
    known = {name: {word for one in inner.params for word in one.opts} for name, inner in commands().items()}
    wrong = []
    text = FENCE.sub(
        lambda block: re.sub("^", "    ", block[0], flags=re.MULTILINE), document.read_text("utf-8")
    )
    for call in CALL.findall(text):
        words = call.replace("\\\n", " ").split()
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in known), None)
        if name is None and (words[0].isupper() or words[0] in ("eval", "train") or words[0].startswith("-")):
            continue
        if name is None:
            wrong.append(f"leanseek {call}")
            continue
        options = {
            word.partition("=")[0].strip("[],.;()") for word in words if word.startswith(("--", "[--"))
        }
        wrong += [f"leanseek {name} {one}" for one in options - known[name] - {"--help", "--debug"}]
    assert not wrong, "\n".join(wrong)


def help_of(*command: str) -> str:
    """A command's help on a terminal wide enough for lines that do not break."""
    environment = {**os.environ, "COLUMNS": "4000", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    run = [sys.executable, "-m", "leanseek", *command, "--help"]
    return subprocess.run(run, capture_output=True, text=True, env=environment, check=True).stdout


def tables() -> dict[str, list[str]]:
    """The rows of each table that options choose from, by the command and the option that name them."""
    from leanseek.encode.registry import ENCODERS
    from leanseek.eval.providers import FAMILIES, PROVIDERS
    from leanseek.indexing.dense.registry import DENSE
    from leanseek.indexing.settings import LeanKind, Precision, Primary
    from leanseek.indexing.sparse.parameters import Bm25Variant
    from leanseek.indexing.sparse.registry import SPARSE_BACKENDS
    from leanseek.reading.sources import READABLE
    from leanseek.rerank.crossencoder.windows import LONG
    from leanseek.rerank.registry import RERANKERS
    from leanseek.searcher.fusion import FUSIONS, SCALES
    from leanseek.text import analyzer_names

    return {
        "index SOURCE": list(READABLE),
        "index --encoder": [name for name in ENCODERS if name],
        "index --dense": list(DENSE),
        "index --kind": list(get_args(LeanKind)),
        "index --precision": list(get_args(Precision)),
        "index --primary": list(get_args(Primary)),
        "index --sparse": list(SPARSE_BACKENDS),
        "index --analyzer": analyzer_names(),
        "index --variant": [variant.value for variant in Bm25Variant],
        "search --fusion": [*FUSIONS, *SCALES],
        "search --rerank": list(RERANKERS),
        "search --rerank-long": list(LONG),
        "eval score --measures": [*sorted(FAMILIES), "PR-AUC"],
        "eval score --provider": list(PROVIDERS),
    }


def test_help_names_every_row_of_the_tables() -> None:
    shown: dict[str, str] = {}
    lacking = []
    for place, rows in tables().items():
        command, _, option = place.rpartition(" ")
        if command not in shown:
            shown[command] = help_of(*command.split())
        (line,) = (line for line in shown[command].splitlines() if re.match(rf"[│ *]*{option}\s", line))
        lacking += [
            f"{place}: {row}" for row in rows if not re.search(rf"(?<![\w-]){re.escape(row)}(?![\w-])", line)
        ]
    assert not lacking, lacking


def test_choices_of_options_are_those_of_the_rooms() -> None:
    from leanseek.eval.systems import EVALUATED
    from leanseek.indexing.writer import OnDuplicate
    from leanseek.reading import OnError
    from leanseek.rerank.incontext.prompts import PromptKind
    from leanseek.searcher.ranking import MODES
    from leanseek.searcher.relevance.query_map import MapName
    from leanseek.train.head_search import METHODS
    from leanseek.train.relevance import Form

    wanted = {
        "index on_error": get_args(OnError),
        "index on_duplicate": get_args(OnDuplicate),
        "search mode": MODES,
        "run mode": MODES,
        "eval collection mode": EVALUATED,
        "train relevance features": get_args(Form),
        "train relevance map": get_args(MapName),
        "train heads method": METHODS,
        "train heads prompt": get_args(PromptKind),
    }
    found = {}
    for command, inner in commands().items():
        for option, kind in get_type_hints(inspect.unwrap(inner.callback)).items():
            literals = [one for one in (kind, *get_args(kind)) if get_origin(one) is Literal]
            found |= {f"{command} {option}": get_args(one) for one in literals}
    assert {place: found[place] for place in wanted} == wanted


def test_help_has_a_panel_for_every_option_of_a_large_command() -> None:
    large = {name: inner for name, inner in commands().items() if len(inner.params) > FEW}
    assert {"index", "search", "run", "eval collection"} <= set(large)
    used = set()
    for inner in large.values():
        for option in inner.params:
            if option.param_type_name == "option":
                assert option.name in PANEL, f"{option.name} is in no panel of leanseek/cli/help.py"
                used.add(option.name)
    assert set(PANEL) == {*used, "help"}, "a panel for an option that no large command has"


def test_the_epilog_names_every_exit_code() -> None:
    assert re.findall(r"(\d+) ", EPILOG) == [str(int(code)) for code in ExitCode]


def test_texts_with_names_of_tables_are_filled_in() -> None:
    named = set()
    for inner in commands().values():
        for option in inner.params:
            named |= set(re.findall(r"{(\w+)}", option.help or ""))
    assert named == set(TABLES), "a name that no help text uses, or that no table gives"


IMPORTED = (
    "import sys\n"
    "from leanseek.cli import app\n"
    "try: app(sys.argv[1:])\n"
    "except SystemExit: pass\n"
    "print(*sys.modules, file=sys.stderr)\n"
)


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported when it is done."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", IMPORTED, *arguments]
    return set(
        subprocess.run(run, capture_output=True, text=True, env=environment, check=True).stderr.split()
    )


HEAVY = {
    "faiss",
    "torch",
    "transformers",
    "sentence_transformers",
    "onnxruntime",
    "scipy",
    "sklearn",
    "pandas",
}


def test_the_help_of_the_program_imports_the_command_line_alone() -> None:
    found = imported("--help")
    own = {name for name in found if name.startswith("leanseek.") and not name.startswith("leanseek.cli")}
    assert own == {"leanseek.errors"}
    assert not found & {*HEAVY, "numpy", "sqlite3", "Stemmer"}


@pytest.mark.parametrize("command", ["index", "search", "eval collection", "eval score", "train heads"])
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    assert not imported(*command.split(), "--help") & HEAVY
