"""The examples of the documentation, run as they stand there."""

from __future__ import annotations

import re
from typing import Any

from support import ROOT

PAGE = ROOT / "docs" / "frameworks.md"


def example(package: str, **given: Any) -> dict[str, Any]:
    """The names that the example of a package leaves behind; `given` are those that it takes as there."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if f"leanseek.integrations.{package} import" in block]
    names: dict[str, Any] = dict(given)
    exec(compile(code, str(PAGE), "exec"), names)
    return names
