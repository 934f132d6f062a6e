"""The documentation of the installed Python as documents, which every machine has."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from leanseek.types import Document

Kind: TypeAlias = Literal["module", "class", "function", "method", "property"]

_LEFT_OUT: Final = re.compile(
    "__pycache__|antigravity|config-.*|dist-packages|encodings|ensurepip|idlelib|lib-dynload|lib2to3|ntpath|"
    "nturl2path|pydoc_data|site-packages|tests?|this|turtledemo"
)
_COMPILED: Final = re.compile(
    "array|binascii|bisect|builtins|cmath|collections|contextvars|csv|datetime|decimal|errno|functools|gc|"
    "hashlib|heapq|io|itertools|json|math|operator|os|random|re|select|socket|sqlite3|string|struct|sys|"
    "threading|time|unicodedata|weakref|zlib"
)
"""Modules, harmless to import, whose documentation is wholly or partly in C."""
_FEWEST_WORDS: Final = 3
_PATHS: Final = "genericpath"  # what the variants of os.path have in common
_ALIASES: Final = {"posixpath": "os.path", "_collections_abc": "collections.abc", "_io": "io"}


class _Entry(NamedTuple):
    id: str
    module: str
    kind: Kind
    text: str


@dataclass(frozen=True, eq=False)
class _Definition:
    """A class, function, method or property; `members` are a class's public ones."""

    kind: Kind
    text: str | None
    members: dict[str, _Definition]


class _Source(NamedTuple):
    """A parsed module: what it defines at its top level, takes from other modules, and declares public."""

    name: str
    text: str | None
    definitions: dict[str, _Definition]
    imports: list[tuple[str, str, str]]
    """(module, name there, name here); "*" for all names."""
    exported: frozenset[str] | None


def python_documentation() -> Iterator[Document]:
    """Documents of the standard library's docstrings, sorted by id: modules, classes, functions, methods.

    The id and title are the dotted name that a program would use, such as `json.dumps` or
    `pathlib.Path.glob`; metadata has `module` and `kind` (module, class, function, method or property).
    Sources are parsed, not imported; only well-known modules written in C are imported. Private names,
    docstrings of fewer than three words, and all but one of those that are alike are left out.
    """
    sources = _sources(Path(sysconfig.get_path("stdlib")))
    entries: dict[str, _Entry] = {}
    taken: set[_Definition] = set()
    # The shorter name comes first: what a package imports from its own modules is documented by the package's name.
    for source in sorted(sources.values(), key=lambda source: (_public(source.name).count("."), source.name)):
        if not _is_private(_public(source.name)) and source.name != _PATHS:
            _parsed(source, sources, entries, taken)
    for name in _COMPILED.pattern.split("|"):
        _inspected(name, entries)
    distinct: dict[str, _Entry] = {}
    for entry in sorted(entries.values(), key=lambda entry: (entry.id.count("."), entry.id)):
        words = entry.text.split()
        if len(words) >= _FEWEST_WORDS:
            distinct.setdefault(" ".join(words), entry)
    for entry in sorted(distinct.values()):
        yield Document(entry.id, entry.text, entry.id, {"module": entry.module, "kind": entry.kind})


def _sources(root: Path) -> dict[str, _Source]:
    """The standard library's modules by name."""
    found: dict[str, _Source] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _LEFT_OUT.fullmatch(name)]
        for file in files:
            path = Path(folder, file)
            if path.suffix != ".py" or _LEFT_OUT.fullmatch(path.stem):
                continue
            parts = path.relative_to(root).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SyntaxWarning)
                    warnings.simplefilter("ignore", DeprecationWarning)
                    tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, OSError):
                continue  # a template, or no Python of this version: no documentation of it
            found[name] = _source(name, package, tree)
    return found


def _source(name: str, package: bool, tree: ast.Module) -> _Source:
    imports: list[tuple[str, str, str]] = []
    exported: frozenset[str] | None = frozenset()
    listed = False
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom):
            base = name.split(".") if package else name.split(".")[:-1]
            above = base[: len(base) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            imports.extend((module, alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                names = _strings(node.value)
                listed = True
                exported = exported | names if exported is not None and names is not None else None
    definitions = _definitions(tree.body, "function")
    return _Source(name, _docstring(tree), definitions, imports, exported if listed else None)


def _definitions(body: Sequence[ast.stmt], routine: Kind) -> dict[str, _Definition]:
    """What a module or class defines; of several by one name, the first that has a docstring.

    Only the texts are kept of a syntax tree: hundreds of trees at once keep the garbage collector busy.
    """
    found: dict[str, _Definition] = {}
    for node in _statements(body):
        if isinstance(node, ast.ClassDef):
            members = _definitions(node.body, "method")
            start = members.get("__init__")
            text = _docstring(node) or (start.text if start else None)
            public = {name: member for name, member in members.items() if not name.startswith("_")}
            definition = _Definition("class", text, public)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list]
            attribute = "property" in names or "cached_property" in names
            definition = _Definition("property" if attribute else routine, _docstring(node), {})
        else:
            continue
        if node.name not in found or not found[node.name].text:
            found[node.name] = definition
    return found


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    return ast.get_docstring(node, clean=False)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class, those inside `if` and `try` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _statements([*node.body, *handlers, *node.orelse, *node.finalbody])


def _strings(node: ast.expr) -> frozenset[str] | None:
    """The strings of a literal list; None where the list is computed."""
    try:
        return frozenset(ast.literal_eval(node))
    except (ValueError, TypeError):
        return None


def _parsed(
    source: _Source,
    sources: dict[str, _Source],
    entries: dict[str, _Entry],
    taken: set[_Definition],
) -> None:
    """Enter a module's own documentation and that of the names it offers that are not yet `taken`."""
    module = _public(source.name)
    _enter(entries, module, module, "module", source.text)
    for name, definition in _offered(source, sources, 0).items():
        if not name.startswith("_") and definition not in taken:
            taken.add(definition)
            _defined(f"{module}.{name}", module, definition, entries)


def _defined(path: str, module: str, definition: _Definition, entries: dict[str, _Entry]) -> None:
    _enter(entries, path, module, definition.kind, definition.text)
    for name, member in definition.members.items():
        _defined(f"{path}.{name}", module, member, entries)


def _offered(source: _Source, sources: dict[str, _Source], depth: int) -> dict[str, _Definition]:
    """The public classes and functions that a program gets from this module, wherever they are defined."""
    offered = dict(source.definitions)
    for module, name, here in source.imports:
        origin = sources.get(module)
        # Names of a public module are documented with that module.
        inside = module == _PATHS or _is_private(module) or module.startswith(f"{source.name}.")
        if origin is None or not inside or depth > 3:
            continue
        theirs = _offered(origin, sources, depth + 1)
        for theirs_name, definition in theirs.items():
            if name in ("*", theirs_name):
                offered.setdefault(theirs_name if name == "*" else here, definition)
    if source.exported is not None:
        return {name: definition for name, definition in offered.items() if name in source.exported}
    return offered


def _inspected(name: str, entries: dict[str, _Entry]) -> None:
    """Enter the documentation of a module written in C, where the sources have nothing under that name."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return  # this Python was built without it
    _enter(entries, name, name, "module", inspect.getdoc(module))
    prefix = "" if name == "builtins" else f"{name}."
    for key in sorted(getattr(module, "__all__", vars(module))):
        value = getattr(module, key, None)
        if key.startswith("_") or inspect.ismodule(value):
            continue
        home = getattr(value, "__module__", None) or name
        if home.lstrip("_") != name and not (home.startswith("_") or home in ("builtins", "posix", "nt")):
            continue
        if inspect.isclass(value):
            if home == "builtins" and name != "builtins":
                continue
            _enter(entries, f"{prefix}{key}", name, "class", value.__doc__)
            for member in sorted(vars(value)):
                inner = vars(value)[member]
                if not member.startswith("_") and not inspect.isfunction(inner):
                    kind: Kind = "method" if callable(getattr(value, member)) else "property"
                    text = (
                        inspect.getdoc(inner) if kind == "method" or inspect.isdatadescriptor(inner) else None
                    )
                    _enter(entries, f"{prefix}{key}.{member}", name, kind, text)
        elif inspect.isroutine(value):
            _enter(entries, f"{prefix}{key}", name, "function", inspect.getdoc(value))


def _enter(entries: dict[str, _Entry], id: str, module: str, kind: Kind, text: str | None) -> None:
    text = inspect.cleandoc(text or "").strip()
    if text and id not in entries:
        entries[id] = _Entry(id, module, kind, text)


def _public(module: str) -> str:
    return _ALIASES.get(module, module)


def _is_private(module: str) -> bool:
    return re.search(r"(^|\.)_", module) is not None
