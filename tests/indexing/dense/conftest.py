"""The real vectors that the tests of reductions use, too."""

from __future__ import annotations

from indexing.leanvec.conftest import Real, scifact

__all__ = ["Real", "scifact"]
