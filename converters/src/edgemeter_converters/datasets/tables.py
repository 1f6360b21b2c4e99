"""Datasets saved as Arrow or Parquet: one file, or a folder of them packed in a .zip.

The folder is as `datasets.save_to_disk` writes it (data-00000-of-00001.arrow beside a state.json, below a
folder a split), or its files name their split (train-00000-of-00001.parquet). What `columns` says becomes of
them are the inputs and the labels. A fifth is set aside for evaluation where no split is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from edgemeter_converters.datasets import columns, layout, named_arrays
from edgemeter_converters.datasets.archive import Archive
from edgemeter_converters.datasets.dataset import Dataset
from edgemeter_converters.datasets.refusal import check_reading, check_size, not_a_dataset
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2

_ROWS_AT_ONCE = 4096
"""Read of a Parquet file: what it unpacks to is known only batch by batch."""

_ARROW_FILE_MAGIC = b"ARROW1"
"""Of the random access format; without it, it is the streaming format, which `datasets` writes."""


def read_file(path: Path, file_name: str, reading: lab_pb2.DataReading) -> Dataset:
    """The dataset in one .parquet or .arrow file.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    check_reading(file_name, reading, pictures=True, table=True)
    if not path.is_file():
        raise not_a_dataset(file_name, "there is no such file")
    with path.open("rb") as stream:
        tables = {"x": _table(_batches(stream, file_name, file_name), file_name)}
    return _dataset(tables, reading, file_name)


def read_archive(archive: Archive, reading: lab_pb2.DataReading) -> Dataset:
    """The dataset in a folder of .parquet and .arrow files.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    check_reading(archive.file_name, reading, pictures=True, table=True)
    split_of = {path: layout.split_of(path) for path in _table_paths(archive)}
    try:
        names = layout.array_names(split_of.values())
    except ValueError as error:
        raise not_a_dataset(archive.file_name, str(error)) from error
    tables = {
        name: _table(
            (
                batch
                for path in split_of
                if split_of[path] == split
                for batch in _archived_batches(archive, path)
            ),
            archive.file_name,
        )
        for split, name in names.items()
    }
    return _dataset(tables, reading, archive.file_name)


def _table_paths(archive: Archive) -> list[PurePosixPath]:
    """The files that hold rows; beside a state.json only those that it lists, since what `datasets` has
    computed before lies there too."""
    listed: dict[PurePosixPath, set[str]] = {}
    for path in archive.entries:
        if path.name == layout.STATE:
            state = archive.read_json(path)
            files = state.get("_data_files") if isinstance(state, dict) else None
            if isinstance(files, list) and all(isinstance(each, dict) for each in files):
                listed[path.parent] = {str(each.get("filename")) for each in files}
    tables = [path for path in archive.entries if layout.is_table(path)]
    for folder, names in listed.items():
        missing = sorted(name for name in names if folder / name not in tables)
        if missing:
            what = f"'{folder / layout.STATE}' lists {missing[0]!r}, which is not there"
            raise not_a_dataset(archive.file_name, what)
    return [path for path in tables if path.parent not in listed or path.name in listed[path.parent]]


def _archived_batches(archive: Archive, path: PurePosixPath) -> Iterator[Any]:
    import pyarrow

    return _batches(pyarrow.BufferReader(archive.read(path)), str(path), archive.file_name)


def _batches(source: Any, name: str, file_name: str) -> Iterator[Any]:
    """Record batches of a file that Arrow or Parquet wrote; what they hold is checked."""
    import pyarrow
    import pyarrow.parquet

    with _damage_is_refused(name, file_name):
        if PurePosixPath(name).suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(source, arrow_extensions_enabled=False) as parquet:
                yield from parquet.iter_batches(_ROWS_AT_ONCE, use_threads=False)
            return
        is_file = source.read(len(_ARROW_FILE_MAGIC)) == _ARROW_FILE_MAGIC
        source.seek(0)
        options = pyarrow.ipc.IpcReadOptions(use_threads=False)
        if is_file:
            with pyarrow.ipc.open_file(source, options=options) as reader:
                yield from _validated(reader.get_batch(number) for number in range(reader.num_record_batches))
            return
        with pyarrow.ipc.open_stream(source, options=options) as reader:
            yield from _validated(reader)


def _validated(batches: Iterable[Any]) -> Iterator[Any]:
    """Arrow's own formats are taken as they lie: offsets that lead elsewhere must be found before use."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _table(batches: Iterator[Any], file_name: str) -> Any:
    import pyarrow

    rows: list[Any] = []
    size_bytes = 0
    for batch in batches:
        size_bytes += batch.nbytes
        check_size(file_name, "its columns", size_bytes)
        if batch.num_rows:
            rows.append(batch)
    if not rows:
        raise not_a_dataset(file_name, "it has no rows")
    schema = rows[0].schema
    if any(not batch.schema.equals(schema) for batch in rows):
        raise not_a_dataset(file_name, "its files have different columns")
    return pyarrow.Table.from_batches([batch.replace_schema_metadata(schema.metadata) for batch in rows])


@contextmanager
def _damage_is_refused(name: str, file_name: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except ConversionError:
        raise
    except (pyarrow.ArrowException, MemoryError, OSError, ValueError, KeyError) as error:
        which = "it" if name == file_name else f"'{name}' in it"
        kind = "Parquet" if PurePosixPath(name).suffix.lower() == ".parquet" else "Arrow"
        # A length that is off asks for terabytes.
        why = "it asks for more memory than there is" if isinstance(error, MemoryError) else error
        what = f"{which} is no {kind} file, or a damaged one ({why})"
        raise not_a_dataset(file_name, what) from error


def _dataset(tables: dict[str, Any], reading: lab_pb2.DataReading, file_name: str) -> Dataset:
    import pyarrow

    try:
        return named_arrays.from_arrays(columns.to_arrays(tables, reading, file_name))
    except (pyarrow.ArrowException, ValueError) as error:
        raise not_a_dataset(file_name, str(error)) from error
