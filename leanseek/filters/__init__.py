"""Metadata filters: the expression language, and its evaluation inside both searches."""

from __future__ import annotations

from leanseek.filters.nodes import (
    And,
    ColumnSource,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Membership,
    Not,
    Or,
)
from leanseek.filters.parser import BUILT_IN, parse_filter
from leanseek.filters.values import Element, Kind, elements

__all__ = [
    "BUILT_IN",
    "And",
    "ColumnSource",
    "Comparison",
    "Contains",
    "Element",
    "Filter",
    "IsNull",
    "Kind",
    "Membership",
    "Not",
    "Or",
    "elements",
    "parse_filter",
]
