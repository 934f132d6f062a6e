"""Reports as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from leanseek.errors import UsageError
from leanseek.eval.report.study import Study
from leanseek.eval.report.table import comma_separated, latex, markdown
from leanseek.replacing import replacing

Format: TypeAlias = Literal["html", "markdown", "csv", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES: dict[Format, str] = {
    "html": "report.html",
    "markdown": "report.md",
    "csv": "report.csv",
    "latex": "report.tex",
}


def render(study: Study, format: Format) -> str:
    """The report in one format. Raises MissingPackageError, for html only, and UsageError for another format."""
    if format == "html":
        from leanseek.eval.report.page import page

        return page(study)
    tables = {"markdown": markdown, "csv": comma_separated, "latex": latex}
    if format not in tables:
        raise UsageError(f"'{format}' is no format of a report. Choose from: {', '.join(FORMATS)}")
    return tables[format](study)


def write_report(study: Study, folder: str | os.PathLike[str], formats: Iterable[Format]) -> list[Path]:
    """Write `report.html`, `.md`, `.csv`, `.tex` as asked into `folder`; the same study gives the same bytes.

    Nothing is written unless all can be rendered. Raises MissingPackageError, UsageError or StorageError.
    """
    texts = {format: render(study, format) for format in formats}
    paths = [Path(folder) / FILES[format] for format in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        with replacing(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")
    return paths
