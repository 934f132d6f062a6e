"""Parquet tables, read in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from leanseek.errors import MissingPackageError
from leanseek.indexing.reading.building import DocumentBuilder
from leanseek.indexing.reading.report import Place
from leanseek.types import Document

_ROWS: Final = 1024


def read_parquet(path: Path, place: Place, builder: DocumentBuilder) -> Iterator[Document]:
    """The documents of a Parquet file; a place's line is the row's number from 1. Raises InputError."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Reading .parquet files", "pyarrow", "files") from error

    try:
        with arrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                for record in _records(batch):
                    place.line += 1
                    document = builder.document(record, place)
                    if document is not None:
                        yield document
    except (arrow.ArrowException, OSError) as error:
        raise place.error(f"damaged, or not a Parquet file: {error}") from error


def _records(batch: Any) -> list[dict[str, object]]:
    try:
        records: list[dict[str, object]] = batch.to_pylist()
    except UnicodeDecodeError:
        # A writer stored bytes as strings; as bytes they are decoded with replacement further on.
        import pyarrow as arrow

        columns = [
            column.cast(arrow.binary()) if arrow.types.is_string(column.type) else column
            for column in batch.columns
        ]
        records = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return records
