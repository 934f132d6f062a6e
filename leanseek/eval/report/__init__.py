"""Reports: a folder of results as one page, and as tables for Markdown, spreadsheets and papers."""

from __future__ import annotations

from leanseek.eval.report.gathering import gather
from leanseek.eval.report.study import Study
from leanseek.eval.report.writing import FORMATS, Format, render, write_report

__all__ = ["FORMATS", "Format", "Study", "gather", "render", "write_report"]
