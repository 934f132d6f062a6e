"""The operations of all compatible interfaces."""

from __future__ import annotations

from typing import Final

from leanseek.serve.operation import Operation

COMPATIBLE: Final[tuple[Operation, ...]] = ()
