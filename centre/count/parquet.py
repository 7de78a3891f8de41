"""Parquet files, if pyarrow is installed: it is an extra, because a box never has it."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from agent.base.atomic_file import open_replacement
from centre.count.tables import Column, Table
from centre.count.track_file import COLUMNS, GROUND_COLUMNS
from centre.line_file import as_user_error

HOW_TO_INSTALL = "Parquet is left out: pyarrow is not installed; pip install pyarrow"

_BATCH_BYTES = 4_194_304


def is_installed() -> bool:
    """Return whether Parquet can be written."""
    return importlib.util.find_spec("pyarrow") is not None


def write_table(table: Table, path: Path) -> None:
    """Write a table. Raises: UserError if it cannot be written."""
    pyarrow, parquet = _load("pyarrow"), _load("pyarrow.parquet")
    schema = pyarrow.schema([(column.name, _type(pyarrow, column)) for column in table.columns])
    columns = zip(*table.rows, strict=True) if table.rows else [() for _ in table.columns]
    arrays = [
        pyarrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)
    ]
    with as_user_error(path), open_replacement(path, 0o666) as file:
        parquet.write_table(pyarrow.table(arrays, schema=schema), file)


def write_tracks(tracks: Path, path: Path) -> None:
    """Write a film's tracks, which are read batch by batch. Raises: UserError if a file cannot be read or written."""
    pyarrow, csv, parquet = _load("pyarrow"), _load("pyarrow.csv"), _load("pyarrow.parquet")
    types = dict.fromkeys((*COLUMNS, *GROUND_COLUMNS), pyarrow.float64())
    types |= {"frame": pyarrow.int64(), "track": pyarrow.int64(), "label": pyarrow.string()}
    with as_user_error(path), open_replacement(path, 0o666) as file:
        reader = csv.open_csv(
            tracks,
            read_options=csv.ReadOptions(use_threads=False, block_size=_BATCH_BYTES),
            convert_options=csv.ConvertOptions(column_types=types),
        )
        with reader, parquet.ParquetWriter(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)


def _type(pyarrow: Any, column: Column) -> Any:
    types = {
        "time": pyarrow.timestamp("ms", tz="UTC"),
        "text": pyarrow.string(),
        "number": pyarrow.float64(),
        "whole": pyarrow.int64(),
        "flag": pyarrow.bool_(),
    }
    return types[column.kind]


def _load(module: str) -> Any:
    """Import a module of pyarrow, which has no types."""
    return importlib.import_module(module)
