"""Every public name with what it takes, a line each: what a release promises to keep.

    python scripts/public_api.py > tests/public_api.txt

The names are those that the packages' doors (`__init__.pyi`) offer, with the public methods of classes. Read from the
sources; nothing is imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
OFFERED = re.compile(r"^from (\.[\w.]*) import (\w+) as (\w+)$", re.MULTILINE)


def lines(root: Path = ROOT) -> Iterator[str]:
    """The lines of the list, by package and then by name."""
    package = griffe.load("leanseek", search_paths=[root], resolve_aliases=False, find_stubs_package=False)
    for door in sorted((root / "leanseek").rglob("__init__.pyi")):
        name = ".".join(door.parent.relative_to(root).parts)
        for module, inner, public in sorted(OFFERED.findall(door.read_text("utf-8")), key=lambda one: one[2]):
            home = ".".join([*name.split(".")[1:], module.strip(".")]).strip(".")
            found = package[f"{home}.{inner}"]
            yield from entry(f"{name}.{public}", found)


def entry(name: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """The line of a function or a value; of a class one for how it is made, and one for each public member."""
    if found.is_class:
        yield f"class {name}{taken(found.members.get('__init__'))}"
        for member, inner in sorted(found.members.items()):
            if not member.startswith("_"):
                yield f"{name}.{member}{taken(inner)}"
    else:
        yield f"{name}{taken(found)}"


def taken(found: griffe.Object | griffe.Alias | None) -> str:
    """What a function takes, in brackets; nothing for what is no function."""
    if not isinstance(found, griffe.Function):
        return ""
    parameters, starred = [], False
    for one in found.parameters:
        if one.name in {"self", "cls"}:
            continue
        kind = one.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            parameters.append("*")
            starred = True
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
            kind, ""
        )
        starred = starred or star == "*"
        parameters.append(f"{star}{one.name}{'' if one.default is None or star else '='}")
    return f"({', '.join(parameters)})"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
