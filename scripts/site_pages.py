"""What the documentation site has beside `docs/`: pages of the repository's root, and the reference, from the code.

MkDocs calls the functions here (`hooks` in mkdocs.yml).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import typer.main
from mkdocs.structure.files import File, Files

from leanseek.cli import app
from leanseek.cli.help import Names

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "security.md",
}
DEPLOYMENT = "deployment.md"
REFERENCE = "reference"
TUTORIALS = "tutorials"


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {page: outside((ROOT / name).read_text("utf-8")) for name, page in ROOT_PAGES.items()}
    pages[DEPLOYMENT] = deployment()
    pages[f"{REFERENCE}/commands.md"] = commands()
    for path in sorted((ROOT / TUTORIALS).glob("*.ipynb")):
        pages[f"{TUTORIALS}/{path.stem}.md"] = notebook(json.loads(path.read_text("utf-8")))
    doors = list(packages())
    for name, names in doors:
        pages[f"{REFERENCE}/{name}.md"] = package(name, names)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    extend(config.nav, [f"{REFERENCE}/{name}.md" for name, _ in doors if name != "leanseek"])
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links of `docs/` to files outside it, as links to their pages."""
    for name, path in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({path}")
    markdown = re.sub(r"\]\(\.\./tutorials/([^)]*)\.ipynb\)", rf"]({TUTORIALS}/\1.md)", markdown)
    return re.sub(r"\]\(\.\./deploy/[^)]*\)", f"]({DEPLOYMENT})", markdown)


def outside(text: str) -> str:
    """A page of the root as one of `docs/`."""
    text = text.replace("](docs/", "](")
    for name, path in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({path}")
    return text


def deployment() -> str:
    """The files in `deploy/`, each as a block."""
    text = "# Deployment files\n\nWhat [serving](serving.md) refers to; the files are in `deploy/` of the repository.\n"
    for file in sorted((ROOT / "deploy").iterdir()):
        text += f"\n## {file.name}\n\n```\n{file.read_text('utf-8').strip()}\n```\n"
    return text


def notebook(book: dict[str, Any]) -> str:
    """A notebook as a page: its texts, its code, and what that printed."""
    parts = []
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = source.replace("](../docs/", "](../")
            parts.append(re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](\1.md)", source))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            text = output.get("text") or output.get("data", {}).get("text/plain") or []
            parts.append("```text\n" + "".join(text).rstrip() + "\n```")
    return "\n\n".join(parts) + "\n"


def packages() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Every package with a door: its dotted name, and (name, where it is defined) of what the door offers."""
    for door in sorted((ROOT / "leanseek").rglob("__init__.pyi")):
        name = ".".join(door.parent.relative_to(ROOT).parts)
        found = re.findall(r"^from (\.[\w.]*) import (\w+) as (\w+)$", door.read_text("utf-8"), re.MULTILINE)
        yield name, [(public, f"{name}{module.rstrip('.')}.{inner}") for module, inner, public in found]


def package(name: str, names: list[tuple[str, str]]) -> str:
    """The reference of a package: what it is, then everything that its door offers."""
    lines = [f"# {name}", f"::: {name}", "    options: {members: false, show_root_heading: false}"]
    for public, target in sorted(names, key=lambda one: one[0].casefold()):
        lines += ["", f"::: {target}", f"    options: {{heading: {public}}}"]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The reference of the command line, as `--help` shows it."""
    root = typer.main.get_command(app)
    context = root.make_context("leanseek", [], resilient_parsing=True)
    return "# Commands\n\n" + "\n".join(described(root, context))


def described(command: Any, context: Any) -> Iterator[str]:
    """One command and those below it."""
    names = Names()
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if not below.hidden:
                inner = below.make_context(name, [], parent=context, resilient_parsing=True)
                yield from described(below, inner)
        return
    yield f"## {context.command_path}\n"
    yield "```\n" + command.get_usage(context).removeprefix("Usage: ") + "\n```\n"
    yield re.sub(r"\n(?!\n)", " ", (command.help or "").format_map(names)) + "\n"
    rows = [
        option(one, context, names)
        for one in command.get_params(context)
        if not getattr(one, "hidden", False)
    ]
    yield "| option | |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def option(parameter: Any, context: Any, names: Names) -> str:
    """A row of a command's table."""
    spelled = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        spelled = f"`{parameter.metavar or parameter.name.upper()}`"
    text = " ".join((getattr(parameter, "help", None) or "").format_map(names).split())
    default = parameter.default
    if (
        default not in (None, False, True, (), [], "")
        and not callable(default)
        and "default" not in text.casefold()
    ):
        text += f" (default: {default})"
    return row(spelled, text)


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class Examples(griffe.Extension):
    """Doctest lines of docstrings as blocks of code."""

    LINES = re.compile(r"^>>>.*(?:\n.*\S.*)*", re.MULTILINE)

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for everything that has been read."""
        if obj.docstring is not None and "```pycon" not in obj.docstring.value:
            obj.docstring.value = self.LINES.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """The package's own docstring is only there when its stub has been read too."""
        self.on_object(obj=pkg)


def extend(nav: list[Any], pages: list[str]) -> None:
    """Add pages to the navigation's reference."""
    for section in nav:
        if isinstance(section, dict) and "Reference" in section:
            section["Reference"] += pages
